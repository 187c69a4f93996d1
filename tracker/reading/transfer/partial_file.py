"""A partial download is stored next to its target. An interrupted download resumes from it.

FOLDER/.SHA256.part    the content, each range at its offset; then a table with the bytes of each range

The table is written after the bytes that it counts, so it is correct after a kill. After a power cut the
table can be wrong. A resumed file with a wrong checksum is therefore downloaded again from the beginning.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import threading
from collections.abc import Sequence
from pathlib import Path

from tracker.reading.transfer.place_file import temporary_path
from tracker.store.objects.cloning import clone

# The size of one request. Smaller ranges need more requests. With larger ranges, the digest is finished
# later, because it needs the bytes in order.
RANGE = 64 * 1024 * 1024
_PIECE = 1024 * 1024
# The table is updated after this number of bytes of a range. A kill loses at most these bytes of each range.
_COUNTED_BYTES = 1024 * 1024
_HEAD = struct.Struct("<8sQ")
_COUNT = struct.Struct("<Q")
_MAGIC = b"trkpart1"


class PartialFile:
    """A partial file and the digest of its prefix: the bytes from the start up to the first missing byte.

    Only one download writes to the file. A second download of the same content at the same time uses another
    file.

    Args:
        target: A target path. The partial file is in the same folder.
        sha256: The digest of the content.
        size: The size of the content in bytes.
    """

    def __init__(self, target: str, sha256: str, size: int) -> None:
        self.size = size
        self._sha256 = sha256
        self._path, self._descriptor, self._resumable = _open(target, sha256)
        self.ranges = max(1, -(-size // RANGE))
        self.done = self._read_table()
        self.resumed = sum(self.done)
        self._prefix = 0
        self._stopped = False
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._digest = hashlib.sha256()
        self._hashed = 0
        self._published = False
        self._move_prefix()

    @property
    def whole(self) -> bool:
        """Whether the file has all bytes."""
        return self._prefix == self.size

    def length(self, index: int) -> int:
        """Return the size of a range in bytes."""
        return min(RANGE, self.size - index * RANGE)

    def write(self, index: int, data: memoryview) -> None:
        """Append bytes to a range. Only one thread may write to each range."""
        before = self.done[index]
        done = before + len(data)
        with (
            self._writing
        ):  # the kernel also allows one writer at a time, but its waiting threads use the CPU
            _write_at(self._descriptor, data, index * RANGE + before)
            if done // _COUNTED_BYTES != before // _COUNTED_BYTES or done == self.length(index):
                _write_at(self._descriptor, memoryview(_COUNT.pack(done)), self._count_offset(index))
        with self._changed:
            self.done[index] = done
            self._move_prefix()
            self._changed.notify_all()

    def hash_rest(self) -> None:
        """Add the bytes of the prefix that are not hashed yet to the digest."""
        buffer = memoryview(bytearray(_PIECE))
        while self._hashed < self._prefix:
            count = os.preadv(
                self._descriptor, [buffer[: min(_PIECE, self._prefix - self._hashed)]], self._hashed
            )
            if count == 0:  # another process truncated the file
                break
            self._digest.update(buffer[:count])
            self._hashed += count

    def hash_all(self) -> bool:
        """Compute the digest while other threads write; return False if ``stop`` ended the download."""
        while not self.whole or self._hashed < self.size:
            with self._changed:
                self._changed.wait_for(lambda: self._prefix > self._hashed or self._stopped)
            if self._stopped:
                return False
            before = self._hashed
            self.hash_rest()
            if self._hashed == before:
                break
        return True

    def stop(self) -> None:
        """Wake the thread in ``hash_all``, because no more bytes will be written."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def is_valid(self) -> bool:
        """Return whether all bytes are hashed and the digest is correct."""
        return self._hashed == self.size and self._digest.hexdigest() == self._sha256

    def publish(self, targets: Sequence[str]) -> None:
        """Move the content to the first target, and copy it to the other targets."""
        os.ftruncate(self._descriptor, self.size)
        for target in targets[1:]:
            temporary = Path(temporary_path(target))
            try:
                clone(self._path, temporary)
                os.chmod(temporary, os.fstat(self._descriptor).st_mode & 0o777)
                os.replace(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)
        os.replace(self._path, targets[0])
        self._published = True

    def discard(self) -> None:
        """Mark the file for deletion by ``close``, so that no download resumes from it."""
        self._resumable = False

    def close(self) -> None:
        """Close the file. A partial file with bytes stays for the next download; others are deleted."""
        if not self._published and (not self._resumable or not any(self.done)):
            os.unlink(self._path)
        elif not self._published:
            table = b"".join(_COUNT.pack(count) for count in self.done)
            _write_at(self._descriptor, memoryview(table), self._count_offset(0))
        os.close(self._descriptor)

    def _count_offset(self, index: int) -> int:
        return self.size + _HEAD.size + index * _COUNT.size

    def _move_prefix(self) -> None:
        at = self._prefix // RANGE
        while at < self.ranges - 1 and self.done[at] == RANGE:
            at += 1
        self._prefix = at * RANGE + self.done[at] if self.size else 0

    def _read_table(self) -> list[int]:
        """Return the number of bytes of each range; write an empty table if there is no valid one."""
        head = _HEAD.pack(_MAGIC, RANGE)
        found = os.fstat(self._descriptor).st_size
        if found == self.size and self.size:  # interrupted after the table was removed, before the rename
            _write_at(self._descriptor, memoryview(head), self.size)
            table = b"".join(_COUNT.pack(self.length(at)) for at in range(self.ranges))
            _write_at(self._descriptor, memoryview(table), self.size + _HEAD.size)
            return [self.length(at) for at in range(self.ranges)]
        table = os.pread(self._descriptor, self._count_offset(self.ranges) - self.size, self.size)
        if found == self._count_offset(self.ranges) and table.startswith(head):
            counts = [count for (count,) in _COUNT.iter_unpack(table[_HEAD.size :])]
            if all(count <= self.length(at) for at, count in enumerate(counts)):
                return counts
        if found:  # only if needed: ext4 writes a file to the disk when it is closed after a truncation to 0
            os.ftruncate(self._descriptor, 0)
        empty = head + bytes(_COUNT.size * self.ranges)
        _write_at(self._descriptor, memoryview(empty), self.size)
        return [0] * self.ranges


def _open(target: str, sha256: str) -> tuple[str, int, bool]:
    """Open the partial file of a content.

    Returns:
        Path, descriptor, and whether a later download may resume from the file.
    """
    path = f"{target.rpartition('/')[0]}/.{sha256}.part"
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        descriptor = os.open(path, flags, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another download uses the file, or the file system does not support locks
            os.close(descriptor)
            path = temporary_path(target)
            return path, os.open(path, flags | os.O_EXCL, 0o666), False
        if _is_at(descriptor, path):
            return path, descriptor, True
        os.close(descriptor)  # another download has just renamed or deleted the file


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _write_at(descriptor: int, data: memoryview, at: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, at)
        data, at = data[written:], at + written
