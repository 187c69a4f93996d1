"""Answers that are made while they are sent: exports of rows, lines and tables."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any
from urllib.parse import quote

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from server.openapi import content
from server.responses import error_answer
from tracker.ground.export_formats import FORMATS, Format

# Long exports that one server sends at the same time. Each one needs up to about 200 MiB of memory.
LARGEST_EXPORTS = 16

_slots = threading.BoundedSemaphore(LARGEST_EXPORTS)


class _Export(StreamingResponse):
    """An answer that ends the work on its content when the client disconnects.

    Args:
        started: The first pieces.
        content: The other pieces.
        headers: Headers of the answer.
        media_type: The media type of the content.
    """

    def __init__(
        self, started: list[bytes], content: Iterator[bytes], headers: dict[str, str], media_type: str
    ) -> None:
        super().__init__(chain(started, content), headers=headers, media_type=media_type)
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, or refuse it if there are too many."""
        free = _slots.acquire(blocking=False)
        try:
            if free:
                await super().__call__(scope, receive, send)
            else:
                text = f"The server sends {LARGEST_EXPORTS} exports already. Try again later."
                answer = error_answer(503, "busy", text)
                answer.headers["Retry-After"] = "5"
                await answer(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._content.close)  # type: ignore[attr-defined]
            if free:
                _slots.release()


def send_export(make: Callable[[], Iterator[bytes]], media_type: str, name: str | None = None) -> Response:
    """Return an answer with content that is made piece by piece.

    The first pieces are made now, so that an error becomes an answer. A later error breaks the connection, so
    that no client takes a part for the whole.

    Args:
        make: Returns the pieces, as a generator.
        media_type: The media type of the content.
        name: The name under which a browser saves the content; None to show it.
    """
    content = make()
    started = [piece for piece in (next(content, None), next(content, None)) if piece is not None]
    headers = {"X-Content-Type-Options": "nosniff"}
    if name is not None:
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    if len(started) < 2:  # complete: the answer has a length
        return Response(b"".join(started), headers=headers, media_type=media_type)
    return _Export(started, content, headers, media_type)


def export_content(*formats: Format) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of an answer with one of the formats."""
    found = content(*(FORMATS[each].media_type.partition(";")[0] for each in formats))
    if "json" in formats:
        found[200]["content"]["application/json"] = {"schema": {"$ref": "#/components/schemas/HistoryRows"}}
    return found
