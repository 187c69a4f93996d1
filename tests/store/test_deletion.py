"""Deletion of runs: removed and kept files, crashes, rebuilds, reused ids and late journals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import scripts
from builders import ENTITY, HOST, PROJECT, Writer, apply_all, seal_all
from serving import rebuild, serving

import tracker
from tracker.api.api import Api
from tracker.errors import NotFoundError, UsageError
from tracker.recorder.open_store import open_store
from tracker.store.gc.collect import collect
from tracker.store.ingest.deletion import delete_run
from tracker.store.objects.layout import Layout
from tracker.store.queries.runs import list_projects, list_runs
from tracker.store.store import Store

LOGGING = """
import tracker
for name in ("kept", "gone"):
    run = tracker.init(entity="team", project="demo", id=name, config={"lr": 1}, reinit="create_new")
    for step in range(5):
        run.log({"loss": step, "picture": tracker.Image([[[step, ord(name[0]), 3]]])})
    artifact = tracker.Artifact(f"data-{name}", "dataset")
    with artifact.new_file("a.txt") as file:
        file.write(name)
    run.log_artifact(artifact).wait()
    run.use_artifact("data-kept:latest")
    run.finish()
"""
CRASHING = """
import os
from unittest import mock
from tracker.api.api import Api
def crash(*arguments, **keywords):
    os._exit(9)
mock.patch("tracker.store.ingest.deletion.{where}", crash).start()  # raises if there is no such name
Api()._reader.delete_run("team", "demo", "gone", False, now=True)
"""


def names(folder: Path) -> list[str]:
    """Return the ids of the runs that a new process finds."""
    code = 'from tracker.api.api import Api\nprint(*sorted(run.id for run in Api().runs("team/demo")))'
    return scripts.run(code, folder).stdout.split()


@pytest.mark.slow
def test_a_deleted_run_does_not_come_back_after_a_rebuild(tmp_path: Path) -> None:
    scripts.run(LOGGING, tmp_path)
    api = Api({"entity": "team", "project": "demo"})
    run = api.run("gone")
    pictures = [file._info.sha256 for file in run.files(pattern="media/%")]
    api._reader.delete_run("team", "demo", "gone", False, now=True)
    with pytest.raises(tracker.CommError, match="there is no run team/demo/gone"):
        api.run("gone")
    with pytest.raises(NotFoundError):
        run.delete()
    assert [each.id for each in api.runs()] == ["kept"]
    assert [each.id for each in api.runs(filters={"config.lr": 1, "summary_metrics.loss": 4})] == ["kept"]
    folder = tmp_path / "tracker-store/runs/team/demo/gone"
    assert [path.name for path in folder.iterdir()] == ["deleted.json"]
    assert len(json.loads((folder / "deleted.json").read_text())["segments"]) == 1
    kept = api.artifact("data-gone:latest")  # its artifacts are kept
    assert kept.logged_by() is None and Path(kept.download(tmp_path / "down")).is_dir()
    assert [user.id for user in api.artifact("data-kept:latest").used_by()] == ["kept"]
    api._reader.close()
    rebuild(tmp_path / "tracker-store")
    assert names(tmp_path) == ["kept"]
    with_store = open_store(tmp_path / "tracker-store", create=False)
    collect(with_store, grace=0, ahead=3 * 86_400)
    assert len(pictures) == 5 and not any(with_store.blobs.has(sha256) for sha256 in pictures)
    with_store.close()


@pytest.mark.slow
def test_artifacts_of_a_run_are_deleted_on_request(tmp_path: Path) -> None:
    scripts.run(LOGGING, tmp_path)
    with serving(tmp_path / "tracker-store", key=True) as server:
        api = Api(
            {"base_url": server.url, "project": "demo", "entity": "team", "store": tmp_path / "x"},
            None,
            server.key,
        )
        with server.client(Authorization="Bearer no") as client:
            assert client.delete("/projects/team/demo/runs/gone").status_code == 401
        api.run("gone").delete(delete_artifacts=True)
        assert not api.artifact_exists("data-gone:latest") and api.artifact_exists("data-kept:latest")
        assert [each.id for each in api.runs()] == ["kept"]
        with server.client() as client:
            assert client.delete("/projects/team/demo/runs/gone").status_code == 404


@pytest.mark.slow
@pytest.mark.parametrize("where", ["_remove_from_catalog", "_remove_files"])
def test_a_crash_during_a_deletion(where: str, tmp_path: Path) -> None:
    scripts.run(LOGGING, tmp_path)
    assert scripts.run(CRASHING.format(where=where), tmp_path, check=False).returncode == 9
    behind = where != "_remove_from_catalog"  # the commit
    assert names(tmp_path) == (["kept"] if behind else ["gone", "kept"])
    if not behind:
        scripts.run('from tracker.api.api import Api\nApi().run("team/demo/gone").delete()', tmp_path)
        assert names(tmp_path) == ["kept"]
    rebuild(tmp_path / "tracker-store")
    assert names(tmp_path) == ["kept"]
    again = LOGGING.replace('("kept", "gone")', '("gone",)').replace("range(5)", "range(2)")
    scripts.run(again, tmp_path)  # the id can be used again
    assert names(tmp_path) == ["gone", "kept"]
    code = 'from tracker.api.api import Api\nprint(len(Api().run("team/demo/gone").history(pandas=False)))'
    assert scripts.run(code, tmp_path).stdout.split() == ["2"]
    rebuild(tmp_path / "tracker-store")
    assert names(tmp_path) == ["gone", "kept"]
    assert scripts.run(code, tmp_path).stdout.split() == ["2"]


def test_a_running_run_is_not_deleted(tmp_path: Path) -> None:
    run = tracker.init(entity="team", project="demo", id="live", settings={"silent": True})
    run.log({"x": 1})
    found = Api({"entity": "team", "project": "demo"}).run("live")
    with pytest.raises(UsageError, match="run team/demo/live is still running: end it first"):
        found.delete()
    run.finish()
    found.delete()


def test_late_journals_of_a_deleted_run_are_not_applied(store: Store) -> None:
    first = Writer(store.layout, "aa" * 16)
    first.log({"x": 1})
    first.finish()
    late = Writer(store.layout, "bb" * 16, rank=1)
    late.log({"x": 2})
    late.finish()
    hidden = store.root / "elsewhere.journal"
    late.path.rename(hidden)  # the journal is still being copied from another host
    apply_all(store)
    delete_run(store, ENTITY, PROJECT, "run1")
    hidden.rename(Layout(store.root).journal(HOST, "bb" * 16, 0))
    apply_all(store)
    seal_all(store)
    with store.reading() as session:
        assert list_runs(session, ENTITY, PROJECT).runs == []
        assert [each.runs for each in list_projects(session)] == [0]
    assert store.layout.list_journals() == []
