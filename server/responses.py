"""How answers and errors look on the wire."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from tracker.errors import (
    ArtifactError,
    AuthenticationError,
    ConflictError,
    Error,
    NotFoundError,
    ReadOnlyError,
    StoreError,
    UsageError,
)
from tracker.ground import values

# Catalogs count in 64 bits.
LARGEST_NUMBER = 2**63 - 1


class ExactJSON(Response):
    """JSON of plain values and answers; NaN, infinities, huge integers stay (``tracker.ground.values``)."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the bytes of ``content``."""
        return values.dumps(msgspec.to_builtins(content)).encode("utf-8", "replace")


def refuse(status: int, code: str, message: str) -> ExactJSON:
    """Return an error in the one shape that all errors have."""
    return ExactJSON({"error": {"code": code, "message": message}}, status_code=status)


_STATUS: tuple[tuple[type[Error], int, str], ...] = (
    (AuthenticationError, 401, "unauthenticated"),
    (ConflictError, 409, "conflict"),
    (NotFoundError, 404, "not_found"),
    (UsageError, 400, "bad_request"),
    (ArtifactError, 400, "bad_content"),
    (ReadOnlyError, 403, "read_only"),
    (StoreError, 503, "store"),
)


def refusal(error: Error) -> ExactJSON:
    """Return an error of ours in the one shape that all errors have."""
    for kind, status, code in _STATUS:
        if isinstance(error, kind):
            return refuse(status, code, error.message)
    return refuse(400, "bad_request", error.message)


def add_error_handlers(app: FastAPI) -> None:
    """Give every error of ours, of FastAPI and of the file system the same shape."""

    @app.exception_handler(Error)
    def _ours(_request: Request, error: Error) -> Response:
        return refusal(error)

    @app.exception_handler(RequestValidationError)
    def _invalid(_request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return refuse(422, "invalid", f"{where}: {first['msg']}" if where else str(first["msg"]))

    @app.exception_handler(msgspec.ValidationError)
    def _malformed(_request: Request, error: msgspec.ValidationError) -> Response:
        return refuse(422, "invalid", str(error))

    @app.exception_handler(HTTPException)
    def _http(_request: Request, error: HTTPException) -> Response:
        answer = refuse(error.status_code, "http", str(error.detail))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(ClientDisconnect)
    def _gone(_request: Request, _error: ClientDisconnect) -> Response:
        # Nobody reads this; it keeps a broken connection from looking like a fault of ours.
        return refuse(400, "disconnected", "the connection broke before the request was whole")

    @app.exception_handler(Exception)
    def _unexpected(_request: Request, error: Exception) -> Response:
        # Starlette raises it again behind this answer, so that the server's log has all of it.
        return refuse(500, "internal", f"the server failed ({type(error).__name__}): its log says where")

    @app.exception_handler(OSError)
    def _system(_request: Request, error: OSError) -> Response:
        return refuse(507, "storage", f"the server cannot write its store: {error.strerror or error}")
