"""Deleted runs are restored with everything, until their grace period ends; crashes at every step."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import scripts
from builders import (
    ENTITY,
    HOST,
    PROJECT,
    START,
    Writer,
    apply_all,
    dump,
    log_every_kind,
    read_history,
    seal_all,
    segment_id,
)

from tracker.errors import ConflictError, NotFoundError, StoreError
from tracker.ground.records import ArtifactChanged, ArtifactLinked, RunStarted
from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import Segment
from tracker.store.gc.collect import collect
from tracker.store.ingest.artifact_edits import change_artifact, link_artifact
from tracker.store.ingest.deletion import delete_run
from tracker.store.ingest.restoration import restore_run
from tracker.store.ingest.run_edits import apply_edit, make_edit
from tracker.store.objects.layout import Layout
from tracker.store.published.moves import find_place
from tracker.store.queries.artifacts import artifact_detail, list_artifacts
from tracker.store.queries.deleted_runs import list_deleted
from tracker.store.queries.runs import list_runs
from tracker.store.recovery.open_catalog import hold_exclusively
from tracker.store.recovery.rebuild import rebuild
from tracker.store.recovery.verify import list_items
from tracker.store.store import Store

RUN = (ENTITY, PROJECT, "gone")
DAY = 86_400.0
# Runs an operation on copies of a store. In copy N, the process dies just before its N-th change of a file or
# of the catalog. The last copy is complete. Prints the number of copies.
CRASHING = """
import os, shutil, sys
from pathlib import Path
from sqlalchemy.engine.default import DefaultDialect
from tracker.recorder.open_store import open_store
from tracker.store.ingest.deletion import delete_run
from tracker.store.ingest.restoration import restore_run
from tracker.store.gc.collect import collect
import tracker.store.history.ladder
base, work, operation = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
steps = 0

def die_before(owner, name, at):
    real = getattr(owner, name)
    def call(*arguments, **keywords):
        global steps
        steps += 1
        if steps == at:
            os._exit(9)
        return real(*arguments, **keywords)
    setattr(owner, name, call)

number = 0
while True:
    number += 1
    copy = work / str(number)
    shutil.copytree(base, copy)
    child = os.fork()
    if child == 0:
        store = open_store(copy, create=False)
        for owner, name in ((os, "replace"), (os, "unlink"), (os, "link"), (DefaultDialect, "do_commit")):
            die_before(owner, name, number)
        eval(operation)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
print(number)
"""


def fill(store: Store) -> None:
    """Log a run with data of every kind, and another run that uses its artifact."""
    files = {"media/a.txt": b"content a", "media/b.txt": b"content b"}
    log_every_kind(store, "gone", "kept", files=files)
    apply_all(store)
    apply_edit(store, make_edit(*RUN, {"tags": ["x"], "archived": True}))
    link_artifact(
        store, ArtifactLinked(ENTITY, PROJECT, "model", 1, "", ENTITY, "registry", "m", [], START + 300)
    )


def runs(store: Store) -> list[str]:
    """Return the ids of all runs of the project, archived ones included."""
    with store.reading() as session:
        page = list_runs(session, ENTITY, PROJECT, filters={"archived": {"$in": [True, False]}})
    return sorted(run.id for run in page.runs)


def deleted(store: Store) -> list[str]:
    """Return the ids of the deleted runs that can be restored."""
    with store.reading() as session:
        return [each.id for each in list_deleted(session, ENTITY, PROJECT).runs]


def content(store: Store) -> dict[str, Any]:
    """Return the content of a store without positions in journals, which are gone."""
    found: dict[str, Any] = json.loads(dump(store))
    for segment in found["segments"].values():
        del segment["at"][:2]
    return found


def rebuilt(store: Store) -> Store:
    """Rebuild the catalog of a store without the former one, and open it."""
    layout = Layout(store.root)
    store.close()
    with hold_exclusively(layout) as hold:
        hold.catalog.unlink()
        assert rebuild(layout, hold).broken == []
    again = open_store(layout.root, create=False)
    apply_all(again)
    return again


@pytest.mark.slow
def test_everything_of_a_run_is_restored(store: Store) -> None:
    fill(store)
    seal_all(store)
    before = content(store)
    delete_run(store, *RUN)
    assert (runs(store), deleted(store)) == (["kept"], ["gone"])
    with store.reading() as session:
        assert artifact_detail(session, ENTITY, PROJECT, "model", "best").logged_by is None
    assert not store.layout.run_file(*RUN).exists()
    collect(store, grace=0.0, ahead=3 * DAY)  # the files of the run are kept
    store = rebuilt(store)
    assert (runs(store), deleted(store)) == (["kept"], ["gone"])
    restore_run(store, *RUN)
    assert (runs(store), deleted(store)) == (["gone", "kept"], [])
    assert content(store) == before
    assert [path.name for path in store.layout.run(*RUN).glob("deleted*/*")] == []
    with store.reading() as session:
        assert artifact_detail(session, ENTITY, "registry", "m", "latest").logged_by == "gone"
    store = rebuilt(store)
    assert content(store) == before
    collect(store, grace=0.0, ahead=30 * DAY)
    assert {store.blobs.read(file.sha256) for file in files(store)} == {b"content a", b"content b"}
    store.close()


def files(store: Store):  # type: ignore[no-untyped-def]
    """Return the file rows of all runs."""
    from sqlalchemy import select

    from tracker.store.catalog.models import RunFile

    with store.reading() as session:
        return session.scalars(select(RunFile)).all()


def test_artifacts_that_were_deleted_with_their_run_are_restored(store: Store) -> None:
    fill(store)
    delete_run(store, *RUN, delete_artifacts=True)
    with store.reading() as session:
        assert list_artifacts(session, ENTITY, PROJECT) == []
    collect(store, grace=0.0, ahead=3 * DAY)
    late = Writer(store.layout, "dd" * 16, "later", start=START + 400)
    late.artifact("model", {"weights": b"3"}, ["latest", "first"])
    late.finish()
    apply_all(store)
    store = rebuilt(store)
    restore_run(store, *RUN)
    with store.reading() as session:
        found = {each.version: each for each in list_artifacts(session, ENTITY, PROJECT, name="model")}
    # An alias that a newer version has by now stays there.
    assert {name: each.aliases for name, each in found.items()} == {
        "v0": [],
        "v1": ["best"],
        "v2": ["first", "latest"],
    }
    assert [found[name].logged_by for name in ("v0", "v1", "v2")] == ["gone", "gone", "later"]
    with store.reading() as session:
        best = artifact_detail(session, ENTITY, PROJECT, "model", "best")
        assert [user.id for user in best.used_by] == ["kept"]
        assert artifact_detail(session, ENTITY, "registry", "m", "latest").logged_by == "gone"
    collect(store, grace=0.0, ahead=3 * DAY)
    assert store.blobs.has(found["v1"].manifest)
    store.close()


def test_the_grace_period_ends(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_DELETED_DAYS", "2")
    fill(store)
    delete_run(store, *RUN)
    parts = [item.path for item in list_items(store) if item.kind == "part"]
    assert len(parts) == 4  # two of rows, one of samples, one of output
    collect(store, grace=0.0, ahead=1.9 * DAY)
    assert deleted(store) == ["gone"]
    planned = collect(store, grace=0.0, ahead=2.1 * DAY, dry_run=True)
    report = collect(store, grace=0.0, ahead=2.1 * DAY)
    for each in (planned, report):
        assert [(item.kind, item.name) for item in each.items][:1] == [("run", "team/demo/gone")]
    assert deleted(store) == []
    folder = store.layout.run(*RUN)
    assert [path.name for path in folder.rglob("*")] == ["deleted.json"]
    with pytest.raises(NotFoundError, match="no deleted run team/demo/gone that can be restored"):
        restore_run(store, *RUN)
    store = rebuilt(store)
    assert (runs(store), deleted(store)) == (["kept"], [])
    store.close()


def test_an_id_that_is_used_again(store: Store) -> None:
    fill(store)
    delete_run(store, *RUN)
    again = Writer(store.layout, "ee" * 16, "gone", start=time.time() + 1)
    again.log({"loss": 9})
    again.finish()
    apply_all(store)
    with pytest.raises(ConflictError, match="a newer run has the id team/demo/gone"):
        restore_run(store, *RUN)
    assert runs(store) == ["gone", "kept"]
    delete_run(store, *RUN)
    assert deleted(store) == ["gone", "gone"]
    store = rebuilt(store)
    assert deleted(store) == ["gone", "gone"]
    restore_run(store, *RUN, token="ee" * 16)
    assert [row["loss"] for row in read_history(store, "gone")] == [9]
    delete_run(store, *RUN, now=True)  # the files of the older run stay
    restore_run(store, *RUN)
    assert [row["loss"] for row in read_history(store, "gone")] == [0, 1, 2, 7]
    store.close()


def test_late_journals_of_a_deleted_and_of_a_restored_run(store: Store) -> None:
    fill(store)
    late = Writer(store.layout, "dd" * 16, "gone", rank=1)
    late.log({"loss": 100})
    late.finish()
    hidden = store.root / "elsewhere.journal"
    late.path.rename(hidden)
    delete_run(store, *RUN)
    started = RunStarted(*RUN, START, late_process())
    assert find_place(store.layout, started, "dd" * 16) is None
    restore_run(store, *RUN)
    hidden.rename(store.layout.journal(HOST, "dd" * 16, 0))
    apply_all(store)
    with store.reading() as session:
        assert session.get_one(Segment, segment_id(store, "dd" * 16)).run_id is not None
    assert runs(store) == ["gone", "kept"]
    store = rebuilt(store)
    assert len(read_history(store, "gone")) == 4
    store.close()


def late_process():  # type: ignore[no-untyped-def]
    """Return any process."""
    from tracker.ground.records import Process

    return Process(HOST, "boot", 1, 42, 7)


def test_a_version_that_changed_while_its_run_was_deleted(store: Store) -> None:
    fill(store)
    delete_run(store, *RUN)
    change_artifact(
        store, ArtifactChanged(ENTITY, PROJECT, "model", 1, "", time.time(), values={"description": "good"})
    )
    restore_run(store, *RUN)
    store = rebuilt(store)
    with store.reading() as session:
        version = artifact_detail(session, ENTITY, PROJECT, "model", "best")
    assert (version.logged_by, version.description) == ("gone", "good")
    store.close()


def test_a_run_with_a_missing_part_is_not_restored(store: Store) -> None:
    fill(store)
    delete_run(store, *RUN)
    part = next(store.layout.run(*RUN).glob("history/*.parquet"))
    part.rename(store.root / "moved")
    with pytest.raises(StoreError, match=r"cannot be restored: .*parquet is missing"):
        restore_run(store, *RUN)
    (store.root / "moved").rename(part)
    restore_run(store, *RUN)


@pytest.mark.slow
@pytest.mark.parametrize(
    "operation",
    [
        "delete_run(store, 'team', 'demo', 'gone', delete_artifacts=True)",
        "restore_run(store, 'team', 'demo', 'gone')",
        "collect(store, grace=0.0, ahead=9e5)",
    ],
)
def test_killed_at_every_step(operation: str, store: Store, tmp_path: Path) -> None:
    """After a kill at any step, the run is either there or deleted, with everything, also after a rebuild."""
    fill(store)
    seal_all(store)
    if not operation.startswith("delete"):
        delete_run(store, *RUN, delete_artifacts=True)
    root = store.root
    store.close()
    work = tmp_path / "work"
    done = subprocess.run(
        [sys.executable, "-c", CRASHING, str(root), str(work), operation],
        env=scripts.environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    copies = int(done.stdout)
    assert copies > 6
    for number in range(1, copies + 1):
        for with_catalog in (True, False):
            root = work / f"{number}-{with_catalog}"
            shutil.copytree(work / str(number), root)
            check(root, operation, with_catalog=with_catalog, complete=number == copies)


def check(root: Path, operation: str, *, with_catalog: bool, complete: bool) -> None:
    """Check a store after a kill, then finish the operation."""
    if with_catalog:
        store = open_store(root, create=False)
    else:
        layout = Layout(root)
        with hold_exclusively(layout) as hold:
            hold.catalog.unlink()
            assert rebuild(layout, hold).broken == []
        store = open_store(root, create=False)
    apply_all(store)
    if operation.startswith("collect"):
        assert runs(store) == ["kept"]
        collect(store, grace=0.0, ahead=9e5)
        assert deleted(store) == []
        store = rebuilt(store)
        assert (runs(store), deleted(store)) == (["kept"], [])
        store.close()
        return
    there = "gone" in runs(store)
    assert deleted(store) == ([] if there else ["gone"])
    if complete:
        assert there == operation.startswith("restore")
    if there:
        delete_run(store, *RUN, delete_artifacts=True)
    collect(store, grace=0.0, ahead=3 * DAY)
    restore_run(store, *RUN)
    store = rebuilt(store)
    assert [row["loss"] for row in read_history(store, "gone")] == [0, 1, 2, 7]
    with store.reading() as session:
        found = {each.version: each for each in list_artifacts(session, ENTITY, PROJECT, name="model")}
    assert {name: each.logged_by for name, each in found.items()} == {"v0": "gone", "v1": "gone"}
    assert all(store.blobs.has(each.manifest) for each in found.values())
    assert {store.blobs.read(file.sha256) for file in files(store)} == {b"content a", b"content b"}
    store.close()
