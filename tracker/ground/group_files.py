"""New files and folders of a store that a group shares: its members can use them, whatever their umask.

``store.json`` of such a store has the mode of its folders, ``"group_mode": "2770"``. Its files have the same
rights without execution. In every other store files and folders have the mode that the process gives them.
"""

from __future__ import annotations

import json
import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

# A folder that a group shares: its members may write, and what they make there gets the folder's group.
_SHARED = stat.S_ISGID | stat.S_IWGRP
# Others may read at most, as in the folder that the store is made in.
_KEPT = 0o2775
_FILE = 0o666


class _Store(NamedTuple):
    temporary: str
    mode: int


def mode_of_shared(folder: Path) -> int:
    """Return the mode that folders of a store have that is made in ``folder``; 0 when no group shares it."""
    mode = folder.stat().st_mode
    return mode & _KEPT if mode & _SHARED == _SHARED else 0


def is_of_group(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` is in a store that a group shares."""
    return _store_of(path).mode != 0


def make_folder(folder: Path) -> None:
    """Make a folder in an existing one.

    Raises:
        FileExistsError: It is there.
    """
    temporary, mode = _store_of(folder)
    if mode:
        above = os.path.dirname(temporary) if os.fspath(folder) == temporary else temporary
        make_shared(folder, Path(_new_name(above)), mode)
    else:
        folder.mkdir()


def make_shared(folder: Path, temporary: Path, mode: int) -> None:
    """Make a folder with a mode, under another name first: other members never see it with fewer rights."""
    temporary.mkdir()
    try:
        temporary.chmod(mode)
        os.rename(temporary, folder)  # replaces an empty folder that another process has just made
    except OSError as error:
        temporary.rmdir()
        if os.path.lexists(folder):
            raise FileExistsError(error.errno, "exists", os.fspath(folder)) from None
        raise


def create(path: str | os.PathLike[str], flags: int, mode: int = _FILE) -> int:
    """Open a file as ``os.open`` does, and make it when it is not there; an opener for ``open``.

    Args:
        path: The file.
        flags: Of ``os.open``; ``O_CREAT`` and ``O_CLOEXEC`` are added.
        mode: Of a new file in a store that no group shares.
    """
    flags |= os.O_CREAT | os.O_CLOEXEC
    store = _store_of(path)
    if not store.mode:
        return os.open(path, flags, mode)
    if not flags & os.O_EXCL and os.path.lexists(path):
        return os.open(path, flags & ~os.O_CREAT)
    name = _new_name(store.temporary)  # other members never see the file before its mode is set
    descriptor = os.open(name, flags | os.O_EXCL, 0o600)
    try:
        os.fchmod(descriptor, store.mode & _FILE)
        os.link(name, path)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, FileExistsError) and not flags & os.O_EXCL:
            return os.open(path, flags & ~os.O_CREAT)
        raise
    finally:
        os.unlink(name)
    return descriptor


def touch(path: Path) -> None:
    """Set a file's time to now; make the file when it is not there."""
    os.close(create(path, os.O_WRONLY))
    os.utime(path)


def share(path: Path, descriptor: int | None = None) -> None:
    """Give one of this user's files the group and the mode of its store, if a group shares that.

    Args:
        path: The file.
        descriptor: The file, when it is open.
    """
    store = _store_of(path)
    if not store.mode:
        return
    # Another member may have put a link in the place of the file.
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC) if descriptor is None else descriptor
    try:
        group = path.parent.stat().st_gid
        if os.fstat(opened).st_gid != group:  # made in another store
            os.fchown(opened, -1, group)
        os.fchmod(opened, store.mode & _FILE)
    finally:
        if descriptor is None:
            os.close(opened)


def protect(path: Path, descriptor: int | None = None) -> None:
    """Protect a file that becomes a blob from writing, except in a store that a group shares.

    There a member could not link or touch a blob of another member without the right to write to it.

    Args:
        path: The file; in a store that a group shares, one that ``share`` was called for will do.
        descriptor: The file, when it is open.
    """
    if not is_of_group(path):
        os.chmod(path if descriptor is None else descriptor, 0o444)
    elif descriptor is not None:
        share(path, descriptor)


def _store_of(path: str | os.PathLike[str]) -> _Store:
    try:
        return _find_store(os.path.dirname(os.fspath(path)))
    except (OSError, ValueError):
        return _Store("", 0)  # no store, or not yet, or damaged: that is not remembered


@lru_cache(maxsize=1024)
def _find_store(folder: str) -> _Store:
    try:
        with open(os.path.join(folder, "store.json"), "rb") as file:
            described = json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        above = os.path.dirname(folder)
        if above == folder:
            raise FileNotFoundError(folder) from None
        return _find_store(above)
    mode = described.get("group_mode") if isinstance(described, dict) else None
    return _Store(os.path.join(folder, "tmp"), int(mode, 8) & _KEPT if isinstance(mode, str) else 0)


def _new_name(folder: str) -> str:
    return os.path.join(folder, os.urandom(16).hex())
