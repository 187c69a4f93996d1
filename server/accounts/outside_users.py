"""Users that another system has authenticated: a proxy in front, or a provider of OpenID Connect."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import func, select

from server.accounts.openid_connect import Identity
from tracker.errors import AuthenticationError, ConflictError
from tracker.store.catalog.models import BrowserSession, User
from tracker.store.ingest.people import USER_NAME, Actor, PeopleChange, changing_people
from tracker.store.store import Store


def user_of_proxy(store: Store, names: list[str], address: str) -> int:
    """Return the number of the user that a proxy names. A name that is new becomes a user.

    The proxy is trusted, so a user who has a password of this server is the same user.

    Args:
        store: The store.
        names: The values of the header.
        address: Address of the client.

    Raises:
        AuthenticationError: There are several names, or the name is not a valid name of a user.
        ConflictError: The name is that of an entity with projects or roles.
    """
    if len(names) > 1:
        raise AuthenticationError("The proxy has named the user twice. It must remove the header of clients.")
    name = names[0]
    if not USER_NAME.fullmatch(name):
        raise AuthenticationError(
            f"The proxy has sent the invalid user name {name!r:.80}. Names have 1 to 64 letters, digits "
            "and . _ @ -, and begin with a letter or a digit."
        )
    with changing_people(store, Actor(name, address)) as change:
        known = change.session.scalar(select(User).where(User.name == name))
        if known is None:  # two first requests at the same time
            require_free_name(change, name)
            known = change.add_user(name)
        return known.id


def user_of_identity(store: Store, identity: Identity, address: str) -> int:
    """Return the number of the user whom a provider has identified. A new person becomes a user.

    Args:
        store: The store.
        identity: What the provider tells about the person.
        address: Address of the client.

    Raises:
        AuthenticationError: The provider's name for the person is not a valid name of a user.
        ConflictError: The name belongs to another user, or is that of an entity with projects or roles.
    """
    same = (User.issuer == identity.issuer) & (User.subject == identity.subject)
    actor = Actor(identity.name, address)
    with store.reading() as session:
        known = session.execute(select(User.id, User.name, User.is_admin).where(same)).one_or_none()
    if known is not None:
        if identity.is_admin not in (None, known.is_admin):
            with suppress(ConflictError), changing_people(store, actor) as change:
                change.edit_user(known.name, is_admin=identity.is_admin)  # the last administrator stays one
        number: int = known.id
        return number
    if not USER_NAME.fullmatch(identity.name):
        raise AuthenticationError(
            f"The provider names you {identity.name!r:.80}, which is not a valid user name here. "
            "An administrator can choose another claim with --oidc-user-claim."
        )
    with changing_people(store, actor) as change:
        user = change.session.scalar(select(User).where(same))
        if user is None:  # not the second of two sign-ins at the same time
            require_free_name(change, identity.name)
            user = change.add_user(
                identity.name,
                full_name=identity.full_name,
                email=identity.email,
                is_admin=bool(identity.is_admin),
                identity=(identity.issuer, identity.subject),
            )
        return user.id


def link_identity(store: Store, sha256: str, identity: Identity, address: str) -> None:
    """Let a user sign in at a provider from now on.

    Args:
        store: The store.
        sha256: SHA-256 of the cookie of the user, who is signed in.
        identity: What the provider tells about the person.
        address: Address of the client.

    Raises:
        AuthenticationError: The user is not signed in any more.
        ConflictError: The person, or the user, belongs to another one already.
    """
    same = (User.issuer == identity.issuer) & (User.subject == identity.subject)
    with changing_people(store, Actor(identity.name, address)) as change:
        # The number of a user is not enough: that of a deleted user is given again.
        signed_in = select(BrowserSession.user_id).where(BrowserSession.sha256 == sha256).scalar_subquery()
        user = change.session.scalar(select(User).where(User.id == signed_in, User.disabled_at.is_(None)))
        if user is None:
            raise AuthenticationError("You are not signed in any more. Sign in with your password first.")
        other = change.session.scalar(select(User).where(same))
        if (other or user) is not user:
            raise ConflictError("Another user of this server signs in as this person of the provider.")
        if other is None and user.issuer is not None:
            raise ConflictError(f"User {user.name} signs in as another person of the provider already.")
        user.issuer, user.subject = identity.issuer, identity.subject
        change.session.flush()
        change.note("link_identity", f"user {user.name}", f"{identity.issuer} {identity.subject}")


def require_free_name(change: PeopleChange, name: str) -> None:
    """Check that a new user from another system can have a name.

    Args:
        change: A transaction.
        name: The name.

    Raises:
        ConflictError: A user has this name, perhaps in other letter case, or an entity with projects or roles
            has it.
    """
    session = change.session
    taken = session.scalar(select(User.name).where(func.lower(User.name) == name.lower()).limit(1))
    if taken is not None:
        raise ConflictError(
            f"The name {name} belongs to another user of this server. Ask an administrator of the server."
        )
    if change.has_entity(name):
        raise ConflictError(
            f"The name {name} belongs to an entity with projects or roles. Ask an administrator "
            "of the server to add you as a user."
        )
