"""Requests of the wandb protocol by callers that attack the server, and by faulty clients."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from api_callers import ACTOR, basic
from fastapi import FastAPI

from server.app import create_app
from server.settings import ServerSettings
from server.wandb.artifact_drafts import token_of
from server.wandb.ids import make_id
from server.wandb.run_object import like
from tracker.errors import UsageError
from tracker.reading.local import LocalReader
from tracker.store.ingest.people import changing_people
from tracker.store.store import Store
from tracker.sweeps.hyperband import read_brackets

RUN = {"entityName": "team", "projectName": "demo", "runName": "run"}
FIELDS = """{project(name: "demo", entityName: "team") {runs {edges {node {
    name config summaryMetrics historyLineCount historyTail eventsTail fileCount}}}}}"""
SECRET = make_id("Run", "team", "secret", "run")
JSON_100_DEEP = "[" * 101 + "]" * 101


class Caller:
    """Sends requests as one caller."""

    def __init__(self, app: FastAPI, headers: dict[str, str]) -> None:
        self._app = app
        self._headers = {"User-Agent": "wandb-core", **headers}

    def send(self, method: str, url: str, headers: dict[str, str] | None = None, **given: Any) -> Any:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, url, headers=self._headers | (headers or {}), **given)

        return asyncio.run(ask())

    def ask(self, text: str, **variables: Any) -> Any:
        body = json.dumps({"query": text, "variables": variables})  # can contain lone surrogates
        return self.send("POST", "/graphql", content=body)

    def change(self, name: str, fields: str, /, **given: Any) -> Any:
        return self.ask(f"mutation($input: Any) {{{name}(input: $input) {{{fields}}}}}", input=given)

    def data(self, name: str, fields: str, /, **given: Any) -> Any:
        return self.change(name, fields, **given).json()["data"][name]

    def refused(self, name: str, /, **given: Any) -> str:
        """Return the message of a refusal that is not a fault of the server."""
        answer = self.change(name, "__typename", **given)
        assert answer.status_code < 500, answer.text
        return str(answer.json()["errors"][0]["message"])

    def start(self, project: str = "demo", run: str = "run", **given: Any) -> None:
        given = {"entityName": "team", "modelName": project, "name": run, "host": "h", **given}
        assert "errors" not in self.change("upsertBucket", "inserted", **given).json()

    def stream(self, body: str | dict[str, Any], run: str = "run") -> Any:
        content = body if isinstance(body, str) else json.dumps(body)
        return self.send("POST", f"/files/team/demo/{run}/file_stream", content=content)

    def draft(self, project: str, **given: Any) -> str:
        place = {**RUN, "projectName": project, "artifactCollectionName": "data", "digest": "00"}
        return str(self.data("createArtifact", "artifact {id}", **place, **given)["artifact"]["id"])


@pytest.fixture
def callers(store: Store) -> dict[str, Caller]:
    """Return callers. Only ``boss`` sees the private project ``secret``."""
    headers: dict[str, dict[str, str]] = {"nobody": {}}
    with changing_people(store, ACTOR) as change:
        for name, role in (("writer", "writer"), ("viewer", "viewer"), ("boss", "admin")):
            change.add_user(name, email=f"{name}@example.org")
            change.set_role(name, "team", "", role)
            headers[name] = basic(f"api:{change.add_key(name)[1]}")
        change.set_private("team", "secret", True)
    app = create_app(store, ServerSettings(store.root))
    made = {name: Caller(app, each) for name, each in headers.items()}
    made["boss"].start("secret")
    made["writer"].start()
    return made


@pytest.mark.parametrize("given", [{"clientID": "c" * 32}, {"distributedID": "group"}])
def test_the_token_of_an_artifact_opens_it_only_at_its_place(
    callers: dict[str, Caller], given: dict[str, str]
) -> None:
    callers["boss"].draft("secret", metadata='{"key": "x"}', **given)
    token = token_of(given.get("clientID", ""), "team/secret/data/group" if "distributedID" in given else "")
    forged = make_id("Artifact", "team", "demo", "data", token + "00")
    query = "query($id: ID!) {artifact(id: $id) {id metadata}}"
    assert callers["writer"].ask(query, id=forged).json() == {"data": {"artifact": None}}
    query = "query($id: ID!) {clientIDMapping(clientID: $id) {serverID}}"
    assert callers["writer"].ask(query, id="c" * 32).json() == {"data": {"clientIDMapping": None}}
    own = make_id("Artifact", "team", "secret", "data", token + "00")
    assert callers["boss"].ask("query($id: ID!) {artifact(id: $id) {metadata}}", id=own).json()["data"][
        "artifact"
    ] == {"metadata": '{"key":"x"}'}


@pytest.mark.parametrize(
    "query",
    [
        '{model(name: "%s", entityName: "team") {id}}',
        'mutation {upsertModel(input: {entityName: "team", name: "%s"}) {inserted}}',
        'mutation {createAgent(input: {entityName: "team", projectName: "%s", sweep: "x"}) {agent {id}}}',
    ],
)
def test_a_viewer_does_not_learn_of_private_projects(callers: dict[str, Caller], query: str) -> None:
    private, missing = (callers["viewer"].ask(query % name) for name in ("secret", "absent"))
    assert private.status_code == missing.status_code
    assert private.text.replace("secret", "absent") == missing.text


def test_mail_addresses_of_others_are_for_administrators(callers: dict[str, Caller]) -> None:
    answer = callers["viewer"].ask('{entity(name: "team") {members {username email}}}').json()
    found = {each["username"]: each["email"] for each in answer["data"]["entity"]["members"]}
    assert found == {"boss": "", "viewer": "viewer@example.org", "writer": ""}


@pytest.mark.parametrize(
    "place",
    [("team", "../x", "run"), ("team", "", "run"), ("team", "a\0b", "run"), ("team", "demo", "a/b"), SECRET],
)
def test_a_written_id_makes_no_run(callers: dict[str, Caller], store: Store, place: Any) -> None:
    if place == SECRET:
        place = ("team", "secret", "run")
    before = {(each.entity, each.name) for each in LocalReader(store, follows=False).projects()}
    id = make_id("File", *place, "a")
    assert callers["writer"].refused("deleteFiles", files=[id])
    assert callers["writer"].refused("deleteFiles", files=[make_id("File", "team", "demo", "absent", "a")])
    reader = LocalReader(store, follows=False)
    assert {(each.entity, each.name) for each in reader.projects()} == before
    assert [each.id for each in reader.runs("team", "demo").runs] == ["run"]


def test_an_address_does_not_bring_a_deleted_run_back(callers: dict[str, Caller], store: Store) -> None:
    fields = "files {uploadUrl}"
    (file,) = callers["writer"].data("createRunFiles", fields, **RUN, files=["a"])["files"]
    callers["writer"].stream({"complete": True, "exitcode": 0})
    LocalReader(store, follows=False).delete_run("team", "demo", "run", delete_artifacts=False)
    assert callers["nobody"].send("PUT", file["uploadUrl"], content=b"x").status_code == 404
    assert LocalReader(store, follows=False).runs("team", "demo").total == 0


@pytest.mark.parametrize("url", ["/graphql", "/files/team/demo/run/file_stream"])
def test_the_body_of_an_unknown_caller_is_not_read(callers: dict[str, Caller], url: str) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(10):
            read += 1
            yield bytes(1000)

    assert callers["nobody"].send("POST", url, content=body()).status_code == 401
    assert read == 0


def test_a_page_of_another_site_changes_nothing_without_a_key(store: Store) -> None:
    caller = Caller(create_app(store, ServerSettings(store.root, no_key=True)), {})
    caller.start()
    body = json.dumps(
        {"query": f'mutation {{deleteRun(input: {{id: "{make_id("Run", *RUN.values())}"}}) {{success}}}}'}
    )
    headers = {"Origin": "https://example.org", "Content-Type": "text/plain"}
    assert caller.send("POST", "/graphql", headers, content=body).status_code == 401
    url = "/files/team/demo/run/file_stream"
    assert caller.send("POST", url, headers, content="{}").status_code == 401
    assert LocalReader(store, follows=False).runs("team", "demo").total == 1


@pytest.mark.parametrize(
    ("line", "step", "when"),
    [
        ('{"_step": 1%s, "x": 1}' % ("0" * 30), 0, None),
        ('{"_step": 7, "_timestamp": NaN, "x": 1}', 7, None),
        ('{"_step": 7, "_timestamp": 1e400, "x": 1}', 7, None),
        ('{"_step": 7, "_timestamp": 1e300, "_runtime": 1, "x": 1}', 7, None),
        ('{"_step": 7, "_timestamp": 1e9, "_runtime": 0, "x": 1}', 7, 1e9),
    ],
)
def test_odd_steps_and_times_lose_no_row(
    callers: dict[str, Caller], store: Store, line: str, step: int, when: float | None
) -> None:
    for post in (line, '{"_step": 50, "x": 2}'):
        files = {"wandb-history.jsonl": {"offset": int("50" in post), "content": [post]}}
        assert callers["writer"].stream({"files": files}).status_code == 200
    rows = LocalReader(store, follows=False).history("team", "demo", "run", None, complete=False)
    assert [(row["_step"], row["x"]) for row in rows] == [(step, 1), (50, 2)]
    assert all(time.time() - 60 < row["_timestamp"] or row["_timestamp"] == when for row in rows)


@pytest.mark.parametrize(
    "post",
    [
        {"files": {"wandb-history.jsonl": {"offset": 10**30, "content": ['{"x": 1}']}}},
        {"files": {"wandb-history.jsonl": {"offset": -1, "content": ['{"x": 1}']}}},
        '{"files": {"wandb-history.jsonl": {"offset": 1e400, "content": ["{}"]}}}',
        {"files": {"wandb-history.jsonl": {"offset": 0, "content": [f'{{"x": {JSON_100_DEEP}}}']}}},
        {"files": {"wandb-summary.json": {"offset": 0, "content": [f'{{"x": {JSON_100_DEEP}}}']}}},
        {"files": {"output.log": {"offset": 10**30, "content": ["a"]}}},
        '{"complete": true, "exitcode": 1e400}',
        {"complete": True, "exitcode": 10**30},
    ],
)
def test_values_that_the_store_cannot_keep_are_refused(callers: dict[str, Caller], post: Any) -> None:
    assert callers["writer"].stream(post).status_code == 400
    files = {
        "wandb-events.jsonl": {
            "offset": 0,
            "content": ['{"_timestamp": 1e9, "system.a": 1%s}' % ("0" * 400)],
        },
        "output.log": {"offset": 0, "content": ["9999-12-31T23:59:59-14:00 late"]},
    }
    assert callers["writer"].stream({"files": files}).status_code == 200
    assert callers["writer"].stream('{"files": {"output.log": {"content": ["\\ud800"]}}}').status_code == 200
    (edge,) = callers["viewer"].ask(FIELDS).json()["data"]["project"]["runs"]["edges"]
    assert edge["node"]["historyLineCount"] == 0


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("upsertBucket", {"id": make_id("Run", *RUN.values()), "config": f'{{"x": {JSON_100_DEEP}}}'}),
        ("upsertBucket", {"modelName": "demo", "entityName": "team", "name": "b", "tags": [{}], "host": "h"}),
        ("upsertBucket", {"modelName": "demo", "entityName": "team", "name": "\ud800", "host": "h"}),
        ("createArtifact", {**RUN, "artifactCollectionName": "data", "description": 5}),
        ("createArtifact", {**RUN, "artifactCollectionName": "data", "metadata": JSON_100_DEEP}),
        ("rewindRun", {**RUN, "metricValue": 10**30}),
    ],
)
def test_wrong_values_of_mutations(callers: dict[str, Caller], name: str, given: Any) -> None:
    assert callers["writer"].refused(name, **given)
    assert len(callers["viewer"].ask(FIELDS).json()["data"]["project"]["runs"]["edges"]) == 1


def test_a_wrong_manifest_does_not_spoil_its_artifact(callers: dict[str, Caller]) -> None:
    id = callers["writer"].draft("demo", clientID="c" * 32)
    given = {"artifactID": id, "name": "m", "digest": "x", "type": "FULL"}
    assert callers["writer"].refused("createArtifactManifest", **given, baseArtifactID=5)
    assert callers["writer"].refused("createArtifactManifest", **given, runName="../x")
    assert callers["writer"].data("createArtifactManifest", "artifactManifest {id}", **given)


@pytest.mark.parametrize(
    "query",
    [
        '{project(name: "demo", entityName: "team") {run(name: {a: 1}) {id}}}',
        '{project(name: "demo") {runs(first: "x") {edges {node {id}}}}}',
        '{model(name: "demo", entityName: "team") {bucket(name: "run") {logLines(last: -1) {id}}}}',
        '{model(name: "demo", entityName: "team") {bucket(name: "run") {history(minStep: 999999999999999)}}}',
        '{artifact(id: "%s") {id}}' % ("W1tb" * 3000),
        "mutation {upsertBucket(input: 3) {inserted}}",
        '{users(query: "%s") {edges {node {name}}}}' % ("x" * 200_000),
    ],
)
def test_wrong_arguments(callers: dict[str, Caller], query: str) -> None:
    answer = callers["writer"].ask(query)
    assert answer.status_code == 200
    message = answer.json().get("errors", [{"message": ""}])[0]["message"]
    assert "\n" not in message
    assert len(message) < 400


def test_a_disk_that_refuses_an_upload_is_told(
    callers: dict[str, Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = callers["writer"].data("createRunFiles", "files {uploadUrl}", **RUN, files=["a"])["files"]

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("server.wandb.routes.note_upload", full)
    answer = callers["writer"].send("PUT", file["uploadUrl"], content=b"x")
    assert (answer.status_code, answer.json()["errors"][0]["message"]) == (503, "No space left on device")


ALIASES = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(9 * ['*' + old])}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "config",
    [
        ALIASES + "method: random\nparameters: {lr: {values: *i}}",
        "method: random\nparameters: &p {lr: {values: [1]}, z: *p}",
        "[" * 20_000,
        "# " + "x" * 200_000,
        "method: random\nmetric: {name: x}\nparameters: {lr: {values: [1]}}\n"
        "early_terminate: {type: hyperband, max_iter: 1.0e+11, s: 1000000000, eta: 1.0000001}",
    ],
)
def test_a_sweep_that_would_take_all_memory(callers: dict[str, Caller], config: str) -> None:
    assert callers["writer"].refused("upsertSweep", entityName="team", projectName="demo", config=config)


@pytest.mark.parametrize("given", [{"max_iter": 10**400, "s": 1}, {"min_iter": 1, "eta": 1.0000001}])
def test_brackets_without_an_end(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        read_brackets({"early_terminate": {"type": "hyperband", **given}})


@pytest.mark.parametrize(
    ("text", "pattern", "matches"),
    [
        ("media/a.png", "media/%", True),
        ("media/a.png", "%.png", True),
        ("media/a.png", "%a_png", True),
        ("a.b.png", "%b%.png", True),
        ("a.png", "b%", False),
        ("a\nb", "a%b", True),
        ("", "%%", True),
        ("", "", True),
        ("a", "", False),
        ("a[b", "a[_", True),
        ("a" * 5000, "%a" * 40 + "b", False),  # `re` would need years
    ],
)
def test_patterns_of_names(text: str, pattern: str, matches: bool) -> None:
    assert like(text, pattern) is matches
