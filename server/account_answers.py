"""Records of answers about users, keys, roles and sessions."""

from __future__ import annotations

from dataclasses import dataclass

from tracker.ground.people import Key, Member, Role, Scope, User


@dataclass(frozen=True, slots=True)
class Account:
    """The caller.

    Attributes:
        name: Name of the user, or of the key.
        user: The user; None for the owner of the store, and for a key without a user.
        is_admin: Whether the caller may administrate the server.
        scope: ``read`` if the caller's key may only read.
        roles: Roles of the user. An administrator of the server has all rights without a role.
    """

    name: str
    user: User | None
    is_admin: bool
    scope: Scope
    roles: list[Member]


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser. Times are unix seconds.

    Attributes:
        id: Number of the session.
        created_at: Time of signing in.
        last_used_at: Time of the last request, exact to a minute.
        expires_at: Time when the browser has to sign in again.
        how: ``key``, ``password``, ``link`` or another kind of sign-in.
        address: Address of the browser when it signed in.
        agent: Name of the browser, as it described itself.
        is_current: Whether this request belongs to the session.
    """

    id: int
    created_at: float
    last_used_at: float
    expires_at: float
    how: str
    address: str
    agent: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class SessionList:
    """Sessions of a user, the last started first."""

    sessions: list[Session]


@dataclass(frozen=True, slots=True)
class KeyList:
    """API keys, the oldest first."""

    keys: list[Key]


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new API key. ``secret`` is the key itself, which cannot be shown again."""

    key: Key
    secret: str


@dataclass(frozen=True, slots=True)
class UserList:
    """All users by name."""

    users: list[User]


@dataclass(frozen=True, slots=True)
class SignInLink:
    """A link that signs one browser in, once, until ``expires_at`` (unix seconds)."""

    url: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class ProjectAccess:
    """The caller's role in a project, and whether only members of the project can see it."""

    role: Role
    private: bool


@dataclass(frozen=True, slots=True)
class MemberList:
    """Members of a project and of its entity; the latter have an empty ``project``."""

    private: bool
    members: list[Member]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A change: its time in unix seconds, who made it from where, and what was changed."""

    id: int
    time: float
    actor: str
    address: str
    action: str
    target: str
    detail: str


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries of the audit log, the newest first. Ask for older ones with ``before`` and the last ``id``."""

    entries: list[AuditEntry]
