"""Routes for users, keys, roles, browser sessions and the audit log."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from sqlalchemy import select
from starlette.responses import Response

from server import account_answers as answers
from server import keys
from server.account_bodies import Access, KeyWanted, NewUser, OwnChange, RoleWanted, UserChange
from server.accounts.browser_sessions import end_session
from server.accounts.callers import Accounts, Caller, actor_of, address_of
from server.accounts.passwords import check_password, hash_password
from server.accounts.sign_in_limit import SignInLimit
from server.answers import Done
from server.links import ROOT
from server.responses import LARGEST_NUMBER, ExactJSON
from server.rights import (
    CallerDep,
    EntityAdmin,
    ProjectAdmin,
    Reader,
    ServerAdmin,
    SignedIn,
    is_own_key,
    require_unlimited,
)
from server.routing import api_router
from server.settings import ServerSettings
from tracker.errors import ForbiddenError, NotFoundError, UsageError
from tracker.ground.people import Key, Member, User
from tracker.store.catalog.models import AuditEntry, BrowserSession
from tracker.store.ingest.people import PeopleChange, changing_people
from tracker.store.queries.people import People, find_audit
from tracker.store.store import Store

router = api_router(tags=["people"])


class AccountRequest:
    """A request of a caller about users, keys or roles.

    Args:
        request: The request.
        caller: The caller.
    """

    def __init__(self, request: Request, caller: Caller) -> None:
        self.request = request
        self.caller = caller
        self.store: Store = request.app.state.store
        self.settings: ServerSettings = request.app.state.settings

    def people(self) -> People:
        """Return all users, keys and roles."""
        accounts: Accounts = self.request.app.state.accounts
        return accounts.people()

    def changing(self) -> AbstractContextManager[PeopleChange]:
        """Open a transaction that changes people. It writes its own entries of the audit log."""
        self.request.scope["tracker.noted"] = True
        return changing_people(self.store, actor_of(self.caller, self.request))


async def _asked(request: Request, caller: CallerDep) -> AccountRequest:
    return AccountRequest(request, caller)


AskedDep = Annotated[AccountRequest, Depends(_asked)]

Limit = Annotated[int, Query(ge=1, le=1000)]
Number = Annotated[int, Path(ge=0, le=LARGEST_NUMBER)]
Before = Annotated[int | None, Query(ge=0, le=LARGEST_NUMBER)]


# --- the caller ---------------------------------------------------------------------------------------------


@router.get("/me", response_model=answers.Account, dependencies=[SignedIn])
def get_account(asked: AskedDep) -> Response:
    """Return the caller, with the roles of its user."""
    user = asked.caller.user
    roles = [each for each in asked.people().members() if user is not None and each.user == user.name]
    return ExactJSON(
        answers.Account(
            asked.caller.name, user, asked.caller.rights.is_admin, asked.caller.rights.scope, roles
        )
    )


@router.patch("/me", response_model=User, dependencies=[SignedIn])
def edit_account(asked: AskedDep, body: OwnChange) -> Response:
    """Change the caller's own name, mail address or password. A new password ends all other sessions.

    \f
    Args:
        asked: The request.
        body: The new values.
    """
    user = _require_user(asked.caller)
    require_unlimited(asked.caller)
    given = {key: value for key, value in body.given().items() if value is not None}
    current = given.pop("current_password", None)
    if "password" in given:
        if user.has_password and not _is_from_link(asked):
            _check_current(asked, user, current or "")
        given["password"] = hash_password(given["password"])
    with asked.changing() as change:
        change.edit_user(user.name, keep_session=asked.caller.session, **given)
    return ExactJSON(asked.people().users[user.id])


@router.get("/me/sessions", response_model=answers.SessionList, dependencies=[SignedIn])
def list_sessions(asked: AskedDep) -> Response:
    """List the browser sessions of the caller's user, the last started first."""
    if asked.caller.user is None and not asked.caller.rights.sees_all:
        return ExactJSON(answers.SessionList([]))  # those without a user are the owner's
    with asked.store.reading() as session:
        rows = session.scalars(
            select(BrowserSession)
            .where(BrowserSession.user_id == (asked.caller.user and asked.caller.user.id))
            .where(BrowserSession.expires_at > time.time())
            .order_by(BrowserSession.id.desc())
        ).all()
    found = [
        answers.Session(
            row.id,
            row.created_at,
            row.last_used_at,
            row.expires_at,
            row.how,
            row.address,
            row.agent,
            row.id == asked.caller.session,
        )
        for row in rows
    ]
    return ExactJSON(answers.SessionList(found))


@router.delete("/me/sessions/{session_id}", response_model=Done, dependencies=[SignedIn])
def end_own_session(asked: AskedDep, session_id: Number) -> Response:
    """End a browser session of the caller's user."""
    require_unlimited(asked.caller)
    with asked.store.reading() as session:
        row = session.get(BrowserSession, session_id)
    if row is None or row.user_id != (asked.caller.user and asked.caller.user.id):
        raise NotFoundError(f"there is no session {session_id}")
    end_session(asked.store, session_id)
    return ExactJSON(Done())


# --- keys ---------------------------------------------------------------------------------------------------


@router.get("/keys", response_model=answers.KeyList, dependencies=[SignedIn])
def list_keys(asked: AskedDep, everyone: bool = False) -> Response:
    """List the caller's own API keys. With ``everyone``, list the keys of all users, for administrators.

    \f
    Args:
        asked: The request.
        everyone: Whether to list the keys of all users.
    """
    if everyone and not asked.caller.rights.is_admin:
        raise ForbiddenError("This needs an administrator of the server.")
    found = [key for key in asked.people().keys.values() if everyone or is_own_key(asked.caller, key)]
    return ExactJSON(answers.KeyList(found))


@router.post("/keys", response_model=answers.NewKey, status_code=201, dependencies=[SignedIn])
def create_key(asked: AskedDep, body: KeyWanted) -> Response:
    """Create an API key. The answer contains the key, which cannot be shown again.

    \f
    Args:
        asked: The request.
        body: The limits of the key.
    """
    require_unlimited(asked.caller)
    own = None if asked.caller.user is None else asked.caller.user.name
    if body.user is not None and body.user != own and not asked.caller.rights.is_admin:
        raise ForbiddenError("Only an administrator of the server creates keys for other users.")
    if (body.entity is None) != (body.project is None):
        raise UsageError("Invalid project. Send both entity and project, or none of them.")
    only = None if body.entity is None or body.project is None else (body.entity, body.project)
    with asked.changing() as change:
        row, secret = change.add_key(
            body.user or own, name=body.name, scope=body.scope, only=only, expires_at=body.expires_at
        )
        number = row.id
    return ExactJSON(answers.NewKey(_key(asked, number), secret), status_code=201)


@router.delete("/keys/{key_id}", response_model=Done, dependencies=[SignedIn])
def revoke_key(asked: AskedDep, key_id: int) -> Response:
    """Revoke an API key, and end the browser sessions that it signed in.

    \f
    Args:
        asked: The request.
        key_id: Number of the key.
    """
    require_unlimited(asked.caller)
    own = None if asked.caller.user is None else asked.caller.user.name
    if _key(asked, key_id).user != own and not asked.caller.rights.is_admin:
        raise NotFoundError(f"there is no key {key_id}")
    with asked.changing() as change:
        change.revoke_key(key_id)
    return ExactJSON(Done())


# --- users --------------------------------------------------------------------------------------------------


@router.get("/users", response_model=answers.UserList, dependencies=[ServerAdmin])
def list_users(asked: AskedDep) -> Response:
    """List all users by name."""
    return ExactJSON(answers.UserList(list(asked.people().users.values())))


@router.post("/users", response_model=User, status_code=201, dependencies=[ServerAdmin])
def add_user(asked: AskedDep, body: NewUser) -> Response:
    """Add a user, who becomes the admin of an entity with its name, unless this entity has projects.

    \f
    Args:
        asked: The request.
        body: The user.
    """
    given = body.model_dump()
    if body.password is not None or body.is_admin:
        require_unlimited(asked.caller)
    if body.password is not None:
        if body.is_service:
            raise UsageError("A service has keys and no password. Leave the password out.")
        given["password"] = hash_password(body.password)
    with asked.changing() as change:
        number = change.add_user(given.pop("name"), **given).id
    return ExactJSON(asked.people().users[number], status_code=201)


@router.patch("/users/{user_name}", response_model=User, dependencies=[ServerAdmin])
def edit_user(
    asked: AskedDep,
    user_name: str,
    body: UserChange,
) -> Response:
    """Change a user. To disable a user, or to set a password, ends the user's sessions.

    \f
    Args:
        asked: The request.
        user_name: Name of the user.
        body: The new values.
    """
    given = {key: value for key, value in body.given().items() if value is not None}
    if "password" in given or given.get("is_admin"):
        require_unlimited(asked.caller)
    if "password" in given:
        given["password"] = hash_password(given["password"])
    with asked.changing() as change:
        number = change.edit_user(user_name, **given).id
    return ExactJSON(asked.people().users[number])


@router.delete("/users/{user_name}", response_model=Done, dependencies=[ServerAdmin])
def delete_user(asked: AskedDep, user_name: str) -> Response:
    """Delete a user with its roles, keys and sessions. The runs stay.

    \f
    Args:
        asked: The request.
        user_name: Name of the user.
    """
    with asked.changing() as change:
        change.delete_user(user_name)
    return ExactJSON(Done())


@router.post("/users/{user_name}/link", response_model=answers.SignInLink, dependencies=[ServerAdmin])
def create_link(asked: AskedDep, user_name: str) -> Response:
    """Create a link that signs the user in, once, within 15 minutes. The user can then set a password.

    \f
    Args:
        asked: The request.
        user_name: Name of the user.
    """
    require_unlimited(asked.caller)
    with asked.changing() as change:
        change.person(user_name)
        change.note("create_link", f"user {user_name}")
    token = keys.make_link_token(asked.store.layout, user_name)
    base = (
        asked.settings.url
        or f"{asked.request.url.scheme}://{asked.request.headers.get('host', '')}{ROOT.get()}"
    )
    url = f"{base.rstrip('/')}/sign-in?token={token}"
    return ExactJSON(answers.SignInLink(url, time.time() + keys.LINK_SECONDS))


# --- roles --------------------------------------------------------------------------------------------------


@router.get("/projects/{entity}/{project}/members", response_model=answers.MemberList, dependencies=[Reader])
def list_members(asked: AskedDep, entity: str, project: str) -> Response:
    """List the members of a project and of its entity.

    \f
    Args:
        asked: The request.
        entity: Entity of the project.
        project: Name of the project.
    """
    return ExactJSON(_members(asked, entity, project))


@router.put(
    "/projects/{entity}/{project}/members/{user_name}", response_model=Member, dependencies=[ProjectAdmin]
)
def set_role(
    asked: AskedDep,
    entity: str,
    project: str,
    user_name: str,
    body: RoleWanted,
) -> Response:
    """Give a user a role in a project.

    \f
    Args:
        asked: The request.
        entity: Entity of the project.
        project: Name of the project.
        user_name: Name of the user.
        body: The role.
    """
    with asked.changing() as change:
        change.set_role(user_name, entity, project, body.role)
    return ExactJSON(Member(user_name, entity, project, body.role))


@router.delete(
    "/projects/{entity}/{project}/members/{user_name}", response_model=Done, dependencies=[ProjectAdmin]
)
def remove_role(asked: AskedDep, entity: str, project: str, user_name: str) -> Response:
    """Take a user's role in a project away. A role in the entity stays.

    \f
    Args:
        asked: The request.
        entity: Entity of the project.
        project: Name of the project.
        user_name: Name of the user.
    """
    with asked.changing() as change:
        change.set_role(user_name, entity, project, None)
    return ExactJSON(Done())


@router.get(
    "/projects/{entity}/{project}/access", response_model=answers.ProjectAccess, dependencies=[Reader]
)
def get_access(request: Request, asked: AskedDep, entity: str, project: str) -> Response:
    """Return the caller's role in a project. In a read-only store, it is ``viewer``.

    \f
    Args:
        request: The request.
        asked: The request and its caller.
        entity: Entity of the project.
        project: Name of the project.
    """
    role = asked.caller.rights.role(entity, project)
    assert role is not None, "the rule of the route refuses a caller without a role"
    if request.app.state.settings.in_place or asked.store.layout.is_copy:
        role = "viewer"
    return ExactJSON(answers.ProjectAccess(role, (entity, project) in asked.people().private))


@router.patch(
    "/projects/{entity}/{project}/access", response_model=answers.MemberList, dependencies=[ProjectAdmin]
)
def set_access(
    asked: AskedDep,
    entity: str,
    project: str,
    body: Access,
) -> Response:
    """Make a project private to its own members, or visible to all members of its entity again.

    \f
    Args:
        asked: The request.
        entity: Entity of the project.
        project: Name of the project.
        body: Whether the project is private.
    """
    with asked.changing() as change:
        change.set_private(entity, project, body.private)
    return ExactJSON(_members(asked, entity, project))


@router.get("/entities/{entity}/members", response_model=answers.MemberList, dependencies=[EntityAdmin])
def list_entity_members(asked: AskedDep, entity: str) -> Response:
    """List the members of an entity and of all its projects."""
    found = [each for each in asked.people().members() if each.entity == entity]
    return ExactJSON(answers.MemberList(False, found))


@router.put("/entities/{entity}/members/{user_name}", response_model=Member, dependencies=[EntityAdmin])
def set_entity_role(asked: AskedDep, entity: str, user_name: str, body: RoleWanted) -> Response:
    """Give a user a role in all projects of an entity, except the private ones.

    \f
    Args:
        asked: The request.
        entity: The entity.
        user_name: Name of the user.
        body: The role. An ``admin`` has access to private projects too.
    """
    with asked.changing() as change:
        change.set_role(user_name, entity, "", body.role)
    return ExactJSON(Member(user_name, entity, "", body.role))


@router.delete("/entities/{entity}/members/{user_name}", response_model=Done, dependencies=[EntityAdmin])
def remove_entity_role(asked: AskedDep, entity: str, user_name: str) -> Response:
    """Take a user's role in an entity away. Roles in its projects stay.

    \f
    Args:
        asked: The request.
        entity: The entity.
        user_name: Name of the user.
    """
    with asked.changing() as change:
        change.set_role(user_name, entity, "", None)
    return ExactJSON(Done())


# --- the audit log ------------------------------------------------------------------------------------------


@router.get("/audit", response_model=answers.AuditPage, dependencies=[ServerAdmin])
def list_audit(
    asked: AskedDep, actor: str = "", target: str = "", before: Before = None, limit: Limit = 100
) -> Response:
    """List the changes that were made through the server and the command line, the newest first.

    \f
    Args:
        asked: The request.
        actor: Return only changes of this user.
        target: Return only changes whose target begins with this text.
        before: Return only entries with a smaller number.
        limit: Largest number of entries.
    """
    return ExactJSON(_audit(asked.store, actor, target, before, limit))


@router.get(
    "/projects/{entity}/{project}/audit", response_model=answers.AuditPage, dependencies=[ProjectAdmin]
)
def list_project_audit(
    asked: AskedDep, entity: str, project: str, before: Before = None, limit: Limit = 100
) -> Response:
    """List the changes of a project, the newest first.

    \f
    Args:
        asked: The request.
        entity: Entity of the project.
        project: Name of the project.
        before: Return only entries with a smaller number.
        limit: Largest number of entries.
    """
    return ExactJSON(_audit(asked.store, "", f"{entity}/{project}", before, limit, whole=True))


def _audit(
    store: Store, actor: str, target: str, before: int | None, limit: int, whole: bool = False
) -> answers.AuditPage:
    with store.reading() as session:
        rows = find_audit(session, actor=actor, target=target, before=before, limit=limit, whole=whole)
        found = [_audit_entry(row) for row in rows]
    return answers.AuditPage(found)


def _audit_entry(row: AuditEntry) -> answers.AuditEntry:
    return answers.AuditEntry(row.id, row.time, row.actor, row.address, row.action, row.target, row.detail)


def _members(asked: AccountRequest, entity: str, project: str) -> answers.MemberList:
    people = asked.people()
    found = [each for each in people.members() if each.entity == entity and each.project in ("", project)]
    return answers.MemberList((entity, project) in people.private, found)


def _key(asked: AccountRequest, number: int) -> Key:
    found = next((key for key in asked.people().keys.values() if key.id == number), None)
    if found is None:
        raise NotFoundError(f"there is no key {number}")
    return found


def _require_user(caller: Caller) -> User:
    if caller.user is None:
        raise UsageError("This caller has no user. Sign in as a user, or use a key of a user.")
    return caller.user


def _check_current(asked: AccountRequest, user: User, password: str) -> None:
    limit: SignInLimit = asked.request.app.state.sign_in_limit
    address = address_of(asked.request)
    if limit.begin(address, user.name):
        raise ForbiddenError("Too many wrong passwords. Try again in some minutes.")
    if check_password(asked.store, user.name, password) != user.id:
        raise ForbiddenError("The current password is wrong. Send it as current_password.")
    limit.succeed(address, user.name)


def _is_from_link(asked: AccountRequest) -> bool:
    """Return whether a link has just signed the browser in."""
    if asked.caller.session is None:
        return False
    with asked.store.reading() as session:
        row = session.get(BrowserSession, asked.caller.session)
    return row is not None and row.how == "link" and time.time() - row.created_at < keys.LINK_SECONDS
