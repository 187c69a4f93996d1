"""Moves of runs over HTTP: one run, many runs at once, a script that resumes a moved run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import scripts
from builders import ENTITY, PROJECT, START, Writer, apply_all, seal_all
from serving import Server, serving

import tracker
from tracker.errors import ConflictError, NotFoundError, UsageError
from tracker.reading.local import LocalReader
from tracker.reading.reader import Reader
from tracker.reading.remote import RemoteReader
from tracker.recorder.outbox import Remote
from tracker.recorder.upload import upload
from tracker.store.objects.layout import Layout
from tracker.store.store import Store

PLACE = (ENTITY, PROJECT)
RESUMING = """
import os, tracker
run = tracker.init(entity="team", project="demo", id="mine", resume="allow", mode="online")
run.log({"loss": 1})
run.finish()
print(run.project, run.step)
"""


@pytest.fixture(params=["store", "server"])
def reader(request: pytest.FixtureRequest, store: Store) -> Iterator[Reader]:
    """A reader of a store with three ended runs and a running one; the target has a run r1."""
    for at in range(4):
        writer = Writer(store.layout, f"{at:032x}", f"r{at}", start=START + at, config={"lr": at})
        writer.log({"loss": at})
        if at < 3:
            writer.finish()
    Writer(store.layout, "aa" * 16, "r1", project="new").finish()
    apply_all(store)
    if request.param == "store":
        yield LocalReader(store, follows=False)
        return
    with serving(store.root) as server:
        yield RemoteReader(Remote(server.url, "none"), Layout(store.root / "outbox"))
    assert server.errors == []


def ids(reader: Reader, entity: str, project: str) -> list[str]:
    """Return the ids of the runs of a project, oldest first."""
    return [run.id for run in reader.runs(entity, project, limit=100, offset=0, order="created_at").runs]


def test_one_run(reader: Reader) -> None:
    moved = reader.move_run(*PLACE, "r0", "new", "people")
    assert (moved.entity, moved.project, moved.id, moved.summary) == ("people", "new", "r0", {"loss": 0})
    assert (ids(reader, *PLACE), ids(reader, "people", "new")) == (["r1", "r2", "r3"], ["r0"])
    place = reader.moved_run(*PLACE, "r0")
    assert place is not None and (place.entity, place.project, place.id) == ("people", "new", "r0")
    assert reader.moved_run(*PLACE, "r1") is None
    with pytest.raises(NotFoundError, match="there is no run team/demo/r0 in this store"):
        reader.run(*PLACE, "r0")
    with pytest.raises(ConflictError, match="run team/new/r1 exists"):
        reader.move_run(*PLACE, "r1", "new")
    for target, message in (("demo", "already in this project"), ("a/b", "Invalid project name 'a/b'")):
        with pytest.raises(UsageError, match=message):
            reader.move_run(*PLACE, "r1", target)


def test_many_runs_at_once(reader: Reader) -> None:
    counted = reader.change_runs(*PLACE, "move", filters={}, to_project="new", dry_run=True)
    assert (counted.total, ids(reader, *PLACE)) == (4, ["r0", "r1", "r2", "r3"])
    done = reader.change_runs(*PLACE, "move", filters={}, to_project="new")
    assert (done.total, done.changed) == (4, 2)
    errors = {each.id: each.error for each in done.results if each.error is not None}
    assert errors == {
        "r1": "run team/new/r1 exists: delete it or move it away before you move team/demo/r1 there",
        "r3": "run team/demo/r3 is still running: end it first",
    }
    assert (ids(reader, *PLACE), ids(reader, ENTITY, "new")) == (["r1", "r3"], ["r1", "r0", "r2"])
    page = reader.runs(ENTITY, "new", limit=9, offset=0, order="config.lr", filters={"config.lr": {"$gt": 1}})
    assert [run.id for run in page.runs] == ["r2"]


@pytest.mark.parametrize(
    ("action", "options", "message"),
    [
        ("move", {"runs": ["r0"]}, "to_project belongs to the action move"),
        ("delete", {"runs": ["r0"], "to_project": "new"}, "to_project belongs to the action move"),
        ("delete", {"runs": ["r0"], "to_entity": "new"}, "to_project belongs to the action move"),
        ("move", {"runs": ["r0"], "to_project": "a:b"}, "Invalid project name 'a:b'"),
    ],
)
def test_invalid_moves(reader: Reader, action: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        reader.change_runs(*PLACE, action, **options)  # type: ignore[arg-type]
    assert ids(reader, *PLACE) == ["r0", "r1", "r2", "r3"]


def test_events_of_both_projects(store: Store) -> None:
    Writer(store.layout, "aa" * 16, "r0").finish()
    apply_all(store)
    with serving(store.root) as server, server.client() as api:
        since = api.get("/live", params={"timeout": 0}).json()["revision"]
        body = {"to_project": "new"}
        assert api.post("/projects/team/demo/runs/r0/move", json=body).json()["project"] == "new"
        for project, runs, removed in (("demo", [], ["demo"]), ("new", ["new"], [])):
            address = f"/projects/team/{project}/live/events"
            answer = api.get(address, params={"since": since, "timeout": 0.1})
            data = json.loads(next(line for line in answer.text.splitlines() if line.startswith("data:"))[5:])
            named = {kind: [each["project"] for each in data[kind]] for kind in ("runs", "removed")}
            assert named == {"runs": runs, "removed": removed}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Server]:
    """A server with its own store."""
    with serving(tmp_path / "server-store") as server:
        yield server


def test_a_script_on_another_host_resumes_the_moved_run(served: Server, tmp_path: Path) -> None:
    def resume() -> str:
        return scripts.run(RESUMING, tmp_path, WANDB_BASE_URL=served.url, WANDB_API_KEY="none").stdout.strip()

    assert resume() == "demo 1"
    api = tracker.Api({"base_url": served.url, "store": str(tmp_path / "x")}, api_key="none")
    run = scripts.wait_for(
        lambda: next((each for each in api.runs("team/demo") if each.state == "finished"), None), "the run"
    )
    run.move("new")
    assert resume() == "new 2"
    assert [row["loss"] for row in api.run("team/new/mine").scan_history()] == [1, 1]
    assert len(api.runs("team/demo")) == 0


def test_a_moved_run_is_sent_to_a_server(served: Server, store: Store) -> None:
    """A run that is moved before it is sent arrives in its project, and its artifact in the former one."""
    for name in ("before", "after"):
        writer = Writer(store.layout, name.encode().hex().ljust(32, "0"), name, config={"lr": 1})
        writer.log({"loss": 1})
        writer.artifact(f"of-{name}", {"w": name.encode()})
        writer.finish()
    apply_all(store)
    seal_all(store)
    local = LocalReader(store, follows=False)
    local.move_run(*PLACE, "before", "new")
    local.edit(ENTITY, "new", "before", {"notes": "n"})
    remote = Remote(served.url, "none")
    first = upload(store, remote)
    assert (sorted(first.sent), first.problems) == (
        [("team", "demo", "after"), ("team", "new", "before")],
        [],
    )
    local.move_run(*PLACE, "after", "new")
    local.edit(ENTITY, "new", "after", {"notes": "n"})
    second = upload(store, remote)
    assert second.problems == [
        "run team/new/after was moved here after it was sent: move it on the server too"
    ]
    there = RemoteReader(remote, Layout(store.root / "outbox"))
    assert (ids(there, *PLACE), ids(there, ENTITY, "new")) == (["after"], ["before"])
    assert there.run(ENTITY, "new", "before").notes == "n"
    found = there.artifact(*PLACE, "of-before", "latest")
    assert (found.logged_by, found.logged_in) == ("before", "team/new")
    there.move_run(*PLACE, "after", "new")
    assert upload(store, remote).problems == []
    assert there.run(ENTITY, "new", "after").notes == "n"
    there.close()
