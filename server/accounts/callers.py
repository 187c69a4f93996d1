"""The caller of a request: from its API key, or from the cookie of a signed-in browser."""

from __future__ import annotations

import base64
import threading
import time
from dataclasses import dataclass, replace

from sqlalchemy import select, update
from starlette.requests import HTTPConnection

from server.accounts.outside_users import user_of_proxy
from server.settings import ServerSettings
from tracker.errors import AuthenticationError
from tracker.ground.people import OWNER, Key, Rights, User
from tracker.store.catalog.models import ApiKey, BrowserSession
from tracker.store.ingest.people import Actor, hash_secret
from tracker.store.queries.people import People, load_people, people_revision
from tracker.store.store import Store

COOKIE = "tracker_session"
# A session ends after this time without a request.
IDLE_SECONDS = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request.

    Attributes:
        name: Name for the audit log.
        rights: What the caller may do.
        user: The user; None for the owner of the store, and for keys without a user.
        key: The key in the request, or the key that signed the browser in.
        session: Number of the browser session; None for a key.
        by_proxy: Whether a proxy in front has named the user.
    """

    name: str
    rights: Rights
    user: User | None = None
    key: Key | None = None
    session: int | None = None
    by_proxy: bool = False

    @property
    def from_browser(self) -> bool:
        """Whether a browser sends what identifies the caller with every request, also for other sites."""
        return self.session is not None or self.by_proxy


class Accounts:
    """Finds callers. Users, roles and keys are kept in memory until they change.

    Args:
        store: The store.
        settings: The settings of the server.
    """

    def __init__(self, store: Store, settings: ServerSettings) -> None:
        self._store = store
        self._settings = settings
        self._people: People | None = None
        self._lock = threading.Lock()
        self._keys_used: dict[int, float] = {}
        self._sessions_used: dict[int, float] = {}

    def people(self) -> People:
        """Return all users, keys and roles."""
        with self._store.reading_rows() as rows:
            known, now = self._people, people_revision(rows)
        if known is None or known.revision != now:
            with self._store.reading() as session:
                known = self._people = load_people(session)
        return known

    def find(self, request: HTTPConnection) -> Caller | None:
        """Return the caller of a request; None if it has no valid key and no valid cookie.

        A key takes precedence over a cookie: a request with an invalid key is refused. A key also takes
        precedence over the user that a proxy names. An invalid key is then no reason to refuse, because
        proxies pass on what a browser has sent to them with HTTP Basic.

        Raises:
            AuthenticationError: The user that the proxy names is invalid, or has no access.
        """
        if not self._settings.key_required:
            return Caller(OWNER, Rights(everything=True))
        header = request.headers.get("authorization")
        secret = None if header is None else key_in(header)
        of_key = None if secret is None else self.of_key(secret)
        if self._settings.trusted_header is not None and request.scope.get("tracker.proxied"):
            names = request.headers.getlist(self._settings.trusted_header)
            if names and of_key is None:
                return self._of_proxy(names, address_of(request))
        if header:
            return of_key
        cookie = request.cookies.get(COOKIE)
        return None if cookie is None else self._of_cookie(cookie)

    def of_key(self, secret: str) -> Caller | None:
        """Return the caller with a key; None if the key is not valid."""
        people = self.people()
        key = people.keys.get(hash_secret(secret))
        if key is None or (key.expires_at is not None and key.expires_at <= time.time()):
            return None
        user = None if key.user is None else people.user(key.user)
        if user is not None and user.disabled_at is not None:
            return None
        with self._lock:
            self._keys_used[key.id] = time.time()
        name = user.name if user is not None else f"key {key.id}" if key.name != OWNER else OWNER
        return Caller(name, people.rights(user, key), user, key)

    def of_user(self, number: int) -> Caller | None:
        """Return the caller that signs in as a user; None if the user has no access, or is a service."""
        people = self.people()
        user = people.users.get(number)
        if user is None or user.disabled_at is not None or user.is_service:
            return None
        return Caller(user.name, people.rights(user), user)

    def _of_proxy(self, names: list[str], address: str) -> Caller:
        known = self.people().user(names[0]) if len(names) == 1 else None
        found = self.of_user(user_of_proxy(self._store, names, address) if known is None else known.id)
        if found is None:
            raise AuthenticationError(
                f"User {names[0]} is disabled or a service. An administrator of the server can change this."
            )
        return replace(found, by_proxy=True)

    def _of_cookie(self, cookie: str) -> Caller | None:
        people, now = self.people(), time.time()
        with self._store.reading() as session:
            found = session.scalar(select(BrowserSession).where(BrowserSession.sha256 == hash_secret(cookie)))
        if found is None or found.expires_at <= now:
            return None
        if max(found.last_used_at, self._sessions_used.get(found.id, 0.0)) + IDLE_SECONDS <= now:
            return None
        user = None if found.user_id is None else people.users.get(found.user_id)
        if found.user_id is not None and (user is None or user.disabled_at is not None):
            return None
        key = None
        if found.key_id is not None:
            key = next((each for each in people.keys.values() if each.id == found.key_id), None)
            if key is None or (key.expires_at is not None and key.expires_at <= now):
                return None
        with self._lock:
            self._sessions_used[found.id] = now
        return Caller(OWNER if user is None else user.name, people.rights(user, key), user, key, found.id)

    def store_last_uses(self) -> None:
        """Write the times of the last uses of keys and sessions to the catalog."""
        with self._lock:
            keys, self._keys_used = self._keys_used, {}
            sessions, self._sessions_used = self._sessions_used, {}
        if not keys and not sessions:
            return
        with self._store.writing_keys() as session:
            for number, at in keys.items():
                session.execute(update(ApiKey).where(ApiKey.id == number).values(last_used_at=at))
            for number, at in sessions.items():
                session.execute(
                    update(BrowserSession).where(BrowserSession.id == number).values(last_used_at=at)
                )


def key_in(header: str) -> str | None:
    """Return the key in an ``Authorization`` header; None if there is none."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":  # the wandb client sends user "api" with the key as password
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except ValueError:  # not base64, or not text
            return None
    return None


def actor_of(caller: Caller | None, request: HTTPConnection) -> Actor:
    """Return the actor of a change, for the audit log."""
    return Actor("" if caller is None else caller.name, address_of(request))


def address_of(request: HTTPConnection) -> str:
    """Return the address of the client."""
    return request.client.host if request.client else ""
