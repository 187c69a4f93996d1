"""Jobs of a real Slurm: the warning before the time limit, the time limit, and the job scripts as written."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, NamedTuple

import pytest
import scripts
from scripts import wait_for

from .conftest import Jobs

pytestmark = pytest.mark.cluster

# Two tasks of an array that never end. The second one ignores SIGTERM, so Slurm kills it.
ENDLESS = """#!/bin/bash
#SBATCH --array=0-1 --time=2 --signal=USR1@20
export TRACKER_RUN_ID=task-$SLURM_ARRAY_TASK_ID
srun python endless.py
"""
ENDLESS_TASK = """
import os, signal, time, tracker
run = tracker.init(project="limits")
if os.environ["SLURM_ARRAY_TASK_ID"] == "1":
    signal.signal(signal.SIGTERM, lambda *_: None)
while True:
    run.log({"x": 1})
    time.sleep(0.2)
"""
# With a limit of 3 minutes, the warning comes 60 to 120 s after the start. All epochs take 130 s, so the job
# is requeued; the second start needs less time.
LIMIT = "--time=3"
EPOCHS = 650
DOCUMENT = (scripts.ROOT / "docs" / "cluster.md").read_text()
COMMANDS = [
    line.split("  ")[0].split(" # ")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)
    for line in block.splitlines()
]


class Submitted(NamedTuple):
    jobs: Jobs
    single: str
    ddp: str

    def start_requeued(self) -> None:
        """Start requeued jobs in 3 s. Slurm delays them by two minutes.

        In the second in which Slurm has ended a job, it cannot start the job again.
        """
        for job in (self.single, self.ddp):
            begin = self.jobs.command(
                "squeue", "--noheader", "--states=PENDING", "--format=%S", f"--jobs={job}", check=False
            )
            with suppress(ValueError):  # it is not pending
                if (datetime.fromisoformat(begin.strip()) - datetime.now()).total_seconds() > 10:
                    self.jobs.command("scontrol", "update", f"JobId={job}", "StartTime=now+3", check=False)


@pytest.fixture(scope="module")
def submitted(jobs: Jobs) -> Submitted:
    """Submit all jobs: the job scripts as documented, with a short limit. They continue after a requeue."""
    (jobs.folder / "endless.py").write_text(ENDLESS_TASK)
    (jobs.folder / "endless.sbatch").write_text(ENDLESS)
    jobs.submit("endless.sbatch")
    return Submitted(
        jobs,
        *(
            jobs.submit(LIMIT, *command.split()[1:], "--epochs", str(EPOCHS))
            for command in COMMANDS
            if command.startswith("sbatch ")
        ),
    )


@pytest.mark.nightly
def test_jobs_continue_after_the_warning_and_are_preempted_at_their_limit(submitted: Submitted) -> None:
    jobs, paths = submitted.jobs, [f"limits/task-{task}" for task in (0, 1)]
    seen: dict[str, list[Any]] = {path: [] for path in paths}
    listed = []

    def ended() -> bool:
        submitted.start_requeued()
        for path in paths:
            run = jobs.run(path)
            found = (run.state, run.reason) if run is not None else None
            if found is not None and found not in seen[path]:
                seen[path].append(found)
                if found[0] == "preempting":
                    listed.append(jobs.command("tracker", "ls", "-p", "limits", "state:preempting"))
        return all(states and states[-1][0] not in ("running", "preempting") for states in seen.values())

    wait_for(ended, "the limit", seconds=240)
    for task, path in enumerate(paths):
        # The reason is the signal until `squeue` has answered.
        found = [state for state in seen[path] if state != ("preempting", "signal 10 (SIGUSR1)")]
        limit = "time limit"
        assert found == [("running", None), ("preempting", limit), ("preempted", limit)], jobs.output("")
        assert any(f"task-{task} " in lines for lines in listed)
        run = jobs.run(path)
        assert run is not None
        assert (run.lastSeen is None) == (task == 0)  # the other one could not record its end
        assert run._info.duration > 100  # the warning came 40 to 70 s after the start


@pytest.mark.parametrize("script", ["single", "ddp"])
def test_a_job_script_continues_its_run_after_the_requeue(submitted: Submitted, script: str) -> None:
    jobs, job = submitted.jobs, getattr(submitted, script)
    path, ranks = f"cluster/job-{job}", 4 if script == "ddp" else 1

    def ended() -> bool:
        submitted.start_requeued()
        run = jobs.run(path)
        return run is not None and run.state == "finished"

    wait_for(ended, f"end of job {job} in {jobs.folder}", seconds=420)
    run = jobs.run(path)
    assert run is not None
    attempts = max(each.attempt for each in run.segments) + 1
    assert attempts > 1  # a warning came, and the job was requeued
    ends = ["preempted"] * (attempts - 1) + ["finished"]
    assert sorted((each.rank, each.attempt, each.state) for each in run.segments) == [
        (rank, attempt, state) for rank in range(ranks) for attempt, state in enumerate(ends)
    ]
    rows = run.history(keys=["loss"], samples=2 * EPOCHS, pandas=False)
    assert [row["_step"] for row in rows] == list(range(EPOCHS))
    assert rows[-1]["loss"] < rows[0]["loss"] / 10  # the second start continued from the checkpoint


def test_the_documented_commands_find_the_runs_of_a_job(submitted: Submitted) -> None:
    """The last test of this file: the jobs have ended. Other tests run the job scripts, and ``ssh.sh``."""
    jobs, job = submitted.jobs, submitted.ddp
    documented = [command for command in COMMANDS if "$SLURM_JOB_ID" in command]
    found = [
        jobs.command(*(job if word == "$SLURM_JOB_ID" else word for word in command.split()), "--json")
        for command in documented
    ]
    listed, rows, console, waited = found
    assert [run["id"] for run in json.loads(listed)["runs"]] == [f"job-{job}"]
    lasts = [json.loads(line) for line in rows.splitlines()]
    assert [last["rank"] for last in lasts] == [0, 1, 2, 3]
    assert {last["row"]["_step"] for last in lasts} == {EPOCHS - 1}
    assert len({last["row"]["loss"] for last in lasts}) == 4
    assert console == ""  # train.py prints nothing
    assert json.loads(waited)["result"] == "met"


def test_the_documented_commands_show_and_apply_records(submitted: Submitted) -> None:
    jobs, job = submitted.jobs, submitted.single
    server, sync = (command for command in COMMANDS if "--watch" in command)
    assert "export TRACKER_STORE=/shared/lab/tracker-store" in COMMANDS
    with started(jobs, f"{server} --port 0") as lines:
        address = next(match[1] for line in lines if (match := re.match(r"tracker server: (\S+) \(", line)))
        listing = ("env", f"TRACKER_BASE_URL={address}", "tracker", "ls", "--job", job)
        wait_for(lambda: f"job-{job} " in jobs.command(*listing), "the run of the job")
    with started(jobs, sync) as lines:
        assert "watching" in next(lines)
        code = "import tracker; tracker.init(project='p', settings={'journal_only': True}).log({'x': 1})"
        jobs.command("python", "-c", code)
        assert "records applied" in next(lines)


@contextmanager
def started(jobs: Jobs, command: str) -> Iterator[Iterator[str]]:
    """Run a documented command on the store of the jobs; yield its lines, and end it by SIGTERM."""
    words = command.replace("/shared/lab/tracker-store", str(jobs.store)).split()
    assert str(jobs.store) in words
    with subprocess.Popen(
        words, cwd=jobs.folder, env=jobs.variables, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield iter(process.stdout.readline, "")
        finally:
            process.terminate()
            process.communicate(timeout=60)
