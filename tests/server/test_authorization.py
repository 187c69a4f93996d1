"""Tests of authorization: every route of the API, taken from the application, with every kind of caller."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_callers import (
    ACTOR,
    OPEN,
    QUERY,
    READING_POSTS,
    VALUES,
    basic,
    bearer,
    cookie,
    log_something,
    request_of,
    start,
    under_api,
)
from fastapi import FastAPI
from sqlalchemy import select

from server import keys
from server.accounts.callers import COOKIE, IDLE_SECONDS
from server.app import API, create_app
from server.settings import ServerSettings
from tracker.reading.local import LocalReader
from tracker.store.catalog.models import ApiKey, BrowserSession
from tracker.store.ingest.people import changing_people, hash_secret
from tracker.store.store import Store


async def _send(app: FastAPI, requests: list[dict[str, Any]]) -> list[httpx.Response]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return [await client.request(**request) for request in requests]


def send(app: FastAPI, method: str, url: str, **request: Any) -> httpx.Response:
    """Return the answer to one request."""
    return asyncio.run(_send(app, [{"method": method, "url": url, **request}]))[0]


def ask_all(app: FastAPI, headers: dict[str, Any]) -> dict[tuple[str, str], int]:
    """Send a valid request to each route of the API; return the statuses."""
    routes = under_api(app)
    answers = asyncio.run(_send(app, [request_of(method, path, headers) for method, path in routes]))
    return {route: answer.status_code for route, answer in zip(routes, answers, strict=True)}


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Store]:
    """Return a store that only one test uses."""
    store = log_something(tmp_path)
    yield store
    store.close()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Return a store for the tests that check that nothing changes."""
    store = log_something(tmp_path_factory.mktemp("kept"))
    yield store
    store.close()


@pytest.fixture
def app(logged: Store) -> FastAPI:
    """Return the application with keys required. Its watcher does not run: only requests change the store."""
    return create_app(logged, ServerSettings(logged.root))


def refused_callers(store: Store) -> dict[str, dict[str, str]]:
    """Return the headers of callers without a valid key."""
    valid = keys.make_key(store)
    with changing_people(store, ACTOR) as change:
        revoked_row, revoked = change.add_key(None)
        expired_row, expired = change.add_key(None)
        change.add_user("ann")
        change.add_user("bea", is_admin=True)
        left = change.add_key("ann")[1]
    cookies = {
        name: cookie(start(store, key, user))
        for name, key, user in (
            ("cookie of a revoked key", revoked, None),
            ("cookie of an expired key", expired, None),
            ("cookie of a disabled user", None, "ann"),
            ("cookie that was signed out", valid, None),
            ("cookie after its end", valid, None),
            ("cookie that was not used for long", valid, None),
        )
    }
    hashes = {name: hash_secret(each["Cookie"].partition("=")[2]) for name, each in cookies.items()}
    with changing_people(store, ACTOR) as change:
        change.revoke_key(revoked_row.id)
        change.session.get_one(ApiKey, expired_row.id).expires_at = time.time() - 1
        change.user("ann").disabled_at = time.time()
        sessions = {row.sha256: row for row in change.session.scalars(select(BrowserSession))}
        change.session.delete(sessions[hashes["cookie that was signed out"]])
        sessions[hashes["cookie after its end"]].expires_at = time.time() - 1
        sessions[hashes["cookie that was not used for long"]].last_used_at -= IDLE_SECONDS + 1
    return {
        "no header": {},
        "wrong key": bearer("local-" + "0" * 40),
        "empty key": bearer(""),
        "beginning of the key": bearer(valid[:-1]),
        "key in another case": bearer(valid.upper()),
        "hash of the key": bearer(hashlib.sha256(valid.encode()).hexdigest()),
        "wrong key, basic": basic("api:local-" + "0" * 40),
        "key as the user": basic(f"{valid}:"),
        "no base64": {"Authorization": "Basic ü".encode("latin-1")},  # type: ignore[dict-item]
        "broken base64": {"Authorization": "Basic a"},
        "no text": {"Authorization": "Basic /////w=="},
        "another scheme": {"Authorization": f"Digest {valid}"},
        "only a scheme": {"Authorization": "Bearer"},
        "revoked key": bearer(revoked),
        "expired key": bearer(expired),
        "key of a disabled user": bearer(left),
        "wrong key with a valid cookie": bearer("local-0") | cookie(start(store, valid, None)),
        "no key with a valid cookie": {"Authorization": ""} | cookies["cookie after its end"],
        "garbage cookie": cookie("garbage"),
        "odd cookie": {"Cookie": f"{COOKIE}=\xfc".encode("latin-1")},  # type: ignore[dict-item]
        **cookies,
        "key as the cookie": cookie(valid),
    }


def content_of(root: Path) -> dict[str, bytes]:
    """Return every file of a store, except files of SQLite, the recorder and the lease."""
    files = (path for path in root.rglob("*") if path.is_file() and "catalog.db" not in path.name)
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in files
        if path.parent.name not in ("locks", "leases")
    }


def test_matrix_covers_every_route_of_the_openapi_document(app: FastAPI) -> None:
    document = app.openapi()["paths"]
    described = {(method.upper(), path) for path, methods in document.items() for method in methods}
    routes = {(method, path.replace(":path}", "}")) for method, path in under_api(app)}
    assert routes == described
    assert len(routes) >= 20


def test_requests_without_a_valid_key_are_refused_and_change_nothing(logged: Store, app: FastAPI) -> None:
    callers = refused_callers(logged)
    before, projects = content_of(logged.root), LocalReader(logged).projects()
    wrong = {}
    for name, headers in callers.items():
        for (method, path), status in ask_all(app, headers).items():
            if path not in OPEN and status != 401:
                wrong[name, method, path] = status
    assert wrong == {}
    assert content_of(logged.root) == before
    assert LocalReader(logged).projects() == projects


def test_open_routes_need_no_key(logged: Store, app: FastAPI) -> None:
    for name, headers in refused_callers(logged).items():
        assert send(app, "GET", f"{API}/health", headers=headers).status_code == 200, name
        assert send(app, "GET", f"{API}/session", headers=headers).json() == {
            "key_required": True,
            "signed_in": False,
            "has_users": True,
            "user": None,
            "is_admin": False,
            "sign_in": [],
            "in_place": False,
        }, name


@pytest.mark.parametrize("scheme", ["bearer", "basic", "Bearer in capitals"])
def test_valid_key_opens_every_route(logged: Store, app: FastAPI, scheme: str) -> None:
    key = keys.make_key(logged)
    headers = basic(f"api:{key}") if scheme == "basic" else bearer(key)
    if scheme.endswith("capitals"):
        headers = {"Authorization": f"BEARER {key}"}
    answers = ask_all(app, headers)
    answers.pop(("POST", f"{API}/session"))  # this route expects the key in the body
    assert {
        route: status for route, status in answers.items() if status in (401, 403, 405) or status >= 500
    } == {}
    assert answers["GET", f"{API}/projects"] == 200
    assert answers["POST", f"{API}/projects/{{entity}}/{{project}}/curves"] == 200
    assert answers["PUT", f"{API}/ingest/blobs/{{sha256}}"] == 201
    assert logged.blobs.read(VALUES["sha256"]) == b"content"


def test_cookie_permits_reading_but_not_writing(logged: Store, app: FastAPI) -> None:
    key = keys.make_key(logged)
    answer = send(app, "POST", f"{API}/session", json={"key": f" {key}\n"})
    assert answer.status_code == 204
    given = answer.headers["set-cookie"]
    assert "httponly" in given.lower()
    assert "samesite=strict" in given.lower()
    assert key not in given
    browser = cookie(answer.cookies[COOKIE])
    session = send(app, "GET", f"{API}/session", headers=browser)
    assert session.json()["signed_in"] is True
    before = content_of(logged.root)
    for (method, path), status in ask_all(app, browser).items():
        reads = method == "GET" or path.endswith(READING_POSTS)
        writes = not reads and path != f"{API}/session"
        if writes:
            assert status == 401, (method, path)
        elif path != f"{API}/session":
            assert status not in (401, 403), (method, path)
            assert status < 500, (method, path)
    assert content_of(logged.root) == before
    assert send(app, "GET", f"{API}/projects", headers=browser).status_code == 401  # it is signed out
    browser = cookie(start(logged, key, None))
    signed_out = send(app, "DELETE", f"{API}/session", headers=browser)
    assert signed_out.status_code == 204
    assert send(app, "GET", f"{API}/projects", headers=browser).status_code == 401
    assert f'{COOKIE}=""' in signed_out.headers["set-cookie"]
    assert "Max-Age=0" in signed_out.headers["set-cookie"]


@pytest.mark.parametrize("key", ["", "wrong", "ü" * 500])
def test_invalid_key_does_not_sign_in(kept: Store, key: str) -> None:
    app = create_app(kept, ServerSettings(kept.root))
    headers = {"Content-Type": "application/json"}
    answer = send(app, "POST", f"{API}/session", content=json.dumps({"key": key}), headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthenticated"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'"key"', b"\xff", b"[" * 100_000, b"null", b"", b'{"key": 5}', b'{"key": ["local-"]}'],
)
def test_malformed_body_is_refused_in_the_error_format(kept: Store, body: bytes) -> None:
    app = create_app(kept, ServerSettings(kept.root))
    headers = {"Content-Type": "application/json"}
    answer = send(app, "POST", f"{API}/session", content=body, headers=headers)
    assert answer.status_code in (400, 422)
    assert set(answer.json()["error"]) == {"code", "message"}


def test_new_key_works_and_deleted_key_fails_immediately(logged: Store, app: FastAPI) -> None:
    key = keys.make_key(logged)
    assert send(app, "GET", f"{API}/projects", headers=bearer(key)).status_code == 200
    with changing_people(logged, ACTOR) as change:
        change.revoke_key(change.session.scalars(select(ApiKey.id)).one())
    assert send(app, "GET", f"{API}/projects", headers=bearer(key)).status_code == 401


def test_store_contains_no_key_in_plain_text(logged: Store, app: FastAPI) -> None:
    key = keys.make_key(logged)
    assert all(key.encode() not in content for content in content_of(logged.root).values())
    for file in logged.root.glob("catalog.db*"):
        assert key.removeprefix("local-").encode() not in file.read_bytes()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "127.0.0.2", "[::1]:8080"])
def test_server_without_a_key_accepts_loopback_names(kept: Store, host: str) -> None:
    app = create_app(kept, ServerSettings(kept.root, no_key=True))
    answers = ask_all(app, {"Host": host})
    # Signing in needs a valid key even here.
    refused = {route for route, status in answers.items() if status in (401, 403) or status >= 500}
    assert refused == {("POST", f"{API}/session")}
    assert answers["PUT", f"{API}/ingest/blobs/{{sha256}}"] == 201


FOREIGN = [
    *("evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1"),
    *("[::2]", "[::1", "", "localhost:8080@evil.example", "evil.example#localhost", "169.254.0.1"),
]


@pytest.mark.parametrize("host", FOREIGN)
def test_server_without_a_key_refuses_foreign_names(kept: Store, host: str) -> None:
    """A foreign page that points its name at 127.0.0.1 can neither read nor change anything."""
    app = create_app(kept, ServerSettings(kept.root, no_key=True))
    before = content_of(kept.root)
    assert set(ask_all(app, {"Host": host}).values()) == {400}
    answer = send(app, "GET", f"{API}/projects", headers={"Host": host})
    assert answer.json()["error"]["code"] == "foreign_host"
    assert send(app, "GET", "/", headers={"Host": host}).status_code == 400
    assert content_of(kept.root) == before


def test_key_is_required_beyond_loopback(logged: Store) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "node.example"):
        app = create_app(logged, ServerSettings(logged.root, host=host))
        asked = {"Host": "tracker.example"}
        assert send(app, "GET", f"{API}/projects", headers=asked).status_code == 401, host
        assert send(app, "GET", f"{API}/health", headers=asked).status_code == 200, host


FORM_TYPES = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", None]


@pytest.mark.parametrize("kind", FORM_TYPES)
def test_form_of_another_page_changes_nothing(kept: Store, kind: str | None) -> None:
    """Without a key, only the body type distinguishes a program's request from a foreign page's form."""
    app = create_app(kept, ServerSettings(kept.root, no_key=True))
    before = content_of(kept.root)
    headers = {} if kind is None else {"Content-Type": kind}
    requests = [
        ("POST", f"/ingest/journals/{'0' * 32}-000000", b"x"),
        ("PUT", f"/ingest/blobs/{VALUES['sha256']}", b"content"),
        ("POST", f"/ingest/segments/{'0' * 32}/end", b'{"state": "crashed"}'),
        ("POST", "/ingest/blobs/missing", b'{"sha256": []}'),
        ("POST", "/session", b'{"key": "x"}'),
    ]
    for method, path, content in requests:
        answer = send(app, method, API + path, params=QUERY, content=content, headers=headers)
        assert answer.status_code in (400, 422), path
        assert set(answer.json()["error"]) == {"code", "message"}
    assert content_of(kept.root) == before
