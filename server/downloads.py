"""Answers with stored content that the browser must not trust."""

from __future__ import annotations

import hashlib
import os
import re
from bisect import bisect_right
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote

from starlette.responses import FileResponse, Response
from starlette.types import Message, Receive, Scope, Send

from server import content_checks
from tracker.errors import NotFoundError, StoreError
from tracker.store.blobs.manifest import Entry
from tracker.store.objects.atomic_files import open_regular
from tracker.store.store import Store

# A browser may show these types. All other types are only saved, so that logged HTML or SVG never runs.
INLINE = frozenset(
    (
        *("image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"),
        *("audio/wav", "audio/x-wav", "audio/mpeg", "audio/ogg", "audio/flac", "audio/x-flac", "audio/mp4"),
        *("video/mp4", "video/webm", "video/ogg"),
    )
)
# Policy for logged HTML that is requested as a page. The page gets an origin of its own. Its own scripts run,
# as interactive plots need, but they cannot call the server or load anything.
PAGE_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; media-src data: blob:; font-src data:; "
    "form-action 'none'; frame-ancestors 'self'"
)

# Start and end of parts of a file in bytes, sorted. They do not touch each other.
Pieces = list[tuple[int, int]]
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class BlobResponse(FileResponse):
    """An answer with a regular file of the store.

    It reads larger chunks than Starlette, because each chunk costs a thread switch. The constructor opens
    the file once, so it sends the file that it checked, even if another file replaces that one.

    Args:
        path: Path of the file.
        sha256: Expected SHA-256 digest of the file.
        media_type: Media type of the answer.
        headers: Headers of the answer.
        check: Whether to check the digest. If False, damaged bytes are sent too.
        shown: The pieces of the file to send, with zeros between them; None for the whole file.

    Attributes:
        intact: Whether the file has its digest; None if this is unknown until the file has been sent once.

    Raises:
        OSError: See ``open_regular``.
    """

    chunk_size = 1024 * 1024

    def __init__(
        self,
        path: Path,
        sha256: str,
        media_type: str,
        headers: dict[str, str],
        *,
        check: bool,
        shown: Pieces | None = None,
    ) -> None:
        self._shown = shown
        self._file = os.fdopen(open_regular(path), "rb")  # closed with this response
        found = os.fstat(self._file.fileno())
        self._state = content_checks.file_state(path, sha256, found)
        self.intact = content_checks.is_intact(self._state) if check else True
        opened = f"/proc/self/fd/{self._file.fileno()}"
        super().__init__(opened, media_type=media_type, headers=headers, stat_result=found)
        # The time of the file tells when any project stored this content. The ETag is enough for caches.
        self.headers["last-modified"] = formatdate(0, usegmt=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        if scope.get("tracker.head"):
            scope = {**scope, "method": "HEAD"}  # Starlette then does not read the file
        if self._shown is not None:
            # An answer with several ranges is not supported.
            headers = [each for each in scope["headers"] if each[0] != b"range" or b"," not in each[1]]
            scope, send = {**scope, "headers": headers}, _PiecesOnly(send, self._shown)
        checking = content_checks.CheckingSend(send, self._state) if self.intact is None else send
        await super().__call__(scope, receive, checking)


class _PiecesOnly:
    """Forwards an answer with a file or one range of it. Zeros replace all bytes outside of pieces."""

    def __init__(self, send: Send, pieces: Pieces) -> None:
        self._send = send
        self._pieces = pieces
        self._at = 0
        self._is_content = False

    async def __call__(self, message: Message) -> None:
        """Forward one message of the answer."""
        if message["type"] == "http.response.start":
            self._is_content = message["status"] in (200, 206)
            found = re.match(rb"bytes (\d+)-", dict(message["headers"]).get(b"content-range", b""))
            self._at = int(found[1]) if found else 0
        elif self._is_content:
            message = {**message, "body": self._masked(message.get("body", b""))}
        await self._send(message)

    def _masked(self, body: bytes) -> bytes:
        first, self._at = self._at, self._at + len(body)
        kept = bytearray(len(body))
        for start, end in self._pieces[max(bisect_right(self._pieces, (first, 0)) - 1, 0) :]:
            if start >= self._at:
                break
            start, end = max(start, first) - first, min(end, self._at) - first
            if start < end:
                kept[start:end] = body[start:end]
        return bytes(kept)


def send_packed_file(store: Store, entry: Entry, asked: Mapping[str, str]) -> Response:
    """Return an answer with a small file from a pack. It supports one byte range.

    Args:
        store: The store.
        entry: Manifest entry of the file.
        asked: Headers of the request.

    Raises:
        NotFoundError: The bytes are not in the store.
        StoreError: The bytes are damaged.
    """
    headers = _headers(entry.path, entry.sha256, inline=False)
    data = b"".join(store.blobs.chunks(entry.blob or "", entry.offset, entry.size))
    return _send_bytes(data, entry.sha256, entry.path, "application/octet-stream", headers, asked)


def _send_bytes(
    data: bytes, sha256: str, name: str, media_type: str, headers: dict[str, str], asked: Mapping[str, str]
) -> Response:
    if hashlib.sha256(data).hexdigest() != sha256:
        raise _damaged(name, sha256)
    headers = {**headers, "Accept-Ranges": "bytes"}
    start, end, status = 0, len(data), 200
    match = _RANGE.fullmatch(asked.get("range", ""))
    if (
        match is not None
        and any(match.groups())
        and asked.get("if-range", headers["ETag"]) == headers["ETag"]
    ):
        first, last = match.groups()
        start = int(first) if first else max(len(data) - int(last), 0)
        end = min(int(last) + 1, len(data)) if first and last else len(data)
        status = 206 if start < end else 416
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        if status == 416:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{len(data)}"})
    return Response(data[start:end], status, headers, media_type)


def send_blob(
    store: Store,
    sha256: str,
    name: str,
    mimetype: str | None,
    *,
    asked: Mapping[str, str] | None = None,
    attachment: bool = False,
    page: bool = False,
    check: bool = True,
    shown: Pieces | None = None,
) -> Response:
    """Return an answer with stored content. It supports byte ranges, and its ETag is the SHA-256 digest.

    Args:
        store: The store.
        sha256: Digest of the content: a blob, or a small file of a run, which may be in a pack.
        name: Name of the file.
        mimetype: Type of the file, if known.
        asked: Headers of the request; needed if the content may be in a pack.
        attachment: Whether the browser saves the file instead of showing it.
        page: Whether the browser may show HTML, under ``PAGE_POLICY``.
        check: Whether to check the digest. If False, damaged bytes of a blob are sent too.
        shown: See ``BlobResponse``.

    Raises:
        NotFoundError: The bytes are not in the store.
        StoreError: The bytes are known to be damaged.
    """
    path = store.blobs.path(sha256)
    inline = mimetype in INLINE and not attachment
    headers = _headers(name, sha256, inline=inline)
    media_type = mimetype if inline and mimetype else "application/octet-stream"
    if page and mimetype == "text/html" and not attachment:
        headers = {**_headers(name, sha256, inline=True), "Content-Security-Policy": PAGE_POLICY}
        media_type = "text/html; charset=utf-8"
    try:
        response = BlobResponse(path, sha256, media_type, headers, check=check, shown=shown)
    except FileNotFoundError:
        try:
            data = store.blobs.read(sha256)
        except NotFoundError:
            raise NotFoundError(f"The content of {name} is not in this store (yet).") from None
        return _send_bytes(data, sha256, name, media_type, headers, asked or {})
    if response.intact is False:
        raise _damaged(name, sha256)
    return response


def _damaged(name: str, sha256: str) -> StoreError:
    return StoreError(
        f"The stored content of {name} is damaged: its SHA-256 is not {sha256}. Restore it from a backup."
    )


def _headers(name: str, sha256: str, *, inline: bool) -> dict[str, str]:
    file_name = name.rsplit("/", 1)[-1]
    return {
        "Content-Disposition": "inline"
        if inline
        else f"attachment; filename*=UTF-8''{quote(file_name, safe='')}",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, max-age=31536000, immutable",
        "ETag": f'"{sha256}"',
    }
