"""Runs that are written to a spool on a disk of this host, and moved to the folder of a store."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import scripts
from builders import HOST, Writer, get_run, problems, read_history
from collecting import blobs, gc, log
from serving import command
from sqlalchemy import select

import tracker
from tracker.artifacts import active_run
from tracker.cli.store_checks import examine
from tracker.errors import StoreError
from tracker.ground.processes import MISSED_SECONDS
from tracker.ground.records import Row, decode
from tracker.ground.settings import load_settings
from tracker.journal.reader import Frame, read_frames
from tracker.recorder import folder_target, spool
from tracker.recorder.follow import Follower
from tracker.recorder.open_store import open_store
from tracker.recorder.outbox import Remote, write_remote
from tracker.recorder.send import Sender
from tracker.recorder.spool import list_spools, spool_of
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.manifest import read_manifest
from tracker.store.catalog.lease import SILENT_SECONDS
from tracker.store.catalog.models import RunFile, Version
from tracker.store.objects.layout import Layout, arrivals
from tracker.store.store import Store

A = "aa" * 16
QUIET: dict[str, Any] = {"x_disable_stats": True, "console": "off", "x_disable_meta": True}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_recorder: None) -> tuple[Layout, Layout]:
    """The store and its spool, as a node uses them. Only a test moves what is in the spool."""
    (tmp_path / "disk").mkdir()
    for name, value in (
        ("TRACKER_SPOOL", str(tmp_path / "disk")),
        ("TRACKER_JOURNAL_ONLY", "1"),
        ("TRACKER_FINISH_SECONDS", "0"),
        ("TRACKER_SILENT", "1"),
    ):
        monkeypatch.setenv(name, value)
    store = tmp_path / "tracker-store"
    return Layout(store), spool_of(tmp_path / "disk", store)


def move(layout: Layout) -> dict[str, str]:
    """Move everything in a spool to its store; return the faults."""
    remote = spool.remote_of(layout)
    assert remote is not None
    sender = Sender(layout, remote)
    sender.poll(patient=False)
    sender.close()
    return sender.faults


def log_everything(folder: Path, run_id: str = "run") -> None:
    """Log a run with rows, media, files and an artifact."""
    (folder / "large.bin").write_bytes(bytes(range(256)) * 1000)
    (folder / "notes.txt").write_text("notes")
    run = tracker.init(project="p", id=run_id, name="a name", config={"lr": 0.5}, settings=QUIET)
    for at in range(20):
        run.log({"x": at, "odd": math.nan if at % 2 else [at]})
    run.log({"image": tracker.Image(np.zeros((3, 3, 3), np.uint8), caption="✓")})
    run.log({"table": tracker.Table(["a", "b"], [[1, "x"], [2, "y"]])})
    run.log({"image": tracker.Image(np.zeros((3, 3, 3), np.uint8))})
    first = tracker.Artifact("data", "dataset", metadata={"a": 1})
    first.add_file(folder / "large.bin", policy="immutable")
    first.add_file(folder / "notes.txt")
    run.log_artifact(first, aliases=["best"])
    run.save(str(folder / "notes.txt"), base_path=str(folder))
    run.config["later"] = 1
    run.summary["best"] = 3
    run.finish()


def records(store: Layout) -> list[Any]:
    """Return the records in the journals of a store, without times, random names and the process."""
    found = []
    for outcome in frames(store):
        record = decode(outcome.payload)
        fields = msgspec.structs.asdict(record)
        for name in ("time", "process", "draft", "client_id"):
            fields.pop(name, None)
        found.append((outcome.sequence, type(record).__name__, fields))
    text = json.dumps(found, default=repr)
    return json.loads(re.sub("wandb-client-artifact://[0-9a-f]+", "", text))  # type: ignore[no-any-return]


def frames(layout: Layout) -> Iterator[Frame]:
    """Yield the frames of all journals in a folder. This moves nothing to the folder."""
    for path in sorted(layout.journals.rglob("*.journal")):
        for outcome in read_frames(path, path.name[:32], final=True):
            assert isinstance(outcome, Frame), outcome
            yield outcome


def rows(layout: Layout) -> list[int]:
    """Return the numbers of the rows in the journals of a store, in their order."""
    found = [decode(outcome.payload) for outcome in frames(layout)]
    return [record.data["x"] for record in found if isinstance(record, Row)]


def moved_rows(layout: Layout) -> list[int]:
    """Return the rows in a store while they arrive: the last record may be incomplete."""
    found = []
    for path in layout.journals.rglob("*.journal"):
        for outcome in read_frames(path, path.name[:32], final=False):
            record = decode(outcome.payload) if isinstance(outcome, Frame) else None
            if isinstance(record, Row):
                found.append(record.data["x"])
    return found


def waiting_files(layout: Layout) -> list[str]:
    """Return the files of a spool that hold data of runs."""
    folders = ("journals", "blobs", "drafts", "tmp")
    paths = [path for name in folders for path in (layout.root / name).rglob("*") if path.is_file()]
    # The result of a draft stays for a day, for the process that logged the artifact.
    return sorted(
        str(path) for path in paths if not (path.parent == layout.drafts and path.suffix == ".json")
    )


def answers(store: Layout, run_id: str = "run") -> dict[str, Any]:
    """Return the answers of ``Api`` about the run of ``log_everything``, after its journals were applied."""
    opened = open_store(store.root)
    follower = Follower(opened)
    follower.poll()
    assert follower.problems() == []
    opened.close()
    api = tracker.Api({"store": store.root})
    run = api.run(f"p/{run_id}")
    artifact = api.artifact("p/data:best")
    return {
        "state": run.state,
        "history": repr([(row["_step"], row.get("x"), row.get("odd")) for row in run.history(pandas=False)]),
        "config": run.config,
        "files": sorted(
            (file.name, file.size, file.md5) for file in run.files() if "summary" not in file.name
        ),
        "artifact": (artifact.version, artifact.digest, artifact.metadata, sorted(artifact.aliases)),
        "entries": [(each.path, each.digest, each.size) for each in artifact.contents.manifest.entries],
        "content": Path(artifact.download(store.root.parent / "down"), "large.bin").read_bytes(),
    }


def test_a_store_gets_the_same_records_as_without_a_spool(
    places: tuple[Layout, Layout], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, waiting = places
    log_everything(tmp_path)
    assert records(store) == []
    assert not store.list_drafts()
    assert move(waiting) == {}
    moved = records(store)
    monkeypatch.setenv("TRACKER_STORE", str(tmp_path / "direct" / "store"))
    monkeypatch.delenv("TRACKER_SPOOL")
    log_everything(tmp_path)
    direct = Layout(tmp_path / "direct" / "store")
    assert moved == records(direct)
    assert len(moved) > 25
    assert answers(store) == answers(direct)
    names = [{entry.name for entry in each.list_blobs()} for each in (store, direct)]
    assert names[0] == names[1]


def test_a_spool_frees_what_it_has_moved(places: tuple[Layout, Layout], tmp_path: Path) -> None:
    store, waiting = places
    with tracker.init(project="p", settings=QUIET) as run:
        run.log({"image": tracker.Image(np.zeros((3, 3, 3), np.uint8))})
        artifact = tracker.Artifact("data", "dataset")
        with artifact.new_file("big", "wb") as file:
            file.write(b"x" * 300_000)
        run.log_artifact(artifact)
        assert sum(path.stat().st_size for path in waiting.root.rglob("*") if path.is_file()) > 300_000
        assert move(waiting) == {}
        left = waiting_files(waiting)
        assert [Path(path).suffix for path in left] == [".journal", ".moved"]  # until the run ends
        run.log({"image": tracker.Image(np.zeros((3, 3, 3), np.uint8))})  # the content is stored again
    assert move(waiting) == {}
    assert waiting_files(waiting) == []
    assert [kind for _, kind, _ in records(store)].count("Row") == 2


def test_readers_on_the_node_see_what_waits(places: tuple[Layout, Layout], tmp_path: Path) -> None:
    store, _ = places
    run = tracker.init(project="p", id="run", settings=QUIET)
    run.log({"x": 1})
    api = tracker.Api()
    assert [row["x"] for row in api.run("p/run").history(pandas=False)] == [1]
    artifact = tracker.Artifact("data", "dataset")
    with artifact.new_file("a.txt") as file:
        file.write("text")
    run.log_artifact(artifact)
    assert artifact.wait().version == "v0"
    assert Path(run.use_artifact("data:latest").download("down"), "a.txt").read_text() == "text"
    more = artifact.new_draft()
    more.add_file(__file__, "code.py")
    run.log_artifact(more)
    assert sorted(entry.path for entry in more.wait().contents.entries()) == ["a.txt", "code.py"]
    run.log({"x": 2})
    assert [row["x"] for row in api.run("p/run").history(pandas=False)] == [1, 2]
    run.finish()
    again = tracker.init(project="p", id="run", resume="must", settings=QUIET)
    assert again.step == 2
    assert again.summary["x"] == 2
    again.log({"x": 3})
    again.finish()
    assert [row["x"] for row in api.run("p/run").history(pandas=False)] == [1, 2, 3]
    assert sorted(rows(store)) == [1, 2, 3]


def test_a_store_that_is_named_by_a_relative_path_is_moved_to_before_reading(
    places: tuple[Layout, Layout], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, waiting = places
    monkeypatch.setenv("TRACKER_STORE", "other/../tracker-store")
    with tracker.init(project="p", id="run", settings=QUIET) as run:
        run.log({"x": 1})
    assert len(waiting.list_journals()) == 1
    assert [row["x"] for row in tracker.Api().run("p/run").history(pandas=False)] == [1]


@pytest.mark.parametrize("deleted", [False, True], ids=["repacked", "deleted"])
def test_contents_that_a_draft_took_over_are_collected_before_it_is_moved(
    deleted: bool, places: tuple[Layout, Layout], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host collects garbage in the store while the draft waits in the spool."""
    store, waiting = places
    small = {"a.py": b"a" * 300, "b.py": b"b" * 200}

    def next_version(add: str = "", remove: str = "") -> tracker.Artifact:
        draft = run.use_artifact("code:latest").new_draft()
        if add:
            with draft.new_file(add, "wb") as file:
                file.write(b"new")
        if remove:
            draft.remove(remove)
        return run.log_artifact(draft)

    run = tracker.init(project="p", id="run", settings=QUIET)
    log(run, "code", **small, **{"weights.bin": b"w" * 9_000})
    (pack,) = {entry.pack for entry in next_version(remove="weights.bin").wait().contents.manifest.entries}
    assert pack in blobs(store.root)
    waits = next_version(add="new.py")
    run.finish()
    with monkeypatch.context() as patch:
        patch.delenv("TRACKER_SPOOL")
        patch.delenv("TRACKER_JOURNAL_ONLY")
        patch.delitem(arrivals, store.root)
        gc()
        for version in ("v0", "v1") if deleted else ("v0",):
            tracker.Api().artifact(f"p/code:{version}").delete(delete_aliases=True)
        for _ in range(2):
            store.uploads.unlink(missing_ok=True)  # nothing has been moved for a day
            gc()
        assert pack not in blobs(store.root)
    assert move(waiting) == {}
    if deleted:
        with pytest.raises(tracker.errors.ArtifactError, match="was deleted"):
            waits.wait()
        return
    moved = waits.wait()
    assert moved.version == "v2"
    down = Path(moved.download("down"))
    assert {path.name: path.read_bytes() for path in down.iterdir()} == {**small, "new.py": b"new"}


def test_an_artifact_of_a_process_without_a_run_is_in_the_spool(places: tuple[Layout, Layout]) -> None:
    _, waiting = places
    artifact = tracker.Artifact("data", "dataset")
    with artifact.new_file("a.txt") as file:
        file.write("text")
    assert active_run.capture_layout().root == waiting.root
    assert len(waiting.list_drafts()) == 1
    with tracker.init(project="p", settings=QUIET) as run:
        run.log_artifact(artifact)
        assert artifact.wait().version == "v0"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"TRACKER_SPOOL": "missing"}, "the folder does not exist"),
        ({"TRACKER_JOURNAL_ONLY": "0"}, "tracker-store is on a disk of this host"),
        ({"TRACKER_BASE_URL": "http://127.0.0.1:9"}, "for its server"),
        ({"TRACKER_SPOOL": "open"}, "other users may change"),
    ],
)
def test_a_spool_that_is_not_used_gives_one_line(
    settings: dict[str, str],
    reason: str,
    places: tuple[Layout, Layout],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, waiting = places
    (tmp_path / "open" / f"tracker-{os.getuid()}").mkdir(parents=True, mode=0o755)
    monkeypatch.setenv("TRACKER_SILENT", "0")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with tracker.init(project="p", settings=QUIET) as run:
        run.log({"x": 1})
    lines = [line for line in capsys.readouterr().err.splitlines() if "TRACKER_SPOOL" in line]
    assert len(lines) == 1
    assert reason in lines[0]
    assert not waiting.root.exists()
    assert store.root.exists()


def test_finish_names_the_command_that_moves_the_rest(
    places: tuple[Layout, Layout],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, waiting = places
    monkeypatch.setenv("TRACKER_SILENT", "0")
    run = tracker.init(project="p", id="run", settings=QUIET)
    run.log({"x": 1})
    hidden = tmp_path / "unmounted"
    store.root.rename(hidden)
    store.root.mkdir()  # an empty mount point
    with pytest.raises(StoreError, match="there is no store"):
        tracker.Api().run("p/run")
    run.log({"x": 2})
    capsys.readouterr()
    run.finish()
    (line,) = capsys.readouterr().err.splitlines()
    assert "bytes of run run were not moved to" in line
    assert f"`tracker sync {waiting.root}`" in line
    failed = command("sync", str(waiting.root), folder=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert "cannot be reached" in failed.stderr
    assert not any(store.root.iterdir())  # no store is made on the disk below the mount point
    store.root.rmdir()
    hidden.rename(store.root)
    found = {each.name: each for each in examine(load_settings())}
    assert "waiting for" in found["spool"].text
    done = command("sync", str(tmp_path / "disk"), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert rows(store) == [1, 2]
    assert waiting_files(waiting) == []
    assert command("sync", str(tmp_path / "disk"), folder=tmp_path).returncode == 0  # there is nothing to do


def test_a_full_store_keeps_everything_in_the_spool(
    places: tuple[Layout, Layout], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, waiting = places
    with tracker.init(project="p", id="run", settings=QUIET) as run:
        run.log({"x": 1})
        before = waiting_files(waiting)

        def full(*_: Any) -> int:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            (fault,) = move(waiting).values()
        assert "No space left on device" in fault
        assert waiting_files(waiting) == before
        run.log({"x": 2})
    assert move(waiting) == {}
    assert rows(store) == [1, 2]


def test_gc_removes_what_killed_processes_left_in_a_spool(
    places: tuple[Layout, Layout], tmp_path: Path
) -> None:
    store, waiting = places
    run = tracker.init(project="p", id="run", settings=QUIET)
    log(run, "moved", a=b"moved before").wait()  # the journal in the spool still names the artifact
    with tracker.Artifact("never-logged", "dataset").new_file("a.txt") as file:
        file.write("content")
    (dead,) = [path for path in waiting.list_drafts() if not path.suffix]
    owner = json.loads((dead / "owner.json").read_text())
    (dead / "owner.json").write_text(json.dumps([*owner[:-1], 1]))  # an earlier process with the same id
    stray = BlobStore(waiting).add_bytes(b"moved, and its run has ended")
    log_everything(tmp_path)
    left = {path for path in waiting_files(waiting) if dead.name in path or stray.sha256 in path}
    before = set(waiting_files(waiting))
    hidden = tmp_path / "unmounted"
    store.root.rename(hidden)
    store.root.mkdir()

    def collect(*options: str) -> tuple[dict[str, str], list[str]]:
        done = command("gc", "--grace", "0", "--json", *options, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        return {item["kind"]: item["name"] for item in report["items"]}, report["notes"]

    removed = {"blob": stray.sha256, "draft": dead.name}
    assert collect("--dry-run")[0] == removed
    assert set(waiting_files(waiting)) == before
    found, notes = collect("--spool", "disk")
    assert found == removed
    assert [("cannot be reached" in note, "only the spool" in note) for note in notes] == [
        (True, False),
        (False, True),
    ]
    assert before - set(waiting_files(waiting)) == left
    store.root.rmdir()
    hidden.rename(store.root)
    assert collect()[0] == {}  # moves the rest
    assert waiting_files(waiting) == []
    assert answers(store)["content"] == bytes(range(256)) * 1000
    failed = command("gc", "--spool", "missing", folder=tmp_path)
    assert (failed.returncode, "has no spool of the store" in failed.stderr) == (1, True)


def spooled_writer(store: Store, tmp_path: Path) -> tuple[Writer, Sender]:
    """Return a writer on another host, in a spool of this store, and the sender of the spool."""
    waiting = Layout(tmp_path / "spool")
    writer = Writer(waiting, A)
    write_remote(waiting, Remote(str(store.root), None))
    return writer, Sender(waiting, Remote(str(store.root), None))


def waiting(store: Store, monkeypatch: pytest.MonkeyPatch) -> tuple[Follower, Callable[[float], None]]:
    """Return a follower of the store, and a function that lets seconds pass for it and then polls."""
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    follower = Follower(store, stays=True)

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds
        follower.poll()

    return follower, wait


def test_a_sealed_run_is_continued_when_its_rows_arrive(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file system was away for so long that the run counts as crashed, then for more than a week."""
    writer, sender = spooled_writer(store, tmp_path)
    follower, wait = waiting(store, monkeypatch)

    def arrived() -> tuple[Any, list[int]]:
        state = json.loads(store.layout.run_file("team", "demo", "run1").read_text())["state"]
        return state, [row["x"] for row in read_history(store)]

    for at in range(3):
        writer.log({"x": at})
    sender.poll()
    (moved,) = store.layout.list_journals()
    assert moved.path.parent.name == f"{HOST}@spool"
    follower.poll()
    wait(MISSED_SECONDS + 1)
    assert arrived() == ("crashed", [0, 1, 2])
    wait(SILENT_SECONDS)
    (aside,) = store.layout.list_silent()
    for at in range(3, 6):
        writer.log({"x": at})
    sender.poll()
    assert aside.path.stat().st_size == writer.path.stat().st_size  # written where it was set aside
    wait(61)
    follower.poll()
    assert arrived() == ("running", [0, 1, 2, 3, 4, 5])
    wait(MISSED_SECONDS + 1)
    wait(SILENT_SECONDS)
    (aside,) = store.layout.list_silent()
    aside.path.unlink()  # as after a week
    writer.log({"x": 6})
    writer.finish()
    sender.poll()
    wait(61)
    follower.poll()
    assert arrived() == ("finished", [0, 1, 2, 3, 4, 5, 6])
    assert store.layout.list_journals() == []
    assert waiting_files(Layout(tmp_path / "spool")) == []
    sender.close()


def contents(store: Store) -> dict[str, bytes]:
    """Return the contents of the files of all runs and artifacts in a store."""
    with store.reading() as session:
        found = {
            file.path: b"".join(store.blobs.chunks(file.sha256)) for file in session.scalars(select(RunFile))
        }
        for version in session.scalars(select(Version)):
            for entry in read_manifest(store.blobs, version.manifest).entries:
                content = b"".join(store.blobs.chunks(entry.pack or entry.sha256, entry.offset, entry.size))
                found[f"{version.collection.name}/{entry.path}"] = content
    return found


class Lost(BaseException):
    """The node has lost its power."""


def test_a_lost_node_leaves_whole_rows_and_files(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node is lost in the middle of a write to the store, and comes back when the run has crashed."""
    writer, sender = spooled_writer(store, tmp_path)
    follower, wait = waiting(store, monkeypatch)

    def arrived() -> tuple[str | None, list[int], dict[str, bytes], list[str]]:
        found = [row["x"] for row in read_history(store)]
        return get_run(store).state, found, contents(store), problems(store, A)

    for at in range(3):
        writer.log({"x": at})
    writer.file("moved.txt", b"moved")
    writer.artifact("data", {"a.txt": b"content"})
    sender.poll()
    for at in range(3, 103):
        writer.log({"x": at})
    writer.file("waiting.txt", b"waiting")
    write = os.pwrite

    def lose(descriptor: int, data: bytes, offset: int) -> None:
        write(descriptor, data[: len(data) // 2], offset)
        raise Lost

    with monkeypatch.context() as patch, pytest.raises(Lost):
        patch.setattr(os, "pwrite", lose)
        sender.poll()
    follower.poll()
    wait(MISSED_SECONDS - 1)
    assert arrived()[0] == "running"
    wait(2)
    state, there, files, wrong = arrived()
    assert (state, wrong) == ("crashed", [])
    assert files == {"moved.txt": b"moved", "data/a.txt": b"content"}
    assert there == list(range(len(there)))
    assert 3 < len(there) < 103
    wait(SILENT_SECONDS)
    assert arrived() == (state, there, files, [])
    assert len(store.layout.list_journals()) == 1  # it ends in half a record: the rest may come

    assert move(writer.layout) == {}  # the node is back
    wait(61)
    follower.poll()
    everything = {**files, "waiting.txt": b"waiting"}
    assert arrived()[1:] == (list(range(103)), everything, [])
    wait(MISSED_SECONDS + 1)
    assert arrived()[0] == "crashed"


def test_a_sealed_run_that_is_moved_again_stays_the_same(store: Store, tmp_path: Path) -> None:
    """The mover was killed after the last record was moved, and before it deleted the journal."""
    writer, sender = spooled_writer(store, tmp_path)
    for at in range(3):
        writer.log({"x": at})
    writer.finish()
    shutil.copytree(tmp_path / "spool", tmp_path / "kept")
    sender.poll()
    follower = Follower(store)
    follower.poll()
    assert store.layout.list_journals() == []
    again = Sender(Layout(tmp_path / "kept"), Remote(str(store.root), None))
    again.poll()
    follower.poll()
    assert follower.problems() == []
    assert [row["x"] for row in read_history(store)] == [0, 1, 2]
    assert store.layout.list_journals() == []
    sender.close()
    again.close()


def test_journals_show_life_while_other_data_is_moved(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_target, "TOUCH_SECONDS", 0.01)
    writer, sender = spooled_writer(store, tmp_path)
    sender.poll()
    (journal,) = store.layout.list_journals()

    def silence(path: Path) -> None:
        os.utime(path, (1, 1))

    silence(journal.path)
    scripts.wait_for(lambda: journal.path.stat().st_mtime > 1, "a sign of life of a live writer")
    writer.log({"x": 1})
    silence(writer.path)
    silence(journal.path)
    scripts.wait_for(lambda: journal.path.stat().st_mtime > 1, "a sign of life while a row waits")
    sender.close()


def test_a_spool_that_lost_its_last_page_keeps_what_was_moved(store: Store, tmp_path: Path) -> None:
    """After a power failure, the journal in the spool is shorter than the one in the store."""
    writer, sender = spooled_writer(store, tmp_path)
    writer.log({"x": 0})
    size = writer.log({"x": 1})
    sender.poll()
    sender.close()
    os.truncate(writer.path, size - 20)
    os.utime(writer.path, (1, 1))
    assert move(writer.layout) == {}
    assert rows(store.layout) == [0, 1]


KILL = """
import os, shutil, signal, sys
from pathlib import Path
from tracker.recorder.outbox import Remote, write_remote
from tracker.recorder.send import Sender
from tracker.store.objects.layout import Layout, arrivals

source = Path(sys.argv[1])

def move(folder, deadline):
    count = 0
    def watched(name, call):
        def step(*arguments, **options):
            nonlocal count
            count += 1
            if count == deadline:
                if name == "pwrite":  # the kill comes in the middle of a write
                    call(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2], arguments[2])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)
        return step
    waiting, remote = Layout(folder / "spool"), Remote(str(folder / "store"), None)
    write_remote(waiting, remote)
    for name in ("pwrite", "replace", "unlink", "fsync", "link", "rmdir"):
        setattr(os, name, watched(name, getattr(os, name)))
    sender = Sender(waiting, remote)
    sender.poll(patient=False)
    assert not sender.faults, sender.faults

deadline = 0
while True:
    deadline += 1
    folder = source.parent / "killed" / str(deadline)
    shutil.copytree(source, folder)
    child = os.fork()
    if child == 0:
        try:
            move(folder, deadline)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        assert status == 0
        break
print(deadline)
"""


@pytest.mark.slow
def test_killed_at_every_step(places: tuple[Layout, Layout], tmp_path: Path) -> None:
    store, waiting = places
    log_everything(tmp_path)
    source = tmp_path / "source"
    shutil.copytree(waiting.root, source / "spool")
    shutil.copytree(store.root, source / "store")
    assert move(waiting) == {}
    (journal,) = store.list_journals()
    blobs = {entry.name for entry in store.list_blobs()}
    done = subprocess.run(
        [sys.executable, "-c", KILL, str(source)], env=scripts.environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50
    for folder in (tmp_path / "killed").iterdir():
        layout = Layout(folder / "spool")
        assert move(layout) == {}
        there = Layout(folder / "store")
        (found,) = there.list_journals()
        assert found.path.read_bytes() == journal.path.read_bytes(), folder.name
        assert {entry.name for entry in there.list_blobs()} == blobs, folder.name
        # A killed process leaves small files, which go with the next run, and incomplete files.
        left = [path for path in waiting_files(layout) if Path(path).parent != layout.temporary]
        assert [path for path in left if not path.endswith(".moved")] == [], folder.name
        assert len(there.list_drafts()) == len(store.list_drafts())


WRITER = f"""
import os, sys, time, tracker
run = tracker.init(project="p", id="run", settings={QUIET})
at = 0
while True:
    run.log({{"x": at}})
    os.write(1, b"%d\\n" % at)
    at += 1
    time.sleep(0.001)  # the test reads all rows again and again
"""


RESUME = f"""
import tracker
run = tracker.init(project="p", id="run", resume="must", settings={QUIET})
print(run.step)
run.log({{"x": run.step}})
run.finish()
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that logs rows to a spool, with a real recorder. It prints the number of each row."""
    (tmp_path / "disk").mkdir()
    environment = scripts.environment(
        TRACKER_SPOOL=str(tmp_path / "disk"), TRACKER_JOURNAL_ONLY="1", TRACKER_SILENT="1"
    )
    with (tmp_path / "logged").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER], cwd=tmp_path, env=environment, stdout=output
        )
        yield process
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_killed_writer_and_killed_movers_lose_and_repeat_nothing(
    writer: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    store = Layout(tmp_path / "tracker-store")
    waiting = spool_of(tmp_path / "disk", store.root)
    for _ in range(2):
        before = len(moved_rows(store))
        scripts.wait_for(lambda before=before: len(moved_rows(store)) > before, "moved rows")  # type: ignore[misc]
        (recorder,) = scripts.wait_for(lambda: scripts.recorders(waiting.root), "a recorder")
        os.kill(recorder, signal.SIGKILL)
    (recorder,) = scripts.wait_for(lambda: scripts.recorders(waiting.root), "another recorder")
    os.kill(recorder, signal.SIGKILL)
    writer.kill()
    writer.wait()
    last = int((tmp_path / "logged").read_text().split("\n")[-2])
    there = moved_rows(store)
    assert there == list(range(len(there)))
    # The next run on the node continues, and moves the rest.
    places = {"TRACKER_SPOOL": str(tmp_path / "disk"), "TRACKER_JOURNAL_ONLY": "1"}
    step = int(scripts.run(RESUME, tmp_path, **places).stdout)
    assert step in (last + 1, last + 2)
    (layout,) = list_spools(tmp_path / "disk")
    scripts.wait_for(lambda: not layout.list_journals(), "the rest of the killed writer")
    assert sorted(rows(store)) == list(range(step + 1))


def test_a_spool_that_others_may_change_is_not_moved(tmp_path: Path) -> None:
    own = tmp_path / f"tracker-{os.getuid()}"
    own.mkdir(mode=0o700)
    spool = Layout(own / "one")
    spool.make()
    write_remote(spool, Remote(str(tmp_path / "store"), None))
    assert [each.root for each in list_spools(tmp_path)] == [own / "one"]
    own.chmod(0o770)
    assert list_spools(tmp_path) == []
