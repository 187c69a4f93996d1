"""The two digests of a file: SHA-256 names its content here, MD5 is what wandb's manifests give."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from typing import NamedTuple

# Large enough that handing a piece to the other thread costs nothing, small enough for the caches.
_PIECE = 1024 * 1024


class Digests(NamedTuple):
    """What a content is called.

    Attributes:
        sha256: 64 hex digits.
        md5: Base64 of the MD5.
        size: Bytes.
    """

    sha256: str
    md5: str
    size: int


def digests_of(data: bytes) -> Digests:
    """Return the digests of a content in memory."""
    md5 = hashlib.md5(data, usedforsecurity=False).digest()
    return Digests(hashlib.sha256(data).hexdigest(), base64.b64encode(md5).decode(), len(data))


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, 64 hex digits.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def digests_of_file(path: str | os.PathLike[str]) -> Digests:
    """Return the digests of a file, computed on two cores at once: as fast as MD5, the slower one.

    Raises:
        OSError: It cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size <= _PIECE:
            return digests_of(file.read())
        md5 = _InThread()
        try:
            sha256, size = hashlib.sha256(), 0
            # Each piece is read into a buffer of its own: the other thread may still be at the last one.
            while piece := file.read(_PIECE):
                md5.update(piece)
                sha256.update(piece)
                size += len(piece)
        finally:
            digest = md5.end()
    return Digests(sha256.hexdigest(), base64.b64encode(digest).decode(), size)


class _InThread:
    """An MD5 that is computed in another thread, a few pieces behind at most."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._pieces: list[bytes] = []
        self._room = threading.Semaphore(4)
        self._there = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._work, name="tracker-md5", daemon=True)
        self._thread.start()

    def update(self, piece: bytes) -> None:
        self._room.acquire()
        self._pieces.append(piece)
        self._there.release()

    def end(self) -> bytes:
        self.update(b"")
        self._thread.join()
        return self._md5.digest()

    def _work(self) -> None:
        while True:
            self._there.acquire()
            piece = self._pieces.pop(0)
            if not piece:
                return
            self._md5.update(piece)
            self._room.release()
