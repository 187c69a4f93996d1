"""Packs written anew: nothing that is wanted goes, whoever looks at whatever moment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import scripts
from serving import command

import tracker
from tracker.store.files import read_json
from tracker.store.garbage import Report, collect
from tracker.store.layout import Layout
from tracker.store.store import Store

ROOT = Path("tracker-store")


@pytest.fixture
def run() -> tracker.Run:
    return tracker.init(project="p", settings={"silent": True})


def log(run: tracker.Run, name: str, files: dict[str, bytes]) -> tracker.Artifact:
    artifact = tracker.Artifact(name, "dataset")
    for path, content in files.items():
        with artifact.new_file(path, "wb") as file:
            file.write(content)
    return run.log_artifact(artifact).wait()


def gc() -> Report:
    store = Store(ROOT)
    try:
        return collect(store, grace=0.0)
    finally:
        store.close()


def read(artifact: tracker.Artifact, folder: str) -> dict[str, bytes]:
    down = Path(artifact.download(folder))
    return {entry.path: (down / entry.path).read_bytes() for entry in artifact.manifest.entries}


SOURCES = {"__init__.py": b"", "a.py": b"a" * 300, "b.py": b"b" * 200, "empty.txt": b""}
WEIGHTS = {"weights.bin": b"w" * 100_000}


def test_an_empty_file_stands_where_the_next_one_does(run: tracker.Run) -> None:
    first = log(run, "code", {**SOURCES, **WEIGHTS})
    log(run, "code", SOURCES)
    first.delete()
    gc()
    gc()
    assert read(tracker.Api().artifact("p/code:v1"), "down") == SOURCES
    assert "whole" in command("artifact", "verify", "p/code:v1", folder=Path.cwd()).stdout


def test_all_that_was_looked_up_before_finds_its_files_after(run: tracker.Run) -> None:
    first = log(run, "code", {**SOURCES, **WEIGHTS})
    log(run, "code", SOURCES)
    looked_up = tracker.Api().artifact("p/code:v1")
    assert looked_up.manifest.entries
    draft = run.use_artifact("code:v1").new_draft()
    first.delete()
    gc()
    gc()
    assert read(looked_up, "looked-up") == SOURCES
    with draft.new_file("more", "wb") as file:
        file.write(b"more")
    logged = run.log_artifact(draft).wait()
    assert read(logged, "draft") == {**SOURCES, "more": b"more"}


KILLED = """
import os
from pathlib import Path
from tracker.store import repack
from tracker.store.garbage import collect
from tracker.store.store import Store
publish = repack.publish_version
def publish_and_die(*arguments):
    publish(*arguments)
    os._exit(9)
repack.publish_version = publish_and_die
collect(Store(Path("tracker-store")), grace=0.0)
"""


def test_a_kill_between_the_published_file_and_the_commit(run: tracker.Run, tmp_path: Path) -> None:
    first = log(run, "code", {**SOURCES, **WEIGHTS})
    kept = log(run, "code", SOURCES)
    first.delete()
    done = scripts.run(KILLED, tmp_path, check=False)
    assert done.returncode == 9, done.stderr
    published = Layout(ROOT).version("local", "p", "code", 1)
    assert read_json(published)["manifest"] != kept._version.manifest
    # The pack is wanted again, so the next collection has no reason to write it anew.
    log(run, "other", WEIGHTS)
    gc()
    assert not Layout(ROOT).repacking.exists()
    gc()
    layout = Layout(ROOT)
    assert layout.blob(read_json(published)["manifest"]).exists()
    seen = scripts.run(
        "import tracker\nprint(tracker.Api().artifact('p/code:v1').download('folder'))",
        tmp_path,
        TRACKER_JOURNAL_ONLY="1",
        TRACKER_SILENT="1",
    )
    assert Path(tmp_path, seen.stdout.strip(), "a.py").read_bytes() == SOURCES["a.py"]
    assert read(tracker.Api().artifact("p/code:v1"), "down") == SOURCES


def test_a_pack_that_is_half_wanted_or_more_stays(run: tracker.Run) -> None:
    small = {f"file{at}": os.urandom(1000) for at in range(10)}
    first = log(run, "data", small)
    second = log(run, "data", dict(list(small.items())[:6]))
    first.delete()
    assert gc().notes == []
    assert tracker.Api().artifact("p/data:v1").manifest == second.manifest
