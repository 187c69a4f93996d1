"""Journals of writers on other hosts that are silent: they are sealed and set aside, and may come back."""

from __future__ import annotations

import os
import shutil
import time
from functools import partial
from pathlib import Path

import builders
import pytest
from builders import HOST, Writer, all_rows, get_run, problems, read_history
from rebuilding import again, lose_catalog

from tracker.ground.processes import MISSED_SECONDS
from tracker.journal.coalesced import CoalescedWriter
from tracker.recorder import follow, journal_folders, silent_journals
from tracker.recorder.follow import Follower
from tracker.recorder.journal_folders import FollowedSegment
from tracker.recorder.open_store import open_store
from tracker.recorder.tails import owner_of_tail, recover_tails, tails_folder
from tracker.recorder.upload import list_runs
from tracker.store.catalog.lease import SILENT_SECONDS
from tracker.store.objects.layout import INGEST, WANDB
from tracker.store.published.models import PublishedRun, read_published_model
from tracker.store.store import Store

A, B = "aa" * 16, "bb" * 16
WEEK = 7 * 24 * 3600


class Watcher:
    """A follower that stays, with a clock that only moves when a test sets it."""

    def __init__(self, store: Store, clock: pytest.MonkeyPatch) -> None:
        self.now = time.monotonic()
        clock.setattr(time, "monotonic", lambda: self.now)
        self.follow(store)

    def follow(self, store: Store) -> None:
        self.follower = Follower(store, stays=True)
        self.follower.poll()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.follower.poll()

    def wait_until_sealed(self) -> None:
        self.wait(MISSED_SECONDS + 1)
        self.wait(SILENT_SECONDS)


@pytest.fixture
def watcher(store: Store, monkeypatch: pytest.MonkeyPatch) -> Watcher:
    return Watcher(store, monkeypatch)


def untouched(path: Path, seconds: float = 600.0) -> float:
    """Set the modification time of a journal, as if its writer had been killed earlier. Return the time."""
    heard_at = float(int(time.time() - seconds))
    os.utime(path, (heard_at, heard_at))
    return heard_at


def values(store: Store) -> list[int]:
    return [row["x"] for row in read_history(store)]


def is_sealed(store: Store) -> bool:
    path = store.layout.run_file("team", "demo", "run1")
    return read_published_model(path, PublishedRun).segments[0].sealed


def test_a_silent_writer_is_crashed_and_then_sealed(store: Store, watcher: Watcher) -> None:
    writer = Writer(store.layout, A)
    for value in range(3):
        writer.log({"x": value})
    heard_at = untouched(writer.path)
    watcher.follower.poll()
    watcher.wait(MISSED_SECONDS + 1)
    assert (get_run(store).state, is_sealed(store), writer.path.exists()) == ("crashed", False, True)
    watcher.wait(SILENT_SECONDS)
    run = get_run(store)
    assert (run.state, run.reason, run.last_seen) == ("crashed", "host silent", heard_at)
    assert is_sealed(store)
    assert store.layout.list_journals() == []
    assert [each.journal.path for each in store.layout.list_silent()] == [writer.path]
    assert values(store) == [0, 1, 2]
    # More records may come, so the run is not sent to a server yet.
    assert [each.segments[0][2] for each in list_runs(store)] == [False]
    lose_catalog(store)
    rebuilt = open_store(store.root)
    assert (values(rebuilt), get_run(rebuilt).state) == ([0, 1, 2], "crashed")
    rebuilt.close()


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("again_sealed", [False, True])
def test_a_writer_that_comes_back_loses_nothing(
    store: Store, watcher: Watcher, *, lost: bool, again_sealed: bool
) -> None:
    writer = Writer(store.layout, A)
    for value in range(3):
        writer.log({"x": value})
    for _ in range(1 + again_sealed):
        untouched(writer.path)
        watcher.follower.poll()
        watcher.wait_until_sealed()
        assert store.layout.list_journals() == []
        if lost:
            lose_catalog(store)
            store = open_store(store.root)
            watcher.follow(store)
        writer.log({"x": len(values(store))})  # into the file that was renamed
        assert not writer.path.exists()
        watcher.wait(silent_journals.LOOK_SECONDS + 1)
        assert (get_run(store).state, get_run(store).error) == ("running", None)
    expected = list(range(4 + again_sealed))
    assert values(store) == expected
    store, rebuilt = again(store)
    assert rebuilt.broken == []
    watcher.follow(store)
    assert values(store) == expected
    writer.log({"x": len(expected)})
    writer.finish()
    watcher.follower.poll()
    assert (get_run(store).state, values(store)) == ("finished", [*expected, len(expected)])
    assert (store.layout.list_journals(), store.layout.list_silent()) == ([], [])
    assert (problems(store, A), len(all_rows(store, A))) == ([], len(expected) + 1)
    store.close()


def test_a_wandb_client_may_be_silent_for_longer(store: Store, watcher: Watcher) -> None:
    writer = Writer(store.layout, A)
    path = store.layout.journal(WANDB, A, 0)
    path.parent.mkdir()
    untouched(writer.path.rename(path))
    watcher.follower.poll()
    watcher.wait(MISSED_SECONDS + SILENT_SECONDS)
    assert get_run(store).state == "running"
    watcher.wait(301 - MISSED_SECONDS - SILENT_SECONDS)
    assert (get_run(store).state, is_sealed(store)) == ("crashed", False)
    watcher.wait(SILENT_SECONDS)
    assert is_sealed(store)


def test_a_sign_of_life_is_enough(store: Store, watcher: Watcher) -> None:
    writer = Writer(store.layout, A)
    writer.log({"x": 0})
    untouched(writer.path)
    watcher.follower.poll()
    watcher.wait_until_sealed()
    writer.journal.touch()
    watcher.wait(silent_journals.LOOK_SECONDS + 1)
    assert (get_run(store).state, is_sealed(store), writer.path.exists()) == ("running", False, True)


def test_a_sign_of_life_counts_after_another_process_found_the_writer_silent(
    store: Store, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_folders, "FEW", 0)
    writer = Writer(store.layout, A)
    writer.log({"x": 0})
    watcher.wait(1)
    for seconds in (600, 500):
        watcher.wait(MISSED_SECONDS / 2)
        assert get_run(store).state == "running"
        untouched(writer.path, seconds)
        Follower(store).poll()  # a command, which compares the times of the file
        assert (get_run(store).state, get_run(store).reason) == ("crashed", "host silent")
        writer.journal.touch()
        watcher.wait(MISSED_SECONDS / 2)
        assert get_run(store).state == "running"


def test_a_writer_comes_back_in_a_new_file(store: Store, watcher: Watcher) -> None:
    writer = Writer(store.layout, A)
    writer.log({"x": 0})
    untouched(writer.path)
    watcher.follower.poll()
    watcher.wait_until_sealed()
    writer.next_file()
    writer.log({"x": 1})
    watcher.wait(1)
    assert (values(store), get_run(store).state, problems(store, A)) == ([0, 1], "running", [])
    store, rebuilt = again(store)
    Follower(store).poll()
    assert (values(store), rebuilt.broken) == ([0, 1], [])
    store.close()


def test_the_records_in_the_tail_of_a_killed_writer_come_after_sealing(
    store: Store, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process runs on the killed writer's host until another host has sealed the segment."""
    child = os.fork()
    if child == 0:
        about = owner_of_tail(store.layout, HOST, A, 0)
        held_back = partial(CoalescedWriter, folder=tails_folder(), seconds=9, owner=about)
        monkeypatch.setattr(builders, "JournalWriter", held_back)
        writer = Writer(store.layout, A)
        for value in range(10):
            writer.log({"x": value})
            if value == 4:
                writer.journal.flush()
        os._exit(0)
    os.waitpid(child, 0)
    monkeypatch.setattr(follow, "recover_tails", lambda *_: 0)  # the tail is on another host
    untouched(store.layout.journal(HOST, A, 0))
    watcher.follower.poll()
    watcher.wait_until_sealed()
    assert (values(store), is_sealed(store), store.layout.list_journals()) == (list(range(5)), True, [])
    assert recover_tails(store.layout) == 5
    watcher.wait(1)
    assert (values(store), problems(store, A)) == (list(range(10)), [])
    assert recover_tails(store.layout) == 0


def test_a_longer_copy_arrives_after_the_first_one_was_sealed(store: Store, watcher: Watcher) -> None:
    """A program copies the journals of a node without a shared folder again and again."""
    node = open_store(store.root.parent / "node")
    writer = Writer(node.layout, A)
    copy = store.layout.journal(HOST, A, 0)
    copy.parent.mkdir(parents=True)
    for value in range(4):
        writer.log({"x": value})
        untouched(writer.path, 1000 - value)
        shutil.copy2(writer.path, copy)
        watcher.wait(1)
        assert values(store) == list(range(value + 1))
        watcher.wait_until_sealed()
        assert not copy.exists()
    shutil.copy2(writer.path, copy)  # nothing new
    watcher.wait(1)
    assert (get_run(store).state, is_sealed(store), copy.exists()) == ("crashed", True, False)
    assert (len(store.layout.list_silent()), values(store)) == (1, [0, 1, 2, 3])
    node.close()


def test_a_process_that_is_killed_while_sealing_is_continued(
    store: Store, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(store.layout, A)
    writer.log({"x": 0})
    untouched(writer.path)
    watcher.follower.poll()
    watcher.wait(MISSED_SECONDS + 1)
    with monkeypatch.context() as patch:
        patch.setattr(silent_journals, "make_folder", lambda *_, **__: 1 / 0)  # after the commit
        watcher.wait(SILENT_SECONDS)
    assert is_sealed(store)
    assert writer.path.exists()
    watcher.wait(1)
    assert (writer.path.exists(), len(store.layout.list_silent())) == (False, 1)


def test_a_command_seals_what_has_not_changed_for_long(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command cannot wait. It compares the times of the file with the clock of the file system."""
    writer = Writer(store.layout, A)
    writer.log({"x": 0})
    untouched(writer.path)
    Follower(store).poll()
    assert (get_run(store).state, is_sealed(store)) == ("crashed", False)  # the file may be a new copy
    monkeypatch.setattr("tracker.store.objects.layout.MISSED_SECONDS", 0.0)
    monkeypatch.setenv("TRACKER_LEASE_SECONDS", "0.01")
    changed_at = writer.path.stat().st_ctime
    probe = store.layout.new_temporary()
    while True:  # until the clock of the file system has moved
        probe.touch()
        if probe.stat().st_mtime > changed_at + 0.05:
            break
    Follower(store).poll()
    assert (is_sealed(store), writer.path.exists()) == (True, False)
    writer.log({"x": 1})
    Follower(store).poll()
    assert values(store) == [0, 1]


def test_an_incomplete_record_is_not_sealed(store: Store, watcher: Watcher) -> None:
    writer = Writer(store.layout, A)
    writer.log({"x": 0})
    writer.log({"x": 1})
    whole = writer.path.read_bytes()
    writer.path.write_bytes(whole[:-5])
    untouched(writer.path)
    watcher.follower.poll()
    watcher.wait_until_sealed()
    assert (get_run(store).state, writer.path.exists()) == ("crashed", True)
    assert "incomplete" in watcher.follower.unread[A]
    writer.path.write_bytes(whole)
    watcher.wait(1)
    assert (values(store), problems(store, A)) == ([0, 1], [])


def test_a_journal_without_a_record_is_set_aside(store: Store, watcher: Watcher) -> None:
    path = store.layout.journal(HOST, A, 0)
    writer = Writer(store.layout, B)
    path.write_bytes(b"")
    untouched(path)
    watcher.follower.poll()
    watcher.wait_until_sealed()
    assert not path.exists()
    assert {each.journal.segment for each in store.layout.list_silent()} == {A, B}
    writer.log({"x": 0})
    watcher.wait(silent_journals.LOOK_SECONDS + 1)
    assert values(store) == [0]


def test_journals_that_were_set_aside_are_deleted_after_a_week(
    store: Store, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(store.layout, A)
    writer.log({"x": 0})
    untouched(writer.path)
    watcher.follower.poll()
    watcher.wait_until_sealed()
    monkeypatch.setattr(silent_journals, "is_older", lambda at, seconds, _: time.time() - at > seconds - WEEK)
    watcher.wait(silent_journals.LOOK_SECONDS + 1)
    assert (store.layout.list_silent(), values(store)) == ([], [0])
    assert [each.segments[0][2] for each in list_runs(store)] == [True]


def test_journals_that_a_server_received_are_not_set_aside(store: Store, watcher: Watcher) -> None:
    """The server tells the sender which part of the journal it has."""
    writer = Writer(store.layout, A)
    writer.log({"x": 0})
    received = store.layout.journal(INGEST, A, 0)
    received.parent.mkdir()
    os.rename(writer.path, received)
    untouched(received)
    watcher.follower.poll()
    watcher.wait_until_sealed()
    assert (get_run(store).state, received.exists()) == ("crashed", True)


def test_idle_journals_are_looked_at_less_often(
    store: Store, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_folders, "FEW", 0)
    monkeypatch.setattr(journal_folders, "LOOKS_PER_SECOND", 1)
    writers = [Writer(store.layout, f"{number:032x}", f"run{number}") for number in range(10)]
    busy = writers[0]
    looked: list[str] = []
    rests = Follower._rests

    def look(follower: Follower, segment: FollowedSegment) -> bool:
        looked.append(segment.name)
        return rests(follower, segment)

    monkeypatch.setattr(Follower, "_rests", look)
    watcher.wait(1)
    for second in range(100):
        busy.log({"x": second})
        for each in writers:
            each.journal.touch()
        watcher.wait(1)
        if second == 0:
            looked.clear()
    assert looked.count(busy.segment) > 90
    assert 99 > looked.count(writers[1].segment) >= 99 / 10
    assert get_run(store, "run1").state == "running"
    writers[1].log({"x": 1})
    watcher.wait(10)
    assert [row["x"] for row in read_history(store, "run1")] == [1]


def test_new_journals_in_a_large_folder_are_found(
    store: Store, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network client may cache the time of the folder: then the folder is listed at a lower rate."""
    monkeypatch.setattr(journal_folders, "FEW", 0)
    monkeypatch.setattr(journal_folders, "LOOKS_PER_SECOND", 1)
    Writer(store.layout, B, "run2")
    folder = store.layout.host_journals(HOST)
    before = folder.stat().st_mtime_ns - 10**10
    os.utime(folder, ns=(before, before))
    watcher.wait(100)
    writer = Writer(store.layout, A)
    writer.log({"x": 0})
    os.utime(folder, ns=(before, before))
    watcher.wait(journal_folders.LISTED_SECONDS + 0.5)
    assert values(store) == [0]
