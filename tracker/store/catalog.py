"""Opening a store's catalog: new, old, or lost; and having it alone, to exchange it.

Everybody who has the store open shares one lock. A catalog that is gone while published files tell of
runs is never begun empty, as its first run file would then replace one that says more: it is rebuilt.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, select

from tracker.errors import StoreError
from tracker.store import database
from tracker.store.layout import Layout
from tracker.store.locks import FileLock, is_held
from tracker.store.migrations import REVISION
from tracker.store.models import ArtifactUse, Run
from tracker.store.published import publish_run
from tracker.store.rebuild import rebuild
from tracker.terminal import say

# Others who open the store at this moment let go at once; who still has it open then is at work.
PATIENCE_SECONDS = 10.0
_LOOK_SECONDS = 0.05


def open_catalog(layout: Layout) -> tuple[Engine, FileLock, list[Path]]:
    """Return an engine on a store's catalog, the lock that is shared while it is used, and forgotten parts.

    There are such parts (``Rebuilt.forgotten``) only where the catalog was lost and this call has rebuilt
    it. The lock is then held alone: the caller salvages their rows, before anybody seals, and shares it.

    Raises:
        StoreError: It cannot be opened, or is gone while another program uses it.
        StoreVersionError: A newer tracker made it.
    """
    lock = _open_lock(layout)
    forgotten: list[Path] = []
    try:
        lock.share()
        while (opened := _open_filled(layout)) is None and _has_published(layout):
            lock.free()
            forgotten = _restore(layout, lock)
            if not forgotten:
                lock.share()
        engine = opened or database.open_engine(layout.catalog)
        try:
            found = database.migrate(engine, layout.locks / "catalog.lock")
            if found not in (None, REVISION):
                _publish_uses(layout, engine)
        except BaseException:
            engine.dispose()
            raise
    except BaseException:
        lock.close()
        raise
    return engine, lock, forgotten


@contextmanager
def alone(layout: Layout) -> Iterator[None]:
    """Have the store alone; whoever opens it meanwhile waits.

    Raises:
        StoreError: Somebody has it open.
    """
    lock = _open_lock(layout)
    try:
        if not lock.try_alone():
            raise StoreError(f"{layout.root} is in use: {_user(layout)}, then try again")
        yield
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


def _open_filled(layout: Layout) -> Engine | None:
    """Return an engine on the catalog; None when it is not there, or nobody has made its tables."""
    if not layout.catalog.is_file():
        return None
    engine = database.open_engine(layout.catalog)
    try:
        if database.revision_of(engine) is not None:
            return engine
    except BaseException:
        engine.dispose()
        raise
    engine.dispose()
    return None


def _is_lost(layout: Layout) -> bool:
    """Whether there is no catalog where there should be one."""
    engine = _open_filled(layout)
    if engine is not None:
        engine.dispose()
        return False
    return _has_published(layout)


def _has_published(layout: Layout) -> bool:
    return any(True for _ in layout.run_files()) or any(True for _ in layout.version_files())


def _restore(layout: Layout, lock: FileLock) -> list[Path]:
    """Rebuild a lost catalog; of several processes that find it lost, one does.

    Returns:
        The parts that the rebuild forgot. While there are any, the lock stays held alone.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _is_lost(layout):
        if lock.try_alone():
            forgotten = _rebuild_aloud(layout) if _is_lost(layout) else []
            if not forgotten:
                lock.free()
            return forgotten
        if not lock.try_share():
            lock.share()  # somebody rebuilds it now: wait
        lock.free()
        if time.monotonic() > deadline:
            raise StoreError(
                f"{layout.catalog} is gone while another program has the store open: {_user(layout)}; "
                "the catalog is then rebuilt from the published files"
            )
        time.sleep(_LOOK_SECONDS)
    return []


def _rebuild_aloud(layout: Layout) -> list[Path]:
    """Rebuild a lost catalog and say so; return the parts that were forgotten."""
    found = rebuild(layout)
    say(
        f"{layout.catalog} was gone: rebuilt from published files ({found.runs} runs, "
        f"{found.versions} artifact versions); API keys come from backup or `tracker key`"
    )
    for line in found.broken:
        say(line)
    return found.forgotten


def _publish_uses(layout: Layout, engine: Engine) -> None:
    """Publish what run files of an earlier catalog revision lacked: which artifacts the run used."""
    with database.transaction(engine, write=True) as session:
        for run in session.scalars(select(Run).where(Run.id.in_(select(ArtifactUse.run_id)))):
            publish_run(layout, session, run)
