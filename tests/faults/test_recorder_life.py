"""The recorder holds nothing of its writer's, is there when it is needed, and gone when it is not."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import scripts
from serving import serving
from sqlalchemy import select

from tracker.recorder import main as recorder
from tracker.recorder.opening import open_store
from tracker.store.catalog.models import Run

SCRIPT = """
import sys, tracker
run = tracker.init(project="p", id="run")
run.log({"x": 0})
print("ready", flush=True)
sys.stdin.readline()
"""


def recorders(root: Path) -> list[int]:
    """Return the pids of a store's recorders."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if str(root).encode() in words and any(b"tracker.recorder.main" in word for word in words):
                found.append(int(entry.name))
    return found


def the_recorder(root: Path) -> int:
    """Wait for a recorder that has begun to apply; return its pid."""
    scripts.wait_for(lambda: state(root) == "running", "a recorder to apply something")
    (pid,) = recorders(root)
    return pid


def state(root: Path) -> str | None:
    """Return the run's state in the catalog, without applying anything."""
    if not (root / "catalog.db").exists():
        return None
    store = open_store(root, create=False)
    try:
        with store.reading() as session:
            return session.scalar(select(Run.state))
    finally:
        store.close()


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A store; a recorder that a test has stopped is ended."""
    yield tmp_path / "tracker-store"
    for pid in recorders(tmp_path / "tracker-store"):
        os.kill(pid, signal.SIGKILL)


def test_a_stopped_recorder_keeps_no_pipe_open(tmp_path: Path, root: Path) -> None:
    """As a job step or ``script | tee`` sees it: all is over when the script is."""
    process = scripts.start(SCRIPT, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    pid = the_recorder(root)
    os.kill(pid, signal.SIGSTOP)
    process.communicate("\n", timeout=30)  # reads both pipes to their end
    assert process.returncode == 0
    assert recorders(root) == [pid]  # it is there, and cannot do anything
    os.kill(pid, signal.SIGCONT)
    scripts.wait_for(lambda: state(root) == "finished", "the end of the run")


def test_a_stopped_recorder_keeps_no_terminal_open(tmp_path: Path, root: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", f"import os; os.setsid(); import fcntl, termios\n"
         f"fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n{SCRIPT}"],
        cwd=tmp_path, env=scripts.environment(), stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    pid = the_recorder(root)
    # Field 7 of stat: the controlling terminal, 0 for none.
    assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[4] == "0"
    os.kill(pid, signal.SIGSTOP)
    os.write(ours, b"\n")
    assert process.wait(timeout=30) == 0
    with pytest.raises(OSError, match="Input/output error"):  # nobody has the other side any more
        while os.read(ours, 65536):
            pass
    os.close(ours)
    assert recorders(root) == [pid]


def test_it_leaves_within_five_seconds(tmp_path: Path, root: Path) -> None:
    assert recorder.IDLE_SECONDS + recorder.LONGEST_WAIT <= 4  # and a second for the work
    process = scripts.start(SCRIPT, tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    the_recorder(root)
    process.communicate("\n", timeout=30)
    scripts.wait_for(lambda: state(root) == "finished", "the end of the run")
    scripts.wait_for(lambda: not recorders(root), "the recorder to leave")


def killed_with_its_writer(tmp_path: Path, root: Path) -> None:
    """Leave a run whose writer and recorder were killed."""
    process = scripts.start(SCRIPT, tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(the_recorder(root), signal.SIGKILL)
    process.kill()
    process.communicate()
    for pid in recorders(root):  # the writer may have been quick to replace it
        os.kill(pid, signal.SIGKILL)
    assert state(root) == "running"


def test_the_next_process_replaces_one_that_was_killed(tmp_path: Path, root: Path) -> None:
    killed_with_its_writer(tmp_path, root)
    scripts.run("import tracker; tracker.init(project='p', id='next').finish()", tmp_path)
    scripts.wait_for(lambda: state(root) == "crashed", "the dead writer to be noticed")


def test_a_server_replaces_one_that_was_killed(tmp_path: Path, root: Path) -> None:
    killed_with_its_writer(tmp_path, root)
    with serving(root):
        scripts.wait_for(lambda: state(root) == "crashed", "the dead writer to be noticed")
        assert recorders(root) == []  # the server applies itself


def test_a_server_killed_while_a_run_goes_on_costs_nothing(tmp_path: Path, root: Path) -> None:
    process = scripts.start(SCRIPT, tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    with serving(root) as server:
        the_recorder(root)
        server.kill()
    process.communicate("\n", timeout=30)
    scripts.wait_for(lambda: state(root) == "finished", "the end of the run")
