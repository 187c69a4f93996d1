"""Every route of the API with every kind of caller, on own and foreign projects: the matrix of rights.

The routes come from the application. The expected answers come from ``ROLES`` below, and not from the code
that decides.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_callers import (
    ACTOR,
    OPEN,
    READING_POSTS,
    VALUES,
    api_routes,
    bearer,
    cookie,
    log_something,
    request_of,
    start,
    under_api,
)
from fastapi import FastAPI

import tracker
from server.accounts.passwords import hash_password
from server.accounts.sign_in_limit import FEW
from server.app import API, create_app
from server.keys import make_link_token, own_key
from server.rights import PAGE_HEADER, Rule
from server.routing import Operation
from server.settings import ServerSettings
from tracker.reading.local import LocalReader
from tracker.store.ingest.people import changing_people
from tracker.store.store import Store

PAGE = {PAGE_HEADER: "1"}
NO, VIEWER, WRITER, ADMIN = range(4)
RANKS = {"viewer": VIEWER, "writer": WRITER, "admin": ADMIN}
# The projects: one that exists, a private one, one of another entity, and one that does not exist.
PROJECTS = (("team", "demo"), ("team", "secret"), ("other", "demo"), ("team", "none"))
# Callers: their role in each of these projects. A project that does not exist looks like one that a caller
# cannot read, unless the caller reads the private projects of the entity too.
ROLES = {
    "server admin": (ADMIN, ADMIN, ADMIN, ADMIN),
    "owner": (ADMIN, ADMIN, ADMIN, ADMIN),
    "admin's reading key": (VIEWER, VIEWER, VIEWER, VIEWER),
    "admin's key for demo": (ADMIN, NO, NO, NO),
    "viewer of the entity": (VIEWER, NO, NO, NO),
    "writer of the entity": (WRITER, NO, NO, NO),
    "admin of the entity": (ADMIN, ADMIN, NO, ADMIN),
    "viewer of demo": (VIEWER, NO, NO, NO),
    "writer of demo": (WRITER, NO, NO, NO),
    "admin of demo": (ADMIN, NO, NO, NO),
    "writer of secret": (NO, WRITER, NO, NO),
    "writer of another entity": (NO, NO, WRITER, NO),
    "user without a role": (NO, NO, NO, NO),
    "writer's reading key": (VIEWER, NO, NO, NO),
    "writer's key for demo": (WRITER, NO, NO, NO),
    "writer's key for a foreign project": (NO, NO, NO, NO),
    "viewer's browser": (VIEWER, NO, NO, NO),
    "writer's browser": (WRITER, NO, NO, NO),
}
# Callers that must be refused at every change: a browser without the header, or on a page of another address.
READERS_ONLY = {
    "writer's browser without the header": (WRITER, NO, NO, NO),
    "writer's browser on a foreign page": (WRITER, NO, NO, NO),
    "writer's browser in a sandboxed frame": (WRITER, NO, NO, NO),
}
SERVER_ADMINS = {"server admin", "owner"}
READING = {"admin's reading key", "writer's reading key"}
ENTITY_ADMINS = {"server admin", "owner", "admin of the entity"}


def make_callers(store: Store) -> dict[str, dict[str, str]]:
    """Create the users of the matrix; return the headers of each caller."""
    with changing_people(store, ACTOR) as change:
        change.add_user("root", is_admin=True)
        for name, entity, project, role in (
            ("evi", "team", "", "viewer"),
            ("ewa", "team", "", "writer"),
            ("eda", "team", "", "admin"),
            ("pvi", "team", "demo", "viewer"),
            ("pwa", "team", "demo", "writer"),
            ("pda", "team", "demo", "admin"),
            ("sec", "team", "secret", "writer"),
            ("oth", "other", "", "writer"),
            ("nob", "", "", ""),
        ):
            change.add_user(name)
            if role:
                change.set_role(name, entity, project, role)
        change.set_private("team", "secret", True)

        def key(user: str | None, **limits: Any) -> dict[str, str]:
            return bearer(change.add_key(user, **limits)[1])

        later = time.time() + 3600
        callers = {
            "server admin": key("root"),
            "owner": key(None),
            "admin's reading key": key("root", scope="read"),
            "admin's key for demo": key("root", only=("team", "demo")),
            "viewer of the entity": key("evi"),
            "writer of the entity": key("ewa", expires_at=later),
            "admin of the entity": key("eda"),
            "viewer of demo": key("pvi"),
            "writer of demo": key("pwa"),
            "admin of demo": key("pda"),
            "writer of secret": key("sec"),
            "writer of another entity": key("oth"),
            "user without a role": key("nob"),
            "writer's reading key": key("ewa", scope="read"),
            "writer's key for demo": key("ewa", only=("team", "demo")),
            "writer's key for a foreign project": key("ewa", only=("other", "demo")),
        }
    callers["viewer's browser"] = cookie(start(store, None, "evi")) | PAGE
    callers["writer's browser"] = cookie(start(store, None, "ewa")) | PAGE
    browser = cookie(start(store, None, "ewa"))
    callers["writer's browser without the header"] = browser
    callers["writer's browser on a foreign page"] = browser | PAGE | {"Origin": "https://evil.example"}
    callers["writer's browser in a sandboxed frame"] = browser | PAGE | {"Origin": "null"}
    return callers


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Return a store with a run, an artifact and the users of the matrix."""
    folder = tmp_path_factory.mktemp("rights")
    store = log_something(folder)
    settings = {"store": folder / "tracker-store", "silent": True, "journal_only": True}
    for entity, project in PROJECTS[1:3]:
        tracker.init(entity=entity, project=project, id="run", settings=settings).finish()
    LocalReader(store).projects()  # applies the journals
    yield store
    store.close()


def rules_of(route: Operation) -> list[Rule]:
    """Return the rules that a route has, itself or through its router."""

    def rules(dependant: Any) -> Iterator[Rule]:
        if isinstance(dependant.call, Rule):
            yield dependant.call
        for each in dependant.dependencies:
            yield from rules(each)

    return list(rules(route.served.dependant))


def all_rules(app: FastAPI) -> dict[tuple[str, str], Rule]:
    """Return the strictest rule of each route that is not open. A route without a rule fails the test."""
    found = {}
    for route in api_routes(app):
        if route.path in OPEN:
            continue
        rules = rules_of(route)
        assert rules, f"{route.path} has no rule: see server.rights"
        for method in route.methods:
            found[method, route.path] = max(rules, key=lambda rule: RANKS.get(rule.role or "", NO))
    return found


def test_every_route_has_a_rule(store: Store) -> None:
    app = create_app(store, ServerSettings(store.root))
    rules = all_rules(app)
    assert set(rules) == {route for route in under_api(app) if route[1] not in OPEN}
    for (method, path), rule in rules.items():
        changes = method not in ("GET", "HEAD") and not path.endswith(READING_POSTS)
        if "{project}" in path:
            assert rule.role is not None, (method, path)
            assert not changes or RANKS[rule.role] >= WRITER, (method, path)


def expected(rule: Rule, caller: str, role: int, *, changes: bool) -> set[int] | None:
    """Return the statuses of a refusal, or None if the request must be answered."""
    if changes and caller in READERS_ONLY:
        return {401}
    if changes and caller in READING:
        return {403}
    if rule.name == "server admin":
        return None if caller in SERVER_ADMINS else {403}
    if rule.name == "entity admin":
        return None if caller in ENTITY_ADMINS else {403, 404}
    if rule.name == "sender":
        return {403} if caller in READING else None
    if rule.role is None or role >= RANKS[rule.role]:
        return None
    return {404} if role == NO else {403}


def request_to(method: str, path: str, project: tuple[str, str], headers: dict[str, str]) -> dict[str, Any]:
    """Return a valid request to a route, for a project."""
    request = request_of(method, path, headers)
    request["url"] = request["url"].replace("/projects/team/demo", f"/projects/{project[0]}/{project[1]}")
    if "to_project" in request.get("json", {}):
        request["json"] = {"to_entity": project[0], "to_project": project[1]}
    return request


# The other callers run in the slow suite: each asks some 400 requests.
QUICK = {"owner", "viewer of the entity", "writer of demo", "user without a role", "writer's reading key"}
CALLERS = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in (*ROLES, *READERS_ONLY)
]


@pytest.mark.parametrize("caller", CALLERS)
def test_routes_answer_by_role(store: Store, callers: dict[str, dict[str, str]], caller: str) -> None:
    with changing_people(store, ACTOR) as change:  # another caller may have changed it
        for entity, project in PROJECTS:
            change.set_private(entity, project, project == "secret")
    app = create_app(store, ServerSettings(store.root))
    cases = []
    for (method, path), rule in all_rules(app).items():
        of_project = "/projects/{entity}/{project}" in path
        for project, role in zip(PROJECTS, (ROLES | READERS_ONLY)[caller], strict=True):
            if of_project or project == PROJECTS[0]:
                cases.append((method, path, project, rule, role))

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return [
                await client.request(**request_to(method, path, project, callers[caller]))
                for method, path, project, _, _ in cases
            ]

    wrong = {}
    for (method, path, project, rule, role), answer in zip(cases, asyncio.run(ask()), strict=True):
        changes = method not in ("GET", "HEAD") and not path.endswith(READING_POSTS)
        refused = expected(rule, caller, role, changes=changes)
        hidden = answer.status_code == 404 and "that you can read" in answer.text
        if refused is None:
            # Routes about the caller itself and about the sent content have further rules.
            own = rule.name in ("signed in", "sender")
            right = answer.status_code < 500 and (own or not (hidden or answer.status_code in (401, 403)))
        elif "/ingest/" in path:
            right = answer.status_code in refused
        else:
            right = answer.status_code in refused and (answer.status_code != 404 or hidden)
        if not right:
            wrong[method, path, project] = (answer.status_code, answer.text[:100])
    assert wrong == {}


@pytest.fixture(scope="module")
def callers(store: Store) -> dict[str, dict[str, str]]:
    """Return the headers of the callers."""
    return make_callers(store)


def test_hidden_project_looks_like_a_missing_one(store: Store, callers: dict[str, dict[str, str]]) -> None:
    """The answer about a project is the same if it exists, is private, or does not exist."""
    app = create_app(store, ServerSettings(store.root))

    async def ask() -> dict[tuple[str, str], set[str]]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        found: dict[tuple[str, str], set[str]] = {}
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for method, path in all_rules(app):
                if "/projects/{entity}/{project}" not in path:
                    continue
                for project in PROJECTS:
                    headers = callers["user without a role"]
                    answer = await client.request(**request_to(method, path, project, headers))
                    text = answer.text.replace("/".join(project), "PROJECT")
                    found.setdefault((method, path), set()).add(f"{answer.status_code} {text}")
        return found

    for route, answers in asyncio.run(ask()).items():
        assert len(answers) == 1, (route, answers)


def test_key_with_limits_makes_no_other_key(store: Store, callers: dict[str, dict[str, str]]) -> None:
    app = create_app(store, ServerSettings(store.root))

    async def ask(caller: str) -> int:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            request = {"name": "larger"}
            return (await client.post(f"{API}/keys", json=request, headers=callers[caller])).status_code

    limited = ["admin's reading key", "admin's key for demo", "writer of the entity", "writer's key for demo"]
    assert [asyncio.run(ask(name)) for name in limited] == [403] * 4
    assert asyncio.run(ask("writer's browser")) == 201


def test_key_of_one_project_without_a_user_lists_only_itself(tmp_path: Path) -> None:
    """The owner and the other keys without a user have all rights: this key is not one of them."""
    store = log_something(tmp_path)
    with changing_people(store, ACTOR) as change:
        owner = change.add_key(None)[1]
        row, limited = change.add_key(None, only=("team", "demo"))
        number = row.id
    start(store, owner, None)
    app = create_app(store, ServerSettings(store.root))

    async def ask(key: str) -> list[Any]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return [
                (await client.get(f"{API}/{path}", headers=bearer(key))).json()[field]
                for path, field in (("keys", "keys"), ("me/sessions", "sessions"))
            ]

    keys, sessions = asyncio.run(ask(limited))
    assert ([key["id"] for key in keys], sessions) == ([number], [])
    assert [len(found) for found in asyncio.run(ask(owner))] == [2, 1]
    store.close()


def test_key_that_ends_gives_nobody_access_beyond_its_end(tmp_path: Path) -> None:
    store = log_something(tmp_path)
    with changing_people(store, ACTOR) as change:
        change.add_user("root", is_admin=True)
        change.add_user("ann")
        ending = bearer(change.add_key("root", expires_at=time.time() + 3600)[1])
    app = create_app(store, ServerSettings(store.root))
    password = {"password": "long enough"}
    requests: list[tuple[str, str, dict[str, Any], int]] = [
        ("POST", "/users", {"name": "eve", "is_admin": True}, 403),
        ("POST", "/users", {"name": "eve", **password}, 403),
        ("PATCH", "/users/ann", {"is_admin": True}, 403),
        ("PATCH", "/users/root", password, 403),
        ("POST", "/users/root/link", {}, 403),
        ("POST", "/users", {"name": "bob"}, 201),
        ("PATCH", "/users/ann", {"disabled": True}, 200),
    ]

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return [
                (await client.request(method, API + path, json=body, headers=ending)).status_code
                for method, path, body, _ in requests
            ]

    assert asyncio.run(ask()) == [status for *_, status in requests]
    store.close()


@pytest.mark.slow
def test_attempts_at_the_same_time_are_limited_too(tmp_path: Path) -> None:
    store = log_something(tmp_path)
    with changing_people(store, ACTOR) as change:
        change.add_user("ann", password=hash_password("long enough"))
    app = create_app(store, ServerSettings(store.root))

    async def ask(*passwords: str) -> list[int]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            bodies = [{"name": "ann", "password": each} for each in passwords]
            sent = [client.post(f"{API}/session", json=body) for body in bodies]
            return [answer.status_code for answer in await asyncio.gather(*sent)]

    for _ in range(2):  # a success forgets the failures
        assert asyncio.run(ask(*["wrong"] * (FEW - 1))) == [401] * (FEW - 1)
        assert asyncio.run(ask("long enough")) == [204]
    assert sorted(asyncio.run(ask(*["wrong"] * 3 * FEW))) == [401] * FEW + [429] * 2 * FEW
    assert asyncio.run(ask("long enough")) == [429]
    store.close()


def test_service_never_signs_in(tmp_path: Path) -> None:
    store = log_something(tmp_path)
    with changing_people(store, ACTOR) as change:
        change.add_user("bot", is_service=True)
    key = bearer(own_key(store))
    app = create_app(store, ServerSettings(store.root))

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            password = {"password": "long enough"}
            set_password = await client.patch(f"{API}/users/bot", json=password, headers=key)
            sign_in = await client.post(f"{API}/session", json={"name": "bot", **password})
            link = await client.post(f"{API}/users/bot/link", headers=key)
            follow = await client.get(f"/sign-in?token={make_link_token(store.layout, 'bot')}")
            return [answer.status_code for answer in (set_password, sign_in, link, follow)]

    assert asyncio.run(ask()) == [400, 401, 400, 401]
    store.close()


@pytest.mark.parametrize("number", [-1, 2**63, 10**30])
def test_session_number_out_of_range(store: Store, callers: dict[str, dict[str, str]], number: int) -> None:
    app = create_app(store, ServerSettings(store.root))

    async def ask() -> int:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            path = f"{API}/me/sessions/{number}"
            return (await client.delete(path, headers=callers["server admin"])).status_code

    assert asyncio.run(ask()) == 422


def test_values_of_paths_are_known() -> None:
    """A path parameter without a value would make the matrix ask for a literal brace."""
    assert all("{" not in value for value in VALUES.values())


def test_new_key_of_a_user_cannot_be_for_another(tmp_path: Path) -> None:
    store = log_something(tmp_path)
    callers = make_callers(store)
    app = create_app(store, ServerSettings(store.root))

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            body = {"name": "theirs", "user": "root"}
            made = await client.post(f"{API}/keys", json=body, headers=callers["admin of the entity"])
            revoked = await client.delete(f"{API}/keys/1", headers=callers["admin of the entity"])
            return [made.status_code, revoked.status_code]

    assert asyncio.run(ask()) == [403, 404]
    store.close()
