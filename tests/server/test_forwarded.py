"""Tests of a server behind a proxy that names the client's address, the scheme and the user."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select

import tracker
from server import keys
from server.accounts.callers import COOKIE
from server.accounts.passwords import hash_password
from server.app import API, create_app
from server.settings import ServerSettings
from tracker.errors import UsageError
from tracker.reading.local import LocalReader
from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import AuditEntry, BrowserSession, User
from tracker.store.ingest.people import Actor, changing_people
from tracker.store.store import Store

PROXY, OTHER = "10.0.0.5", "10.0.0.6"
USER = "X-Remote-User"


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a closed store with one run of the entity ``team``."""
    folder = tmp_path_factory.mktemp("logged") / "tracker-store"
    settings = {"store": folder, "silent": True, "journal_only": True}
    with tracker.init(entity="team", project="demo", id="run", settings=settings) as run:
        run.log({"x": 1})
    opened = open_store(folder)
    LocalReader(opened).projects()
    keys.own_key(opened)
    opened.close()
    return folder


@pytest.fixture
def store(logged: Path, tmp_path: Path) -> Iterator[Store]:
    """Yield a copy of this store."""
    opened = open_store(shutil.copytree(logged, tmp_path / "tracker-store"))
    yield opened
    opened.close()


@pytest.fixture
def app(store: Store) -> FastAPI:
    """Return an application whose proxy names the user."""
    return create_app(store, ServerSettings(store.root, proxies=PROXY, trusted_header=USER))


def send(app: FastAPI, method: str, path: str, peer: str = PROXY, **more: Any) -> httpx.Response:
    """Return the answer to a request from an address."""
    transport = httpx.ASGITransport(app, client=(peer, 4242))

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, API + path, **more)

    return asyncio.run(ask())


def sign_in(app: FastAPI, store: Store, peer: str, *headers: tuple[str, str]) -> tuple[str, bool]:
    """Sign in with a key; return the address that the server stores, and whether the cookie is secure."""
    answer = send(app, "POST", "/session", peer, json={"key": keys.own_key(store)}, headers=list(headers))
    assert answer.status_code == 204
    with store.reading() as session:
        address = session.scalars(select(BrowserSession.address).order_by(BrowserSession.id.desc())).first()
    assert address is not None
    return address, "Secure" in answer.headers["set-cookie"]


FOR, PROTO = "X-Forwarded-For", "X-Forwarded-Proto"


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "address"),
    [
        (PROXY, PROXY, ["203.0.113.9"], "203.0.113.9"),
        (PROXY, PROXY, ["203.0.113.9:5555"], "203.0.113.9"),
        (PROXY, PROXY, ["[2001:db8::9]:5555"], "2001:db8::9"),
        (PROXY, PROXY, ["2001:db8::9"], "2001:db8::9"),
        (PROXY, "::ffff:10.0.0.5", ["203.0.113.9"], "203.0.113.9"),
        # A client sends the header itself: only what the pinned proxies have added counts.
        (PROXY, PROXY, ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        (PROXY, PROXY, ["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
        (PROXY, PROXY, ["127.0.0.1, 203.0.113.9"], "203.0.113.9"),
        (f"{PROXY},10.1.0.0/24", PROXY, ["203.0.113.9, 10.1.0.7"], "203.0.113.9"),
        (f"{PROXY},10.1.0.0/24", PROXY, ["10.1.0.8, 10.1.0.7"], "10.1.0.8"),
        (PROXY, PROXY, ["unknown"], PROXY),
        (PROXY, PROXY, ["<script>, "], PROXY),
        (PROXY, PROXY, [], PROXY),
        (PROXY, OTHER, ["203.0.113.9"], OTHER),
        ("127.0.0.1", OTHER, ["203.0.113.9"], OTHER),
        ("127.0.0.1", "127.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        (None, "127.0.0.1", ["203.0.113.9"], "127.0.0.1"),
    ],
)
def test_address_of_the_client(
    store: Store, proxies: str | None, peer: str, forwarded: list[str], address: str
) -> None:
    app = create_app(store, ServerSettings(store.root, proxies=proxies))
    assert sign_in(app, store, peer, *((FOR, each) for each in forwarded))[0] == address


@pytest.mark.parametrize(
    ("proxies", "peer", "secure"),
    [(None, "127.0.0.1", True), (None, OTHER, False), (PROXY, PROXY, True), (PROXY, "127.0.0.1", False)],
)
def test_scheme_is_taken_from_proxies_only(
    store: Store, proxies: str | None, peer: str, secure: bool
) -> None:
    app = create_app(store, ServerSettings(store.root, proxies=proxies))
    assert sign_in(app, store, peer, (PROTO, "https"))[1] == secure
    assert not sign_in(app, store, peer, (PROTO, "gopher"))[1]


def test_limit_of_attempts_counts_clients_behind_a_proxy_apart(store: Store) -> None:
    app = create_app(store, ServerSettings(store.root, proxies=PROXY))

    def attempt(forwarded: str) -> int:
        return send(app, "POST", "/session", json={"key": "wrong"}, headers={FOR: forwarded}).status_code

    # The client cannot get new attempts with an address that it sends itself.
    statuses = [attempt(f"198.51.100.{number}, 203.0.113.9") for number in range(11)]
    assert statuses == [401] * 10 + [429]
    assert attempt("203.0.113.10") == 401


def session_of(answer: httpx.Response) -> tuple[bool, str | None]:
    """Return whether the caller is signed in, and the name of its user."""
    assert answer.status_code == 200, answer.text
    return answer.json()["signed_in"], answer.json()["user"]


def test_proxy_names_the_user_who_appears_at_first_sight(store: Store, app: FastAPI) -> None:
    named = {USER: "ada@lab.org"}
    assert session_of(send(app, "GET", "/session", headers=named)) == (True, "ada@lab.org")
    assert session_of(send(app, "GET", "/session")) == (False, None)
    run = "/projects/team/demo/runs/run"
    assert send(app, "GET", run, headers=named).status_code == 404
    with changing_people(store, Actor("test")) as change:
        assert change.user("ada@lab.org").password is None
        change.set_role("ada@lab.org", "team", "demo", "writer")
        (entry,) = change.session.scalars(select(AuditEntry).where(AuditEntry.action == "add_user"))
        assert (entry.actor, entry.address) == ("ada@lab.org", PROXY)
    assert send(app, "GET", run, headers=named).status_code == 200
    # The rules for browsers hold: a page of another site cannot make the browser change data.
    edit = {"json": {"notes": "edited"}}
    assert send(app, "PATCH", run, headers=named, **edit).status_code == 401
    page = {**named, "X-Tracker-Dashboard": "1"}
    assert (
        send(app, "PATCH", run, headers={**page, "Origin": "https://evil.example"}, **edit).status_code == 401
    )
    assert send(app, "PATCH", run, headers={**page, "Origin": "http://localhost"}, **edit).status_code == 200


def test_header_from_other_addresses_is_ignored_and_logged_once(
    store: Store, app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for peer in (OTHER, "127.0.0.1", "::1", "10.0.0.50"):
            for headers in ({USER: "ada"}, {USER: "ada", FOR: PROXY}):
                assert session_of(send(app, "GET", "/session", peer, headers=headers)) == (False, None)
                assert send(app, "GET", "/projects", peer, headers=headers).status_code == 401
    assert [record.getMessage() for record in caplog.records if "Ignored" in record.getMessage()] == [
        f"Ignored the header x-remote-user of {OTHER}, which is not an address of --proxy."
    ]
    with store.reading() as session:
        assert session.scalars(select(User)).all() == []


@pytest.mark.parametrize(
    "values",
    [
        ["ada", "bob"],
        ["ada", "ada"],
        [""],
        ["(null)"],
        ["ada, bob"],
        ["-ada"],
        ["../ada"],
        ["ada lovelace"],
        ["a" * 65],
        ["ad\u00e4"],
    ],
)
def test_odd_names_from_the_proxy_are_refused(store: Store, app: FastAPI, values: list[str]) -> None:
    headers = [(USER, value.encode()) for value in values]
    for path in ("/session", "/projects"):
        answer = send(app, "GET", path, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["detail"].startswith("The proxy has ")
    with store.reading() as session:
        assert session.scalars(select(User)).all() == []


def test_name_of_another_user_or_of_an_entity(store: Store, app: FastAPI) -> None:
    with changing_people(store, Actor("test")) as change:
        change.add_user("ada", password=hash_password("long enough"))
        change.add_user("root", is_admin=True)
        change.add_user("gone")
        change.edit_user("gone", disabled=True)
        change.set_role("root", "lab", "", "viewer")  # before the first run of this entity
    # The proxy is trusted: the user with a password is the same user.
    assert session_of(send(app, "GET", "/session", headers={USER: "ada"})) == (True, "ada")
    for name, status, reason in (
        ("Ada", 409, "belongs to another user"),
        ("team", 409, "belongs to an entity with projects"),
        ("lab", 409, "belongs to an entity with projects or roles"),
        ("gone", 401, "User gone is disabled or a service."),
    ):
        answer = send(app, "GET", "/projects", headers={USER: name})
        assert answer.status_code == status
        assert reason in answer.json()["detail"]
    with store.reading() as session:
        assert set(session.scalars(select(User.name))) == {"ada", "root", "gone"}


def test_key_takes_precedence_over_the_user_of_the_proxy(store: Store, app: FastAPI) -> None:
    with changing_people(store, Actor("test")) as change:
        change.add_user("bob")
        key = change.add_key("bob")[1]
    bearer = {"Authorization": f"Bearer {key}"}
    assert session_of(send(app, "GET", "/session", headers={USER: "ada", **bearer})) == (True, "bob")
    # nginx passes on the name and the password that the browser has sent to it.
    basic = httpx.BasicAuth("ada", "password of the proxy")._auth_header
    answer = send(app, "GET", "/session", headers={USER: "ada", "Authorization": basic})
    assert session_of(answer) == (True, "ada")
    assert session_of(send(app, "GET", "/session", headers={"Authorization": basic})) == (False, None)


def test_cookie_of_another_user_does_not_hide_the_user_of_the_proxy(store: Store, app: FastAPI) -> None:
    answer = send(app, "POST", "/session", json={"key": keys.own_key(store)})
    cookie = {"Cookie": f"{COOKIE}={answer.cookies[COOKIE]}"}
    assert session_of(send(app, "GET", "/session", headers=cookie)) == (True, None)
    assert session_of(send(app, "GET", "/session", headers={**cookie, USER: "ada"})) == (True, "ada")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"proxies": "proxy.example"}, "Invalid proxy: 'proxy.example'"),
        ({"proxies": "10.0.0.5/8"}, "Invalid proxy: 10.0.0.5/8 has host bits set"),
        ({"proxies": ""}, "Invalid proxy: ''"),
        ({"trusted_header": USER}, "--trusted-header needs --proxy"),
        ({"trusted_header": "Cookie", "proxies": PROXY}, "Invalid header 'Cookie'"),
        ({"trusted_header": "x-forwarded-for", "proxies": PROXY}, "Invalid header"),
        ({"trusted_header": "X User", "proxies": PROXY}, "Invalid header"),
        ({"trusted_header": USER, "proxies": PROXY, "no_key": True}, "leave out --trusted-header"),
    ],
)
def test_invalid_settings_are_refused(tmp_path: Path, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        ServerSettings(tmp_path, **settings)
