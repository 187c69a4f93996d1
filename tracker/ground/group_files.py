"""New files and folders in a store that a group shares: all members can use them, whatever the umask is.

``store.json`` of a shared store contains the mode of its folders: ``"group_mode": "2770"``. Files have the
same mode without the execute bits. In other stores, files and folders have the usual mode of the process.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

# The mode bits of a folder that a group shares. Members may write; new files get the folder's group.
_SHARED = stat.S_ISGID | stat.S_IWGRP
# The store takes these bits from its parent folder. Users outside the group can never write.
_KEPT = 0o2775
_FILE = 0o666


class _Store(NamedTuple):
    temporary: str
    mode: int


def group_mode_of(folder: Path) -> int:
    """Return the mode for the folders of a new store in ``folder``; 0 if no group shares ``folder``."""
    mode = folder.stat().st_mode
    return mode & _KEPT if mode & _SHARED == _SHARED else 0


def group_mode_of_umask() -> int:
    """Return the mode for the folder of a new store that this process makes; 0 if its group shares no files.

    The group shares the files of a process whose umask lets the group write. If the group has the id of the
    user, no other user is a member: many systems give each user such a group and this umask.
    """
    shares = not umask() & 0o070 and os.getegid() != os.geteuid()
    return 0o2770 if shares else 0


def umask() -> int:
    """Return the umask of this process."""
    # os.umask() can only read the mask by setting it, which would affect files of other threads.
    with suppress(OSError, ValueError, StopIteration):
        with open("/proc/self/status") as status:
            return int(next(line for line in status if line.startswith("Umask:")).split()[1], 8)
    return 0o022


def is_shared_by_group(path: str | os.PathLike[str]) -> bool:
    """Return whether ``path`` is in a store that a group shares."""
    return _store_of(path).mode != 0


def make_folder(folder: Path) -> None:
    """Make a folder in an existing folder.

    Raises:
        FileExistsError: The folder already exists.
    """
    temporary, mode = _store_of(folder)
    if mode:
        above = os.path.dirname(temporary) if os.fspath(folder) == temporary else temporary
        make_shared(folder, Path(_new_name(above)), mode)
    else:
        folder.mkdir()


def make_shared(folder: Path, temporary: Path, mode: int) -> None:
    """Make a folder with a mode under a temporary name, then rename it.

    Other members of the group therefore never see the folder with fewer rights.

    Args:
        folder: The new folder.
        temporary: The temporary name, on the same file system.
        mode: The folder's mode.

    Raises:
        FileExistsError: The path exists and is not an empty folder.
    """
    temporary.mkdir()
    try:
        temporary.chmod(mode)
        os.rename(temporary, folder)  # this replaces an empty folder that another process has just made
    except OSError as error:
        temporary.rmdir()
        if os.path.lexists(folder):
            raise FileExistsError(error.errno, "exists", os.fspath(folder)) from None
        raise


def create(path: str | os.PathLike[str], flags: int) -> int:
    """Open a file, or make it if it does not exist; return its descriptor. It can be the opener of ``open``.

    Args:
        path: The file.
        flags: Flags of ``os.open``. ``O_CREAT`` and ``O_CLOEXEC`` are added.
    """
    flags |= os.O_CREAT | os.O_CLOEXEC
    store = _store_of(path)
    if not store.mode:
        return os.open(path, flags, _FILE)
    if not flags & os.O_EXCL and os.path.lexists(path):
        return os.open(path, flags & ~os.O_CREAT)
    # The file gets its mode under a temporary name, so other members never see it with fewer rights.
    name = _new_name(store.temporary)
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
    """Set a file's modification time to now; make the file if it does not exist."""
    os.close(create(path, os.O_WRONLY))
    os.utime(path)


def share(path: Path, descriptor: int | None = None) -> None:
    """Give a file of this user the group and the mode of its store, if a group shares the store.

    Args:
        path: The file.
        descriptor: A descriptor of the file if it is open.
    """
    store = _store_of(path)
    if not store.mode:
        return
    # O_NOFOLLOW: another member may have replaced the file with a symbolic link.
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC) if descriptor is None else descriptor
    try:
        group = path.parent.stat().st_gid
        if os.fstat(opened).st_gid != group:  # the file was made in another store
            os.fchown(opened, -1, group)
        os.fchmod(opened, store.mode & _FILE)
    finally:
        if descriptor is None:
            os.close(opened)


def protect(path: Path, descriptor: int | None = None) -> None:
    """Make a file that becomes a blob read-only, except in a store that a group shares.

    No user gets more rights than the file already gives.

    In a shared store, members need the right to write to a blob of another member to link or touch it.

    Args:
        path: The file. In a shared store, call ``share`` first or give ``descriptor``.
        descriptor: A descriptor of the file if it is open.
    """
    if not is_shared_by_group(path):
        file = path if descriptor is None else descriptor
        os.chmod(file, os.stat(file).st_mode & 0o444)
    elif descriptor is not None:
        share(path, descriptor)


def _store_of(path: str | os.PathLike[str]) -> _Store:
    try:
        return _find_store(os.path.dirname(os.fspath(path)))
    except (OSError, ValueError):
        return _Store("", 0)  # the store is missing or damaged: an exception is not cached


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
