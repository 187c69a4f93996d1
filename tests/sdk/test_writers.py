"""Several writers of one run: ranks of a launcher, other live processes, and their resumed attempts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import scripts

import tracker
from tracker.sdk.process.writers import Launch, find_launch

WRITER = """
import sys, tracker
run = tracker.init(project="p", id="run", {arguments})
print(run.resumed, run.starting_step, flush=True)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


class Writer:
    """A process that writes the run ``p/run``."""

    def __init__(self, folder: Path, arguments: str = 'resume="allow"', **variables: str) -> None:
        self.process = scripts.start(WRITER.format(arguments=arguments), folder, **variables)
        assert self.process.stdout is not None
        self.began = self.process.stdout.readline().strip()

    def do(self, line: str) -> None:
        """Run a line in the process, and wait until the line has returned."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def end(self) -> str:
        """End the process, and return its stderr."""
        _, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err
        return err


def writers() -> list[tuple[int, int, int, int, bool]]:
    """Return rank, attempt, first step, number of rows and visibility of each segment."""
    return [
        (each.rank, each.attempt, each.start_step, each.rows, each.shown)
        for each in tracker.Api().run("p/run").segments
    ]


def rows(rank: int, attempt: int = 0) -> list[int]:
    run = tracker.Api().run("p/run")
    (segment,) = (each.id for each in run.segments if (each.rank, each.attempt) == (rank, attempt))
    return [row["x"] for row in run.history(keys=["x"], pandas=False, segment=segment)]


@pytest.mark.parametrize("first", [0, 1])
def test_each_rank_of_a_launcher_writes_and_resumes_its_own_segments(tmp_path: Path, first: int) -> None:
    order = (first, 1 - first)
    for attempt in range(2):
        ranks = {
            rank: Writer(
                tmp_path, f'resume="allow", config={{"rank": {rank}, "of {rank}": 1}}', RANK=str(rank)
            )
            for rank in order
        }
        assert ranks[0].began == ranks[1].began == f"{attempt > 0} {20 * attempt}"
        for rank in order:
            ranks[rank].do(f"for at in range(20): run.log({{'x': 100 * {rank} + at}})")
        ranks[first].end()
        ranks[1 - first].end()
    own = [(attempt, 20 * attempt, 20) for attempt in range(2)]
    assert writers() == [(0, *each, True) for each in own] + [(1, *each, False) for each in own]
    run = tracker.Api().run("p/run")
    assert [row["x"] for row in run.history(pandas=False)] == [*range(20)] * 2
    assert rows(1) == rows(1, 1) == [*range(100, 120)]
    assert run.config == {"rank": 0, "of 0": 1, "of 1": 1}
    assert run.summary["x"] == 19
    assert run.state == "finished"


def test_a_new_rank_in_a_resumed_run_starts_at_the_step_of_the_others(tmp_path: Path) -> None:
    alone = Writer(tmp_path, RANK="0", WORLD_SIZE="1")
    alone.do("for at in range(5): run.log({'x': at})")
    alone.end()
    early = Writer(tmp_path, RANK="2", WORLD_SIZE="3")  # starts before the primary writer's next attempt
    primary = Writer(tmp_path, RANK="0", WORLD_SIZE="3")
    late = Writer(tmp_path, RANK="1", WORLD_SIZE="3")
    assert {early.began, primary.began} == {"True 5"}
    assert late.began == "False 5"
    for each in (early, primary, late):
        each.end()
    assert [each[:3] for each in writers()] == [(0, 0, 0), (0, 1, 5), (1, 0, 5), (2, 0, 5)]


def test_a_second_live_process_is_another_writer(tmp_path: Path) -> None:
    first = Writer(tmp_path)
    first.do("for at in range(20): run.log({'x': at})")
    second = Writer(tmp_path)
    second.do("for at in range(20): run.log({'x': -at})")
    refused = scripts.run(WRITER.format(arguments='resume="never"'), tmp_path, check=False)
    assert "resume='never' was given, but run" in refused.stderr
    first.end()
    assert "This process writes to it too, as rank 1" in second.end()
    assert [each[:2] for each in writers()] == [(0, 0), (1, 0)]
    assert (rows(0), rows(1)) == ([*range(20)], [-at for at in range(20)])
    third = Writer(tmp_path)  # all earlier writers have ended
    assert third.began == "True 20"
    third.do("run.log({'x': 20})")
    third.end()
    assert [row["x"] for row in tracker.Api().run("p/run").history(pandas=False)] == [*range(21)]


def test_processes_that_start_at_the_same_time_get_different_ranks(tmp_path: Path) -> None:
    code = 'import tracker\nrun = tracker.init(project="p", id="run")\nrun.log({"x": 1})\ninput()\n'
    processes = [scripts.start(code, tmp_path) for _ in range(6)]
    scripts.wait_for(lambda: (tmp_path / "tracker-store").exists() and seen() == 6, "all six")
    for process in processes:
        process.communicate("\n", timeout=60)
    assert [each[:2] for each in writers()] == [(rank, 0) for rank in range(6)]


def seen() -> int:
    try:
        return sum(each[3] for each in writers())
    except tracker.Error:
        return 0  # no process has started its run yet


def test_a_killed_process_is_followed_by_the_next_attempt(tmp_path: Path) -> None:
    first = Writer(tmp_path, RANK="1")
    first.do("run.log({'x': 0})")
    first.process.kill()
    first.process.wait()
    Writer(tmp_path, RANK="1").end()
    assert [each[:3] for each in writers()] == [(1, 0, 0), (1, 1, 1)]


def test_a_run_can_be_resumed_under_another_task_number(tmp_path: Path) -> None:
    """With ``srun -n 8``, each script may have its own run. The task number of a run can then change."""
    tasks: list[dict[str, str]] = [
        {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8"},
        {"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8"},
        {"OMPI_COMM_WORLD_RANK": "0"},
        {},
    ]
    for at, variables in enumerate(tasks):
        task = Writer(tmp_path, **variables)
        assert task.began == f"{at > 0} {at}"
        task.do(f"run.log({{'x': {at}}})")
        task.end()
    assert [row["x"] for row in tracker.Api().run("p/run").history(pandas=False)] == [0, 1, 2, 3]


def test_a_script_that_replaces_itself_resumes_its_run(tmp_path: Path) -> None:
    code = """
import os, sys, tracker
run = tracker.init(project="p", id="run", resume="allow")
run.log({"x": len(sys.argv)})
if len(sys.argv) == 1:
    os.execv(sys.executable, [sys.executable, "train.py", "again"])
"""
    (tmp_path / "train.py").write_text(code)
    scripts.run("import subprocess, sys; sys.exit(subprocess.call([sys.executable, 'train.py']))", tmp_path)
    assert [each[:3] for each in writers()] == [(0, 0, 0), (0, 1, 1)]
    assert [row["x"] for row in tracker.Api().run("p/run").history(pandas=False)] == [1, 2]


def test_a_run_with_a_generated_id_has_rank_0(tmp_path: Path) -> None:
    code = 'import tracker\nrun = tracker.init(project="p")\nrun.log({"x": 1})\n'
    scripts.run(code, tmp_path, RANK="64")
    (segment,) = tracker.Api().runs("p")[0].segments
    assert (segment.rank, segment.shown) == (0, True)


def test_two_runs_with_one_id_in_one_process_are_two_writers() -> None:
    first = tracker.init(project="p", id="run")
    second = tracker.init(project="p", id="run", reinit="create_new")
    first.log({"x": 0})
    second.log({"x": 1})
    second.finish()
    first.finish()
    assert (rows(0), rows(1)) == ([0], [1])


def test_a_forked_child_has_the_rank_of_its_parent(tmp_path: Path) -> None:
    code = """
import os, sys, tracker
run = tracker.init(project="p", id="run", resume="allow")
run.log({"x": 0})
child = os.fork()
if child:
    os.waitpid(child, 0)
run.log({"x": 2 if child else 1})
child or os._exit(0)
"""
    scripts.run(code, tmp_path, RANK="1", WORLD_SIZE="2")
    scripts.run(code, tmp_path, RANK="0", WORLD_SIZE="2")
    scripts.run(code, tmp_path, RANK="0", WORLD_SIZE="2")
    found = tracker.Api().run("p/run")
    history = [(row["_step"], row["x"]) for row in found.history(pandas=False)]
    # Rank 0 starts at the last step of the first writer; its second attempt starts after its children.
    assert history == [(step, (step - 3) % 3) for step in range(3, 9)]
    places = [(each.rank, each.attempt, each.child, each.start_step) for each in found.segments]
    assert places == [
        (0, 0, False, 3),
        (0, 0, True, 4),
        (0, 1, False, 6),
        (0, 1, True, 7),
        (1, 0, False, 0),
        (1, 0, True, 1),
    ]


@pytest.mark.parametrize(
    ("variables", "launch"),
    [
        ({}, (0, False)),
        ({"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "SLURM_PROCID": "1"}, (3, True)),
        ({"RANK": "3"}, (3, False)),
        ({"RANK": "high", "PMI_RANK": "2"}, (2, False)),
        ({"LOCAL_RANK": "3"}, (0, False)),
        ({"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS": "4"}, (3, False)),
        ({"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "4"}, (0, False)),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "OMPI_COMM_WORLD_RANK": "5"}, (5, False)),
        ({"PMI_RANK": str(2**70)}, (0, False)),
    ],
)
def test_ranks_from_the_variables_of_launchers(variables: dict[str, Any], launch: Launch) -> None:
    assert find_launch(variables) == launch
