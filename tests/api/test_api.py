"""``Api``: projects, paths, users, new runs, collections, and methods that are not supported."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
from serving import rebuild

import tracker
from tracker.api import public
from tracker.api.api import Api
from tracker.api.unsupported import UnsupportedMethods
from tracker.errors import ApiNotFoundError, UnsupportedError


def log_artifacts(folder: Path) -> None:
    run = tracker.init(
        entity="team",
        project="kept",
        id="maker",
        settings={"store": folder / "tracker-store", "silent": True},
    )
    for name, kind, versions in (("data", "dataset", 3), ("net", "model", 1)):
        for version in range(versions):
            artifact = tracker.Artifact(name, kind, description=f"version {version}")
            with artifact.new_file("a.txt") as file:
                file.write(f"{name} {version}" * (version + 1))
            run.log_artifact(artifact, aliases=[f"a{version}"], tags=["even"] if version % 2 == 0 else [])
    run.finish()


def test_projects_users_and_paths(api: Api) -> None:
    projects = api.projects()
    assert [each.name for each in projects] == ["demo"] and projects.length == 1
    project = projects[0]
    assert (project.id, project.path, project.entity) == ("team/demo", ["team", "demo"], "team")
    assert project.created_at <= project.last_active and project.run_count == 3
    assert (project.owner.username, repr(project)) == ("team", "<Project team/demo>")
    assert api.projects("nobody") == []
    base = api.settings["base_url"]
    assert project.url == (None if base is None else f"{base}/team/demo")
    assert api.project("none", "other").path == ["other", "none"]
    with pytest.raises(ValueError, match="Project other/none not found"):
        _ = api.project("none", "other").id
    assert isinstance(api.from_path("demo"), public.Project) and api.from_path("x/demo").entity == "x"
    for path in ("team/demo/one", "team/demo/runs/one", "/team/demo/run/one/"):
        assert api.from_path(path).id == "one"
    for path in ("a/b/c/d/e", "team/demo/things/one"):
        with pytest.raises(tracker.CommError, match="Invalid path"):
            api.from_path(path)
    assert (api.default_entity, api.viewer.entity, api.viewer.teams) == ("team", "team", ["team"])
    assert [each.username for each in api.users("team")] == ["team"] and api.user("nobody") is None
    assert api.team("team").members[0].name == "team" and api.user_agent.startswith("tracker ")
    api.flush()
    api.create_project("new", "team")
    with pytest.raises(tracker.UsageError, match="Invalid project name"):
        api.create_project("a/b", "team")


def test_create_run_and_resume_it(api: Api) -> None:
    made = api.create_run(project="made")
    assert (made.state, made.project, made.history(pandas=False)) == ("finished", "made", [])
    assert made.id in [run.id for run in api.runs("made")]
    with pytest.raises(tracker.CommError, match=r"exists already\. Use another id"):
        api.create_run(run_id=made.id, project="made")
    server = {"base_url": api.settings["base_url"], "api_key": api.api_key}
    settings = {"silent": True, "store": str(api._settings.store), **(server if server["base_url"] else {})}
    run = tracker.init(entity="team", project="made", id=made.id, resume="must", settings=settings)
    run.log({"x": 1})
    run.finish()
    assert [row["x"] for row in api.run(f"made/{made.id}").history(pandas=False)] == [1]
    assert made.name == api.run(f"made/{made.id}").name
    other = type(made).create(api, project="made")
    assert (other.project, api.run(f"made/{other.id}").name) == ("made", other.name)
    project = api.from_path("team/made")
    assert project.id == "team/made"


def test_unsupported_methods_raise_an_error(api: Api) -> None:
    absent = [
        name
        for name, _ in inspect.getmembers(UnsupportedMethods, inspect.isfunction)
        if not name.startswith("_")
    ]
    assert len(absent) > 20
    for name in absent:
        with pytest.raises(NotImplementedError, match=rf"^Api\.{name} is not supported: \w.* \w") as raised:
            getattr(api, name)(*["x"] * (1 if name in ("create_team", "create_user") else 0))
        assert isinstance(raised.value, UnsupportedError)
    run = api.run("one")
    for call in (run.stop, lambda: run.update_state("failed")):
        with pytest.raises(UnsupportedError):
            call()
    with pytest.raises(UnsupportedError, match=r"Api\.reports"):
        api.from_path("team/demo/reports/Name--abc")


def test_public_names_of_wandb_apis_public() -> None:
    for name in public.__all__:
        assert hasattr(public, name)
    parameters = list(inspect.signature(Api.runs).parameters)[1:]
    # ``query`` is an addition that only a keyword reaches.
    assert parameters == ["path", "filters", "order", "per_page", "include_sweeps", "lazy", "query"]
    assert list(inspect.signature(public.Run.history).parameters)[1:6] == [
        "samples", "keys", "x_axis", "pandas", "stream",
    ]  # fmt: skip


def test_collections_and_their_edits(tmp_path: Path) -> None:
    log_artifacts(tmp_path)
    where = {"entity": "team", "project": "kept", "store": tmp_path / "tracker-store"}
    api = Api(where)
    assert [each.name for each in api.artifact_types()] == ["dataset", "model"]
    assert [each.name for each in api.project("kept").artifacts_types()] == ["dataset", "model"]
    assert [each.name for each in api.project("kept").collections(order="-name")] == ["net", "data"]
    assert [each.name for each in api.project("kept").collections({"type": "model"})] == ["net"]
    assert [each.name for each in api.artifact_type("model").collections()] == ["net"]
    versions = api.artifacts("dataset", "data", per_page=1)
    assert [each.version for each in versions] == ["v2", "v1", "v0"] and len(versions) == 3
    assert [each.version for each in api.artifacts("dataset", "data", order="+created_at")] == [
        "v0",
        "v1",
        "v2",
    ]
    assert [each.version for each in api.artifacts("dataset", "data", order="-size")] == ["v2", "v1", "v0"]
    assert [each.version for each in api.artifacts("dataset", "data", tags="even")] == ["v2", "v0"]
    with pytest.raises(ValueError, match="Invalid order 'taste'"):
        api.artifacts("dataset", "data", order="taste")

    collection = api.artifact_collection("dataset", "data")
    assert (collection.id, collection.type, collection.is_sequence()) == ("team/kept/data", "dataset", True)
    assert collection.aliases == ["a0", "a1", "a2", "latest"]
    assert collection.created_at <= collection.updated_at and collection.created_at.endswith("Z")
    collection.description, collection.tags = "what the models see ✓", ["raw", "big data"]
    collection.save()
    with pytest.raises(ValueError, match="Invalid tag"):
        collection.tags = ["no/slash"]
    for change in (lambda: setattr(collection, "name", "other"), lambda: collection.change_type("model")):
        with pytest.raises(UnsupportedError):
            change()
    published = json.loads((tmp_path / "tracker-store/artifacts/team/kept/data/collection.json").read_text())
    assert published["tags"] == ["big data", "raw"]
    api._reader.close()
    rebuild(tmp_path / "tracker-store")
    again = Api(where).artifact_collection("dataset", "data")
    assert (again.description, again.tags) == ("what the models see ✓", ["big data", "raw"])
    for kind, name in (("model", "data"), ("dataset", "none")):
        assert not Api(where).artifact_collection_exists(name, kind)
        with pytest.raises(tracker.CommError, match="There is no collection"):
            Api(where).artifact_collection(kind, name)


def test_missing_artifacts(api: Api) -> None:
    for kind in (tracker.CommError, ValueError, ApiNotFoundError):
        with pytest.raises(kind, match="there is no artifact team/demo/none"):
            api.artifact("none:v0")
    for name in ("a/b/c/d", "", None):
        with pytest.raises(tracker.CommError, match="Invalid artifact name"):
            api.artifact(name)  # type: ignore[arg-type]
    assert not api.artifact_exists("none:v0")
