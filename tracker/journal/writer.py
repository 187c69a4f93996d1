"""Writer of a journal file. A journal file has only one writer."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NoReturn
from zlib import crc32

from tracker.errors import JournalError
from tracker.ground.group_files import create
from tracker.journal.format import FRAME_PREFIX, MARKER, MAX_PAYLOAD, checksum_seed, pack_header

_pack_prefix = FRAME_PREFIX.pack

# Writers of this process whose frames may wait before they are written (``tracker.journal.coalesced``).
held_back: set[JournalWriter] = set()


def write_held_back() -> None:
    """Write the waiting frames of this process, so that readers see everything that was logged."""
    for writer in tuple(held_back):
        with suppress(JournalError):  # the writer of the segment handles it
            if not writer.stalled:
                writer.flush()


class StalledError(JournalError):
    """The file system has not answered a write for seconds. The writer can still be used."""


class JournalWriter:
    """Writer that appends frames to a new journal file.

    Each ``append`` calls ``write(2)`` once. When it returns, the frame is in the kernel's page cache and
    survives SIGKILL of this process. After a failed or short write, the writer is poisoned: it accepts no
    more frames. The writer is not thread-safe: the caller must hold a lock.

    Args:
        path: The file. It must not exist; its folder must exist.
        segment: The segment's id, 32 hex digits.
        index: Number of the file among the segment's journals, from 0.
        sequence: Number of the first frame.

    Raises:
        JournalError: The file could not be created.
    """

    def __init__(self, path: Path, segment: str, index: int = 0, sequence: int = 0) -> None:
        self.path = path
        self.segment = segment
        self.index = index
        self.poisoned = False
        # Offset and sequence number change in one assignment, because a signal handler can raise an exception
        # (Ctrl-C) between any two statements.
        self._position = (0, sequence)
        self._writing = 0
        self._seed = checksum_seed(segment)
        try:
            # O_APPEND: a process that inherits the descriptor by accident cannot overwrite frames.
            self._fd = create(path, os.O_WRONLY | os.O_EXCL | os.O_APPEND)
        except OSError as error:
            raise JournalError("open", str(path), 0, error.strerror or str(error)) from error
        try:
            header = pack_header(segment, index)
            try:
                written = os.write(self._fd, header)
            except OSError as error:
                self._fail(error.strerror or str(error))
            if written != len(header):
                self._fail_short(written, len(header))
            self._position = (written, sequence)
        except JournalError:
            os.close(self._fd)
            raise

    @classmethod
    def failed(cls, path: Path, segment: str) -> JournalWriter:
        """Return a poisoned writer, for a segment whose first file could not be made."""
        writer = cls.__new__(cls)
        writer.path, writer.segment, writer.index, writer.poisoned = path, segment, 0, True
        writer._position, writer._writing, writer._fd = (0, 0), 0, -1
        writer._seed = checksum_seed(segment)
        return writer

    @property
    def offset(self) -> int:
        """Size of the file in bytes."""
        return self._position[0]

    @property
    def sequence(self) -> int:
        """Sequence number of the next frame."""
        return self._position[1]

    @property
    def written(self) -> int:
        """Sequence number of the first frame that is not in the file."""
        return self.sequence

    @property
    def stalled(self) -> bool:
        """Whether another thread is in a write that the file system does not answer."""
        return False

    @property
    def vanished(self) -> bool:
        """Whether the file was deleted, so that later frames would be lost."""
        return os.fstat(self._fd).st_nlink == 0

    def append(self, payload: bytes) -> int:
        """Write one frame and return the offset of its end.

        Raises:
            JournalError: The payload is too large (nothing was written, and the writer can still be used), or
                the write failed or was short (the writer is now poisoned).
        """
        size = len(payload)
        if size > MAX_PAYLOAD:
            raise JournalError(
                "write", str(self.path), self.offset, f"a record has {size} bytes; the limit is {MAX_PAYLOAD}"
            )
        if self._writing or self.poisoned:
            self.settle()
            if self.poisoned:
                self._fail("an earlier write failed")
        offset, sequence = self._position
        # Inlined from `pack_frame`, because these lines take half of the time of `log`.
        prefix = _pack_prefix(MARKER, sequence, size)
        frame = prefix + crc32(payload, crc32(prefix, self._seed)).to_bytes(4, "little") + payload
        self._writing = size = len(frame)
        try:
            written = os.write(self._fd, frame)
        except OSError as error:
            self._fail(error.strerror or str(error))
        if written != size:
            self._fail_short(written, size)
        offset += size
        self._position = (offset, sequence + 1)
        self._writing = 0
        return offset

    def settle(self) -> None:
        """Check whether the last write succeeded, if an exception in a signal handler interrupted it."""
        if self._writing == 0 or self.poisoned:
            return
        offset, sequence = self._position
        size = os.fstat(self._fd).st_size
        if size == offset + self._writing:
            self._position = (size, sequence + 1)
        elif size != offset:
            self.poisoned = True
        self._writing = 0

    def flush(self) -> None:
        """Write the frames that wait. This writer writes each frame immediately."""

    def take_waiting(self) -> list[tuple[int, bytes]]:
        """Return the sequence numbers and payloads of frames that a failed write has left."""
        return []

    def sync(self) -> None:
        """Write the file's data to the disk (``fdatasync``), so that it survives a power failure."""
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise JournalError("sync", str(self.path), self.offset, error.strerror or str(error)) from error

    def touch(self) -> None:
        """Set the file's modification time to now, as a sign of life while the script logs nothing."""
        try:
            os.utime(self._fd)
        except OSError:
            pass  # the time is only a sign of life, and the next record also sets it

    def duplicate(self) -> int:
        """Return a second descriptor of the file, for a sync in another thread. The caller must close it."""
        return os.dup(self._fd)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        descriptor, self._fd = self._fd, -1
        if descriptor >= 0:  # reset `_fd` first: the number may soon belong to another file
            os.close(descriptor)

    def abandon(self) -> None:
        """Close the file in a forked child."""
        self.close()

    def _fail(self, reason: str) -> NoReturn:
        self.poisoned = True
        raise JournalError("write", str(self.path), self.offset, reason)

    def _fail_short(self, written: int, size: int) -> NoReturn:
        self._fail(f"only {written} of {size} bytes were written (disk full?)")
