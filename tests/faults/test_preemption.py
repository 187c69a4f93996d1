"""The warning before the end of a job (``--signal=USR1@60``): runs become preempting, and end preempted."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import scripts

import tracker
from tracker.api.run import Run

# {0}: code before init, {1}: code after init, {2}: code for the wait.
SCRIPT = """
import os, signal, sys, tracker
{}
run = tracker.init(project="p", id="run")
{}
run.log({{"x": 0}})
print("ready", flush=True)
{}
"""
WAIT = "sys.stdin.read()"
# Not `print`: Python refuses it if the signal interrupts the `print` of "ready".
REQUEUE = "signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b'requeued\\n'))"


@pytest.fixture(autouse=True)
def _of_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let scripts believe that they belong to a Slurm job. No ``squeue`` answers."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_END_TIME", "")


def run() -> Run:
    return tracker.Api().run("p/run")


def started(folder: Path, before: str = "", after: str = "", wait: str = WAIT) -> subprocess.Popen[str]:
    process = scripts.start(SCRIPT.format(before, after, wait), folder)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def warn(process: subprocess.Popen[str], number: int = signal.SIGUSR1) -> None:
    """Send the warning, and wait until another process sees that the run is preempting."""
    os.kill(process.pid, number)
    scripts.wait_for(lambda: run().state == "preempting", "preempting")


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_a_run_that_is_killed_after_the_warning_is_preempted(tmp_path: Path, number: signal.Signals) -> None:
    process = started(tmp_path)
    warn(process, number)
    assert process.poll() is None  # the default action of the signal would have ended the process
    assert run().reason == f"signal {number} ({number.name})"
    process.kill()
    process.communicate()
    scripts.wait_for(lambda: run().state == "preempted", "preempted")
    assert run().reason == "process gone"
    assert [row["x"] for row in run().history(keys=["x"], pandas=False)] == [0]


def test_a_run_that_is_killed_at_the_end_of_the_job_names_the_time_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time())))
    process = started(tmp_path)
    warn(process)
    assert run().reason == "time limit"
    process.kill()
    process.communicate()
    scripts.wait_for(lambda: run().state == "preempted", "preempted")
    assert run().reason == "time limit"
    assert run().segments[0].state == "preempted"
    assert run().segments[0].reason == "time limit"


@pytest.mark.parametrize("task", ["", "3"])
def test_the_end_of_the_job_comes_from_squeue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    job = "6_3" if task else "7"
    if task:
        monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "6")
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
    squeue = tmp_path / "bin" / "squeue"
    squeue.parent.mkdir()
    expected = f'"$SLURM_TIME_FORMAT $2" = "%s --jobs={job}"'
    squeue.write_text(f"#!/bin/sh\n[ {expected} ] && echo {int(time.time()) + 30}\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(squeue.parent), prepend=os.pathsep)
    process = started(tmp_path)
    warn(process)
    scripts.wait_for(lambda: run().reason == "time limit", "the time limit")
    process.terminate()
    process.communicate()
    assert (run().state, run().reason) == ("preempted", "time limit")


def test_a_run_that_finishes_after_the_warning_is_finished(tmp_path: Path) -> None:
    process = started(tmp_path)
    warn(process)
    process.communicate("")
    assert process.returncode == 0
    assert (run().state, run().reason) == ("finished", None)


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_handler_of_the_script_runs(tmp_path: Path, place: str) -> None:
    process = started(tmp_path, **{place: REQUEUE})
    warn(process)
    assert process.communicate("")[0] == "requeued\n"


def test_a_handler_that_ends_the_process_ends_the_run_as_preempted(tmp_path: Path) -> None:
    process = started(tmp_path, "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(3))")
    os.kill(process.pid, signal.SIGUSR1)
    process.communicate()
    assert process.returncode == 3
    assert (run().state, run().reason) == ("preempted", "exit status 3")


def test_a_handler_for_a_requeue_finds_the_default_action(tmp_path: Path) -> None:
    """The check and the handler of ``pytorch_lightning``: ``trainer/connectors/signal_connector.py``."""
    after = f"assert signal.getsignal(signal.SIGUSR1) in (None, signal.SIG_DFL)\n{REQUEUE}"
    process = started(tmp_path, after=after)
    warn(process)
    assert process.communicate("")[0] == "requeued\n"


def test_a_handler_of_a_library_in_c_stays(tmp_path: Path) -> None:
    process = started(tmp_path, "import faulthandler; faulthandler.register(signal.SIGUSR1)")
    os.kill(process.pid, signal.SIGUSR1)
    assert "most recent call first" in process.communicate("")[1]
    assert run().state == "finished"


def test_a_worker_that_was_forked_survives_the_warning(tmp_path: Path) -> None:
    fork = """
child = os.fork()
if child == 0:
    sys.stdin.read()
    os._exit(5)
"""
    process = started(tmp_path, after=fork, wait="print(os.waitpid(child, 0)[1] >> 8, flush=True)")
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGUSR1)
    warn(process)
    assert process.communicate("")[0] == "5\n"


def test_without_slurm_the_signal_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID")
    process = started(tmp_path)
    os.kill(process.pid, signal.SIGUSR1)
    process.communicate()
    assert process.returncode == -signal.SIGUSR1
    assert run().state == "crashed"


LIGHTNING = """
import os, signal, sys
import pytorch_lightning as pl
from pytorch_lightning.demos.boring_classes import BoringModel
from pytorch_lightning.plugins.environments import SLURMEnvironment
from tracker.lightning import WandbLogger

class Model(BoringModel):
    def training_step(self, batch, index):
        self.log("loss", 1.0)
        if index == 3:
            os.kill(os.getpid(), signal.SIGUSR1)
        return super().training_step(batch, index)

logger = WandbLogger(project="p", id="run")
logger.experiment  # tracker's handler is there before Lightning looks for one
pl.Trainer(accelerator="cpu", devices=1, max_epochs=1, logger=logger, log_every_n_steps=1,
           plugins=[SLURMEnvironment(auto_requeue=True)], enable_progress_bar=False,
           enable_model_summary=False).fit(Model())
sys.exit(3)
"""


@pytest.mark.slow
def test_lightning_requeues_the_job_and_the_run_is_preempted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pytorch_lightning", reason="pip install 'airgap-tracker[lightning]'")
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/requeued\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(scontrol.parent), prepend=os.pathsep)
    tasks = {"SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
    done = scripts.run(LIGHTNING, tmp_path, check=False, SLURM_JOB_NAME="train", **tasks)
    assert (tmp_path / "requeued").read_text() == "requeue 7\n", done.stderr
    assert done.returncode == 3, done.stderr
    assert run().state == "preempted"  # it failed after the warning
