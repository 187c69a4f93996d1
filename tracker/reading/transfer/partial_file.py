"""A file that is being fetched: it lies beside its target, and who is broken off goes on with it.

FOLDER/.SHA256.part    the content, each range at its place; behind it a table of how much of each is there

The table is written after the bytes that it counts, so it is right after a kill. After a power cut it may
not be; whoever went on with a file that turns out wrong begins it anew.
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

# A range is what one request asks for. Smaller ones cost requests; of larger ones the digest, which needs
# the bytes in order, lags behind for longer.
RANGE = 64 * 1024 * 1024
_PIECE = 1024 * 1024
# Bytes of a range after which the table says so: what a kill takes of each, at most.
_NOTED = 1024 * 1024
_HEAD = struct.Struct("<8sQ")
_COUNT = struct.Struct("<Q")
_MAGIC = b"trkpart1"


class PartialFile:
    """An unfinished file and its digest, which follows the bytes as they become a prefix.

    Nobody else writes to it: a second download of the same content at the same time has a file of its own.

    Args:
        target: A file that will have the content, beside which this one lies.
        sha256: The content's digest.
        size: Its bytes.
    """

    def __init__(self, target: str, sha256: str, size: int) -> None:
        self.size = size
        self._sha256 = sha256
        self._path, self._descriptor, self._shared = _open(target, sha256)
        self.ranges = max(1, -(-size // RANGE))
        self.done = self._read_table()
        self.resumed = sum(self.done)
        self._prefix = 0
        self._stopped = False
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._digest = hashlib.sha256()
        self._hashed = 0
        self._kept = False
        self._move_prefix()

    @property
    def whole(self) -> bool:
        """Whether all bytes are there."""
        return self._prefix == self.size

    def length(self, index: int) -> int:
        """Return how many bytes a range has."""
        return min(RANGE, self.size - index * RANGE)

    def write(self, index: int, data: memoryview) -> None:
        """Add bytes to a range; one thread for each."""
        before = self.done[index]
        done = before + len(data)
        with self._writing:  # the kernel lets in one at a time too, but who waits for it there spins
            _write_at(self._descriptor, data, index * RANGE + before)
            if done // _NOTED != before // _NOTED or done == self.length(index):
                _write_at(self._descriptor, memoryview(_COUNT.pack(done)), self._place(index))
        with self._changed:
            self.done[index] = done
            self._move_prefix()
            self._changed.notify_all()

    def hash_rest(self) -> None:
        """Compute the digest of what is there in one piece and was not yet counted."""
        buffer = memoryview(bytearray(_PIECE))
        while self._hashed < self._prefix:
            count = os.preadv(
                self._descriptor, [buffer[: min(_PIECE, self._prefix - self._hashed)]], self._hashed
            )
            if count == 0:  # somebody cut the file
                break
            self._digest.update(buffer[:count])
            self._hashed += count

    def hash_all(self) -> bool:
        """Compute the digest while others write; return whether they came to an end."""
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
        """Let go of who waits for bytes that will not come."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def is_right(self) -> bool:
        """Whether the content is the one that was asked for; all of it must have been hashed."""
        return self._hashed == self.size and self._digest.hexdigest() == self._sha256

    def keep(self, targets: Sequence[str]) -> None:
        """Give the content its names."""
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
        self._kept = True

    def discard(self) -> None:
        """Delete it; nobody goes on with these bytes."""
        self._shared = False

    def close(self) -> None:
        """Let go of it; what is there of it stays for the next download, unless it is of no use."""
        if not self._kept and (not self._shared or not any(self.done)):
            os.unlink(self._path)
        elif not self._kept:
            table = b"".join(_COUNT.pack(count) for count in self.done)
            _write_at(self._descriptor, memoryview(table), self._place(0))
        os.close(self._descriptor)

    def _place(self, index: int) -> int:
        return self.size + _HEAD.size + index * _COUNT.size

    def _move_prefix(self) -> None:
        at = self._prefix // RANGE
        while at < self.ranges - 1 and self.done[at] == RANGE:
            at += 1
        self._prefix = at * RANGE + self.done[at] if self.size else 0

    def _read_table(self) -> list[int]:
        """Return how many bytes of each range are there; begin a table where none fits."""
        head = _HEAD.pack(_MAGIC, RANGE)
        found = os.fstat(self._descriptor).st_size
        if found == self.size and self.size:  # broken off between the last byte and the new name
            _write_at(self._descriptor, memoryview(head), self.size)
            table = b"".join(_COUNT.pack(self.length(at)) for at in range(self.ranges))
            _write_at(self._descriptor, memoryview(table), self.size + _HEAD.size)
            return [self.length(at) for at in range(self.ranges)]
        table = os.pread(self._descriptor, self._place(self.ranges) - self.size, self.size)
        if found == self._place(self.ranges) and table.startswith(head):
            counts = [count for (count,) in _COUNT.iter_unpack(table[_HEAD.size :])]
            if all(count <= self.length(at) for at, count in enumerate(counts)):
                return counts
        if found:  # ext4 writes out at once, when it is closed, what had been cut to nothing
            os.ftruncate(self._descriptor, 0)
        empty = head + bytes(_COUNT.size * self.ranges)
        _write_at(self._descriptor, memoryview(empty), self.size)
        return [0] * self.ranges


def _open(target: str, sha256: str) -> tuple[str, int, bool]:
    """Open the unfinished file of a content; return its path, and whether others may go on with it."""
    path = f"{target.rpartition('/')[0]}/.{sha256}.part"
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        descriptor = os.open(path, flags, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another download is at it, or the file system knows no locks
            os.close(descriptor)
            path = temporary_path(target)
            return path, os.open(path, flags | os.O_EXCL, 0o666), False
        if _is_at(descriptor, path):
            return path, descriptor, True
        os.close(descriptor)  # another download has just finished it, or given it up


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _write_at(descriptor: int, data: memoryview, at: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, at)
        data, at = data[written:], at + written
