"""Routes for health, signing in and signing out."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from server import dependencies, keys
from server.answers import Health, SessionInfo
from server.bodies import SignIn
from server.dependencies import COOKIE, SettingsDep, StoreDep, carries_key, is_signed_in
from server.links import ROOT
from server.responses import ExactJSON
from tracker.errors import AuthenticationError
from tracker.version import __version__

router = APIRouter(tags=["session"])


@router.get("/health", response_model=Health)
def get_health(store: StoreDep) -> Response:
    """Report that the server and its catalog work."""
    with store.reading():
        return ExactJSON(Health("ok", __version__))


@router.get("/session", response_model=SessionInfo)
def get_session(request: Request, store: StoreDep, settings: SettingsDep) -> Response:
    """Report whether a key is required, and whether the caller has sent one or is a signed-in browser.

    \f
    Args:
        request: The request.
        store: The store of this server.
        settings: The settings of this server.
    """
    signed_in = not settings.key_required or is_signed_in(request, store) or carries_key(request, store)
    return ExactJSON(SessionInfo(settings.key_required, signed_in))


@router.post("/session", status_code=204)
def sign_in(request: Request, store: StoreDep, body: SignIn) -> Response:
    """Exchange a key for a cookie that a browser sends only to this server.

    \f
    Args:
        request: The request.
        store: The store of this server.
        body: The key.
    """
    key = body.key.strip()
    if not keys.is_key(store, key):
        raise AuthenticationError("Invalid API key. `tracker key` on the server creates a new one.")
    response = Response(status_code=204)
    dependencies.sign_in(response, key, secure=request.url.scheme == "https")
    return response


@router.delete("/session", status_code=204)
def sign_out() -> Response:
    """Remove the cookie."""
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path=f"{ROOT.get()}/", httponly=True, samesite="strict")
    return response


# This route is not part of the API: a person opens it, from the link that the server prints.
links = APIRouter(include_in_schema=False)


@links.get("/sign-in")
def follow_link(request: Request, store: StoreDep, token: str = "") -> Response:
    """Sign a browser in with a one-time token, and show the dashboard.

    \f
    Args:
        request: The request.
        store: The store of this server.
        token: Token from the link.
    """
    if not keys.use_link_token(store.layout, token):
        return PlainTextResponse(
            "This link was already used, or is older than 15 minutes. "
            "`tracker server --link` on the server's machine prints a new one.\n",
            401,
        )
    headers = {"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
    response = RedirectResponse(f"{ROOT.get()}/", 303, headers=headers)
    dependencies.sign_in(response, keys.own_key(store), secure=request.url.scheme == "https")
    return response
