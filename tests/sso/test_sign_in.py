"""Tests of signing in at a real provider of OpenID Connect, and of attacks on it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import FastAPI
from sqlalchemy import select

import tracker
from server.accounts.attempts import COOKIE
from server.accounts.passwords import hash_password
from server.app import create_app
from server.links import ROOT
from server.routes.single_sign_on import own_path
from server.settings import OidcSettings, ServerSettings
from tracker.reading.local import LocalReader
from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import AuditEntry, User
from tracker.store.ingest.people import Actor, changing_people
from tracker.store.store import Store

from .conftest import ADA, PUBLIC, SECRET, Browser, Provider

pytestmark = pytest.mark.sso


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Yield an empty store."""
    opened = open_store(tmp_path / "tracker-store")
    yield opened
    opened.close()


def serve(store: Store, provider: Provider, **more: Any) -> FastAPI:
    """Return an application with the provider."""
    settings = OidcSettings(provider.issuer, "tracker", more.pop("secret", SECRET), **more)
    return create_app(store, ServerSettings(store.root, url=PUBLIC, oidc=settings))


@pytest.fixture
def browser(store: Store, provider: Provider) -> Browser:
    """Return a browser of a server with the provider."""
    return Browser(serve(store, provider))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, running: Provider) -> Iterator[tuple[Store, FastAPI]]:
    """Yield a store without users and its application, for tests in which no sign-in succeeds."""
    opened = open_store(tmp_path_factory.mktemp("empty") / "tracker-store")
    yield opened, serve(opened, running)
    opened.close()


def users(store: Store) -> dict[str, tuple[str | None, bool]]:
    """Return the subject of each user, and whether it is an administrator, by name."""
    with store.reading() as session:
        return {user.name: (user.subject, user.is_admin) for user in session.scalars(select(User))}


def text_of(answer: Any, status: int = 403) -> str:
    """Return the line on a page of an error."""
    assert answer.status_code == status, answer.text
    assert "location" not in answer.headers
    assert "tracker_session" not in answer.headers.get("set-cookie", "")
    found = re.search(r"<p>(.*?)</p>", answer.text)
    assert found is not None
    return found[1]


def test_first_sign_in_creates_the_user(store: Store, provider: Provider, browser: Browser) -> None:
    place = {"name": "Single sign-on", "url": "/tracker/sign-in/oidc", "problem": None}
    assert browser.open(f"{PUBLIC}/api/v1/session").json()["sign_in"] == [place]
    start = browser.open(f"{PUBLIC}/sign-in/oidc?next=/tracker/team/demo?run=1")
    cookie = start.headers["set-cookie"].lower()
    for flag in ("httponly", "samesite=lax", "secure", "path=/tracker/sign-in/oidc;", "max-age=600"):
        assert flag in cookie
    query = parse_qs(urlsplit(start.headers["location"]).query)
    assert query["code_challenge_method"] == ["S256"]
    assert query["redirect_uri"] == [f"{PUBLIC}/sign-in/oidc/callback"]
    assert {"state", "nonce", "code_challenge"} <= query.keys()

    done = browser.sign_in(query="?next=/tracker/team/demo?run=1")
    assert done.status_code == 303
    assert done.headers["location"] == "/tracker/team/demo?run=1"
    session = next(each for each in done.headers.get_list("set-cookie") if "tracker_session=" in each)
    assert "samesite=strict" in session.lower()
    assert COOKIE not in browser.cookies
    assert browser.user() == "ada"
    with store.reading() as reading:
        (ada,) = reading.scalars(select(User))
        assert (ada.issuer, ada.subject) == (provider.issuer, "1")
        assert (ada.full_name, ada.email, ada.password) == ("Ada Lovelace", "ada@lab.example", None)
        log = reading.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [(entry.action, entry.actor, entry.address) for entry in log] == [
        ("add_user", "ada", "203.0.113.9"),
        ("set_role", "ada", "203.0.113.9"),
        ("sign_in", "ada", "203.0.113.9"),
    ]
    assert log[-1].detail == "oidc"

    # Issuer and subject identify the person, not the name.
    provider.configure(accounts={"1": {**ADA, "preferred_username": "countess"}, "2": ADA})
    other = Browser(browser._app)
    other.sign_in()
    assert other.user() == "ada"
    assert "belongs to another user" in text_of(Browser(browser._app).sign_in("2"))
    assert users(store) == {"ada": ("1", False)}


@pytest.mark.parametrize(("alg", "secret"), [("ES256", SECRET), ("RS256", None)])
def test_other_algorithm_and_public_client(
    store: Store, provider: Provider, alg: str, secret: str | None
) -> None:
    provider.configure(alg=alg, secret=secret)
    browser = Browser(serve(store, provider, secret=secret))
    assert browser.sign_in().status_code == 303
    assert browser.user() == "ada"


def test_attacks_on_the_browser(store: Store, browser: Browser) -> None:
    victim, attacker = browser, Browser(browser._app)
    # The attacker gives the victim a link with the attacker's code.
    link = attacker.until_callback("2")
    assert "not started in this browser" in text_of(victim.open(link))
    victim.until_callback()
    assert "not started in this browser" in text_of(victim.open(link))
    # A wrong, a missing and a foreign state; a changed cookie.
    callback = victim.until_callback()
    code = parse_qs(urlsplit(callback).query)["code"][0]
    for query in (f"?code={code}", f"?code={code}&state=", f"?code={code}&state=wrong", "", "?state=\u00e4"):
        assert "not started in this browser" in text_of(victim.open(f"{PUBLIC}/sign-in/oidc/callback{query}"))
        assert COOKIE not in victim.cookies
    callback = victim.until_callback()
    kept = victim.cookies[COOKIE]
    for changed in ("", ".", "a.b", kept[:-1], f"a{kept}", kept.rpartition(".")[0], f"{kept}0"):
        other = Browser(browser._app)
        other.cookies.set(COOKIE, changed, "lab.example", "/tracker/sign-in/oidc")
        assert "not started in this browser" in text_of(other.open(callback))
    # An answer of another provider.
    mixed = re.sub(r"iss=[^&]+", "iss=https%3A%2F%2Fevil.example", callback)
    assert mixed != callback
    assert "another provider" in text_of(victim.open(mixed))
    assert users(store) == {}


def test_code_works_once(store: Store, browser: Browser) -> None:
    callback = browser.until_callback()
    thief = Browser(browser._app)
    thief.cookies = type(browser.cookies)(browser.cookies)
    assert browser.open(callback).status_code == 303
    assert "refuses the sign-in: invalid_grant" in text_of(thief.open(callback))
    # A code without the verifier of its attempt.
    code = parse_qs(urlsplit(Browser(browser._app).until_callback()).query)["code"][0]
    state = parse_qs(urlsplit(thief.until_callback()).query)["state"][0]
    answer = thief.open(f"{PUBLIC}/sign-in/oidc/callback?code={code}&state={state}")
    assert "refuses the sign-in: invalid_grant" in text_of(answer)


def test_old_attempt_and_a_server_that_was_started_again(
    store: Store, provider: Provider, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    callback = browser.until_callback()
    browser._app = serve(store, provider)
    assert "not started in this browser" in text_of(browser.open(callback))
    callback = browser.until_callback()
    now = time.time()
    monkeypatch.setattr("server.accounts.attempts.time.time", lambda: now + 601)
    assert "older than 10 minutes" in text_of(browser.open(callback))


def test_person_who_refuses_at_the_provider(browser: Browser) -> None:
    start = browser.open(f"{PUBLIC}/sign-in/oidc")
    state = parse_qs(urlsplit(start.headers["location"]).query)["state"][0]
    answer = browser.open(f"{PUBLIC}/sign-in/oidc/callback?error=access_denied&state={state}")
    assert text_of(answer) == "The provider has not signed you in: access_denied"
    start = browser.open(f"{PUBLIC}/sign-in/oidc")
    state = parse_qs(urlsplit(start.headers["location"]).query)["state"][0]
    answer = browser.open(f"{PUBLIC}/sign-in/oidc/callback?error=<b>&error_description=<b>&state={state}")
    assert text_of(answer) == "The provider has not signed you in: unknown reason"


HOUR_AGO = int(time.time()) - 3600


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        ({"claims": {"nonce": "another"}}, "nonce"),
        ({"claims": {"nonce": None}}, "nonce"),
        ({"claims": {"aud": "another client"}}, "aud"),
        ({"claims": {"aud": ["tracker", "another client"]}}, "azp"),
        ({"claims": {"azp": "another client"}}, "azp"),
        ({"claims": {"iss": "https://evil.example"}}, "iss"),
        ({"claims": {"iss": None}}, "iss"),
        ({"claims": {"exp": HOUR_AGO}}, "exp"),
        ({"claims": {"exp": None}}, "exp"),
        ({"claims": {"nbf": HOUR_AGO + 7200}}, "not yet valid"),
        ({"claims": {"iat": None}}, "iat"),
        ({"claims": {"sub": None}}, "sub"),
        ({"claims": {"sub": ["1"]}}, ""),
        ({"claims": {"sub": ""}}, ""),
        ({"claims": {"at_hash": "d3Jvbmc"}}, "at_hash"),
        ({"key": "none"}, ""),
        ({"key": "none", "header": {"alg": "None"}}, ""),
        ({"key": "none", "header": {"alg": "nOnE"}}, ""),
        ({"key": "secret", "secret": SECRET}, ""),
        ({"key": "other"}, ""),
        ({"key": "other", "header": {"kid": "unknown"}}, ""),
        ({"key": "own", "header": {"kid": "unknown"}}, ""),
    ],
)
def test_forged_tokens_are_refused(
    empty: tuple[Store, FastAPI], provider: Provider, forge: dict[str, Any], reason: str
) -> None:
    store, app = empty
    browser = Browser(app)
    provider.configure(forge=forge)
    text = text_of(browser.sign_in())
    assert text.startswith("The provider has sent a token ")
    assert reason in text
    assert browser.user() is None
    assert users(store) == {}


def test_token_that_the_provider_itself_signs_again_is_accepted(provider: Provider, browser: Browser) -> None:
    provider.configure(forge={"claims": {"extra": 1}})  # shows that the tests above forge what they say
    assert browser.sign_in().status_code == 303
    provider.configure(forge={"claims": {"aud": ["tracker", "api"], "azp": "tracker"}})
    assert browser.sign_in().status_code == 303


def test_new_keys_of_the_provider_are_fetched(provider: Provider, browser: Browser) -> None:
    assert browser.sign_in().status_code == 303
    browser.cookies.clear()
    for alg in ("RS256", "ES256"):
        provider.configure(alg=alg, new_keys=True)
        assert Browser(browser._app).sign_in().status_code == 303


def test_userinfo_of_another_person_is_refused(provider: Provider, browser: Browser) -> None:
    provider.configure(userinfo={"sub": "2", "preferred_username": "root"})
    assert "another person" in text_of(browser.sign_in())


@pytest.mark.parametrize(
    ("discovery", "reason"),
    [
        ({"issuer": "https://evil.example"}, "has the issuer &#x27;https://evil.example&#x27;"),
        ({"token_endpoint": "http://evil.example/token"}, "which is not https"),
        ({"jwks_uri": "file:///etc/passwd"}, "which is not https"),
        ({"authorization_endpoint": None}, "which is not https"),
    ],
)
def test_wrong_description_of_the_provider(
    provider: Provider, browser: Browser, discovery: dict[str, Any], reason: str
) -> None:
    provider.configure(discovery=discovery)
    assert reason in text_of(browser.open(f"{PUBLIC}/sign-in/oidc"), 502)


def test_names_that_a_new_person_cannot_have(
    store: Store, provider: Provider, browser: Browser, tmp_path: Path
) -> None:
    with changing_people(store, Actor("test")) as change:
        change.add_user("ada", password=hash_password("long enough"))
        change.add_user("root", is_admin=True)
    settings = {"store": store.root, "silent": True, "journal_only": True}
    with tracker.init(entity="team", project="demo", settings=settings) as run:
        run.log({"x": 1})
    LocalReader(store).projects()
    mail = {"email": "bob@lab.example"}
    provider.configure(
        accounts={
            "1": ADA,
            "2": {**ADA, "preferred_username": "ADA"},
            "3": {**ADA, "preferred_username": "team"},
            "4": {**ADA, "preferred_username": "../ada"},
            "5": {},
            "6": {**mail, "email_verified": False},
            "7": {**mail, "email_verified": True},
        }
    )
    for login, reason in {
        "1": "The name ada belongs to another user",
        "2": "The name ADA belongs to another user",
        "3": "The name team belongs to an entity with projects",
        "4": "which is not a valid user name here",
        "5": "names no preferred_username and no email of you",
        "6": "has not verified your mail address",
    }.items():
        assert reason in text_of(Browser(browser._app).sign_in(login))
    assert users(store) == {"ada": (None, False), "root": (None, True)}
    other = Browser(browser._app)
    assert other.sign_in("7").status_code == 303
    assert other.user() == "bob@lab.example"


def test_disabled_user_is_refused(store: Store, browser: Browser) -> None:
    browser.sign_in()
    with changing_people(store, Actor("test")) as change:
        change.add_user("root", is_admin=True)
        change.edit_user("ada", disabled=True)
    assert browser.user() is None
    assert "User ada is disabled" in text_of(Browser(browser._app).sign_in())
    with store.reading() as session:
        (entry,) = session.scalars(select(AuditEntry).where(AuditEntry.action == "sign_in_failed"))
    assert (entry.actor, entry.address) == ("ada", "203.0.113.9")


def test_claim_decides_who_is_an_administrator(store: Store, provider: Provider) -> None:
    app = serve(store, provider, admin="groups=leads", scopes="openid profile email groups")

    def sign_in(**groups: Any) -> dict[str, tuple[str | None, bool]]:
        provider.configure(accounts={"1": {**ADA, **groups}})
        assert Browser(app).sign_in().status_code == 303
        return users(store)

    assert sign_in(groups=["others"])["ada"] == ("1", False)
    assert sign_in(groups=["others", "leads"])["ada"] == ("1", True)
    assert sign_in()["ada"] == ("1", True)  # the last administrator
    with changing_people(store, Actor("test")) as change:
        change.add_user("root", is_admin=True)
    assert sign_in()["ada"] == ("1", False)
    assert sign_in(groups="leads")["ada"] == ("1", True)
    assert sign_in(groups="leaders")["ada"] == ("1", False)
    assert users(store)["root"] == (None, True)


def test_user_with_a_password_uses_the_provider_from_now_on(
    store: Store, provider: Provider, browser: Browser
) -> None:
    provider.configure(accounts={"1": ADA, "2": {**ADA, "preferred_username": "carl"}})
    with changing_people(store, Actor("test")) as change:
        change.add_user("ada", password=hash_password("long enough"))
        change.add_user("bob", password=hash_password("long enough"))
    assert "Sign in with your password first" in text_of(browser.open(f"{PUBLIC}/sign-in/oidc?link=true"))

    def with_password(name: str) -> Browser:
        found = Browser(browser._app)
        body = {"name": name, "password": "long enough"}
        assert found.open(f"{PUBLIC}/api/v1/session", "POST", json=body).status_code == 204
        return found

    ada = with_password("ada")
    foreign = {"Sec-Fetch-Site": "same-site"}
    assert "password first" in text_of(ada.open(f"{PUBLIC}/sign-in/oidc?link=true", headers=foreign))
    assert ada.sign_in(query="?link=true").status_code == 303
    assert users(store) == {"ada": ("1", False), "bob": (None, False)}
    assert browser.sign_in().status_code == 303
    assert browser.user() == "ada"
    assert "Another user" in text_of(with_password("bob").sign_in(query="?link=true"))
    ada.cookies.clear("127.0.0.1")  # signs out at the provider
    assert "another person of the provider already" in text_of(ada.sign_in("2", query="?link=true"))


def test_link_of_a_deleted_user_does_not_reach_the_next_user(
    store: Store, provider: Provider, browser: Browser
) -> None:
    """The number of a deleted user is given again."""
    with changing_people(store, Actor("test")) as change:
        number = change.add_user("ada", password=hash_password("long enough")).id
    body = {"name": "ada", "password": "long enough"}
    assert browser.open(f"{PUBLIC}/api/v1/session", "POST", json=body).status_code == 204
    back = browser.until_callback(query="?link=true")
    with changing_people(store, Actor("test")) as change:
        change.delete_user("ada")
        assert change.add_user("bob", is_admin=True).id == number
    assert "not signed in any more" in text_of(browser.open(back))
    assert users(store) == {"bob": (None, True)}


@pytest.mark.parametrize(
    "path",
    [
        *("https://evil.example/", "//evil.example/", "/\\evil.example", "/tracker/\\evil.example", "evil"),
        *("/", "/other", "/tracker", "/tracker/../other", "/tracker/%2e%2e/other", "/tracker/a\r\nb", ""),
        *("javascript:alert(1)", "/tracker//../../x", "\u00e4"),
    ],
)
def test_redirect_leads_to_own_pages_only(path: str) -> None:
    ROOT.set("/tracker")
    assert own_path(path) == "/tracker/"
    for own in ("/tracker/team/demo?run=1&x=%2F#part", "/tracker/"):
        assert own_path(own) == own
