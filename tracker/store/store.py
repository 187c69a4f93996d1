"""A store on a file system: its folders, its catalog and its blobs, opened together."""

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
from tracker.store.objects.layout import Layout

T = TypeVar("T")
# Whoever merges parts takes as long as a reader: so often in a row it does not win.
LARGEST_ATTEMPTS = 10


class Store:
    """An open store. Reading and writing go through short transactions.

    Made by ``tracker.recorder.open_store.open_store``.

    Args:
        layout: Its folder.
        opened: Its catalog.
    """

    def __init__(self, layout: Layout, opened: Opened) -> None:
        self.layout = layout
        self._engine, self._hold = opened.engine, opened.hold
        # Not a method: a store that nobody names any more is to be closed at once.
        self.blobs = BlobStore(self.layout, partial(find_piece, opened.engine))
        # A store that nobody closed must not keep others from a rebuild, nor another host from its catalog.
        self._close = weakref.finalize(self, _let_go, opened, os.getpid())

    @property
    def root(self) -> Path:
        """The store's folder."""
        return self.layout.root

    @property
    def catalog(self) -> Path:
        """The file of the catalog."""
        return self._hold.catalog

    def reading(self) -> AbstractContextManager[Session]:
        """Open a read transaction: one consistent view."""
        return database.transaction(self._engine, write=False)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open the one write transaction that may run at a time.

        Raises:
            HeldElsewhereError: Another host has taken the catalog over, before or meanwhile. The transaction
                may then be missing in the catalog of that host, so nothing may be deleted because of it.
        """
        self.check_lease()
        with database.transaction(self._engine, write=True, check=self.check_lease) as session:
            yield session
        self.check_lease()

    def refresh(self) -> None:
        """Take in what others have written, where a private copy is read: see ``Layout.is_copy``."""

    def writing_keys(self) -> AbstractContextManager[Session]:
        """Open a write transaction for API keys."""
        return self.writing()

    def check_lease(self) -> None:
        """Raise unless this host still holds the catalog. To be called before something is deleted.

        Raises:
            HeldElsewhereError: Another host has taken it over.
        """
        self._hold.check()

    def answer(self, question: Callable[[Session], T]) -> T:
        """Return what ``question`` answers in a read transaction.

        Asked again when a part was gone that the catalog had named: its rows have been merged into
        another one meanwhile.

        Raises:
            StoreError: The catalog names it still: it is lost.
        """
        for _ in range(LARGEST_ATTEMPTS):
            try:
                with self.reading() as session:
                    return question(session)
            except FileNotFoundError as error:
                missing = error
                if self._names(str(error.filename)):
                    raise StoreError(
                        f"a file that the catalog names is gone ({error}): restore it from a backup"
                    ) from error
        raise StoreError(
            f"the parts of the run were merged {LARGEST_ATTEMPTS} times while they were read: read again"
        ) from missing

    def _names(self, path: str) -> bool:
        """Whether the catalog names a part that has been missed already; it is unnamed before it goes."""
        with suppress(ValueError), self.reading() as session:
            known = str(Path(path).relative_to(self.root))
            return session.scalar(select(Part.id).where(Part.path == known).limit(1)) is not None
        return False

    def close(self) -> None:
        """Close all connections."""
        self._close()


def find_piece(engine: Engine, sha256: str) -> Piece | None:
    """Return where a content is that has no blob of its own, as a catalog says."""
    with database.transaction(engine, write=False) as session:
        return pieces_of(session, [sha256]).get(sha256)


def _let_go(opened: Opened, pid: int) -> None:
    if os.getpid() != pid:
        return  # a forked child: all of this is its parent's
    idle = not isinstance(opened.engine.pool, QueuePool) or opened.engine.pool.checkedout() == 0
    opened.engine.dispose()
    opened.hold.release(free=idle)
    opened.lock.close()
