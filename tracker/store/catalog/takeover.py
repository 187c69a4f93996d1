"""Copying a catalog whose holder may wake up at any moment, and checking the copy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracker.errors import StoreError
from tracker.ground.group_files import share
from tracker.ground.terminal import say
from tracker.store.catalog.sqlite import find_damage
from tracker.store.objects.atomic_files import sync_file, sync_folder

# A former holder that has woken up ends at once; a transaction that it was in may still be written.
ATTEMPTS = 5
_LOG = "-wal"


def require_room(source: Path, folder: Path) -> None:
    """Check that a copy of a catalog and its log has room in a folder.

    Raises:
        StoreError: It has none.
    """
    size = sum(state[0] for state in _state(source) if state is not None)
    free = shutil.disk_usage(folder).free
    if free < size:
        raise StoreError(
            f"cannot take over {source}: its copy needs {size} bytes and {folder} has {free} free"
        )


def copy_catalog(source: Path, target: Path) -> Path | None:
    """Copy a catalog and its write-ahead log to a new name, and check every page of the copy.

    Returns:
        None, or where the copy was moved because it is damaged: there is no ``target`` then.

    Raises:
        StoreError: The source changes all the time.
        OSError: It cannot be copied.
    """
    for _ in range(ATTEMPTS):
        before = _state(source)
        _copy(source.with_name(source.name + _LOG), target.with_name(target.name + _LOG))
        _copy(source, target)
        if _state(source) == before:
            break
    else:
        raise StoreError(f"{source} is written while it is copied: stop the process that writes it")
    found = find_damage(target)
    if found is None:
        sync_file(target)
        sync_folder(target.parent)
        return None
    broken = target.with_name(f"{target.name}.broken")
    os.replace(target, broken)
    target.with_name(target.name + _LOG).unlink(missing_ok=True)
    target.with_name(target.name + "-shm").unlink(missing_ok=True)
    say(f"the copy of {source} is damaged ({found}) and kept as {broken}")
    return broken


def _copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    with _second_name(source) as again:
        if again is not None:
            shutil.copyfile(again, target)
            share(target)


def _state(source: Path) -> list[tuple[int, int] | None]:
    found: list[tuple[int, int] | None] = []
    for path in (source, source.with_name(source.name + _LOG)):
        with _second_name(path) as again:
            state = None if again is None else again.stat()
        found.append(None if state is None else (state.st_size, state.st_mtime_ns))
    return found


@contextmanager
def _second_name(path: Path) -> Iterator[Path | None]:
    """Give a file a second name for a moment: a network client may remember the size under the first.

    None when there is no such file: a catalog that was closed has no log.
    """
    again = path.with_name(f"{path.name}.{os.urandom(4).hex()}")
    try:
        os.link(path, again)
    except FileNotFoundError:
        yield None
        return
    try:
        yield again
    finally:
        again.unlink()
