"""API keys: made once, shown once, kept as a hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

from sqlalchemy import func, select

from tracker.store.models import ApiKey
from tracker.store.store import Store


def make_key(store: Store) -> str:
    """Make a key, keep its hash, and return it; it can't be shown again.

    160 random bits need no slow hash. The form is one that the wandb client accepts too.
    """
    key = f"local-{secrets.token_hex(20)}"
    with store.writing() as session:
        session.add(ApiKey(sha256=_hash(key), created_at=time.time()))
    return key


def has_keys(store: Store) -> bool:
    """Whether any key was made."""
    with store.reading() as session:
        return bool(session.scalar(select(func.count(ApiKey.id))))


def is_key(store: Store, key: str) -> bool:
    """Whether ``key`` opens this store."""
    with store.reading() as session:
        return session.scalar(select(ApiKey.id).where(ApiKey.sha256 == _hash(key))) is not None


def session_of(key: str) -> str:
    """Return the cookie that stands for a key in a browser; the key cannot be told from it."""
    return _session(_hash(key))


def is_session(store: Store, cookie: str) -> bool:
    """Whether a cookie stands for a key that still opens this store."""
    with store.reading() as session:
        hashes = session.scalars(select(ApiKey.sha256)).all()
    given = cookie.encode("utf-8", "replace")
    return any(hmac.compare_digest(_session(each).encode(), given) for each in hashes)


def _session(hashed: str) -> str:
    return hmac.new(bytes.fromhex(hashed), b"browser session", "sha256").hexdigest()


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
