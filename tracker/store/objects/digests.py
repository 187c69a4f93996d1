"""The two digests of a content: SHA-256 names it in the store, MD5 is the digest in wandb's manifests."""

from __future__ import annotations

import os
import sys
import threading
from binascii import b2a_base64
from importlib import import_module
from typing import Any, NamedTuple

# Large enough to make the cost of the second thread negligible, small enough for the CPU caches.
_PIECE = 1024 * 1024
# Up to this size, CPython's own code is fast enough, and short runs need not load OpenSSL (10 ms).
SMALL = 64 * 1024


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


class Hashing:
    """Computes the digests of a content piece by piece.

    Args:
        small: Whether the content is at most about ``SMALL`` bytes. The digests are the same.
    """

    def __init__(self, *, small: bool) -> None:
        self._sha256, self._md5 = _small_hashes() if small else _hashes()
        self._size = 0

    def update(self, data: bytes) -> None:
        """Add bytes."""
        self._sha256.update(data)
        self._md5.update(data)
        self._size += len(data)

    def digests(self) -> Digests:
        """Return the digests of all bytes."""
        return Digests(self._sha256.hexdigest(), to_base64(self._md5.digest()), self._size)


def to_base64(digest: bytes) -> str:
    """Return a digest in Base64."""
    return b2a_base64(digest, newline=False).decode()


def _hashes() -> tuple[Any, Any]:
    import hashlib

    return hashlib.sha256(), hashlib.md5(usedforsecurity=False)


def _small_hashes() -> tuple[Any, Any]:
    try:
        sha256 = import_module("_sha2" if sys.version_info >= (3, 12) else "_sha256").sha256
        md5 = import_module("_md5").md5
    except ImportError:  # Python was built without them
        return _hashes()
    return sha256(), md5(usedforsecurity=False)


def digests_of(data: bytes) -> Digests:
    """Return the digests of a content in memory."""
    hashing = Hashing(small=len(data) <= SMALL)
    hashing.update(data)
    return hashing.digests()


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file as 64 hex digits.

    Raises:
        OSError: The file cannot be read.
    """
    digest, _ = _hashes()
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    found: str = digest.hexdigest()
    return found


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
            (sha256, _), size = _hashes(), 0
            # Read each piece into a new buffer: the other thread may still use an earlier one.
            while piece := file.read(_PIECE):
                md5.update(piece)
                sha256.update(piece)
                size += len(piece)
        finally:
            digest = md5.end()
    return Digests(sha256.hexdigest(), to_base64(digest), size)


class _InThread:
    """An MD5 that another thread computes, at most four pieces behind the caller."""

    def __init__(self) -> None:
        _, self._md5 = _hashes()
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
        found: bytes = self._md5.digest()
        return found

    def _work(self) -> None:
        while True:
            self._there.acquire()
            piece = self._pieces.pop(0)
            if not piece:
                return
            self._md5.update(piece)
            self._room.release()
