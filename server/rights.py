"""Rules of routes: who may call them. Each route of the API has one.

The middleware ``KnownCaller`` has found the caller before a rule is asked.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request

from server.accounts.callers import Caller
from server.known_projects import KnownProjects
from tracker.errors import AuthenticationError, ForbiddenError, NotFoundError
from tracker.ground.people import Key, Role

# The dashboard sends this header with every change. The server lets no other origin send it.
PAGE_HEADER = "x-tracker-dashboard"
# Routes that change nothing. They use POST because a list of runs can be longer than a URL.
READING_POSTS = re.compile(r"/projects/[^/]+/[^/]+/(branches|chart|curves|distribution|metrics|objects)\Z")


async def get_caller(request: Request) -> Caller:
    """Return the caller of this request.

    Raises:
        AuthenticationError: The route is open, and the caller has no valid key and is not signed in.
    """
    caller: Caller | None = request.scope.get("tracker.caller")
    if caller is None:
        raise AuthenticationError(refusal(request))
    return caller


CallerDep = Annotated[Caller, Depends(get_caller)]


class Rule:
    """A dependency of routes that refuses callers. ``name`` identifies the rule in the tests.

    Args:
        name: Name of the rule.
        check: Raises an error if the caller of a request is refused.
        role: The role that the caller needs in the project or entity of the address; None if the rule does
            not depend on it.
    """

    def __init__(
        self, name: str, check: Callable[[Request, Caller], Awaitable[None]], role: Role | None
    ) -> None:
        self.name = name
        self.role = role
        self._check = check

    async def __call__(self, request: Request) -> None:
        """Refuse the request, or do nothing."""
        await self._check(request, await get_caller(request))


def _of_project(name: str, role: Role) -> Any:
    """Return a dependency that requires a role in the project of the address."""

    async def check(request: Request, caller: Caller) -> None:
        place = request.path_params["entity"], request.path_params["project"]
        known: KnownProjects = request.app.state.known_projects
        if caller.rights.reads_private(*place) or (
            caller.rights.role(*place) is not None and known.remembers(*place)
        ):
            require_role(caller, role, *place)
        else:
            await run_in_threadpool(require_project, request, role, *place)

    return Depends(Rule(name, check, role))


async def _accept(_request: Request, _caller: Caller) -> None:
    """Accept every caller."""


async def _check_sender(request: Request, caller: Caller) -> None:
    request.app.state.check_writable()  # a sender learns at its first request that it cannot send
    if caller.rights.scope != "write":
        raise ForbiddenError(READS_ONLY)
    if not caller.rights.writes_somewhere:
        raise ForbiddenError("You are writer of no project. Ask an administrator of a project.")


async def _check_server_admin(_request: Request, caller: Caller) -> None:
    if not caller.rights.is_admin:
        raise ForbiddenError("This needs an administrator of the server.")


async def _check_entity_admin(request: Request, caller: Caller) -> None:
    require_role(caller, "admin", request.path_params["entity"], "")


READS_ONLY = "This API key can only read. Use a key with the scope write."
# A project that the caller can read, change, or whose members the caller can edit.
Reader = _of_project("reader", "viewer")
Writer = _of_project("writer", "writer")
ProjectAdmin = _of_project("project admin", "admin")
# Every caller. The route itself answers only about projects that the caller can read.
SignedIn = Depends(Rule("signed in", _accept, None))
# A caller that may send runs to some project. The route itself checks the projects of the runs.
Sender = Depends(Rule("sender", _check_sender, None))
ServerAdmin = Depends(Rule("server admin", _check_server_admin, None))
# An admin of the entity of the address.
EntityAdmin = Depends(Rule("entity admin", _check_entity_admin, "admin"))


def _unknown(place: str) -> NotFoundError:
    return NotFoundError(f"there is no project {place} that you can read")


def require_role(caller: Caller, needed: Role, entity: str, project: str) -> None:
    """Check that a caller has a role in a project.

    Args:
        caller: The caller.
        needed: The role.
        entity: Entity of the project.
        project: Name of the project, which need not exist; empty for the whole entity.

    Raises:
        NotFoundError: The caller cannot read the project. The error does not tell whether it exists.
        ForbiddenError: The caller can read the project, but does not have the role.
    """
    rights = caller.rights
    if rights.may(needed, entity, project):
        return
    place = f"{entity}/{project}" if project else entity
    own = rights.role(entity, project)
    if own is None:
        raise _unknown(place)
    if rights.scope == "read":
        raise ForbiddenError(READS_ONLY)
    raise ForbiddenError(
        f"You are {own} of {place}. This needs the role {needed}. Ask an administrator of the project."
    )


def require_unlimited(caller: Caller) -> None:
    """Refuse a caller whose key has limits: the key could give access without them.

    Args:
        caller: The caller.

    Raises:
        ForbiddenError: The caller's key has limits.
    """
    rights, key = caller.rights, caller.key
    if rights.scope != "write" or rights.only is not None or (key is not None and key.expires_at is not None):
        raise ForbiddenError("A key with limits cannot do this. Sign in, or use a key without limits.")


def is_own_key(caller: Caller, key: Key) -> bool:
    """Return whether a caller lists a key. A limited key without a user does not list the owner's keys."""
    if caller.user is None and not caller.rights.sees_all:
        return caller.key is not None and key.id == caller.key.id
    return key.user == (None if caller.user is None else caller.user.name)


def require_project(
    request: Request, needed: Role, entity: str, project: str, *, creates: bool = False
) -> None:
    """Check that the caller of a request has a role in a project, and that the project exists.

    Args:
        request: The request.
        needed: The role.
        entity: Entity of the project.
        project: Name of the project.
        creates: Whether the request creates the project if it does not exist.

    Raises:
        NotFoundError: See ``require_existing``.
        ForbiddenError: See ``require_role``.
    """
    caller: Caller = request.scope["tracker.caller"]
    known: KnownProjects = request.app.state.known_projects
    require_existing(caller, known, needed, entity, project, creates=creates)


def require_existing(
    caller: Caller, known: KnownProjects, needed: Role, entity: str, project: str, *, creates: bool
) -> None:
    """Check that a caller has a role in a project, and that the project exists.

    A caller with a role in the whole entity, but not in its private projects, gets the same answer for a
    private project and for one that does not exist, after the same query.

    Args:
        caller: The caller.
        known: The projects that exist.
        needed: The role.
        entity: Entity of the project.
        project: Name of the project.
        creates: Whether the request creates the project if it does not exist.

    Raises:
        NotFoundError: See ``require_role``; or the project does not exist.
        ForbiddenError: See ``require_role``.
    """
    rights = caller.rights
    if not rights.reads_private(entity, project):
        hidden = rights.role(entity, project) is None
        exists = (not hidden and known.remembers(entity, project)) or known.find(entity, project)
        if hidden or not (exists or (creates and rights.may(needed, entity, project))):
            raise _unknown(f"{entity}/{project}")
    require_role(caller, needed, entity, project)


def changes(request: HTTPConnection) -> bool:
    """Return whether a request changes data, from its method and address."""
    method, path = request.scope["method"], request.scope["path"]
    reads = method in ("GET", "HEAD", "OPTIONS") or (method == "POST" and READING_POSTS.search(path))
    return not reads


def check_origin(request: HTTPConnection) -> None:
    """Check that a change from a signed-in browser comes from the dashboard.

    The cookie alone is not enough, because a page of another site can make a browser send it. Only a page of
    this server can add the header.

    Raises:
        AuthenticationError: The header is missing, or a page of another address sends the request.
    """
    url: str | None = request.app.state.settings.url
    own = {request.headers.get("host", "").lower(), urlsplit(url or "").netloc.lower()} - {""}
    origin = request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc.lower() not in own
    if foreign or not request.headers.get(PAGE_HEADER):
        raise AuthenticationError(
            "A change from a browser needs the page of this server. Use the dashboard, or send an API key."
        )


def refusal(request: HTTPConnection) -> str:
    """Return the text for a caller without access."""
    if request.headers.get("authorization"):
        return "Invalid API key. Check TRACKER_API_KEY. `tracker key` on the server creates a key."
    return "API key missing. Set TRACKER_API_KEY, or sign in. `tracker key` on the server creates a key."
