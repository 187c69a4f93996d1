"""Checks that stored content still has its SHA-256 digest. Each state of a file is checked once.

A small file is hashed before it is sent. A large file is hashed while it is sent, and its last bytes are held
back until the digest is known. If the content is damaged, the client gets a shorter body than announced.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.types import Message, Send

from tracker.ground.terminal import say
from tracker.store.objects.atomic_files import open_regular

# Files up to this size in bytes are hashed before they are sent: at most 30 ms.
LARGEST_HASHED_FIRST = 16 * 1024 * 1024
# Most files whose result is remembered.
MOST_KNOWN = 100_000


class FileState(NamedTuple):
    """A file of the store in one state.

    Attributes:
        path: Path of the file.
        sha256: Expected SHA-256 digest.
        size: Size in bytes.
        state: Device, inode and times of the file. They change when the file changes.
    """

    path: Path
    sha256: str
    size: int
    state: tuple[int, ...]


_known: dict[FileState, bool] = {}


def file_state(path: Path, sha256: str, found: os.stat_result) -> FileState:
    """Return a file in the state of ``found``.

    Args:
        path: Path of the file.
        sha256: Expected SHA-256 digest.
        found: Result of ``os.stat`` for the file.
    """
    state = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
    return FileState(path, sha256, found.st_size, state)


def is_intact(file: FileState) -> bool | None:
    """Return whether a file has its digest; None for a large file that has not been sent completely yet."""
    if file not in _known and file.size <= LARGEST_HASHED_FIRST:
        with os.fdopen(open_regular(file.path), "rb") as content:
            _note(file, hashlib.sha256(content.read()).hexdigest())
    return _known.get(file)


def _note(file: FileState, digest: str) -> None:
    while len(_known) >= MOST_KNOWN:
        _known.pop(next(iter(_known)), None)
    _known[file] = digest == file.sha256


class CheckingSend:
    """Forwards an answer with a complete large file, but holds back its last bytes if the digest is wrong.

    In that case the server closes the connection. An answer with only a part of the file is not checked.
    """

    def __init__(self, send: Send, file: FileState) -> None:
        self._send = send
        self._file = file
        self._digest = hashlib.sha256()
        self._passed = 0
        self._is_part = False
        self._is_damaged = False

    async def __call__(self, message: Message) -> None:
        """Forward one message of the answer."""
        if message["type"] == "http.response.start":
            length = dict(message["headers"]).get(b"content-length")
            # A range can cover the complete file: browsers ask for videos in this way.
            self._is_part = length != str(self._file.size).encode()
        elif not self._is_part and message["type"] == "http.response.body":
            await self._check(message["body"], ends=not message.get("more_body", False))
        if not self._is_damaged:
            await self._send(message)

    async def _check(self, body: bytes, *, ends: bool) -> None:
        await run_in_threadpool(self._digest.update, body)
        begun, self._passed = self._passed < self._file.size, self._passed + len(body)
        if self._passed and begun and (ends or self._passed >= self._file.size):
            _note(self._file, self._digest.hexdigest())
            self._is_damaged = not _known[self._file]
            if self._is_damaged:
                say(
                    f"{self._file.path} is damaged: its SHA-256 is not {self._file.sha256}. "
                    "The connection that requested it is closed."
                )
