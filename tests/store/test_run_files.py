"""Small files of a sealed run are in packs: few inodes, the same bytes, nothing lost."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scripts
from builders import ENTITY, PROJECT, Writer, apply_all, artifact_record, seal_all
from rebuilding import again
from sending import sent, use
from serving import command, serving
from sqlalchemy import select

import tracker
from tracker.ground.records import FileSaved
from tracker.recorder.open_store import open_store
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.drafts import PACKED_BELOW, Draft, DraftEntry
from tracker.store.blobs.manifest import read_manifest
from tracker.store.blobs.packs import read_index
from tracker.store.catalog.models import RunFile, Version
from tracker.store.gc.collect import collect
from tracker.store.ingest import run_files
from tracker.store.ingest.artifacts import finalize_now
from tracker.store.ingest.deletion import delete_run
from tracker.store.objects.layout import Layout
from tracker.store.store import Store

A, B = "aa" * 16, "bb" * 16
ROOT = Path(__file__).resolve().parents[2]
FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
CONTENTS = {f"media/{at}.png": f"content {at}".encode() for at in range(20)}


def write(store: Store, segment: str, run_id: str, contents: dict[str, bytes]) -> None:
    """Write a run with files, apply it and seal it."""
    writer = Writer(store.layout, segment, run_id)
    for path, content in contents.items():
        writer.file(path, content)
    writer.finish()
    apply_all(store)
    seal_all(store)


def files(store: Store) -> dict[str, bytes]:
    """Return the content of every file of every run."""
    with store.reading() as session:
        found = session.scalars(select(RunFile)).all()
    return {file.path: store.blobs.read(file.sha256) for file in found}


def blobs(store: Store) -> list[Path]:
    return sorted(path for path in store.layout.blobs.rglob("*") if path.is_file())


def inodes(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "catalog" not in path.name}


def garbage(store: Store) -> None:
    collect(store, grace=0.0, ahead=1.0)


def test_files_move_into_one_pack(store: Store) -> None:
    large = os.urandom(PACKED_BELOW)
    write(store, A, "one", {**CONTENTS, "large": large})
    pack, own = sorted(blobs(store), key=lambda path: path.suffix, reverse=True)
    assert (pack.suffix, own.read_bytes()) == (".pack", large)
    assert files(store) == {**CONTENTS, "large": large}
    assert len(read_index(pack)) == len(CONTENTS)
    assert command("verify", "--all", folder=store.root.parent).returncode == 0


def test_the_documented_code_reads_a_pack(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write(store, A, "one", CONTENTS)
    (pack,) = blobs(store)
    pack.rename(pack.with_name("SHA256.pack"))
    text = (ROOT / "docs" / "store-layout.md").read_text()
    (example,) = (each for each in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if ".pack" in each)
    monkeypatch.chdir(store.root.parent)
    said: dict[str, Any] = {"Path": Path}
    exec(example, said)
    assert said["contents"] == {hashlib.sha256(each).hexdigest(): each for each in CONTENTS.values()}


def test_the_same_contents_in_another_run_are_stored_once(store: Store) -> None:
    write(store, A, "one", CONTENTS)
    before = blobs(store)
    write(store, B, "two", {f"copy/{path}": content for path, content in CONTENTS.items()})
    assert blobs(store) == before
    assert len(files(store)) == 2 * len(CONTENTS)


def test_much_content_makes_several_packs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_files, "PACK_BYTES", 50)
    write(store, A, "one", CONTENTS)
    assert len(blobs(store)) == 4
    assert files(store) == CONTENTS


def test_a_rebuild_finds_the_contents_of_packs(store: Store) -> None:
    write(store, A, "one", CONTENTS)
    store, found = again(store)
    assert found.broken == []
    assert files(store) == CONTENTS
    garbage(store)
    assert files(store) == CONTENTS
    store.close()


def test_a_pack_with_a_damaged_index_is_reported(store: Store) -> None:
    write(store, A, "one", CONTENTS)
    (pack,) = blobs(store)
    pack.chmod(0o644)
    pack.write_bytes(pack.read_bytes()[:-1])
    store, found = again(store)
    assert found.broken == [
        f"{pack} cannot be read: the run files in this pack are lost: the pack does not end with an index"
    ]
    store.close()


def test_foreign_files_among_packs_do_not_stop_a_rebuild(store: Store) -> None:
    write(store, A, "one", CONTENTS)
    (pack,) = blobs(store)
    shutil.copy(pack, pack.with_name("copy.pack"))
    fifo = pack.with_name(f"{'0' * 64}.pack")
    os.mkfifo(fifo)
    store, found = again(store)
    assert [str(fifo) in problem for problem in found.broken] == [True]
    assert files(store) == CONTENTS


def test_deleting_a_run_keeps_contents_that_another_run_names(store: Store) -> None:
    write(store, A, "one", CONTENTS)
    (pack,) = blobs(store)
    some = dict(list(CONTENTS.items())[3:6])
    write(store, B, "two", some)
    delete_run(store, ENTITY, PROJECT, "one", now=True)
    garbage(store)  # writes a smaller pack ...
    garbage(store)  # ... and removes the old one
    assert not pack.exists()
    assert files(store) == some
    (smaller,) = blobs(store)
    assert len(read_index(smaller)) == 3
    store, found = again(store)
    assert (found.broken, files(store)) == ([], some)
    delete_run(store, ENTITY, PROJECT, "two", now=True)
    garbage(store)
    assert blobs(store) == []
    store.close()


def test_the_last_content_of_a_pack_becomes_a_blob_again(store: Store) -> None:
    write(store, A, "one", CONTENTS)
    write(store, B, "two", {"mine": b"content 7"})
    delete_run(store, ENTITY, PROJECT, "one", now=True)
    garbage(store)
    garbage(store)
    assert [path.read_bytes() for path in blobs(store)] == [b"content 7"]
    assert files(store) == {"mine": b"content 7"}


def test_garbage_collection_keeps_contents_that_an_unapplied_record_names(store: Store) -> None:
    write(store, A, "one", CONTENTS)
    delete_run(store, ENTITY, PROJECT, "one", now=True)
    name = BlobStore(store.layout).name(b"content 3")
    writer = Writer(store.layout, B, "two")
    writer.put(FileSaved("mine", name.sha256, name.size, "text/plain"))  # by an upload
    garbage(store)
    apply_all(store)
    assert files(store) == {"mine": b"content 3"}


def test_contents_of_versions_stay_blobs(store: Store) -> None:
    """A node without the catalog finds a version's files by name, in any order of version and run file."""
    first = Writer(store.layout, A, "one")
    for path, content in CONTENTS.items():
        first.file(path, content)
    first.artifact("before", {"x": b"content 1"})
    first.finish()
    second = Writer(store.layout, B, "two")
    record = artifact_record(BlobStore(store.layout), "after", {"x": b"content 2"}, ["latest"], second.tick())
    apply_all(store)
    seal_all(store)
    second.put(record)  # as an upload does when the server has the content
    second.finish()
    apply_all(store)
    seal_all(store)
    with store.reading() as session:
        manifests = session.scalars(select(Version.manifest)).all()
    without_catalog = BlobStore(store.layout)
    kept = [
        without_catalog.read(blob)
        for each in manifests
        for blob in read_manifest(without_catalog, each).blobs
    ]
    assert kept == [b"content 1", b"content 2"]
    assert files(store) == CONTENTS


def test_an_artifact_finds_contents_in_a_runs_pack(store: Store) -> None:
    write(store, A, "one", CONTENTS)
    draft = Draft(store.layout)
    draft.finish([DraftEntry(path, draft.capture_bytes(content)) for path, content in CONTENTS.items()])
    found = finalize_now(store, draft.token)
    manifest = read_manifest(store.blobs, found.manifest)
    assert {entry.pack for entry in manifest.entries} == {blobs(store)[0].stem, blobs(store)[1].stem} & {
        path.stem for path in store.layout.list_packs()
    }
    without_catalog = BlobStore(store.layout)
    for entry in manifest.entries:
        content = b"".join(without_catalog.chunks(entry.blob or "", entry.offset, entry.size))
        assert content == CONTENTS[entry.path]


def test_damaged_content_stays_where_it_is(store: Store) -> None:
    writer = Writer(store.layout, A, "one")
    for path, content in CONTENTS.items():
        writer.file(path, content)
    writer.finish()
    apply_all(store)
    damaged = store.layout.blob(BlobStore(store.layout).name(b"content 4").sha256)
    damaged.chmod(0o644)
    damaged.write_bytes(b"content ?")
    seal_all(store)
    assert damaged.read_bytes() == b"content ?"
    assert {**files(store), "media/4.png": b"content 4"} == CONTENTS


def test_a_store_of_format_1_is_opened_read_and_raised(tmp_path: Path) -> None:
    root = Path(shutil.copytree(FIXTURES / "format-1" / "sealed", tmp_path / "store"))
    old = [path for path in (root / "blobs").rglob("*") if path.is_file()]
    store = open_store(root, create=False)
    before = files(store)
    picture = before["media/images/sample_1_0a.png"]
    assert picture.endswith(b" for a picture")
    write(store, "ee" * 16, "new", {**CONTENTS, "again": picture})
    assert files(store) == {**before, **CONTENTS, "again": picture}
    garbage(store)
    assert all(path.exists() for path in old)
    assert files(store) == {**before, **CONTENTS, "again": picture}
    assert '"format": 2' in store.layout.description.read_text()
    store.close()


KILL = """
import os, shutil, signal, sys
from pathlib import Path
source, root = Path(sys.argv[1]), sys.argv[2]
sys.path[:0] = [root, root + "/tests"]
from builders import seal_all
from sqlalchemy import event
from tracker.store.ingest import run_files
from tracker.recorder.open_store import open_store
run_files.PACK_BYTES = 100

def work(folder, deadline):
    count = 0
    def step(name):
        nonlocal count
        count += 1
        if count == deadline:
            os.write(1, (name + "\\n").encode())
            os.kill(os.getpid(), signal.SIGKILL)
    def watch(name, arguments):
        if name in ("os.rename", "os.remove"):
            step(name)
    store = open_store(folder)
    sys.addaudithook(watch)
    @event.listens_for(store._engine, "commit")
    def before(connection):
        if connection.get_execution_options().get("write"):
            step("commit")
    seal_all(store)

deadline = 0
while True:
    deadline += 1
    folder = source.parent / f"killed{deadline}"
    shutil.copytree(source, folder)
    child = os.fork()
    if child == 0:
        work(folder, deadline)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        assert status == 0
        break
"""


@pytest.mark.slow
def test_killed_at_every_step_of_sealing(tmp_path: Path) -> None:
    store = open_store(tmp_path / "source")
    writer = Writer(store.layout, A, "one")
    for path, content in CONTENTS.items():
        writer.file(path, content)
    writer.finish()
    apply_all(store)
    store.close()
    done = subprocess.run(
        [sys.executable, "-c", KILL, str(store.root), str(ROOT)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    points = done.stdout.split()
    assert points.count("os.remove") >= len(CONTENTS)
    for at, point in enumerate(points, 1):
        store = open_store(tmp_path / f"killed{at}")
        assert files(store) == CONTENTS, f"killed before {point} {at}"
        seal_all(store)
        assert files(store) == CONTENTS, f"killed before {point} {at}, and sealed"
        garbage(store)
        assert files(store) == CONTENTS, f"killed before {point} {at}, and collected"
        assert all(path.suffix == ".pack" for path in blobs(store))
        store, found = again(store)
        assert (found.broken, files(store)) == ([], CONTENTS)
        store.close()


def log_images(count: int = 200) -> None:
    random = np.random.default_rng(1)
    run = tracker.init(project="p", id="images")
    for _ in range(count):
        run.log({"image": tracker.Image(random.integers(0, 255, (16, 16, 3), dtype=np.uint8))})
    run.finish()


def log_versions() -> list[tracker.Artifact]:
    run = tracker.init(project="p", id="versions")
    logged = []
    for at in range(20):
        artifact = tracker.Artifact("model", "model")
        with artifact.new_file("weights", "wb") as file:
            file.write(os.urandom(1000 if at % 2 else PACKED_BELOW))
        logged.append(run.log_artifact(artifact))
    run.finish()
    return logged


def sealed(root: Path) -> set[Path]:
    """Wait until all segments are sealed; return the inodes."""
    layout = Layout(root)
    scripts.wait_for(lambda: not layout.list_journals(), "the runs to be sealed")
    scripts.wait_for(lambda: not layout.list_drafts(), "the drafts to be gone")
    return inodes(root)


@pytest.mark.slow
def test_two_hundred_images_are_ten_inodes_at_most(tmp_path: Path) -> None:
    """In a store that has a run, a new run adds run.json, history, samples, a pack and their folders."""
    tracker.init(project="p").finish()
    root = tmp_path / "tracker-store"
    before = sealed(root)
    log_images()
    added = {
        path for path in sealed(root) - before if "locks" not in path.parts and "leases" not in path.parts
    }
    assert len(added) <= 10, sorted(added)
    run = tracker.Api().run("p/images")
    rows = run.history(pandas=False)
    contents = {b"".join(run.file(row["image"]["path"]).chunks()) for row in rows}
    assert len(contents) == 200


@pytest.mark.slow
def test_a_version_is_four_inodes_at_most_and_leaves_no_draft(tmp_path: Path) -> None:
    root = tmp_path / "tracker-store"
    tracker.init(project="p").finish()
    before = sealed(root)
    logged = log_versions()
    after = sealed(root)
    of_the_run = {path for path in after - before if {"runs", "locks", "leases"} & set(path.parts)}
    assert len(after - before - of_the_run) <= 20 * 4
    assert list((root / "drafts").iterdir()) == []
    assert [artifact.version for artifact in logged] == [f"v{at}" for at in range(20)]


@pytest.mark.slow
def test_the_same_on_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tmp_path / "store") as server:
        use(server, monkeypatch)
        tracker.init(project="p").finish()
        sent(tmp_path)
        before = sealed(server.store)
        log_images()
        log_versions()
        sent(tmp_path)
        after = sealed(server.store)
        added = {path for path in after - before if not {"locks", "leases"} & set(path.parts)}
        assert len(added) <= 10 + 10 + 20 * 4, sorted(added)
        run = tracker.Api().run("p/images")
        paths = [row["image"]["path"] for row in run.history(pandas=False)]
        assert len({b"".join(run.file(path).chunks()) for path in paths[:5]}) == 5
