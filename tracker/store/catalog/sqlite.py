"""What only SQLite has: connections, locks, checks of its files, statements of its dialect."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.orm import Session

from tracker.ground import values
from tracker.ground.group_files import create, is_shared_by_group
from tracker.store.catalog.models import Base

# Longer than any transaction of ours; past it something is stuck and the user should know.
BUSY_SECONDS = 60
# What the write-ahead log keeps of the disk once its pages are in the catalog.
LARGEST_LOG = 4 * 1024 * 1024
# Makes one file of a catalog and its log; fails while another connection is open.
FOLD = "PRAGMA journal_mode=DELETE"


def open_engine(path: Path) -> Engine:
    """Return an engine on the SQLite catalog at ``path``."""
    if is_shared_by_group(path):
        # SQLite gives its log the mode of the catalog. Not of one that is open: closing would free its locks.
        with suppress(FileExistsError):
            os.close(create(path, os.O_WRONLY | os.O_EXCL))
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": BUSY_SECONDS},
        json_serializer=values.dumps,
        json_deserializer=values.loads,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        # FULL: a commit that says "sealed" must be durable before its journal may go.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA journal_size_limit={LARGEST_LOG}")
        _write_ahead(connection)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A deferred transaction that turns into a writer fails at once when another wrote meanwhile.
        write = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Use a write-ahead log; a process that closes the catalog at this moment is waited for.

    The one that closes last removes the log, and SQLite then refuses others at once, whatever the timeout.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def upsert(
    session: Session,
    table: type[Base],
    columns: tuple[str, ...],
    rows: Iterable[tuple[Any, ...]],
    *,
    key: tuple[str, ...],
    replaced: tuple[str, ...] = (),
    where: str = "",
) -> None:
    """Insert rows; of one that is there already, some columns are replaced.

    The rows go straight to the driver: through the mapping of a table, 100,000 take four times as long.

    Args:
        session: A write transaction.
        table: Where to.
        columns: Names of columns.
        rows: Their values.
        key: The columns that say which row is the same.
        replaced: The columns that are replaced.
        where: A condition on the row that is there.
    """
    conflict = "NOTHING"
    if replaced:
        conflict = f"UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in replaced)}"
    statement = (
        f"INSERT INTO {table.__tablename__} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "
        f"ON CONFLICT ({', '.join(key)}) DO {conflict}{where and f' WHERE {where}'}"
    )
    if given := list(rows):
        session.connection().exec_driver_sql(statement, given)


def fold(catalog: Path) -> None:
    """Fold a catalog's log into it."""
    with closing(sqlite3.connect(catalog, timeout=1)) as connection:
        connection.execute(FOLD)


def find_damage(catalog: Path, check: str = "integrity_check") -> str | None:
    """Fold a catalog's log into it and return what is wrong with it; ``quick_check`` skips the indexes."""
    try:
        with closing(sqlite3.connect(catalog)) as connection:
            (found,) = connection.execute(f"PRAGMA {check}(1)").fetchone()
    except sqlite3.Error as error:
        return str(error)
    return None if found == "ok" else " ".join(str(found).split())


def is_busy(error: sqlite3.OperationalError) -> bool:
    """Whether another connection is in the way."""
    code: int | None = getattr(error, "sqlite_errorcode", None)  # not in Python 3.10
    return "locked" in str(error) if code is None else code & 0xFF in (5, 6)  # SQLITE_BUSY, _LOCKED
