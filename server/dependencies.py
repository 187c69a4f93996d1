"""What routes ask for: the store, and that the caller may."""

from __future__ import annotations

import base64
from typing import Annotated

from fastapi import Depends, Request
from starlette.responses import Response

from server import keys
from server.settings import ServerSettings
from tracker.errors import AuthenticationError
from tracker.reading.local import LocalReader
from tracker.store.store import Store

COOKIE = "tracker_session"
# What the dashboard sends with every change. Another origin would have to be allowed to send it, and none is.
PAGE_HEADER = "x-tracker-dashboard"


def get_store(request: Request) -> Store:
    """The store that is served."""
    store: Store = request.app.state.store
    return store


def get_reader(request: Request) -> LocalReader:
    """What answers questions to the store; the watcher applies what journals hold."""
    return LocalReader(get_store(request), follows=False)


def get_settings(request: Request) -> ServerSettings:
    """What the server was told."""
    settings: ServerSettings = request.app.state.settings
    return settings


StoreDep = Annotated[Store, Depends(get_store)]
ReaderDep = Annotated[LocalReader, Depends(get_reader)]
SettingsDep = Annotated[ServerSettings, Depends(get_settings)]


def require_reader(request: Request, store: StoreDep, settings: SettingsDep) -> None:
    """Let through who shows a key, or a browser that was signed in with one."""
    if settings.key_required and not (shows_key(request, store) or is_signed_in(request, store)):
        raise AuthenticationError(_refusal(request))


def require_writer(request: Request, store: StoreDep, settings: SettingsDep) -> None:
    """Let through who shows a key, or the dashboard in a browser that is signed in.

    The cookie alone is not enough: a page of another site could make a browser send it. Only a page of this
    server can add the header.

    Raises:
        AuthenticationError: The caller may not.
        ReadOnlyError: Nobody may: the server can only read the store.
    """
    from_page = request.headers.get(PAGE_HEADER) and is_signed_in(request, store)
    if settings.key_required and not shows_key(request, store) and not from_page:
        raise AuthenticationError(_refusal(request))
    if store.layout.is_copy:
        store.check_lease()


def is_signed_in(request: Request, store: Store) -> bool:
    """Whether the browser's cookie stands for a valid key."""
    cookie = request.cookies.get(COOKIE)
    return cookie is not None and keys.is_session(store, cookie)


def sign_in(response: Response, key: str, *, secure: bool) -> None:
    """Set the cookie that represents a key. The browser sends it to this host only."""
    response.set_cookie(
        COOKIE,
        keys.session_of(key),
        max_age=90 * 24 * 3600,
        httponly=True,
        samesite="strict",
        secure=secure,
    )


def shows_key(request: Request, store: Store) -> bool:
    """Whether the request carries a valid key."""
    key = _key_of(request.headers.get("authorization", ""))
    return key is not None and keys.is_key(store, key)


def _key_of(header: str) -> str | None:
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":  # as wandb sends it: user "api", the key as password
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except ValueError:  # no base64, or no text
            return None
    return None


def _refusal(request: Request) -> str:
    if request.headers.get("authorization"):
        return "the API key is not valid here: check TRACKER_API_KEY (`tracker key` on the server makes one)"
    return "an API key is needed: set TRACKER_API_KEY, or sign in (`tracker key` on the server makes one)"


Reader = Depends(require_reader)
Writer = Depends(require_writer)
