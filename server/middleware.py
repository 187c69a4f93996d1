"""What stands before all routes: which names the server answers to, and what is compressed."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from server.responses import refuse


class OwnNamesOnly:
    """Answers only to the names of this machine's loopback; anything else is refused in the one shape."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http":
            host = Headers(scope=scope).get("host", "")
            if not _is_own(host):
                answer = refuse(400, "foreign_host", f"this server is not {host}: use localhost or 127.0.0.1")
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


class Compression(GZipMiddleware):
    """Compresses answers, but no stored content: its parts are asked for by byte, and it can be large."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, its answer compressed if that helps."""
        if scope["type"] == "http" and _is_content(scope["path"]):
            await self.app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def _is_content(path: str) -> bool:
    return "/files/" in path or "/blobs/" in path


def _is_own(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
