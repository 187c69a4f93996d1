"""Users, roles and keys of a server, read at once: a lab has some hundred of them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from tracker.ground.people import Key, Member, ProjectPath, Rights, Role, User
from tracker.store.catalog import models
from tracker.store.catalog.sqlite import Reading, read_rows


@dataclass(frozen=True, slots=True)
class People:
    """All users, keys, roles and private projects at one revision.

    Attributes:
        revision: ``Clock.people_revision``.
        users: Users by number.
        keys: Keys by the SHA-256 of the key.
        roles: Roles by the number of the user, then by entity and project. An empty project means the whole
            entity.
        private: The private projects.
    """

    revision: int
    users: dict[int, User]
    keys: dict[str, Key]
    roles: dict[int, dict[ProjectPath, Role]]
    private: frozenset[ProjectPath]

    def user(self, name: str) -> User | None:
        """Return the user with a name, or None."""
        return next((user for user in self.users.values() if user.name == name), None)

    def members(self) -> list[Member]:
        """Return all roles, by entity, project and user."""
        found = [
            Member(self.users[user].name, entity, project, role)
            for user, roles in self.roles.items()
            for (entity, project), role in roles.items()
        ]
        return sorted(found, key=lambda each: (each.entity, each.project, each.user))

    def rights(self, user: User | None, key: Key | None = None) -> Rights:
        """Return what a user may do, with a key or in a browser.

        Args:
            user: The user; None for the owner of the store, who has all rights.
            key: The key that the caller sent; None for a signed-in browser.
        """
        return Rights(
            everything=user is None or user.is_admin,
            roles={} if user is None else self.roles.get(user.id, {}),
            private=self.private,
            scope="write" if key is None else key.scope,
            only=None if key is None or key.entity is None else (key.entity, key.project or ""),
        )


def people_revision(session: Reading) -> int:
    """Return the number of changes of users, roles and keys."""
    found = read_rows(session, "SELECT people_revision FROM clock")
    return found[0][0] if found else 0


def load_people(session: Session) -> People:
    """Return all users, keys, roles and private projects."""
    users = {
        row.id: User(
            row.id,
            row.name,
            row.full_name,
            row.email,
            row.is_service,
            row.is_admin,
            row.password is not None,
            row.created_at,
            row.disabled_at,
        )
        for row in session.scalars(select(models.User).order_by(models.User.name))
    }
    keys = {
        row.sha256: Key(
            row.id,
            None if row.user_id is None else users[row.user_id].name,
            row.name,
            "read" if row.scope == "read" else "write",
            row.entity,
            row.project,
            row.created_at,
            row.expires_at,
            row.last_used_at,
        )
        for row in session.scalars(select(models.ApiKey).order_by(models.ApiKey.id))
    }
    roles: dict[int, dict[ProjectPath, Role]] = {}
    for member in session.scalars(select(models.Membership)):
        roles.setdefault(member.user_id, {})[member.entity, member.project] = member.role  # type: ignore[assignment]
    private = session.execute(select(models.PrivateProject.entity, models.PrivateProject.project))
    return People(
        people_revision(session), users, keys, roles, frozenset((entity, name) for entity, name in private)
    )


def find_audit(
    session: Session, *, actor: str, target: str, before: int | None, limit: int, whole: bool = False
) -> list[models.AuditEntry]:
    """Return entries of the audit log, the newest first.

    Args:
        session: A read transaction.
        actor: Name of the actor; empty for all.
        target: Beginning of the target; empty for all.
        before: Return only entries with a smaller number; None for all.
        limit: Largest number of entries.
        whole: Whether ``target`` is a whole part of a path, and not the beginning of a longer name.
    """
    table = models.AuditEntry
    query = select(table).order_by(table.id.desc()).limit(limit)
    if actor:
        query = query.where(table.actor == actor)
    if target:
        begins = table.target.startswith(f"{target}/" if whole else target, autoescape=True)
        query = query.where(or_(table.target == target, begins))
    if before is not None:
        query = query.where(table.id < before)
    return list(session.scalars(query))
