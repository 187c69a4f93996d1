"""What stands before all routes: which names the server answers to, and what is compressed."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.responses import refusal, refuse
from tracker.errors import AuthenticationError, ReadOnlyError

# Metadata of an artifact, or the names of some thousand blobs, take less.
LARGEST_JSON = 16 * 1024 * 1024


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


class KeyFirst:
    """Asks for the key before the body of a request that changes something, and bounds every JSON body.

    FastAPI reads a JSON body whole before any dependency of the route runs: without this, anybody could make
    the server hold hundreds of megabytes.

    Args:
        app: What comes behind.
        needs_key: Paths below this prefix, other than ``open_path``, need a writer's key for such methods.
        open_path: The path at which a key is shown.
        check: Raises AuthenticationError for a request without a writer's key, ReadOnlyError for any where
            the store cannot be written.
    """

    def __init__(
        self, app: ASGIApp, needs_key: str, open_path: str, check: Callable[[Request], None]
    ) -> None:
        self._app = app
        self._needs_key = needs_key
        self._open_path = open_path
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it before its body is read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        path = scope["path"]
        changes = scope["method"] not in ("GET", "HEAD", "OPTIONS")
        if changes and path.startswith(self._needs_key) and path != self._open_path:
            try:
                await run_in_threadpool(self._check, request)
            except (AuthenticationError, ReadOnlyError) as error:
                await refusal(error)(scope, receive, send)
                return
        if _is_stream(scope):  # its route takes it in pieces and has a bound of its own
            await self._app(scope, receive, send)
            return
        too_large = refuse(413, "too_large", f"a request takes at most {LARGEST_JSON} bytes")
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > LARGEST_JSON:
            await too_large(scope, receive, send)
            return
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > LARGEST_JSON:
                raise HTTPException(413, f"a request takes at most {LARGEST_JSON} bytes")
            return message

        await self._app(scope, bounded, send)


def _is_stream(scope: Scope) -> bool:
    return "/ingest/journals/" in scope["path"] or (
        "/ingest/blobs/" in scope["path"] and scope["method"] == "PUT"
    )


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
