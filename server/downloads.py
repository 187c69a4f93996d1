"""Sending stored bytes to a browser that must not trust them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from server import content_checks
from tracker.errors import NotFoundError, StoreError
from tracker.store.blobs.manifest import Entry
from tracker.store.objects.atomic_files import open_regular
from tracker.store.store import Store

# Shown in the page; everything else is only ever saved, so that logged HTML or SVG runs nowhere.
INLINE = frozenset(
    (
        *("image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"),
        *("audio/wav", "audio/x-wav", "audio/mpeg", "audio/ogg", "audio/flac", "audio/x-flac", "audio/mp4"),
        *("video/mp4", "video/webm", "video/ogg"),
    )
)
# Logged HTML, when it is asked for as a page: an origin of its own that no script can leave. It may run
# what it brings along, as interactive plots do, and can neither ask the server nor load anything.
PAGE_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; media-src data: blob:; font-src data:; "
    "form-action 'none'; frame-ancestors 'self'"
)

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class BlobResponse(FileResponse):
    """A regular file of the store, in larger pieces than Starlette's: each costs a change of threads.

    It is opened here, once, so that what is sent is what was checked, whatever takes its name meanwhile.

    Args:
        path: The file.
        sha256: The digest that it is called by.
        media_type: Of the answer.
        headers: Of the answer.
        check: False sends damaged bytes too.

    Attributes:
        whole: Whether the file has its digest; None: not known until it was sent once.

    Raises:
        OSError: See ``open_regular``.
    """

    chunk_size = 1024 * 1024

    def __init__(
        self, path: Path, sha256: str, media_type: str, headers: dict[str, str], *, check: bool
    ) -> None:
        self._file = os.fdopen(open_regular(path), "rb")  # closed with this response
        found = os.fstat(self._file.fileno())
        self._stored = content_checks.stored(path, sha256, found)
        self.whole = content_checks.is_whole(self._stored) if check else True
        opened = f"/proc/self/fd/{self._file.fileno()}"
        super().__init__(opened, media_type=media_type, headers=headers, stat_result=found)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        checking = content_checks.CheckingSend(send, self._stored) if self.whole is None else send
        await super().__call__(scope, receive, checking)


def send_piece(store: Store, entry: Entry, asked: Mapping[str, str]) -> Response:
    """Return a response with a small file that lies in a pack; it answers one range.

    Args:
        store: Where.
        entry: The file.
        asked: Headers of the request.

    Raises:
        NotFoundError: The bytes are not in the store.
        StoreError: They are damaged.
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
) -> Response:
    """Return a response with a content's bytes; it answers ranges and knows its content by hash.

    Args:
        store: Where.
        sha256: The content: a blob, or a small file of a run, which may be in a pack.
        name: Of the file.
        mimetype: Of the file, if known.
        asked: Headers of the request, where the content may be in a pack.
        attachment: Whether the browser is to save it, not to show it.
        page: Whether HTML may be shown, under ``PAGE_POLICY``.
        check: False: damaged bytes of a blob are sent too.

    Raises:
        NotFoundError: The bytes are not in the store.
        StoreError: They are known to be damaged: they are not sent with the tag of what they were.
    """
    path = store.blobs.path(sha256)
    inline = mimetype in INLINE and not attachment
    headers = _headers(name, sha256, inline=inline)
    media_type = mimetype if inline and mimetype else "application/octet-stream"
    if page and mimetype == "text/html" and not attachment:
        headers = {**_headers(name, sha256, inline=True), "Content-Security-Policy": PAGE_POLICY}
        media_type = "text/html; charset=utf-8"
    try:
        response = BlobResponse(path, sha256, media_type, headers, check=check)
    except FileNotFoundError:
        try:
            data = store.blobs.read(sha256)
        except NotFoundError:
            raise NotFoundError(f"the content of {name} is not in this store (yet)") from None
        return _send_bytes(data, sha256, name, media_type, headers, asked or {})
    if response.whole is False:
        raise _damaged(name, sha256)
    return response


def _damaged(name: str, sha256: str) -> StoreError:
    return StoreError(
        f"the stored content of {name} is damaged: it no longer has SHA-256 {sha256}; "
        "restore it from a backup"
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
