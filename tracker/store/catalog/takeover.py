"""Takeover of a catalog: copies and checks a catalog whose former holder may wake up at any time."""

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

# A former holder that wakes up stops after its current transaction, so few attempts are enough.
ATTEMPTS = 5
_LOG = "-wal"


def require_room(source: Path, folder: Path) -> None:
    """Check that a folder has enough free space for a copy of a catalog and its log.

    Raises:
        StoreError: The disk does not have enough free space.
    """
    size = sum(state[0] for state in _state(source) if state is not None)
    free = shutil.disk_usage(folder).free
    if free < size:
        raise StoreError(
            f"cannot take over {source}: its copy needs {size} bytes, but {folder} has only {free} bytes free"
        )


def copy_catalog(source: Path, target: Path) -> Path | None:
    """Copy a catalog and its write-ahead log, and check every page of the copy.

    Args:
        source: Path of the catalog.
        target: Path of the copy.

    Returns:
        None, or the path of a damaged copy. In that case there is no file ``target``.

    Raises:
        StoreError: The source changed during each attempt.
        OSError: The source cannot be copied.
    """
    for _ in range(ATTEMPTS):
        before = _state(source)
        _copy(source.with_name(source.name + _LOG), target.with_name(target.name + _LOG))
        _copy(source, target)
        if _state(source) == before:
            break
    else:
        raise StoreError(f"cannot copy {source}, because a process is writing to it: stop that process")
    found = find_damage(target)
    if found is None:
        sync_file(target)
        sync_folder(target.parent)
        return None
    broken = target.with_name(f"{target.name}.broken")
    os.replace(target, broken)
    target.with_name(target.name + _LOG).unlink(missing_ok=True)
    target.with_name(target.name + "-shm").unlink(missing_ok=True)
    say(f"the copy of the catalog {source} is damaged ({found}); it is kept as {broken}")
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
    """Yield a temporary hard link to a file, because a network client may cache the size under its name.

    Yield None if the file does not exist: a closed catalog does not have a log.
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
