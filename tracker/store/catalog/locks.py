"""Who has a store open, and who may exchange its catalog: a lock that the kernel frees with its holder."""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracker.ground.group_files import create


class FileLock:
    """An advisory lock on a file that is made for it; several may share it, or one has it alone.

    Args:
        path: The file. Reading it is enough: another user's is good too.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = create(path, os.O_RDONLY, 0o644)
        self._close = weakref.finalize(self, os.close, self._descriptor)
        # A process that ends keeps it to the last moment: its database connections close later than this.
        self._close.atexit = False

    def share(self) -> None:
        """Wait until nobody has the lock alone, then share it."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def try_share(self) -> bool:
        """Share the lock unless somebody has it alone."""
        return self._try(fcntl.LOCK_SH)

    def try_alone(self) -> bool:
        """Take the lock alone if nobody else has it."""
        return self._try(fcntl.LOCK_EX)

    def free(self) -> None:
        """Let go; the lock may be taken again. A forked child that inherited it lets go too."""
        if self._close.alive:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go for good."""
        self.free()
        self._close()

    def _try(self, how: int) -> bool:
        try:
            fcntl.flock(self._descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def is_held(path: Path) -> bool:
    """Whether somebody has the lock on an existing file alone."""
    try:
        lock = FileLock(path)
    except OSError:
        return False  # another user's: nothing can be said
    try:
        return not lock.try_share()
    finally:
        lock.close()


@contextmanager
def shared(path: Path | None) -> Iterator[None]:
    """Share the lock on a file for a moment; where that cannot be, or without a path, go on without."""
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
