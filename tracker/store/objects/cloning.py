"""Copies of files, as cheap as the file system allows: reflink, hard link, copy in the kernel."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Literal

How = Literal["reflink", "link", "copy"]

# ioctl FICLONE: the copy shares the source's blocks until one of them is written.
_FICLONE = 0x40049409
# What kernels and file systems answer that cannot do it this way; anything else is a real error.
_CANNOT = frozenset(
    (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS, errno.EPERM, errno.EMLINK)
)
# One system call moves at most this much, so that Ctrl-C comes through.
_PIECE = 64 * 1024 * 1024


def clone(source: str | os.PathLike[str], target: Path, *, link: bool = False) -> How:
    """Make ``target``, which must not exist, a file with the present content of ``source``.

    Args:
        source: A regular file.
        target: Its copy; independent of the source unless it is a hard link.
        link: Take a hard link where the file system cannot share blocks. Who writes to one of the two
            then writes to both.

    Returns:
        How it was done.

    Raises:
        OSError: The source cannot be read, or the target not written; nothing is left at ``target`` then.
    """
    origin = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        how = _write_new(origin, target, copy=not link)
        if how is not None:
            return how
        if _hard_link(source, origin, target):
            return "link"
        return _write_new(origin, target, copy=True) or "copy"
    finally:
        os.close(origin)


def _write_new(origin: int, target: Path, *, copy: bool) -> How | None:
    """Write a new file from an open one; None, and no file, when only copying would do and may not."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        if _reflink(origin, descriptor):
            return "reflink"
        if copy:
            _copy(origin, descriptor)
            return "copy"
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    target.unlink()
    return None


def _reflink(origin: int, descriptor: int) -> bool:
    try:
        fcntl.ioctl(descriptor, _FICLONE, origin)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        return False
    return True


def _hard_link(source: str | os.PathLike[str], origin: int, target: Path) -> bool:
    """Link ``target`` to the file that is open as ``origin``; False when that cannot be."""
    try:
        os.link(os.path.realpath(source), target)  # link(2) does not follow a link, it links to it
    except OSError:
        return False
    if os.path.samestat(os.stat(target), os.fstat(origin)):
        return True
    target.unlink()  # another file took the source's name meanwhile
    return False


def _copy(origin: int, descriptor: int) -> None:
    """Copy the content inside the kernel; holes stay holes."""
    at, size = 0, os.fstat(origin).st_size
    while at < size:
        start, end = _next_data(origin, at, size)
        os.lseek(origin, start, os.SEEK_SET)
        os.lseek(descriptor, start, os.SEEK_SET)
        left = end - start
        while left and (done := _copy_piece(origin, descriptor, min(left, _PIECE))):
            left -= done
        at = end
    os.ftruncate(descriptor, size)  # a hole at the end


def _next_data(origin: int, at: int, size: int) -> tuple[int, int]:
    """Return where the next stretch that is no hole begins and ends."""
    try:
        start = os.lseek(origin, at, os.SEEK_DATA)
        return start, min(os.lseek(origin, start, os.SEEK_HOLE), size)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but a hole is left
            return size, size
        return at, size  # the file system knows no holes


def _copy_piece(origin: int, descriptor: int, size: int) -> int:
    try:
        return os.copy_file_range(origin, descriptor, size)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    return os.sendfile(descriptor, origin, None, size)
