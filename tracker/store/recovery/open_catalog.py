"""Opening a store's catalog: an existing, a new or a lost one; and opening a store exclusively.

All processes that have the store open share one lock, and their host's lease on the catalog
(``tracker.store.catalog.lease``). If the catalog is missing and published files exist, the catalog is
rebuilt. It is never started empty then, because the first run file that it publishes would replace a more
complete one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from tracker.errors import StoreError
from tracker.ground.terminal import say
from tracker.store.catalog import database
from tracker.store.catalog.lease import held_elsewhere, refusal
from tracker.store.catalog.lease_holder import Hold, Opened, hold_catalog
from tracker.store.catalog.locks import FileLock, is_held
from tracker.store.catalog.migrations import REVISION
from tracker.store.catalog.models import ApiKey, ArtifactUse, PrivateProject, Run, User
from tracker.store.catalog.sqlite import open_engine
from tracker.store.ingest.people import replace_people, save_people
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import is_marked_with_people
from tracker.store.published.people import lost_people, read_people
from tracker.store.published.runs import publish_run
from tracker.store.recovery.rebuild import rebuild

# A process that opens the store at the same moment releases the lock soon. A process that still holds the
# lock after this time is using the store.
PATIENCE_SECONDS = 10.0
_LOOK_SECONDS = 0.05


def open_catalog(layout: Layout, *, takes_over: bool = True) -> Opened:
    """Open a store's catalog.

    Args:
        layout: The store.
        takes_over: Whether to take the catalog over from a host that is silent. It takes time to find out
            whether a host is silent.

    Raises:
        HeldElsewhereError: Another host holds the catalog.
        StoreError: The catalog cannot be opened, or is gone while another program uses the store, or is lost
            together with the users.
        StoreVersionError: A newer tracker made the catalog.
    """
    lock = _open_lock(layout)
    hold: Hold | None = None
    forgotten: list[Path] = []
    try:
        lock.share()
        hold = hold_catalog(layout, takes_over=takes_over)
        while (opened := _open_filled(hold.catalog)) is None and _has_published(layout):
            lock.free()
            forgotten = _restore(layout, lock, hold)
            if not forgotten:
                lock.share()
        engine = opened or open_engine(hold.catalog)
        try:
            found = database.migrate(engine, layout.locks / "catalog.lock")
            if found not in (None, REVISION):
                _publish_uses(layout, engine)
            _match_people(layout, engine, hold)
        except BaseException:
            engine.dispose()
            raise
    except BaseException:
        if hold is not None:
            hold.release()
        lock.close()
        raise
    return Opened(engine, hold, lock, forgotten)


@contextmanager
def hold_exclusively(layout: Layout) -> Iterator[Hold]:
    """Hold the store exclusively, and yield the lease on its catalog. Processes that open the store wait.

    Raises:
        StoreError: Another process has the store open, or another host holds the catalog.
    """
    lock = _open_lock(layout)
    try:
        if not lock.try_exclusive():
            if (holder := held_elsewhere(layout)) is not None:  # a network file system may share locks
                raise refusal(layout, holder)
            raise StoreError(f"{layout.root} is in use: {_user(layout)}, then try again")
        hold = hold_catalog(layout)
        try:
            yield hold
        finally:
            hold.release()
    finally:
        lock.close()


def _open_lock(layout: Layout) -> FileLock:
    try:
        return FileLock(layout.store_lock)
    except OSError as error:
        raise StoreError(f"cannot open {layout.store_lock}: {error.strerror or error}") from error


def _user(layout: Layout) -> str:
    if any(is_held(path) for path in layout.recorder_locks()):
        return "a recorder follows a run; wait until the run has ended and a few seconds more"
    return "a server or another program has it open; stop it"


def _open_filled(catalog: Path) -> Engine | None:
    """Return an engine for the catalog; None if the file is missing or has no tables."""
    if not catalog.is_file():
        return None
    engine = open_engine(catalog)
    try:
        if database.revision_of(engine) is not None:
            return engine
    except BaseException:
        engine.dispose()
        raise
    engine.dispose()
    return None


def _is_lost(layout: Layout, catalog: Path) -> bool:
    """Return whether the catalog is missing although the store has published files."""
    engine = _open_filled(catalog)
    if engine is not None:
        engine.dispose()
        return False
    return _has_published(layout)


def _has_published(layout: Layout) -> bool:
    if layout.people.exists() or is_marked_with_people(layout):
        return True
    return any(True for _ in layout.run_files()) or any(True for _ in layout.version_files())


def _restore(layout: Layout, lock: FileLock, hold: Hold) -> list[Path]:
    """Rebuild a lost catalog. If several processes find it lost, one of them rebuilds it and the others wait.

    Returns:
        The parts that the rebuild forgot. If there are any, the lock stays exclusive.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _is_lost(layout, hold.catalog):
        if lock.try_exclusive():
            forgotten = _rebuild_with_message(layout, hold) if _is_lost(layout, hold.catalog) else []
            if not forgotten:
                lock.free()
            return forgotten
        if not lock.try_share():
            lock.share()  # another process is rebuilding the catalog: wait
        lock.free()
        if time.monotonic() > deadline:
            raise StoreError(
                f"{hold.catalog} is gone while another program has the store open: {_user(layout)}; "
                "the catalog is then rebuilt from the published files"
            )
        time.sleep(_LOOK_SECONDS)
    return []


def _rebuild_with_message(layout: Layout, hold: Hold) -> list[Path]:
    """Rebuild a lost catalog and print the result; return the parts that were forgotten."""
    found = rebuild(layout, hold, requested=False)
    keys = "; API keys are lost: restore a backup, or make a new key with `tracker key`"
    if found.keys is not None:
        keys = f", {found.users} users and {found.keys} API keys" if found.keys else ""
        keys += "; the audit log is lost" if found.users and not found.audited else ""
    say(
        f"{hold.catalog} was gone: rebuilt from published files ({found.runs} runs, "
        f"{found.versions} artifact versions){keys}"
    )
    for line in found.broken:
        say(line)
    return found.forgotten


def _match_people(layout: Layout, engine: Engine, hold: Hold) -> None:
    """Publish ``people.json`` if it is missing, or read it if the catalog lacks the users in it.

    An older tracker, which did not write the file, may have made the keys. A catalog without the users is an
    old backup, or the process that added the first user was killed.

    Raises:
        StoreError: The store has users, but neither the catalog nor ``people.json`` has them.
    """
    published, marked = layout.people.exists(), is_marked_with_people(layout)
    if published and not marked:
        return
    with database.transaction(engine, write=False) as session:
        known = _has_any(session, User.id, PrivateProject.project)
        has_keys = _has_any(session, ApiKey.id)
    if (known and published) or not (known or marked or has_keys):
        return
    with database.transaction(engine, write=True, check=hold.check) as session:
        if known or not marked:
            save_people(layout, session)
            return
        people = read_people(layout)
        if people is None:
            raise StoreError(lost_people(layout))
        replace_people(session, people)


def _has_any(session: Session, *columns: InstrumentedAttribute[Any]) -> bool:
    return any(session.scalar(select(column).limit(1)) is not None for column in columns)


def _publish_uses(layout: Layout, engine: Engine) -> None:
    """Publish the run files again that lack the artifacts that the run used, as older trackers wrote them."""
    with database.transaction(engine, write=True) as session:
        for run in session.scalars(select(Run).where(Run.id.in_(select(ArtifactUse.run_id)))):
            publish_run(layout, session, run)
