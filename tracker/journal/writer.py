"""The one writer of one journal file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn
from zlib import crc32

from tracker.errors import JournalError
from tracker.ground.group_files import create
from tracker.journal.format import FRAME_PREFIX, MARKER, MAX_PAYLOAD, checksum_seed, pack_header

_pack_prefix = FRAME_PREFIX.pack


class JournalWriter:
    """Appends frames to a new journal file; poisoned by its first failed or short write.

    Each ``append`` ends in one ``write(2)``, so a frame whose call has returned is in the
    kernel's page cache and survives SIGKILL of this process. Not safe for use by several
    threads at once: the caller holds a lock.

    Args:
        path: A file that does not exist yet; its folder does.
        segment: The segment's id, 32 hex digits.
        index: Position among the segment's journals, from 0.
        sequence: Number of the first frame.

    Raises:
        JournalError: The file could not be created.
    """

    def __init__(self, path: Path, segment: str, index: int = 0, sequence: int = 0) -> None:
        self.path = path
        self.segment = segment
        self.index = index
        self.poisoned = False
        # Offset and sequence number change together, in one assignment: a signal handler that raises
        # (Ctrl-C) can come between any two of our steps.
        self._position = (0, sequence)
        self._writing = 0
        self._seed = checksum_seed(segment)
        try:
            # O_APPEND: even a descriptor shared by accident can only add at the end.
            self._fd = create(path, os.O_WRONLY | os.O_EXCL | os.O_APPEND, 0o644)
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
    def refused(cls, path: Path, segment: str) -> JournalWriter:
        """Return the writer of a first file that could not be made: poisoned from the beginning."""
        writer = cls.__new__(cls)
        writer.path, writer.segment, writer.index, writer.poisoned = path, segment, 0, True
        writer._position, writer._writing, writer._fd = (0, 0), 0, -1
        writer._seed = checksum_seed(segment)
        return writer

    @property
    def offset(self) -> int:
        """Bytes written."""
        return self._position[0]

    @property
    def sequence(self) -> int:
        """Number of the next frame."""
        return self._position[1]

    @property
    def vanished(self) -> bool:
        """Whether somebody deleted the file: what is written to it then is lost."""
        return os.fstat(self._fd).st_nlink == 0

    def append(self, payload: bytes) -> int:
        """Write one frame and return the offset behind it.

        Raises:
            JournalError: The payload is too large (nothing was written, the writer goes on), or
                the write failed or was short (the writer is poisoned and refuses what follows).
        """
        size = len(payload)
        if size > MAX_PAYLOAD:
            raise JournalError(
                "write", str(self.path), self.offset, f"a record of {size} bytes is over {MAX_PAYLOAD}"
            )
        if self._writing or self.poisoned:
            self.settle()
            if self.poisoned:
                self._fail("an earlier write to it failed")
        offset, sequence = self._position
        # As `pack_frame` does it: here a call more is felt, for this is half of what `log` costs.
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
        """Find out whether a write that was interrupted, by a signal handler that raised, was done."""
        if self._writing == 0 or self.poisoned:
            return
        offset, sequence = self._position
        size = os.fstat(self._fd).st_size
        if size == offset + self._writing:
            self._position = (size, sequence + 1)
        elif size != offset:
            self.poisoned = True
        self._writing = 0

    def sync(self) -> None:
        """Force what was written to the disk (``fdatasync``), against power loss."""
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise JournalError("sync", str(self.path), self.offset, error.strerror or str(error)) from error

    def touch(self) -> None:
        """Set the file's modification time to now: a sign of life while nothing is logged."""
        try:
            os.utime(self._fd)
        except OSError:
            pass  # only followers on other hosts look at it, and the next record does the same

    def duplicate(self) -> int:
        """Return a descriptor of the file for syncing it elsewhere; the caller closes it."""
        return os.dup(self._fd)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        descriptor, self._fd = self._fd, -1
        if descriptor >= 0:  # before it is closed: after an interrupt the number may be another file's
            os.close(descriptor)

    def _fail(self, reason: str) -> NoReturn:
        self.poisoned = True
        raise JournalError("write", str(self.path), self.offset, reason)

    def _fail_short(self, written: int, size: int) -> NoReturn:
        self._fail(f"only {written} of {size} bytes were written (disk full?)")
