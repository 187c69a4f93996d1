"""Following journals of other processes: wait for bytes that may still arrive, and skip damaged bytes."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from builders import ENTITY, PROJECT, Writer, all_rows, get_run, problems, read_history
from rebuilding import again
from sqlalchemy import select

from tracker.ground.processes import host_name, this_process
from tracker.ground.records import RunStarted, pack
from tracker.journal.format import HEADER
from tracker.journal.reader import Frame, read_frames
from tracker.journal.writer import JournalWriter
from tracker.recorder.follow import Follower
from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import Segment
from tracker.store.queries.runs import run_detail
from tracker.store.store import Store

A = "aa" * 16
LONG = 100.0  # seconds; longer than all timeouts for missing bytes


class Clock:
    """A clock that only moves when a test sets it."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


def frames(path: Path) -> list[Frame]:
    return [each for each in read_frames(path, A, final=True) if isinstance(each, Frame)]


def cut(path: Path, size: int) -> bytes:
    """Remove the last ``size`` bytes of a journal, as another host may see it. Return these bytes."""
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(len(data) - size)
    return data[-size:]


def give(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def zero(path: Path, frame: Frame) -> bytes:
    """Replace a frame by zeros, like a page that arrives late. Return the previous content of the file."""
    data = path.read_bytes()
    path.write_bytes(data[: frame.offset] + bytes(frame.end - frame.offset) + data[frame.end :])
    return data


def flip(path: Path, frame: Frame) -> None:
    data = bytearray(path.read_bytes())
    data[frame.end - 1] ^= 1
    path.write_bytes(data)


def untouched(path: Path, seconds: float = 600.0) -> None:
    before = time.time() - seconds
    os.utime(path, (before, before))


def values(store: Store) -> list[int]:
    return [row["x"] for row in read_history(store)]


def test_a_record_that_stays_unfinished_is_not_torn_while_its_writer_may_live(
    store: Store, clock: Clock
) -> None:
    writer = Writer(store.layout, A)
    writer.log({"x": 0})
    writer.log({"x": 1})
    rest = cut(writer.path, 5)
    follower = Follower(store)
    for _ in range(3):
        follower.poll()
        clock.now += LONG
    assert values(store) == [0]
    give(writer.path, rest)
    writer.log({"x": 2})
    follower.poll()
    assert values(store) == [0, 1, 2]
    assert problems(store, A) == []


def test_a_follower_that_stays_measures_silence_with_its_own_clock(store: Store, clock: Clock) -> None:
    """A host with a slow clock counts as alive, and so does a host that was not followed for an hour."""
    writer = Writer(store.layout, A)
    writer.log({"x": 0})
    untouched(writer.path, 3600)
    follower = Follower(store, stays=True)
    for beat in range(4):
        follower.poll()
        assert get_run(store).state == "running"
        clock.now += 45
        untouched(writer.path, 3600 - 45 * beat)  # the writer touches its journal, by its own clock
    clock.now += 45
    follower.poll()
    assert get_run(store).state == "running"
    clock.now += 61
    follower.poll()
    assert get_run(store).state == "crashed"
    writer.log({"x": 1})
    follower.poll()
    assert get_run(store).state == "running"
    assert values(store) == [0, 1]


@pytest.mark.parametrize("news", ["a row", "a sign of life"])
@pytest.mark.parametrize("stays", [False, True])
def test_a_silent_writer_that_writes_again_is_running_again(
    store: Store, clock: Clock, news: str, stays: bool
) -> None:
    writer = Writer(store.layout, A)
    writer.log({"x": 0})
    heard_at = 1_700_000_000.0
    os.utime(writer.path, (heard_at, heard_at))
    follower = Follower(store, stays=stays)
    follower.poll()
    clock.now += LONG
    follower.poll()
    reason = "no sign of life from node1 since 2023-11-14 22:13 UTC; that host may have more rows"
    assert (get_run(store).state, get_run(store).error) == ("crashed", reason)
    assert (get_run(store).reason, get_run(store).last_seen) == ("host silent", heard_at)
    with store.reading() as session:
        assert run_detail(session, ENTITY, PROJECT, "run1").error == reason
    if news == "a row":
        writer.log({"x": 1})
    else:
        writer.path.touch()
    follower.poll()
    assert (get_run(store).state, get_run(store).error) == ("running", None)
    assert (get_run(store).reason, get_run(store).last_seen) == (None, None)
    writer.finish("failed", 1, "ValueError: wrong")
    follower.poll()
    assert (get_run(store).state, get_run(store).error) == ("failed", "ValueError: wrong")


@pytest.mark.parametrize(
    ("changed", "reason"), [({"started": 1}, "process gone"), ({"boot": "before"}, "host restarted")]
)
def test_why_a_writer_of_this_host_is_gone(store: Store, changed: dict[str, Any], reason: str) -> None:
    process = msgspec.structs.replace(this_process(), **changed)
    folder = store.layout.host_journals(host_name())
    folder.mkdir(parents=True)
    journal = JournalWriter(folder / f"{A}-000000.journal", A)
    journal.append(pack(RunStarted(ENTITY, PROJECT, "run1", 1e9, process)))
    journal.close()
    os.utime(journal.path, (1e9, 1e9))
    Follower(store).poll()
    for found in (store, again(store)[0]):
        run = get_run(found)
        assert (run.state, run.reason, run.last_seen, run.host) == ("crashed", reason, 1e9, host_name())
    found.close()


def test_the_reason_contains_the_time_of_the_last_sign_of_life(store: Store) -> None:
    writer = Writer(store.layout, A)
    for heard_at, text in ((0.0, "1970-01-01 00:00"), (86_400.0, "1970-01-02 00:00")):
        os.utime(writer.path, (heard_at, heard_at))
        Follower(store).poll()
        assert f"since {text} UTC" in str(get_run(store).error)


def test_a_clock_that_is_ahead_of_the_file_systems_ends_no_run(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    Writer(store.layout, A).log({"x": 1})
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 180)
    Follower(store).poll()
    assert get_run(store).state == "running"
    assert not list(store.layout.temporary.iterdir())


def test_an_unfinished_record_of_a_silent_writer_is_reported_and_read_when_it_is_whole(store: Store) -> None:
    writer = Writer(store.layout, A)
    writer.log({"x": 0})
    writer.log({"x": 1})
    rest = cut(writer.path, 5)
    untouched(writer.path)
    follower = Follower(store)
    follower.poll()
    assert (values(store), problems(store, A), get_run(store).state) == ([0], [], "crashed")
    assert "are damaged or incomplete" in follower.unread[A]
    give(writer.path, rest)
    follower.poll()
    assert (values(store), problems(store, A), get_run(store).state) == ([0, 1], [], "running")
    assert follower.unread == {}


def test_late_pages_of_a_live_journal_lose_no_rows(store: Store, clock: Clock) -> None:
    """Each round sees another page as zeros. Together they take longer than the timeout for one page."""
    writer = Writer(store.layout, A)
    for value in range(8):
        writer.log({"x": value})
    follower = Follower(store)
    for frame in frames(writer.path)[2:-1]:
        whole = zero(writer.path, frame)
        follower.poll()
        clock.now += 20
        follower.poll()
        assert len(values(store)) == frame.sequence - 1
        writer.path.write_bytes(whole)
    follower.poll()
    assert values(store) == list(range(8))
    assert problems(store, A) == []


def test_damage_in_a_live_journal_is_skipped_after_a_timeout_but_its_tail_is_not(
    store: Store, clock: Clock
) -> None:
    writer = Writer(store.layout, A)
    for value in range(5):
        writer.log({"x": value})
    flip(writer.path, frames(writer.path)[2])
    rest = cut(writer.path, 5)
    follower = Follower(store)
    assert follower.poll().live == 1
    assert A in follower.unread  # whole records follow the damage
    assert values(store) == [0]
    clock.now += LONG
    follower.poll()
    assert values(store) == [0, 2, 3]
    assert len(problems(store, A)) == 1
    clock.now += LONG
    follower.poll()
    assert follower.unread == {}  # the rest is a record that is being written
    give(writer.path, rest)
    follower.poll()
    assert values(store) == [0, 2, 3, 4]
    assert len(problems(store, A)) == 1


def test_damage_in_a_silent_journal_is_skipped_immediately(store: Store) -> None:
    writer = Writer(store.layout, A)
    for value in range(99):
        writer.log({"x": value})
    writer.finish()
    flip(writer.path, frames(writer.path)[11])
    untouched(writer.path)
    follower = Follower(store)
    follower.poll()
    assert values(store) == [value for value in range(99) if value != 10]
    assert get_run(store).state == "finished"
    (problem,) = problems(store, A)
    assert "records 11 to 11 are lost" in problem
    assert (follower.unread, follower.faults, store.layout.list_journals()) == ({}, {}, [])


def test_a_missing_header_is_skipped_too(store: Store) -> None:
    writer = Writer(store.layout, A)
    writer.log({"x": 0})
    writer.finish()
    with writer.path.open("r+b") as file:
        file.write(bytes(HEADER.size))
    untouched(writer.path)
    Follower(store).poll()
    assert values(store) == [0]
    assert problems(store, A) == [f"journal {writer.path.name} is damaged: its header is missing"]


def test_a_second_file_that_is_seen_before_the_end_of_the_first(store: Store, clock: Clock) -> None:
    writer = Writer(store.layout, A)
    for value in range(3):
        writer.log({"x": value})
    first = writer.path
    rest = cut(first, 5)
    writer.next_file()
    writer.log({"x": 3})
    follower = Follower(store)
    follower.poll()
    clock.now += 20
    follower.poll()
    assert values(store) == [0, 1]
    assert "is missing" in follower.unread[A]
    give(first, rest)
    follower.poll()
    assert values(store) == [0, 1, 2, 3]
    assert (problems(store, A), follower.unread) == ([], {})


def test_a_second_file_without_the_first(store: Store) -> None:
    writer = Writer(store.layout, A)
    writer.log({"x": 0})
    first, content = writer.path, writer.path.read_bytes()
    writer.next_file()
    writer.log({"x": 1})
    writer.finish()
    first.unlink()
    untouched(writer.path)  # a copied file may keep this time; its change time is new
    for _ in range(2):
        follower = Follower(store)
        follower.poll()
        assert "record 0 is missing" in follower.unread[A]
    first.write_bytes(content)
    untouched(first)
    Follower(store).poll()
    assert values(store) == [0, 1]
    assert (problems(store, A), store.layout.list_journals()) == ([], [])


def test_missing_records_of_a_first_file_are_given_up_after_a_timeout(store: Store, clock: Clock) -> None:
    writer = Writer(store.layout, A)
    for value in range(3):
        writer.log({"x": value})
    cut(writer.path, 5)
    writer.next_file()
    writer.log({"x": 3})
    follower = Follower(store)
    for _ in range(3):
        follower.poll()
        clock.now += LONG
    follower.poll()
    assert values(store) == [0, 1, 3]
    torn, missing = problems(store, A)
    assert "ends in an unfinished record" in torn
    assert "frames are missing; records 3 to 3 are lost" in missing


def test_rows_without_their_first_record_are_kept(store: Store) -> None:
    writer = Writer(store.layout, A)
    for value in range(5):
        writer.log({"x": value})
    writer.finish()
    flip(writer.path, frames(writer.path)[0])
    follower = Follower(store)
    follower.poll()
    assert "are damaged or incomplete" in follower.unread[A]
    untouched(writer.path)
    follower.poll()
    assert follower.unread == {}
    assert len(all_rows(store, A)) == 5
    assert store.layout.list_journals()  # their run is not known


def test_journals_of_a_sealed_segment_are_deleted_after_a_rebuild(store: Store) -> None:
    writer = Writer(store.layout, A)
    writer.log({"x": 0})
    writer.finish()
    content = writer.path.read_bytes()
    Follower(store).poll()
    assert not writer.path.exists()
    # As after a kill between publishing the segment and deleting its journals.
    writer.path.write_bytes(content)
    store.close()
    store.layout.catalog.unlink()
    rebuilt = open_store(store.root)
    Follower(rebuilt).poll()
    assert not writer.path.exists()
    assert values(rebuilt) == [0]
    rebuilt.close()


def test_a_journal_written_after_sealing_is_kept_after_a_rebuild(store: Store) -> None:
    writer = Writer(store.layout, A)
    writer.log({"x": 0})
    content = writer.path.read_bytes()
    writer.finish()
    Follower(store).poll()
    writer.path.write_bytes(content)
    writer.journal = type(writer.journal)(writer.path.with_name(f"{A}-000001.journal"), A, 1, 3)
    writer.log({"x": 1})
    store.close()
    store.layout.catalog.unlink()
    rebuilt = open_store(store.root)
    Follower(rebuilt).poll()
    assert len(rebuilt.layout.list_journals()) == 2
    with rebuilt.reading() as session:
        assert session.scalar(select(Segment.sealed))
        assert run_detail(session, "team", "demo", "run1").state == "finished"
    rebuilt.close()
