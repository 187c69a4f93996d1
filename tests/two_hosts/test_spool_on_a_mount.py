"""With a spool, the training thread does not call the network file system of the store."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import scripts
from mounts import sshfs_of, two_mounts
from serving import command

from tracker.ground.records import Record, Row, RunFinished, decode
from tracker.journal.reader import Corrupt, Frame, read_frames
from tracker.recorder.spool import spool_of
from tracker.store.objects.layout import Layout

pytestmark = [
    pytest.mark.mounts,
    pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace"),
]

TRAIN = """
import os, sys, numpy as np, tracker
run = tracker.init(project="p", id="run", settings={"x_disable_stats": True, "console": "off"})
os.path.exists("/begin-of-training")
for step in range(50):
    run.log({"loss": step, "image": tracker.Image(np.full((8, 8, 3), step, np.uint8))})
artifact = tracker.Artifact("model", "model")
artifact.add_file(sys.executable)
run.log_artifact(artifact)
run.config["lr"] = 0.5
run.summary["best"] = 1
run.log({"table": tracker.Table(["a"], [[1]])})
os.path.exists("/end-of-training")
run.finish()
"""


def calls_of_training(mount: Path, log: Path, **variables: str) -> list[str]:
    """Train on a mount. Return the calls of the main thread that name the mount, between two marks."""
    trace = ("strace", "-f", "--seccomp-bpf", "-y", "-e", "trace=%file,%desc", "-o", str(log))
    done = subprocess.run(
        [*trace, sys.executable, "-c", TRAIN],
        cwd=log.parent,
        env=scripts.environment(
            TRACKER_STORE=str(mount / "tracker-store"), TRACKER_X_DISABLE_META="true", **variables
        ),
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    lines = log.read_text(errors="replace").splitlines()
    begin, end = (
        next(at for at, line in enumerate(lines) if mark in line)
        for mark in ("/begin-of-training", "/end-of-training")
    )
    thread = lines[begin].split()[0]
    calls = [line for line in lines[begin:end] if line.split()[0] == thread]
    assert len(calls) > 100
    return [line for line in calls if str(mount) in line]


def moved_records(store: Layout) -> list[Record]:
    """Return the records in the only journal of a store."""
    (journal,) = store.list_journals()
    frames = read_frames(journal.path, journal.segment, final=True)
    return [decode(frame.payload) for frame in frames if isinstance(frame, Frame)]


def test_training_makes_no_call_on_the_mount(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    with two_mounts(tmp_path) as (here, _):
        spool = {"TRACKER_SPOOL": str(tmp_path / "disk")}
        assert calls_of_training(here, tmp_path / "trace", **spool) == []
        there = Layout(tmp_path / "shared" / "tracker-store")
        records = moved_records(there)
        assert sum(isinstance(record, Row) for record in records) == 51
        assert isinstance(records[-1], RunFinished)
        size = os.stat(sys.executable).st_size
        assert size in [entry.stat().st_size for entry in there.list_blobs()]
        assert spool_of(tmp_path / "disk", here / "tracker-store").list_journals() == []
        # Without a spool, the same calls are seen.
        shutil.rmtree(here / "tracker-store")
        assert len(calls_of_training(here, tmp_path / "trace")) > 50


def test_a_mount_that_does_not_answer_delays_neither_training_nor_the_end(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    code = TRAIN.replace('os.path.exists("/begin-of-training")', 'print("begun", flush=True); input()')
    with two_mounts(tmp_path) as (here, _):
        variables = {
            "TRACKER_STORE": str(here / "tracker-store"),
            "TRACKER_SPOOL": str(tmp_path / "disk"),
            "TRACKER_FINISH_SECONDS": "1",
        }
        with scripts.start(code, tmp_path, **variables) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            os.kill(sshfs_of(here), signal.SIGSTOP)
            try:
                _, said = process.communicate("\n", timeout=100)
            finally:
                os.kill(sshfs_of(here), signal.SIGCONT)
                process.kill()
        assert process.returncode == 0, said
        waiting = spool_of(tmp_path / "disk", here / "tracker-store")
        assert f"`tracker sync {waiting.root}`" in said
        scripts.wait_for(lambda: not waiting.list_journals(), "the recorder to move the rest")
        records = moved_records(Layout(tmp_path / "shared" / "tracker-store"))
        assert sum(isinstance(record, Row) for record in records) == 51
        assert isinstance(records[-1], RunFinished)


WRITER = """
import os, sys, tracker
run = tracker.init(project="p", id="run", settings={"x_disable_stats": True, "console": "off"})
at = 0
while True:
    run.log({"x": at, "pad": "y" * (at * 7919 % 300)})
    os.write(1, b"%d\\n" % at)
    at += 1
"""


def rows(store: Layout, *, final: bool) -> list[int]:
    """Return the numbers of the rows in the only journal of a store; without ``final``, while it grows."""
    found = []
    for journal in store.list_journals():
        for outcome in read_frames(journal.path, journal.segment, final=final):
            assert not isinstance(outcome, Corrupt), outcome
            if isinstance(outcome, Frame) and isinstance(record := decode(outcome.payload), Row):
                found.append(record.data["x"])
    return found


def test_a_lost_node_leaves_a_prefix_and_brings_the_rest_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer, its recorder and its mount are gone at once. Its disk comes back."""
    monkeypatch.setattr(scripts, "recorders_are_forked", False)  # the test finds the recorder by its name
    (tmp_path / "disk").mkdir()
    there = Layout(tmp_path / "shared" / "tracker-store")
    with two_mounts(tmp_path) as (here, second):
        store = here / "tracker-store"
        waiting = spool_of(tmp_path / "disk", store)
        variables = {"TRACKER_STORE": str(store), "TRACKER_SPOOL": str(tmp_path / "disk")}
        with scripts.start(WRITER, tmp_path, **variables, TRACKER_X_DISABLE_META="true") as writer:
            scripts.wait_for(lambda: len(rows(there, final=False)) > 1000, "rows on another host")
            (recorder,) = scripts.recorders(waiting.root)
            os.kill(recorder, signal.SIGSTOP)  # the last rows are only in the spool
            moved = len(rows(there, final=False))
            assert writer.stdout is not None
            next(line for line in writer.stdout if int(line) > moved + 1000)
            for process in (sshfs_of(here), recorder, writer.pid):
                os.kill(process, signal.SIGKILL)
            last = int(writer.stdout.read().split("\n")[-2])
        left = rows(there, final=True)
        assert left == list(range(len(left)))
        assert moved <= len(left) < last
        subprocess.run(["umount", "-l", str(here)], check=True)
        subprocess.run(["mount", "--bind", str(second), str(here)], check=True)
        assert command("sync", str(tmp_path / "disk"), folder=tmp_path).returncode == 0
        assert rows(there, final=True) in (list(range(last + 1)), list(range(last + 2)))
        assert waiting.list_journals() == []
