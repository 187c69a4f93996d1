"""A catalog's transactions and migrations."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.orm import Session

from tracker.errors import StoreError, StoreVersionError
from tracker.ground.group_files import create
from tracker.store.catalog.migrations import REVISION, REVISIONS
from tracker.store.catalog.models import Base


@contextmanager
def transaction(engine: Engine, *, write: bool, check: Callable[[], None] | None = None) -> Iterator[Session]:
    """Open a session in one transaction; a write is committed at the end, or rolled back by an error.

    Args:
        engine: The catalog.
        write: Whether to take the write lock.
        check: Raises when nothing may be published; ``check_lease`` calls it.
    """
    try:
        with (
            Session(
                engine.execution_options(write=write), expire_on_commit=False, info={"check": check}
            ) as session,
            session.begin(),
        ):
            yield session
    except IntegrityError:
        raise  # the caller's own doing, or a race that it knows of
    except DatabaseError as error:
        raise _refusal(engine, error) from error


def check_lease(session: Session) -> None:
    """Raise when another host has taken the catalog over: what this transaction knows must not be published.

    Raises:
        HeldElsewhereError: It has.
    """
    check = session.info.get("check")
    if check is not None:
        check()


def migrate(engine: Engine, lock: Path) -> str | None:
    """Bring the catalog to this code's revision; a catalog of a newer one is refused, untouched.

    Returns:
        The revision that it had; None when it was new.

    Raises:
        StoreVersionError: A newer tracker made it.
    """
    if revision_of(engine) == REVISION:
        return REVISION
    with open(lock, "a", opener=create) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # several processes may find a new store at once
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
    """Refuse a catalog of a revision that this code does not know.

    Raises:
        StoreVersionError: A newer tracker made it.
    """
    if found not in REVISIONS:
        raise StoreVersionError(
            f"{catalog} was made by a newer tracker (catalog revision {found}, this one "
            f"knows up to {REVISION}): upgrade airgap-tracker to open it. Nothing was changed."
        )


def revision_of(engine: Engine) -> str | None:
    """Return a catalog's revision; None while nobody has made its tables.

    Raises:
        StoreError: It cannot be read.
    """
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except DatabaseError as error:
        raise _refusal(engine, error) from error


def _refusal(engine: Engine, error: DatabaseError) -> StoreError:
    said = f"catalog {engine.url.database}: {error.orig}"
    if type(error) is DatabaseError:  # no kind of its own: damaged, or not a database
        said += "; `tracker rebuild` makes a new one from the published files and journals beside it"
    return StoreError(said)


def _create(engine: Engine) -> None:
    """Make the tables of a new catalog as the models describe them, in one transaction."""
    with engine.execution_options(write=True).begin() as connection:
        Base.metadata.create_all(connection)
        # Alembic's own table: the next upgrade starts from this revision.
        connection.execute(
            text(
                "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
                "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
            )
        )
        connection.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": REVISION})


def _upgrade(engine: Engine) -> None:
    # Importing Alembic costs 150 ms of CPU; only a catalog of an older revision needs it.
    from alembic import command
    from alembic.config import Config

    from tracker.store.catalog.run_index import refresh_all_fields

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes.update(
        engine=engine.execution_options(write=True), metadata=Base.metadata, refresh=refresh_all_fields
    )
    command.upgrade(config, "head")
