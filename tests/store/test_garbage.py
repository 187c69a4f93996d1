"""Garbage collection frees disk space, and keeps everything that is referenced or about to be referenced."""

from __future__ import annotations

import hashlib
import os
import random
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import scripts
from builders import Writer
from collecting import ROOT, blobs, folder_size, gc, log
from sqlalchemy import update

import tracker
from tracker.errors import StoreError
from tracker.recorder.open_store import open_store
from tracker.recorder.outbox import Remote, outbox_folder, write_remote
from tracker.store.blobs import trash
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.finalize import FinalizedDraft, receive_finalized
from tracker.store.catalog.locks import FileLock, shared
from tracker.store.catalog.models import Upload
from tracker.store.gc import collect
from tracker.store.gc.collect import DAY, Report
from tracker.store.gc.retention import parse_rule
from tracker.store.ingest.uploads import find_proven, note_proven
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import make_folders
from tracker.store.store import Store

LARGE = 512 * 1024  # not packed
A = "aa" * 16


@pytest.fixture
def run(without_recorder: None) -> tracker.Run:
    return tracker.init(project="p", settings={"silent": True})


def kinds(report: Report) -> dict[str, int]:
    counts: dict[str, int] = {}
    for item in report.items:
        counts[item.kind] = counts.get(item.kind, 0) + 1
    return counts


def test_deleting_an_artifact_frees_its_bytes(run: tracker.Run) -> None:
    first = log(run, "model", weights=os.urandom(4 * LARGE))
    second = log(run, "model", weights=os.urandom(LARGE))
    before = folder_size()
    assert gc().bytes == 0
    first.delete()
    assert folder_size() == before
    report = gc()
    assert report.bytes == before - folder_size() > 4 * LARGE
    assert kinds(report) == {"blob": 2}  # the file and the manifest
    assert {item.reason for item in report.items} == {"of local/p/model:v0, which is deleted"}
    assert Path(second.download(), "weights").stat().st_size == LARGE
    assert gc().items == []


def test_a_blob_of_another_version_is_kept(run: tracker.Run) -> None:
    content = os.urandom(LARGE)
    first = log(run, "one", weights=content, other=os.urandom(LARGE))
    second = log(run, "two", weights=content)
    first.delete()
    before = folder_size()
    gc()
    assert LARGE <= before - folder_size() < LARGE + 1000
    assert Path(second.download(), "weights").read_bytes() == content


def test_a_pack_is_kept_while_one_of_its_files_is_referenced(run: tracker.Run) -> None:
    small = {f"file{at}": os.urandom(1000) for at in range(20)}
    first = log(run, "one", **small)
    second = log(run, "two", file3=small["file3"])
    assert second.contents.manifest.entries[0].pack == first.contents.manifest.entries[0].pack is not None
    first.delete()
    gc()
    assert Path(second.download("here"), "file3").read_bytes() == small["file3"]
    second.delete()
    gc()
    assert blobs() == set()
    # New versions do not use the deleted pack.
    third = log(run, "three", **small)
    assert Path(third.download("again"), "file7").read_bytes() == small["file7"]


def test_a_dry_run_reports_the_same_items_and_changes_nothing() -> None:
    run = tracker.init(project="p", settings={"silent": True})
    log(run, "kept", weights=os.urandom(LARGE))
    log(run, "gone", weights=os.urandom(LARGE)).delete()
    for _ in range(3):
        log(run, "ruled", weights=os.urandom(LARGE))
    log(run, "expired", timedelta(hours=1), weights=os.urandom(LARGE))
    run.finish()
    gc(dry_run=True)
    drafts = Layout(ROOT).drafts
    scripts.wait_for(
        lambda: not Layout(ROOT).list_journals() and not any(drafts.iterdir()), "the recorder to seal the run"
    )

    def everything() -> dict[Path, tuple[int, int]]:
        found = [path for path in ROOT.rglob("*") if path.is_file() and "catalog" not in path.name]
        return {
            path: (path.stat().st_size, path.stat().st_mtime_ns)
            for path in found
            if path.parent.name not in ("locks", "leases")
        }

    before = everything()
    rules = [parse_rule("local/p/ruled", "last 1")]
    planned = gc(look=False, dry_run=True, rules=rules, ahead=7200)
    assert everything() == before
    assert kinds(planned) == {"version": 3, "blob": 8}
    done = gc(look=False, rules=rules, ahead=7200)
    assert sorted(done.items) == sorted(planned.items)
    assert done.bytes == planned.bytes > 4 * LARGE


def test_the_grace_period_keeps_new_and_touched_blobs(store: Store) -> None:
    old, touched = store.blobs.add_bytes(b"old"), store.blobs.add_bytes(b"touched")
    report = gc(grace=DAY)
    assert (report.items, report.young, report.young_bytes) == ([], 2, 10)
    when = store.blobs.path(old.sha256).stat().st_mtime + 1000
    os.utime(store.blobs.path(touched.sha256), (when, when))
    report = gc(grace=DAY, ahead=DAY + 500)
    assert [item.name for item in report.items] == [old.sha256]
    assert blobs() == {touched.sha256}
    assert gc(grace=DAY, ahead=DAY + 1500).bytes == len(b"touched")


def test_files_of_runs_are_kept_before_and_after_applying(store: Store) -> None:
    writer = Writer(store.layout, A)
    writer.file("media/a.txt", b"applied")
    gc()
    writer.file("media/b.txt", b"waits")
    writer.artifact("data", {"x": b"waits too"})
    assert gc(look=False).items == []
    writer.finish()
    gc()
    assert len(blobs()) == 4
    assert gc(ahead=10 * DAY).items == []


def test_nothing_is_deleted_if_a_journal_cannot_be_read(store: Store) -> None:
    writer = Writer(store.layout, A)
    writer.log({"x": 1})
    store.blobs.add_bytes(b"unreferenced")
    foreign = store.layout.journal("elsewhere", "bb" * 16, 0)
    foreign.parent.mkdir()
    foreign.write_bytes(b"no journal" * 100)
    with pytest.raises(StoreError, match=r"no content was deleted.*does not begin with a journal header"):
        gc()
    foreign.unlink()
    assert gc().bytes == len(b"unreferenced")


def test_nothing_is_deleted_if_a_manifest_is_lost(run: tracker.Run) -> None:
    artifact = log(run, "model", weights=os.urandom(LARGE))
    (name,) = blobs() - {artifact.contents.manifest.entries[0].sha256}
    Layout(ROOT).blob(name).unlink()
    with pytest.raises(
        StoreError, match=r"no content was deleted, because the files of local/p/model:v0 are unknown"
    ):
        gc()
    artifact.delete()
    assert gc().bytes == LARGE


CAPTURE = """
import os, signal, sys, tracker
run = tracker.init(project="p", settings={"silent": True})
artifact = tracker.Artifact("model", "model")
open("big", "wb").write(os.urandom(1 << 20))
artifact.add_file("big")
with artifact.new_file("note.txt") as file: file.write("small")
"""


def drafts() -> list[Path]:
    return [path for path in (ROOT / "drafts").iterdir() if path.is_dir()]


def test_a_draft_is_deleted_when_its_process_is_dead(tmp_path: Path) -> None:
    code = (
        CAPTURE + "print('captured', flush=True); sys.stdin.readline(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    writer = scripts.start(code, tmp_path)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "captured\n"
    assert gc().items == []
    assert len(drafts()) == 1
    writer.communicate("\n")
    report = gc()
    assert kinds(report) == {"draft": 1}
    assert report.bytes > 1 << 20
    assert drafts() == []


def test_a_logged_draft_of_a_dead_process_is_kept(tmp_path: Path) -> None:
    code = CAPTURE + "run.log_artifact(artifact); os.kill(os.getpid(), signal.SIGKILL)"
    scripts.run(code, tmp_path, check=False, TRACKER_JOURNAL_ONLY="1")
    assert gc(look=False).items == []
    assert len(drafts()) == 1
    assert gc().items == []
    assert Path(tracker.Api().artifact("p/model").download("out"), "note.txt").read_text() == "small"


def test_the_note_of_a_draft_is_kept_for_a_day(run: tracker.Run) -> None:
    log(run, "model", w=b"x")
    assert len(list((ROOT / "drafts").glob("*.json"))) == 1
    assert gc().items == []
    assert kinds(gc(ahead=DAY + 60)) == {"note": 1}
    assert list((ROOT / "drafts").iterdir()) == []


def test_content_that_finalizing_a_draft_touches_is_kept(store: Store) -> None:
    blob = store.blobs.add_bytes(b"not referenced yet")
    folder = store.layout.draft("ab" * 16)
    folder.mkdir()
    (folder / "lock").touch()
    assert store.blobs.touch(blob.sha256)
    assert gc().items == []
    (folder / "lock").unlink()
    assert gc().bytes == blob.size


def test_a_draft_with_deleted_content_does_not_become_a_version(run: tracker.Run) -> None:
    first = log(run, "model", weights=os.urandom(LARGE))
    draft = first.new_draft()
    with draft.new_file("more") as file:
        file.write("more")
    first.delete()
    gc()
    with pytest.raises(tracker.errors.ArtifactError, match="weights was deleted with the version"):
        run.log_artifact(draft).wait()
    assert log(run, "model", w=b"x").version == "v1"


def test_content_that_a_logged_draft_takes_over_is_kept(run: tracker.Run, tmp_path: Path) -> None:
    first = log(run, "model", weights=os.urandom(LARGE))
    run.finish()
    code = """
import os, signal, tracker
run = tracker.init(project="p", settings={"silent": True})
draft = run.use_artifact("model:v0").new_draft()
with draft.new_file("more") as file: file.write("more")
run.log_artifact(draft)
os.kill(os.getpid(), signal.SIGKILL)
"""
    scripts.run(code, tmp_path, check=False, TRACKER_JOURNAL_ONLY="1")
    first.delete()
    gc(look=False)
    gc()
    second = tracker.Api().artifact("p/model:v1")
    assert Path(second.download("out"), "weights").stat().st_size == LARGE


def test_expired_versions_are_deleted_unless_a_link_names_them(run: tracker.Run) -> None:
    hour = timedelta(hours=1)
    log(run, "model", hour, weights=os.urandom(LARGE))
    linked = log(run, "model", hour, weights=os.urandom(LARGE))
    linked.link("model-registry/best")
    log(run, "model", timedelta(days=2), weights=os.urandom(LARGE))
    assert kinds(gc(grace=DAY)) == {}
    report = gc(ahead=7200)
    assert [item.name for item in report.items if item.kind == "version"] == ["local/p/model:v0"]
    assert report.bytes > LARGE
    assert any("local/p/model:v1 is kept although expired" in note for note in report.notes)
    versions = tracker.Api().artifacts("model", "p/model")
    assert [version.version for version in versions] == ["v2", "v1"]
    gc(ahead=3 * DAY)
    versions = tracker.Api().artifacts("model", "p/model")
    assert [(version.version, version.aliases) for version in versions] == [("v1", ["latest"])]
    assert Path(tracker.Api().artifact("model-registry/best").download(), "weights").stat().st_size == LARGE


def test_content_that_journals_of_an_outbox_name_is_kept(store: Store) -> None:
    url = "http://127.0.0.1:9"
    outbox = Layout(outbox_folder(store.root, url))
    make_folders(outbox)
    write_remote(outbox, Remote(url, None))
    writer = Writer(outbox, A)
    writer.file("media/a.txt", b"waits for the server")
    stray = BlobStore(outbox).add_bytes(b"has been sent")
    assert gc(outboxes=True, grace=DAY).items == []
    report = gc(outboxes=True)
    assert [(item.name, item.bytes) for item in report.items] == [(stray.sha256, stray.size)]
    assert "in outbox" in report.items[0].reason
    assert len(blobs(outbox.root)) == 1


def test_content_that_a_server_received_in_the_last_day_is_kept(store: Store) -> None:
    blob = store.blobs.add_bytes(b"uploaded")
    receive_finalized(store.layout, "ab" * 16, FinalizedDraft(blob.sha256, "", 0, 0))
    store.layout.uploads.touch()
    report = gc()
    assert report.items == []
    assert "this store received uploads" in report.notes[0]
    assert kinds(gc(ahead=DAY + 60)) == {"blob": 1, "note": 1}


def test_proof_of_a_missing_content_is_deleted_after_a_day(store: Store) -> None:
    here, lost = store.blobs.add_bytes(b"here").sha256, hashlib.sha256(b"lost").hexdigest()
    with store.writing() as session:
        note_proven(session, 1, [here, lost])
        note_proven(session, 2, [lost])

    def proven(holder: int) -> set[str]:
        with store.reading() as session:
            return find_proven(session, holder, [here, lost])

    gc(grace=DAY)
    assert (proven(1), proven(2)) == ({here, lost}, {lost})
    with store.writing() as session:
        session.execute(update(Upload).values(time=0.0))
    gc(grace=DAY, dry_run=True)
    assert (proven(1), proven(2)) == ({here, lost}, {lost})
    gc(grace=DAY)
    assert (proven(1), proven(2)) == ({here}, set())


def test_abandoned_temporary_files_are_deleted(store: Store) -> None:
    left = store.layout.new_temporary()
    left.write_bytes(b"half")
    assert gc().items == []
    assert kinds(gc(ahead=2 * 3600)) == {"temporary": 1}
    assert not left.exists()


def test_a_second_collection_at_the_same_time_is_an_error(store: Store) -> None:
    lock = FileLock(store.layout.garbage_lock)
    assert lock.try_exclusive()
    with pytest.raises(StoreError, match="another garbage collection is running"):
        gc()
    lock.close()
    gc()


def test_collection_waits_until_a_stored_file_has_its_record(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, reports = threading.Event(), []
    wait = collect._wait_for_naming

    def noted(layout: Layout) -> None:
        waiting.set()
        wait(layout)

    monkeypatch.setattr(collect, "_wait_for_naming", noted)
    writer = Writer(store.layout, A)
    with shared(store.layout.naming_lock):
        BlobStore(store.layout).add_bytes(b"content")
        collector = threading.Thread(target=lambda: reports.append(gc(look=False)))
        collector.start()
        assert waiting.wait(30)  # its limit is later than the blob
        writer.file("media/a.txt", b"content")
    collector.join()
    assert reports[0].items == []
    assert len(blobs()) == 1


# Every interleaving of a deletion with a writer that is about to reference the blob.


@pytest.fixture
def doomed(store: Store) -> Iterator[str]:
    yield store.blobs.add_bytes(b"doomed").sha256


def at_rename(monkeypatch: pytest.MonkeyPatch, before: Any = None, after: Any = None) -> None:
    rename = os.rename

    def patched(source: Any, target: Any) -> None:
        if before is not None:
            before()
        rename(source, target)
        if after is not None:
            after()

    monkeypatch.setattr(trash.os, "rename", patched)


def test_touched_before_the_rename(store: Store, doomed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at_rename(monkeypatch, before=lambda: store.blobs.touch(doomed))
    assert gc().items == []
    assert store.blobs.read(doomed) == b"doomed"
    assert store.layout.list_trash() == []


def test_touched_after_the_rename(store: Store, doomed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = []
    at_rename(monkeypatch, after=lambda: stored.append(store.blobs.add_bytes(b"doomed")))
    assert gc().bytes == 6
    assert stored[0].sha256 == doomed
    assert store.blobs.read(doomed) == b"doomed"


def test_touched_before_and_stored_again_after(
    store: Store, doomed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_rename(
        monkeypatch,
        before=lambda: store.blobs.touch(doomed),
        after=lambda: store.blobs.add_bytes(b"doomed"),
    )
    assert gc().items == []
    assert store.blobs.read(doomed) == b"doomed"
    assert store.layout.list_trash() == []


def test_replaced_by_an_old_file_before_the_rename(
    store: Store, doomed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = store.root / "old"
    source.write_bytes(b"doomed")
    os.utime(source, (1, 1))
    at_rename(monkeypatch, before=lambda: os.replace(source, store.blobs.path(doomed)))
    assert gc().items == []
    assert store.blobs.read(doomed) == b"doomed"


def test_read_between_the_rename_and_the_move_back(
    store: Store, doomed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    at_rename(
        monkeypatch,
        before=lambda: store.blobs.touch(doomed),
        after=lambda: seen.append(store.blobs.read(doomed)),
    )
    gc()
    assert seen == [b"doomed"]


KILLED = """
import os, signal
from tracker.store.blobs import trash
from tracker.store.gc import repack
from tracker.store.gc.collect import collect
from tracker.recorder.open_store import open_store
repack.LARGEST_SHARE = 0.999
rename = os.rename
def killed(source, target):
    rename(source, target)
    os.kill(os.getpid(), signal.SIGKILL)
trash.os.rename = killed
collect(open_store("tracker-store"), grace=0)
"""


def test_a_kill_between_rename_and_unlink(run: tracker.Run, tmp_path: Path) -> None:
    content = os.urandom(LARGE)
    log(run, "model", weights=content).delete()
    before = folder_size()
    scripts.run(KILLED, tmp_path, check=False)
    assert len(Layout(ROOT).list_trash()) == 1
    assert folder_size() == before
    report = gc()
    assert report.bytes == before - folder_size() > LARGE
    assert "left in the trash" in {item.reason for item in report.items}
    assert Layout(ROOT).list_trash() == []


def test_a_referenced_blob_in_the_trash_is_moved_back_after_a_kill(run: tracker.Run, tmp_path: Path) -> None:
    content = os.urandom(LARGE)
    first = log(run, "model", weights=content)
    name = first.contents.manifest.entries[0].sha256
    layout = Layout(ROOT)
    layout.trash.mkdir()
    # The state after a writer has touched and referenced the blob right before the rename.
    os.rename(layout.blob(name), layout.trash / name)
    assert b"".join(BlobStore(layout).chunks(name)) == content
    assert gc(dry_run=True).items == []
    assert not layout.blob(name).exists()
    assert gc().items == []
    assert Path(first.download(), "weights").read_bytes() == content
    assert layout.list_trash() == []


SOAKING_WRITER = """
import os, random, sys, tracker
name, seed = sys.argv[1], int(sys.argv[2])
chance = random.Random(seed)
contents = [random.Random(at).randbytes(300_000 if at < 10 else 2_000) for at in range(14)]
run = tracker.init(project="p", settings={"silent": True})
made = []
for at in range(24):
    artifact = tracker.Artifact(name, "model")
    for which in [*chance.sample(range(10), 1), *chance.sample(range(10, 14), 2)]:  # large; small: packed
        with artifact.new_file(f"file{which}", "wb") as file: file.write(contents[which])
    with artifact.new_file("which") as file: file.write(str(at))
    made.append(run.log_artifact(artifact))
    if at >= 2:
        made[at - 2].wait().delete()  # its content is logged again soon, perhaps by another writer
run.finish()
"""
SOAKING_COLLECTOR = """
import os, sys, threading, time
from tracker.recorder.follow import Follower
from tracker.store.blobs import trash
from tracker.store.gc import repack
from tracker.store.gc.collect import collect
from tracker.recorder.open_store import open_store
repack.LARGEST_SHARE = 0.999
rename = os.rename
def late(source, target):
    time.sleep(0.03)  # gives writers more time to find the blob before it is renamed
    rename(source, target)
trash.os.rename = late
given_back = []
give_back = trash.Trash.give_back
trash.Trash.give_back = lambda self, path: (given_back.append(path), give_back(self, path))
store = open_store("tracker-store")
follower = Follower(store)
done = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), done.set()), daemon=True).start()
rounds = files = packs = 0
while not done.is_set():
    follower.poll(seal_ended=False)
    report = collect(store, grace=0)
    assert all(note.startswith("repacked") for note in report.notes), report.notes
    rounds, files, packs = rounds + 1, files + len(report.items), packs + len(report.notes)
print(rounds, files, len(given_back), packs, flush=True)
"""


@pytest.mark.slow
def test_permanent_collection_loses_no_content_of_writers(tmp_path: Path) -> None:
    open_store(ROOT).close()
    collector = scripts.start(SOAKING_COLLECTOR, tmp_path)
    seed = random.randrange(1000)
    writers = [
        scripts.start(f"import sys; sys.argv[1:] = ['name{at}', '{seed + at}']\n{SOAKING_WRITER}", tmp_path)
        for at in range(3)
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=300)
        assert writer.returncode == 0, (seed, errors)
    out, errors = collector.communicate("\n", timeout=60)
    assert collector.returncode == 0, (seed, errors)
    rounds, files, given_back, packs = map(int, out.split())
    # The number of blobs that are touched at the last moment is random. The tests above cover these cases.
    print(f"{rounds} collections, {files} files deleted, {given_back} moved back, {packs} repacks")
    assert rounds > 5
    assert files > 50, "too little was deleted to prove anything"
    gc()
    gc()  # deletes the old packs
    named = set()
    for at in range(3):
        versions = tracker.Api().artifacts("model", f"p/name{at}")
        assert [version.version for version in versions] == ["v23", "v22"]
        for version in versions:
            version.download(f"out/{version.name}")
            version.verify(f"out/{version.name}")
            named |= {entry.blob for entry in version.contents.manifest.entries} | {version._version.manifest}
    assert blobs() == named, "and in the end only what is named is left"
