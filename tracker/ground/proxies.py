"""The proxy between this host and a server, as the environment names it."""

from __future__ import annotations

import os
from base64 import b64encode
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit


class Proxy(NamedTuple):
    """A proxy that speaks plain HTTP, and the headers that it wants."""

    host: str
    port: int
    headers: dict[str, str]


def find_proxy(server: SplitResult) -> Proxy | None:
    """Return the proxy that ``HTTPS_PROXY`` or ``HTTP_PROXY`` names; None: connect to the server itself.

    ``NO_PROXY`` lists hosts, domains, addresses and networks (``10.0.0.0/8``) that are reached without a
    proxy. A server on this host never has one.

    Raises:
        ValueError: The variable is not the address of a proxy that speaks plain HTTP.
    """
    variable = f"{server.scheme}_proxy"
    if not any(name.lower() == variable for name in os.environ):
        return None
    from urllib.request import getproxies  # its import costs 6 ms of processor time

    address = getproxies().get(server.scheme)
    if address is None or _is_direct(server.hostname or "", server.port):
        return None
    parts = urlsplit(address if "://" in address else f"http://{address}")
    with suppress(ValueError):  # the port is not a number
        if parts.scheme == "http" and parts.hostname:
            return Proxy(parts.hostname, parts.port or 80, _authorization(parts))
    shown = address.rpartition("@")[2]  # without the password
    raise ValueError(f"Invalid proxy {shown!r} in {variable.upper()}. Use http://host:port.")


def _authorization(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    name = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(name.encode()).decode()}"}


def _is_direct(host: str, port: int | None) -> bool:
    from urllib.request import getproxies, proxy_bypass

    if host == "localhost" or proxy_bypass(host if port is None else f"{host}:{port}"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    for entry in getproxies().get("no", "").split(","):
        with suppress(ValueError):  # not a network
            if address in ip_network(entry.strip(), strict=False):
                return True
    return address.is_loopback
