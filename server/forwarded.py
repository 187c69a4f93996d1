"""The headers of a proxy in front of the server: the address of the client, the scheme, the user."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

Network = IPv4Network | IPv6Network


class Forwarded:
    """Sets the client and the scheme of requests that a pinned proxy forwards.

    ``tracker.proxied`` in the scope tells whether a pinned proxy sent the request. Headers of other clients
    that only a proxy may send are removed.

    Args:
        app: The application behind this middleware.
        proxies: The pinned proxies. None: only the scheme is taken, and only from a proxy at 127.0.0.1.
        user_header: Name of the header with the user, in lower case; None for no such header.
    """

    def __init__(self, app: ASGIApp, proxies: Sequence[Network] | None, user_header: str | None) -> None:
        self._app = app
        self._proxies = proxies
        self._of_scheme = parse_networks("127.0.0.1") if proxies is None else proxies
        self._user_header = user_header
        self._warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, peer = Headers(scope=scope), scope["client"][0] if scope.get("client") else ""
        proxied = bool(self._proxies) and contains(self._proxies or (), peer)
        changed = {**scope, "tracker.proxied": proxied}
        if proxied:
            changed["client"] = (_client(headers, peer, self._proxies or ()), 0)
        schemes = headers.getlist("x-forwarded-proto")
        if schemes and schemes[-1].strip() in ("http", "https") and contains(self._of_scheme, peer):
            changed["scheme"] = schemes[-1].strip()
        if self._user_header is not None and self._user_header in headers and not proxied:
            self._warn(peer)
            kept = MutableHeaders(raw=list(scope["headers"]))
            del kept[self._user_header]
            changed["headers"] = kept.raw
        await self._app(changed, receive, send)

    def _warn(self, peer: str) -> None:
        if not self._warned:
            self._warned = True
            logging.getLogger("uvicorn.error").warning(
                "Ignored the header %s of %s, which is not an address of --proxy.", self._user_header, peer
            )


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the addresses and networks in a text, which are separated by commas.

    Raises:
        ValueError: One is invalid.
    """
    return tuple(ip_network(each.strip()) for each in text.split(","))


def contains(networks: Iterable[Network], address: str) -> bool:
    """Return whether an address is in one of the networks."""
    try:
        known = ip_address(_plain(address))
    except ValueError:
        return False
    return any(known in network for network in networks)


def _client(headers: Headers, peer: str, proxies: Sequence[Network]) -> str:
    """Return the address of the client. Each proxy has added the address of its peer at the end.

    Args:
        headers: The headers of the request.
        peer: Address of the proxy that sent the request.
        proxies: The pinned proxies. The last address before them is that of the client.
    """
    found = _plain(peer)
    for each in reversed(",".join(headers.getlist("x-forwarded-for")).split(",")):
        address = _plain(_without_port(each.strip()))
        try:
            ip_address(address)
        except ValueError:  # not an address: the proxy that wrote it is the last one that is known
            return found
        found = address
        if not contains(proxies, found):
            return found
    return found


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _plain(address: str) -> str:
    """Return an IPv4 address that a socket for IPv6 shows as ``::ffff:10.0.0.5`` in its usual form."""
    return address[7:] if address.lower().startswith("::ffff:") and "." in address else address
