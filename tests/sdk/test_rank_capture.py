"""A rank without a run of its own: its output and system samples go to the run of rank zero."""

from __future__ import annotations

from pathlib import Path

import scripts

import tracker
from tracker.api.captured import output_lines
from tracker.api.run import Run
from tracker.ground.records import ConsoleLines
from tracker.ground.settings import load_settings
from tracker.sdk.start import rank_capture

PORT = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
RANK_ONE = """
import sys, time, tracker
from tracker.sdk.process import active_runs
from tracker.sdk.start import rank_capture
rank_capture.observe(1)
print("before", flush=True)

def joined():
    return [run.id for run in active_runs.open_runs()]

def wait(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
"""


def lines(run: Run, rank: int) -> list[str]:
    if rank not in run.ranks:
        return []
    return [line.text for line in output_lines(run._reader, tuple(run.path), rank=rank)]


def test_earlier_output_is_kept_and_the_next_run_is_found(tmp_path: Path) -> None:
    other = scripts.start(
        RANK_ONE
        + """
input()
wait(lambda: joined() == ["first"])
assert tracker.run is None
print("in the first", flush=True)
rank_capture.observe(1)
wait(lambda: joined() == ["second"])
print("in the second", flush=True)
input()
""",
        tmp_path,
        **PORT,
    )
    assert other.stdin is not None
    assert other.stdout is not None
    assert other.stdout.readline() == "before\n"
    other.stdin.write("\n")
    other.stdin.flush()
    code = """
import sys, tracker
from tracker.sdk.start import rank_capture
for name in ("first", "second"):
    run = tracker.init(project="p", id=name, reinit="finish_previous", settings={"silent": True})
    run.log({"a": 1})
    rank_capture.publish(run)
    print(name, flush=True)
    input()
"""
    main = scripts.start(code, tmp_path, **PORT)
    assert main.stdin is not None
    assert main.stdout is not None
    for line in ("in the first\n", "in the second\n"):
        assert other.stdout.readline() == line
        main.stdin.write("\n")
        main.stdin.flush()
    assert main.wait(60) == 0
    other.communicate("\n")
    assert other.returncode == 0
    api = tracker.Api()
    first, second = api.run("p/first"), api.run("p/second")
    assert (first.state, second.state) == ("finished", "finished")
    assert first.lastHistoryStep == second.lastHistoryStep == 0
    assert lines(first, 1) == ["before", "in the first"]
    assert lines(second, 1) == ["in the second"]
    assert [each.state for run in (first, second) for each in run.segments] == ["finished"] * 4
    (segment,) = [each for each in first.segments if each.rank == 1]
    assert first.history(stream="system", segment=segment.id, pandas=False)


def test_a_run_of_an_earlier_launch_is_not_joined(tmp_path: Path) -> None:
    publish = """
import tracker
from tracker.sdk.start import rank_capture
rank_capture.publish(tracker.init(project="p", id="old", settings={"silent": True}))
"""
    scripts.run(publish, tmp_path, **PORT)
    (note,) = (tmp_path / "tracker-store" / "tmp").glob("launch-*")
    assert note.is_file()
    checks = "assert active_runs.observer._read_announcement() is None"
    other = scripts.start(RANK_ONE + checks, tmp_path, **PORT)
    other.communicate()
    assert other.returncode == 0
    assert [each.rank for each in tracker.Api().run("p/old").segments] == [0]


def test_a_rank_with_its_own_run_does_not_join_another(tmp_path: Path) -> None:
    other = scripts.start(
        RANK_ONE
        + """
run = tracker.init(project="p", id="own", settings={"silent": True})
assert not active_runs.observer.is_here
print("mine")
run.finish()
""",
        tmp_path,
        **PORT,
    )
    other.communicate()
    assert other.returncode == 0
    (run,) = tracker.Api().runs("p")
    assert [line.text for line in output_lines(run._reader, tuple(run.path))] == ["mine"]


def test_a_single_process_publishes_nothing(tmp_path: Path) -> None:
    code = """
import tracker
from tracker.sdk.start import rank_capture
run = tracker.init(project="p", settings={"silent": True})
rank_capture.publish(run)
assert not list(run.layout.temporary.glob("launch-*"))
"""
    scripts.run(code, tmp_path)


def test_output_that_waits_for_the_run_has_a_limit() -> None:
    observer = rank_capture.Observer(1, load_settings())
    for number in range(20):
        observer._record(ConsoleLines(0.0, [(number, 1, "x" * 1024 * 1024)]))
    held = [record.lines[0][0] for record in observer._backlog if isinstance(record, ConsoleLines)]
    assert held == [17, 18, 19]


def test_a_process_that_ends_while_it_joins_the_run_keeps_its_output(tmp_path: Path) -> None:
    main = scripts.start(
        """
import sys, tracker
from tracker.sdk.start import rank_capture
run = tracker.init(project="p", id="run", settings={"silent": True})
rank_capture.publish(run)
print("published", flush=True)
input()
""",
        tmp_path,
        **PORT,
    )
    assert main.stdout is not None
    assert main.stdout.readline() == "published\n"
    other = scripts.run(
        """
from tracker.sdk.start import open_run
import threading
joining = threading.Event()
find_and_open = open_run.find_and_open

def slowly(*given):
    run = find_and_open(*given)
    joining.set()
    wait(lambda: active_runs.observer._stopped)
    return run

open_run.find_and_open = slowly
"""
        + RANK_ONE
        + """
print("last", flush=True)
joining.wait(60)
""",
        tmp_path,
        **PORT,
    )
    assert other.stdout == "before\nlast\n"
    main.communicate("\n")
    run = tracker.Api().run("p/run")
    assert lines(run, 1) == ["before", "last"]
    assert [each.state for each in run.segments] == ["finished"] * 2
