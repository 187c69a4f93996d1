"""Tests of the fields and the metrics of a project over the REST API: forms, parameters and errors."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

MANY = "/projects/team/many"
DEMO = "/projects/team/demo"


def test_fields_of_a_project(api: httpx.Client) -> None:
    assert api.get(f"{MANY}/fields").json() == {
        "fields": [
            {"field": "config.lr.x", "numbers": True, "texts": False, "min": 0.0, "max": 2.0}
            | {"values": [], "more": False, "media": None},
            {"field": "host", **only_texts(api.get(f"{MANY}/runs").json()["runs"][0]["host"])},
            {"field": "state", **only_texts("finished")},
            {"field": "summary.acc/top 1", "numbers": True, "texts": False, "min": 0.0, "max": 60.0}
            | {"values": [], "more": False, "media": None},
        ],
        "more": False,
    }


def only_texts(*texts: str) -> dict[str, Any]:
    info = {"numbers": False, "texts": True, "min": None, "max": None, "media": None}
    return info | {"values": list(texts), "more": False}


def test_parameters_of_fields(api: httpx.Client) -> None:
    found = api.get(f"{DEMO}/fields", params={"search": "TAG", "values": 1}).json()
    assert found == {
        "fields": [{"field": "tag", **only_texts("one"), "more": True}],
        "more": False,
    }
    found = api.get(f"{DEMO}/fields", params={"limit": 1}).json()
    assert [each["field"] for each in found["fields"]] == ["config.layers"]
    assert found["more"]
    nan = api.get(f"{DEMO}/fields", params={"search": "config.nan"}).json()["fields"][0]
    assert nan == {"field": "config.nan", **only_texts(), "numbers": True, "texts": False}


@pytest.mark.parametrize(
    "wrong", [{"values": -1}, {"values": 101}, {"limit": 0}, {"limit": 5001}, {"search": "x" * 1001}]
)
def test_wrong_parameters_of_fields(api: httpx.Client, wrong: dict[str, Any]) -> None:
    answer = api.get(f"{DEMO}/fields", params=wrong)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(next(iter(wrong)))


def test_metrics_of_runs(api: httpx.Client) -> None:
    found = api.post(f"{DEMO}/metrics", json={"runs": ["everything", "user"]}).json()
    assert found["runs"] == 2
    by_key = {each["key"]: each for each in found["metrics"]}
    assert list(by_key) == sorted(by_key)
    assert by_key["train/loss"] == {
        "key": "train/loss",
        "kind": "number",
        "numbers": True,
        "runs": 2,
        "x": "_step",
        "goal": None,
        "hidden": False,
        "last_step": 6,
        "other_ranks": 0,
    }
    assert by_key["text"]["numbers"] is False
    assert (by_key["samples"]["kind"], by_key["samples"]["runs"]) == ("image", 1)


def test_metrics_of_a_selection(api: httpx.Client) -> None:
    def keys(body: dict[str, Any]) -> tuple[int, list[str]]:
        found = api.post(f"{MANY}/metrics", json=body).json()
        return found["runs"], [each["key"] for each in found["metrics"]]

    assert keys({}) == (7, ["acc/top 1"])
    assert keys({"query": "config.lr.x>1", "filters": {"state": "finished"}}) == (2, ["acc/top 1"])
    assert keys({"search": "run 3"}) == (1, ["acc/top 1"])
    assert keys({"runs": None, "filters": {"state": "failed"}}) == (0, [])
    assert keys({"runs": []}) == (0, [])
    assert keys({"limit": 3, "order": "config.lr.x"}) == (3, ["acc/top 1"])
    assert keys({"limit": 3, "query": "config.lr.x>1", "filters": {"state": "finished"}}) == (
        2,
        ["acc/top 1"],
    )


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"runs": ["gone"]}, 404, "there is no run 'gone'"),
        ({"runs": ["user"], "query": "state:finished"}, 400, "not both"),
        ({"runs": ["user"], "limit": 1}, 400, "not both"),
        ({"limit": 1, "order": "nothing"}, 400, "nothing"),
        ({"limit": 0}, 422, "limit"),
        ({"filters": {"no field": 1}}, 400, "cannot filter by"),
        ({"query": "state:("}, 400, "character"),
        ({"runs": ["user"] * 5001}, 422, "runs"),
        ({"runs": "user"}, 422, "runs"),
        ({"keys": ["x"]}, 422, "keys"),
    ],
)
def test_wrong_bodies_of_metrics(api: httpx.Client, body: Any, status: int, message: str) -> None:
    answer = api.post(f"{DEMO}/metrics", json=body)
    assert answer.status_code == status
    assert message in answer.json()["detail"]
