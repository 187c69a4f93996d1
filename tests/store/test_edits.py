"""People's edits of a run: through ``Api``, local and over HTTP, and in conflict with its writers."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from builders import PROJECT, Writer, answers, apply_all, get_run, seal_all
from serving import Server, serving

import tracker
from tracker.api.api import Api
from tracker.errors import AuthenticationError, NotFoundError, UsageError
from tracker.store.ingest.run_edits import apply_edit, make_edit
from tracker.store.queries.changes import change_batch
from tracker.store.queries.runs import revision
from tracker.store.store import Store

FIELDS = ("name", "tags", "notes", "group", "job_type")


def shown(store: Store, run_id: str = "run1") -> dict[str, object]:
    """Return the editable fields of a run from the catalog."""
    run = get_run(store, run_id)
    return {field: getattr(run, field) for field in FIELDS}


def edit(store: Store, run_id: str = "run1", **values: object) -> None:
    """Edit a run now."""
    apply_edit(store, make_edit("team", PROJECT, run_id, values))


def log_run(folder: Path, **given: object) -> None:
    """Log a run of a few rows."""
    run = tracker.init(
        entity="team",
        project="demo",
        settings={"store": folder / "tracker-store", "silent": True},
        **given,
    )
    for value in range(3):
        run.log({"x": value})
    run.finish()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that requires an API key, with two runs."""
    folder = tmp_path_factory.mktemp("edits")
    for run_id in ("one", "two"):
        log_run(folder, id=run_id, name=f"run {run_id}", tags=["first"], group="g", reinit="create_new")
    with serving(folder / "tracker-store", key=True) as server:
        yield server


@pytest.fixture(params=["store", "server"])
def api(request: pytest.FixtureRequest, served: Server) -> Api:
    """Read and edit the same runs through the catalog, and through the server."""
    if request.param == "store":
        return Api({"entity": "team", "project": "demo", "store": served.store})
    overrides = {"entity": "team", "project": "demo", "base_url": served.url, "api_key": served.key}
    return Api({**overrides, "store": served.store.parent / "elsewhere"})


def test_edits_are_stored_by_update(api: Api, served: Server) -> None:
    run = api.run("one")
    run.name = name = f"renamed ✓ {time.time()}"
    run.tags.append(name)  # users of wandb change the list in place
    run.notes = "the learning rate was wrong"
    run.group, run.job_type = None, "eval"
    assert api.run("one").name != name  # not before ``update``
    run.update()
    for found in (run, api.run("one"), next(run for run in api.runs() if run.id == "one")):
        assert (found.name, found.tags[0], found.tags[-1]) == (name, "first", name)
        assert (found.notes, found.group, found.job_type) == ("the learning rate was wrong", None, "eval")
    published = json.loads((served.store / "runs/team/demo/one/run.json").read_text())
    assert (published["name"], published["tags"][-1]) == (name, name)
    assert published["edits"]["name"]["value"] == name


def test_only_changed_fields_are_edited(api: Api, served: Server) -> None:
    before = json.loads((served.store / "runs/team/demo/two/run.json").read_text())
    run = api.run("two")
    run.update()
    run.tags = ("first",)
    run.save()
    assert json.loads((served.store / "runs/team/demo/two/run.json").read_text()) == before


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", ""), ("name", None), ("name", "x" * 1001), ("tags", "text"), ("tags", [1]), ("notes", 5)],
)
def test_values_that_a_field_cannot_have_are_refused(api: Api, field: str, value: object) -> None:
    run = api.run("two")
    setattr(run, field, value)
    with pytest.raises(UsageError, match=r"name is a string|tags are a list|notes is a string") as raised:
        run.update()
    assert "\n" not in str(raised.value)
    run.load()
    assert (run.name, run.tags, run.notes) == ("run two", ["first"], None)


def test_keys_of_config_and_summary_are_edited(api: Api, served: Server) -> None:
    run = api.run("two")
    run.config["lr"], run.config["layers"] = 0.5, {"sizes": [1, 2]}
    run.summary["best"] = {"at": 3}
    run.summary.best.value = math.inf
    assert "lr" not in api.run("two").config  # not before ``update``
    run.update()
    for found in (run, api.run("two")):
        assert (found.config["lr"], found.config["layers"]) == (0.5, {"sizes": [1, 2]})
        assert (found.summary["best"], found.summary["x"]) == ({"at": 3, "value": math.inf}, 2)
    assert [each.id for each in api.runs(filters={"config.lr": 0.5, "summary_metrics.best.at": 3})] == ["two"]
    run.summary.update({"x": 7})
    del run.summary["best"]
    run.summary.update()
    del run.config["lr"]
    run.save()
    found = api.run("two")
    assert "lr" not in found.config and "best" not in found.summary
    assert found.summary["x"] == 7 and found.config["layers"] == {"sizes": [1, 2]}
    published = json.loads((served.store / "runs/team/demo/two/run.json").read_text())
    assert (published["summary"], published["edits"]["config"]["lr"]["removed"]) == ({"x": 7}, True)
    run.config["layers"] = None
    run.summary["x"] = 2
    run.update()


def test_values_that_a_key_cannot_have(api: Api) -> None:
    run = api.run("two")
    run.config["odd"] = object()
    with pytest.raises(UsageError, match="config: Object of type object is not JSON serializable"):
        run.update()
    run.load()
    assert "odd" not in run.config


def test_an_edit_of_a_key_holds_until_a_later_attempt_sets_it(tmp_path: Path) -> None:
    settings = {"entity": "team", "project": "demo", "id": "r", "settings": {"silent": True}}
    run = tracker.init(config={"lr": 1, "depth": 2}, **settings)
    run.log({"loss": 3.0, "acc": 0.5})
    run.finish()
    api = Api({"entity": "team", "project": "demo"})
    edited = api.run("r")
    edited.config.update(lr=10, depth=20)
    edited.summary.update({"loss": 30.0, "acc": 50.0})
    edited.update()
    again = tracker.init(config={"depth": 200}, resume="must", **settings)
    assert dict(again.config) == {"lr": 10, "depth": 200}  # the resumed run starts with the edited values
    again.log({"loss": 300.0})
    again.finish()
    found = api.run("r")
    assert found.config == {"lr": 10, "depth": 200}
    assert (found.summary["loss"], found.summary["acc"]) == (300.0, 50.0)


def test_an_edit_needs_an_api_key(served: Server) -> None:
    overrides = {"entity": "team", "project": "demo", "base_url": served.url, "api_key": "local-" + "0" * 40}
    with pytest.raises(AuthenticationError):
        Api({**overrides, "store": served.store.parent / "elsewhere"}).run("two")
    address = f"{served.url}/api/v1/projects/team/demo/runs/two"
    assert httpx.patch(address, json={"name": "stolen"}, trust_env=False).status_code == 401


def test_the_route_refuses_invalid_edits(served: Server) -> None:
    with served.client() as client:
        for body, status in (({}, 400), ({"state": "finished"}, 422), ({"tags": {}}, 400), ([], 422)):
            answer = client.patch("/projects/team/demo/runs/two", json=body)
            assert answer.status_code == status, body
            assert set(answer.json()["error"]) == {"code", "message"}
        assert client.patch("/projects/team/demo/runs/none", json={"notes": "x"}).status_code == 404


def test_an_edit_changes_the_revision(store: Store) -> None:
    Writer(store.layout, "aa" * 16).finish()
    apply_all(store)
    with store.reading() as session:
        before = revision(session)
    edit(store, notes="seen live")
    with store.reading() as session:
        assert [run.id for run in change_batch(session, before).runs] == ["run1"]


def test_an_edit_of_a_missing_run(store: Store) -> None:
    with pytest.raises(NotFoundError, match="there is no run team/demo/run1"):
        edit(store, notes="x")
    with pytest.raises(UsageError, match="cannot change 'state' of a run: only name, tags"):
        edit(store, state="finished")


def test_an_edit_holds_while_the_run_continues(store: Store) -> None:
    writer = Writer(store.layout, "aa" * 16, name="first", tags=["t"], notes="said")
    apply_all(store)
    edit(store, name="second", notes=None)
    writer.log({"x": 1})
    writer.finish()
    apply_all(store)
    assert shown(store) == {"name": "second", "tags": ["t"], "notes": None, "group": None, "job_type": None}
    seal_all(store)
    edit(store, tags=[])
    assert shown(store)["tags"] == []


def test_an_edit_holds_against_a_later_attempt_that_sets_nothing(store: Store) -> None:
    Writer(store.layout, "aa" * 16, name="first", group="g").finish()
    apply_all(store)
    edit(store, name="second", tags=["mine"])
    later = time.time() + 100
    Writer(store.layout, "bb" * 16, attempt=1, start=later, notes="resumed").finish()
    apply_all(store)
    assert shown(store) == {
        "name": "second",
        "tags": ["mine"],
        "notes": "resumed",
        "group": "g",
        "job_type": None,
    }


def test_a_later_attempt_that_sets_a_value_overrides_an_edit(store: Store) -> None:
    Writer(store.layout, "aa" * 16, name="first").finish()
    apply_all(store)
    edit(store, name="second", tags=["mine"])
    Writer(store.layout, "bb" * 16, attempt=1, name="applied late, began before").finish()
    apply_all(store)
    assert shown(store)["name"] == "second"
    Writer(store.layout, "cc" * 16, attempt=2, start=time.time() + 100, name="third").finish()
    apply_all(store)
    assert (shown(store)["name"], shown(store)["tags"]) == ("third", ["mine"])
    Writer(store.layout, "dd" * 16, rank=1, start=time.time() + 200, name="of another rank").finish()
    apply_all(store)
    assert shown(store)["name"] == "third"


def test_a_real_resume_keeps_the_edited_name(tmp_path: Path) -> None:
    log_run(tmp_path, id="resumed", name="as begun")
    run = Api({"entity": "team", "project": "demo", "store": tmp_path / "tracker-store"}).run("resumed")
    run.name = "as edited"
    run.update()
    log_run(tmp_path, id="resumed", resume="must")
    run.load()
    assert run.name == "as edited"


def test_odd_texts_are_kept(store: Store) -> None:
    Writer(store.layout, "aa" * 16).finish()
    apply_all(store)
    edit(store, name="größe \ud800 ✓", notes="line\nline\t\x00", tags=["a", "b", "a"])
    assert shown(store)["name"] == "größe \\ud800 ✓"
    assert (shown(store)["notes"], shown(store)["tags"]) == ("line\nline\t\x00", ["a", "b"])
    answers(store)
