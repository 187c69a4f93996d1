"""Tests of charts, media, tables and artifacts over the REST API, decoded without tracker's own code."""

from __future__ import annotations

import hashlib
import io
import json
import math
import struct
from array import array
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from logged import LOSSES, NOISE, ODD_NAME, PIXELS, SPIKE, WEIGHTS
from PIL import Image

from tracker.ground import values

RUN = "/projects/team/demo/runs/everything"
ARTIFACTS = "/projects/team/demo/artifacts"


def read_chart(
    api: httpx.Client, run: str, **query: Any
) -> tuple[dict[str, Any], list[dict[str, list[float]]]]:
    """Return the header of a chart and the columns of its series."""
    answer = api.get(f"/projects/team/demo/runs/{run}/chart", params=query)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    data = answer.content
    (length,) = struct.unpack_from("<I", data)
    assert (4 + length) % 8 == 0
    header = json.loads(data[4 : 4 + length])
    at = 4 + length
    series = []
    for each in header["series"]:
        columns = {}
        for name, offset in each["offsets"].items():
            columns[name] = list(struct.unpack_from(f"<{each['length']}d", data, at + offset))
        series.append(columns)
    assert at + header["size"] == len(data)
    return header, series


def bits(numbers: list[float]) -> bytes:
    """Return numbers as bytes, where NaN equals NaN."""
    return array("d", numbers).tobytes()


def test_chart_of_a_short_run_has_every_value(api: httpx.Client) -> None:
    header, series = read_chart(api, "everything", key=["train/loss", "nothing", "count", "text"])
    assert header["x"] == "_step"
    assert [(each["key"], each["kind"], each["length"]) for each in header["series"]] == [
        ("train/loss", "points", 7),
        ("nothing", "points", 0),
        ("count", "points", 1),
        ("text", "points", 0),
    ]
    assert all(list(each["offsets"]) == ["x", "y"] for each in header["series"])
    assert series[0]["x"] == list(range(7))
    assert bits(series[0]["y"]) == bits(LOSSES)
    assert (series[2]["x"], series[2]["y"]) == ([7.0], [2.0**70])


def test_chart_over_other_axes_and_in_a_window(api: httpx.Client) -> None:
    _, (by_epoch,) = read_chart(api, "everything", key="train/loss", x="epoch")
    assert by_epoch["x"] == [0, 0, 1, 1, 2, 2, 3]
    assert bits(by_epoch["y"]) == bits(LOSSES)
    _, (by_runtime,) = read_chart(api, "everything", key="train/loss", x="_runtime")
    assert by_runtime["x"] == sorted(by_runtime["x"])
    assert by_runtime["x"][0] >= 0
    assert by_runtime["x"][-1] < 600
    run = api.get(RUN).json()
    _, (by_time,) = read_chart(api, "everything", key="train/loss", x="_timestamp")
    assert all(run["created_at"] <= time <= run["updated_at"] for time in by_time["x"])
    _, (some,) = read_chart(api, "everything", key="train/loss", min=1, max=3)
    assert some["x"] == [1, 2, 3]
    _, (none,) = read_chart(api, "everything", key="train/loss", x="nothing")
    assert none["x"] == []


@pytest.mark.parametrize("points", [1, 7, 1000])
def test_chart_of_a_long_run_keeps_its_spike(api: httpx.Client, points: int) -> None:
    header, (series,) = read_chart(api, "long", key="wave", points=points)
    assert header["series"][0]["kind"] == "buckets"
    columns = ["x", "last", "min", "max", "mean", "count", "nonfinite", "min_step", "max_step"]
    assert list(header["series"][0]["offsets"]) == columns
    highest = series["max"].index(max(series["max"]))
    assert series["max_step"][highest] == SPIKE
    assert header["series"][0]["length"] <= points
    assert sum(series["count"]) == 10_000
    assert series["x"][-1] == 9999
    assert series["x"] == sorted(series["x"])
    assert max(series["max"]) == 1e6
    assert min(series["min"]) == pytest.approx(-1, abs=1e-4)
    assert series["last"][-1] == math.sin(99.99)
    start = 0
    for x, low, high, count in zip(series["x"], series["min"], series["max"], series["count"], strict=True):
        steps = range(start, start + int(count))
        start += int(count)
        assert x == start - 1
        logged = [1e6 if step == SPIKE else math.sin(step / 100) for step in steps]
        assert (low, high) == (min(logged), max(logged))


def test_images_have_steps_captions_and_bytes(api: httpx.Client) -> None:
    found = api.get(f"{RUN}/objects", params={"key": "samples"}).json()
    assert found["key"] == "samples"
    assert [step["step"] for step in found["steps"]] == [8, 9]
    for step in found["steps"]:
        value = step["value"]
        first, second = value["captions"]
        assert (first, not second) == (f"the ✓ at {step['step']}", True)
        assert (value["width"], value["height"]) == (4, 4)
        for url, pixels in zip(value["urls"], (PIXELS, PIXELS[::-1]), strict=True):
            answer = api.get(httpx.URL(str(api.base_url)).join(url))
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "image/png"
            assert answer.headers["content-disposition"] == "inline"
            image = Image.open(io.BytesIO(answer.content))
            assert image.tobytes() == pixels.tobytes()
    assert api.get(f"{RUN}/objects", params={"key": "nothing"}).json()["steps"] == []
    assert api.get(f"{RUN}/objects", params={"key": "train/loss"}).json()["steps"] == []


def test_table_is_returned_by_page(api: httpx.Client) -> None:
    page = api.get(f"{RUN}/table", params={"key": "predictions", "offset": 5, "limit": 3}).json()
    assert (page["key"], page["step"], page["steps"], page["total"]) == ("predictions", 9, [8, 9], 20)
    assert page["columns"] == ["id", "image", "value"]
    assert [row[0] for row in page["rows"]] == [5, 6, 7]
    assert [row[2] for row in page["rows"]] == [2.5, 3, 3.5]
    cell = page["rows"][0][1]
    assert (cell["_type"], cell["width"], cell["height"], cell["caption"]) == ("image-file", 4, 4, "5")
    image = Image.open(io.BytesIO(api.get(httpx.URL(str(api.base_url)).join(cell["url"])).content))
    assert image.tobytes() == PIXELS.tobytes()
    first = api.get(f"{RUN}/table", params={"key": "predictions", "step": 8}).json()
    assert (first["step"], first["total"], len(first["rows"])) == (8, 10, 10)
    assert first["rows"][1][2] == {"_type": "number", "value": "NaN"}
    beyond = api.get(f"{RUN}/table", params={"key": "predictions", "offset": 20}).json()
    assert (beyond["rows"], beyond["total"]) == ([], 20)
    whole = api.get(httpx.URL(str(api.base_url)).join(page["url"]))
    assert "attachment" in whole.headers["content-disposition"]
    content = values.loads(whole.content)
    assert content["columns"] == page["columns"]
    assert [row[0] for row in content["data"]] == list(range(20))


def test_artifacts_are_listed_newest_first(api: httpx.Client) -> None:
    found = api.get(ARTIFACTS).json()["artifacts"]
    assert [(each["name"], each["version"]) for each in found] == [
        ("page", "v0"),
        ("model", "v1"),
        ("model", "v0"),
        ("run-everything-predictions", "v1"),  # logging a table creates this artifact
        ("run-everything-predictions", "v0"),
    ]
    v1, v0 = found[1:3]
    assert sorted(v1["aliases"]) == ["latest"]
    assert sorted(v0["aliases"]) == ["best"]
    assert (v1["type"], v1["description"], v1["metadata"]) == ("model", "a model", {"version": 1})
    assert (v1["file_count"], v1["size"], v1["logged_by"]) == (2, len(WEIGHTS) + 9, "everything")
    assert len(api.get(ARTIFACTS, params={"run": "everything"}).json()["artifacts"]) == 5
    assert api.get(ARTIFACTS, params={"run": "user"}).json()["artifacts"] == []


def test_version_is_returned_with_its_files(api: httpx.Client) -> None:
    best = api.get(f"{ARTIFACTS}/model/best").json()
    assert best["version"] == "v0"
    assert [run["id"] for run in best["used_by"]] == ["user"]
    assert (
        best
        == api.get(f"{ARTIFACTS}/model/v0").json()
        == api.get(f"{ARTIFACTS}/model/{best['digest']}").json()
    )
    listed = api.get(httpx.URL(str(api.base_url)).join(best["files_url"])).json()
    assert listed["total"] == 2
    files = {file["path"]: file for file in listed["files"]}
    assert set(files) == {"notes.txt", ODD_NAME}
    for path, content in (("notes.txt", b"version 0"), (ODD_NAME, WEIGHTS)):
        assert files[path]["size"] == len(content)
        assert files[path]["sha256"] == hashlib.sha256(content).hexdigest()
        answer = api.get(httpx.URL(str(api.base_url)).join(files[path]["url"]))
        assert answer.content == content
        assert answer.headers["etag"] == f'"{files[path]["sha256"]}"'
    # A generic client also quotes the slash.
    assert api.get(f"{ARTIFACTS}/model/v0/files/{quote(ODD_NAME, safe='')}").content == WEIGHTS


WEIGHTS_URL = f"{ARTIFACTS}/model/v0/files/{quote(ODD_NAME)}"


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("bytes=0-99", 206, 0, 100),
        ("bytes=100-", 206, 100, len(WEIGHTS)),
        ("bytes=-10", 206, len(WEIGHTS) - 10, len(WEIGHTS)),
        ("bytes=5000-999999999", 206, 5000, len(WEIGHTS)),
    ],
)
def test_byte_range_of_a_file(api: httpx.Client, asked: str, status: int, start: int, end: int) -> None:
    answer = api.get(WEIGHTS_URL, headers={"Range": asked})
    assert answer.status_code == status
    assert answer.content == WEIGHTS[start:end]
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(WEIGHTS)}"
    assert "content-encoding" not in answer.headers


def test_byte_range_beyond_the_end_is_refused(api: httpx.Client) -> None:
    answer = api.get(WEIGHTS_URL, headers={"Range": f"bytes={len(WEIGHTS)}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] in (f"bytes */{len(WEIGHTS)}", f"*/{len(WEIGHTS)}")


def test_download_resumes_only_with_the_same_content(api: httpx.Client) -> None:
    whole = api.get(WEIGHTS_URL)
    assert whole.headers["accept-ranges"] == "bytes"
    same = api.get(WEIGHTS_URL, headers={"Range": "bytes=9-", "If-Range": whole.headers["etag"]})
    assert (same.status_code, same.content) == (206, WEIGHTS[9:])
    other = api.get(WEIGHTS_URL, headers={"Range": "bytes=9-", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, WEIGHTS)


@pytest.mark.parametrize("download", [False, True])
def test_file_of_an_artifact_is_only_saved(api: httpx.Client, download: bool) -> None:
    """This does not depend on its name: logged HTML must not run in the origin of the dashboard."""
    for name in ("page.html", "page.png"):
        answer = api.get(f"{ARTIFACTS}/page/v0/files/{name}", params={"download": download})
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''{name}"
        assert_sandboxed(answer)


def test_image_can_be_saved(api: httpx.Client) -> None:
    item = api.get(f"{RUN}/objects", params={"key": "noise"}).json()["steps"][0]["value"]
    url = httpx.URL(str(api.base_url)).join(item["url"])
    shown, saved = api.get(url), api.get(url, params={"download": "1"})
    assert shown.headers["content-disposition"] == "inline"
    assert saved.headers["content-disposition"].startswith("attachment; filename*=UTF-8''noise")
    assert shown.content == saved.content
    assert Image.open(io.BytesIO(shown.content)).tobytes() == NOISE.tobytes()
    for answer in (shown, saved):
        assert_sandboxed(answer)
        assert int(answer.headers["content-length"]) == item["size"]


def test_unusual_name_is_quoted_in_the_header(api: httpx.Client) -> None:
    answer = api.get(WEIGHTS_URL, params={"download": "1"})
    assert answer.headers["content-disposition"] == (
        "attachment; filename*=UTF-8''a%20b%252F%2B%C3%BC%3F%23.bin"
    )


def assert_sandboxed(answer: httpx.Response) -> None:
    """Check the headers that prevent stored content from running in a browser."""
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
