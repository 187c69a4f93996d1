"""Cheap copies of files: a reflink, a hard link, or a copy inside the kernel."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Literal

Method = Literal["reflink", "link", "copy"]

# ioctl FICLONE: the copy shares the blocks of the source until one of the two files is written.
_FICLONE = 0x40049409
# Errors that mean "this method is not supported here". Any other error is a real failure.
_CANNOT = frozenset(
    (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS, errno.EPERM, errno.EMLINK)
)
# Largest number of bytes for one system call, so that Ctrl-C can interrupt a copy.
_PIECE = 64 * 1024 * 1024


def clone(source: str | os.PathLike[str], target: Path, *, link: bool = False) -> Method:
    """Create ``target`` with the current content of ``source``.

    Args:
        source: A regular file.
        target: Path of the copy, which must not exist. The copy is independent of the source unless it is a
            hard link.
        link: Whether to make a hard link if the file system cannot share blocks. A later write to one of the
            two files then changes both.

    Returns:
        The method that was used.

    Raises:
        OSError: The source cannot be read or the target cannot be written. Then there is no file ``target``.
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


def _write_new(origin: int, target: Path, *, copy: bool) -> Method | None:
    """Create ``target`` by a reflink, or by a copy if ``copy`` is true.

    Returns:
        The method, or None (without a file) if a reflink is not supported and ``copy`` is false.
    """
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
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
    """Make ``target`` a hard link to the file that is open as ``origin``; return False if that fails."""
    try:
        os.link(os.path.realpath(source), target)  # link(2) does not follow a symbolic link
    except OSError:
        return False
    if os.path.samestat(os.stat(target), os.fstat(origin)):
        return True
    target.unlink()  # another file has replaced the source since it was opened
    return False


def _copy(origin: int, descriptor: int) -> None:
    """Copy the content inside the kernel and keep holes in sparse files."""
    at, size = 0, os.fstat(origin).st_size
    while at < size:
        start, end = _next_data(origin, at, size)
        os.lseek(origin, start, os.SEEK_SET)
        os.lseek(descriptor, start, os.SEEK_SET)
        left = end - start
        while left and (done := _copy_piece(origin, descriptor, min(left, _PIECE))):
            left -= done
        at = end
    os.ftruncate(descriptor, size)  # the file may end with a hole


def _next_data(origin: int, at: int, size: int) -> tuple[int, int]:
    """Return the start and the end of the next range of data (not a hole) from ``at``."""
    try:
        start = os.lseek(origin, at, os.SEEK_DATA)
        return start, min(os.lseek(origin, start, os.SEEK_HOLE), size)
    except OSError as error:
        if error.errno == errno.ENXIO:  # the rest of the file is a hole
            return size, size
        return at, size  # the file system does not support holes


def _copy_piece(origin: int, descriptor: int, size: int) -> int:
    try:
        return os.copy_file_range(origin, descriptor, size)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    return os.sendfile(descriptor, origin, None, size)
