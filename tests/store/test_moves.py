"""Runs that are moved to another project: found only there, with everything; kills at every step."""

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
    no_catalog,
    read_history,
    seal_all,
)

import tracker
from tracker.errors import ConflictError, NotFoundError, UsageError
from tracker.ground.records import ArtifactLinked
from tracker.reading.catalog_free import CatalogFreeReader
from tracker.reading.catalog_free_run import CatalogFreeRunReader
from tracker.reading.local import LocalReader
from tracker.reading.resume_state import find_run
from tracker.recorder.follow import Follower
from tracker.recorder.open_store import open_store
from tracker.store.gc.collect import collect
from tracker.store.ingest.artifact_edits import link_artifact
from tracker.store.ingest.deletion import delete_run
from tracker.store.ingest.moves import move_run
from tracker.store.ingest.restoration import restore_run
from tracker.store.ingest.run_edits import apply_edit, make_edit
from tracker.store.objects.layout import Layout
from tracker.store.published.moves import moved_place
from tracker.store.queries.changes import change_batch
from tracker.store.queries.runs import list_runs
from tracker.store.recovery.open_catalog import hold_exclusively
from tracker.store.recovery.rebuild import rebuild
from tracker.store.store import Store

NEW = "new"
RUN = (ENTITY, PROJECT, "mine")
MOVED = (ENTITY, NEW, "mine")
DAY = 86_400.0


def fill(store: Store) -> None:
    """Log a run with data of every kind, and another run that uses its artifact."""
    log_every_kind(store, "mine", "other", files={"media/a.txt": b"content a"})
    apply_all(store)
    apply_edit(store, make_edit(*RUN, {"tags": ["x"], "notes": "n"}))
    link = ArtifactLinked(ENTITY, PROJECT, "model", 1, "", ENTITY, "registry", "m", [], START + 300)
    link_artifact(store, link)


def runs(store: Store, project: str) -> list[str]:
    """Return the ids of the runs of a project."""
    with store.reading() as session:
        return sorted(run.id for run in list_runs(session, ENTITY, project).runs)


def content(store: Store) -> dict[str, Any]:
    """Return the content of a store without names of projects and positions in journals."""
    found: dict[str, Any] = json.loads(dump(store))
    del found["projects"]
    found["published"] = {path: each for path, each in found["published"].items() if "artifacts/" in path}
    found["runs"] = {name.rpartition("/")[2]: run for name, run in found["runs"].items()}
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


def check_moved(store: Store, losses: list[float]) -> None:
    """Check that every reader finds the run in the new project, and only there, with all its data."""

    def refuse() -> Any:
        raise NotFoundError("only the catalog could answer")

    local = LocalReader(store, follows=False)
    for reader in (local, CatalogFreeRunReader(store.layout, refuse)):
        assert (reader.run(*MOVED).project, reader.run(*MOVED).tags) == (NEW, ["x"])
        assert [row["loss"] for row in reader.history(*MOVED, ["loss"], False)] == losses
        with pytest.raises(NotFoundError):
            reader.run(*RUN)
    assert "mine" in runs(store, NEW) and "mine" not in runs(store, PROJECT)
    assert find_run(store.layout, *RUN) is None
    resumed = find_run(store.layout, *MOVED)
    assert resumed is not None and resumed.merged.config == {"lr": 0.5}
    (file,) = local.files(*MOVED)
    assert b"".join(local.file_chunks(*MOVED, file)) == b"content a"
    first = "aa" * 16
    assert [line.text for line in local.console(*MOVED, segment=first).lines] == ["hello"]
    assert [row["cpu"] for each in local.system(*MOVED) for row in each.rows] == [5.0]
    assert {each.version for each in local.artifacts(ENTITY, NEW, "mine", None)} == {"v0", "v1"}
    assert local.artifacts(ENTITY, PROJECT, "mine", None) == []
    assert [each.version for each in local.used_artifacts(*MOVED)] == ["v0"]
    for each in (local, CatalogFreeReader(store.layout, no_catalog)):
        for place, name in ((PROJECT, "model"), ("registry", "m")):
            found = each.artifact(ENTITY, place, name, "latest")
            assert (found.logged_by, found.logged_in) == ("mine", f"{ENTITY}/{NEW}")
        assert each.manifest(found).entries[0].size == 1
    graph = local.run_lineage(*MOVED)
    assert {(edge.kind, edge.source, edge.target) for edge in graph.edges} >= {
        ("logged", "run:team/new/mine", "version:team/demo/model:v1"),
        ("used", "version:team/demo/model:v0", "run:team/new/mine"),
        ("used", "version:team/demo/model:v1", "run:team/demo/other"),
    }


LOSSES = [0, 1, 2, 7]


def test_everything_is_found_in_the_new_project_and_only_there(store: Store) -> None:
    fill(store)
    seal_all(store)
    before = content(store)
    move_run(store, *RUN, None, NEW)
    check_moved(store, LOSSES)
    moved = content(store)
    assert moved == before
    store = rebuilt(store)
    check_moved(store, LOSSES)
    assert content(store) == moved
    collect(store, grace=0.0, ahead=3 * DAY)
    check_moved(store, LOSSES)
    assert not store.layout.run_file(*RUN).exists() and not store.layout.moving.exists()
    store.close()


def test_a_run_of_that_id_in_the_target_is_refused(store: Store) -> None:
    fill(store)
    Writer(store.layout, "dd" * 16, "mine", project=NEW, start=START + 400).finish()
    apply_all(store)
    with pytest.raises(ConflictError, match="run team/new/mine exists: delete it or move it away") as caught:
        move_run(store, *RUN, None, NEW)
    assert "\n" not in str(caught.value)
    for to_entity, to_project, message in (
        (None, PROJECT, "run team/demo/mine is already in this project"),
        (None, "a/b", "Invalid project name 'a/b'"),
        ("", "x", "Invalid entity name"),
    ):
        with pytest.raises(UsageError, match=message):
            move_run(store, *RUN, to_entity, to_project)
    with pytest.raises(NotFoundError, match="there is no run team/demo/absent"):
        move_run(store, ENTITY, PROJECT, "absent", None, NEW)
    assert (runs(store, PROJECT), runs(store, NEW)) == (["mine", "other"], ["mine"])
    assert not store.layout.moves(*RUN).exists()


def test_a_running_run_is_not_moved(store: Store) -> None:
    writer = Writer(store.layout, "aa" * 16, "mine")
    writer.log({"loss": 1})
    apply_all(store)
    with pytest.raises(UsageError, match="run team/demo/mine is still running: end it first"):
        move_run(store, *RUN, None, NEW)
    writer.finish()
    apply_all(store)
    move_run(store, *RUN, None, NEW)
    assert (runs(store, PROJECT), runs(store, NEW)) == ([], ["mine"])


@pytest.mark.parametrize("rebuilds", [False, True])
def test_records_that_come_later_follow_the_run(store: Store, rebuilds: bool) -> None:
    fill(store)
    late = Writer(store.layout, "dd" * 16, "mine", start=START + 50, rank=1)
    late.log({"loss": 100})
    late.artifact("late", {"weights": b"3"})
    hidden = store.root / "elsewhere.journal"
    late.path.rename(hidden)  # the journal is still being copied from another host
    move_run(store, *RUN, None, NEW)
    move_run(store, ENTITY, NEW, "mine", "people", "third")
    hidden.rename(store.layout.journal(HOST, "dd" * 16, 0))
    apply_all(store)
    late.log({"loss": 101})
    if rebuilds:
        store = rebuilt(store)
    apply_all(store)
    late.log({"loss": 102})
    late.finish()
    apply_all(store)
    third = ("people", "third", "mine")
    reader = LocalReader(store, follows=False)
    assert [row["loss"] for row in reader.history(*third, ["loss"], False, "dd" * 16)] == [100, 101, 102]
    assert (runs(store, PROJECT), runs(store, NEW)) == (["other"], [])
    # The artifact is in the project that its process has named.
    found = reader.artifact(ENTITY, PROJECT, "late", "latest")
    assert (found.logged_by, found.logged_in) == ("mine", "people/third")
    assert len(find_run(store.layout, *third).segments) == 3  # type: ignore[union-attr]
    seal_all(store)
    store = rebuilt(store)
    assert len(LocalReader(store, follows=False).run(*third).segments) == 3
    store.close()


def test_a_run_that_is_moved_back_and_an_id_that_is_used_again(store: Store) -> None:
    fill(store)
    move_run(store, *RUN, None, NEW)
    move_run(store, *MOVED, None, PROJECT)
    assert moved_place(store.layout, RUN) == RUN
    again = Writer(store.layout, "ee" * 16, "mine", start=time.time() + 1, project=NEW)
    again.log({"loss": 9})
    again.finish()
    late = Writer(store.layout, "dd" * 16, "mine", start=START + 50, rank=1)
    late.log({"loss": 100})
    late.finish()
    apply_all(store)
    for _ in range(2):
        reader = LocalReader(store, follows=False)
        assert sorted(each.rank for each in reader.run(*RUN).segments) == [0, 0, 1]
        assert [row["loss"] for row in reader.history(*MOVED, ["loss"], False)] == [9]
        seal_all(store)
        store = rebuilt(store)
    move_run(store, *RUN, None, "third")
    move_run(store, *MOVED, None, PROJECT)
    store = rebuilt(store)
    reader = LocalReader(store, follows=False)
    assert [row["loss"] for row in reader.history(*RUN, ["loss"], False)] == [9]
    assert len(reader.run(ENTITY, "third", "mine").segments) == 3
    store.close()


def test_a_clock_that_goes_back_does_not_reverse_moves(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store)
    move_run(store, *RUN, None, NEW)
    monkeypatch.setattr("tracker.store.ingest.moves.time.time", lambda: START + 500)
    move_run(store, *MOVED, None, PROJECT)
    monkeypatch.undo()
    late = Writer(store.layout, "dd" * 16, "mine", start=START + 50, rank=1)
    late.finish()
    apply_all(store)
    assert (runs(store, PROJECT), runs(store, NEW)) == (["mine", "other"], [])


def test_clients_that_follow_a_project_learn_of_the_move(store: Store) -> None:
    fill(store)
    with store.reading() as session:
        since = change_batch(session, None).revision
    move_run(store, *RUN, None, NEW)

    def changes(project: str) -> tuple[list[str], list[str]]:
        with store.reading() as session:
            found = change_batch(session, since, (ENTITY, project))
        return [each.id for each in found.runs], [each.id for each in found.removed]

    assert (changes(PROJECT), changes(NEW)) == (([], ["mine"]), (["mine"], []))
    store = rebuilt(store)
    assert changes(PROJECT)[1] == ["mine"] and changes(NEW) == (["mine"], [])
    store.close()


def test_deletion_restoration_and_archiving_after_a_move(store: Store) -> None:
    fill(store)
    move_run(store, *RUN, None, NEW)
    apply_edit(store, make_edit(*MOVED, {"archived": True}))
    store = rebuilt(store)
    assert runs(store, NEW) == []
    apply_edit(store, make_edit(*MOVED, {"archived": False}))
    delete_run(store, *MOVED, delete_artifacts=True)
    collect(store, grace=0.0, ahead=3 * DAY)
    store = rebuilt(store)
    assert (runs(store, NEW), runs(store, PROJECT)) == ([], ["other"])
    assert LocalReader(store, follows=False).artifacts(ENTITY, PROJECT, None, "model") == []
    restore_run(store, *MOVED)
    check_moved(store, LOSSES)
    store = rebuilt(store)
    check_moved(store, LOSSES)
    delete_run(store, *MOVED, now=True)
    assert list(store.root.glob("runs/team/*/mine/*/*.parquet")) == []
    late = Writer(store.layout, "dd" * 16, "mine", start=START + 50, rank=1)
    late.finish()
    apply_all(store)
    store = rebuilt(store)
    assert (runs(store, NEW), runs(store, PROJECT)) == ([], ["other"])
    store.close()


def test_a_run_is_moved_to_a_place_where_a_run_was_deleted(store: Store) -> None:
    fill(store)
    Writer(store.layout, "dd" * 16, "mine", project=NEW, start=START + 400).finish()
    apply_all(store)
    delete_run(store, *MOVED)
    move_run(store, *RUN, None, NEW)
    assert find_run(store.layout, *MOVED) is not None
    store = rebuilt(store)
    assert [row["loss"] for row in read_history(store, "mine")] == LOSSES
    with pytest.raises(ConflictError, match="a newer run has the id team/new/mine"):
        restore_run(store, *MOVED)
    store.close()


# Moves a run on copies of a store. In copy N, the process dies just before its N-th change of a file or of
# the catalog. The last copy is complete. Prints the number of copies.
CRASHING = """
import os, shutil, sys
from pathlib import Path
from sqlalchemy.engine.default import DefaultDialect
from tracker.recorder.open_store import open_store
from tracker.store.ingest.moves import move_run
import tracker.store.history.ladder, tracker.store.history.parquet
base, work = Path(sys.argv[1]), Path(sys.argv[2])
steps = 0

def die_before(owner, name, at):
    real = getattr(owner, name)
    def call(*arguments, **keywords):
        global steps
        steps += 1
        if steps == at:
            os.kill(os.getpid(), 9)
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
        move_run(store, "team", "demo", "mine", None, "new")
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
print(number)
"""


@pytest.mark.slow
def test_killed_at_every_step(store: Store, tmp_path: Path) -> None:
    """After a kill at any step, the run is in exactly one project, for the catalog, for files, rebuilt."""
    fill(store)
    seal_all(store)
    root = store.root
    store.close()
    work = tmp_path / "work"
    done = subprocess.run(
        [sys.executable, "-c", CRASHING, str(root), str(work)],
        env=scripts.environment(), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    copies = int(done.stdout)
    assert copies >= 6
    places = []
    for number in range(1, copies + 1):
        found = set()
        for how in ("catalog", "requested rebuild", "lost catalog"):
            root = work / f"{number} {how}"
            shutil.copytree(work / str(number), root)
            found.add(recovered_place(root, how))
        assert len(found) == 1, f"step {number}: {found}"
        places += found
    assert places[0] == PROJECT and places[-1] == NEW
    assert places == sorted(places)  # "demo", then "new": one step makes the move


def recovered_place(root: Path, how: str) -> str:
    """Recover a store after a kill; check that the run is in one project, and return it."""
    layout = Layout(root)
    if how != "catalog":
        with hold_exclusively(layout) as hold:
            if how == "lost catalog":
                hold.catalog.unlink()
            assert rebuild(layout, hold).broken == []
    by_files = [name for name in (PROJECT, NEW) if find_run(layout, ENTITY, name, "mine") is not None]
    store = open_store(root, create=False)
    Follower(store).poll()
    found = [name for name in (PROJECT, NEW) if "mine" in runs(store, name)]
    assert found == by_files == [n for n in (PROJECT, NEW) if layout.run_file(ENTITY, n, "mine").exists()]
    assert not layout.moving.exists()
    assert layout.moves(*RUN).exists() == (found == [NEW])
    late = Writer(layout, "dd" * 16, "mine", start=START + 50, rank=1)
    late.finish()
    apply_all(store)
    assert [name for name in (PROJECT, NEW) if "mine" in runs(store, name)] == found
    if found == [PROJECT]:
        move_run(store, *RUN, None, NEW)
    seal_all(store)
    check_moved(store, LOSSES)
    store.close()
    return found[0]


LOGGING = """
import os, tracker
run = tracker.init(entity="team", project="demo", id="mine", resume=os.environ["RESUME"], config={"lr": 1})
start = run.step
for step in range(3):
    run.log({"loss": start + step})
run.finish()
print(run.project, start, run.resumed)
"""


def test_a_script_that_names_the_old_project_resumes_the_moved_run(tmp_path: Path) -> None:
    def log(resume: str) -> str:
        found = scripts.run(LOGGING, tmp_path, RESUME=resume)
        return found.stdout.strip() + ("; moved" if "was moved to team/new/mine" in found.stderr else "")

    assert log("allow") == "demo 0 False"
    api = tracker.Api({"entity": "team", "project": "demo"})
    run = api.run("mine")
    run.move("new")
    assert run.path == ["team", "new", "mine"]
    assert log("allow") == "new 3 True; moved"
    assert log("must") == "new 6 True; moved"
    assert [row["loss"] for row in api.run("team/new/mine").scan_history()] == list(range(9))
    assert [each.id for each in api.runs("team/demo")] == []
    assert log("never") == "demo 0 False"  # a new run with the same id
    assert log("must") == "demo 3 True"
