"""Routes for signing in at a provider of OpenID Connect. They are not part of the API: browsers open them."""

from __future__ import annotations

import html
import logging
from urllib.parse import unquote, urlsplit

from fastapi import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from server.accounts import attempts
from server.accounts.attempts import Attempts
from server.accounts.browser_sessions import start_session
from server.accounts.callers import COOKIE, Accounts, Caller, address_of
from server.accounts.openid_connect import Identity, OpenIdProvider, Secrets
from server.accounts.outside_users import link_identity, user_of_identity
from server.dashboard import HEADERS
from server.dependencies import AccountsDep, SettingsDep, StoreDep
from server.links import ROOT
from server.routing import new_router
from server.settings import ServerSettings
from tracker.errors import AuthenticationError, Error, ForbiddenError, NotFoundError, UnreachableError
from tracker.store.ingest.people import Actor, hash_secret, note
from tracker.store.store import Store

PATH = "/sign-in/oidc"
links = new_router(include_in_schema=False)


@links.get(PATH)
def start_sign_in(
    request: Request, settings: SettingsDep, accounts: AccountsDep, next: str = "", link: bool = False
) -> Response:
    """Send the browser to the provider.

    \f
    Args:
        request: The request.
        settings: The settings of this server.
        accounts: The users and keys of this server.
        next: Path on this server to show afterwards.
        link: Whether the signed-in user wants to sign in at the provider from now on.
    """
    session = None
    try:
        provider = _provider(request)
        if link:
            # A page of another address on the same site must not start this.
            caller = accounts.find(request)
            own = request.headers.get("sec-fetch-site", "none") in ("none", "same-origin")
            if caller is None or caller.user is None or caller.session is None or not own:
                raise ForbiddenError("Sign in with your password first, then open this address again.")
            session = hash_secret(request.cookies[COOKIE])
        made = _attempts(request).new(own_path(next), session)
        secrets = Secrets(made.state, made.nonce, made.verifier)
        response = RedirectResponse(provider.sign_in_url(secrets, _callback_url(request, settings)), 303)
    except Error as failure:
        _log(failure)
        return _page(failure)
    response.headers["Cache-Control"] = "no-store"
    response.set_cookie(
        attempts.COOKIE,
        _attempts(request).write(made),
        path=f"{ROOT.get()}{PATH}",
        max_age=int(attempts.ATTEMPT_SECONDS),
        httponly=True,
        samesite="lax",  # the provider's page sends the browser back, so "strict" would hide the cookie
        secure=request.url.scheme == "https",
    )
    return response


@links.get(f"{PATH}/callback")
def finish_sign_in(
    request: Request,
    settings: SettingsDep,
    store: StoreDep,
    accounts: AccountsDep,
    state: str = "",
    code: str = "",
    error: str = "",
    iss: str | None = None,
) -> Response:
    """Sign in the browser that the provider sends back.

    \f
    Args:
        request: The request.
        settings: The settings of this server.
        store: The store of this server.
        accounts: The users and keys of this server.
        state: The state of the attempt.
        code: Code for the token of the provider.
        error: Reason why the provider refuses.
        iss: The provider.
    """
    if request.scope.get("tracker.head"):  # a preview must not use the code up
        return Response(status_code=204)
    try:
        attempt = _attempts(request).read(request.cookies.get(attempts.COOKIE, ""), state)
        if attempt is None:
            raise AuthenticationError(
                "This sign-in was not started in this browser, or is older than 10 minutes."
            )
        if error:
            reason = error if error.isidentifier() else "unknown reason"
            raise AuthenticationError(f"The provider has not signed you in: {reason:.80}")
        if iss is not None and settings.oidc is not None and iss != settings.oidc.issuer:
            raise AuthenticationError("This answer is from another provider.")
        secrets = Secrets(attempt.state, attempt.nonce, attempt.verifier)
        identity = _provider(request).identity(code, secrets, _callback_url(request, settings))
    except Error as failure:
        _log(failure)
        return _forget(_page(failure))
    try:
        caller = _find_user(store, accounts, identity, address_of(request), attempt.session)
    except Error as failure:
        with store.writing_keys() as session:
            actor = Actor(identity.name[:80], address_of(request))
            note(session, actor, "sign_in_failed", identity.name, failure.message)
        return _forget(_page(failure))
    response = _forget(RedirectResponse(attempt.next, 303))
    response.headers["Referrer-Policy"] = "no-referrer"
    start_session(store, request, response, caller, "oidc")
    return response


def _find_user(
    store: Store, accounts: Accounts, identity: Identity, address: str, to_link: str | None
) -> Caller:
    """Return the caller that a provider has identified.

    Args:
        store: The store.
        accounts: The users and keys of this server.
        identity: What the provider tells about the person.
        address: Address of the client.
        to_link: SHA-256 of the cookie of a user who signs in at the provider from now on; None for a sign-in.

    Raises:
        ForbiddenError: The user is disabled.
    """
    if to_link is not None:
        link_identity(store, to_link, identity, address)
    number = user_of_identity(store, identity, address)
    caller = accounts.of_user(number)
    if caller is None:
        name = accounts.people().users[number].name
        raise ForbiddenError(
            f"User {name} is disabled or a service. An administrator of the server can change this."
        )
    return caller


def own_path(path: str) -> str:
    """Return a path if it leads to the dashboard of this server; else the path of its first page."""
    root = f"{ROOT.get()}/"
    plain = unquote(path)
    outside = "\\" in plain or not plain.isprintable() or {".", ".."} & {*urlsplit(plain).path.split("/")}
    return root if outside or plain.startswith("//") or not path.startswith(root) else path


def _provider(request: Request) -> OpenIdProvider:
    found: OpenIdProvider | None = request.app.state.oidc
    if found is None:
        raise NotFoundError("this server has no single sign-on: see `tracker server --help`, --oidc-issuer")
    return found


def _log(failure: Error) -> None:
    # Anybody can cause these failures, so they are not in the audit log.
    logging.getLogger("uvicorn.error").warning("Sign-in at the provider: %s", failure.message)


def _attempts(request: Request) -> Attempts:
    found: Attempts = request.app.state.attempts
    return found


def _callback_url(request: Request, settings: ServerSettings) -> str:
    base = settings.url or f"{request.url.scheme}://{request.url.netloc}"
    return f"{base.rstrip('/')}{PATH}/callback"


def _forget(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.delete_cookie(attempts.COOKIE, path=f"{ROOT.get()}{PATH}", httponly=True, samesite="lax")
    return response


def _page(error: Error) -> Response:
    """Return a page with one line, and a link to the sign-in page, where passwords still work."""
    status = 502 if isinstance(error, UnreachableError) else 404 if isinstance(error, NotFoundError) else 403
    text = (
        "<!doctype html><meta charset=utf-8><title>Sign in</title>"
        f'<p>{html.escape(error.message)}</p><p><a href="{html.escape(ROOT.get())}/">Sign in</a></p>'
    )
    return HTMLResponse(text, status, headers={**HEADERS, "Cache-Control": "no-store"})
