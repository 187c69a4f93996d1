"""Reading a store whose catalog this process may not write, including the new records in its journals."""

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

from tracker.errors import HeldElsewhereError, StoreError
from tracker.ground.filesystems import local_temporary_folder
from tracker.recorder.follow import Follower
from tracker.store.blobs.content import BlobStore
from tracker.store.catalog.locks import FileLock
from tracker.store.catalog.sqlite import RowReading
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import require_store, require_writable
from tracker.store.recovery.private_copy import CopyLayout, PrivateCopy
from tracker.store.store import Store

# A changed catalog is copied again after COPY_SECONDS, or after COPY_SHARE times the duration of the last
# copy if that is longer.
COPY_SECONDS = 1.0
COPY_SHARE = 10
_PREFIX = "tracker-copy-"
# The folder of a killed process is removed when it is this old. The age excludes a process that has just
# created its folder and does not hold the lock yet.
_ABANDONED_SECONDS = 600


class ReadOnlyStore(Store):
    """A store that is read through a private copy of its catalog (``tracker.store.recovery.private_copy``).

    ``refresh`` applies new records of the journals to the copy. It copies the catalog again when that has
    changed, but at most every ``COPY_SECONDS`` and for at most a tenth of the time.

    Args:
        root: The store's folder.
        from_files: Whether the catalog belongs to another host. Then the private catalog is built from the
            published files, and SQLite opens no file in the folder of the store.

    Raises:
        StoreError: There is no store, or it cannot be read.
        StoreVersionError: A newer version of tracker wrote the store.
    """

    def __init__(self, root: str | os.PathLike[str], *, from_files: bool = False) -> None:
        self._store = Layout(root)
        self.from_files = from_files
        require_store(self._store)
        folder = local_temporary_folder()
        _remove_abandoned(folder)
        home = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
        self.layout = CopyLayout(home, self._store)
        self.layout.temporary.mkdir()
        self.layout.locks.mkdir()
        lock = FileLock(self.layout.store_lock)
        lock.share()
        self._lock = threading.RLock()
        self._copies: list[PrivateCopy] = []
        self._applied: list[tuple[Path, int, int]] | None = None
        self._segments: set[str] = set()
        self._count = 0
        self._live = 0
        self._end = weakref.finalize(self, _close_copies, home, self._copies, lock, os.getpid())
        try:
            self._copy_again()
            self.refresh()
        except BaseException:
            self.close()
            raise

    @property
    def root(self) -> Path:
        """The folder that paths in the catalog are relative to."""
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
        """Open a read transaction with one consistent view."""
        return self._copies[-1].reading()

    def reading_rows(self) -> AbstractContextManager[RowReading]:
        """Open a read transaction for ``read_rows``."""
        return self._copies[-1].reading_rows()

    def writing(self) -> NoReturn:
        """Raise ReadOnlyError."""
        self.check_lease()

    def writing_keys(self) -> AbstractContextManager[Session]:
        """Open a write transaction for API keys. The keys exist while this process has the store open."""
        return self._copies[-1].writing()

    def check_lease(self) -> NoReturn:
        """Raise ReadOnlyError, or HeldElsewhereError if the catalog belongs to another host."""
        require_writable(self._store)
        if self.from_files:
            raise HeldElsewhereError(
                f"this host only reads {self._store.root}, because another host keeps its catalog: make the "
                "change on the host that runs `tracker server` or `tracker sync` for this store; if that "
                "host is gone, run `tracker sync` here first"
            )
        raise StoreError(
            f"Store {self._store.root} was opened for reading, but can be written now. Open it again."
        )

    def close(self) -> None:
        """Close all connections and remove the copies."""
        self._end()

    def refresh(self) -> None:
        """Read the changes since the last call.

        Raises:
            StoreError: The store cannot be read now.
        """
        with self._lock:
            sealed = self._apply()
            if not self._has_segments(sealed) or (time.monotonic() >= self._due and self._has_changed()):
                self._copy_again()
                self._apply()

    def _has_segments(self, sealed: set[str]) -> bool:
        """Return whether the copy has all records of segments that were just sealed.

        A copy of a catalog is instead replaced when it is due.
        """
        copy = self._copies[-1]
        return copy.state is not None or all(map(copy.has_segment, sealed))

    def _has_changed(self) -> bool:
        began = time.monotonic()
        try:
            changed = not self._copies[-1].is_current(from_files=self.from_files)
            if self._copies[-1].state is None:  # each look reads the states of all files
                self._wait(began)
            return changed
        except OSError as error:
            raise StoreError(f"cannot read {self._store.root}: {error.strerror or error}") from error

    def _names(self, path: str) -> bool:
        """Return whether the copy of the catalog is current. If it is not, copy the catalog again.

        This is called for a part that is missing: a newer catalog may not name the part any more.
        """
        with self._lock:
            if not self._has_changed():
                return True
            self._copy_again()
            self._apply()
            return False

    def _wait(self, began: float) -> None:
        """Set the time of the next look for changes, after one that began at ``began``."""
        now = time.monotonic()
        self._due = now + max(COPY_SECONDS, COPY_SHARE * (now - began))

    def _apply(self) -> set[str]:
        """Apply the journals to the copy, unless they have not changed.

        Returns:
            The segments whose journals are gone since the last call.
        """
        state: list[tuple[Path, int, int]] = []
        segments: set[str] = set()
        for journal in self.layout.list_journals():
            with suppress(FileNotFoundError):  # the segment was just sealed
                found = journal.path.lstat()
                state.append((journal.path, found.st_size, found.st_mtime_ns))
                segments.add(journal.segment)
        gone, self._segments = self._segments - segments, segments
        if self._live or state != self._applied:
            self._live = self._follower.poll(seal_ended=False).live
            self._applied = state
        return gone

    def _copy_again(self) -> None:
        began = time.monotonic()
        former = self._copies[-1] if self._copies else None
        self._count += 1
        home = CopyLayout(self.layout.root / str(self._count), self._store)
        copy = PrivateCopy(home, former, from_files=self.from_files)
        self._follower, self._applied, self._live = Follower(copy), None, 1
        self._copies.append(copy)
        for old in self._copies[:-2]:  # other threads may still read the previous copy
            self._copies.remove(old)
            old.close()
        self._wait(began)


def _close_copies(home: Path, copies: list[PrivateCopy], lock: FileLock, pid: int) -> None:
    if os.getpid() != pid:
        return  # in a forked child: the copies belong to the parent
    for copy in copies:
        copy.close()
    shutil.rmtree(home, ignore_errors=True)
    lock.close()


def _remove_abandoned(folder: Path) -> None:
    """Remove the private copies that killed processes of this user have left in ``folder``."""
    with suppress(OSError):
        for home in folder.glob(f"{_PREFIX}*"):
            found = home.lstat()
            if found.st_uid != os.getuid() or time.time() - found.st_mtime < _ABANDONED_SECONDS:
                continue
            lock = FileLock(CopyLayout(home, Layout(home)).store_lock)
            if lock.try_exclusive():
                shutil.rmtree(home, ignore_errors=True)
            lock.close()
