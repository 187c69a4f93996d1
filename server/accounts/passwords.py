"""Passwords: their rules, hashes (Argon2id) and checks.

``argon2`` is imported at the first use. It takes 0.5 MB, and servers without passwords do not need it.
"""

from __future__ import annotations

import threading

from sqlalchemy import select

from tracker.errors import UsageError
from tracker.store.catalog.models import User
from tracker.store.store import Store

SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 1000
# One check takes 64 MiB of memory and some 50 ms of a core.
_TURN = threading.Semaphore(2)
# The hash that is checked if the user is unknown. Both answers then take the same time.
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$XRqlA2Yo3w1DwcGTmOYHkNh6cqLFDB4dL2mJhTu3Wm0"


def hash_password(password: str) -> str:
    """Return the hash of a new password.

    Raises:
        UsageError: The password is too short or too long.
    """
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise UsageError(f"Invalid password. Use {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters.")
    from argon2 import PasswordHasher

    with _TURN:
        return PasswordHasher().hash(password)


def check_password(store: Store, name: str, password: str) -> int | None:
    """Return the number of the user with this name and password; None if there is none.

    Args:
        store: The store.
        name: Name of the user.
        password: The password, as the user typed it.
    """
    from argon2 import PasswordHasher
    from argon2.exceptions import InvalidHashError, VerificationError

    with store.reading() as session:
        user = session.scalar(select(User).where(User.name == name, User.disabled_at.is_(None)))
        known = (user.id, user.password) if user is not None and user.password is not None else None
    with _TURN:
        try:
            PasswordHasher().verify(known[1] if known else _NOBODY, password[:LONGEST_PASSWORD])
        except (VerificationError, InvalidHashError):
            return None
    return known[0] if known else None
