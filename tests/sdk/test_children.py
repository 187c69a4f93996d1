"""Forked children, and processes that receive a run, log rows to the run's one history."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import scripts
from builders import ENTITY, PROJECT, Writer
from hypothesis import given
from hypothesis import strategies as st

import tracker
from tracker.ground.records import ASIDE, CHILD, COMMIT
from tracker.reading.resume_state import find_run
from tracker.runstate.steps import StepCounter
from tracker.sdk.process.shared_steps import SharedSteps, StepFile
from tracker.sdk.process.writers import Launch, find_writer
from tracker.store.store import Store

FORKING = """
import os, sys
import tracker

run = tracker.init(project="p", id="run")
run.define_metric("x", summary="min,max,mean,last")
run.log({"x": 50, "who": -1})
children = []
for number in range(3):
    child = os.fork()
    if child == 0:
        for row in range(20):
            run.log({"x": 100 * number + row, "who": number})
        run.config[f"child {number}"] = number
        run.summary[f"child {number}"] = True
        os._exit(0)
    children.append(child)
for row in range(20):
    run.log({"x": 50, "who": -1})
for child in children:
    assert os.waitpid(child, 0)[1] == 0
run.config["child 0"] = "set later"
run.log({"x": 60, "who": -1})
summary = run.summary["x"], run.step
run.finish()
assert dict(tracker.Api().run("p/run").summary)["x"] == summary[0], summary
print(summary)
"""


def history_of(run: Any) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if key not in ("_runtime", "_timestamp")}
        for row in run.history(pandas=False)
    ]


def test_rows_of_forked_children_are_rows_of_the_run(tmp_path: Path) -> None:
    printed = scripts.run(FORKING, tmp_path).stdout
    mean = (21 * 50 + sum(100 * number + row for number in range(3) for row in range(20)) + 60) / 82
    assert printed == f"({{'min': 0, 'max': 219, 'mean': {mean}, 'last': 60}}, 82)\n"
    run = tracker.Api().run("p/run")
    rows = history_of(run)
    assert [row["_step"] for row in rows] == list(range(82))
    for number in range(3):
        own = [row["x"] for row in rows if row["who"] == number]
        assert own == [100 * number + row for row in range(20)]
        assert run.summary[f"child {number}"] is True
    assert list(run.scan_history(keys=["_step", "x"])) == [
        {"_step": row["_step"], "x": row["x"]} for row in rows
    ]
    assert (run.state, run.config["child 1"], run.lastHistoryStep) == ("finished", 1, 81)
    children = [each for each in run.segments if each.child]
    assert [each.rows for each in children] == [20, 20, 20]
    assert all(each.shown for each in run.segments)


HANDED = """
import multiprocessing, sys
import tracker
from tracker.sdk.start.attach import attach

def child(attach_id, ready, turn):
    run = attach(attach_id)
    for row in range(5):
        ready.set()
        turn.wait()
        turn.clear()
        run.log({"child": row})
    run.log({"child": "late"}, step=2)
    run.log({"child": "ahead"}, step=40, commit=True)
    ready.set()

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    ready, turn = context.Event(), context.Event()
    run = tracker.init(project="p", id="run")
    process = context.Process(target=child, args=(run._attach_id, ready, turn))
    process.start()
    for row in range(5):
        ready.wait()
        ready.clear()
        run.log({"parent": row}, commit=row == 0)
        turn.set()
    ready.wait()
    run.log({"parent": "last of its row"})
    run.log({"parent": "behind all"})
    process.join()
"""


def test_both_processes_of_a_handed_over_run_log_to_it(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(HANDED)  # a file, because `spawn` imports it again
    subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=scripts.environment(), check=True)
    run = tracker.Api().run("p/run")
    assert history_of(run) == [
        {"parent": 0, "_step": 0},
        {"child": 0, "_step": 1},
        # An open row keeps its step while the other process logs.
        {"parent": "last of its row", "_step": 2},
        {"child": "late", "_step": 2},
        {"child": 1, "_step": 3},
        {"child": 2, "_step": 4},
        {"child": 3, "_step": 5},
        {"child": 4, "_step": 6},
        {"child": "ahead", "_step": 40},
        {"parent": "behind all", "_step": 41},
    ]


DAEMON = """
import os
import tracker

run = tracker.init(project="p", id="run")
run.log({"x": 0})
if os.fork() == 0:
    os.closerange(3, 256)
    run.log({"x": 1})
    run.log({"x": 2})
    os._exit(0)
assert os.wait()[1] == 0
run.log({"x": 3})
"""


def test_a_child_that_closes_inherited_descriptors_can_log(tmp_path: Path) -> None:
    scripts.run(DAEMON, tmp_path)
    assert history_of(tracker.Api().run("p/run")) == [{"x": value, "_step": value} for value in range(4)]


ONE_AFTER_THE_OTHER = """
import os
import tracker

def in_child(work):
    if os.fork() == 0:
        work()
        os._exit(0)
    assert os.wait()[1] == 0

run = tracker.init(project="p", id="run", config={"k": 0})
run.define_metric("x", summary="min")
run.log({"x": 3, "m": {"p": 0}})
def work():
    run.define_metric("x", summary="max")
    run.log({"x": 9, "m": {"c": 1}})
    run.name = "of the child"
    run.config["child"] = True
in_child(work)
run.name = "of the parent, later"
run.log({"x": 5, "m": {"p": 2}})
in_child(lambda: setattr(run, "notes", "of the child"))
print(dict(run.summary)["x"], dict(run.summary)["m"])
"""


def test_values_of_a_parent_and_its_children_are_merged(tmp_path: Path) -> None:
    printed = scripts.run(ONE_AFTER_THE_OTHER, tmp_path).stdout
    assert printed == "{'max': 9, 'min': 3} {'c': 1, 'p': 2}\n"
    run = tracker.Api().run("p/run")
    assert (run.summary["x"], run.summary["m"]) == ({"max": 9, "min": 3}, {"c": 1, "p": 2})
    assert (run.name, run.notes) == ("of the parent, later", "of the child")
    assert run.config == {"k": 0, "child": True}


HANDED_BY_A_CHILD = """
import multiprocessing, os, sys
import tracker
from tracker.sdk.start.attach import attach

def work(attach_id, ready, turn):
    run = attach(attach_id)
    run.log({"handed": 0})
    ready.set()
    turn.wait()
    run.log({"handed": 1})

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    ready, turn = context.Event(), context.Event()
    run = tracker.init(project="p", id="run")
    run.log({"parent": 0})
    here, there = os.pipe()
    if os.fork() == 0:
        run.log({"child": 0})
        os.read(here, 1)  # the parent has ended
        process = context.Process(target=work, args=(run._attach_id, ready, turn))
        process.start()
        ready.wait()
        run.log({"child": 1})
        turn.set()
        process.join()
        run.log({"child": 2})
        os._exit(0)
    run.finish()
    os.write(there, b".")
    os.wait()
"""


def test_a_child_that_outlives_its_parent_can_pass_the_run_on(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(HANDED_BY_A_CHILD)
    subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=scripts.environment(), check=True)
    run = tracker.Api().run("p/run")
    rows = history_of(run)
    assert [row["_step"] for row in rows] == list(range(6))
    assert [{key: row[key] for key in row if key != "_step"} for row in rows[2:]] == [
        {"handed": 0}, {"child": 1}, {"handed": 1}, {"child": 2}
    ]  # fmt: skip
    assert run.state == "finished"


RESUMED = """
import os
import tracker

run = tracker.init(project="p", id="run", resume="allow")
run.log({"x": 0})
if os.fork() == 0:
    run.log({"x": 1})
    run.log({"x": 2})
    os._exit(0)
os.wait()
"""


def test_a_later_attempt_continues_after_children_and_a_rewind_hides_rows(tmp_path: Path) -> None:
    scripts.run(RESUMED, tmp_path)
    scripts.run(RESUMED, tmp_path)
    again = tracker.init(project="p", resume_from="run?_step=4", settings={"silent": True})
    again.log({"x": 9})
    again.finish()
    run = tracker.Api().run("p/run")
    assert [(row["_step"], row["x"]) for row in history_of(run)] == [*enumerate([0, 1, 2, 0, 1, 9])]


def test_a_run_with_only_a_segment_of_a_child_can_be_resumed(store: Store) -> None:
    writer = Writer(store.layout, "1" * 32, rank=CHILD, start_step=4)
    writer.log({"x": 1})
    writer.finish()
    known = find_run(store.layout, ENTITY, PROJECT, "run1")
    assert known is not None
    assert find_writer(known, Launch(0, False))[:3] == (0, 1, 5)


def test_without_a_shared_counter_no_row_is_hidden(tmp_path: Path) -> None:
    without = "from tracker.sdk.process import shared_steps\nshared_steps._FOLDERS = ()\n"
    scripts.run(without + RESUMED, tmp_path)
    assert [row["x"] for row in history_of(tracker.Api().run("p/run"))] == [0, 1, 2]


def test_only_a_run_that_is_forked_or_handed_over_shares_its_steps(tmp_path: Path) -> None:
    run = tracker.init(project="p")
    assert type(run._steps) is StepCounter
    assert run._attach_id
    assert type(run._steps) is SharedSteps


steps = st.none() | st.integers(-3, 12)
calls = st.lists(st.tuples(steps, st.sampled_from([None, True, False])), max_size=12)


@given(st.integers(0, 3), calls, calls)
def test_a_shared_counter_with_one_process_counts_like_a_private_one(
    start: int, before: list[tuple[int | None, bool | None]], behind: list[tuple[int | None, bool | None]]
) -> None:
    counter, other = StepCounter(start), StepCounter(start)
    for call in before:
        assert counter.place(*call) == other.place(*call)
    file = StepFile.make("e/p/r", counter.next_step)
    shared = SharedSteps(file, counter)
    for call in behind:
        assert shared.place(*call) == other.place(*call)
        assert (shared.step, shared.next_step) == (other.step, other.next_step)


@given(st.lists(st.tuples(st.integers(0, 2), steps, st.sampled_from([None, True, False])), max_size=20))
def test_no_two_processes_start_a_row_at_the_same_step(
    drawn: list[tuple[int, int | None, bool | None]],
) -> None:
    parent = StepCounter()
    file = StepFile.make("e/p/r", 0)
    processes = [SharedSteps(file, parent), SharedSteps(file), SharedSteps(file)]
    begun: dict[int, tuple[int, int]] = {}
    latest = -1
    for number, step, commit in drawn:
        row, at, flags = processes[number].place(step, commit)
        if flags & ASIDE:
            assert flags & COMMIT
        elif begun.setdefault(at, (number, row)) != (number, row):
            pytest.fail(f"step {at} was begun twice")
        elif at > latest:
            latest = at
        assert file.next == latest + 1


def test_a_stopped_process_does_not_block_others() -> None:
    file = StepFile.make("e/p/r", 0)
    code = f"""
import os, time
from tracker.sdk.process.shared_steps import StepFile
StepFile.open("e/p/r", {os.getpid()}, {file.descriptor}).lock()
print("locked", flush=True)
time.sleep(60)
"""
    with scripts.start(code, Path.cwd()) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        steps = SharedSteps(file)
        assert [steps.place() for _ in range(2)] == [(0, 0, COMMIT), (1, 1, COMMIT)]
        holder.kill()


def test_a_file_that_is_not_the_counter_of_the_run_is_not_opened(tmp_path: Path) -> None:
    mine = StepFile.make("e/p/r", 7)
    found = StepFile.open("e/p/r", os.getpid(), mine.descriptor)
    assert found is not None and found.next == 7
    assert StepFile.open("e/p/other", os.getpid(), mine.descriptor) is None
    assert StepFile.open("e/p/r", os.getpid(), 10_000) is None
    with (tmp_path / "short").open("w+") as file:
        file.write("short")
        file.flush()
        assert StepFile.open("e/p/r", os.getpid(), file.fileno()) is None
    read, write = os.pipe()
    assert StepFile.open("e/p/r", os.getpid(), read) is None
    os.close(read)
    os.close(write)
