"""Opening a store's catalog: new, old, or lost; and having it alone, to exchange it.

All processes that have the store open share one lock, and their host's lease on the catalog
(``tracker.store.catalog.lease``). A catalog that is gone while published files tell of runs is never begun
empty, as its first run file would then replace one that says more: it is rebuilt.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, select

from tracker.errors import StoreError
from tracker.ground.terminal import say
from tracker.store.catalog import database
from tracker.store.catalog.lease import held_elsewhere, refusal
from tracker.store.catalog.lease_holder import Hold, Opened, hold_catalog
from tracker.store.catalog.locks import FileLock, is_held
from tracker.store.catalog.migrations import REVISION
from tracker.store.catalog.models import ArtifactUse, Run
from tracker.store.catalog.sqlite import open_engine
from tracker.store.objects.layout import Layout
from tracker.store.published.runs import publish_run
from tracker.store.recovery.rebuild import rebuild

# Others who open the store at this moment let go at once; who still has it open then is at work.
PATIENCE_SECONDS = 10.0
_LOOK_SECONDS = 0.05


def open_catalog(layout: Layout, *, takes_over: bool = True) -> Opened:
    """Open a store's catalog.

    Args:
        layout: The store.
        takes_over: Whether to take the catalog over from a host that is silent; that takes time to find out.

    Raises:
        HeldElsewhereError: Another host holds the catalog.
        StoreError: It cannot be opened, or is gone while another program uses it.
        StoreVersionError: A newer tracker made it.
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
def alone(layout: Layout) -> Iterator[Hold]:
    """Have the store alone; whoever opens it meanwhile waits. Yield the lease on its catalog.

    Raises:
        StoreError: Somebody has it open, or another host holds its catalog.
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
    """Return an engine on the catalog; None when it is not there, or nobody has made its tables."""
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
    """Whether there is no catalog where there should be one."""
    engine = _open_filled(catalog)
    if engine is not None:
        engine.dispose()
        return False
    return _has_published(layout)


def _has_published(layout: Layout) -> bool:
    return any(True for _ in layout.run_files()) or any(True for _ in layout.version_files())


def _restore(layout: Layout, lock: FileLock, hold: Hold) -> list[Path]:
    """Rebuild a lost catalog; of several processes that find it lost, one does.

    Returns:
        The parts that the rebuild forgot. While there are any, the lock stays held alone.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _is_lost(layout, hold.catalog):
        if lock.try_exclusive():
            forgotten = _rebuild_aloud(layout, hold) if _is_lost(layout, hold.catalog) else []
            if not forgotten:
                lock.free()
            return forgotten
        if not lock.try_share():
            lock.share()  # somebody rebuilds it now: wait
        lock.free()
        if time.monotonic() > deadline:
            raise StoreError(
                f"{hold.catalog} is gone while another program has the store open: {_user(layout)}; "
                "the catalog is then rebuilt from the published files"
            )
        time.sleep(_LOOK_SECONDS)
    return []


def _rebuild_aloud(layout: Layout, hold: Hold) -> list[Path]:
    """Rebuild a lost catalog and say so; return the parts that were forgotten."""
    found = rebuild(layout, hold, asked=False)
    keys = "" if found.keys is not None else "; API keys come from backup or `tracker key`"
    say(
        f"{hold.catalog} was gone: rebuilt from published files ({found.runs} runs, "
        f"{found.versions} artifact versions){keys}"
    )
    for line in found.broken:
        say(line)
    return found.forgotten


def _publish_uses(layout: Layout, engine: Engine) -> None:
    """Publish what run files of an earlier catalog revision lacked: which artifacts the run used."""
    with database.transaction(engine, write=True) as session:
        for run in session.scalars(select(Run).where(Run.id.in_(select(ArtifactUse.run_id)))):
            publish_run(layout, session, run)
