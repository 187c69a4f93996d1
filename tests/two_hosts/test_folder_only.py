"""A host that sees only the folder of a store answers every question, and SQLite opens no file there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import scripts
from mounts import two_mounts
from questions import QUESTIONS, answer, change_runs, log_runs
from serving import serving

from tracker.ground.settings import load_settings
from tracker.reading.open_reader import open_reader
from tracker.store.catalog.locks import is_held
from tracker.store.objects.layout import Layout

pytestmark = [
    pytest.mark.mounts,
    pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace"),
]

TESTS = str(Path(__file__).resolve().parents[1])
TRAIN = """
import tracker
run = tracker.init(entity="team", project="p", id="r9", name="run 9", config={"lr": 0.05}, tags=["t0"])
for step in range(5):
    run.log({"epoch": step, "loss": step / 2})
artifact = tracker.Artifact("data", "dataset")
with artifact.new_file("b.txt") as file:
    file.write("from the node")
run.log_artifact(artifact)
run.use_artifact("data:v0")
run.finish()
"""
ASK = """
import json, sys
from questions import QUESTIONS, answer
from tracker.ground.settings import load_settings
from tracker.reading.open_reader import open_reader
from tracker.store.catalog.locks import is_held
reader = open_reader(load_settings(mode="offline"))
json.dump({name: [answer(each, reader) for each in asked] for name, asked in QUESTIONS.items()}, sys.stdout)
reader.close()
"""
COMMANDS = """
import sys
from tracker.cli.main import main
for line in sys.argv[1:]:
    try:
        main(line.split())
    except SystemExit as error:
        assert not error.code, (line, error.code)
"""


def traced(mount: Path, log: Path, code: str, *arguments: str) -> str:
    """Run Python on a mount. Return its output; check that it opens no file of SQLite on the mount."""
    trace = ("strace", "-f", "--seccomp-bpf", "-y", "-e", "trace=open,openat,openat2,creat", "-o", str(log))
    done = subprocess.run(
        [*trace, sys.executable, "-c", code, *arguments],
        cwd=mount.parent,  # strace prints it in each line
        env={**scripts.environment(TRACKER_STORE=str(mount / "tracker-store")), "PYTHONPATH": path()},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    opened = log.read_text().splitlines()
    there = [line for line in opened if str(mount) in line]
    assert [line for line in there if ".db" in line or "-wal" in line or "-shm" in line] == []
    assert any("run.json" in line for line in there)
    return done.stdout


def path() -> str:
    return os.pathsep.join((str(scripts.ROOT), TESTS))


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A mount of a folder with a store: sealed runs of every kind, and the journal of a run of this mount."""
    folder = tmp_path_factory.mktemp("folder")
    with two_mounts(folder) as (_, there):
        store = folder / "shared" / "tracker-store"
        log_runs(store)
        with serving(store) as server:
            change_runs(server)
        assert server.errors == []
        # A recorder on the other side of the mount would apply the journal of the next run.
        locks = Layout(store).recorder_locks()
        scripts.wait_for(lambda: not any(is_held(lock) for lock in locks), "the recorder to end")
        variables = {"TRACKER_STORE": str(there / "tracker-store"), "TRACKER_X_DISABLE_META": "true"}
        said = scripts.run(TRAIN, there, **variables).stderr
        assert "only journals are written here" in said
        yield there


def test_commands_open_no_catalog_on_a_mount(mount: Path, tmp_path: Path) -> None:
    said = traced(
        mount, tmp_path / "trace", COMMANDS, "artifact ls team/p", "verify --all", "doctor", "pull team/p/r0"
    )
    assert "team/p/data" in said
    assert "0 missing or damaged" in said
    assert len(Layout(mount / "tracker-store").list_journals()) == 1, "a reader has applied the journal"


def test_a_mounted_folder_gives_the_answers_of_the_catalog(mount: Path, tmp_path: Path) -> None:
    found = json.loads(traced(mount, tmp_path / "trace", ASK))
    assert "tracker-copy-" in (tmp_path / "trace").read_text(), "SQLite was not seen at all"
    assert len(Layout(mount / "tracker-store").list_journals()) == 1, "a reader has applied the journal"
    store = mount.parent / "shared" / "tracker-store"
    reader = open_reader(load_settings(store=store, mode="offline"))
    for name, asked in QUESTIONS.items():
        assert found[name] == [answer(each, reader) for each in asked], name
    reader.close()
