"""The former catalog, which a rebuild reads and then replaces.

SQLite keeps a write-ahead log next to a database. A new database next to an old log would be damaged. So the
old log is first folded into the old database, or moved away together with it.
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

# An ending process may close its connections a moment after it releases the store's lock.
PATIENCE_SECONDS = 2.0
LOGS = ("-wal", "-shm")


class OldCatalog(NamedTuple):
    """The content of a former catalog that published files may lack.

    Attributes:
        keys: The hash and the creation time of each API key; None if they cannot be read.
        clock: The store's revision.
        folded: Whether the log is folded into the database, which is then one whole file.
        files: The published files whose content the catalog has.
        sequences: The number of applied records of each unsealed segment.
    """

    keys: list[tuple[str, float]] | None = None
    clock: int = 0
    folded: bool = False
    files: dict[Path, KnownFile] = {}
    sequences: dict[str, int] = {}


def read_old_catalog(layout: Layout, catalog: Path) -> OldCatalog | None:
    """Read a former catalog as far as possible, and fold its log into it.

    Returns:
        The content; None if there is no catalog.

    Raises:
        StoreVersionError: A newer tracker made the catalog. Nothing was changed.
        StoreError: Another program has the catalog open.
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
        # This fails while another connection is open. After it, there is no log.
        folded = _read(connection, FOLD) == [("delete",)]
        return OldCatalog(keys, clock[0][0] if clock else 0, folded, files, sequences)


def _read(connection: sqlite3.Connection, query: str) -> list[Any] | None:
    """Return the rows of a query; None if this part of the catalog is damaged, or the table is missing."""
    try:
        return connection.execute(query).fetchall()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and is_busy(error):
            raise
        return None


def install(catalog: Path, new: Path, former: OldCatalog | None) -> Path | None:
    """Replace the former catalog with a new one.

    A crash leaves the former catalog, the new one, or none. In the last case, the next process that opens the
    store rebuilds the catalog.

    Args:
        catalog: The path of the catalog.
        new: The file of the new catalog.
        former: The content of the former catalog. If there is none, or if it is not folded, the file of the
            former catalog is kept.

    Returns:
        The path under which a damaged former catalog was kept; None if none was kept.
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
