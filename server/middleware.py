"""Middleware in front of all routes: host names, callers and size limits, compression."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.accounts.callers import Caller
from server.links import ROOT
from server.responses import answer_to_error, error_answer
from server.rights import READS_ONLY, changes, check_origin, refusal
from tracker.errors import AuthenticationError, Error, ForbiddenError
from tracker.ground.http import ENDING

# Largest JSON body in bytes. Metadata of an artifact, or the names of some thousand blobs, need less.
LARGEST_JSON = 16 * 1024 * 1024
# Bytes of a body that the audit log keeps.
LARGEST_DETAIL = 1000
# Parts of the paths of stored content.
CONTENT = ("/files/", "/blobs/", "/wandb/file/", "/wandb/wandb_artifacts/", "/artifactsV2/")
# Ends of the paths of exports.
EXPORTS = ("/export", "/download", "/history.arrow", "/archive", "/bundle")


class Ending:
    """Answers requests that the end of the server interrupts with 503, so that clients send them again.

    uvicorn cancels the requests that are left some seconds after the signal, and would answer them with 500.

    Args:
        app: The application behind this middleware.
        is_ending: Returns whether the server ends.
    """

    def __init__(self, app: ASGIApp, is_ending: Callable[[], bool]) -> None:
        self._app = app
        self._is_ending = is_ending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request."""
        started = False

        async def note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, note)
        except (asyncio.CancelledError, Exception) as error:
            if scope["type"] != "http" or not self._is_ending():
                raise
            if isinstance(error, Exception):
                logging.getLogger("uvicorn.error").warning(
                    "The end of the server interrupted %s %s", scope["method"], scope["path"], exc_info=error
                )
            if not started:  # else uvicorn breaks the connection
                answer = error_answer(503, ENDING, "The server is ending. Try again later.")
                answer.headers["Connection"] = "close"
                answer.headers["Retry-After"] = "1"
                await answer(scope, receive, send)


class PublicAddress:
    """Removes the path of the public address from requests, unless the proxy has removed it.

    Args:
        app: The application behind this middleware.
        root: Path of the public address, without a slash at the end.
        secure: Whether the public address uses https. Browsers then send the cookie only over https.
    """

    def __init__(self, app: ASGIApp, root: str, secure: bool) -> None:
        self._app = app
        self._root = root
        self._secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request."""
        if scope["type"] == "http":
            ROOT.set(self._root)
            path = scope["path"]
            if self._root and f"{path}/".startswith(f"{self._root}/"):
                path = path[len(self._root) :] or "/"
            scope = {**scope, "path": path, "scheme": "https" if self._secure else scope["scheme"]}
        await self._app(scope, receive, send)


class LoopbackNamesOnly:
    """Answers only requests to the host names of the loopback interface; refuses all others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, or refuse it."""
        if scope["type"] == "http":
            host = Headers(scope=scope).get("host", "")
            if not _is_own(host):
                answer = error_answer(
                    400, "foreign_host", f"Invalid host {host!r}. Use localhost or 127.0.0.1."
                )
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


class HeadLikeGet:
    """Answers a HEAD request like a GET request, without the body.

    ``tracker.head`` in the scope tells an answer that its body is not needed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def start_only(message: Message) -> None:
            # The answer is complete after its start, so an answer that is streamed ends immediately.
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})

        await self._app({**scope, "method": "GET", "tracker.head": True}, receive, start_only)


class KnownCaller:
    """Finds the caller of each request to the API before the body is read, and limits every JSON body.

    FastAPI reads a JSON body completely before a dependency of the route runs. Without this class, a client
    without a key could make the server hold hundreds of megabytes in memory. ``tracker.caller`` in the scope
    is the caller, or None at an open address.

    Args:
        app: The application behind this middleware.
        api: Prefix of the addresses of the API.
        open_paths: The addresses of the API that need no caller.
        find: Returns the caller of a request, or None.
        check_writable: Raises ReadOnlyError if the store is read-only.
        note: Writes an entry of the audit log, from the scope of a request and the beginning of its body.
    """

    def __init__(
        self,
        app: ASGIApp,
        api: str,
        open_paths: Collection[str],
        find: Callable[[HTTPConnection], Caller | None],
        check_writable: Callable[[], None],
        note: Callable[[Scope, bytes], None],
    ) -> None:
        self._app = app
        self._api = api
        self._open = open_paths
        self._find = find
        self._check_writable = check_writable
        self._note = note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, or refuse it before its body is read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        if scope["path"].startswith(f"{self._api}/"):
            try:
                scope["tracker.caller"] = await run_in_threadpool(self._check, request)
            except Error as error:
                await answer_to_error(error)(scope, receive, send)
                return
            if scope["tracker.caller"] is not None and changes(request) and _is_audited(scope["path"]):
                receive, send = self._audited(scope, receive, send)
        if _is_stream(scope):  # its route reads the body in pieces and has its own limit
            await self._app(scope, receive, send)
            return
        too_large = error_answer(413, "too_large", f"Request larger than {LARGEST_JSON} bytes.")
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
                raise HTTPException(413, f"Request larger than {LARGEST_JSON} bytes.")
            return message

        await self._app(scope, bounded, send)

    def _audited(self, scope: Scope, receive: Receive, send: Send) -> tuple[Receive, Send]:
        """Return channels that write an entry of the audit log before the answer to a successful change."""
        body = b""

        async def kept() -> Message:
            nonlocal body
            message = await receive()
            if len(body) < LARGEST_DETAIL:
                body += message.get("body", b"")[:LARGEST_DETAIL]
            return message

        async def noted(message: Message) -> None:
            is_start = message["type"] == "http.response.start"
            if is_start and message["status"] < 400 and not scope.get("tracker.noted"):
                await run_in_threadpool(self._note, scope, body)
            await send(message)

        return kept, noted

    def _check(self, request: HTTPConnection) -> Caller | None:
        caller = self._find(request)
        if request.scope["path"] in self._open:
            return caller
        if caller is None:
            raise AuthenticationError(refusal(request))
        if changes(request):
            if caller.from_browser:
                check_origin(request)
            if caller.rights.scope == "read":
                raise ForbiddenError(READS_ONLY)
            self._check_writable()
        return caller


def _is_audited(path: str) -> bool:
    """Return whether changes at an address are in the audit log. Runs themselves tell what was sent."""
    return not path.startswith("/api/v1/ingest/")


def _is_stream(scope: Scope) -> bool:
    if scope["path"].startswith(("/wandb/", "/files/")):
        return True
    return "/ingest/journals/" in scope["path"] or (
        "/ingest/blobs/" in scope["path"] and scope["method"] == "PUT"
    )


class Compression(GZipMiddleware):
    """Compresses answers, except stored content and exports, which can be large, and columns of numbers."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, and compress its answer if that makes it smaller."""
        if scope["type"] == "http" and (_is_content(scope["path"]) or _is_columns(scope)):
            await self.app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def _is_content(path: str) -> bool:
    return any(part in path for part in CONTENT) or path.endswith(EXPORTS)


def _is_columns(scope: Scope) -> bool:
    path: str = scope["path"]
    return scope["method"] == "POST" and path.endswith(("/chart", "/curves"))


def _is_own(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
