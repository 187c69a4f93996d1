"""How a process can end or fork, and the state of its run afterwards, which a live recorder notices."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import builders
import pytest
import scripts
from builders import Writer, get_run, read_history
from sqlalchemy import select

import tracker
from tracker.ground.processes import MISSED_SECONDS, host_name
from tracker.recorder.follow import Follower, catch_up
from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import Run, Segment
from tracker.store.store import Store

# A recorder notices the end of a process on its host within this time, as documented.
NOTICED_SECONDS = 10.0


def noticed(root: Path, state: str, run_id: str = "run") -> bool:
    """Return whether the catalog has a run in this state already, without applying anything."""
    store = open_store(root, create=False)
    try:
        with store.reading() as session:
            return session.scalar(select(Run.state).where(Run.run_id == run_id)) == state
    finally:
        store.close()


def rows(run_id: str = "run", key: str = "x") -> list[int]:
    return [row[key] for row in tracker.Api().run(f"p/{run_id}").history(keys=[key], pandas=False)]


def count_segments(folder: Path) -> int:
    store = open_store(folder / "tracker-store")
    try:
        catch_up(store)  # reading one run does not fill the catalog, so it may be empty
        with store.reading() as session:
            return len(session.scalars(select(Segment)).all())
    finally:
        store.close()


ENDING = """
import os, signal, sys, threading, tracker
run = tracker.init(project="p", id="run")
run.log({{"x": 1}})
print("logged", flush=True)
sys.stdin.readline()
{ending}
"""


@pytest.mark.parametrize(
    ("ending", "state", "error", "reason"),
    [
        ("", "finished", None, None),
        ("sys.exit(0)", "finished", None, None),
        ("sys.exit('no such file')", "failed", "SystemExit: no such file", "exit status 1"),
        ("raise ValueError('went\\nwrong')", "failed", "ValueError: went\nwrong", "exception"),
        (
            "import json; json.loads('{')",
            "failed",
            "json.decoder.JSONDecodeError: Expecting property name",
            "exception",
        ),
        ("raise KeyboardInterrupt", "failed", "KeyboardInterrupt", "signal 2 (SIGINT)"),
        ("with run: raise OSError(28, 'No space')", "failed", "OSError: [Errno 28] No space", "exception"),
        ("threading.Thread(target=lambda: 1 / 0).start()", "finished", None, None),
        (
            "sys.excepthook = lambda *_: None; raise ValueError('unseen')",
            "failed",
            "ValueError: unseen",
            "exception",
        ),
        ("os._exit(0)", "crashed", None, "process gone"),
        ("os.abort()", "crashed", None, "process gone"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "crashed", None, "process gone"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "preempted", "SIGTERM", "signal 15 (SIGTERM)"),
    ],
)
def test_a_recorder_notices_how_a_process_ends(
    tmp_path: Path, ending: str, state: str, error: str | None, reason: str | None
) -> None:
    process = scripts.start(ENDING.format(ending=ending), tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "logged\n"
    root = tmp_path / "tracker-store"
    scripts.wait_for(lambda: (root / "catalog.db").exists() and noticed(root, "running"), "a recorder")
    process.communicate("\n", timeout=90)
    scripts.wait_for(lambda: noticed(root, state), state, seconds=NOTICED_SECONDS)
    run = tracker.Api().run("p/run")
    found = run._info.error
    assert found == error if error is None else found.startswith(error)
    assert (run.reason, run.host) == (reason, host_name())
    assert (run.lastSeen is not None) == (state == "crashed")
    assert rows() == [1]


ENDINGS = """
import asyncio, builtins, os, sys, threading
from sys import exit as leave
import tracker
run = tracker.init(project="p", id="run")
run.log({{"x": 1}})

async def leaving():
    async def task(): sys.exit(3)
    await asyncio.create_task(task())

def main(how=sys.exit):
    how(3)

def caught(how=sys.exit):
    try: how(2)
    except SystemExit as error: return error

{ending}
"""


@pytest.mark.parametrize(
    ("ending", "state", "error"),
    [
        ("main(exit)", "failed", "SystemExit: 3"),
        ("main(quit)", "failed", "SystemExit: 3"),
        ("main(leave)", "failed", "SystemExit: 3"),
        ("exit(code=0)", "finished", None),
        ("leave()", "finished", None),
        ("sys.exit(0.0)", "failed", "SystemExit: 0.0"),
        ("caught()", "finished", None),
        ("caught(exit); run.log({'x': 2})", "finished", None),
        ("kept = caught(); run.log({'x': 2})", "finished", None),
        ("caught(); main()", "failed", "SystemExit: 3"),
        ("try: main()\nexcept SystemExit as error:\n    kept = error\n    raise", "failed", "SystemExit: 3"),
        ("try: main()\nfinally: run.log({'x': 2})", "failed", "SystemExit: 3"),
        ("asyncio.run(leaving())", "failed", "SystemExit: 3"),
        ("other = threading.Thread(target=main); other.start(); other.join()", "finished", None),
        ("caught(); run.finish(); run = tracker.init(project='p', id='run')", "finished", None),
        ("with run: raise SystemExit(3)", "failed", "SystemExit: 3"),
        ("sys.excepthook = lambda *_: main(); raise KeyError('a')", "failed", None),
        ("caught()\ntry: 1 / 0\nexcept ZeroDivisionError: pass", "finished", None),
    ],
)
def test_only_an_error_that_ends_the_process_fails_the_run(
    tmp_path: Path, ending: str, state: str, error: str | None
) -> None:
    scripts.run(ENDINGS.format(ending=ending), tmp_path, check=False, TRACKER_JOURNAL_ONLY="1")
    run = tracker.Api().run("p/run")
    assert run.state == state
    if error is not None or state == "finished":
        assert run._info.error == error


def test_errors_in_an_interactive_session_do_not_fail_the_run(tmp_path: Path) -> None:
    typed = "import tracker\nrun = tracker.init(project='p', id='run')\n1 / 0\nrun.log({'x': 1})\n"
    subprocess.run(
        [sys.executable, "-i", "-q"],
        input=typed,
        cwd=tmp_path,
        env=scripts.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert (tracker.Api().run("p/run").state, rows()) == ("finished", [1])


WORKERS = """
import sys, torch, tracker
from torch.utils.data import DataLoader, Dataset

class Numbers(Dataset):
    def __len__(self): return 40
    def __getitem__(self, at): return torch.tensor(at)

if __name__ == "__main__":
    run = tracker.init(project="p", id="run")
    for epoch in range(2):
        for batch in DataLoader(Numbers(), batch_size=4, num_workers=2, multiprocessing_context=sys.argv[1]):
            run.log({"x": int(batch[0])})
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_dataloader_workers_leave_the_run_alone(tmp_path: Path, method: str) -> None:
    pytest.importorskip("torch", reason="pip install 'airgap-tracker[lightning]'")
    (tmp_path / "train.py").write_text(WORKERS)
    code = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, 'train.py', '{method}']))"
    scripts.run(code, tmp_path)  # spawned workers import the script: it must be a file
    assert tracker.Api().run("p/run").state == "finished"
    assert rows() == [*range(0, 40, 4)] * 2
    assert count_segments(tmp_path) == 1


FORK_WHILE_LOGGING = """
import os, sys, threading, tracker
run = tracker.init(project="p", id="run", settings={"fsync_seconds": 0.01})
stop = threading.Event()
def log():
    while not stop.is_set():
        run.log({"x": run.step})
threads = [threading.Thread(target=log) for _ in range(3)]
for thread in threads: thread.start()
for number in range(30):
    child = os.fork()
    if child == 0:
        run.log({"child": number})  # the lock may have been held by a thread that is not here
        sys.exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
stop.set()
for thread in threads: thread.join()
print(run.step)
"""


@pytest.mark.slow
def test_a_fork_while_other_threads_log(tmp_path: Path) -> None:
    done = scripts.run(FORK_WHILE_LOGGING, tmp_path)
    assert tracker.Api().run("p/run").state == "finished"
    steps = [row["_step"] for row in tracker.Api().run("p/run").history(pandas=False)]
    assert steps == list(range(int(done.stdout)))
    assert len(rows(key="child")) == 30
    assert tracker.Api().run("p/run")._info.problems == []
    assert count_segments(tmp_path) == 1 + 30


MULTIPROCESSING = """
import multiprocessing, os, sys, tracker

def work(number):
    if number == 1: sys.exit(3)
    if number == 2: raise ValueError("in the child")

if __name__ == "__main__":
    run = tracker.init(project="p", id="run")
    run.log({"x": 0})
    children = [multiprocessing.get_context(sys.argv[1]).Process(target=work, args=(n,)) for n in range(4)]
    for child in children: child.start()
    children[3].terminate()
    for child in children: child.join(30)
    assert not any(child.is_alive() for child in children)
    run.log({"x": 1})
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_that_fail_or_are_terminated_do_not_end_the_run(tmp_path: Path, method: str) -> None:
    (tmp_path / "train.py").write_text(MULTIPROCESSING)
    code = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, 'train.py', '{method}']))"
    scripts.run(code, tmp_path)
    assert (tracker.Api().run("p/run").state, rows()) == ("finished", [0, 1])


RUNS_OF_WORKERS = """
import multiprocessing, sys

def work(number):
    import tracker
    tracker.init(project="p", id=f"run-{number}", settings={"silent": True}).log({"x": number})
    if number == 1: sys.exit(3)
    if number == 2: raise ValueError("in the child")
    if number == 3: sys.exit(0)

if __name__ == "__main__":
    for number in range(4):
        child = multiprocessing.get_context(sys.argv[1]).Process(target=work, args=(number,))
        child.start()
        child.join()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_runs_of_worker_processes_end_like_their_processes(tmp_path: Path, method: str) -> None:
    (tmp_path / "train.py").write_text(RUNS_OF_WORKERS)
    code = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, 'train.py', '{method}']))"
    scripts.run(code, tmp_path)
    runs = [tracker.Api().run(f"p/run-{number}") for number in range(4)]
    assert [run.state for run in runs] == ["finished", "failed", "failed", "finished"]
    # Since Python 3.13, multiprocessing has cleared the exception when the handlers of atexit run.
    raised = "ValueError: in the child" if sys.version_info < (3, 13) else "SystemExit: 1"
    assert [run._info.error for run in runs] == [None, "SystemExit: 3", raised, None]


@pytest.mark.slow
@pytest.mark.parametrize(("now", "state"), [(False, "finished"), (True, "crashed")])
def test_a_notebook_kernel_that_is_restarted(tmp_path: Path, now: bool, state: str) -> None:
    manager = pytest.importorskip("jupyter_client.manager", reason="pip install ipykernel")
    pytest.importorskip("ipykernel", reason="pip install ipykernel")
    kernel, client = manager.start_new_kernel(
        kernel_name="python3", cwd=str(tmp_path), env=scripts.environment()
    )
    try:
        begin = "import tracker; run = tracker.init(project='p', id='run'); run.log({'x': 0})"
        for cell in (begin, "1 / 0", "run.log({'x': 1})"):  # an exception in a cell does not end the run
            client.execute_interactive(cell, timeout=60, output_hook=lambda _: None)
        client.execute("import time\nwhile True: run.log({'x': 2}); time.sleep(0.01)") if now else None
        if now:
            root = tmp_path / "tracker-store"
            scripts.wait_for(lambda: noticed(root, "running") and len(rows()) > 3, "the busy cell's rows")
        kernel.restart_kernel(now=now)
        client.wait_for_ready(timeout=60)
        root = tmp_path / "tracker-store"
        scripts.wait_for(lambda: noticed(root, state), state, seconds=NOTICED_SECONDS)
        assert rows()[:2] == [0, 1]
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)


def test_a_writer_on_another_host_that_misses_its_heartbeat(store: Store) -> None:
    writer = Writer(store.layout, "aa" * 16)
    writer.log({"x": 0})
    follower = Follower(store)
    assert follower.poll().live == 1
    assert get_run(store).state == "running"
    before = time.time() - MISSED_SECONDS
    os.utime(writer.path, (before + 30, before + 30))
    follower.poll()
    assert get_run(store).state == "running"
    os.utime(writer.path, (before - 1, before - 1))
    follower.poll()
    assert get_run(store).state == "crashed"
    writer.log({"x": 1})  # the writer or its network was only slow
    follower.poll()
    assert get_run(store).state == "running"
    assert [row["x"] for row in read_history(store)] == [0, 1]


def test_a_writer_of_another_boot_is_dead_when_it_misses_its_heartbeat(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process may also belong to another machine with the same name, so the heartbeat decides."""
    monkeypatch.setattr(builders, "HOST", host_name())
    writer = Writer(store.layout, "aa" * 16)
    writer.log({"x": 0})
    follower = Follower(store)
    assert follower.poll().live == 1
    assert get_run(store).state == "running"
    before = time.time() - MISSED_SECONDS - 1
    os.utime(writer.path, (before, before))
    follower.poll()
    assert get_run(store).state == "crashed"
    assert store.layout.list_journals() == []
