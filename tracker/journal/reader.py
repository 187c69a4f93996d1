"""Reader of journals. Reading has five different outcomes.

* ``Frame``: a complete, valid frame.
* ``NotYet``: the next frame is not there yet, or not completely. The writer may still be writing it, or its
  bytes may not have arrived from another host (live and skipping mode).
* ``TornTail``: the writer died while it was writing its last frame (final mode).
* ``Corrupt``: a damaged region before a valid frame, missing or repeated frames (skipping and final mode).
* ``JournalError`` is raised: the operating system could not read the file.

There are three modes:

* *Live*: the writer may be alive. The reader stops at the first damaged region, because on a network file
  system pages can arrive out of order, and a missing page reads as zeros for a while.
* *Skipping*: the writer may be alive, but the damaged region has not changed for a long time. The reader
  reports a damaged region that has valid frames after it, and continues with these frames.
* *Final*: the writer has ended. The reader skips damage as in skipping mode, and also reports an incomplete
  last frame.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast
from zlib import crc32

from tracker.errors import JournalError, StoreVersionError
from tracker.journal.format import (
    FRAME,
    FRAME_PREFIX,
    HEADER,
    MARKER,
    MAX_PAYLOAD,
    VERSION,
    FileHeader,
    checksum_seed,
    unpack_header,
)

# Bytes per read. For larger pieces, the operating system provides and clears new memory each time.
CHUNK = 256 * 1024
# Enough for the header and the first record of nearly all journals.
FIRST_BYTES = 4096
_unpack, _HEAD, _PREFIX = FRAME.unpack_from, FRAME.size, FRAME_PREFIX.size


class Frame(NamedTuple):
    """A complete frame: it occupies the bytes from ``offset`` up to (not including) ``end``."""

    offset: int
    end: int
    sequence: int
    payload: bytes


# Makes a frame from a tuple of its fields, without a call of Python code.
_make_frame = cast("Callable[[Iterable[Any]], Frame]", partial(tuple.__new__, Frame))


class NotYet(NamedTuple):
    """The next frame is not at ``offset`` yet. The reader has looked at the ``size`` bytes from there on."""

    offset: int
    size: int


class TornTail(NamedTuple):
    """The last ``size`` bytes of the file, from ``offset`` on, are an incomplete or damaged frame."""

    offset: int
    size: int
    reason: str


class Corrupt(NamedTuple):
    """The bytes from ``offset`` to ``end`` are damaged or repeated, or frames are lost.

    ``missing`` has the numbers of the first and the last lost frame.
    """

    offset: int
    end: int
    reason: str
    missing: tuple[int, int] | None


Outcome = Frame | NotYet | TornTail | Corrupt


def read_header(path: Path) -> FileHeader | None:
    """Return the file's header, or None if it is not complete yet.

    Raises:
        JournalError: The file cannot be read, or it is not a journal.
        StoreVersionError: A newer version of tracker wrote the file.
    """
    return _check_header(path, _read(path, 0, HEADER.size))


def _check_header(path: Path, data: bytes) -> FileHeader | None:
    """Return the header at the beginning of a journal's bytes. See ``read_header``."""
    header = unpack_header(data[: HEADER.size])
    if header is None:
        if len(data) < HEADER.size or not any(data[: HEADER.size]):
            return None
        raise JournalError("read", str(path), 0, "it does not begin with a journal header")
    if header.version > VERSION:
        raise StoreVersionError(
            f"journal {path} has format version {header.version}, but this tracker reads only versions up to "
            f"{VERSION}. Upgrade airgap-tracker on this machine."
        )
    return header


def read_frames(
    path: Path,
    segment: str,
    offset: int = HEADER.size,
    sequence: int | None = None,
    *,
    final: bool,
    skip: bool = False,
) -> Iterator[Outcome]:
    """Yield the frames of the journal at ``path`` from byte ``offset`` on, and its damaged regions.

    Args:
        path: The journal.
        segment: Its segment id, from ``read_header``.
        offset: Position in bytes where a frame starts, or will start.
        sequence: Expected number of the next frame, if known. Except in live mode, gaps are reported.
        final: Read in final mode: the writer has ended.
        skip: Read in skipping mode. It has no effect in final mode.

    Yields:
        ``Frame`` and, in skipping and final mode, ``Corrupt``, in the order of the file. At the end,
        ``NotYet`` in live and skipping mode; in final mode ``TornTail`` if the last frame is incomplete.

    Raises:
        JournalError: The file could not be read.
    """
    scanner = _Scanner(segment, offset, sequence, final=final, skip=skip)
    return _scan(path, scanner, offset)


def read_journal(path: Path, segment: str, *, final: bool) -> Iterator[Outcome]:
    """Yield the frames of a journal from its beginning. See ``read_frames``; also check the header.

    Most callers need only the first frame of most journals. So the first read is small: a run that begins on
    a slow network reads the beginning of each journal of the store.

    Args:
        path: The journal.
        segment: Its segment id.
        final: Read in final mode: the writer has ended.

    Yields:
        Nothing if the header is not complete.

    Raises:
        JournalError: The file cannot be read, or it is not a journal.
        StoreVersionError: A newer version of tracker wrote the file.
    """
    data = _read(path, 0, FIRST_BYTES, ahead=False)
    if _check_header(path, data) is None:
        return
    scanner = _Scanner(segment, HEADER.size, None, final=final)
    at_end = len(data) < FIRST_BYTES
    yield from scanner.feed(data[HEADER.size :], at_end)
    if not (at_end or scanner.stopped):
        yield from _scan(path, scanner, len(data))


def _scan(path: Path, scanner: _Scanner, position: int) -> Iterator[Outcome]:
    """Yield what a scanner finds from a position on, to the end of a journal."""
    while True:
        wanted = max(CHUNK, scanner.waiting)  # a large frame is not copied once for each small chunk
        data = _read(path, position, wanted)
        position += len(data)
        at_end = len(data) < wanted
        yield from scanner.feed(data, at_end)
        if at_end or scanner.stopped:
            return


def split_frames(data: bytes, segment: str, offset: int, sequence: int | None) -> list[Frame]:
    """Return the complete frames at the start of ``data``, up to the first bytes that are not a frame.

    Args:
        data: Bytes of a journal.
        segment: Id of the segment.
        offset: Position of ``data`` in the journal, in bytes.
        sequence: Expected number of the first frame, if known.
    """
    scanner = _Scanner(segment, offset, sequence, final=False)
    return [outcome for outcome in scanner.feed(data, at_end=True) if isinstance(outcome, Frame)]


class _Scanner:
    """Parser that finds frames in the chunks of a journal."""

    def __init__(
        self, segment: str, offset: int, sequence: int | None, *, final: bool, skip: bool = False
    ) -> None:
        self._seed = checksum_seed(segment)
        self._base = offset
        self._buffer = b""
        self._sequence = sequence
        self._final = final
        self._skip = final or skip
        self.stopped = False

    @property
    def waiting(self) -> int:
        """Number of bytes that are read and not yet part of an outcome."""
        return len(self._buffer)

    def feed(self, data: bytes, at_end: bool) -> Iterator[Outcome]:
        buffer = self._buffer + data if self._buffer else data
        at = 0
        while True:
            found = self._frame_at(buffer, at)
            if isinstance(found, Frame):
                if found.sequence == self._sequence:
                    self._sequence += 1
                    yield found
                else:
                    yield from self._in_order(found)
                    if self.stopped:
                        return
                at = found.end - self._base
                continue
            reason, incomplete = found
            if incomplete and not at_end:
                break  # the rest of this frame is in the next chunk
            if at == len(buffer) and at_end and self._final:
                return
            if not self._skip:
                self.stopped = True
                yield NotYet(self._base + at, len(buffer) - at)
                return
            following = self._find_frame(buffer, at + 1)
            if following is None:
                if not at_end:
                    break  # the damaged region may end in the next chunk
                if self._final:
                    yield TornTail(self._base + at, len(buffer) - at, reason)
                else:
                    yield NotYet(self._base + at, len(buffer) - at)
                return
            yield self._gap(self._base + at, following.offset, reason, following.sequence)
            at = following.offset - self._base
            if self._sequence is None or following.sequence > self._sequence:
                self._sequence = following.sequence
        self._buffer = buffer[at:]
        self._base += at

    def _in_order(self, record: Frame) -> Iterator[Outcome]:
        expected = self._sequence
        if expected is not None and record.sequence != expected and not self._skip:
            # In a live file, later blocks can become visible before earlier ones: wait for the earlier ones.
            self.stopped = True
            yield NotYet(record.offset, record.end - record.offset)
            return
        if expected is not None and record.sequence < expected:
            # The file contains these bytes twice. Their frames were read already.
            yield Corrupt(record.offset, record.end, f"frame {record.sequence} appears again", None)
            return
        if expected is not None and record.sequence > expected:
            yield self._gap(record.offset, record.offset, "frames are missing", record.sequence)
        self._sequence = record.sequence + 1
        yield record

    def _gap(self, start: int, end: int, reason: str, next_sequence: int) -> Corrupt:
        expected = self._sequence
        missing = (expected, next_sequence - 1) if expected is not None and next_sequence > expected else None
        return Corrupt(start, end, reason, missing)

    def _frame_at(self, buffer: bytes, at: int) -> Frame | tuple[str, bool]:
        """Return the frame at ``at``; else the reason, and whether more bytes could complete a frame."""
        left = len(buffer) - at
        if left < _HEAD:
            return "the frame header is cut off", True
        marker, sequence, length, checksum = _unpack(buffer, at)
        if marker != MARKER:
            return "no frame marker", False
        if length > MAX_PAYLOAD:
            return f"the length of a frame is {length} bytes; the limit is {MAX_PAYLOAD}", False
        start = at + _HEAD
        if left < _HEAD + length:
            return "the frame is cut off", True
        payload = buffer[start : start + length]
        prefix = buffer[at : at + _PREFIX]
        if crc32(payload, crc32(prefix, self._seed)) != checksum:
            return "checksum mismatch", False
        return _make_frame((self._base + at, self._base + start + length, sequence, payload))

    def _find_frame(self, buffer: bytes, at: int) -> Frame | None:
        while (at := buffer.find(MARKER, at)) >= 0:
            found = self._frame_at(buffer, at)
            if isinstance(found, Frame):
                return found
            at += 1
        return None


def _read(path: Path, offset: int, size: int, *, ahead: bool = True) -> bytes:
    """Return the bytes of a file at an offset. Without ``ahead``, the system reads no further bytes."""
    try:
        with path.open("rb", buffering=0) as file:
            if not ahead and hasattr(os, "posix_fadvise"):  # not on macOS
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            file.seek(offset)
            pieces = []
            while size > 0 and (piece := file.read(size)):
                pieces.append(piece)
                size -= len(piece)
            return b"".join(pieces)
    except OSError as error:
        raise JournalError("read", str(path), offset, error.strerror or str(error)) from error
