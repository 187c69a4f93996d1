"""Users that another system has authenticated: a proxy in front, or a provider of OpenID Connect."""

from __future__ import annotations

from sqlalchemy import func, select

from tracker.errors import AuthenticationError, ConflictError
from tracker.store.catalog.models import Project, User
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
        ConflictError: The name is that of an entity with projects.
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


def require_free_name(change: PeopleChange, name: str) -> None:
    """Check that a new user from another system can have a name.

    Args:
        change: A transaction.
        name: The name.

    Raises:
        ConflictError: A user has this name, perhaps in other letter case, or an entity with projects has it.
    """
    session = change.session
    taken = session.scalar(select(User.name).where(func.lower(User.name) == name.lower()).limit(1))
    if taken is not None:
        raise ConflictError(
            f"The name {name} belongs to another user of this server. Ask an administrator of the server."
        )
    if session.scalar(select(Project.id).where(Project.entity == name).limit(1)) is not None:
        raise ConflictError(
            f"The name {name} belongs to an entity with projects. Ask an administrator of the server to add "
            "you as a user."
        )
