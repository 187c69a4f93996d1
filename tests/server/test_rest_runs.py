"""Tests of projects and runs over the REST API: the answers contain the logged values."""

from __future__ import annotations

import json
import math

import httpx
import pytest
from logged import CONFIG, LOSSES

from tracker.ground import values
from tracker.version import __version__

NAN = {"_type": "number", "value": "NaN"}
RUN = "/projects/team/demo/runs/everything"


def test_health_and_session_need_no_key(api: httpx.Client) -> None:
    assert api.get("/health").json() == {"status": "ok", "version": __version__}
    session = api.get("/session").json()
    assert (session["key_required"], session["signed_in"], session["user"]) == (False, True, None)


def test_projects_have_their_number_of_runs(api: httpx.Client) -> None:
    projects = api.get("/projects").json()["projects"]
    assert {(each["entity"], each["name"], each["runs"]) for each in projects} == {
        ("team", "demo", 3),
        ("team", "many", 7),
    }
    times = [each["updated_at"] for each in projects]
    assert times == sorted(times, reverse=True)
    assert all(type(time) is float for time in times)


def test_overview_of_a_project(api: httpx.Client) -> None:
    found = api.get("/projects/team/demo/overview").json()
    assert found["states"] == {"failed": 1, "finished": 2}
    assert len(found["runs_per_day"]) == 30
    assert sum(found["runs_per_day"][-2:]) == 3  # the runs of the fixture; midnight may be between them
    assert found["first_day"] % 86400 == 0
    versions = api.get("/projects/team/demo/artifacts").json()["artifacts"]
    assert found["versions"] == len(versions)
    assert found["artifact_bytes"] == sum(each["size"] for each in versions) > 0
    assert found["private"] is False
    assert len(api.get("/projects/team/demo/overview", params={"days": 1}).json()["runs_per_day"]) == 1
    empty = api.get("/projects/team/absent/overview").json()
    assert (empty["states"], empty["versions"], empty["artifact_bytes"]) == ({}, 0, 0)
    for days in (0, 367, "x"):
        assert api.get("/projects/team/demo/overview", params={"days": days}).status_code == 422


def test_run_has_all_its_fields(api: httpx.Client) -> None:
    run = api.get(RUN).json()
    assert {
        key: run[key]
        for key in ("entity", "project", "id", "name", "state", "tags", "group", "job_type", "notes", "error")
    } == {
        "entity": "team",
        "project": "demo",
        "id": "everything",
        "name": "Erster Lauf ✓",
        "state": "finished",
        "tags": ["one", "zwei"],
        "group": "group",
        "job_type": "train",
        "notes": "some notes",
        "error": None,
    }
    assert run["last_step"] == 10
    assert run["created_at"] <= run["updated_at"] <= run["finished_at"]
    assert 0 <= run["duration"] <= run["finished_at"] - run["created_at"] + 1
    assert run["problems"] == []
    keys = {each["key"]: (each["kind"], each["count"], each["last_step"]) for each in run["keys"]}
    assert keys == {
        "train/loss": ("number", 7, 6),
        "epoch": ("number", 7, 6),
        "text": ("text", 7, 6),
        "count": ("number", 1, 7),
        "samples": ("image", 2, 9),
        "noise": ("image", 2, 9),
        "predictions": ("table", 2, 9),
        "last": (keys["last"][0], 1, 10),
    }


def test_numbers_without_a_json_form(api: httpx.Client) -> None:
    text = api.get(RUN).text
    run = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert run["config"] == {**CONFIG, "nan": NAN}
    assert run["config"]["seed"] == 2**70
    assert run["summary"]["count"] == 2**70
    assert run["summary"]["best"] == {"_type": "number", "value": "Infinity"}
    assert math.isnan(values.loads(text)["config"]["nan"])


def test_failed_run_has_its_error(api: httpx.Client) -> None:
    run = api.get("/projects/team/demo/runs/user").json()
    assert (run["state"], run["error"]) == ("failed", "ValueError: it broke")


def test_history_rows_are_exact(api: httpx.Client) -> None:
    rows = values.loads(api.get(f"{RUN}/history", params={"key": ["train/loss", "text"]}).content)["rows"]
    assert [row["_step"] for row in rows] == list(range(7))
    assert [row["text"] for row in rows] == [f"row {step}" for step in range(7)]
    assert [repr(row["train/loss"]) for row in rows] == [repr(loss) for loss in LOSSES]
    both = api.get(f"{RUN}/history", params={"key": ["train/loss", "last"], "complete": True}).json()
    assert both["rows"] == []
    everything = values.loads(api.get(f"{RUN}/history").content)["rows"]
    assert [row["_step"] for row in everything] == list(range(11))
    assert everything[7]["count"] == 2**70


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("-created_at", [6, 5, 4, 3, 2, 1, 0]),
        ("created_at", [0, 1, 2, 3, 4, 5, 6]),
        ("name", [0, 1, 2, 3, 4, 5, 6]),
        ("-name", [6, 5, 4, 3, 2, 1, 0]),
        ("-summary.acc/top 1", [6, 5, 4, 3, 2, 1, 0]),
    ],
)
def test_runs_are_ordered(api: httpx.Client, order: str, expected: list[int]) -> None:
    page = api.get("/projects/team/many/runs", params={"order": order}).json()
    assert [run["id"] for run in page["runs"]] == [f"many-{at}" for at in expected]


@pytest.mark.parametrize(("sign", "expected"), [("", [0, 0, 0, 1, 1, 2, 2]), ("-", [2, 2, 1, 1, 0, 0, 0])])
def test_order_by_a_config_key_with_a_dot(api: httpx.Client, sign: str, expected: list[int]) -> None:
    page = api.get("/projects/team/many/runs", params={"order": f"{sign}config.lr.x"}).json()
    assert [run["config"]["lr.x"] for run in page["runs"]] == expected


@pytest.mark.parametrize("order", ["state", "last_step", "duration", "summary.no", "config.a.b", "summary."])
def test_order_with_ties_returns_every_run(api: httpx.Client, order: str) -> None:
    page = api.get("/projects/team/many/runs", params={"order": order}).json()
    assert sorted(run["id"] for run in page["runs"]) == [f"many-{at}" for at in range(7)]


@pytest.mark.parametrize(
    "key", ['quo"te', "back\\slash", "back\\", "$[0]", "'; DROP TABLE runs; --", "ü✓", "*"]
)
def test_unusual_order_keys_are_harmless(api: httpx.Client, key: str) -> None:
    answer = api.get("/projects/team/many/runs", params={"order": f"summary.{key}"})
    assert answer.status_code == 200
    assert answer.json()["total"] == 7


def test_pages_contain_every_run_once(api: httpx.Client) -> None:
    found = []
    for offset in range(0, 9, 3):
        page = api.get("/projects/team/many/runs", params={"limit": 3, "offset": offset}).json()
        assert page["total"] == 7
        assert len(page["runs"]) == (3 if offset < 6 else 1)
        found += [run["id"] for run in page["runs"]]
    assert sorted(found) == [f"many-{at}" for at in range(7)]
    nothing = api.get("/projects/team/many/runs", params={"limit": 0}).json()
    assert (nothing["total"], nothing["runs"]) == (7, [])


@pytest.mark.parametrize(
    ("search", "ids"),
    [
        ("RUN 3", ["many-3"]),
        ("many-5", ["many-5"]),
        ("100%", [f"many-{at}" for at in range(7)]),
        ("%3%", []),
        ("many_3", []),
        ("\\", []),
    ],
)
def test_search_has_no_special_characters(api: httpx.Client, search: str, ids: list[str]) -> None:
    page = api.get("/projects/team/many/runs", params={"search": search}).json()
    assert sorted(run["id"] for run in page["runs"]) == ids
    assert page["total"] == len(ids)


def test_unknown_project_has_no_runs(api: httpx.Client) -> None:
    assert api.get("/projects/team/nothing/runs").json()["runs"] == []


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/projects/team/demo/runs/absent", 404, "there is no run team/demo/absent"),
        ("GET", "/projects/other/demo/runs/everything", 404, "no run other/demo/everything"),
        ("GET", "/nothing", 404, "nothing"),
        ("GET", "/projects/team/demo/runs?order=colour", 400, "cannot order by 'colour'"),
        ("GET", "/projects/team/demo/runs?limit=1001", 422, "limit"),
        ("GET", "/projects/team/demo/runs?limit=-1", 422, "limit"),
        ("GET", "/projects/team/demo/runs?limit=many", 422, "limit"),
        ("GET", f"/projects/team/demo/runs?offset={10**30}", 422, "offset"),
        ("GET", f"{RUN}/chart", 422, "key"),
        ("GET", f"{RUN}/chart?key=a&points=0", 422, "points"),
        ("GET", f"{RUN}/chart?key=a&min=low", 422, "min"),
        ("GET", f"{RUN}/objects", 422, "key"),
        ("GET", f"{RUN}/table?key=nothing", 404, "has no table 'nothing'"),
        ("GET", f"{RUN}/table?key=predictions&step=7", 404, "at step 7"),
        ("GET", f"{RUN}/table?key=predictions&step={10**30}", 404, "at step 1000"),
        ("GET", f"{RUN}/table?key=predictions&offset={10**30}", 422, "offset"),
        ("GET", f"{RUN}/files/media/none.png", 404, "has no file media/none.png"),
        ("GET", "/projects/team/demo/artifacts/nothing/latest", 404, "there is no artifact"),
        ("GET", "/projects/team/demo/artifacts/model/worst", 404, "aliases: best, latest"),
        ("GET", f"/projects/team/demo/artifacts/model/v{10**30}", 404, "v0 to v1"),
        ("GET", "/projects/team/demo/artifacts/model/v0/files/other", 404, "no file 'other'"),
        ("GET", "/live?since=one", 422, "since"),
        ("GET", f"/live?since=-{10**30}", 422, "since"),
        ("GET", "/live?timeout=61", 422, "timeout"),
        ("GET", "/live?timeout=nan", 422, "timeout"),
        ("POST", "/projects", 405, "Use GET"),
        ("PUT", RUN, 405, "Use GET"),
        ("POST", "/session", 422, "required"),
    ],
)
def test_every_error_is_one_line_in_the_same_format(
    api: httpx.Client, method: str, path: str, status: int, words: str
) -> None:
    answer = api.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert set(found) == {"type", "title", "status", "detail", "code", "error"}
    assert found["status"] == status
    assert found["error"] == {"code": found["code"], "message": found["detail"]}  # for trackers before 0.2
    assert words in found["detail"]
    assert "\n" not in found["detail"]
    assert (status == 405) == ("allow" in answer.headers)
