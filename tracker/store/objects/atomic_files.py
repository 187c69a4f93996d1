"""Atomic writes: a crash leaves the old content or the new content, and perhaps a temporary file."""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tracker.ground import group_files, values


class Durability:
    """Whether this process forces its files to the disk.

    ``tracker open`` does not: its private store can be made again, and is removed after a crash.
    """

    required = True


def force(descriptor: int) -> None:
    """Force an open file to the disk."""
    if Durability.required:
        os.fsync(descriptor)


def make_folder(folder: Path, *, durable: bool = True) -> None:
    """Make a folder and its missing parents. With ``durable``, the new folders survive a power loss."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent, durable=durable)
    try:
        group_files.make_folder(folder)
    except FileExistsError:
        if not folder.is_dir():  # another process may have made the folder after the first check
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(folder)) from None
    if durable:
        with suppress(OSError):  # a folder without read permission cannot be opened for fsync
            sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to the disk, so that a rename survives power loss."""
    sync_file(folder)


def sync_file(path: Path) -> None:
    """Force a file's content to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        force(descriptor)
    finally:
        os.close(descriptor)


def is_older(changed_at: float, seconds: float, temporary: Path) -> bool:
    """Return whether a file was changed more than ``seconds`` ago, by the clock of the file system.

    The clocks of hosts differ, and a file server sets the times of files from its own clock. If the clock of
    this host finds the file old, the function compares with the time of a new file.

    Args:
        changed_at: Modification time of the file, in Unix seconds.
        seconds: Age in seconds.
        temporary: Path of a file that does not exist, on the same file system. The function creates the file
            and removes it.
    """
    if time.time() - changed_at <= seconds:
        return False
    now = file_system_time(temporary)
    return now is None or now - changed_at > seconds


def file_system_time(temporary: Path) -> float | None:
    """Return the time by the clock of a file system in Unix seconds; None if no file can be made there.

    Args:
        temporary: Path of a file that does not exist. The function creates the file and removes it.
    """
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


def open_regular(path: Path) -> int:
    """Open a file of the store for reading and return its descriptor.

    In a shared store another user may have replaced the file or its folder: by a link to a file that only
    this process may read, or by a FIFO, which would block the reader forever.

    Raises:
        FileNotFoundError: The file is missing or not a regular file, or its folder is a link.
        OSError: The file cannot be opened.
    """
    missing = FileNotFoundError(errno.ENOENT, "no regular file", os.fspath(path))
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(path.name, flags, dir_fd=folder)
        finally:
            os.close(folder)
    except OSError as error:
        # ELOOP: a link. ENOTDIR: the parent is not a folder. ENXIO: a socket, or a device without a driver.
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
            raise missing from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise missing
    return descriptor


def sync_named(path: Path) -> None:
    """Force a file and the entries of its folder and the folder above to the disk.

    Do nothing if the file is missing or not a regular file.
    """
    with suppress(FileNotFoundError):
        descriptor = open_regular(path)
        try:
            force(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(path.parent)
        sync_folder(path.parent.parent)


def write_new(temporary: Path, data: bytes, *, private: bool = False) -> None:
    """Write ``data`` to a new file and force it to the disk. If that fails, remove the file.

    Args:
        temporary: Path of the file, which must not exist.
        data: Content of the file.
        private: Whether only the owner may read the file, even in a store that a group shares.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600 if private else 0o666)
    try:
        with open(descriptor, "wb") as file:
            if not private:
                group_files.share(temporary, descriptor)
            file.write(data)
            file.flush()
            force(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def publish(temporary: Path, path: Path) -> None:
    """Rename a finished file to ``path``, atomically and durably. Replace an existing file."""
    make_folder(path.parent)
    os.replace(temporary, path)
    sync_folder(path.parent)


def claim(temporary: Path, path: Path) -> bool:
    """Rename a finished file to ``path`` unless that name exists; return whether the name was free."""
    make_folder(path.parent)
    try:
        os.link(temporary, path)  # unlike rename, fails when the name is taken
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def publish_json(temporary: Path, path: Path, value: Any) -> None:
    """Publish a plain value as JSON. Replace an existing file.

    Args:
        temporary: Path for the new file until it is complete, on the same file system.
        path: Path of the published file.
        value: The value (``tracker.ground.values``).
    """
    write_new(temporary, values.dumps(value, indent=1).encode("utf-8", "replace"))
    publish(temporary, path)


def read_json(path: Path) -> Any | None:
    """Return the plain value in the JSON file at ``path``, or None if the file is missing.

    Raises:
        ValueError: The file is not valid JSON.
        OSError: The file cannot be read.
    """
    try:
        return values.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
