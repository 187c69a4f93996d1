"""An open store: the folders, the catalog and the blobs of one store on a file system."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Engine, QueuePool, select
from sqlalchemy.orm import Session

from tracker.errors import StoreError
from tracker.store.blobs.content import BlobStore, Piece
from tracker.store.blobs.packs import pieces_of
from tracker.store.catalog import database
from tracker.store.catalog.lease_holder import Opened
from tracker.store.catalog.models import Part
from tracker.store.catalog.revision_cache import RevisionCache
from tracker.store.catalog.sqlite import RowReading
from tracker.store.objects.layout import Layout

T = TypeVar("T")
# Merging parts takes about as long as reading them, so merges do not interrupt this number of reads in a row.
LARGEST_ATTEMPTS = 10


class Store:
    """An open store. Callers read and write in short transactions.

    ``tracker.recorder.open_store.open_store`` creates it.

    Attributes:
        from_files: Whether another host keeps the catalog. See ``ReadOnlyStore``.

    Args:
        layout: The paths of the store.
        opened: The open catalog, with its lease and its lock.
    """

    from_files = False

    def __init__(self, layout: Layout, opened: Opened) -> None:
        self.layout = layout
        self._engine, self._hold = opened.engine, opened.hold
        self._cache = RevisionCache()
        # A bound method would create a reference cycle and delay the finalizer below.
        self.blobs = BlobStore(self.layout, partial(find_piece, opened.engine))
        # A store that was not closed must not block a rebuild, or another host that takes over the catalog.
        self._close = weakref.finalize(self, _release, opened, os.getpid())

    @property
    def root(self) -> Path:
        """The store's folder."""
        return self.layout.root

    @property
    def catalog(self) -> Path:
        """The file of the catalog."""
        return self._hold.catalog

    def reading(self) -> AbstractContextManager[Session]:
        """Open a read transaction, which sees one consistent state of the catalog."""
        return database.transaction(self._engine, write=False, cache=self._cache)

    def reading_rows(self) -> AbstractContextManager[RowReading]:
        """Open a read transaction for ``read_rows``, which takes less time than ``reading``."""
        return database.row_transaction(self._engine, self._cache)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a write transaction. Only one can run at a time.

        Raises:
            HeldElsewhereError: Another host has taken over the catalog, before or during the transaction. The
                catalog of that host may lack the transaction, so the caller must not delete anything that
                the transaction replaced.
        """
        self.check_lease()
        with database.transaction(self._engine, write=True, check=self.check_lease) as session:
            yield session
        self.check_lease()

    def refresh(self) -> None:
        """Do nothing. The subclass for a private copy overrides this: it reads the changes of its source."""

    def writing_keys(self) -> AbstractContextManager[Session]:
        """Open a write transaction for API keys."""
        return self.writing()

    def check_lease(self) -> None:
        """Check that this host still holds the catalog. Call this before deleting a file.

        Raises:
            HeldElsewhereError: Another host has taken over the catalog.
        """
        self._hold.check()

    def answer(self, question: Callable[[Session], T]) -> T:
        """Return the result of ``question``, which is called in a read transaction.

        A compaction may delete a part after ``question`` has read its name in the catalog. Then
        ``question`` is called again in a new transaction.

        Raises:
            StoreError: A part is missing and the catalog still names it, so the part is lost. Or compactions
                have interrupted ``LARGEST_ATTEMPTS`` reads.
        """
        for _ in range(LARGEST_ATTEMPTS):
            try:
                with self.reading() as session:
                    return question(session)
            except FileNotFoundError as error:
                missing = error
                if self._names(str(error.filename)):
                    raise StoreError(
                        f"a file that the catalog names is missing ({error}): restore the file from a backup"
                    ) from error
        raise StoreError(
            f"the parts of the run were merged {LARGEST_ATTEMPTS} times during the read. Repeat the read"
        ) from missing

    def _names(self, path: str) -> bool:
        """Return whether the catalog names a part. Compaction removes the name before it deletes the file."""
        with suppress(ValueError), self.reading() as session:
            known = str(Path(path).relative_to(self.root))
            return session.scalar(select(Part.id).where(Part.path == known).limit(1)) is not None
        return False

    def close(self) -> None:
        """Close all connections."""
        self._close()


def find_piece(engine: Engine, sha256: str) -> Piece | None:
    """Return the place of a file's content in a pack, as the catalog records it, or None."""
    with database.transaction(engine, write=False) as session:
        return pieces_of(session, [sha256]).get(sha256)


def _release(opened: Opened, pid: int) -> None:
    if os.getpid() != pid:
        return  # a forked child: the parent owns the connections, the lease and the lock
    idle = not isinstance(opened.engine.pool, QueuePool) or opened.engine.pool.checkedout() == 0
    opened.engine.dispose()
    opened.hold.release(free=idle)
    opened.lock.close()
