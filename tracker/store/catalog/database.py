"""Transactions and migrations of a catalog."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.orm import Session

from tracker.errors import StoreError, StoreVersionError
from tracker.ground.group_files import create
from tracker.store.catalog.migrations import REVISION, REVISIONS
from tracker.store.catalog.models import Base
from tracker.store.catalog.revision_cache import RevisionCache
from tracker.store.catalog.sqlite import RowReading


@contextmanager
def transaction(
    engine: Engine,
    *,
    write: bool,
    check: Callable[[], None] | None = None,
    cache: RevisionCache | None = None,
) -> Iterator[Session]:
    """Open a session in a transaction. An error rolls back a write transaction, otherwise it is committed.

    Args:
        engine: Engine of the catalog.
        write: Whether to take the write lock.
        check: Raises if this host does not hold the catalog any more. ``check_lease`` calls this function.
        cache: The results of queries that a read transaction can use.

    Raises:
        StoreError: The catalog is damaged, or cannot be read or written.
    """
    try:
        with (
            Session(
                engine.execution_options(write=True) if write else engine,
                expire_on_commit=False,
                info={"check": check, "cache": cache},
            ) as session,
            session.begin() if write else nullcontext(),
        ):
            yield session
    except IntegrityError:
        raise  # an error of the caller, or a race that the caller handles
    except DatabaseError as error:
        raise _store_error(engine, error) from error


@contextmanager
def row_transaction(engine: Engine, cache: RevisionCache) -> Iterator[RowReading]:
    """Open a read transaction for ``read_rows`` only. It takes a tenth of the time of a session.

    Args:
        engine: Engine of the catalog.
        cache: The results of queries that the transaction can use.

    Raises:
        StoreError: The catalog is damaged, or cannot be read.
    """
    try:
        with engine.connect() as connection:  # the pool rolls the transaction back
            driver: Any = connection.connection.driver_connection
            driver.execute("BEGIN")
            yield RowReading({"driver": driver, "cache": cache})
    except DatabaseError as error:
        raise _store_error(engine, error) from error


def check_lease(session: Session) -> None:
    """Check that this host still holds the catalog. Call this before publishing a file in a transaction.

    Raises:
        HeldElsewhereError: Another host has taken over the catalog.
    """
    check = session.info.get("check")
    if check is not None:
        check()


def migrate(engine: Engine, lock: Path) -> str | None:
    """Create the tables of a new catalog, or migrate a catalog to the revision of this code.

    Args:
        engine: Engine of the catalog.
        lock: Path of a lock file, which serializes migrations.

    Returns:
        The previous revision; None for a new catalog.

    Raises:
        StoreVersionError: A newer tracker wrote the catalog. The catalog is not changed.
    """
    if revision_of(engine) == REVISION:
        return REVISION
    with open(lock, "a", opener=create) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # several processes may open a new store at the same time
        found = revision_of(engine)
        if found == REVISION:
            return found
        if found is None:
            _create(engine)
        else:
            check_revision(found, str(engine.url.database))
            _upgrade(engine)
        return found


def check_revision(found: str, catalog: str) -> None:
    """Check that this code knows the revision of a catalog.

    Args:
        found: The revision.
        catalog: Path of the catalog, for the error message.

    Raises:
        StoreVersionError: A newer tracker wrote the catalog.
    """
    if found not in REVISIONS:
        raise StoreVersionError(
            f"{catalog} was made by a newer tracker (catalog revision {found}, this tracker "
            f"knows up to {REVISION}): upgrade airgap-tracker to open it. Nothing was changed."
        )


def revision_of(engine: Engine) -> str | None:
    """Return the revision of a catalog; None if the catalog has no tables yet.

    Raises:
        StoreError: The catalog cannot be read.
    """
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except DatabaseError as error:
        raise _store_error(engine, error) from error


def _store_error(engine: Engine, error: DatabaseError) -> StoreError:
    message = f"catalog {engine.url.database}: {error.orig}"
    if type(error) is DatabaseError:  # not a subclass: the file is damaged or not a database
        message += "; `tracker rebuild` makes a new catalog from the published files and journals"
    return StoreError(message)


def _create(engine: Engine) -> None:
    """Create the tables of a new catalog in one transaction."""
    with engine.execution_options(write=True).begin() as connection:
        Base.metadata.create_all(connection)
        # The table of Alembic: the next migration starts from this revision.
        connection.execute(
            text(
                "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
                "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
            )
        )
        connection.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": REVISION})


def _upgrade(engine: Engine) -> None:
    # Importing Alembic takes 150 ms of CPU time; only a catalog of an older revision needs it.
    from alembic import command
    from alembic.config import Config

    from tracker.store.catalog.run_index import refresh_all_fields

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes.update(
        engine=engine.execution_options(write=True), metadata=Base.metadata, refresh=refresh_all_fields
    )
    command.upgrade(config, "head")
