"""A store on a file system: its folders, its catalog and its blobs, opened together."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

from sqlalchemy.orm import Session

from tracker.errors import StoreError
from tracker.store import database
from tracker.store.blobs import BlobStore
from tracker.store.description import make_folders
from tracker.store.layout import Layout


class Store:
    """An open store. Reading and writing go through short transactions.

    Args:
        root: The store's folder; made when absent, unless ``create`` is False.
        create: Whether a new store may be made.

    Raises:
        StoreError: There is no store and ``create`` is False, or the folder cannot be used.
        StoreVersionError: A newer tracker wrote it; nothing was changed.
    """

    def __init__(self, root: str | os.PathLike[str], *, create: bool = True) -> None:
        self.layout = Layout(root)
        if not create and not self.layout.description.is_file():
            raise StoreError(
                f"there is no store at {self.layout.root}: log a run there first, or name another folder"
            )
        make_folders(self.layout)
        self.blobs = BlobStore(self.layout)
        self._engine = database.open_engine(self.layout.catalog)
        database.migrate(self._engine, self.layout.locks / "catalog.lock")

    @property
    def root(self) -> Path:
        """The store's folder."""
        return self.layout.root

    def reading(self) -> AbstractContextManager[Session]:
        """Open a read transaction: one consistent view."""
        return database.transaction(self._engine, write=False)

    def writing(self) -> AbstractContextManager[Session]:
        """Open the one write transaction that may run at a time."""
        return database.transaction(self._engine, write=True)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()
