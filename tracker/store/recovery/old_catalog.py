"""The catalog that a rebuild replaces: what only it knows is read from it, then it makes room.

SQLite keeps a log beside a database. A new database beside an old log is damaged, so the old log is
folded into the old database first, or moved away together with it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from tracker.errors import StoreError
from tracker.store.catalog.database import check_revision
from tracker.store.catalog.sqlite import FOLD, is_busy
from tracker.store.objects.atomic_files import sync_folder
from tracker.store.objects.layout import Layout
from tracker.store.recovery.missing_files import KnownFile, known_files

# A process that ends may close its connections a moment after it lets go of the store's lock.
PATIENCE_SECONDS = 2.0
LOGS = ("-wal", "-shm")


class OldCatalog(NamedTuple):
    """What a former catalog says that published files may not.

    Attributes:
        keys: Hashes of API keys, and when they were made; None when they cannot be read.
        clock: The store's revision.
        folded: Whether it is one whole file now.
        files: The published files that it can describe.
        sequences: How many records of each unsealed segment it has.
    """

    keys: list[tuple[str, float]] | None = None
    clock: int = 0
    folded: bool = False
    files: dict[Path, KnownFile] = {}
    sequences: dict[str, int] = {}


def read_old_catalog(layout: Layout, catalog: Path) -> OldCatalog | None:
    """Read what can be read of a former catalog, and fold its log into it; None when there is none.

    Raises:
        StoreVersionError: A newer tracker made it; nothing was changed.
        StoreError: Some program has it open.
    """
    if not catalog.is_file():
        return None
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return _read_former(layout, catalog)
        except sqlite3.OperationalError as error:
            if time.monotonic() > deadline:
                raise StoreError(
                    f"{catalog} is in use by another program ({error}): stop it, then try again"
                ) from error
            time.sleep(0.05)


def _read_former(layout: Layout, catalog: Path) -> OldCatalog:
    with closing(sqlite3.connect(catalog, timeout=1, isolation_level=None)) as connection:
        for (found,) in _read(connection, "SELECT version_num FROM alembic_version") or []:
            check_revision(found, str(catalog))
        keys = _read(connection, "SELECT sha256, created_at FROM api_keys ORDER BY id")
        clock = _read(connection, "SELECT revision FROM clock")
        files = known_files(layout, connection)
        unsealed = "SELECT segment, sequence FROM segments WHERE NOT sealed AND run_id IS NOT NULL"
        sequences = dict(_read(connection, unsealed) or [])
        # Fails while another connection is open; leaves no log behind.
        folded = _read(connection, FOLD) == [("delete",)]
        return OldCatalog(keys, clock[0][0] if clock else 0, folded, files, sequences)


def _read(connection: sqlite3.Connection, query: str) -> list[Any] | None:
    """Return what a query finds; None when the catalog is damaged there, or lacks the table."""
    try:
        return connection.execute(query).fetchall()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and is_busy(error):
            raise
        return None


def install(catalog: Path, new: Path, former: OldCatalog | None) -> Path | None:
    """Put a new catalog in the place of the former one; return where a damaged one was kept.

    A crash in between leaves the former one, the new one, or none; the next opener rebuilds it then.
    """
    kept: Path | None = None
    if former is None or not former.folded:
        if catalog.exists():
            kept = catalog.with_name(catalog.name + ".broken")
            os.replace(catalog, kept)
        for ending in LOGS:
            log = catalog.with_name(catalog.name + ending)
            if log.exists():
                if kept is not None:
                    os.replace(log, kept.with_name(kept.name + ending))
                else:
                    log.unlink()
        sync_folder(catalog.parent)
    os.replace(new, catalog)
    sync_folder(catalog.parent)
    return kept
