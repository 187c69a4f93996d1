"""Requests that generated tests have found to be answered wrongly."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Server, serving

import tracker

JSON = {"Content-Type": "application/json"}
CHANGE = {"entity": "local", "project": "p", "name": "model", "version": 0, "time": 2e9}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """Yield the server of a store with one artifact, and the digest of this artifact."""
    folder = tmp_path_factory.mktemp("odd")
    settings = {"store": folder / "tracker-store", "silent": True}
    run = tracker.init(project="p", id="r", settings=settings)  # type: ignore[arg-type]
    artifact = tracker.Artifact("model", "model")
    with artifact.new_file("file") as file:
        file.write("content")
    run.log_artifact(artifact)
    run.finish()
    digest = tracker.Api({"store": settings["store"]}).artifact("p/model:v0").digest
    with serving(folder / "tracker-store") as server:
        yield server, digest
    assert not [line for line in server.errors if "Invalid HTTP request" not in line]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/artifacts/change", "POST"),
        ("OPTIONS", "/ingest/blobs/missing", "POST"),
        ("PUT", "/projects/local/p/runs/r", "GET, HEAD, PATCH, DELETE"),
    ],
)
def test_answer_names_the_possible_methods(api: httpx.Client, method: str, path: str, allowed: str) -> None:
    answer = api.request(method, path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["runs/everything", "runs/nope", "artifacts/model/v0/files/notes.txt"])
def test_head_has_the_headers_of_get(api: httpx.Client, path: str) -> None:
    got, head = api.get(f"/projects/team/demo/{path}"), api.head(f"/projects/team/demo/{path}")
    assert head.content == b""
    assert head.status_code == got.status_code
    assert head.headers["Content-Length"] == got.headers["Content-Length"]
    assert head.headers["Content-Type"] == got.headers["Content-Type"]


def test_bytes_that_are_not_http_get_a_problem(api: httpx.Client) -> None:
    with socket.create_connection((api.base_url.host, api.base_url.port or 0), timeout=30) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: \x00\r\n\r\n")
        head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == 400


def test_search_is_limited(api: httpx.Client) -> None:
    assert api.get("/projects/team/demo/runs", params={"search": "a" * 60_000}).status_code == 422


@pytest.mark.parametrize(
    "given",
    [
        {"values": {"description": "\ud800"}},
        {"values": {"metadata": {"\ud800": ["\ud800"]}}},
        {"values": {"tags": ["\ud800"]}},
        {"aliases_added": ["\ud800"]},
        {"aliases_removed": ["\ud800"]},
    ],
)
def test_lone_surrogates_of_a_version_are_escaped(own: tuple[Server, str], given: dict[str, Any]) -> None:
    server, digest = own
    with server.client(**JSON) as client:
        answer = client.post("/artifacts/change", content=json.dumps({**CHANGE, "digest": digest, **given}))
        assert answer.status_code == 200, answer.text
        assert "aliases_removed" in given or r"\\ud800" in answer.text


@pytest.mark.parametrize("name", ["entity", "project", "name", "digest"])
def test_lone_surrogate_in_a_name_is_not_found(own: tuple[Server, str], name: str) -> None:
    server, digest = own
    with server.client(**JSON) as client:
        answer = client.post(
            "/artifacts/change", content=json.dumps({**CHANGE, "digest": digest, name: "\ud800"})
        )
        assert answer.status_code == 404
        answer = client.post("/ingest/segments/known", content=json.dumps({"segments": ["\ud800"]}))
        assert answer.json() == {"known": {}}


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"values": {"metadata": json.loads('{"a":' * 400 + "1" + "}" * 400)}}, 400),
        ({"aliases_added": [f"a{at}" for at in range(101)]}, 422),
    ],
)
def test_too_large_change_is_refused(own: tuple[Server, str], given: dict[str, Any], status: int) -> None:
    server, digest = own
    with server.client(**JSON) as client:
        answer = client.post("/artifacts/change", content=json.dumps({**CHANGE, "digest": digest, **given}))
        assert answer.status_code == status, answer.text


def test_links_and_changes_of_a_local_api_escape_surrogates(tmp_path: Path) -> None:
    run = tracker.init(project="p", settings={"store": tmp_path / "tracker-store", "silent": True})
    artifact = tracker.Artifact("data", "data")
    with artifact.new_file("file") as file:
        file.write("content")
    run.log_artifact(artifact)
    run.finish()
    version = tracker.Api({"store": tmp_path / "tracker-store"}).artifact("p/data:v0")
    version.description = "half \ud800"
    version.save()
    again = tracker.Api({"store": tmp_path / "tracker-store"}).artifact("p/data:v0")
    assert again.description == r"half \ud800"
