"""Folders that cannot be created: training continues, and one line names the folder of the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import scripts

import tracker
from tracker.sdk.run.fallback import private_folder

SCRIPT = """
import os, sys
import tracker
run = tracker.init(project="p", id="run", resume="auto", dir={folder!r})
run.log({{"x": 1}})
with open(os.path.join(run.dir, "note.txt"), "w") as file:
    file.write("kept")
run.finish()
found = tracker.Api().run("p/run")
print([row["x"] for row in found.history(pandas=False)], [file.name for file in found.files()])
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def test_a_store_that_cannot_be_made_is_replaced_by_one_in_the_temporary_folder(
    tmp_path: Path, temporary: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = scripts.run(
        SCRIPT.format(folder=str(tmp_path / "file")), tmp_path, TRACKER_STORE=str(tmp_path / "file" / "store")
    )
    instead = temporary / f"tracker-{os.getuid()}" / "tracker-store"
    assert "note.txt" in done.stdout
    assert done.stdout.startswith("[1]")
    said = [line for line in done.stderr.splitlines() if "cannot use" in line]
    assert len(said) == 1
    assert f"The run is kept in {instead}: copy it before the machine deletes it" in said[0]
    assert "cannot make a folder in" in done.stderr
    assert "resume='auto' will not find the run" in done.stderr
    assert tracker.Api({"store": str(instead)}).run("p/run").state == "finished"


def test_a_store_without_write_permission_is_replaced_too(tmp_path: Path, temporary: Path) -> None:
    tracker.init(project="p", id="mine").finish()
    store = tmp_path / "tracker-store"
    for folder in (store, *(path for path in store.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    # Root ignores permissions unless it drops this capability.
    allowed = ["setpriv", "--bounding-set", "-dac_override"] if os.getuid() == 0 else []
    done = subprocess.run(
        [*allowed, sys.executable, "-c", SCRIPT.format(folder=None)],
        cwd=tmp_path,
        env=scripts.environment(TRACKER_STORE=str(store)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith("[1]"), done.stderr
    assert f"cannot use {store} as a store: " in done.stderr


def test_a_folder_of_another_user_is_not_used(tmp_path: Path, temporary: Path) -> None:
    expected = temporary / f"tracker-{os.getuid()}"
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    expected.symlink_to(tmp_path / "elsewhere")
    made = private_folder()
    assert made.parent == temporary
    assert made != expected
    expected.unlink()
    expected.mkdir(mode=0o777)
    expected.chmod(0o777)
    assert private_folder() not in (expected, made)
    expected.chmod(0o700)
    assert private_folder() == expected
