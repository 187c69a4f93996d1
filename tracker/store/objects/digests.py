"""The two digests of a content: SHA-256 names it in the store, MD5 is the digest in wandb's manifests."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from typing import NamedTuple

# Large enough to make the cost of the second thread negligible, small enough for the CPU caches.
_PIECE = 1024 * 1024


class Digests(NamedTuple):
    """Digests and size of a content.

    Attributes:
        sha256: SHA-256 as 64 hex digits.
        md5: MD5 in Base64.
        size: Size in bytes.
    """

    sha256: str
    md5: str
    size: int


def digests_of(data: bytes) -> Digests:
    """Return the digests of a content in memory."""
    md5 = hashlib.md5(data, usedforsecurity=False).digest()
    return Digests(hashlib.sha256(data).hexdigest(), base64.b64encode(md5).decode(), len(data))


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file as 64 hex digits.

    Raises:
        OSError: The file cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def digests_of_file(path: str | os.PathLike[str]) -> Digests:
    """Return the digests of a file.

    A second thread computes MD5, the slower digest, so both together take as long as MD5 alone.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size <= _PIECE:
            return digests_of(file.read())
        md5 = _InThread()
        try:
            sha256, size = hashlib.sha256(), 0
            # Read each piece into a new buffer: the other thread may still use an earlier one.
            while piece := file.read(_PIECE):
                md5.update(piece)
                sha256.update(piece)
                size += len(piece)
        finally:
            digest = md5.end()
    return Digests(sha256.hexdigest(), base64.b64encode(digest).decode(), size)


class _InThread:
    """An MD5 that another thread computes, at most four pieces behind the caller."""

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
