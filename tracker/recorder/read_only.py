"""Reading a store that this process may not write to, with what its journals hold, as it grows."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
import weakref
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import NoReturn

from sqlalchemy.orm import Session

from tracker.errors import StoreError
from tracker.recorder.follow import Follower
from tracker.store.blobs.content import BlobStore
from tracker.store.catalog.locks import FileLock
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import require_store, require_writable
from tracker.store.recovery.private_copy import CopyLayout, PrivateCopy, catalog_state, find_catalog
from tracker.store.store import Store

# A catalog that changes is copied again after so long, and after so many times what its copy took.
COPY_SECONDS = 1.0
COPY_SHARE = 10
_PREFIX = "tracker-copy-"
# A folder of a process that was killed is removed after so long: its lock is then not about to be taken.
_LEFT_SECONDS = 600


class ReadOnlyStore(Store):
    """A store read through a private copy of its catalog; see ``tracker.store.recovery.private_copy``.

    ``refresh`` takes in what has come since. It applies journals to the copy at once, and copies the catalog
    again when it has changed, at most every ``COPY_SECONDS`` and for a tenth of the time.

    Raises:
        StoreError: There is no store, or it cannot be read.
        StoreVersionError: A newer tracker wrote it.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._store = Layout(root)
        require_store(self._store)
        _remove_left()
        home = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self.layout = CopyLayout(home, self._store)
        self.layout.temporary.mkdir()
        self.layout.locks.mkdir()
        lock = FileLock(self.layout.store_lock)
        lock.share()
        self._lock = threading.RLock()
        self._copies: list[PrivateCopy] = []
        self._applied: list[tuple[Path, int, int]] | None = None
        self._count = 0
        self._live = 0
        self._end = weakref.finalize(self, _let_go, home, self._copies, lock, os.getpid())
        try:
            self._copy_again()
            self.refresh()
        except BaseException:
            self.close()
            raise

    @property
    def root(self) -> Path:
        """The folder to which paths in the catalog are relative."""
        return self._copies[-1].root

    @property
    def catalog(self) -> Path:
        """The copy of the catalog."""
        return self._copies[-1].catalog

    @property
    def blobs(self) -> BlobStore:  # type: ignore[override]
        """The blobs of the store and of its drafts."""
        return self._copies[-1].blobs

    def reading(self) -> AbstractContextManager[Session]:
        """Open a read transaction: one consistent view."""
        return self._copies[-1].reading()

    def writing(self) -> NoReturn:
        """Raise ReadOnlyError."""
        self.check_lease()

    def writing_keys(self) -> AbstractContextManager[Session]:
        """Open a write transaction for API keys. They are kept while this process has the store open."""
        return self._copies[-1].writing()

    def check_lease(self) -> NoReturn:
        """Raise ReadOnlyError."""
        require_writable(self._store)
        raise StoreError(f"{self._store.root} could not be written when it was opened: open it again")

    def close(self) -> None:
        """Close all connections and remove the copies."""
        self._end()

    def refresh(self) -> None:
        """Take in what has come since the last call.

        Raises:
            StoreError: The store cannot be read now.
        """
        with self._lock:
            if time.monotonic() >= self._due and self._has_changed():
                self._copy_again()
            self._apply()

    def _has_changed(self) -> bool:
        try:
            return catalog_state(find_catalog(self._store)) != self._copies[-1].state
        except OSError as error:
            raise StoreError(f"cannot read {self._store.root}: {error.strerror or error}") from error

    def _names(self, path: str) -> bool:
        """Whether the catalog names a missing part still; else it has been copied again."""
        with self._lock:
            if not self._has_changed():
                return True
            self._copy_again()
            self._apply()
            return False

    def _apply(self) -> None:
        """Apply journals to the copy, unless nothing can have come."""
        state = []
        for journal in self.layout.list_journals():
            with suppress(FileNotFoundError):  # sealed meanwhile
                found = journal.path.lstat()
                state.append((journal.path, found.st_size, found.st_mtime_ns))
        if self._live or state != self._applied:
            self._live = self._follower.poll(seal_ended=False).live
            self._applied = state

    def _copy_again(self) -> None:
        began = time.monotonic()
        former = self._copies[-1] if self._copies else None
        self._count += 1
        copy = PrivateCopy(CopyLayout(self.layout.root / str(self._count), self._store), former)
        self._follower, self._applied, self._live = Follower(copy), None, 1
        self._copies.append(copy)
        for old in self._copies[:-2]:  # other threads may read the one before
            self._copies.remove(old)
            old.close()
        took = time.monotonic() - began
        self._due = time.monotonic() + max(COPY_SECONDS, COPY_SHARE * took)


def _let_go(home: Path, copies: list[PrivateCopy], lock: FileLock, pid: int) -> None:
    if os.getpid() != pid:
        return  # a forked child: all of this is its parent's
    for copy in copies:
        copy.close()
    shutil.rmtree(home, ignore_errors=True)
    lock.close()


def _remove_left() -> None:
    """Remove the private copies of this user's processes that were killed."""
    with suppress(OSError):
        for home in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            found = home.lstat()
            if found.st_uid != os.getuid() or time.time() - found.st_mtime < _LEFT_SECONDS:
                continue
            lock = FileLock(CopyLayout(home, Layout(home)).store_lock)
            if lock.try_exclusive():
                shutil.rmtree(home, ignore_errors=True)
            lock.close()
