"""Requests of the wandb protocol that no client sends, callers without rights, keys and ends of runs."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import time
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from api_callers import ACTOR, basic
from fastapi import FastAPI

from server.app import create_app
from server.settings import ServerSettings
from server.wandb import addresses
from tracker.errors import StoreError
from tracker.reading.local import LocalReader
from tracker.recorder.follow import Follower
from tracker.store.ingest.people import changing_people
from tracker.store.store import Store

UPSERT = """mutation UpsertBucket(
    $entity: String, $project: String, $name: String, $config: JSONString, $host: String
) {
    upsertBucket(
        input: {entityName: $entity, modelName: $project, name: $name, config: $config, host: $host}
    ) {bucket {id name project {name entity {name}}} inserted}
}"""
FILES = """mutation CreateRunFiles($entity: String, $project: String, $run: String, $files: [String!]!) {
    createRunFiles(input: {entityName: $entity, projectName: $project, runName: $run, files: $files}) {
        files {name uploadUrl}}}"""
DELETE_RUN = "mutation DeleteRun($id: ID!) { deleteRun(input: {id: $id}) { clientMutationId } }"
UPDATE_STATE = """mutation UpdateRunState($input: UpdateRunStateInput!) {
    updateRunState(input: $input) {success}}"""
GENERATE = """mutation GenerateApiKey($description: String) {
    result: generateApiKey(input: {description: $description}) { apiKey { id name description } } }"""
DELETE_KEY = "mutation DeleteApiKey($id: String!) { result: deleteApiKey(input: {id: $id}) { success } }"
KEYS = "query Viewer { viewer { username apiKeys { edges { node { id name description } } } } }"
MEMBERS = 'query GetTeamEntity { entity(name: "team") { members { username accountType } } }'
SHARED = {"x-wandb-use-async-filestream": "true", "x-wandb-async-client-id": "other"}
PLACE = {"entity": "team", "project": "demo"}


@pytest.fixture
def keys(store: Store) -> dict[str, str]:
    """Return the headers of callers. The project ``secret`` is private, and only ``boss`` sees it."""
    made = {}
    with changing_people(store, ACTOR) as change:
        for name, role in (("writer", "writer"), ("viewer", "viewer"), ("boss", "admin"), ("stranger", None)):
            change.add_user(name)
            if role is not None:
                change.set_role(name, "team", "", role)
            made[name] = basic(f"api:{change.add_key(name)[1]}")
        made["reads"] = basic(f"api:{change.add_key('writer', scope='read')[1]}")
        made["one project"] = basic(f"api:{change.add_key('writer', only=('team', 'other'))[1]}")
        change.set_private("team", "secret", True)
    made["nobody"] = {}
    made["wrong"] = basic("api:" + 40 * "x")
    return made


@pytest.fixture
def app(store: Store, keys: dict[str, str]) -> FastAPI:
    return create_app(store, ServerSettings(store.root))


class Caller:
    """Sends requests as one caller."""

    def __init__(self, app: FastAPI, headers: dict[str, str]) -> None:
        self._app = app
        self._headers = {"User-Agent": "wandb-core", **headers}

    def send(self, method: str, url: str, **request: Any) -> httpx.Response:
        headers = self._headers | request.pop("headers", {})

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, url, headers=headers, **request)

        return asyncio.run(ask())

    def ask(self, query: str, **variables: Any) -> httpx.Response:
        return self.send("POST", "/graphql", json={"query": query, "variables": variables})

    def start(self, name: str = "run", **place: str) -> httpx.Response:
        return self.ask(UPSERT, **PLACE | place, name=name, config="{}", host="node")

    def stream(
        self, content: Any, name: str = "run", project: str = "demo", **request: Any
    ) -> httpx.Response:
        url = f"/files/team/{project}/{name}/file_stream"
        return self.send("POST", url, content=json.dumps(content), **request)


def summarised(sent: dict[str, Any], row: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a post with a row and a summary."""
    line = json.dumps({"_step": number} | row)
    return {
        "files": {
            "wandb-history.jsonl": {"offset": number, "content": [line]},
            "wandb-summary.json": {"offset": 0, "content": [json.dumps(sent)]},
        }
    }


def summary(store: Store) -> dict[str, Any]:
    found = LocalReader(store, follows=False).run("team", "demo", "run").summary
    return {key: value for key, value in found.items() if not key.startswith("_")}


@pytest.fixture
def writer(app: FastAPI, keys: dict[str, str]) -> Caller:
    return Caller(app, keys["writer"])


def rows(store: Store, name: str = "run") -> list[tuple[int, Any]]:
    found = LocalReader(store, follows=False).history("team", "demo", name, None, complete=False)
    return [(row["_step"], row.get("x")) for row in found]


def lines(*steps: int, offset: int | None = None) -> dict[str, Any]:
    content = [
        json.dumps({"_step": step, "_timestamp": 1e9 + step, "_runtime": step, "x": step}) for step in steps
    ]
    return {
        "files": {
            "wandb-history.jsonl": {"offset": steps[0] if offset is None else offset, "content": content}
        }
    }


@pytest.mark.parametrize(
    ("caller", "start", "stream"),
    [
        ("nobody", 401, 401),
        ("wrong", 401, 401),
        ("reads", 403, 403),
        ("viewer", 403, 403),
        ("stranger", 200, 404),  # an error in the answer: to them there is no such project
        ("one project", 200, 404),
        ("boss", 200, 200),
    ],
)
def test_callers(
    app: FastAPI, keys: dict[str, str], writer: Caller, store: Store, caller: str, start: int, stream: int
) -> None:
    assert "errors" not in writer.start().json()
    other = Caller(app, keys[caller])
    answer = other.start("another")
    assert answer.status_code == start
    assert ("errors" in answer.json()) is (caller != "boss")
    assert other.stream(lines(0)).status_code == stream
    assert rows(store) == ([(0, 0)] if caller == "boss" else [])


def test_a_private_project_does_not_exist(app: FastAPI, keys: dict[str, str], writer: Caller) -> None:
    boss = Caller(app, keys["boss"])
    boss.start("hidden", project="secret")
    query = (
        'query Run($name: String!) {project(name: $name, entityName: "team") {run(name: "hidden") {name}}}'
    )
    assert boss.ask(query, name="secret").json()["data"]["project"]["run"]["name"] == "hidden"
    assert writer.ask(query, name="secret").json() == writer.ask(query, name="missing").json()
    assert writer.stream(lines(0), "hidden", "secret").status_code == 404
    hidden = writer.start("hidden", project="secret").json()["errors"][0]["message"]
    assert "secret" in hidden
    assert "exist" not in hidden


def test_an_upload_address_is_for_one_file_and_expires(app: FastAPI, writer: Caller, store: Store) -> None:
    writer.start()
    answer = writer.ask(FILES, **PLACE, run="run", files=["media/a.txt"]).json()["data"]
    url = answer["createRunFiles"]["files"][0]["uploadUrl"]
    assert url.startswith("http://localhost/wandb/upload/")
    stranger = Caller(app, {})  # the address is all that it needs
    assert stranger.send("PUT", url, content=b"first").status_code == 200
    reader = LocalReader(store, follows=False)
    assert [(file.path, file.size) for file in reader.files("team", "demo", "run")] == [("media/a.txt", 5)]
    head, _, token = url.rpartition("/")
    body, _, signature = token.partition(".")
    for wrong in (f"{body}.{'0' * 64}", f"{body[:-2]}AA.{signature}", body, "", "é"):
        assert stranger.send("PUT", f"{head}/{wrong}", content=b"x").status_code in (403, 404, 405)
    assert stranger.send("GET", url.replace("/upload/", "/file/")).status_code == 403
    with patch.object(addresses.time, "time", lambda: time.time_ns() / 1e9 + addresses.VALID_SECONDS + 1):
        assert stranger.send("PUT", url, content=b"late").status_code == 403
    assert reader.files("team", "demo", "run")[0].size == 5


def test_a_browser_does_not_run_a_file_of_a_run(app: FastAPI, writer: Caller) -> None:
    writer.start()
    answer = writer.ask(FILES, **PLACE, run="run", files=["media/page.html"]).json()["data"]
    url = answer["createRunFiles"]["files"][0]["uploadUrl"]
    writer.send("PUT", url, content=b"<script>alert(1)</script>")
    query = """{project(name: "demo", entityName: "team") {
        run(name: "run") {files {edges {node {name directUrl}}}}
    }}"""
    edges = writer.ask(query).json()["data"]["project"]["run"]["files"]["edges"]
    (address,) = [each["node"]["directUrl"] for each in edges if each["node"]["name"] == "media/page.html"]
    got = Caller(app, {}).send("GET", address)
    assert got.content == b"<script>alert(1)</script>"
    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["content-disposition"].startswith("attachment")
    assert got.headers["x-content-type-options"] == "nosniff"
    part = Caller(app, {}).send("GET", address, headers={"Range": "bytes=1-6"})
    assert (part.status_code, part.content) == (206, b"script")


def test_stored_content_is_not_compressed(app: FastAPI, writer: Caller) -> None:
    writer.start()
    answer = writer.ask(FILES, **PLACE, run="run", files=["media/a.bin"]).json()["data"]
    writer.send("PUT", answer["createRunFiles"]["files"][0]["uploadUrl"], content=5000 * b"a")
    query = """{project(name: "demo", entityName: "team") {
        run(name: "run") {files {edges {node {name directUrl}}}}
    }}"""
    edges = writer.ask(query).json()["data"]["project"]["run"]["files"]["edges"]
    (address,) = [each["node"]["directUrl"] for each in edges if each["node"]["name"] == "media/a.bin"]
    for asked, status in (({}, 200), ({"Range": "bytes=0-3999"}, 206)):
        got = Caller(app, {}).send("GET", address, headers={"Accept-Encoding": "gzip"} | asked)
        assert (got.status_code, got.headers.get("content-encoding")) == (status, None)
        assert int(got.headers["content-length"]) == len(got.content)


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a//b", "a/./b", "", "a\0b"])
def test_paths_of_files_stay_in_the_run(writer: Caller, path: str) -> None:
    writer.start()
    assert "errors" in writer.ask(FILES, **PLACE, run="run", files=[path]).json()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b'{"query": 3}', 400),
        (b'{"query": "{"}', 200),
        (b'{"query": "mutation {upsertBucket}"}', 200),
        (b'{"query": "mutation {upsertBucket(input: 3) {bucket {id}}}"}', 200),
        (b'{"query": "mutation {upsertBucket(input: {id: \\"x\\"}) {bucket {id}}}"}', 200),
        (b'{"query": "mutation {upsertBucket(input: {name: \\"a/b\\"}) {bucket {id}}}"}', 200),
        (
            b'{"query": "mutation {upsertBucket(input: {name: \\"a\\", config: \\"[1\\"}) {bucket {id}}}"}',
            200,
        ),
    ],
)
def test_odd_operations_are_errors(writer: Caller, body: bytes, status: int) -> None:
    answer = writer.send("POST", "/graphql", content=body)
    assert answer.status_code == status
    assert answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "post",
    [
        [],
        {"files": [1]},
        {"files": {"wandb-history.jsonl": {"offset": "x", "content": ["{}"]}}},
        {"files": {"wandb-history.jsonl": {"offset": 2, "content": [3]}}},
        {"files": {"wandb-history.jsonl": {"offset": 2, "content": ["[1]"]}}},
        {"files": {"wandb-history.jsonl": {"offset": 2, "content": ["{"]}}},
        {"files": {"wandb-history.jsonl": {"offset": 2, "content": ["[" * 100_000]}}},
        {"files": {"wandb-events.jsonl": {"offset": 0, "content": [None]}}},
        {"files": {"output.log": {"offset": 0, "content": [{}]}}},
        {"complete": True, "exitcode": "x"},
    ],
)
def test_odd_posts_are_refused_and_change_nothing(writer: Caller, store: Store, post: Any) -> None:
    writer.start()
    writer.stream(lines(0, 1))
    assert writer.stream(post).status_code == 400
    writer.stream(lines(2))
    assert rows(store) == [(0, 0), (1, 1), (2, 2)]


def test_lines_that_come_again_are_left_out(writer: Caller, store: Store) -> None:
    writer.start()
    for post in (lines(0, 1), lines(0, 1), lines(1, 2), lines(0, 1, 2, 3)):
        assert writer.stream(post).json() == {"stopped": False}
    packed = gzip.compress(json.dumps(lines(4)).encode())
    answer = writer.send(
        "POST", "/files/team/demo/run/file_stream", content=packed, headers={"Content-Encoding": "gzip"}
    )
    assert answer.status_code == 200
    assert writer.stream(lines(3, 4) | {"complete": True, "exitcode": 0}).status_code == 200
    assert writer.stream(lines(3, 4) | {"complete": True, "exitcode": 0}).status_code == 200
    assert rows(store) == [(step, step) for step in range(5)]
    assert LocalReader(store, follows=False).run("team", "demo", "run").state == "finished"


@pytest.mark.parametrize(
    ("posts", "state"),
    [
        ([{"complete": True, "exitcode": 0}], "finished"),
        ([{"complete": True, "exitcode": 3}], "failed"),
        ([{"preempting": True}, {"complete": True, "exitcode": 1}], "preempted"),
        ([{"preempting": True}, {"complete": True, "exitcode": 0}], "finished"),
        ([{"preempting": True}], "preempting"),
        ([{}], "running"),
    ],
)
def test_states(writer: Caller, store: Store, posts: list[dict[str, Any]], state: str) -> None:
    writer.start()
    for post in posts:
        assert writer.stream(post).status_code == 200
    assert LocalReader(store, follows=False).run("team", "demo", "run").state == state


def test_a_summary_that_follows_from_the_rows_needs_no_read(writer: Caller, store: Store) -> None:
    writer.start()
    writer.stream(summarised({"loss": 1.0, "best": 3}, {"loss": 1.0}, 0))
    with patch.object(LocalReader, "run", autospec=True, side_effect=LocalReader.run) as read:
        for step in range(1, 4):
            loss = math.nan if step == 2 else 1 / step
            writer.stream(summarised({"loss": loss, "best": 3}, {"loss": loss}, step))
        assert read.call_count == 0
        writer.stream(summarised({"loss": 1 / 3, "best": 2}, {}, 4))
        writer.stream(summarised({"loss": 1 / 3}, {}, 5))
        assert read.call_count == 2
    assert summary(store) == {"loss": 1 / 3}


@pytest.mark.parametrize(
    "odd",
    [
        {"loss": {"a": 1}},
        {"loss": None},
        {"loss.a": 1},
        {"_step": 0, "loss": 5},
    ],
)
def test_the_summary_is_the_one_that_was_sent(writer: Caller, store: Store, odd: dict[str, Any]) -> None:
    writer.start()
    writer.stream(summarised({"loss": {"b": 2}}, {"loss": {"b": 2}}, 0))
    writer.stream(summarised({"loss": 2}, {"loss": 2}, 1))
    sent = {"loss": 2} | {key: value for key, value in odd.items() if key != "_step"}
    writer.stream(summarised(sent, odd, 2))
    assert summary(store) == sent


def test_a_deleted_run_ends_its_client(writer: Caller, store: Store, keys: dict[str, str]) -> None:
    assert writer.stream(lines(0), "never").status_code == 404
    writer.start()
    writer.stream(lines(0) | {"complete": True, "exitcode": 0})
    LocalReader(store, follows=False).delete_run("team", "demo", "run", delete_artifacts=False)
    other = Caller(create_app(store, ServerSettings(store.root)), keys["writer"])
    assert other.stream(lines(1)).status_code == 404


def test_a_refused_write_is_sent_again(writer: Caller, store: Store) -> None:
    writer.start()
    with patch("tracker.journal.writer.os.write", side_effect=OSError(28, "No space left on device")):
        answer = writer.stream(lines(0, 1))
    assert answer.status_code == 503
    assert "No space left" in answer.json()["errors"][0]["message"]
    assert writer.stream(lines(0, 1)).status_code == 200
    assert rows(store) == [(0, 0), (1, 1)]


def test_a_new_process_continues_the_segment(writer: Caller, store: Store, keys: dict[str, str]) -> None:
    writer.start()
    writer.stream(lines(0, 1))
    other = Caller(create_app(store, ServerSettings(store.root)), keys["writer"])
    for post in (lines(0, 1), lines(1, 2)):
        assert other.stream(post).status_code == 200
    assert rows(store) == [(0, 0), (1, 1), (2, 2)]
    assert len(LocalReader(store, follows=False).run("team", "demo", "run").segments) == 1


def test_a_start_that_a_killed_process_has_only_written_is_not_begun_again(
    writer: Caller, store: Store, keys: dict[str, str]
) -> None:
    with patch("server.wandb.segments.apply_journal", side_effect=StoreError("killed")):
        writer.start()  # the client gets no answer
    other = Caller(create_app(store, ServerSettings(store.root)), keys["writer"])
    other.start()
    other.stream(lines(0, 1) | {"complete": True, "exitcode": 0})
    Follower(store).poll()
    run = LocalReader(store, follows=False).run("team", "demo", "run")
    assert (run.state, len(run.segments)) == ("finished", 1)


def test_more_clients_than_open_journals(
    writer: Caller, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.wandb.segments._MOST_OPEN", 2)
    names = ["a", "b", "c", "d"]
    for name in names:
        writer.start(name)
    for step in range(3):
        for name in names:
            assert writer.stream(lines(step), name).status_code == 200
    for name in names:
        assert rows(store, name) == [(0, 0), (1, 1), (2, 2)]
        assert len(LocalReader(store, follows=False).run("team", "demo", name).segments) == 1


def start_shared(writer: Caller) -> str:
    """Start a run with two writers; return its id."""
    found: str = writer.start().json()["data"]["upsertBucket"]["bucket"]["id"]
    assert writer.stream(lines(0)).status_code == 200
    assert writer.stream(lines(0), headers=SHARED).status_code == 200
    return found


def own_keys(caller: Caller) -> list[dict[str, Any]]:
    edges = caller.ask(KEYS).json()["data"]["viewer"]["apiKeys"]["edges"]
    return [edge["node"] for edge in edges]


def test_a_running_run_can_be_deleted_and_deleted_again(writer: Caller, store: Store) -> None:
    run = start_shared(writer)
    for _ in range(2):
        assert "errors" not in writer.ask(DELETE_RUN, id=run).json()
    assert LocalReader(store, follows=False).runs("team", "demo").total == 0
    assert writer.stream(lines(1)).status_code == 404
    assert writer.stream(lines(1), headers=SHARED).status_code == 404


def test_a_run_is_stopped_while_any_of_its_clients_logs(
    app: FastAPI, keys: dict[str, str], writer: Caller
) -> None:
    url = "/api/v1/projects/team/demo/runs/run/stop"
    start_shared(writer)
    ended = lines(1) | {"complete": True, "exitcode": 0}
    assert writer.stream(ended).json() == {"stopped": False}
    assert Caller(app, keys["viewer"]).send("POST", url).status_code == 403
    assert writer.send("POST", url).status_code == 200
    assert writer.stream(lines(1), headers=SHARED).json() == {"stopped": True}
    writer.stream(lines(2, offset=2) | {"complete": True, "exitcode": 0}, headers=SHARED)
    assert writer.send("POST", url).status_code == 409


def test_a_reader_ends_no_run(app: FastAPI, keys: dict[str, str], writer: Caller, store: Store) -> None:
    run = start_shared(writer)
    for name in ("viewer", "stranger", "reads"):
        assert "errors" in Caller(app, keys[name]).ask(DELETE_RUN, id=run).json()
    assert LocalReader(store, follows=False).run("team", "demo", "run").state == "running"


def test_a_run_with_several_writers_is_marked_as_failed_once(writer: Caller, store: Store) -> None:
    run = start_shared(writer)
    answers = [
        writer.ask(UPDATE_STATE, input={"id": run, "state": state}).json()
        for state in ("pending", "failed", "failed")
    ]
    assert answers[1]["data"]["updateRunState"]["success"]
    for refused in (answers[0], answers[2]):
        assert "invalid state transition" in refused["errors"][0]["message"]
    assert LocalReader(store, follows=False).run("team", "demo", "run").state == "failed"


def test_members_of_a_team_are_users(writer: Caller) -> None:
    members = writer.ask(MEMBERS).json()["data"]["entity"]["members"]
    assert {each["username"] for each in members} == {"boss", "viewer", "writer"}
    assert {each["accountType"] for each in members} == {"USER"}


def test_a_key_is_made_used_and_revoked(app: FastAPI, writer: Caller) -> None:
    before = own_keys(writer)
    made = writer.ask(GENERATE, description="laptop").json()["data"]["result"]["apiKey"]
    other = Caller(app, basic(f"api:{made['name']}"))
    (listed,) = [each for each in own_keys(other) if each not in before]
    assert listed == {"id": made["id"], "name": "laptop", "description": "laptop"}
    assert writer.ask(DELETE_KEY, id=made["id"]).json()["data"]["result"]["success"]
    assert own_keys(writer) == before
    assert other.ask(KEYS).status_code == 401


@pytest.mark.parametrize("name", ["viewer", "reads", "one project"])
def test_who_may_not_revoke_a_key(app: FastAPI, keys: dict[str, str], writer: Caller, name: str) -> None:
    before = own_keys(writer)
    caller = Caller(app, keys[name])
    assert "errors" in caller.ask(DELETE_KEY, id=before[0]["id"]).json()
    assert ("errors" in caller.ask(GENERATE).json()) is (name != "viewer")
    assert own_keys(writer) == before


def test_changes_of_the_api_are_in_the_audit_log(app: FastAPI, keys: dict[str, str], writer: Caller) -> None:
    run = start_shared(writer)
    client = {"User-Agent": "W&B Public Client"}
    api = Caller(app, keys["writer"] | client)
    edit = 'mutation ($id: String) { upsertBucket(input: {id: $id, notes: "better"}) { bucket { id } } }'
    for query, given in (
        (edit, {"id": run}),
        (UPDATE_STATE, {"input": {"id": run, "state": "pending"}}),
        (UPDATE_STATE, {"input": {"id": run, "state": "failed"}}),
        (GENERATE, {}),
        (DELETE_RUN, {"id": run}),
    ):
        api.ask(query, **given)
    found = writer.send("GET", "/api/v1/projects/team/demo/audit", headers=keys["boss"]).json()["entries"]
    assert [(each["action"], each["target"], each["actor"]) for each in reversed(found)] == [
        (action, "team/demo/run", "writer") for action in ("upsert_bucket", "update_run_state", "delete_run")
    ]
    assert "better" in found[-1]["detail"]


def test_a_file_that_a_run_does_not_have(writer: Caller) -> None:
    writer.start()
    query = """query RunFiles { project(name: "demo", entityName: "team") { run(name: "run") {
        files(names: ["no.txt", "config.yaml"]) { edges { node { name md5 sizeBytes updatedAt url } } }
    } } }"""
    found = writer.ask(query).json()["data"]["project"]["run"]["files"]["edges"]
    nodes = {edge["node"]["name"]: edge["node"] for edge in found}
    missing = nodes.pop("no.txt")
    assert (missing["md5"], missing["sizeBytes"], missing["updatedAt"]) == ("0", 0, None)
    assert writer.send("GET", missing["url"]).status_code == 404
    assert nodes["config.yaml"]["updatedAt"]
