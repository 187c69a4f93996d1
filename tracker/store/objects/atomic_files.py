"""Writing files so that a crash leaves either the old content, the new one, or a temporary name."""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tracker.ground import group_files, values


def make_folder(folder: Path, *, durable: bool = True) -> None:
    """Make a folder and those above it, where they are missing; ``durable`` ones survive power loss."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent, durable=durable)
    try:
        group_files.make_folder(folder)
    except FileExistsError:
        if not folder.is_dir():  # asked again: another process may have made it meanwhile
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(folder)) from None
    if durable:
        with suppress(OSError):  # one that may be written and not read cannot be forced
            sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to the disk, so that a rename survives power loss."""
    sync_file(folder)


def sync_file(path: Path) -> None:
    """Force a file's content to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_older(changed_at: float, seconds: float, temporary: Path) -> bool:
    """Return whether a file was changed more than ``seconds`` ago, by the clock that gives files their times.

    The clocks of hosts differ, and a file server gives files the time of its own. Where this host's clock
    says yes, the time of a new file decides.

    Args:
        changed_at: The file's time, in unix seconds.
        seconds: The span.
        temporary: A name that nobody uses, on the same file system.
    """
    if time.time() - changed_at <= seconds:
        return False
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return True
    try:
        return os.fstat(descriptor).st_mtime - changed_at > seconds
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


def open_regular(path: Path) -> int:
    """Open a file of the store for reading and return its descriptor.

    In a shared store another user may have put something else in the place of the file or of its folder: a
    link to a file that only this process may read, or a FIFO, which would block the reader for ever.

    Raises:
        FileNotFoundError: It is not there, or it is not a regular file, or its folder is a link.
        OSError: It cannot be opened.
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
        # A link (or, for O_DIRECTORY, no folder), and a socket or a device without a driver.
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
            raise missing from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise missing
    return descriptor


def sync_named(path: Path) -> None:
    """Force a file, its name and that of its folder to the disk; what is gone, or no file, is passed over."""
    with suppress(FileNotFoundError):
        descriptor = open_regular(path)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(path.parent)
        sync_folder(path.parent.parent)


def write_new(temporary: Path, data: bytes, *, private: bool = False) -> None:
    """Write ``data`` to a new file and force it to the disk; a failure leaves no file behind.

    Args:
        temporary: The file.
        data: Its content.
        private: Whether only the owner may read it, in a store that a group shares too.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600 if private else 0o644)
    try:
        with open(descriptor, "wb") as file:
            if not private:
                group_files.share(temporary, descriptor)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def publish(temporary: Path, path: Path) -> None:
    """Move a finished file to its name, replacing what is there, atomically and durably."""
    make_folder(path.parent)
    os.replace(temporary, path)
    sync_folder(path.parent)


def claim(temporary: Path, path: Path) -> bool:
    """Move a finished file to its name only if nobody has it; return whether it was free."""
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
    """Publish a plain value as JSON, replacing what is there."""
    write_new(temporary, values.dumps(value, indent=1).encode("utf-8", "replace"))
    publish(temporary, path)


def read_json(path: Path) -> Any | None:
    """Return the plain value that is published at ``path``, or None when nothing is."""
    try:
        return values.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
