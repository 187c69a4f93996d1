"""Applying damaged journals: all whole records are read, and the damage is reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import (
    HOST,
    Writer,
    all_rows,
    apply_all,
    dump,
    end_segments,
    get_run,
    problems,
    read_history,
    seal_all,
    the_journal,
)

from tracker.errors import JournalError
from tracker.journal.format import HEADER, checksum_seed, pack_frame
from tracker.journal.reader import Frame, read_frames
from tracker.store.ingest import apply
from tracker.store.ingest.apply import apply_journal
from tracker.store.queries.runs import run_detail
from tracker.store.store import Store

A, B, C = "aa" * 16, "bb" * 16, "cc" * 16


def break_frame(path: Path, segment: str, number: int) -> tuple[int, int]:
    """Flip a bit in the payload of frame ``number``; return the offsets of the frame's begin and end."""
    frames = [each for each in read_frames(path, segment, final=True) if isinstance(each, Frame)]
    data = bytearray(path.read_bytes())
    data[frames[number].end - 1] ^= 1
    path.write_bytes(data)
    return frames[number].offset, frames[number].end


@pytest.mark.parametrize("batch_bytes", [0, 8 * 1024 * 1024])
def test_corrupt_record_is_reported_once_and_later_records_are_read(
    store: Store, monkeypatch: pytest.MonkeyPatch, batch_bytes: int
) -> None:
    monkeypatch.setattr(apply, "BATCH_BYTES", batch_bytes)
    writer = Writer(store.layout, A)
    for at in range(6):
        writer.log({"x": at})
    writer.finish()
    start, end = break_frame(writer.path, A, 3)
    assert apply_all(store) == 3  # a recorder waits before the damaged region
    assert get_run(store).state == "running"
    apply_all(store, final=True)
    name = writer.path.name
    assert problems(store, A) == [
        f"journal {name} is damaged at bytes {start} to {end}: checksum mismatch; records 3 to 3 are lost"
    ]
    with store.reading() as session:
        assert run_detail(session, "team", "demo", "run1").problems == problems(store, A)
    assert [row["x"] for row in read_history(store)] == [0, 1, 3, 4, 5]
    assert get_run(store).state == "finished"
    seal_all(store)
    assert len(problems(store, A)) == 1


def test_torn_tail_is_reported_when_the_writer_has_ended(store: Store) -> None:
    writer = Writer(store.layout, A)
    whole = writer.log({"x": 1})
    end = writer.log({"x": 2})
    with writer.path.open("r+b") as file:
        file.truncate(end - 1)
    assert apply_all(store) == 2
    assert apply_journal(store, the_journal(store)) == (0, whole, False, end - 1 - whole, False, False)
    assert problems(store, A) == []
    apply_all(store, final=True)
    end_segments(store)
    assert problems(store, A) == [
        f"journal {writer.path.name} ends in an unfinished record: "
        f"{end - 1 - whole} bytes at {whole} (the frame is cut off)"
    ]
    assert apply_all(store, final=True) == 0
    assert len(problems(store, A)) == 1
    assert get_run(store).state == "crashed"


def test_rows_wait_when_the_first_record_is_lost(store: Store) -> None:
    writer = Writer(store.layout, A)
    writer.log({"x": 1})
    start, end = break_frame(writer.path, A, 0)
    assert apply_all(store) == 0
    apply_all(store, final=True)
    assert problems(store, A) == [
        f"journal {writer.path.name} is damaged at bytes {start} to {end}: "
        "checksum mismatch; records 0 to 0 are lost"
    ]
    assert [row[4] for row in all_rows(store, A)] == [{"x": 1}]  # the row waits, as its run is not known


def test_applying_stops_before_an_unknown_record(store: Store) -> None:
    writer = Writer(store.layout, A)
    writer.log({"x": 1})
    offset = writer.journal.append(b"\x92\x63\x01")
    writer.log({"x": 2})
    with pytest.raises(JournalError, match="cannot decode journal") as raised:
        apply_all(store)
    assert raised.value.path == str(writer.path)
    assert raised.value.offset == offset - 23
    assert [row[4] for row in all_rows(store, A)] == [{"x": 1}]  # the row before it; later rows are not lost


def test_folder_in_a_journals_place_is_an_error(store: Store) -> None:
    path = store.layout.journal(HOST, A, 0)
    path.mkdir(parents=True)
    with pytest.raises(JournalError, match="Is a directory"):
        apply_all(store)


def test_file_that_is_not_a_journal_is_an_error_and_stays(store: Store) -> None:
    path = store.layout.journal(HOST, A, 0)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * 100)
    with pytest.raises(JournalError, match="does not begin with a journal header"):
        apply_all(store, final=True)
    assert path.read_bytes() == b"x" * 100


def test_journal_that_continues_in_a_second_file(store: Store) -> None:
    writer = Writer(store.layout, A)
    writer.log({"x": 0})
    writer.log({"half": 1}, commit=False)
    with writer.path.open("ab") as file:
        file.write(pack_frame(b"x" * 50, writer.journal.sequence, checksum_seed(A))[:30])  # a short write
    writer.next_file()
    writer.log({"other half": 1})
    writer.log({"x": 2})
    writer.finish()
    assert apply_all(store) == 6
    assert [{"x", "half", "other half"} & set(row) for row in read_history(store)] == [
        {"x"},
        {"half", "other half"},
        {"x"},
    ]
    assert len(problems(store, A)) == 1
    assert "ends in an unfinished record: 30 bytes" in problems(store, A)[0]
    assert get_run(store).state == "finished"
    before = dump(store)
    assert apply_all(store, final=True) == 0
    assert dump(store) == before
    seal_all(store)
    assert store.layout.list_journals() == []


def test_lost_header_loses_no_record(store: Store) -> None:
    writer = Writer(store.layout, A)
    writer.log({"x": 0})
    writer.next_file()
    writer.log({"x": 1})
    writer.log({"x": 2})
    with writer.path.open("r+b") as file:
        file.write(bytes(HEADER.size))
    assert apply_all(store) == 2  # the header may be in a page that is written late
    assert problems(store, A) == []
    apply_all(store, final=True)
    end_segments(store)
    seal_all(store)
    assert [row["x"] for row in read_history(store)] == [0, 1, 2]
    assert problems(store, A) == [f"journal {writer.path.name} is damaged: its header is missing"]
    assert store.layout.list_journals() == []


def test_lost_first_journal_file_is_reported(store: Store) -> None:
    writer = Writer(store.layout, A)
    lost = writer.path
    writer.log({"x": 0})
    writer.next_file()
    writer.log({"x": 1})
    lost.unlink()
    assert apply_all(store) == 0
    apply_all(store, final=True)
    (problem,) = problems(store, A)
    assert "frames are missing; records 0 to 1 are lost" in problem
