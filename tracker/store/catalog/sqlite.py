"""Code that is specific to SQLite: connections, locks, integrity checks and statements of its dialect."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sqlalchemy import (
    URL,
    BindParameter,
    ColumnElement,
    Connection,
    Engine,
    SQLColumnExpression,
    create_engine,
    event,
    func,
    select,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tracker.ground import values
from tracker.ground.group_files import create
from tracker.store.catalog.models import Base
from tracker.store.objects.atomic_files import Durability

# Longer than any transaction of tracker. After this time a process hangs, and the user should see an error.
BUSY_SECONDS = 60
# Size in bytes to which SQLite truncates the write-ahead log after a checkpoint.
LARGEST_LOG = 4 * 1024 * 1024
# Size in KiB of the pages of the catalog that a connection keeps. The default of SQLite is a quarter of it.
PAGES_KIB = 8192
# Moves the log into the catalog and removes the log. Fails while another connection is open.
FOLD = "PRAGMA journal_mode=DELETE"


def open_engine(path: Path) -> Engine:
    """Return an engine on the SQLite catalog at ``path``."""
    # SQLite never lets a group write a new catalog, and copies its mode to the log. An existing catalog is
    # not opened here, because closing the file would free the locks of other connections.
    with suppress(OSError):  # SQLite reports a folder that cannot be used
        os.close(create(path, os.O_WRONLY | os.O_EXCL))
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": BUSY_SECONDS},
        pool_use_lifo=True,  # a connection that was just used has the pages of the catalog in its cache
        json_serializer=values.dumps,
        json_deserializer=values.loads,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # `_begin` starts transactions
        # FULL: the commit that seals a segment must be durable before its journals are deleted.
        connection.execute(f"PRAGMA synchronous={'FULL' if Durability.required else 'OFF'}")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA journal_size_limit={LARGEST_LOG}")
        connection.execute(f"PRAGMA cache_size=-{PAGES_KIB}")
        _write_ahead(connection)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A deferred transaction fails at its first write if another process has written since it began.
        if connection.get_execution_options().get("write", False):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:  # it cannot fail, because it does not open the file yet
            driver: Any = connection.connection.driver_connection
            driver.execute("BEGIN")

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch a connection to the write-ahead log.

    The process that closes the catalog last removes the log. Meanwhile SQLite rejects other connections
    without waiting for the timeout, so this function retries.
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
    """Insert rows. If a row with the same key exists, replace some of its columns.

    The rows are passed to the driver directly: through the ORM, 100,000 rows take four times as long.

    Args:
        session: A write transaction.
        table: The table.
        columns: Names of the columns.
        rows: Values of the columns for each row.
        key: The columns that identify a row.
        replaced: The columns to replace in an existing row. Empty: keep the row.
        where: A condition, in SQL, on the existing row. The row is replaced only if the condition holds.
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


class Reading(Protocol):
    """A transaction for ``read_rows``: a session, or a ``RowReading``."""

    @property
    def info(self) -> dict[Any, Any]:
        """The connection of the driver, and the cache."""


class RowReading(NamedTuple):
    """A read transaction without a session of SQLAlchemy, which takes more time than a short query."""

    info: dict[Any, Any]


def read_rows(session: Reading, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
    """Return the rows of a query as tuples of the driver.

    For a short query this takes a tenth of the time of a statement of SQLAlchemy.

    Args:
        session: A transaction.
        sql: The query, with ``?`` for each parameter.
        parameters: Strings, numbers and bools.

    Raises:
        DBAPIError: The query failed. The error is the one that SQLAlchemy raises for its own statements.
    """
    driver: Any = session.info.get("driver")
    if driver is None:
        assert isinstance(session, Session)
        driver = session.info["driver"] = session.connection().connection.driver_connection
    try:
        rows: list[Any] = driver.execute(sql, parameters).fetchall()
        return rows
    except sqlite3.Error as error:
        raise DBAPIError.instance(sql, parameters, error, sqlite3.Error) from error


def among(run_id: SQLColumnExpression[int], ids: Iterable[int] | BindParameter[Any]) -> ColumnElement[bool]:
    """Return the condition that a column of ids has one of ``ids``, which are one parameter in any number.

    Args:
        run_id: The column.
        ids: The ids, or a parameter that gets the result of ``encode_ids``.
    """
    given = ids if isinstance(ids, BindParameter) else encode_ids(ids)
    return run_id.in_(select(func.json_each(given).table_valued("value").c.value))


def encode_ids(ids: Iterable[int]) -> str:
    """Return ids as one parameter for ``among``."""
    return json.dumps(list(ids))


def fold(catalog: Path) -> None:
    """Move the write-ahead log of a catalog into the catalog and remove the log.

    Raises:
        sqlite3.Error: Another connection is open, or the catalog is damaged.
    """
    with closing(sqlite3.connect(catalog, timeout=1)) as connection:
        connection.execute(FOLD)


def find_damage(catalog: Path, check: str = "integrity_check") -> str | None:
    """Check the pages of a catalog and return a description of the damage, or None.

    Closing the last connection also moves the write-ahead log into the catalog.

    Args:
        catalog: Path of the catalog.
        check: The pragma: ``integrity_check``, or ``quick_check``, which does not check indexes.
    """
    try:
        with closing(sqlite3.connect(catalog)) as connection:
            (found,) = connection.execute(f"PRAGMA {check}(1)").fetchone()
    except sqlite3.Error as error:
        return str(error)
    return None if found == "ok" else " ".join(str(found).split())


def is_busy(error: sqlite3.OperationalError) -> bool:
    """Return whether the error is a lock of another connection."""
    code: int | None = getattr(error, "sqlite_errorcode", None)  # not in Python 3.10
    return "locked" in str(error) if code is None else code & 0xFF in (5, 6)  # SQLITE_BUSY, _LOCKED
