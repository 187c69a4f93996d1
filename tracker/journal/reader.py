"""Reading a journal: five outcomes that are never merged.

* ``Frame``: a whole, valid frame.
* ``NotYet``: what follows may still be being written (live reading only).
* ``TornTail``: the writer died while writing its last frame (final reading only).
* ``Corrupt``: bytes that are no frame, with whole frames behind them, or frames that are gone.
* ``JournalError`` is raised: the operating system could not read.

A *live* reading never calls a tail torn, and never skips a bad region: on a network file
system pages can arrive out of order and read as zeros for a while. One that *skips* is live too, of
a journal whose bad regions have been waited for long enough: it reports those that have whole frames
behind them and goes on there, but never calls a tail torn. A *final* reading is for a journal whose
writer has ended: it also reports the tail.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
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

# Read in steps, so that following a large journal never holds all of it.
CHUNK = 4 * 1024 * 1024


class Frame(NamedTuple):
    """A whole frame: ``payload`` stood at ``offset`` and ended before ``end``."""

    offset: int
    end: int
    sequence: int
    payload: bytes


class NotYet(NamedTuple):
    """Nothing valid at ``offset`` so far; ``size`` bytes are there already."""

    offset: int
    size: int


class TornTail(NamedTuple):
    """The last ``size`` bytes from ``offset`` on are an unfinished frame."""

    offset: int
    size: int
    reason: str


class Corrupt(NamedTuple):
    """Bytes ``offset`` to ``end`` hold no frame, or frames ``missing`` (first, last) are gone."""

    offset: int
    end: int
    reason: str
    missing: tuple[int, int] | None


Outcome = Frame | NotYet | TornTail | Corrupt


def read_header(path: Path) -> FileHeader | None:
    """Return the file's header, or None while it is not whole.

    Raises:
        JournalError: It cannot be read, or the file is no journal.
        StoreVersionError: A newer tracker wrote it.
    """
    data = _read(path, 0, HEADER.size)
    header = unpack_header(data)
    if header is None:
        if len(data) < HEADER.size or not any(data):
            return None
        raise JournalError("read", str(path), 0, "it does not begin with a journal header")
    if header.version > VERSION:
        raise StoreVersionError(
            f"journal {path} has format {header.version}, this tracker reads up to {VERSION}: "
            "upgrade airgap-tracker on this machine"
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
    """Yield what stands in the journal at ``path`` from byte ``offset`` on.

    Args:
        path: The journal.
        segment: Its segment id, from ``read_header``.
        offset: Where a frame begins, or begins to be expected.
        sequence: Number of the next frame, when known; a jump is reported as missing frames.
        final: True when its writer has ended; False to follow a live one.
        skip: Go on behind what is bad and has whole frames behind it; ``final`` does so anyway.

    Yields:
        ``Frame`` and (final or skip) ``Corrupt`` in file order; the last is ``NotYet`` (live) or
        possibly ``TornTail`` (final).

    Raises:
        JournalError: The file could not be read.
    """
    scanner = _Scanner(segment, offset, sequence, final=final, skip=skip)
    position = offset
    while True:
        data = _read(path, position, CHUNK)
        position += len(data)
        at_end = len(data) < CHUNK
        yield from scanner.feed(data, at_end)
        if at_end or scanner.stopped:
            return


def split_frames(data: bytes, segment: str, offset: int, sequence: int | None) -> list[Frame]:
    """Return the whole frames at the beginning of ``data``; stops at the first byte that is none."""
    scanner = _Scanner(segment, offset, sequence, final=False)
    return [outcome for outcome in scanner.feed(data, at_end=True) if isinstance(outcome, Frame)]


class _Scanner:
    """Finds frames in bytes that arrive in chunks."""

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

    def feed(self, data: bytes, at_end: bool) -> Iterator[Outcome]:
        buffer = self._buffer + data if self._buffer else data
        at = 0
        while True:
            found = self._frame_at(buffer, at)
            if isinstance(found, Frame):
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
                    break  # a bad region that goes on: look again with more of it
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
            # A live file can show late blocks before early ones; wait, never guess.
            self.stopped = True
            yield NotYet(record.offset, record.end - record.offset)
            return
        if expected is not None and record.sequence < expected:
            # A frame that stood before: a repeated block. Its content was read already.
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
        """Return the frame at ``at``, or why there is none and whether more bytes could help."""
        left = len(buffer) - at
        if left < FRAME.size:
            return "the frame header is cut off", True
        marker, sequence, length, checksum = FRAME.unpack_from(buffer, at)
        if marker != MARKER:
            return "no frame marker", False
        if length > MAX_PAYLOAD:
            return f"a frame claims {length} bytes", False
        start = at + FRAME.size
        if left < FRAME.size + length:
            return "the frame is cut off", True
        payload = buffer[start : start + length]
        prefix = buffer[at : at + FRAME_PREFIX.size]
        if crc32(payload, crc32(prefix, self._seed)) != checksum:
            return "checksum mismatch", False
        return Frame(self._base + at, self._base + start + length, sequence, payload)

    def _find_frame(self, buffer: bytes, at: int) -> Frame | None:
        while (at := buffer.find(MARKER, at)) >= 0:
            found = self._frame_at(buffer, at)
            if isinstance(found, Frame):
                return found
            at += 1
        return None


def _read(path: Path, offset: int, size: int) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            pieces = []
            while size > 0 and (piece := file.read(size)):
                pieces.append(piece)
                size -= len(piece)
            return b"".join(pieces)
    except OSError as error:
        raise JournalError("read", str(path), offset, error.strerror or str(error)) from error
