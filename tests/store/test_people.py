"""Users, roles, private projects and keys: the rules of rights, ``people.json``, and a lost catalog."""

from __future__ import annotations

import itertools
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import scripts
from builders import Writer, apply_all, seal_all
from rebuilding import again, lose_catalog
from sqlalchemy import func, select, update

from tracker.cli.store_checks import Finding, examine
from tracker.errors import ConflictError, NotFoundError, StoreError, StoreVersionError, UsageError
from tracker.ground import values
from tracker.ground.people import ROLES, Rights, Role, Scope, as_role
from tracker.ground.settings import load_settings
from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import ApiKey, AuditEntry, BrowserSession, Upload, User
from tracker.store.ingest.people import (
    LARGEST_KEYS,
    Actor,
    PeopleChange,
    changing_people,
    collect_people,
    hash_secret,
)
from tracker.store.ingest.uploads import note_proven
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import check_description
from tracker.store.published.people import read_people
from tracker.store.queries.people import load_people, people_revision
from tracker.store.recovery.open_catalog import hold_exclusively
from tracker.store.recovery.rebuild import rebuild
from tracker.store.recovery.verify import list_items, verify
from tracker.store.store import Store

TEST = Actor("test", "10.0.0.1")
LEVELS: tuple[Role | None, ...] = (None, *ROLES)
HERE, OTHER = ("lab", "demo"), ("lab", "other")


def level(role: Role | None) -> int:
    return LEVELS.index(role)


CASES = list(
    itertools.product((False, True), LEVELS, LEVELS, (False, True), ("read", "write"), (None, HERE, OTHER))
)


@pytest.mark.parametrize(("everything", "own", "of_entity", "private", "scope", "only"), CASES)
def test_rights_in_every_situation(
    everything: bool,
    own: Role | None,
    of_entity: Role | None,
    private: bool,
    scope: Scope,
    only: tuple[str, str] | None,
) -> None:
    roles = {place: role for place, role in ((HERE, own), (("lab", ""), of_entity), (OTHER, "admin")) if role}
    rights = Rights(everything, roles, frozenset({HERE}) if private else frozenset(), scope, only)
    expected = 0
    if only != OTHER:
        expected = max(level(own), level(of_entity) if not private or of_entity == "admin" else 0)
        expected = 3 if everything else expected
        expected = min(expected, 1 if scope == "read" else 3)
    assert level(rights.role(*HERE)) == expected
    assert [rights.may(role, *HERE) for role in ROLES] == [expected >= 1, expected >= 2, expected >= 3]
    whole = 0 if only else 3 if everything else level(of_entity)
    assert level(rights.entity_role("lab")) == min(whole, 1 if scope == "read" else 3)
    assert rights.sees_all == (everything and only is None)
    assert rights.is_admin == (everything and only is None and scope == "write")
    assert (rights.role("elsewhere", "demo") is not None) == rights.sees_all


def test_names_of_roles() -> None:
    assert [as_role(name) for name in ("viewer", "writer", "admin")] == [*ROLES]
    assert [as_role(name) for name in ("Admin", "none", "")] == [None] * 3


def change(store: Store, do: Callable[[PeopleChange], Any]) -> Any:
    """Make a change of people and return the result of ``do``."""
    with changing_people(store, TEST) as people:
        return do(people)


def fill(store: Store) -> str:
    """Add users, roles, a private project and keys; return a key."""
    with changing_people(store, TEST) as people:
        people.add_user("ann", full_name="Ann \u00c4", email="ann@example.org", is_admin=True)
        people.edit_user("ann", password="$argon2id$x")
        people.add_user("bob", identity=("https://issuer.example", "subject 1"))
        people.add_user("robot", is_service=True)
        people.set_role("bob", "null", "null", "viewer")
        people.set_private("null", "null", True)
        people.edit_user("bob", disabled=True)
        people.add_key(None, name="old")
        people.add_key("robot", scope="read", only=("null", "null"), expires_at=time.time() + 1000.5)
        return people.add_key("ann", name="laptop")[1]


def people_of(store: Store) -> Any:
    """Return users, roles, private projects and keys, with hashes."""
    with store.reading() as session:
        return msgspec.to_builtins(collect_people(session))


def written(store: Store) -> Any:
    """Return the content of ``people.json``."""
    return msgspec.to_builtins(read_people(store.layout))


def log_run(store: Store) -> None:
    writer = Writer(store.layout, "a1" * 16, project="demo")
    writer.finish()
    apply_all(store)
    seal_all(store)


def count(store: Store, table: type[AuditEntry] | type[BrowserSession] | type[Upload] | type[ApiKey]) -> int:
    with store.reading() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def add_session(store: Store, name: str) -> None:
    """Sign a browser of a user in."""
    with store.writing() as session:
        user = session.scalar(select(User.id).where(User.name == name))
        rest: dict[str, Any] = {"how": "link", "address": "", "agent": ""}
        times = {"created_at": 1.0, "expires_at": 2e9, "last_used_at": 1.0}
        session.add(BrowserSession(sha256=hash_secret(name), user_id=user, **times, **rest))


def test_the_file_has_what_the_catalog_has(store: Store) -> None:
    with store.reading() as session:
        before = people_revision(session)
    key = fill(store)
    assert written(store) == people_of(store)
    assert stat.S_IMODE(store.layout.people.stat().st_mode) == 0o600
    assert key not in store.layout.people.read_text()
    assert (check_description(store.layout) or {})["people"] is True
    with store.reading() as session:
        assert people_revision(session) == before + 1
        assert load_people(session).revision == before + 1
    change(store, lambda people: people.set_role("ann", "lab", "", "admin"))
    assert written(store) == people_of(store)


def test_a_failed_change_changes_nothing(store: Store) -> None:
    fill(store)
    before, file, entries = people_of(store), store.layout.people.read_bytes(), count(store, AuditEntry)
    with pytest.raises(ConflictError), changing_people(store, TEST) as people:
        people.add_user("carol")
        people.edit_user("ann", disabled=True)  # the last administrator
    assert (people_of(store), store.layout.people.read_bytes()) == (before, file)
    assert count(store, AuditEntry) == entries


def test_a_user_who_is_deleted_leaves_no_rights(store: Store) -> None:
    fill(store)
    change(store, lambda people: people.add_user("carol", is_admin=True))
    add_session(store, "ann")
    add_session(store, "carol")
    change(store, lambda people: people.delete_user("ann"))
    found = people_of(store)
    assert [user["name"] for user in found["users"]] == ["bob", "robot", "carol"]
    ids = {user["id"] for user in found["users"]}
    assert {member["user_id"] for member in found["members"]} <= ids
    assert {key["user_id"] for key in found["keys"]} <= {*ids, None}
    assert len(found["keys"]) == 2
    assert count(store, BrowserSession) == 1
    with pytest.raises(ConflictError, match="needs an administrator"):
        change(store, lambda people: people.delete_user("carol"))
    for name in ("bob", "robot", "carol"):
        change(store, lambda people, name=name: people.delete_user(name))
    assert people_of(store)["users"] == []


def test_a_user_who_is_deleted_leaves_no_proofs(store: Store) -> None:
    """The numbers of a deleted user and of its keys are given again."""
    fill(store)
    with changing_people(store, Actor("test")) as people:
        user, key = people.user("bob").id, people.add_key("bob", only=("lab", "demo"))[0].id
        for holder in (user, -key):
            note_proven(people.session, holder, ["ab" * 32])
    change(store, lambda people: people.delete_user("bob"))
    assert count(store, Upload) == 0


def test_a_new_user_does_not_take_over_a_prepared_entity(store: Store) -> None:
    """A role or a private project can be set before the first run creates the project."""
    change(store, lambda people: people.add_user("ann"))
    change(store, lambda people: people.set_role("ann", "team", "", "writer"))
    change(store, lambda people: people.set_private("lab", "secret", True))
    for name in ("team", "lab"):
        change(store, lambda people, name=name: people.add_user(name))
    with store.reading() as session:
        found = [(each.user, each.entity) for each in load_people(session).members()]
    assert found == [("ann", "ann"), ("ann", "team")]


def test_a_store_without_administrator_can_lose_other_users(store: Store) -> None:
    """The owner of the store and keys without a user administrate it."""
    for name in ("ann", "bob"):
        change(store, lambda people, name=name: people.add_user(name))
    change(store, lambda people: people.edit_user("ann", disabled=True))
    change(store, lambda people: people.delete_user("ann"))
    assert [user["name"] for user in people_of(store)["users"]] == ["bob"]


def test_a_new_user_owns_an_entity_of_its_name_without_projects(store: Store) -> None:
    log_run(store)
    for name in ("team", "ann"):
        change(store, lambda people, name=name: people.add_user(name))
    with store.reading() as session:
        assert [(each.user, each.entity) for each in load_people(session).members()] == [("ann", "ann")]


def test_a_new_password_and_a_disabled_user_end_the_sessions(store: Store) -> None:
    fill(store)
    for fields in ({"password": "$argon2id$y"}, {"disabled": True}):
        change(store, lambda people: people.add_user("carol"))
        add_session(store, "carol")
        change(store, lambda people: people.edit_user("carol", email="c@example.org"))
        assert count(store, BrowserSession) == 1
        change(store, lambda people, fields=fields: people.edit_user("carol", **fields))
        assert count(store, BrowserSession) == 0
        change(store, lambda people: people.delete_user("carol"))


INVALID: list[tuple[Callable[[PeopleChange], Any], type[Exception], str]] = [
    (lambda people: people.add_user("-x"), UsageError, "Invalid user name '-x'"),
    (lambda people: people.add_user("x" * 65), UsageError, "Invalid user name"),
    (lambda people: people.add_user("a/b"), UsageError, "Invalid user name"),
    (lambda people: people.add_user("x", full_name="a\nb"), UsageError, "Invalid full name"),
    (lambda people: people.add_user("x", email="a" * 201), UsageError, "Invalid mail address"),
    (lambda people: people.set_role("ann", "lab", "", "owner"), UsageError, "Invalid role 'owner'"),
    (lambda people: people.set_role("ann", "a/b", "", "viewer"), UsageError, "Invalid"),
    (lambda people: people.set_private("lab", "a:b", True), UsageError, "Invalid"),
    (lambda people: people.add_key("ann", scope="admin"), UsageError, "Invalid scope 'admin'"),
    (lambda people: people.add_key("ann", expires_at=1.0), UsageError, "Invalid end 1.0"),
    (lambda people: people.add_key("ann", only=("lab", "a/b")), UsageError, "Invalid"),
    (lambda people: people.edit_user("eve"), NotFoundError, "there is no user 'eve'"),
    (lambda people: people.revoke_key(99), NotFoundError, "there is no key 99"),
]


def test_invalid_changes_are_refused(store: Store) -> None:
    fill(store)
    before = people_of(store)
    for do, error, message in INVALID:
        with pytest.raises(error, match=message):
            change(store, do)
    assert people_of(store) == before


def test_a_user_has_a_limited_number_of_keys(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store)
    monkeypatch.setattr("tracker.store.ingest.people.LARGEST_KEYS", 3)
    assert LARGEST_KEYS > 3
    for _ in range(2):
        change(store, lambda people: people.add_key("ann"))
    with pytest.raises(UsageError, match="has 3 keys, the limit"):
        change(store, lambda people: people.add_key("ann"))


LOST = ["nothing", "the catalog", "the catalog without runs", "half of the catalog", "everything in it"]


@pytest.mark.parametrize("lost", LOST)
def test_people_survive_a_rebuild(store: Store, lost: str) -> None:
    fill(store)
    if lost != "the catalog without runs":
        log_run(store)
    add_session(store, "ann")
    with store.writing() as session:
        session.execute(update(ApiKey).where(ApiKey.name == "old").values(last_used_at=5.5))
    before, entries = people_of(store), count(store, AuditEntry)
    if lost == "nothing":
        found_store, found = again(store)
        assert (found.users, found.keys, found.audited, found.broken) == (3, 3, True, [])
    elif lost.startswith("the catalog"):
        lose_catalog(store)
        found_store = open_store(store.root)
    else:
        store.close()
        content = store.layout.catalog.read_bytes()
        kept = content[: len(content) // 2] if lost.startswith("half") else b"garbage"
        store.layout.catalog.write_bytes(kept)
        found_store, found = again(store)
        assert (found.users, found.keys, found.audited) == (3, 3, False)
    assert people_of(found_store) == before == written(found_store)
    assert count(found_store, BrowserSession) == 0
    assert count(found_store, AuditEntry) == (entries if lost == "nothing" else 0)
    with found_store.reading() as session:
        uses = session.scalars(select(ApiKey.last_used_at).order_by(ApiKey.id)).all()
    assert uses == [5.5 if lost == "nothing" else None, None, None]
    change(found_store, lambda people: people.add_user("carol"))
    assert written(found_store) == people_of(found_store) != before
    found_store.close()


DAMAGED: dict[str, Callable[[Path], Any]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "of another kind": lambda path: path.write_text('{"format": 1, "users": {}}'),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_store_with_people_is_not_opened_without_them(
    store: Store, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(store)
    log_run(store)
    lose_catalog(store)
    DAMAGED[damage](store.layout.people)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"people\.json.*Restore the file from a backup\. Or ") as seen:
            open_store(store.root)
        assert "\n" not in seen.value.message
        with pytest.raises(StoreError, match=r"people\.json"), hold_exclusively(store.layout) as hold:
            rebuild(store.layout, hold)
        assert list(store.root.glob("catalog*")) == []
    assert [finding.good for finding in findings(store)] == [False]
    with hold_exclusively(store.layout) as hold:
        found = rebuild(store.layout, hold, without_people=True)
    assert (found.runs, found.users, found.keys) == (1, 0, None)
    assert store.layout.people.with_name("people.json.broken").exists() == (damage != "missing")
    reopened = open_store(store.root)
    assert people_of(reopened)["users"] == []
    fill(reopened)
    reopened.close()
    assert capsys.readouterr().err == ""


def findings(store: Store) -> list[Finding]:
    """Return the findings of ``tracker doctor`` about people."""
    return [each for each in examine(load_settings(store=store.root)) if each.name == "people"]


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_readable_catalog_restores_the_file(store: Store, damage: str) -> None:
    fill(store)
    log_run(store)
    before, file = people_of(store), store.layout.people.read_bytes()
    DAMAGED[damage](store.layout.people)
    assert [finding.good for finding in findings(store)] == [False]
    rebuilt, found = again(store)
    assert (found.users, found.keys) == (3, 3)
    assert people_of(rebuilt) == before
    assert rebuilt.layout.people.read_bytes() == file
    assert findings(rebuilt) == [Finding("people", True, "3 users, 3 API keys")]
    rebuilt.close()


def test_a_missing_file_is_written_when_the_store_is_opened(store: Store) -> None:
    fill(store)
    store.close()
    file = store.layout.people.read_bytes()
    store.layout.people.unlink()
    open_store(store.root).close()
    assert store.layout.people.read_bytes() == file


def test_a_catalog_from_an_old_backup_gets_the_users(store: Store) -> None:
    log_run(store)
    store.close()
    old = store.layout.catalog.read_bytes()
    store = open_store(store.root)
    fill(store)
    before = people_of(store)
    lose_catalog(store)
    store.layout.catalog.write_bytes(old)
    store = open_store(store.root)
    assert people_of(store) == before
    lose_catalog(store)
    store.layout.catalog.write_bytes(old)
    store.layout.people.unlink()
    with pytest.raises(StoreError, match=r"people\.json is missing"):
        open_store(store.root)
    with pytest.raises(StoreError, match=r"people\.json"), hold_exclusively(store.layout) as hold:
        rebuild(store.layout, hold)


def test_a_newer_file_is_refused_and_nothing_changed(store: Store) -> None:
    fill(store)
    log_run(store)
    lose_catalog(store)
    described = values.loads(store.layout.people.read_bytes())
    store.layout.people.write_text(values.dumps({**described, "format": 99}))
    for requested in (False, True):
        with pytest.raises(StoreVersionError, match=r"people\.json has format 99"):
            if requested:
                with hold_exclusively(store.layout) as hold:
                    rebuild(store.layout, hold, without_people=True)
            else:
                open_store(store.root)
    assert list(store.root.glob("catalog*")) == []


# Adds a user, and kills itself after people.json is written and before the transaction is committed.
KILLED = """
import os, signal, sys
from sqlalchemy import Engine, event
from tracker.recorder.open_store import open_store
from tracker.store.ingest.people import Actor, changing_people
store = open_store(sys.argv[1], create=False)
event.listen(Engine, "commit", lambda connection: os.kill(os.getpid(), signal.SIGKILL))
with changing_people(store, Actor("test")) as people:
    people.add_user(sys.argv[2], is_admin=True)
"""


def kill_while_adding(store: Store, name: str) -> None:
    command = [sys.executable, "-c", KILLED, str(store.root), name]
    done = subprocess.run(command, env=scripts.environment(), check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL


def user_names(found: Any) -> list[str]:
    return [user["name"] for user in found["users"]]


def test_killed_between_the_file_and_the_commit(store: Store) -> None:
    change(store, lambda people: people.add_user("ann", is_admin=True))
    kill_while_adding(store, "bob")
    assert user_names(written(store)) == ["ann", "bob"]
    store.close()
    store = open_store(store.root)
    assert user_names(people_of(store)) == ["ann"]
    change(store, lambda people: people.add_user("carol"))
    assert written(store) == people_of(store)
    assert user_names(written(store)) == ["ann", "carol"]
    kill_while_adding(store, "dora")
    lose_catalog(store)  # the rebuild completes the change
    store = open_store(store.root)
    assert user_names(people_of(store)) == ["ann", "carol", "dora"]
    store.close()


def test_killed_while_the_first_user_is_added(store: Store) -> None:
    kill_while_adding(store, "ann")
    assert user_names(people_of(store)) == []
    store.close()
    store = open_store(store.root)  # completes the change, as store.json names users
    assert user_names(people_of(store)) == ["ann"]
    assert written(store) == people_of(store)
    store.close()


def test_verify_checks_the_file(store: Store) -> None:
    fill(store)
    faults: list[str] = []
    items = list_items(store)
    assert store.layout.people in [item.path for item in items]
    verified = verify(store, items, faults.append, lambda _: None)
    assert (faults, verified.unchecked) == ([], {})
    store.layout.people.write_text(store.layout.people.read_text().replace("laptop", "desktop"))
    verify(store, list_items(store), faults.append, lambda _: None)
    (fault,) = faults
    assert "people.json: its checksum does not match" in fault


def test_a_store_without_people_has_no_file(store: Store) -> None:
    log_run(store)
    rebuilt, found = again(store)
    assert (found.users, found.keys) == (0, 0)
    assert not Layout(store.root).people.exists()
    assert findings(rebuilt) == []
    rebuilt.close()
