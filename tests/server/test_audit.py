"""Tests of the audit log: each successful change has an entry with author, address, target and values."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_callers import ACTOR, bearer, log_something
from fastapi import FastAPI

from server.app import API, create_app
from server.settings import ServerSettings
from tracker.store.ingest.people import changing_people
from tracker.store.store import Store

RUN = f"{API}/projects/team/demo/runs/run"
VERSION = f"{API}/projects/team/demo/artifacts/model/v0"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Return a store with a run and an artifact."""
    store = log_something(tmp_path)
    yield store
    store.close()


@pytest.fixture
def callers(store: Store) -> dict[str, dict[str, str]]:
    """Return the headers of an administrator, a writer and a viewer."""
    with changing_people(store, ACTOR) as change:
        change.add_user("root", is_admin=True)
        for name, role in (("wendy", "writer"), ("vic", "viewer"), ("ada", "admin")):
            change.add_user(name)
            change.set_role(name, "team", "demo", role)
        return {name: bearer(change.add_key(name)[1]) for name in ("root", "wendy", "vic", "ada")}


def ask(app: FastAPI, *requests: tuple[str, str, Any], headers: dict[str, str]) -> list[httpx.Response]:
    """Return the answers to requests of one caller."""

    async def send() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, client=("192.0.2.7", 50_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return [await client.request(how, url, json=body, headers=headers) for how, url, body in requests]

    return asyncio.run(send())


def entries(app: FastAPI, headers: dict[str, str], query: str = "") -> list[dict[str, Any]]:
    """Return the entries of the audit log, the oldest first, without those of the fixture."""
    found = ask(app, ("GET", f"{API}/audit{query}", None), headers=headers)[0].json()["entries"]
    return [each for each in reversed(found) if each["actor"] != ACTOR.name]


def test_changes_have_entries(store: Store, callers: dict[str, dict[str, str]]) -> None:
    app = create_app(store, ServerSettings(store.root))
    changes = [
        ("PATCH", RUN, {"notes": "better"}),
        ("PUT", f"{VERSION}/aliases/tried", None),
        ("POST", f"{API}/projects/team/demo/documents/views", {"name": "mine", "content": {}}),
        (
            "POST",
            f"{API}/projects/team/demo/runs/change",
            {"action": "edit", "runs": ["run"], "values": {"archived": True}},
        ),
        ("POST", f"{API}/keys", {"name": "laptop"}),
        ("DELETE", RUN, None),
    ]
    answers = ask(app, *changes, headers=callers["wendy"])
    assert [answer.status_code for answer in answers] == [200, 200, 201, 200, 201, 200]
    found = entries(app, callers["root"])
    assert [(each["action"], each["target"]) for each in found] == [
        ("edit_run", "team/demo/run"),
        ("put_alias", "team/demo/model/v0/tried"),
        ("create_document", "team/demo/views"),
        ("change_runs", "team/demo"),
        ("add_key", "key 5"),
        ("delete_run", "team/demo/run"),
    ]
    assert {(each["actor"], each["address"]) for each in found} == {("wendy", "192.0.2.7")}
    assert "better" in found[0]["detail"]
    secret = answers[4].json()["secret"]
    assert all(secret not in str(each) for each in found)


def test_what_changes_nothing_has_no_entry(store: Store, callers: dict[str, dict[str, str]]) -> None:
    app = create_app(store, ServerSettings(store.root))
    body = {"runs": ["run"], "keys": ["x"]}
    requests = [
        ("GET", RUN, None),
        ("POST", f"{API}/projects/team/demo/chart", body),
        ("PATCH", RUN, {"unknown": 1}),
        (
            "POST",
            f"{API}/projects/team/demo/runs/change",
            {"action": "delete", "runs": ["run"], "dry_run": True},
        ),
        ("DELETE", f"{RUN}-none", None),
        ("POST", f"{API}/ingest/blobs/missing", {"sha256": []}),
    ]
    answers = ask(app, *requests, headers=callers["wendy"])
    assert [answer.status_code for answer in answers] == [200, 200, 422, 200, 404, 200]
    assert ask(app, ("PATCH", RUN, {"notes": "x"}), headers=callers["vic"])[0].status_code == 403
    assert entries(app, callers["root"]) == []


def test_log_of_a_project_has_only_its_own_entries(store: Store, callers: dict[str, dict[str, str]]) -> None:
    app = create_app(store, ServerSettings(store.root))
    ask(app, ("PATCH", RUN, {"notes": "1"}), headers=callers["wendy"])
    ask(app, ("PATCH", f"{API}/projects/team/demo2/access", {"private": True}), headers=callers["root"])
    url = f"{API}/projects/team/demo/audit"
    assert ask(app, ("GET", url, None), headers=callers["wendy"])[0].status_code == 403
    found = ask(app, ("GET", url, None), headers=callers["ada"])[0].json()["entries"]
    assert {each["target"] for each in found} == {"team/demo", "team/demo/run"}


def test_pages_continue_with_older_entries(store: Store, callers: dict[str, dict[str, str]]) -> None:
    app = create_app(store, ServerSettings(store.root))
    ask(app, *(("PATCH", RUN, {"notes": str(number)}) for number in range(5)), headers=callers["wendy"])
    first = ask(app, ("GET", f"{API}/audit?actor=wendy&limit=3", None), headers=callers["root"])[0].json()
    last = first["entries"][-1]["id"]
    query = f"?actor=wendy&before={last}"
    assert [each["detail"] for each in entries(app, callers["root"], query)] == [
        '{"notes":"0"}',
        '{"notes":"1"}',
    ]
