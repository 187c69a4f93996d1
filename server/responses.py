"""Formats of answers and errors."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from server.openapi import PROBLEM, problem
from server.routing import operations
from tracker.errors import (
    ArtifactError,
    AuthenticationError,
    ConflictError,
    EditConflictError,
    Error,
    ForbiddenError,
    NotFoundError,
    ReadOnlyError,
    StoreError,
    UsageError,
)
from tracker.ground import values

# Largest integer that a catalog can store.
LARGEST_NUMBER = 2**63 - 1


class ExactJSON(Response):
    """A JSON answer. It keeps NaN, infinities and huge integers (see ``tracker.ground.values``)."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the bytes of ``content``."""
        return values.dumps(msgspec.to_builtins(content)).encode("utf-8", "replace")


def error_answer(status: int, code: str, message: str) -> ExactJSON:
    """Return an error in the format that all errors share (RFC 9457).

    Args:
        status: HTTP status.
        code: Short code for programs.
        message: Text for people.
    """
    return ExactJSON(problem(status, code, message), status_code=status, media_type=PROBLEM)


_STATUS: tuple[tuple[type[Error], int, str], ...] = (
    (ForbiddenError, 403, "forbidden"),
    (AuthenticationError, 401, "unauthenticated"),
    (EditConflictError, 412, "edit_conflict"),
    (ConflictError, 409, "conflict"),
    (NotFoundError, 404, "not_found"),
    (UsageError, 400, "bad_request"),
    (ArtifactError, 400, "bad_content"),
    (ReadOnlyError, 403, "read_only"),
    (StoreError, 503, "store"),
)


def answer_to_error(error: Error) -> ExactJSON:
    """Return the answer for an exception of tracker, in the format that all errors share."""
    for kind, status, code in _STATUS:
        if isinstance(error, kind):
            return error_answer(status, code, error.message)
    return error_answer(400, "bad_request", error.message)


def add_error_handlers(app: FastAPI) -> None:
    """Give all errors of tracker, FastAPI and the file system the same format."""

    @app.exception_handler(Error)
    def _ours(_request: Request, error: Error) -> Response:
        return answer_to_error(error)

    @app.exception_handler(RequestValidationError)
    def _invalid(_request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return error_answer(422, "invalid", f"{where}: {first['msg']}" if where else str(first["msg"]))

    @app.exception_handler(msgspec.ValidationError)
    def _malformed(_request: Request, error: msgspec.ValidationError) -> Response:
        return error_answer(422, "invalid", str(error))

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> Response:
        if error.status_code in (404, 405) and (allowed := _allowed_methods(request)):
            text = ", ".join(allowed)
            answer = error_answer(405, "http", f"{request.method} is not possible here. Use {text}.")
            answer.headers["Allow"] = text
            return answer
        answer = error_answer(error.status_code, "http", str(error.detail))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(ClientDisconnect)
    def _gone(_request: Request, _error: ClientDisconnect) -> Response:
        # No client reads this answer. It only prevents a log entry about a fault of the server.
        return error_answer(400, "disconnected", "The connection broke before the request was complete.")

    @app.exception_handler(Exception)
    def _unexpected(_request: Request, error: Exception) -> Response:
        # Starlette raises the exception again after this answer, so that the server's log contains it.
        return error_answer(500, "internal", f"The server failed ({type(error).__name__}). See its log.")

    @app.exception_handler(OSError)
    def _system(_request: Request, error: OSError) -> Response:
        return error_answer(
            507, "storage", f"The server cannot write to its store: {error.strerror or error}."
        )


def _allowed_methods(request: Request) -> list[str]:
    """Return the methods of the operations at the address of a request.

    Starlette names the methods of only one of several routes with the same path. It does not find routes for
    another method than GET if the page of the dashboard matches the address.
    """
    routes = request.app.routes
    fitting = [route for route in operations(routes) if route.path_regex.match(request.scope["path"])]
    if fitting:  # ``blobs/missing`` is one operation, although ``blobs/{sha256}`` matches it too
        own = min((route.path for route in fitting), key=lambda path: path.count("{"))
        return _with_head([method for route in fitting if route.path == own for method in route.methods])
    asked = {key: value for key, value in request.scope.items() if key in ("type", "path", "root_path")}
    return _with_head(
        [
            method
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
            if any(
                route.matches({**asked, "method": method})[0] is Match.FULL
                for route in routes
                if getattr(route, "name", None) != "page"
            )
        ]
    )


def _with_head(methods: list[str]) -> list[str]:
    return [each for method in methods for each in (("GET", "HEAD") if method == "GET" else (method,))]
