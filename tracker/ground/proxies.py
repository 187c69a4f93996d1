"""The proxy between this host and a server, from environment variables."""

from __future__ import annotations

import os
from base64 import b64encode
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit


class Proxy(NamedTuple):
    """A proxy that is reached by plain HTTP, and the headers that it needs."""

    host: str
    port: int
    headers: dict[str, str]


def find_proxy(server: SplitResult) -> Proxy | None:
    """Return the proxy that ``HTTPS_PROXY`` or ``HTTP_PROXY`` names; None for a direct connection.

    ``NO_PROXY`` lists hosts, domains, addresses and networks (``10.0.0.0/8``) that need no proxy. A server on
    this host is always reached without a proxy.

    Raises:
        ValueError: The variable is not an address ``http://host:port``.
    """
    variable = f"{server.scheme}_proxy"
    if not any(name.lower() == variable for name in os.environ):
        return None
    from urllib.request import getproxies  # imported here, because the import takes 6 ms

    address = getproxies().get(server.scheme)
    if address is None or _is_direct(server.hostname or "", server.port):
        return None
    parts = urlsplit(address if "://" in address else f"http://{address}")
    with suppress(ValueError):  # the port is not a number
        if parts.scheme == "http" and parts.hostname:
            return Proxy(parts.hostname, parts.port or 80, _authorization(parts))
    shown = address.rpartition("@")[2]  # without user name and password
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
        with suppress(ValueError):  # the entry is a host name
            if address in ip_network(entry.strip(), strict=False):
                return True
    return address.is_loopback
