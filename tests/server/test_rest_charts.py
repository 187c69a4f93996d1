"""Tests of charts of many runs over the REST API: formats, limits and errors."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from logged import LOSSES, SPIKE
from serving import serving

from tracker.ground import values

DEMO = "/projects/team/demo"
LINES = {"runs": ["everything", "user"], "keys": ["train/loss", "epoch"]}


def decode(data: bytes) -> tuple[dict[str, Any], list[dict[str, np.ndarray]]]:
    """Decode the binary format as docs/rest-api.md describes it."""
    at, series, tables = 0, [], []
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        header = json.loads(data[at + 4 : at + 4 + length])
        at += 4 + length
        assert at % 8 == 0
        for each in header["series"]:
            offsets, length = each["offsets"], each["length"]
            tables.append({name: np.frombuffer(data, "<f8", length, at + offsets[name]) for name in offsets})
        series += header["series"]
        at += header["size"]
    assert at == len(data)
    return {"x": header["x"], "series": series}, tables


def test_lines_of_many_runs(api: httpx.Client) -> None:
    answer = api.post(f"{DEMO}/chart", json=LINES)
    assert answer.headers["content-type"] == "application/octet-stream"
    header, tables = decode(answer.content)
    assert header["x"] is None
    assert [(each["run"], each["key"], each["x"], each["kind"]) for each in header["series"]] == [
        (run, key, "_step", "points") for run in LINES["runs"] for key in LINES["keys"]
    ]
    assert repr(tables[0]["y"].tolist()) == repr(LOSSES)
    assert [len(table["x"]) for table in tables] == [7, 7, 1, 0]
    (one,) = decode(api.get(f"{DEMO}/runs/everything/chart", params={"key": "train/loss"}).content)[1]
    assert repr(one) == repr(tables[0])


def test_columns_of_keys_in_the_same_rows_are_sent_once(api: httpx.Client) -> None:
    body = {"runs": ["long"], "keys": ["wave", "_runtime"], "points": 10}
    header, tables = decode(api.post(f"{DEMO}/chart", json=body).content)
    first, other = (each["offsets"] for each in header["series"])
    assert {name for name in first if first[name] == other[name]} == {"x", "count", "nonfinite"}
    assert sorted({*first.values(), *other.values()}) == [80 * at for at in range(3 + 2 * 4)]
    assert tables[1]["x"].tolist() == [*range(999, 10_000, 1000)]
    assert tables[1]["count"].tolist() == [1000] * 10


def test_a_large_answer_has_several_blocks(api: httpx.Client) -> None:
    keys = ["wave", "train/loss", *(f"none {at}" for at in range(8))]
    body = {"runs": ["long", "everything", "user"], "keys": keys, "points": 20_000}
    answer = api.post(f"{DEMO}/chart", json=body)
    assert answer.content.count(b'"series":') == 3
    header, tables = decode(answer.content)
    assert [(each["run"], each["key"]) for each in header["series"]] == [
        (run, key) for run in body["runs"] for key in keys
    ]
    assert [len(table["x"]) for table in tables if len(table["x"])] == [10_000, 7, 1]
    body = {"groups": {"a": ["long"]}, "keys": [*keys, *(f"more {at}" for at in range(5))], "points": 20_000}
    header, tables = decode(api.post(f"{DEMO}/curves", json=body).content)
    assert [each["key"] for each in header["series"]] == body["keys"]
    assert tables[0]["n"].sum() == 10_000


@pytest.mark.parametrize("how", [{"params": {"format": "json"}}, {"headers": {"Accept": "application/json"}}])
@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("chart", {**LINES, "x": "epoch"}),
        ("chart", {"runs": ["long"], "keys": ["wave"], "points": 10, "min": 4000}),
        ("curves", {"groups": {"a": ["everything", "user"]}, "keys": ["train/loss"], "max": 3}),
    ],
)
def test_json_has_the_same_numbers(api: httpx.Client, how: Any, route: str, body: Any) -> None:
    header, tables = decode(api.post(f"{DEMO}/{route}", json=body).content)
    answer = api.post(f"{DEMO}/{route}", json=body, **how)
    assert answer.headers["content-type"] == "application/json"
    found = values.loads(answer.content)
    assert found["x"] == header["x"]
    for each, described, table in zip(found["series"], header["series"], tables, strict=True):
        columns = each.pop("columns")
        assert list(described.pop("offsets")) == list(columns)
        assert described.pop("length") == len(columns["x"])
        assert each == described
        assert repr(columns) == repr({name: column.tolist() for name, column in table.items()})


def test_curve_and_distribution(api: httpx.Client) -> None:
    body = {"groups": {"both": ["everything", "user"]}, "keys": ["train/loss"]}
    (curve,) = values.loads(api.post(f"{DEMO}/curves?format=json", json=body).content)["series"]
    assert (curve["group"], curve["x"], curve["width"], curve["runs"]) == ("both", "_step", 0, 2)
    assert curve["columns"]["n"] == [2, 1, 0, 0, 0, 1, 1]
    assert curve["columns"]["mean"][:2] == [2.0, 0.5]
    assert curve["columns"]["nonfinite"] == [0, 0, 1, 1, 1, 0, 0]
    body = {"runs": ["long"], "key": "wave", "edges": [-1, 0, 1]}
    found = api.post(f"{DEMO}/distribution", json=body).json()
    assert (found["count"], sum(found["counts"]), found["above"], found["quantiles"][-1]) == (
        10_000,
        9_999,
        1,
        1e6,
    )
    wave = {"runs": ["long"], "keys": ["wave"], "points": 100, "steps": True}
    (table,) = decode(api.post(f"{DEMO}/chart", json=wave).content)[1]
    assert (sum(table["count"]), max(table["max"])) == (10_000, 1e6)
    assert table["max_step"][table["max"].argmax()] == SPIKE
    (short,) = decode(api.post(f"{DEMO}/chart", json={**wave, "steps": False}).content)[1]
    assert repr(short) == repr({name: table[name] for name in table if not name.endswith("_step")})


@pytest.mark.parametrize(
    ("route", "body", "status", "message"),
    [
        ("chart", {"runs": ["gone"], "keys": ["x"]}, 404, "there is no run 'gone' in team/demo"),
        ("chart", {"runs": [], "keys": ["x"]}, 422, "runs"),
        ("chart", {"runs": ["user"], "keys": []}, 422, "keys"),
        ("chart", {"runs": ["user"], "keys": ["x"], "points": 0}, 422, "points"),
        ("chart", {"runs": ["user"], "keys": ["x"], "colour": 1}, 422, "colour"),
        ("chart", {"runs": ["user"] * 5001, "keys": ["x"]}, 422, "runs"),
        (
            "chart",
            {"runs": ["user"], "keys": [str(at) for at in range(150)], "points": 20_000},
            400,
            "3,000,000",
        ),
        ("curves", {"groups": {}, "keys": ["x"]}, 422, "groups"),
        ("curves", {"groups": {"a": ["gone"]}, "keys": ["x"]}, 404, "'gone'"),
        ("curves", {"groups": {str(at): ["user"] for at in range(5001)}, "keys": ["x"]}, 400, "5001"),
        ("curves", {"groups": {"a": []}, "keys": ["x"]}, 400, "group 'a' has no runs"),
        ("distribution", {"runs": ["user"], "key": "x", "bins": 10**9}, 422, "bins"),
        ("distribution", {"runs": ["user"], "key": "x", "edges": [2, 1]}, 400, "ascending"),
        ("distribution", {"runs": ["user"], "key": "x", "source": "config"}, 422, "source"),
    ],
)
def test_wrong_requests(api: httpx.Client, route: str, body: Any, status: int, message: str) -> None:
    answer = api.post(f"{DEMO}/{route}", json=body)
    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_window_is_finite(api: httpx.Client, number: str) -> None:
    body = f'{{"runs": ["user"], "keys": ["x"], "min": {number}}}'
    assert (
        api.post(f"{DEMO}/chart", content=body, headers={"Content-Type": "application/json"}).status_code
        == 422
    )


def test_a_deleted_run_does_not_prevent_the_answer_about_the_others(api: httpx.Client) -> None:
    for kind, body in (
        ("chart", {"runs": ["gone", "long"], "keys": ["wave"]}),
        ("curves", {"groups": {"a": ["gone", "long"], "b": ["gone"]}, "keys": ["wave"]}),
    ):
        found = api.post(f"{DEMO}/{kind}?format=json", json={**body, "points": 100}).json()
        assert found["missing"] == ["gone"]
        names = [each.get("run", each.get("group")) for each in found["series"]]
        assert names == ["long" if kind == "chart" else "a"]
        binary = api.post(f"{DEMO}/{kind}", json=body).content
        assert json.loads(binary[4 : 4 + int.from_bytes(binary[:4], "little")])["missing"] == ["gone"]
    assert api.post(f"{DEMO}/metrics", json={"runs": ["gone", "long"]}).json()["runs"] == 1
    assert (
        api.post(f"{DEMO}/distribution", json={"runs": ["gone", "long"], "key": "wave"}).json()["runs"] == 1
    )


def test_objects_of_many_runs(api: httpx.Client) -> None:
    runs = ["gone", "everything", "user"]
    found = api.post(f"{DEMO}/objects", json={"runs": runs, "key": "samples"}).json()
    alone = api.get(f"{DEMO}/runs/everything/objects", params={"key": "samples"}).json()
    assert alone["steps"]
    assert found == {
        "key": "samples",
        "runs": {"everything": alone["steps"], "user": []},
        "missing": ["gone"],
    }


def test_a_signed_in_browser_may_ask(tmp_path: Path) -> None:
    """The routes read, so the cookie alone is enough: a page needs no header for changes."""
    with serving(tmp_path / "store", key=True) as server, server.client() as owner:
        body = {"runs": ["gone"], "keys": ["x"]}
        with httpx.Client(base_url=owner.base_url, trust_env=False) as browser:
            assert browser.post(f"{DEMO}/chart", json=body).status_code == 401
            assert browser.post("/session", json={"key": server.key}).status_code == 204
            assert browser.post(f"{DEMO}/chart", json=body).status_code == 404
            assert browser.post("/artifacts/link", json=body).status_code == 401
