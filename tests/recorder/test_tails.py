"""Writers that hold rows back in a tail on a local disk, and write several rows to the journal at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import scripts

import tracker
from tracker.cli.store_checks import examine
from tracker.ground.records import Row, decode
from tracker.ground.settings import load_settings
from tracker.journal import coalesced
from tracker.journal.coalesced import RING_BYTES, read_tail
from tracker.journal.reader import Frame, read_frames
from tracker.recorder import follow
from tracker.recorder.follow import Follower
from tracker.recorder.open_store import open_store
from tracker.recorder.tails import list_tails, recover_tails
from tracker.sdk.process import run_journal
from tracker.store.objects.layout import Layout

# With this setting, rows reach the journal only when the tail is full or something writes it.
LATE: dict[str, Any] = {
    "journal_only": True,
    "silent": True,
    "append_seconds": 9,
    "x_disable_stats": True,
    "console": "off",
}
WRITER = f"""
import sys, tracker
run = tracker.init(project="p", id="run", settings={LATE})
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


@contextmanager
def writer(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a writer that executes the lines which ``do`` sends to it."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER],
        cwd=folder,
        env=scripts.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def do(process: subprocess.Popen[str], line: str) -> None:
    """Execute a line in a writer, and wait until it has returned."""
    assert process.stdin is not None
    assert process.stdout is not None
    print(line, file=process.stdin, flush=True)
    assert process.stdout.readline() == "done\n"


def rows_in(layout: Layout) -> int:
    """Return the number of rows in the journals."""
    files = [each.path for each in layout.list_journals()]
    outcomes = [each for file in files for each in read_frames(file, file.name[:32], final=True)]
    return sum(isinstance(each, Frame) and isinstance(decode(each.payload), Row) for each in outcomes)


def applied(folder: Path) -> tuple[Sequence[Any], str]:
    """Apply the journals of a store, and return the column ``x`` of its run, and the run's state."""
    store = open_store(folder / "tracker-store")
    follower = Follower(store)
    for _ in range(3):
        follower.poll()
    assert follower.problems() == []
    store.close()
    run = tracker.Api({"store": folder / "tracker-store"}).run("local/p/run")
    return [row["x"] for row in run.history(pandas=False)], run.state


def test_a_killed_writer_loses_no_row_that_only_the_tail_has(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "tracker-store")
    with writer(tmp_path) as process:
        do(process, "[run.log({'x': at}) for at in range(100)]")
        assert rows_in(layout) == 0
        assert recover_tails(layout) == 0  # the writer lives
        assert len(list_tails()) == 1
        process.send_signal(signal.SIGKILL)
    assert applied(tmp_path) == (list(range(100)), "crashed")
    assert list_tails() == []
    assert recover_tails(layout) == 0


@pytest.mark.parametrize("cut", [1, -1])
def test_a_writer_that_is_killed_in_a_write_neither_loses_nor_repeats_rows(tmp_path: Path, cut: int) -> None:
    """Some frames of the last write have reached the journal, the last of them not completely."""
    with writer(tmp_path) as process:
        do(process, "[run.log({'x': at}) for at in range(100)]")
        process.send_signal(signal.SIGKILL)
    (journal,) = Layout(tmp_path / "tracker-store").list_journals()
    descriptor = os.open(list_tails()[0], os.O_RDONLY)
    tail = coalesced.read_tail(descriptor)
    os.close(descriptor)
    frames = coalesced.split_frames(tail.rest, journal.segment, tail.offset, None)
    assert len(frames) == 100
    with journal.path.open("ab") as file:
        file.write(tail.rest[: frames[40].end - tail.offset + cut])
    assert applied(tmp_path) == (list(range(100)), "crashed")


def test_the_next_run_of_the_host_writes_the_tail_of_a_killed_one(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "tracker-store")
    with writer(tmp_path) as process:
        do(process, "[run.log({'x': at}) for at in range(100)]")
        process.send_signal(signal.SIGKILL)
    other_path = tmp_path / "link"
    other_path.symlink_to(layout.root)
    tracker.init(project="p", id="next", settings=LATE | {"store": other_path}).finish()
    first = [each.segment for each in layout.list_journals() if each.number == 1]
    assert len(first) == 1
    assert list_tails() == []


def test_more_rows_than_the_tail_holds_and_a_row_larger_than_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_recorder: None
) -> None:
    monkeypatch.setattr(coalesced, "RING_BYTES", 10_000)
    run = tracker.init(project="p", id="run", settings=LATE)
    texts = ["y" * (at * 7919 % 4000 if at % 50 else 30_000) for at in range(400)]
    for at, text in enumerate(texts):
        run.log({"x": at, "text": text})
    run.finish()
    found = tracker.Api({"store": tmp_path / "tracker-store"}).run("local/p/run").history(pandas=False)
    assert [(row["x"], row["text"]) for row in found] == list(enumerate(texts))
    assert list_tails() == []


def test_readers_in_the_process_see_all_rows(tmp_path: Path) -> None:
    run = tracker.init(project="p", id="run", settings=LATE)
    run.log({"x": 1})
    assert run.summary["x"] == 1
    run.log({"x": 2})
    found = tracker.Api({"store": tmp_path / "tracker-store"}).run("local/p/run")
    assert [row["x"] for row in found.history(pandas=False)] == [1, 2]
    run.log({"x": 3})
    run.config["lr"] = 0.1  # other processes soon need records that are not rows
    assert rows_in(Layout(tmp_path / "tracker-store")) == 3
    run.finish()


def test_a_child_that_is_forked_leaves_the_rows_of_its_parent_alone(tmp_path: Path) -> None:
    with writer(tmp_path) as process:
        do(process, "[run.log({'x': at}) for at in range(10)]")
        do(
            process,
            "import os; pid = os.fork(); pid or (run.log({'x': 10}), os._exit(0)); os.waitpid(pid, 0)",
        )
        do(process, "run.log({'x': 11})")
        process.send_signal(signal.SIGKILL)
    seen, state = applied(tmp_path)
    assert (sorted(seen), state) == (list(range(12)), "crashed")


def test_log_does_not_wait_for_a_file_system_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_recorder: None
) -> None:
    answers = threading.Event()
    real, asked = os.writev, threading.Event()

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def writev(self, *arguments: Any) -> int:
            asked.set()
            answers.wait()
            return real(*arguments)

    monkeypatch.setattr(coalesced, "os", Slow())
    monkeypatch.setattr(coalesced, "STALL_SECONDS", 0.05)
    monkeypatch.setattr(coalesced, "RING_BYTES", 10_000)
    answers.set()
    run = tracker.init(project="p", id="run", settings=LATE | {"append_seconds": 0.001})
    answers.clear()
    asked.clear()
    for at in range(1000):  # more than the tail holds
        run.log({"x": at})
    assert asked.is_set()
    answers.set()
    run.finish()
    found = tracker.Api({"store": tmp_path / "tracker-store"}).run("local/p/run")
    assert [row["x"] for row in found.history(pandas=False)] == list(range(1000))
    assert list_tails() == []


@pytest.mark.parametrize(
    ("network", "variable", "held"), [(False, "", 0), (True, "", 0.05), (True, "0", 0), (False, "2", 2)]
)
def test_rows_are_held_back_only_on_network_file_systems(
    monkeypatch: pytest.MonkeyPatch, network: bool, variable: str, held: float
) -> None:
    if variable:
        monkeypatch.setenv("TRACKER_APPEND_SECONDS", variable)
    monkeypatch.setattr(run_journal, "is_network", lambda _: network)
    with tracker.init(project="p", settings={"journal_only": True, "silent": True}) as run:
        assert run.journal._writer is not None
        assert run.journal._writer._append_seconds == held
    with tracker.init(project="p", settings={"journal_only": False, "silent": True}) as run:
        assert run.journal._writer is not None
        assert run.journal._writer._append_seconds == 0  # the recorder of this host reads the journal


def test_without_a_local_disk_every_row_is_written_immediately(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.ground.filesystems.is_network", lambda _: True)
    with tracker.init(project="p", settings=LATE) as run:
        run.log({"x": 1})
        assert list_tails() == []
        assert rows_in(run.journal.layout) == 1


def test_the_journals_of_a_dead_process_of_another_user_stay_for_its_tail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that runs as another user on the writer's host does not see the tail."""
    layout = Layout(tmp_path / "tracker-store")
    with writer(tmp_path) as process:
        do(process, "[run.log({'x': at}) for at in range(100)]")
        process.send_signal(signal.SIGKILL)
    store = open_store(layout.root)
    with monkeypatch.context() as other_user:
        other_user.setattr(follow, "recover_tails", lambda *_: 0)
        other_user.setattr(follow, "is_network", lambda _: True)
        uid = os.geteuid() + 1
        other_user.setattr(follow.os, "geteuid", lambda: uid)
        for _ in range(3):
            Follower(store).poll()
        assert len(layout.list_journals()) == 1
    store.close()
    assert applied(tmp_path) == (list(range(100)), "crashed")


def test_doctor_reports_a_tail(tmp_path: Path) -> None:
    with writer(tmp_path) as process:
        do(process, "run.log({'x': 1})")
        assert _waiting(tmp_path) == []
        process.send_signal(signal.SIGKILL)
    (text,) = _waiting(tmp_path)
    assert text.startswith("1 killed process left records in ")
    assert applied(tmp_path) == ([1], "crashed")
    assert _waiting(tmp_path) == []


def _waiting(folder: Path) -> list[str]:
    found = examine(load_settings(store=folder / "tracker-store"))
    return [each.text for each in found if each.name == "records on this host"]


@pytest.mark.parametrize(
    "owner", [{"host": "../../outside"}, {"segment": "../x"}, {"number": -1}, {"store": None}]
)
def test_a_tail_names_no_path_outside_its_store(tmp_path: Path, owner: dict[str, Any]) -> None:
    whole = {"store": str(tmp_path), "host": "node1", "segment": "ab" * 16, "number": 0}
    tail = tmp_path / "file.tail"

    def write(described: dict[str, Any]) -> int:
        head = bytes(8) + json.dumps(described).encode()
        tail.write_bytes(head.ljust(4096, b"\0") + bytes(RING_BYTES))
        return os.open(tail, os.O_RDONLY)

    for described in (whole, whole | owner):
        descriptor = write(described)
        try:
            if described == whole:
                assert read_tail(descriptor).owner.host == "node1"
            else:
                with pytest.raises(ValueError, match="Expected"):
                    read_tail(descriptor)
        finally:
            os.close(descriptor)
