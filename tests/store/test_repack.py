"""Repacking: readers and writers find all referenced content at any moment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import scripts
from collecting import ROOT, blobs, folder_size, gc, log
from serving import command

import tracker
from tracker.store.objects.atomic_files import read_json
from tracker.store.objects.layout import Layout


@pytest.fixture
def run() -> tracker.Run:
    return tracker.init(project="p", settings={"silent": True})


def read(artifact: tracker.Artifact, folder: str) -> dict[str, bytes]:
    down = Path(artifact.download(folder))
    return {entry.path: (down / entry.path).read_bytes() for entry in artifact.contents.manifest.entries}


SOURCES = {"__init__.py": b"", "a.py": b"a" * 300, "b.py": b"b" * 200, "empty.txt": b""}
WEIGHTS = {"weights.bin": b"w" * 100_000}


def test_an_empty_file_has_the_offset_of_the_next_file(run: tracker.Run) -> None:
    first = log(run, "code", **SOURCES, **WEIGHTS)
    log(run, "code", **SOURCES)
    first.delete()
    gc()
    gc()
    assert read(tracker.Api().artifact("p/code:v1"), "down") == SOURCES
    assert "all files are intact" in command("artifact", "verify", "p/code:v1", folder=Path.cwd()).stdout


def test_a_manifest_and_a_draft_from_before_a_repack_are_still_readable(run: tracker.Run) -> None:
    first = log(run, "code", **SOURCES, **WEIGHTS)
    log(run, "code", **SOURCES)
    looked_up = tracker.Api().artifact("p/code:v1")
    assert looked_up.contents.manifest.entries
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
from tracker.store.gc import repack
from tracker.store.gc.collect import collect
from tracker.recorder.open_store import open_store
from tracker.store.store import Store
publish = repack.publish_version
def publish_and_die(*arguments):
    publish(*arguments)
    os._exit(9)
repack.publish_version = publish_and_die
collect(open_store(Path("tracker-store")), grace=0.0)
"""


def test_a_repack_survives_a_kill_between_publishing_and_the_commit(run: tracker.Run, tmp_path: Path) -> None:
    first = log(run, "code", **SOURCES, **WEIGHTS)
    kept = log(run, "code", **SOURCES)
    first.delete()
    done = scripts.run(KILLED, tmp_path, check=False)
    assert done.returncode == 9, done.stderr
    published = Layout(ROOT).version("local", "p", "code", 1)
    assert read_json(published)["manifest"] != kept._version.manifest
    # Most of the pack is referenced again, so the next collection does not repack the pack.
    log(run, "other", **WEIGHTS)
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


def test_a_pack_with_half_or_more_of_it_referenced_is_not_repacked(run: tracker.Run) -> None:
    small = {f"file{at}": os.urandom(1000) for at in range(10)}
    first = log(run, "data", **small)
    second = log(run, "data", **dict(list(small.items())[:6]))
    first.delete()
    assert gc().notes == []
    assert tracker.Api().artifact("p/data:v1").contents.manifest == second.contents.manifest


def test_a_pack_with_little_referenced_content_is_repacked(run: tracker.Run) -> None:
    small = {f"file{at}": os.urandom(1000 + at) for at in range(20)}
    first = log(run, "one", **small)
    kept = {name: small[name] for name in ("file3", "file7", "file11")}
    second = log(run, "two", **kept, new=b"new")
    single = log(run, "single", other=small["file19"])
    pack = first.contents.manifest.entries[0].pack
    assert pack is not None
    before = [each.digest for each in (second, single)]
    stale = tracker.Api().artifact("p/two:v0")
    assert stale.manifest is not None
    first.delete()
    assert "would repack 1 pack of small files: 4040 of 20190 bytes are in use" in "".join(
        gc(dry_run=True).notes
    )
    report = gc()
    assert any("repacked 1 pack of small files" in note for note in report.notes)
    # The files of the old manifest are still readable.
    assert Path(stale.download("stale"), "file7").read_bytes() == small["file7"]
    gc()
    assert pack not in blobs()
    assert folder_size() < 20_000
    fresh = [tracker.Api().artifact(f"p/{name}:v0") for name in ("two", "single")]
    assert [each.digest for each in fresh] == before
    down = Path(fresh[0].download("fresh"))
    assert {name: (down / name).read_bytes() for name in kept} == kept
    assert (down / "new").read_bytes() == b"new"
    assert Path(fresh[1].download("alone"), "other").read_bytes() == small["file19"]
    # A new version finds kept content at its new place, and stores deleted content again.
    again = log(run, "again", **small)
    places = {entry.path: entry.pack for entry in again.contents.manifest.entries}
    moved = {entry.path: entry.pack for entry in fresh[0].contents.manifest.entries}
    assert places["file3"] == moved["file3"] != places["file0"]
    assert Path(again.download("all"), "file0").read_bytes() == small["file0"]
    assert not gc().notes
    # A rebuild reads the published file, so this file must have the new manifest.
    published = read_json(Layout(ROOT).version("local", "p", "two", 0))
    assert published["manifest"] == fresh[0]._version.manifest != stale._version.manifest


def test_a_damaged_pack_is_not_repacked(run: tracker.Run) -> None:
    small = {f"file{at}": os.urandom(1000) for at in range(20)}
    first = log(run, "one", **small)
    log(run, "two", file3=small["file3"])
    pack = Layout(ROOT).blob(first.contents.manifest.entries[0].pack or "")
    pack.chmod(0o644)
    content, age = bytearray(pack.read_bytes()), pack.stat()
    content[content.index(small["file3"])] ^= 1
    pack.write_bytes(content)
    os.utime(pack, ns=(age.st_atime_ns, age.st_mtime_ns))
    first.delete()
    (note,) = gc().notes
    assert note.startswith(f"pack {pack.name} cannot be repacked")
    assert "its content of file3 is damaged" in note
    assert pack.exists()
