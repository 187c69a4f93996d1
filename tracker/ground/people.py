"""Users, roles and keys of a server, as plain records, and the rules of their rights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

# From the least to the most rights. An admin also edits the members of the project or entity.
Role = Literal["viewer", "writer", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
Scope = Literal["read", "write"]
ProjectPath = tuple[str, str]
# The name of the key of the owner of the store, and of this caller.
OWNER = "owner"


@dataclass(frozen=True, slots=True)
class User:
    """A person or a service.

    Attributes:
        id: Number of the user.
        name: Name for signing in.
        full_name: Name to show; may be empty.
        email: Mail address; may be empty.
        is_service: Whether this is a program and not a person: it has keys and no password.
        is_admin: Whether the user administrates the whole server.
        has_password: Whether the user has a password of this server.
        created_at: Time in unix seconds.
        disabled_at: Time since which the user has no access, in unix seconds; None if it has access.
    """

    id: int
    name: str
    full_name: str
    email: str
    is_service: bool
    is_admin: bool
    has_password: bool
    created_at: float
    disabled_at: float | None


@dataclass(frozen=True, slots=True)
class Key:
    """An API key without its secret.

    Attributes:
        id: Number of the key.
        user: Name of its user; None for a key with all rights.
        name: Name that the user gave it.
        scope: ``read`` or ``write``.
        entity: Entity of the only project that the key reaches; None for all projects of the user.
        project: Name of this project.
        created_at: Time in unix seconds.
        expires_at: Time in unix seconds; None if the key does not expire.
        last_used_at: Time in unix seconds, exact to a minute; None if it was never used.
    """

    id: int
    user: str | None
    name: str
    scope: Scope
    entity: str | None
    project: str | None
    created_at: float
    expires_at: float | None
    last_used_at: float | None


@dataclass(frozen=True, slots=True)
class Member:
    """The role of a user in a project, or in a whole entity if ``project`` is empty."""

    user: str
    entity: str
    project: str
    role: Role


@dataclass(frozen=True, slots=True)
class Rights:
    """The rights of a caller.

    Attributes:
        everything: Whether the caller is an administrator of the server.
        roles: The caller's roles by entity and project. An empty project means the whole entity.
        private: The private projects of the server. Only their own members and admins of their entity see
            them.
        scope: ``read`` if the caller's key may only read.
        only: The only project that the caller's key reaches; None for no such limit.
    """

    everything: bool = False
    roles: Mapping[ProjectPath, Role] = field(default_factory=dict)
    private: frozenset[ProjectPath] = frozenset()
    scope: Scope = "write"
    only: ProjectPath | None = None

    def role(self, entity: str, project: str) -> Role | None:
        """Return the caller's role in a project, which need not exist; None for no access."""
        if self.only is not None and self.only != (entity, project):
            return None
        if self.everything:
            found: Role | None = "admin"
        else:
            own, of_entity = self.roles.get((entity, project)), self.roles.get((entity, ""))
            if (entity, project) in self.private and of_entity != "admin":
                of_entity = None
            found = max((own, of_entity), key=_rank)
        return "viewer" if found is not None and self.scope == "read" else found

    def entity_role(self, entity: str) -> Role | None:
        """Return the caller's role in a whole entity; None for no role."""
        return self.role(entity, "")

    def may(self, needed: Role, entity: str, project: str) -> bool:
        """Return whether the caller has a role, or a higher one, in a project.

        Args:
            needed: The role.
            entity: Entity of the project.
            project: Name of the project.
        """
        return _rank(self.role(entity, project)) >= _rank(needed)

    def reads_private(self, entity: str, project: str) -> bool:
        """Return whether the caller could read a project if it were private."""
        return replace(self, private=frozenset({(entity, project)})).role(entity, project) is not None

    @property
    def writes_somewhere(self) -> bool:
        """Whether the caller may write to any project."""
        places = self.roles if self.only is None else (self.only,)
        return self.is_admin or any(self.may("writer", *place) for place in places)

    @property
    def sees_all(self) -> bool:
        """Whether the caller can read every project."""
        return self.everything and self.only is None

    @property
    def is_admin(self) -> bool:
        """Whether the caller may administrate the server: users, all keys, the audit log."""
        return self.sees_all and self.scope == "write"


def as_role(text: str) -> Role | None:
    """Return the role with this name, or None."""
    return next((role for role in ROLES if role == text), None)


def _rank(role: Role | None) -> int:
    return -1 if role is None else ROLES.index(role)
