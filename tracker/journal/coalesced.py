"""Writer that appends several frames with one write, for file systems where a write takes long.

A frame first goes to a *tail*: a file on a disk of this host that is mapped into memory. A thread copies the
frames from there to the journal. Memory that is mapped from a file belongs to the kernel, so a frame in the
tail survives SIGKILL of the process. ``tracker.recorder.tails`` then writes it to the next journal file.

    tail:   offset u64 | description, JSON | zeros up to 4096 bytes | ring of 1 MiB

The ring has the bytes of the journal file that are not written yet: byte ``n`` of the file is at place ``n``
modulo 1 MiB. ``offset`` is the number of bytes that are known to be in the file. Four zeros follow the last
frame, so that a reader does not take older bytes for a frame.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn
from zlib import crc32

import msgspec

from tracker.errors import JournalError
from tracker.ground.parsed_types import Count, RelativePath, Token
from tracker.journal.format import FRAME, FRAME_PREFIX, HEADER, MARKER, MAX_PAYLOAD
from tracker.journal.reader import Frame, split_frames
from tracker.journal.writer import JournalWriter, StalledError, held_back

RING_BYTES = 1024 * 1024
_HEAD_BYTES = 4096
_NUMBER_BYTES = 8
_NO_FRAME = b"\0\0\0\0"
# A full ring is written immediately. If another thread has been writing for this long, the file system does
# not answer, and records wait in memory.
STALL_SECONDS = 5.0
ENDING = ".tail"
# Ending of a tail that is being made. An older file is what remains of a killed process.
NEW_ENDING = ".new"

_pack_prefix = FRAME_PREFIX.pack


class TailOwner(msgspec.Struct, frozen=True):
    """The journal of a tail: the path of its store, the host of its writer, its segment and its number."""

    store: str
    host: RelativePath
    segment: Token
    number: Count


_decode_owner = msgspec.json.Decoder(TailOwner).decode


class Tail(NamedTuple):
    """The content of a tail.

    Attributes:
        owner: The journal.
        offset: Number of bytes of the journal file that were written.
        rest: The bytes after them, and more.
    """

    owner: TailOwner
    offset: int
    rest: bytes


def read_tail(descriptor: int) -> Tail:
    """Return the content of an open tail.

    Raises:
        ValueError: The file is not a tail.
    """
    data = os.pread(descriptor, _HEAD_BYTES + RING_BYTES, 0)
    if len(data) != _HEAD_BYTES + RING_BYTES:
        raise ValueError(f"it has {len(data)} bytes")
    offset = int.from_bytes(data[:_NUMBER_BYTES], "little")
    at = _HEAD_BYTES + offset % RING_BYTES
    return Tail(
        _decode_owner(data[_NUMBER_BYTES:_HEAD_BYTES].rstrip(b"\0")), offset, data[at:] + data[_HEAD_BYTES:at]
    )


def is_own(path: Path) -> bool:
    """Return whether a writer of this process, or of the process that it was forked from, has the tail."""
    return path in _own


# A lock of `fcntl.lockf` does not exclude the process that holds it, and is lost when that process closes any
# descriptor of the file. So a process never opens its own tails.
_own: set[Path] = set()


class CoalescedWriter(JournalWriter):
    """Journal writer whose ``append`` only copies the frame into the tail. A thread writes it to the journal.

    When ``append`` returns, the frame survives SIGKILL of this process, but other processes may not see it
    for ``seconds``. A frame that does not fit into the tail is written immediately.

    Args:
        path: See ``JournalWriter``.
        segment: See ``JournalWriter``.
        index: See ``JournalWriter``.
        sequence: See ``JournalWriter``.
        folder: Folder for the tail, on a disk of this host.
        seconds: Longest time that a frame waits.
        owner: The journal, for the process that recovers the tail.

    Raises:
        JournalError: The journal could not be created.
        OSError: The tail could not be created, and neither was the journal.
    """

    def __init__(
        self,
        path: Path,
        segment: str,
        index: int = 0,
        sequence: int = 0,
        *,
        folder: Path,
        seconds: float,
        owner: TailOwner,
    ) -> None:
        self._tail = folder / f"{segment}-{index:06d}-{os.urandom(4).hex()}{ENDING}"
        self._seconds = seconds
        self._in_flight: tuple[int, int] | None = None
        self._reason = ""
        self._stalled = self._closed = False
        # Only the thread that holds it writes to the journal. `append` does not need it.
        self._write_lock = threading.Lock()
        self._has_frames, self._is_urgent = threading.Event(), threading.Event()
        self._drained = threading.Event()
        self._open_tail(msgspec.json.encode(owner))
        try:
            super().__init__(path, segment, index, sequence)
        except JournalError:
            self._close_tail(remove=True)
            raise
        # Offset and sequence number up to which frames are in the journal; `_position` includes waiting ones.
        self._flushed = self._position
        held_back.add(self)
        threading.Thread(target=self._write_in_time, name="tracker-append", daemon=True).start()

    @property
    def written(self) -> int:
        """Sequence number of the first frame that is not in the journal yet."""
        return self._flushed[1]

    def append(self, payload: bytes) -> int:
        """Copy one frame into the tail and return the offset of its end in the journal.

        Raises:
            JournalError: The payload is too large, or an earlier write failed (see ``take_waiting``).
            StalledError: The tail is full, and the file system does not answer. The frame was not taken.
        """
        if self._writing or self.poisoned:
            self.settle()
        offset, sequence = self._position
        size = len(payload)
        if size > RING_BYTES // 2:
            return self._append_large(payload)
        prefix = _pack_prefix(MARKER, sequence, size)
        frame = prefix + crc32(payload, crc32(prefix, self._seed)).to_bytes(4, "little") + payload + _NO_FRAME
        end = offset + len(frame)
        if end - self._flushed[0] > RING_BYTES:
            self._wait_for_room(end)
        self._copy(offset, frame)
        end -= len(_NO_FRAME)
        self._position = (end, sequence + 1)
        if not self._has_frames.is_set():
            self._has_frames.set()
        if end - self._flushed[0] > RING_BYTES // 2 and not self._is_urgent.is_set():
            self._is_urgent.set()
        return end

    def flush(self) -> None:
        """Write the frames of the tail to the journal, in one write.

        Raises:
            JournalError: The write failed or was short, now or earlier (see ``take_waiting``).
            StalledError: Another thread has been writing for ``STALL_SECONDS``.
        """
        if self._flushed == self._position and not self.poisoned:
            return
        self._take_write_lock()
        try:
            self._flush_locked()
        finally:
            self._write_lock.release()

    def settle(self) -> None:
        """Write the frames of the tail. See ``JournalWriter.settle`` for a write that was interrupted.

        Raises:
            JournalError: See ``flush``.
        """
        if self._writing:
            super().settle()
            self._copy(self._position[0], _NO_FRAME)
            self._advance(self._position)
        self.flush()

    def sync(self) -> None:
        """Write everything to the journal, and its data to the disk."""
        self.flush()
        super().sync()

    def take_waiting(self) -> list[tuple[int, bytes]]:
        """Return the sequence numbers and payloads that are not in the journal, after a failed write.

        The caller must write them elsewhere: this writer continues with the first of their numbers.
        """
        found = [(frame.sequence, frame.payload) for frame in self._waiting()]
        self._position = self._flushed
        return found

    def close(self) -> None:
        """Close the file. The tail stays if it has frames that are not in the journal."""
        held_back.discard(self)
        if self._closed:
            return
        if self._write_lock.acquire(timeout=STALL_SECONDS):  # else a thread still uses both files
            self._closed = True
            self._has_frames.set()
            self._is_urgent.set()
            try:
                super().close()
                self._close_tail(remove=self._flushed == self._position)
            finally:
                self._write_lock.release()

    def abandon(self) -> None:
        """Close the files in a forked child: they belong to the parent."""
        held_back.discard(self)
        self._closed = True
        super().close()
        self._close_tail(remove=False)

    def _append_large(self, payload: bytes) -> int:
        """Write a frame that is too large for the tail, after the frames in the tail."""
        if len(payload) > MAX_PAYLOAD:
            return super().append(payload)  # it raises
        self.flush()
        self._take_write_lock()
        try:
            offset, sequence = self._position
            self._in_flight = (offset + FRAME.size + len(payload), sequence + 1)
            end = super().append(payload)
            self._copy(end, _NO_FRAME)
            self._advance(self._position)
            self._in_flight = None
        finally:
            self._write_lock.release()
        return end

    @property
    def stalled(self) -> bool:
        """Whether a thread is in a write that the file system has not answered for ``STALL_SECONDS``."""
        return self._stalled and self._write_lock.locked()

    def _wait_for_room(self, end: int) -> None:
        """Wait until the thread has written enough. The caller itself must not hang in a write."""
        give_up = time.monotonic() + (0.0 if self._stalled else STALL_SECONDS)
        while end - self._flushed[0] > RING_BYTES and not self.poisoned:
            self._drained.clear()
            self._has_frames.set()
            self._is_urgent.set()
            if not self._drained.wait(max(0.0, give_up - time.monotonic())):
                self._stall()
        if self.poisoned:
            self._fail(self._reason)
        self._stalled = False

    def _take_write_lock(self) -> None:
        if not self._write_lock.acquire(timeout=STALL_SECONDS):
            self._stall()
        self._stalled = False

    def _stall(self) -> NoReturn:
        self._stalled = True
        reason = f"the file system has not answered for {STALL_SECONDS:.0f} s"
        raise StalledError("write", str(self.path), self._flushed[0], reason)

    def _flush_locked(self) -> None:
        if self._closed:
            return
        self._settle_flush()
        if self.poisoned:
            self._fail(self._reason or "an earlier write failed")
        start, position = self._flushed[0], self._position
        size = position[0] - start
        if size == 0:
            return
        self._in_flight = position
        try:
            written = os.writev(self._fd, self._pieces(start, position[0]))
        except OSError as error:
            self._in_flight = None
            self._fail(error.strerror or str(error))
        if written != size:
            self._pass_whole_frames(start + written)
            self._in_flight = None
            self._fail_short(written, size)
        self._advance(position)
        self._in_flight = None

    def _settle_flush(self) -> None:
        """Check whether the last write of the tail succeeded, if an exception of a handler interrupted it."""
        if self._in_flight is None or self.poisoned:
            return
        size = os.fstat(self._fd).st_size
        if size == self._in_flight[0]:
            self._advance(self._in_flight)
        elif size != self._flushed[0]:
            self._pass_whole_frames(size)
            self.poisoned = True
        self._in_flight = None

    def _pass_whole_frames(self, end: int) -> None:
        """Count the frames as written that end at or before an offset of the journal."""
        for frame in self._waiting():
            if frame.end <= end:
                self._advance((frame.end, frame.sequence + 1))

    def _advance(self, flushed: tuple[int, int]) -> None:
        self._flushed = flushed
        self._mark(flushed[0])

    def _waiting(self) -> list[Frame]:
        (start, sequence), (end, _) = self._flushed, self._position
        data = b"".join(self._pieces(start, end))
        return split_frames(data, self.segment, start, sequence)

    def _fail(self, reason: str) -> NoReturn:
        self._reason = self._reason or reason
        super()._fail(reason)

    def _write_in_time(self) -> None:
        while True:
            self._has_frames.wait()
            self._is_urgent.wait(self._seconds)
            self._has_frames.clear()
            self._is_urgent.clear()
            if self._closed:
                return
            try:
                self.flush()
            except StalledError:
                self._has_frames.set()  # the frames still wait
            except JournalError:
                return  # the writer of the segment continues in another file
            finally:
                self._drained.set()

    def _open_tail(self, description: bytes) -> None:
        if len(description) > _HEAD_BYTES - _NUMBER_BYTES:
            raise OSError(f"the path of the store is too long for {self._tail}")
        new = self._tail.with_suffix(NEW_ENDING)
        self._tail_fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # Without space for the whole file, a later access to the memory would kill the process.
            os.posix_fallocate(self._tail_fd, 0, _HEAD_BYTES + RING_BYTES)
            self._map = mmap.mmap(self._tail_fd, _HEAD_BYTES + RING_BYTES)
            self._mark(HEADER.size)
            self._map[_NUMBER_BYTES : _NUMBER_BYTES + len(description)] = description
            fcntl.lockf(self._tail_fd, fcntl.LOCK_EX)  # shows that the process lives
            _own.add(self._tail)
            os.rename(new, self._tail)
        except OSError:
            os.unlink(new)
            os.close(self._tail_fd)
            raise
        self._ring = memoryview(self._map)[_HEAD_BYTES:]

    def _close_tail(self, *, remove: bool) -> None:
        if remove:
            self._tail.unlink(missing_ok=True)
        with suppress(BufferError):
            self._ring.release()
            self._map.close()
        os.close(self._tail_fd)
        _own.discard(self._tail)

    def _mark(self, offset: int) -> None:
        self._map[:_NUMBER_BYTES] = offset.to_bytes(_NUMBER_BYTES, "little")

    def _copy(self, offset: int, data: bytes) -> None:
        at = offset % RING_BYTES
        end = at + len(data)
        if end <= RING_BYTES:
            self._ring[at:end] = data
        else:
            first = RING_BYTES - at
            self._ring[: end - RING_BYTES] = data[first:]
            self._ring[at:] = data[:first]

    def _pieces(self, start: int, end: int) -> tuple[memoryview, memoryview]:
        at, size = start % RING_BYTES, end - start
        whole = self._ring[at : at + size]
        return (whole, self._ring[: size - len(whole)])
