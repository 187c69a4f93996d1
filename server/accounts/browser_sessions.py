"""Sessions of signed-in browsers: start, list and end them."""

from __future__ import annotations

import secrets
import time

from sqlalchemy import delete
from starlette.requests import Request
from starlette.responses import Response

from server.accounts.callers import COOKIE, IDLE_SECONDS, Caller, address_of
from server.links import ROOT
from tracker.store.catalog.models import BrowserSession
from tracker.store.ingest.people import Actor, hash_secret, note
from tracker.store.store import Store

# A browser has to sign in again after this time, even if it is used.
SESSION_SECONDS = 30 * 24 * 3600.0


def start_session(store: Store, request: Request, response: Response, caller: Caller, how: str) -> None:
    """Sign a browser in: create a session and set its cookie. A browser sends it only to this host.

    Args:
        store: The store.
        request: The request that signs in.
        response: The answer that sets the cookie.
        caller: The caller that signs in. The session ends when the caller's key is revoked.
        how: The kind of sign-in: ``key``, ``password``, ``link`` or another one.
    """
    token, now = secrets.token_urlsafe(32), time.time()
    with store.writing_keys() as session:
        session.execute(
            delete(BrowserSession).where(
                (BrowserSession.expires_at < now) | (BrowserSession.last_used_at < now - IDLE_SECONDS)
            )
        )
        session.add(
            BrowserSession(
                sha256=hash_secret(token),
                user_id=None if caller.user is None else caller.user.id,
                key_id=None if caller.key is None else caller.key.id,
                created_at=now,
                expires_at=now + SESSION_SECONDS,
                last_used_at=now,
                how=how,
                address=address_of(request),
                agent=request.headers.get("user-agent", "")[:200],
            )
        )
        note(session, Actor(caller.name, address_of(request)), "sign_in", caller.name, how)
    response.set_cookie(
        COOKIE,
        token,
        path=f"{ROOT.get()}/",
        max_age=int(SESSION_SECONDS),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def end_session(store: Store, number: int) -> None:
    """End a session. Its cookie is worthless from now on."""
    with store.writing_keys() as session:
        session.execute(delete(BrowserSession).where(BrowserSession.id == number))
