"""Changes of users, roles, private projects and keys. Each change is in the audit log.

The file ``people.json`` is published before the transaction is committed. If the process is killed in
between, the next change removes the uncommitted one from the file; a rebuild before that completes it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from tracker.errors import ConflictError, NotFoundError, UsageError
from tracker.ground.names import check_entity, check_project
from tracker.ground.people import ROLES, as_role
from tracker.store.catalog.database import check_lease
from tracker.store.catalog.models import (
    ApiKey,
    AuditEntry,
    BrowserSession,
    Clock,
    Membership,
    PrivateProject,
    Project,
    Upload,
    User,
)
from tracker.store.objects.layout import Layout
from tracker.store.published.models import FORMAT
from tracker.store.published.people import (
    PublishedKey,
    PublishedMember,
    PublishedPeople,
    PublishedPrivateProject,
    PublishedUser,
    publish_people,
)
from tracker.store.store import Store

USER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
LONGEST_TEXT = 200
# Longest `detail` of an entry of the audit log, in characters.
LONGEST_DETAIL = 1000
LARGEST_KEYS = 1000
# A key of wandb: letters, digits, _ and -, or three of these with dots between them.
_KEY = re.compile(r"[A-Za-z0-9_-]{40,1000}|[A-Za-z0-9_-]{4,1000}(\.[A-Za-z0-9_-]{4,1000}){2}")


@dataclass(frozen=True, slots=True)
class Actor:
    """The author of a change: a name, and the address of the client. A command line has no address."""

    name: str
    address: str = ""


COMMAND_LINE = Actor("command line")


@contextmanager
def changing_people(store: Store, actor: Actor) -> Iterator[PeopleChange]:
    """Open a transaction that changes users, roles or keys.

    Args:
        store: The store. In a read-only store, the changes are kept while the process has it open.
        actor: The user or program that makes the change.
    """
    with store.writing_keys() as session:
        yield PeopleChange(session, actor)
        clock = session.get(Clock, 1)
        if clock is None:
            clock = Clock(id=1, revision=0, people_revision=0)
            session.add(clock)
        clock.people_revision += 1
        session.flush()
        if not store.layout.is_copy:
            save_people(store.layout, session)


def hash_secret(secret: str) -> str:
    """Return the SHA-256 of a key or a cookie. 160 random bits need no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def note(session: Session, actor: Actor, action: str, target: str, detail: str = "") -> None:
    """Add an entry to the audit log.

    Args:
        session: A write transaction.
        actor: The user or program that made the change.
        action: What was done: the id of the operation of the REST API, or a similar name.
        target: What was changed, such as ``user NAME`` or ``ENTITY/PROJECT/RUN``.
        detail: The new values. They contain no secrets.
    """
    session.add(
        AuditEntry(
            time=time.time(),
            actor=actor.name,
            address=actor.address,
            action=action,
            target=target[:LONGEST_DETAIL],
            detail=detail[:LONGEST_DETAIL],
        )
    )


class PeopleChange:
    """The changes that are possible in a transaction of ``changing_people``.

    Args:
        session: The transaction.
        actor: The user or program that makes the changes.
    """

    def __init__(self, session: Session, actor: Actor) -> None:
        self.session = session
        self._actor = actor

    def add_user(
        self,
        name: str,
        *,
        full_name: str = "",
        email: str = "",
        is_service: bool = False,
        is_admin: bool = False,
        password: str | None = None,
        identity: tuple[str, str] | None = None,
    ) -> User:
        """Add a user. It becomes the admin of an entity with its name, unless there is such an entity.

        Args:
            name: Name for signing in, unique on the server.
            full_name: Name to show.
            email: Mail address.
            is_service: Whether this is a program.
            is_admin: Whether the user administrates the server.
            password: Hash of the password; None for no password.
            identity: Issuer and subject of an OpenID Connect provider; None for a local user.

        Raises:
            UsageError: The name or a text is invalid.
            ConflictError: There is a user with this name.
        """
        if not USER_NAME.fullmatch(name):
            raise UsageError(
                f"Invalid user name {name!r:.80}. Use 1 to 64 letters, digits and . _ @ -; "
                "begin with a letter or a digit."
            )
        if self.session.scalar(select(User.id).where(User.name == name)) is not None:
            raise ConflictError(f"User {name} exists already. Choose another name.")
        issuer, subject = identity or (None, None)
        user = User(
            name=name,
            full_name=_checked("full name", full_name),
            email=_checked("mail address", email),
            is_service=is_service,
            is_admin=is_admin,
            password=password,
            issuer=issuer,
            subject=subject,
            created_at=time.time(),
        )
        self.session.add(user)
        self.session.flush()
        self.note("add_user", f"user {name}", f"admin={is_admin} service={is_service}")
        if not self.has_entity(name):
            self.set_role(name, name, "", "admin")
        return user

    def has_entity(self, name: str) -> bool:
        """Return whether an entity has projects, roles or private projects.

        Roles and private projects can be set before the first run creates a project.
        """
        return any(
            self.session.scalar(select(table.entity).where(table.entity == name).limit(1)) is not None
            for table in (Project, Membership, PrivateProject)
        )

    def user(self, name: str) -> User:
        """Return the row of a user.

        Raises:
            NotFoundError: There is no such user.
        """
        found = self.session.scalar(select(User).where(User.name == name))
        if found is None:
            raise NotFoundError(f"there is no user {name!r:.80}")
        return found

    def person(self, name: str) -> User:
        """Return the row of a user that can sign in.

        Raises:
            NotFoundError: There is no such user.
            UsageError: The user is a service.
        """
        found = self.user(name)
        if found.is_service:
            raise UsageError(f"User {name} is a service, which does not sign in. Create an API key for it.")
        return found

    def edit_user(self, name: str, keep_session: int | None = None, **fields: Any) -> User:
        """Change fields of a user.

        Args:
            name: Name of the user.
            keep_session: Number of a browser session that a new password does not end.
            fields: New values of ``full_name``, ``email``, ``is_admin`` (server administrator), ``disabled``,
                or ``password`` (a hash). A disabled user and a new password end all sessions of the user.

        Raises:
            NotFoundError: There is no such user.
            ConflictError: The server would have no administrator with access left.
            UsageError: A text is invalid, or the user is a service, which has no password.
        """
        user = self.person(name) if "password" in fields else self.user(name)
        was_admin = user.is_admin
        for field in ("full_name", "email"):
            if field in fields:
                setattr(user, field, _checked(field.replace("_", " "), fields[field]))
        if "is_admin" in fields:
            user.is_admin = bool(fields["is_admin"])
        if "disabled" in fields:
            user.disabled_at = time.time() if fields["disabled"] else None
        if "password" in fields:
            user.password = fields["password"]
        if fields.get("disabled") or "password" in fields:
            ended = delete(BrowserSession).where(BrowserSession.user_id == user.id)
            if keep_session is not None:
                ended = ended.where(BrowserSession.id != keep_session)
            self.session.execute(ended)
        self.session.flush()
        if was_admin and (fields.get("disabled") or fields.get("is_admin") is False):
            self._require_admin()
        shown = {key: value for key, value in fields.items() if key != "password"}
        if "password" in fields:
            shown["password"] = "changed"
        self.note("edit_user", f"user {name}", " ".join(f"{key}={value}" for key, value in shown.items()))
        return user

    def delete_user(self, name: str) -> None:
        """Delete a user with its roles, keys and sessions. The runs of the user stay.

        Raises:
            NotFoundError: There is no such user.
            ConflictError: The server would have no administrator with access left.
        """
        user = self.user(name)
        keys = self.session.scalars(select(ApiKey.id).where(ApiKey.user_id == user.id)).all()
        self.session.execute(
            delete(BrowserSession).where(
                (BrowserSession.user_id == user.id) | BrowserSession.key_id.in_(keys)
            )
        )
        self.session.execute(delete(Upload).where(Upload.holder.in_([user.id, *(-key for key in keys)])))
        for table in (ApiKey, Membership):
            self.session.execute(delete(table).where(table.user_id == user.id))
        self.session.delete(user)
        self.session.flush()
        if user.is_admin:
            self._require_admin()
        self.note("delete_user", f"user {name}")

    def set_role(self, name: str, entity: str, project: str, role: str | None) -> None:
        """Give a user a role in a project or an entity, or take it away. The project need not exist yet.

        Args:
            name: Name of the user.
            entity: The entity.
            project: Name of the project; empty for the whole entity.
            role: ``viewer``, ``writer`` or ``admin``; None to remove the role.

        Raises:
            NotFoundError: There is no such user.
            UsageError: A name or the role is invalid.
        """
        user = self.user(name)
        check_entity(entity)
        if project:
            check_project(project)
        place = {"entity": entity, "project": project, "user_id": user.id}
        found = self.session.get(Membership, place)
        if role is None:
            if found is None:
                raise NotFoundError(f"user {name} has no role in {_place(entity, project)}")
            self.session.delete(found)
        elif as_role(role) is None:
            raise UsageError(f"Invalid role {role!r:.80}. Use {', '.join(ROLES)}.")
        elif found is None:
            self.session.add(Membership(**place, role=role))
        else:
            found.role = role
        self.session.flush()
        self.note("set_role", _place(entity, project), f"user={name} role={role}")

    def set_private(self, entity: str, project: str, private: bool) -> None:
        """Make a project private to its own members, or visible to all members of its entity again.

        Args:
            entity: Entity of the project.
            project: Name of the project, which need not exist yet.
            private: Whether the project is private.

        Raises:
            UsageError: A name is invalid.
        """
        check_entity(entity)
        check_project(project)
        found = self.session.get(PrivateProject, {"entity": entity, "project": project})
        if private and found is None:
            self.session.add(PrivateProject(entity=entity, project=project))
        elif not private and found is not None:
            self.session.delete(found)
        self.note("set_private", _place(entity, project), f"private={private}")

    def add_key(
        self,
        user: str | None,
        *,
        name: str = "",
        scope: str = "write",
        only: tuple[str, str] | None = None,
        expires_at: float | None = None,
        secret: str | None = None,
    ) -> tuple[ApiKey, str]:
        """Create a key; return its row and the key itself, which cannot be shown again.

        The wandb client accepts this form of a key too.

        Args:
            user: Name of its user; None for a key with all rights.
            name: Name of the key.
            scope: ``read`` or ``write``.
            only: Entity and name of the only project that the key reaches.
            expires_at: Time in unix seconds; None for no end.
            secret: A key that the user has already, for example of another server; None to make one.

        Raises:
            NotFoundError: There is no such user.
            UsageError: A value is invalid, or the user has ``LARGEST_KEYS`` keys.
            ConflictError: ``secret`` is a key of this server already.
        """
        owner = None if user is None else self.user(user)
        if scope not in ("read", "write"):
            raise UsageError(f"Invalid scope {scope!r:.80}. Use read or write.")
        if only is not None:
            check_entity(only[0])
            check_project(only[1])
        if expires_at is not None and not time.time() < expires_at < 2**40:
            raise UsageError(f"Invalid end {expires_at!r:.80}. Use a time in the future, in unix seconds.")
        user_id = None if owner is None else owner.id
        if owner is not None:
            made = self.session.scalars(select(ApiKey.id).where(ApiKey.user_id == user_id)).all()
            if len(made) >= LARGEST_KEYS:
                raise UsageError(f"User {user} has {LARGEST_KEYS} keys, the limit. Revoke some.")
        key = f"local-{secrets.token_hex(20)}" if secret is None else _checked_key(secret)
        taken = select(ApiKey.id).where(ApiKey.sha256 == hash_secret(key))
        if self.session.scalar(taken) is not None:
            raise ConflictError("This key is in use on this server already. Use another key.")
        row = ApiKey(
            sha256=hash_secret(key),
            created_at=time.time(),
            user_id=user_id,
            name=_checked("key name", name),
            scope=scope,
            entity=only and only[0],
            project=only and only[1],
            expires_at=expires_at,
        )
        self.session.add(row)
        self.session.flush()
        limit = f" project={_place(*only)}" if only else ""
        given = " registered" if secret is not None else ""
        self.note("add_key", f"key {row.id}", f"user={user} name={name} scope={scope}{limit}{given}")
        return row, key

    def revoke_key(self, key_id: int) -> None:
        """Delete a key, and the browser sessions that it signed in.

        Raises:
            NotFoundError: There is no such key.
        """
        found = self.session.get(ApiKey, key_id)
        if found is None:
            raise NotFoundError(f"there is no key {key_id}")
        self.session.execute(delete(BrowserSession).where(BrowserSession.key_id == key_id))
        self.session.execute(delete(Upload).where(Upload.holder == -key_id))
        self.session.delete(found)
        self.session.flush()
        self.note("revoke_key", f"key {key_id}", f"name={found.name}")

    def note(self, action: str, target: str, detail: str = "") -> None:
        """Add an entry to the audit log. See ``note``."""
        note(self.session, self._actor, action, target, detail)

    def _require_admin(self) -> None:
        """Refuse a change that leaves users, but no administrator."""
        able = User.is_admin & User.disabled_at.is_(None)
        if self.session.scalar(select(User.id).where(able).limit(1)) is None and self.session.scalar(
            select(User.id).limit(1)
        ):
            raise ConflictError("The server needs an administrator. Make another user administrator first.")


def save_people(layout: Layout, session: Session) -> None:
    """Publish the users, roles, private projects and keys of a catalog in ``people.json``.

    Args:
        layout: The store.
        session: A write transaction, so that an older state never replaces a newer one.
    """
    check_lease(session)
    publish_people(layout, collect_people(session))


def collect_people(session: Session) -> PublishedPeople:
    """Return the users, roles, private projects and keys of a catalog, for ``people.json``."""
    users = session.scalars(select(User).order_by(User.id))
    members = session.scalars(select(Membership).order_by(Membership.entity, Membership.project))
    projects = session.scalars(select(PrivateProject).order_by(PrivateProject.entity))
    keys = session.scalars(select(ApiKey).order_by(ApiKey.id))
    return PublishedPeople(
        FORMAT,
        [PublishedUser(**_fields(row, PublishedUser)) for row in users],
        [PublishedMember(**_fields(row, PublishedMember)) for row in members],
        [PublishedPrivateProject(**_fields(row, PublishedPrivateProject)) for row in projects],
        [PublishedKey(**_fields(row, PublishedKey)) for row in keys],
    )


def replace_people(session: Session, people: PublishedPeople) -> None:
    """Replace the users, roles, private projects and keys of a catalog by those of ``people.json``."""
    for table in (BrowserSession, ApiKey, Membership, PrivateProject, Upload, User):
        session.execute(delete(table))
    add_people(session, people)
    session.execute(update(Clock).values(people_revision=Clock.people_revision + 1))


def add_people(session: Session, people: PublishedPeople) -> None:
    """Add the content of ``people.json`` to a new catalog."""
    for table, rows in (
        (User, people.users),
        (Membership, people.members),
        (PrivateProject, people.private_projects),
        (ApiKey, people.keys),
    ):
        session.add_all(table(**_fields(row, type(row))) for row in rows)
        session.flush()


def _fields(row: Any, kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in kind.__struct_fields__}


def _checked(what: str, text: str) -> str:
    if len(text) > LONGEST_TEXT or not text.isprintable():
        raise UsageError(f"Invalid {what} {text!r:.80}. Use up to {LONGEST_TEXT} printable characters.")
    return text


def _checked_key(secret: str) -> str:
    """Return a key that a user has already. The message of an error does not contain it.

    A key is stored as a hash without salt, so it must be as hard to guess as a key of this server.
    """
    parts = secret.split(".")
    text = secret.rpartition(".")[0] if len(parts) == 3 else secret.partition("-")[2] or secret
    if not _KEY.fullmatch(secret) or len(text) < 40 or len(set(text)) < 10:
        raise UsageError(
            "Invalid API key. Use one that the wandb client accepts: at least 40 random letters, digits "
            "and _, after a prefix such as local- or without one."
        )
    return secret


def _place(entity: str, project: str) -> str:
    return f"{entity}/{project}" if project else entity
