"""File locks for opening a store and replacing its catalog. The kernel frees the locks of a dead process."""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracker.ground.group_files import create


class FileLock:
    """An advisory lock on a file, shared or exclusive.

    Args:
        path: The file, which is created if it is missing. Read permission is enough, so users can share a
            lock file.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = create(path, os.O_RDONLY)
        self._close = weakref.finalize(self, os.close, self._descriptor)
        # At exit, keep the lock until the process is gone: its database connections close after finalizers.
        self._close.atexit = False

    def share(self) -> None:
        """Take the lock shared. Wait while another process has the lock exclusively."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def try_share(self) -> bool:
        """Take the lock shared without waiting; return whether that succeeded."""
        return self._try(fcntl.LOCK_SH)

    def try_exclusive(self) -> bool:
        """Take the lock exclusively without waiting; return whether that succeeded."""
        return self._try(fcntl.LOCK_EX)

    def free(self) -> None:
        """Release the lock. It can be taken again. A forked child that inherited the lock loses it too."""
        if self._close.alive:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Release the lock and close the file."""
        self.free()
        self._close()

    def _try(self, how: int) -> bool:
        try:
            fcntl.flock(self._descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def is_held(path: Path) -> bool:
    """Return whether a process has the lock on an existing file exclusively.

    Return False if this process may not open the file.
    """
    try:
        lock = FileLock(path)
    except OSError:
        return False
    try:
        return not lock.try_share()
    finally:
        lock.close()


@contextmanager
def shared(path: Path | None) -> Iterator[None]:
    """Share the lock on a file during a ``with`` block. Without a path or permission, do not lock."""
    try:
        lock = FileLock(path) if path is not None else None
    except OSError:
        lock = None
    try:
        if lock is not None:
            lock.share()
        yield
    finally:
        if lock is not None:
            lock.close()
