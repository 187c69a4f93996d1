"""The life of a recorder: it keeps nothing of its writer, runs while it is needed, and then ends."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import scripts
from serving import command, serving
from sqlalchemy import select

from tracker.capture.logs import file_of
from tracker.ground.processes import host_name
from tracker.recorder import main as recorder
from tracker.recorder.failure_file import ALL, Failures, note_failures, read_failures
from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import Run
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import make_folders

SCRIPT = """
import sys, tracker
run = tracker.init(project="p", id="run")
run.log({"x": 0})
print("ready", flush=True)
sys.stdin.readline()
"""


def the_recorder(root: Path) -> int:
    """Wait until a recorder has applied something; return its pid."""
    scripts.wait_for(lambda: state(root) == "running", "a recorder to apply something")
    (pid,) = scripts.recorders(root)
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
    """A store. Recorders that a test has stopped are killed at the end."""
    yield tmp_path / "tracker-store"
    for pid in scripts.recorders(tmp_path / "tracker-store"):
        os.kill(pid, signal.SIGKILL)


def test_a_stopped_recorder_keeps_no_pipe_open(tmp_path: Path, root: Path) -> None:
    """A job step or ``script | tee`` ends when the script ends."""
    process = scripts.start(SCRIPT, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    pid = the_recorder(root)
    os.kill(pid, signal.SIGSTOP)
    process.communicate("\n", timeout=90)  # reads both pipes to their end
    assert process.returncode == 0
    assert scripts.recorders(root) == [pid]  # the recorder exists, but is stopped
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
    assert process.wait(timeout=90) == 0
    with pytest.raises(OSError, match="Input/output error"):  # the other side is closed in all processes
        while os.read(ours, 65536):
            pass
    os.close(ours)
    assert scripts.recorders(root) == [pid]


@pytest.mark.slow
def test_an_idle_recorder_ends_within_five_seconds(tmp_path: Path, root: Path) -> None:
    assert recorder.IDLE_SECONDS + recorder.LONGEST_WAIT <= 4  # one more second is for the work
    process = scripts.start(SCRIPT, tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    the_recorder(root)
    process.communicate("\n", timeout=90)
    scripts.wait_for(lambda: state(root) == "finished", "the end of the run")
    scripts.wait_for(lambda: not scripts.recorders(root), "the recorder to leave")


def killed_with_its_writer(tmp_path: Path, root: Path) -> None:
    """Leave a run whose writer and recorder were killed."""
    process = scripts.start(SCRIPT, tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(the_recorder(root), signal.SIGKILL)
    process.kill()
    process.communicate()
    for pid in scripts.recorders(root):  # the writer may have replaced the recorder already
        os.kill(pid, signal.SIGKILL)
    assert state(root) == "running"


def test_the_next_process_replaces_a_killed_recorder(tmp_path: Path, root: Path) -> None:
    killed_with_its_writer(tmp_path, root)
    scripts.run("import tracker; tracker.init(project='p', id='next').finish()", tmp_path)
    scripts.wait_for(lambda: state(root) == "crashed", "the dead writer to be noticed")


def test_a_server_replaces_a_killed_recorder(tmp_path: Path, root: Path) -> None:
    killed_with_its_writer(tmp_path, root)
    with serving(root):
        scripts.wait_for(lambda: state(root) == "crashed", "the dead writer to be noticed")
        assert scripts.recorders(root) == []  # the server applies the journals itself


def test_a_server_killed_during_a_run_loses_nothing(tmp_path: Path, root: Path) -> None:
    process = scripts.start(SCRIPT, tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    with serving(root) as server:
        the_recorder(root)
        server.kill()
    process.communicate("\n", timeout=90)
    scripts.wait_for(lambda: state(root) == "finished", "the end of the run")


WAITS_FOR_FAILURE = """
import sys, tracker
from tracker.recorder.failure_file import read_failures
from tracker.sdk.process import segment_writer
segment_writer.RECORDER_SECONDS = segment_writer.LOOK_SECONDS = 0.05
run = tracker.init(project="p", id="run")
run.log({"x": 1})
print("ready", flush=True)
sys.stdin.readline()
run.log({"x": 2})
run.finish()
"""


def failure_lines(process: subprocess.Popen[str], root: Path) -> list[str]:
    """End a run when it has reported that its recorder fails; return the lines that report this."""
    assert process.stdin is not None
    assert process.stderr is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    lines: list[str] = []
    while not lines or "recorder fails" not in lines[-1]:
        lines.append(process.stderr.readline())
        assert lines[-1], lines
    _, rest = process.communicate("\n", timeout=90)
    assert process.returncode == 0
    scripts.wait_for(lambda: scripts.recorders(root) == [], "the last recorder to end")
    return [line for line in [*lines, *rest.splitlines()] if "recorder fails" in line]


@pytest.mark.slow
def test_a_run_reports_once_that_its_rows_are_not_applied(tmp_path: Path) -> None:
    """The recorder cannot open an invalid catalog. It is not started again every 5 s."""
    root = tmp_path / "tracker-store"
    scripts.run("import tracker\ntracker.init(project='p', id='before').log({'x': 0})", tmp_path)
    scripts.wait_for(lambda: scripts.recorders(root) == [], "the recorder to end")
    (root / "catalog.db").write_bytes(os.urandom(20_000))
    (line,) = failure_lines(scripts.start(WAITS_FOR_FAILURE, tmp_path), root)
    log = file_of(root / "logs", "recorder")
    assert f"catalog {root}/catalog.db: file is not a database; `tracker rebuild`" in line
    assert line.endswith(f"See {log}, or run `tracker doctor`\n")
    text = log.read_text()
    assert "Traceback" in text
    assert text.count("the recorder ends\n") == read_failures(Layout(root)).count  # a pause after each
    doctor = command("doctor", folder=tmp_path)
    assert doctor.returncode == 1
    assert re.search(r"WRONG  recorder +it failed at .*: catalog .*file is not a database", doctor.stdout)
    assert str(log) in doctor.stdout
    assert doctor.stdout.rstrip().endswith(text.rstrip()[-9:])  # the end of the log
    assert command("rebuild", folder=tmp_path).returncode == 0
    assert "WRONG  recorder" not in command("doctor", folder=tmp_path).stdout
    (line,) = scripts.run("import tracker\ntracker.init(project='p').finish()", tmp_path).stderr.splitlines()
    assert "is kept in" in line
    assert command("ls", "-p", "p", folder=tmp_path).stdout.count("finished") == 3


def broken_recorder(folder: Path, what: str) -> str:
    """Return a PYTHONPATH with which a recorder executes a line of code when it imports its main module."""
    (folder / "lib").mkdir()
    (folder / "lib" / "sitecustomize.py").write_text(
        f"""
import os, sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "tracker.recorder.main":
            {what}
if "tracker.recorder.startup" in sys.orig_argv:
    sys.meta_path.insert(0, Broken())
"""
    )
    return f"{folder / 'lib'}:{scripts.ROOT}"


def test_a_recorder_that_cannot_be_imported_is_reported(tmp_path: Path) -> None:
    path = broken_recorder(tmp_path, "raise ImportError('not built for this machine')")
    process = scripts.start(WAITS_FOR_FAILURE, tmp_path, PYTHONPATH=path)
    (line,) = failure_lines(process, tmp_path / "tracker-store")
    assert "its modules cannot be imported: ImportError('not built for this machine')" in line


def test_a_short_run_reports_that_the_previous_recorder_failed(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "tracker-store")
    make_folders(layout)
    note_failures(layout, {ALL: "the disk\x1b[31m is gone", "a": os.fsdecode(b"no text: \xff")})
    done = scripts.run("import tracker\ntracker.init(project='p').log({'x': 1})", tmp_path)
    assert "the recorder fails (the disk [31m is gone)" in done.stderr
    scripts.wait_for(lambda: read_failures(layout) == Failures(), "a recorder that does its work")


def test_failures_in_a_row_make_the_pause_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(tmp_path)
    make_folders(layout)
    pauses = []
    for _ in range(8):
        note_failures(layout, {ALL: "wrong"})
        found = read_failures(layout)
        for seconds in range(1, 1000):
            monkeypatch.setattr(time, "time", lambda noted=found.time, after=seconds: noted + after)
            if not found.pauses:
                pauses.append(seconds)
                break
        monkeypatch.undo()
    assert pauses == [10, 20, 40, 80, 160, 300, 300, 300]
    note_failures(layout, {"a" * 32: "one segment"})
    assert not read_failures(layout).pauses
    note_failures(layout, {})
    assert read_failures(layout) == Failures()
    layout.recorder_failures(host_name()).write_text("no JSON")
    assert read_failures(layout) == Failures()


@pytest.mark.slow
def test_recorders_that_are_killed_repeatedly_are_reported(tmp_path: Path) -> None:
    """A killed recorder, for example by the out-of-memory killer, cannot record a reason."""
    path = broken_recorder(tmp_path, "os.kill(os.getpid(), 9)")
    (line,) = failure_lines(
        scripts.start(WAITS_FOR_FAILURE, tmp_path, PYTHONPATH=path), tmp_path / "tracker-store"
    )
    assert "it ended 3 times without an error message" in line
