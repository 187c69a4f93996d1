"""The journal reader: a table of damaged journals for each mode, one test per branch, and random damage."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from builders import PROJECT, Writer
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.errors import JournalError, StoreVersionError
from tracker.journal import reader
from tracker.journal.format import FRAME, HEADER, MARKER, MAX_PAYLOAD, checksum_seed, pack_frame, pack_header
from tracker.journal.reader import (
    Corrupt,
    Frame,
    NotYet,
    Outcome,
    TornTail,
    read_frames,
    read_header,
    read_journal,
)
from tracker.journal.writer import JournalWriter
from tracker.reading.resume_state import find_run
from tracker.store.objects.layout import Layout

SEGMENT = "0123456789abcdef" * 2
OTHER = "fedcba9876543210" * 2
SEED = checksum_seed(SEGMENT)
PAYLOADS = [b"zero", b"one" * 10, b"", b"three" * 100, b"four"]


def frames(payloads: list[bytes] = PAYLOADS, first: int = 0) -> list[bytes]:
    return [pack_frame(payload, first + at, SEED) for at, payload in enumerate(payloads)]


def journal(payloads: list[bytes] = PAYLOADS) -> bytes:
    return pack_header(SEGMENT, 0) + b"".join(frames(payloads))


def offset_of(at: int) -> int:
    """Return the offset of frame ``at`` of ``PAYLOADS``."""
    return HEADER.size + sum(len(frame) for frame in frames()[:at])


END = offset_of(len(PAYLOADS))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.journal"


def read(path: Path, data: bytes, *, final: bool, sequence: int | None = 0) -> list[Outcome]:
    path.write_bytes(data)
    return list(read_frames(path, SEGMENT, sequence=sequence, final=final))


def payloads_of(outcomes: list[Outcome]) -> list[bytes]:
    return [outcome.payload for outcome in outcomes if isinstance(outcome, Frame)]


# The header


def test_header_is_read_back(path: Path) -> None:
    path.write_bytes(pack_header(SEGMENT, 7))
    assert read_header(path) == (SEGMENT, 7, 1)


def test_header_with_wrong_magic_is_an_error(path: Path) -> None:
    path.write_bytes(b"NOTAJRNL" + journal()[8:])
    with pytest.raises(JournalError, match="does not begin with a journal header") as raised:
        read_header(path)
    assert (raised.value.operation, raised.value.path, raised.value.offset) == ("read", str(path), 0)


@pytest.mark.parametrize("size", [0, 1, 8, HEADER.size - 1])
def test_incomplete_header_is_none(path: Path, size: int) -> None:
    path.write_bytes(journal()[:size])
    assert read_header(path) is None
    assert list(read_frames(path, SEGMENT, final=False)) == [NotYet(HEADER.size, 0)]
    assert list(read_frames(path, SEGMENT, final=True)) == []


def test_header_of_zeros_is_none(path: Path) -> None:
    path.write_bytes(bytes(HEADER.size) + b"".join(frames()))
    assert read_header(path) is None


def test_newer_version_is_an_error_on_one_line(path: Path) -> None:
    path.write_bytes(HEADER.pack(b"TRKJRNL\n", 2, 0, 0, bytes.fromhex(SEGMENT)))
    with pytest.raises(StoreVersionError, match=r"only versions up to 1\. Upgrade") as raised:
        read_header(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_header_of_a_missing_file_is_an_error(path: Path) -> None:
    with pytest.raises(JournalError, match="No such file"):
        read_header(path)


# Damaged journals, for all modes


class Case(NamedTuple):
    """A damaged journal, and the outcomes of reading it.

    Attributes:
        mutate: Damages the bytes of a journal with the frames 0 to 4.
        kept: Numbers of the frames that final mode returns.
        final: The other outcomes of final mode.
        seen: Numbers of the frames that live mode returns.
        live: The other outcomes of live mode.
    """

    mutate: Callable[[bytes], bytes]
    kept: list[int]
    final: list[Outcome]
    seen: list[int]
    live: list[Outcome]


def cut(end: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:end]


def put(at: int, piece: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + piece + data[at + len(piece) :]


def insert(at: int, piece: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + piece + data[at:]


def remove(first: int, last: int) -> Callable[[bytes], bytes]:
    return lambda data: data[: offset_of(first)] + data[offset_of(last + 1) :]


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]


FOREIGN = pack_header(OTHER, 0) + pack_frame(b"foreign", 3, checksum_seed(OTHER))
WIDE = END - offset_of(3)  # bytes from frame 3 on
TOO_LONG = f"the length of a frame is {MAX_PAYLOAD + 1} bytes; the limit is {MAX_PAYLOAD}"

CASES = {
    "untouched": Case(lambda data: data, [0, 1, 2, 3, 4], [], [0, 1, 2, 3, 4], [NotYet(END, 0)]),
    "only a header": Case(cut(HEADER.size), [], [], [], [NotYet(HEADER.size, 0)]),
    "frame header cut off": Case(
        cut(offset_of(4) + 7),
        [0, 1, 2, 3],
        [TornTail(offset_of(4), 7, "the frame header is cut off")],
        [0, 1, 2, 3],
        [NotYet(offset_of(4), 7)],
    ),
    "frame cut off": Case(
        cut(END - 1),
        [0, 1, 2, 3],
        [TornTail(offset_of(4), END - 1 - offset_of(4), "the frame is cut off")],
        [0, 1, 2, 3],
        [NotYet(offset_of(4), END - 1 - offset_of(4))],
    ),
    "no marker in the middle": Case(
        flip(offset_of(3)),
        [0, 1, 2, 4],
        [Corrupt(offset_of(3), offset_of(4), "no frame marker", (3, 3))],
        [0, 1, 2],
        [NotYet(offset_of(3), WIDE)],
    ),
    "absurd length": Case(
        put(offset_of(3) + 12, struct.pack("<I", MAX_PAYLOAD + 1)),
        [0, 1, 2, 4],
        [Corrupt(offset_of(3), offset_of(4), TOO_LONG, (3, 3))],
        [0, 1, 2],
        [NotYet(offset_of(3), WIDE)],
    ),
    "length that reaches past the end": Case(
        put(offset_of(3) + 12, struct.pack("<I", 5000)),
        [0, 1, 2, 4],
        [Corrupt(offset_of(3), offset_of(4), "the frame is cut off", (3, 3))],
        [0, 1, 2],
        [NotYet(offset_of(3), WIDE)],
    ),
    "checksum mismatch in a payload": Case(
        flip(offset_of(3) + FRAME.size + 17),
        [0, 1, 2, 4],
        [Corrupt(offset_of(3), offset_of(4), "checksum mismatch", (3, 3))],
        [0, 1, 2],
        [NotYet(offset_of(3), WIDE)],
    ),
    "checksum mismatch in a sequence number": Case(
        flip(offset_of(3) + 4),
        [0, 1, 2, 4],
        [Corrupt(offset_of(3), offset_of(4), "checksum mismatch", (3, 3))],
        [0, 1, 2],
        [NotYet(offset_of(3), WIDE)],
    ),
    "checksum mismatch in the last frame": Case(
        flip(END - 1),
        [0, 1, 2, 3],
        [TornTail(offset_of(4), END - offset_of(4), "checksum mismatch")],
        [0, 1, 2, 3],
        [NotYet(offset_of(4), END - offset_of(4))],
    ),
    "missing frames": Case(
        remove(1, 3),
        [0, 4],
        [Corrupt(offset_of(1), offset_of(1), "frames are missing", (1, 3))],
        [0],
        [NotYet(offset_of(1), len(frames()[4]))],
    ),
    "zero pages in the middle": Case(
        put(offset_of(1), bytes(offset_of(3) - offset_of(1))),
        [0, 3, 4],
        [Corrupt(offset_of(1), offset_of(3), "no frame marker", (1, 2))],
        [0],
        [NotYet(offset_of(1), END - offset_of(1))],
    ),
    "zero pages at the end": Case(
        lambda data: data + bytes(4096),
        [0, 1, 2, 3, 4],
        [TornTail(END, 4096, "no frame marker")],
        [0, 1, 2, 3, 4],
        [NotYet(END, 4096)],
    ),
    "garbage at the end": Case(
        lambda data: data + b"\xc1\xfeT garbage" + MARKER,
        [0, 1, 2, 3, 4],
        [TornTail(END, 15, "the frame header is cut off")],
        [0, 1, 2, 3, 4],
        [NotYet(END, 15)],
    ),
    "garbage between frames": Case(
        insert(offset_of(2), MARKER + b"\x00" * 16 + MARKER),
        [0, 1, 2, 3, 4],
        [Corrupt(offset_of(2), offset_of(2) + 24, "checksum mismatch", None)],
        [0, 1],
        [NotYet(offset_of(2), END - offset_of(2) + 24)],
    ),
    "frame of another journal between frames": Case(
        insert(offset_of(2), FOREIGN),
        [0, 1, 2, 3, 4],
        [Corrupt(offset_of(2), offset_of(2) + len(FOREIGN), "no frame marker", None)],
        [0, 1],
        [NotYet(offset_of(2), END - offset_of(2) + len(FOREIGN))],
    ),
    "repeated frame": Case(
        insert(offset_of(2), frames()[1]),
        [0, 1, 2, 3, 4],
        [Corrupt(offset_of(2), offset_of(2) + len(frames()[1]), "frame 1 appears again", None)],
        [0, 1],
        [NotYet(offset_of(2), len(frames()[1]))],
    ),
    "repeated frames behind garbage": Case(
        insert(offset_of(3), b"garbage" + frames()[1] + frames()[2]),
        [0, 1, 2, 3, 4],
        [
            Corrupt(offset_of(3), offset_of(3) + 7, "no frame marker", None),
            Corrupt(offset_of(3) + 7, offset_of(3) + 7 + len(frames()[1]), "frame 1 appears again", None),
            Corrupt(
                offset_of(3) + 7 + len(frames()[1]),
                offset_of(3) + 7 + len(frames()[1]) + len(frames()[2]),
                "frame 2 appears again",
                None,
            ),
        ],
        [0, 1, 2],
        [NotYet(offset_of(3), END - offset_of(3) + 7 + len(frames()[1]) + len(frames()[2]))],
    ),
    "two bad regions": Case(
        lambda data: flip(offset_of(1) + FRAME.size)(flip(offset_of(3))(data)),
        [0, 2, 4],
        [
            Corrupt(offset_of(1), offset_of(2), "checksum mismatch", (1, 1)),
            Corrupt(offset_of(3), offset_of(4), "no frame marker", (3, 3)),
        ],
        [0],
        [NotYet(offset_of(1), END - offset_of(1))],
    ),
    "nothing but garbage": Case(
        lambda data: data[: HEADER.size] + b"x" * 100,
        [],
        [TornTail(HEADER.size, 100, "no frame marker")],
        [],
        [NotYet(HEADER.size, 100)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_final_mode(path: Path, name: str) -> None:
    case = CASES[name]
    outcomes = read(path, case.mutate(journal()), final=True)
    assert [outcome for outcome in outcomes if not isinstance(outcome, Frame)] == case.final
    assert payloads_of(outcomes) == [PAYLOADS[at] for at in case.kept]
    assert [outcome.sequence for outcome in outcomes if isinstance(outcome, Frame)] == case.kept


@pytest.mark.parametrize("name", CASES)
def test_live_mode(path: Path, name: str) -> None:
    case = CASES[name]
    outcomes = read(path, case.mutate(journal()), final=False)
    assert [outcome for outcome in outcomes if not isinstance(outcome, Frame)] == case.live
    assert payloads_of(outcomes) == [PAYLOADS[at] for at in case.seen]


@pytest.mark.parametrize("name", CASES)
def test_skipping_mode(path: Path, name: str) -> None:
    """Skipping mode returns the same as final mode, except that it never reports a torn tail."""
    data = CASES[name].mutate(journal())
    *final, last = [*read(path, data, final=True), None]
    if isinstance(final[-1] if final else None, TornTail):
        last = final.pop()
    *found, waits = read_frames(path, SEGMENT, sequence=0, final=False, skip=True)
    assert found == final
    assert waits == (NotYet(last.offset, last.size) if last is not None else NotYet(len(data), 0))


@pytest.mark.parametrize("final", [True, False], ids=["final", "live"])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("chunk", [1, 19, 20, 21, 64, 543])
def test_chunk_size_has_no_effect(
    path: Path, monkeypatch: pytest.MonkeyPatch, name: str, chunk: int, final: bool
) -> None:
    data = CASES[name].mutate(journal())
    whole = read(path, data, final=final)
    monkeypatch.setattr(reader, "CHUNK", chunk)
    pieces = read(path, data, final=final)
    # Only the size of an incomplete rest may differ.
    assert [each._replace(size=0) if isinstance(each, NotYet) else each for each in pieces] == [
        each._replace(size=0) if isinstance(each, NotYet) else each for each in whole
    ]


# Branches that the table does not cover


def test_frames_have_their_offsets(path: Path) -> None:
    first, second, *_ = read(path, journal(), final=True)
    assert first == Frame(offset_of(0), offset_of(1), 0, PAYLOADS[0])
    assert second == Frame(offset_of(1), offset_of(2), 1, PAYLOADS[1])


def test_reading_starts_at_an_offset(path: Path) -> None:
    path.write_bytes(journal())
    outcomes = list(read_frames(path, SEGMENT, offset_of(3), 3, final=True))
    assert payloads_of(outcomes) == PAYLOADS[3:]


def test_without_a_sequence_the_first_frame_sets_it(path: Path) -> None:
    data = remove(0, 1)(journal())
    assert payloads_of(read(path, data, final=True, sequence=None)) == PAYLOADS[2:]
    gap, *_ = read(path, data, final=True, sequence=0)
    assert gap == Corrupt(HEADER.size, HEADER.size, "frames are missing", (0, 1))


def test_frames_of_another_journal_in_a_payload_are_not_read(path: Path) -> None:
    held = FOREIGN + b"tail"
    data = journal([b"before", held, b"behind"])
    assert payloads_of(read(path, data, final=True)) == [b"before", held, b"behind"]
    damaged = data.replace(b"tail", b"TAIL")  # the outer frame breaks; the inner one must not appear
    assert payloads_of(read(path, damaged, final=True)) == [b"before", b"behind"]


def test_journal_of_another_segment_has_no_valid_frames(path: Path) -> None:
    path.write_bytes(journal())
    assert payloads_of(list(read_frames(path, OTHER, final=True))) == []


def test_marker_inside_payloads_does_not_end_them(path: Path) -> None:
    held = [MARKER * 7, b"x" + MARKER, MARKER + b"\xff" * 16]
    assert payloads_of(read(path, journal(held), final=True)) == held
    lost = flip(HEADER.size)(journal(held))
    assert payloads_of(read(path, lost, final=True)) == held[1:]


def test_incomplete_frame_is_read_once_it_is_complete(path: Path) -> None:
    data = journal()
    path.write_bytes(data[:-2])
    *_, last = read_frames(path, SEGMENT, sequence=0, final=False)
    assert isinstance(last, NotYet)
    path.write_bytes(data)
    assert payloads_of(list(read_frames(path, SEGMENT, last.offset, 4, final=False))) == PAYLOADS[4:]


def test_frames_are_read_once_a_late_page_arrives(path: Path) -> None:
    data = journal()
    late = put(offset_of(2), bytes(30))(data)
    first = read(path, late, final=False)
    assert payloads_of(first) == PAYLOADS[:2]
    assert payloads_of(read(path, data, final=False)) == PAYLOADS


def test_frames_larger_than_a_chunk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "CHUNK", 100)
    held = [os.urandom(1000), b"small", os.urandom(1)]
    assert payloads_of(read(path, journal(held), final=True)) == held


def test_file_that_ends_exactly_at_a_chunk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = journal()
    monkeypatch.setattr(reader, "CHUNK", len(data) - HEADER.size)
    assert read(path, data, final=False)[-1] == NotYet(END, 0)
    assert payloads_of(read(path, data, final=True)) == PAYLOADS


def test_io_error_for_a_folder(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="Is a directory") as raised:
        list(read_frames(tmp_path, SEGMENT, final=True))
    assert raised.value.path == str(tmp_path)


def test_io_error_from_the_device(tmp_path: Path) -> None:
    # A read of a process's memory at address 32 fails with EIO, like a read from a defective disk.
    path = tmp_path / "memory"
    path.symlink_to("/proc/self/mem")
    with pytest.raises(JournalError, match="Input/output error") as raised:
        list(read_frames(path, SEGMENT, final=False))
    assert raised.value.offset == HEADER.size


def test_io_error_without_the_right_to_read(path: Path) -> None:
    path.write_bytes(journal())
    path.chmod(0)
    ours = os.geteuid()
    if ours == 0:
        os.seteuid(65534)  # root could read the file
    try:
        with pytest.raises(JournalError, match="Permission denied"):
            list(read_frames(path, SEGMENT, final=True))
    finally:
        os.seteuid(ours)


def test_io_error_if_the_file_is_deleted_between_chunks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "CHUNK", 40)
    path.write_bytes(journal())
    outcomes = read_frames(path, SEGMENT, final=True)
    assert isinstance(next(outcomes), Frame)
    path.unlink()
    with pytest.raises(JournalError, match="No such file"):
        list(outcomes)


def test_split_frames_stops_at_the_first_invalid_frame() -> None:
    body = b"".join(frames())
    whole = reader.split_frames(body, SEGMENT, HEADER.size, 0)
    assert [each.payload for each in whole] == PAYLOADS
    assert whole[-1].end == END
    assert [each.payload for each in reader.split_frames(body[:-1], SEGMENT, HEADER.size, 0)] == PAYLOADS[:4]
    broken = flip(offset_of(1) - HEADER.size)(body)
    assert [each.payload for each in reader.split_frames(broken, SEGMENT, HEADER.size, 0)] == PAYLOADS[:1]
    assert reader.split_frames(body, SEGMENT, HEADER.size, 1) == []


# Random damage

some_payloads = st.lists(
    st.one_of(
        st.binary(max_size=60), st.just(MARKER), st.just(FOREIGN), st.binary(min_size=200, max_size=400)
    ),
    min_size=1,
    max_size=12,
)
places = st.floats(0, 1)
mutations = st.lists(
    st.one_of(
        st.tuples(st.just("cut"), places, places),
        st.tuples(st.just("flip"), places, st.floats(0.01, 1)),
        st.tuples(st.just("zero"), places, places),
    ),
    min_size=1,
    max_size=3,
)


def damage(data: bytes, steps: list[tuple[str, float, float]]) -> bytes:
    """Damage the bytes after the header.

    Each step is a kind of damage, a position as a share of the length, and an amount.
    """
    changed = bytearray(data)
    for kind, where, amount in steps:
        at = HEADER.size + int(where * (len(changed) - HEADER.size))
        if kind == "cut":
            del changed[at:]
        elif kind == "zero":
            end = min(len(changed), at + int(amount * 120))
            changed[at:end] = bytes(end - at)
        elif at < len(changed):
            changed[at] ^= max(1, int(amount * 255))
    return bytes(changed)


@settings(max_examples=300)
@given(payloads=some_payloads, steps=mutations, chunk=st.sampled_from([7, 50, 4096]))
def test_random_damage(
    tmp_path: Path, payloads: list[bytes], steps: list[tuple[str, float, float]], chunk: int
) -> None:
    path = tmp_path / "damaged.journal"
    path.unlink(missing_ok=True)
    with_writer = JournalWriter(path, SEGMENT)
    ends = [with_writer.append(payload) for payload in payloads]
    with_writer.close()
    whole = path.read_bytes()
    hurt = damage(whole, steps)
    path.write_bytes(hurt)
    untouched = [
        at
        for at, (start, end) in enumerate(zip([HEADER.size, *ends], ends, strict=False))
        if hurt[start:end] == whole[start:end]
    ]

    before, reader.CHUNK = reader.CHUNK, chunk
    try:
        final = list(read_frames(path, SEGMENT, sequence=0, final=True))
        live = list(read_frames(path, SEGMENT, sequence=0, final=False))
        past = list(read_frames(path, SEGMENT, sequence=0, final=False, skip=True))
    finally:
        reader.CHUNK = before

    found = [outcome for outcome in final if isinstance(outcome, Frame)]
    assert [outcome.sequence for outcome in found] == untouched
    assert payloads_of(final) == [payloads[at] for at in untouched]
    # Each frame is returned, or reported as missing if a later frame follows.
    missing = {
        at
        for outcome in final
        if isinstance(outcome, Corrupt) and outcome.missing
        for at in range(outcome.missing[0], outcome.missing[1] + 1)
    }
    assert missing == set(range(max(untouched, default=-1) + 1)) - set(untouched)
    assert not any(isinstance(outcome, NotYet) for outcome in final)
    assert not any(isinstance(outcome, TornTail) for outcome in final[:-1])

    assert past[:-1] == [outcome for outcome in final if not isinstance(outcome, TornTail)]
    assert isinstance(past[-1], NotYet)

    *seen, last = live
    assert isinstance(last, NotYet)
    assert all(isinstance(outcome, Frame) for outcome in seen)
    assert payloads_of(seen) == payloads[: len(seen)]
    assert len(seen) >= next((at for at in range(len(payloads)) if at not in untouched), len(payloads))


@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize("sizes", [[10] * 5, [5000, 10], [10, 300_000, 10], [reader.FIRST_BYTES] * 3, []])
def test_a_journal_is_read_from_its_beginning_with_a_small_first_read(
    path: Path, sizes: list[int], final: bool
) -> None:
    for left_out in (0, 3):
        data = journal([bytes([at]) * size for at, size in enumerate(sizes)])
        path.write_bytes(data[: len(data) - left_out])
        found = list(read_journal(path, SEGMENT, final=final)) if left_out < len(data) else []
        whole = list(read_frames(path, SEGMENT, final=final)) if read_header(path) is not None else []
        assert found == whole


def test_a_start_reads_little_of_the_journals_of_other_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path)
    for at in range(3):
        writer = Writer(layout, f"{at}a" * 16, f"run{at}")
        for _ in range(100):
            writer.log({"text": "x" * 1000})
    sizes: list[int] = []
    read = reader._read

    def note(*arguments: Any, **options: Any) -> bytes:
        data = read(*arguments, **options)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(reader, "_read", note)
    assert find_run(layout, "team", PROJECT, "another") is None
    assert len(sizes) == 3
    assert sum(sizes) <= 3 * reader.FIRST_BYTES
    assert find_run(layout, "team", PROJECT, "run1") is not None
    assert sum(sizes) > 100_000


@settings(max_examples=100)
@given(garbage=st.binary(max_size=2000), final=st.booleans())
def test_random_bytes_raise_only_journal_errors(tmp_path: Path, garbage: bytes, final: bool) -> None:
    path = tmp_path / "garbage.journal"
    path.write_bytes(garbage)
    try:
        header = read_header(path)
    except JournalError:
        header = None
    assert header is None
    assert payloads_of(list(read_frames(path, SEGMENT, final=final))) == []
