"""Dependencies of routes: the store, the settings, and checks that the caller is allowed."""

from __future__ import annotations

import base64
import re
from typing import Annotated

from fastapi import Depends, Request
from starlette.responses import Response

from server import keys
from server.links import ROOT
from server.settings import ServerSettings
from tracker.errors import AuthenticationError
from tracker.reading.local import LocalReader
from tracker.store.store import Store

COOKIE = "tracker_session"
# The dashboard sends this header with every change. The server lets no other origin send it.
PAGE_HEADER = "x-tracker-dashboard"
# Routes that change nothing. They use POST because a list of runs can be longer than a URL.
READING_POSTS = re.compile(r"/projects/[^/]+/[^/]+/(chart|curves|distribution)\Z")


def get_store(request: Request) -> Store:
    """Return the store of this server."""
    store: Store = request.app.state.store
    return store


def get_reader(request: Request) -> LocalReader:
    """Return a reader of the store. It does not apply journals, because the watcher does."""
    return LocalReader(get_store(request), follows=False)


def get_settings(request: Request) -> ServerSettings:
    """Return the settings of this server."""
    settings: ServerSettings = request.app.state.settings
    return settings


StoreDep = Annotated[Store, Depends(get_store)]
ReaderDep = Annotated[LocalReader, Depends(get_reader)]
SettingsDep = Annotated[ServerSettings, Depends(get_settings)]


def require_reader(request: Request, store: StoreDep, settings: SettingsDep) -> None:
    """Accept a request that carries a key, or comes from a signed-in browser.

    Args:
        request: The request.
        store: The store of this server.
        settings: The settings of this server.

    Raises:
        AuthenticationError: The request carries no valid key.
    """
    if settings.key_required and not (carries_key(request, store) or is_signed_in(request, store)):
        raise AuthenticationError(_refusal(request))


def require_writer(request: Request, store: StoreDep, settings: SettingsDep) -> None:
    """Accept a request that carries a key, or comes from the dashboard in a signed-in browser.

    The cookie alone is not enough, because a page of another site can make a browser send it. Only a page of
    this server can add the header.

    Args:
        request: The request.
        store: The store of this server.
        settings: The settings of this server.

    Raises:
        AuthenticationError: The request carries no valid key.
        ReadOnlyError: The server can only read the store.
    """
    from_page = request.headers.get(PAGE_HEADER) and is_signed_in(request, store)
    if settings.key_required and not carries_key(request, store) and not from_page:
        raise AuthenticationError(_refusal(request))
    if store.layout.is_copy:
        store.check_lease()


def require_caller(request: Request, store: StoreDep, settings: SettingsDep) -> None:
    """Accept a request of a method that usually changes data: see ``require_writer``.

    A POST that only reads, because its question is too long for a URL, needs only a reader.

    Args:
        request: The request.
        store: The store of this server.
        settings: The settings of this server.

    Raises:
        AuthenticationError: The request carries no valid key.
        ReadOnlyError: The request changes data, and the server can only read the store.
    """
    reads = request.method == "POST" and READING_POSTS.search(request.url.path)
    (require_reader if reads else require_writer)(request, store, settings)


def is_signed_in(request: Request, store: Store) -> bool:
    """Return whether the cookie of the browser belongs to a valid key."""
    cookie = request.cookies.get(COOKIE)
    return cookie is not None and keys.is_session(store, cookie)


def sign_in(response: Response, key: str, *, secure: bool) -> None:
    """Set the cookie that represents a key. A browser sends it only to this host.

    Args:
        response: The answer that sets the cookie.
        key: The API key.
        secure: Whether the browser may send the cookie only over HTTPS.
    """
    response.set_cookie(
        COOKIE,
        keys.session_of(key),
        path=f"{ROOT.get()}/",
        max_age=90 * 24 * 3600,
        httponly=True,
        samesite="strict",
        secure=secure,
    )


def carries_key(request: Request, store: Store) -> bool:
    """Return whether the request carries a valid key."""
    key = _key_of(request.headers.get("authorization", ""))
    return key is not None and keys.is_key(store, key)


def _key_of(header: str) -> str | None:
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":  # the wandb client sends user "api" with the key as password
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except ValueError:  # not base64, or not text
            return None
    return None


def _refusal(request: Request) -> str:
    if request.headers.get("authorization"):
        return "Invalid API key. Check TRACKER_API_KEY. `tracker key` on the server creates a key."
    return "API key missing. Set TRACKER_API_KEY, or sign in. `tracker key` on the server creates a key."


Reader = Depends(require_reader)
Writer = Depends(require_writer)
