"""API keys: each is shown once and stored as a hash. Also the owner's own key, and sign-in links."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from contextlib import suppress

from sqlalchemy import func, select

from tracker.store.catalog.models import ApiKey
from tracker.store.objects.atomic_files import publish, write_new
from tracker.store.objects.layout import Layout
from tracker.store.store import Store

# How long a sign-in link is valid.
LINK_SECONDS = 15 * 60


def make_key(store: Store) -> str:
    """Create a key, store its hash, and return the key. The key cannot be shown again.

    160 random bits need no slow hash. The wandb client accepts this form of a key too.
    """
    key = f"local-{secrets.token_hex(20)}"
    with store.writing_keys() as session:
        session.add(ApiKey(sha256=_hash(key), created_at=time.time()))
    return key


def own_key(store: Store) -> str:
    """Return the key of the store's owner. The first call creates it.

    The key is stored as plain text in ``server.key``, which only the owner of the store can read.
    """
    path = store.layout.server_key
    with suppress(FileNotFoundError):
        found = path.read_text(encoding="ascii").strip()
        if is_key(store, found):
            return found
    key = make_key(store)
    temporary = store.layout.new_temporary()
    write_new(temporary, key.encode(), private=True)
    publish(temporary, path)
    return key


def make_link_token(layout: Layout) -> str:
    """Return a token that signs one browser in, once, within ``LINK_SECONDS``."""
    token = secrets.token_urlsafe(24)
    layout.sign_in.mkdir(mode=0o700, exist_ok=True)
    (layout.sign_in / _hash(token)).touch(mode=0o600, exist_ok=False)
    return token


def use_link_token(layout: Layout, token: str) -> bool:
    """Use up a token; return whether it was valid."""
    path = layout.sign_in / _hash(token)
    try:
        made_at = path.stat().st_mtime
        path.unlink()  # of two simultaneous requests only one succeeds
    except FileNotFoundError:
        return False
    return time.time() - made_at < LINK_SECONDS


def has_keys(store: Store) -> bool:
    """Return whether the store has any key."""
    with store.reading() as session:
        return bool(session.scalar(select(func.count(ApiKey.id))))


def is_key(store: Store, key: str) -> bool:
    """Return whether ``key`` is valid for this store."""
    with store.reading() as session:
        return session.scalar(select(ApiKey.id).where(ApiKey.sha256 == _hash(key))) is not None


def session_of(key: str) -> str:
    """Return the cookie that represents a key in a browser. The key cannot be computed from it."""
    return _session(_hash(key))


def is_session(store: Store, cookie: str) -> bool:
    """Return whether a cookie represents a key that is still valid for this store."""
    with store.reading() as session:
        hashes = session.scalars(select(ApiKey.sha256)).all()
    given = cookie.encode("utf-8", "replace")
    return any(hmac.compare_digest(_session(each).encode(), given) for each in hashes)


def _session(hashed: str) -> str:
    return hmac.new(bytes.fromhex(hashed), b"browser session", "sha256").hexdigest()


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
