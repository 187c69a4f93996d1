"""The owner's own key, other keys of the command line, and sign-in links."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress

from sqlalchemy import select

from tracker.ground.people import OWNER
from tracker.store.catalog.models import ApiKey, User
from tracker.store.ingest.people import COMMAND_LINE, changing_people, hash_secret
from tracker.store.objects.atomic_files import publish, write_new
from tracker.store.objects.layout import Layout
from tracker.store.store import Store

# How long a sign-in link is valid.
LINK_SECONDS = 15 * 60
# The administrator whom the first start of a server makes that others can reach.
FIRST_ADMIN = "admin"


def make_key(store: Store, name: str = "") -> str:
    """Create a key with all rights and return it. The key cannot be shown again."""
    with changing_people(store, COMMAND_LINE) as change:
        return change.add_key(None, name=name)[1]


def make_first_admin(store: Store) -> str:
    """Create the administrator of a new server, without a password, and return a key of this user."""
    with changing_people(store, COMMAND_LINE) as change:
        change.add_user(FIRST_ADMIN, is_admin=True)
        return change.add_key(FIRST_ADMIN, name="first start")[1]


def own_key(store: Store) -> str:
    """Return the key of the store's owner. The first call creates it.

    The key is stored as plain text in ``server.key``, which only the owner of the store can read.
    """
    path = store.layout.server_key
    with suppress(FileNotFoundError):
        found = path.read_text(encoding="ascii").strip()
        if is_key(store, found):
            return found
    key = make_key(store, OWNER)
    temporary = store.layout.new_temporary()
    write_new(temporary, key.encode(), private=True)
    publish(temporary, path)
    return key


def make_link_token(layout: Layout, user: str = "") -> str:
    """Return a token that signs one browser in, once, within ``LINK_SECONDS``.

    Args:
        layout: The paths of the store.
        user: Name of the user who is signed in; empty for the owner of the store.
    """
    token = secrets.token_urlsafe(24)
    layout.sign_in.mkdir(mode=0o700, exist_ok=True)
    write_new(layout.sign_in / hash_secret(token), f"{time.time()!r} {user}".encode(), private=True)
    return token


def use_link_token(layout: Layout, token: str) -> tuple[str, float] | None:
    """Use up a token; return its user (empty for the owner of the store) and the time when it was made.

    The result is None if the token was not valid. A user of the same name who was added later is another one.
    """
    path = layout.sign_in / hash_secret(token)
    taken = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        os.rename(path, taken)  # of two simultaneous requests only one succeeds
    except FileNotFoundError:
        return None
    time_made, _, user = taken.read_text(encoding="utf-8").partition(" ")
    taken.unlink()
    made_at = float(time_made) if time_made else 0.0  # empty: an earlier version has made it
    return (user, made_at) if time.time() - made_at < LINK_SECONDS else None


def has_users(store: Store) -> bool:
    """Return whether the store has any user."""
    return _has_any(store, User)


def has_people(store: Store) -> bool:
    """Return whether the store has any user or key."""
    return _has_any(store, ApiKey, User)


def _has_any(store: Store, *tables: type[ApiKey] | type[User]) -> bool:
    with store.reading() as session:
        return any(session.scalar(select(table.id).limit(1)) is not None for table in tables)


def is_key(store: Store, key: str) -> bool:
    """Return whether ``key`` is a key of this store."""
    with store.reading() as session:
        return session.scalar(select(ApiKey.id).where(ApiKey.sha256 == hash_secret(key))) is not None
