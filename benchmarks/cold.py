"""Eviction of a store's files from the page cache, and a check that they are evicted."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

from benchmarks.measuring import ScriptError

PAGE = mmap.PAGESIZE
PROT_READ, MAP_SHARED = 1, 1
# The server and the recorder read the catalog several times a second, so some of its pages return
# immediately.
CATALOG_PAGES = 64
ATTEMPTS = 50

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]


def evict(store: Path) -> dict[str, int]:
    """Evict every file of a store, including catalog and journals.

    Only the index of SQLite's write-ahead log (``-shm``) stays, because processes share it as memory.

    Returns:
        The number of pages in the page cache, by file, for each file that still has any.

    Raises:
        ScriptError: Pages of other files than the catalog stay, as on a file system in memory.
    """
    for _ in range(ATTEMPTS):
        paths = [path for path in store.rglob("*") if path.is_file() and path.suffix != ".db-shm"]
        left = {}
        for path in paths:
            try:
                _drop(path)
            except FileNotFoundError:
                continue
        for path in paths:
            try:
                pages = resident_pages(path)
            except FileNotFoundError:
                continue
            if pages:
                left[str(path.relative_to(store))] = pages
        if all(name.startswith("catalog.db") and pages <= CATALOG_PAGES for name, pages in left.items()):
            return left
    raise ScriptError(
        f"Pages of {store} stay in the page cache: {left}. Choose a folder on a disk with --work FOLDER."
    )


def resident_pages(path: Path) -> int:
    """Return the number of pages of a file that are in the page cache (``mincore``)."""
    size = path.stat().st_size
    if not size:
        return 0
    descriptor = os.open(path, os.O_RDONLY)
    try:
        address = _libc.mmap(None, size, PROT_READ, MAP_SHARED, descriptor, 0)
    finally:
        os.close(descriptor)
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap", str(path))
    try:
        flags = ctypes.create_string_buffer(-(-size // PAGE))
        if _libc.mincore(address, size, flags):
            raise OSError(ctypes.get_errno(), "mincore", str(path))
        return sum(flag & 1 for flag in flags.raw[: -(-size // PAGE)])
    finally:
        _libc.munmap(address, size)


def _drop(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # pages that are not on the disk cannot be dropped
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
