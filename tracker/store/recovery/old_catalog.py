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

import msgspec
from sqlalchemy import insert
from sqlalchemy.orm import Session

from tracker.errors import StoreError
from tracker.store.catalog.database import check_revision
from tracker.store.catalog.models import AuditEntry
from tracker.store.catalog.sqlite import FOLD, is_busy
from tracker.store.objects.atomic_files import sync_folder
from tracker.store.objects.layout import Layout
from tracker.store.published.models import FORMAT
from tracker.store.published.people import (
    PublishedKey,
    PublishedMember,
    PublishedPeople,
    PublishedPrivateProject,
    PublishedUser,
)
from tracker.store.recovery.missing_files import KnownFile, known_files

# An ending process may close its connections a moment after it releases the store's lock.
PATIENCE_SECONDS = 2.0
LOGS = ("-wal", "-shm")
_AUDIT_ROWS = 10_000
_PEOPLE: tuple[tuple[str, type[msgspec.Struct]], ...] = (
    ("users", PublishedUser),
    ("memberships", PublishedMember),
    ("private_projects", PublishedPrivateProject),
    ("api_keys", PublishedKey),
)


class OldCatalog(NamedTuple):
    """The content of a former catalog that published files may lack.

    Attributes:
        people: Users, roles, private projects and API keys; None if they cannot be read.
        last_uses: The time of the last use of API keys, by the SHA-256 of the key.
        clock: The store's revision.
        folded: Whether the log is folded into the database, which is then one whole file.
        files: The published files whose content the catalog has.
        sequences: The number of applied records of each unsealed segment.
    """

    people: PublishedPeople | None = None
    last_uses: dict[str, float] = {}
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
        people = _read_people(connection)
        uses = "SELECT sha256, last_used_at FROM api_keys WHERE last_used_at IS NOT NULL"
        last_uses = dict(_read(connection, uses) or [])
        clock = _read(connection, "SELECT revision FROM clock")
        files = known_files(layout, connection)
        unsealed = "SELECT segment, sequence FROM segments WHERE NOT sealed AND run_id IS NOT NULL"
        sequences = dict(_read(connection, unsealed) or [])
        # This fails while another connection is open. After it, there is no log.
        folded = _read(connection, FOLD) == [("delete",)]
        return OldCatalog(people, last_uses, clock[0][0] if clock else 0, folded, files, sequences)


def _read_people(connection: sqlite3.Connection) -> PublishedPeople | None:
    """Return the users, roles, private projects and keys; None if one of them cannot be read."""
    has_users = _read(connection, "SELECT 1 FROM sqlite_master WHERE name = 'users'")
    if has_users == []:  # an older revision: its keys have only these columns
        keys = _read(connection, "SELECT id, sha256, created_at FROM api_keys ORDER BY id")
        if keys is None:
            return None
        return PublishedPeople(FORMAT, [], [], [], [PublishedKey(*key) for key in keys])
    found: list[list[Any]] = []
    for table, kind in _PEOPLE:
        names = kind.__struct_fields__
        rows = _read(connection, f"SELECT {', '.join(names)} FROM {table} ORDER BY 1, 2")
        if rows is None:
            return None
        plain = [dict(zip(names, row, strict=True)) for row in rows]
        for each in plain:
            each.update({name: bool(cell) for name, cell in each.items() if name.startswith("is_")})
        try:
            found.append(msgspec.convert(plain, list[kind]))  # type: ignore[valid-type]
        except ValueError:
            return None
    return PublishedPeople(FORMAT, *found)


def copy_audit_log(catalog: Path, session: Session) -> bool:
    """Copy the audit log of a former catalog; return whether it could be read completely."""
    names = [column.name for column in AuditEntry.__table__.columns]
    try:
        with closing(sqlite3.connect(f"{catalog.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            cursor = connection.execute(f"SELECT {', '.join(names)} FROM audit_log ORDER BY id")
            while rows := cursor.fetchmany(_AUDIT_ROWS):
                session.execute(insert(AuditEntry), [dict(zip(names, row, strict=True)) for row in rows])
    except sqlite3.DatabaseError:
        return False
    return True


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
