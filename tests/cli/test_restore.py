"""``tracker restore``: the environment and the data of a run, and the list of what is missing."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from serving import Server, serving

import tracker
from tracker.capture.facts import _source_of
from tracker.cli.main import main

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PINS = "numpy==1.26.4\ntorch==2.1.0+cu118\nmine==0.1\nforked==2.0\nparts==1\nodd==3\nevil==4\nnot a pin\n"
METADATA = {
    "python": "CPython 3.9.1",
    "args": ["--token=[hidden]"],
    "cudaVersion": "11.8",
    "container": {"image": "docker://trainer:7"},
    "packageSources": {
        "mine": {"url": "file:///home/me/mine", "editable": True},
        "forked": {"url": "https://example.org/forked.git", "vcs": "git", "commit": COMMIT},
        "parts": {
            "url": "https://example.org/all.git", "vcs": "git", "commit": COMMIT, "subdirectory": "a/b",
        },
        "odd": {"url": "https://example.org/odd-3.whl"},
        "evil": {"url": "https://example.org/x\n--index-url=http://evil.example"},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield the server of a store with a run that has used artifacts; one of them has lost its content."""
    folder = tmp_path_factory.mktemp("restored")
    store = folder / "tracker-store"
    with pytest.MonkeyPatch.context() as given:
        given.setattr("tracker.sdk.process.segment_writer.ensure_recorder", lambda _: False)
        given.chdir(folder)
        given.setenv("TRACKER_STORE", str(store))
        lost = log_run(folder)
        blobs = [path for path in store.rglob("*") if path.is_file() and path.read_bytes() == lost]
        assert len(blobs) == 1
        blobs[0].unlink()
    with serving(store, key=True) as server:
        yield server


def log_run(folder: Path) -> bytes:
    """Log the runs; return the content that is to be lost."""
    settings = {"silent": True}
    lost = bytes(range(256)) * 4096  # a blob of its own, not in a pack
    with tracker.init(project="p", id="maker", settings=settings) as run:
        data = tracker.Artifact("data", "dataset")
        with data.new_file("sub/rows.csv") as file:
            file.write("a,b\n")
        data.add_reference("s3://bucket/rows", name="rows", checksum=False)
        run.log_artifact(data)
        gone = tracker.Artifact("gone", "dataset")
        with gone.new_file("weights.bin", "wb") as file:
            file.write(lost)
        run.log_artifact(gone)
    with tracker.init(project="p", id="user", config={"lr": 0.5}, settings=settings) as run:
        run.use_artifact("data:v0"), run.use_artifact("gone:v0")
    run = tracker.Api().run("p/user")
    (folder / "requirements.txt").write_text(PINS)
    (folder / "wandb-metadata.json").write_text(json.dumps(METADATA))
    for name in ("requirements.txt", "wandb-metadata.json"):
        run.upload_file(name)
    return lost


def restore(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run ``tracker restore``; return its output."""
    ended: Any = 0
    try:
        main(["restore", *arguments])
    except SystemExit as error:
        ended = error.code
    out, err = capsys.readouterr()
    assert ended == code, (ended, err)
    return out


@pytest.mark.usefixtures("place")
def test_environment_and_data_are_written_and_the_rest_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = restore(capsys, "p/user", "--no-git", "--env", "--data", "-o", "back", code=1)
    lines = (tmp_path / "back/requirements.txt").read_text().splitlines()
    wanted = [
        "numpy==1.26.4",
        "torch==2.1.0+cu118",
        f"forked @ git+https://example.org/forked.git@{COMMIT}",
        f"parts @ git+https://example.org/all.git@{COMMIT}#subdirectory=a/b",
        "odd @ https://example.org/odd-3.whl",
    ]
    assert [line for line in lines if not line.startswith("#")] == wanted
    assert [str(Requirement(line).name) for line in wanted] == ["numpy", "torch", "forked", "parts", "odd"]
    assert lines[0] == "# Packages of run local/p/user, Python 3.9.1. For pip:"
    project = (tmp_path / "back/pyproject.toml").read_text()
    if sys.version_info >= (3, 11):
        import tomllib

        found = tomllib.loads(project)["project"]
        assert (found["dependencies"], found["requires-python"]) == (wanted, "==3.9.*")
    assert "lr" in (tmp_path / "back/config.yaml").read_text()
    data = tmp_path / "back/data/local/p/data/v0"
    assert [path for path in data.rglob("*") if path.is_file()] == [data / "sub/rows.csv"]
    assert (data / "sub/rows.csv").read_text() == "a,b\n"
    for part in (
        "secrets in the arguments",
        "package mine 0.1: it was installed from file:///home/me/mine",
        "package evil 4: it was installed from https://example.org/x",
        "not on PyPI; name the index that has them: torch==2.1.0+cu118",
        f"Python 3.9.1: this is Python {platform.python_version()}",
        "a driver for CUDA 11.8: this machine has ",
        "the container image docker://trainer:7",
        "artifact local/p/data:v0: 1 references to outside storage, such as s3://bucket/rows",
        "artifact local/p/gone:v0 (digest ",
    ):
        assert any(part in line and line.startswith("  - ") for line in said.splitlines()), part
    assert "evil.example" not in project


@pytest.mark.usefixtures("without_recorder")
def test_pip_accepts_the_recorded_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_X_DISABLE_META", "false")
    with tracker.init(project="p", id="r", settings={"silent": True}):
        pass
    said = restore(capsys, "p/r", "--no-git", "--env")
    assert f"this is Python {platform.python_version()}" not in said
    restored = (tmp_path / "wandb/requirements.txt").read_text().splitlines()
    assert len(restored) > 20
    (tmp_path / "wandb/requirements.txt").write_text("\n".join(restored[:20]))  # pip takes its time
    # The packages are installed: pip reads the file, and has nothing to do.
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--no-deps", "-r"]
    done = subprocess.run(
        [*command, str(tmp_path / "wandb/requirements.txt")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Would install" not in done.stdout


@pytest.mark.usefixtures("without_recorder")
def test_a_run_without_facts_says_what_was_not_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tracker.init(project="p", id="bare", settings={"silent": True}):
        pass
    said = restore(capsys, "p/bare", "--env", "--data")
    assert "  - the code: no git commit was recorded\n  - the packages: they were not recorded" in said
    assert "data: the run used no artifacts" in said
    assert not (tmp_path / "wandb/requirements.txt").exists()


def test_the_source_of_a_package_is_recorded_without_passwords(tmp_path: Path) -> None:
    def source(noted: Any) -> Any:
        (tmp_path / "direct_url.json").write_text(noted if isinstance(noted, str) else json.dumps(noted))
        return _source_of(str(tmp_path))

    assert _source_of(str(tmp_path / "nothing")) is None
    vcs = {"url": "https://me:secret@example.org/x.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}}
    assert source(vcs) == {"url": "https://example.org/x.git", "vcs": "git", "commit": COMMIT}
    folder = {"url": "file:///home/me/x", "dir_info": {"editable": True}}
    assert source(folder) == {"url": "file:///home/me/x", "editable": True}
    assert source({"url": "https://example.org/x.whl", "archive_info": {}}) == {
        "url": "https://example.org/x.whl"
    }
    for broken in ("{", "[]", '{"vcs_info": {}}', '{"url": "x", "vcs_info": {}}'):
        assert source(broken) is None
