"""SIGTERM, as SLURM sends it: runs end as preempted, and the process ends as it would without tracker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import scripts

import tracker

LOOP = """
import sys, tracker
run = tracker.init(project="p", id="run", settings={settings})
print("ready", flush=True)
while True:
    run.log({{"x": run.step}})
"""
IDLE = """
import signal, tracker
first = tracker.init(project="p", id="run")
second = tracker.init(project="p", id="second", reinit="create_new")
first.log({"x": 0})
print("ready", flush=True)
signal.pause()
"""


def state(run_id: str = "run") -> str:
    return tracker.Api().run(f"p/{run_id}").state


def rows(run_id: str = "run") -> list[int]:
    return [row["x"] for row in tracker.Api().run(f"p/{run_id}").history(keys=["x"], pandas=False)]


def terminated(code: str, folder: Path, times: int = 1) -> int:
    """Run a script until it prints that it is ready, send SIGTERM, and return its exit status."""
    process = scripts.start(code, folder)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for _ in range(times):
        os.kill(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=90)
    assert "Traceback" not in err, err
    return process.returncode


@pytest.mark.parametrize("attempt", range(5))
def test_a_busy_loop_ends_as_preempted_and_dies_by_the_signal(tmp_path: Path, attempt: int) -> None:
    """The signal nearly always arrives inside ``log``, while the run's lock is held."""
    assert terminated(LOOP.format(settings={"fsync_seconds": 0.01}), tmp_path) == -signal.SIGTERM
    assert state() == "preempted"
    found = rows()
    assert found == list(range(len(found)))


@pytest.mark.parametrize(
    ("job_ends", "reason"),
    [("", "signal 15 (SIGTERM)"), ("1000", "time limit"), ("9" * 11, "signal 15 (SIGTERM)")],
)
def test_a_waiting_process_ends_all_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job_ends: str, reason: str
) -> None:
    monkeypatch.setenv("SLURM_JOB_END_TIME", job_ends)
    assert terminated(IDLE, tmp_path, times=2) == -signal.SIGTERM
    assert (state(), state("second")) == ("preempted", "preempted")
    assert tracker.Api().run("p/run")._info.error == "SIGTERM"
    assert tracker.Api().run("p/run").reason == reason


def test_another_thread_that_hangs_with_the_lock_delays_only_a_little(tmp_path: Path) -> None:
    code = """
import signal, threading, tracker
run = tracker.init(project="p", id="run")
run.log({"x": 0})
def hang():
    with run._lock:
        print("ready", flush=True)
        threading.Event().wait()
threading.Thread(target=hang, daemon=True).start()
signal.pause()
"""
    assert terminated(code, tmp_path) == -signal.SIGTERM
    assert state() == "crashed"  # the process could not record its end
    assert rows() == [0]


def test_threads_that_log_are_stopped(tmp_path: Path) -> None:
    code = """
import signal, threading, tracker
run = tracker.init(project="p", id="run")
def log():
    while True:
        run.log({"x": 1})
for _ in range(4):
    threading.Thread(target=log, daemon=True).start()
print("ready", flush=True)
signal.pause()
"""
    process = scripts.start(code, tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=90)
    assert process.returncode == -signal.SIGTERM
    assert state() == "preempted"


OWN_HANDLER = """
import signal, sys, tracker
{before}
run = tracker.init(project="p", id="run")
{after}
run.log({{"x": 0}})
print("ready", flush=True)
sys.stdin.read()
run.log({{"x": 1}})
{end}
"""


def test_a_handler_of_the_script_stays_alone(tmp_path: Path) -> None:
    code = OWN_HANDLER.format(before="signal.signal(signal.SIGTERM, lambda *_: None)", after="", end="")
    assert terminated(code, tmp_path) == 0
    assert (state(), rows()) == ("finished", [0, 1])


@pytest.mark.parametrize(("end", "status"), [("", 0), ("sys.exit(7)", 7), ("run.finish(exit_code=1)", 0)])
def test_a_handler_that_calls_ours_decides_how_the_process_ends(
    tmp_path: Path, end: str, status: int
) -> None:
    after = """
before = signal.getsignal(signal.SIGTERM)
signal.signal(signal.SIGTERM, lambda *given: before(*given))
"""
    assert terminated(OWN_HANDLER.format(before="", after=after, end=end), tmp_path) == status
    assert (state(), rows()) == ("preempted", [0, 1])


def test_a_run_begun_after_the_signal_is_not_preempted(tmp_path: Path) -> None:
    after = """
before = signal.getsignal(signal.SIGTERM)
signal.signal(signal.SIGTERM, lambda *given: before(*given))
"""
    end = "run.finish(); tracker.init(project='p', id='second').log({'x': 2})"
    assert terminated(OWN_HANDLER.format(before="", after=after, end=end), tmp_path) == 0
    assert (state(), state("second")) == ("preempted", "finished")


def test_the_handler_is_there_only_while_a_run_is_open(tmp_path: Path) -> None:
    code = """
import signal, threading, tracker
def action(): return signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
print(action())
run = tracker.init(project="p")
print(action())
run.finish()
print(action())
thread = threading.Thread(target=lambda: tracker.init(project="p").log({"x": 1}))
thread.start(); thread.join()
print(action())
"""
    assert scripts.run(code, tmp_path).stdout.split() == ["True", "False", "True", "True"]


def test_a_forked_child_without_a_run_dies_by_the_signal(tmp_path: Path) -> None:
    code = """
import os, signal, tracker
run = tracker.init(project="p", id="run")
run.log({"x": 0})
read, write = os.pipe()
child = os.fork()
if child == 0:
    os.write(write, b"!")
    signal.pause()
    os._exit(3)
os.read(read, 1)
os.kill(child, signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
run.log({"x": 1})
"""
    assert scripts.run(code, tmp_path).stdout.split() == [str(-signal.SIGTERM)]
    assert (state(), rows()) == ("finished", [0, 1])


LIGHTNING = """
import signal, sys, os
import torch
import pytorch_lightning as pl
from pytorch_lightning.demos.boring_classes import BoringModel
from tracker.lightning import WandbLogger

class Model(BoringModel):
    def training_step(self, batch, index):
        self.log("loss", 1.0)
        if index == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().training_step(batch, index)

logger = WandbLogger(project="p", id="run")
logger.experiment
pl.Trainer(accelerator="cpu", max_epochs=1, logger=logger, log_every_n_steps=1, enable_progress_bar=False,
           enable_checkpointing=False, enable_model_summary=False).fit(Model())
"""


@pytest.mark.slow
def test_lightning_stops_its_fit_and_the_run_is_preempted(tmp_path: Path) -> None:
    pytest.importorskip("pytorch_lightning", reason="pip install 'airgap-tracker[lightning]'")
    done = scripts.run(LIGHTNING, tmp_path, check=False)
    assert "SIGTERM" in done.stderr
    assert done.returncode != -signal.SIGTERM  # Lightning's handler calls ours and raises in its loop
    assert state() == "preempted"
    assert len(tracker.Api().run("p/run").history(keys=["loss"], pandas=False)) >= 5


def test_a_signal_that_does_not_interrupt_the_wait_of_the_main_thread(tmp_path: Path) -> None:
    """Another thread receives the signal while the main thread waits in C: Python's handler would never run.

    The same happens when the signal arrives just before the main thread begins to wait.
    """
    code = """
import multiprocessing, signal, sys, threading, tracker
run = tracker.init(project="p", id="run")
run.log({"x": 0})
def send():
    sys.stdin.read()
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
threading.Thread(target=send, daemon=True).start()
semaphore = multiprocessing.Semaphore(0)
print("ready", flush=True)
semaphore.acquire()
"""
    process = scripts.start(code, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    wchan = Path(f"/proc/{process.pid}/wchan")
    scripts.wait_for(lambda: "futex" in wchan.read_text(), "the main thread to wait")
    _, err = process.communicate("", timeout=90)
    assert process.returncode == -signal.SIGTERM, err
    assert state() == "preempted"


def test_a_main_thread_that_computes_in_c_delays_only_a_little(tmp_path: Path) -> None:
    code = """
import hashlib, sys, threading, tracker
run = tracker.init(project="p", id="run")
run.log({"x": 0})
computing = threading.Event()
def tell():
    computing.wait()
    print("ready", flush=True)
threading.Thread(target=tell).start()
sys.setswitchinterval(1000)  # no other thread runs Python before the main thread is in C
computing.set()
hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""
    assert terminated(code, tmp_path) == -signal.SIGTERM
    assert state() == "preempted"


POOL = """
import multiprocessing, sys, time
import tracker

def work(task):
    tracker.init(project="p", reinit="finish_previous").log({{"x": task}})
    if task == "endless":
        print("ready", flush=True)
        time.sleep(1000)

if __name__ == "__main__":
    with multiprocessing.get_context("{method}").Pool(4) as pool:
        if "{task}" == "endless":
            pool.apply_async(work, ("endless",))
            sys.stdin.readline()
        else:
            pool.map(work, range(8), chunksize=1)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_pool_that_returned_their_results_are_finished(tmp_path: Path, method: str) -> None:
    (tmp_path / "script.py").write_text(POOL.format(method=method, task="short"))
    subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=scripts.environment(), check=True, timeout=60
    )
    assert [run.state for run in tracker.Api().runs("p")] == ["finished"] * 8


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_worker_of_a_pool_that_is_in_a_task_is_preempted(tmp_path: Path, method: str) -> None:
    (tmp_path / "script.py").write_text(POOL.format(method=method, task="endless"))
    process = subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=scripts.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.communicate("end\n", timeout=60)
    assert [run.state for run in tracker.Api().runs("p")] == ["preempted"]
