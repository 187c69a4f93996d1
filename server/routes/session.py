"""Routes for health, signing in and signing out."""

from __future__ import annotations

import math

from fastapi import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from server import keys
from server.accounts.browser_sessions import end_session, start_session
from server.accounts.callers import COOKIE, Accounts, Caller, address_of
from server.accounts.openid_connect import OpenIdProvider
from server.accounts.passwords import check_password
from server.accounts.sign_in_limit import SignInLimit
from server.answers import FileProblem, Health, OpenedFolders, SessionInfo, SignInPlace
from server.bodies import SignIn
from server.dependencies import AccountsDep, SettingsDep, StoreDep
from server.in_place import InPlaceReading
from server.links import ROOT
from server.responses import ExactJSON, error_answer
from server.rights import SignedIn
from server.routing import api_router, new_router
from tracker.errors import AuthenticationError, UsageError
from tracker.store.ingest.people import Actor, note
from tracker.version import __version__

router = api_router(tags=["session"])
_MOST_PROBLEMS = 100


@router.get("/health", response_model=Health)
def get_health(store: StoreDep) -> Response:
    """Report that the server and its catalog work."""
    with store.reading():
        return ExactJSON(Health("ok", __version__))


@router.get("/session", response_model=SessionInfo)
def get_session(request: Request, accounts: AccountsDep, settings: SettingsDep) -> Response:
    """Report whether a key is required, and who the caller is.

    \f
    Args:
        request: The request.
        accounts: The users and keys of this server.
        settings: The settings of this server.
    """
    caller: Caller | None = request.scope["tracker.caller"]
    has_users = bool(accounts.people().users)
    provider: OpenIdProvider | None = request.app.state.oidc
    places = []
    if provider is not None and settings.oidc is not None:
        places.append(SignInPlace(settings.oidc.name, f"{ROOT.get()}/sign-in/oidc", provider.problem))
    return ExactJSON(
        SessionInfo(
            settings.key_required,
            caller is not None,
            has_users,
            None if caller is None or caller.user is None else caller.user.name,
            caller is not None and caller.rights.is_admin,
            places,
            bool(settings.in_place),
        )
    )


@router.get("/folders", response_model=OpenedFolders, dependencies=[SignedIn])
def get_opened_folders(request: Request, settings: SettingsDep) -> Response:
    """Report which folders of other programs the server shows in place, and how far it has read them.

    \f
    Args:
        request: The request.
        settings: The settings of this server.
    """
    folders = [str(each) for each in settings.in_place]
    reading: InPlaceReading | None = request.app.state.in_place
    if reading is None:
        return ExactJSON(OpenedFolders(folders, 0, 0, 0, True, []))
    found = reading.status()
    problems = [FileProblem(path, why) for path, why in found.problems[:_MOST_PROBLEMS]]
    return ExactJSON(OpenedFolders(folders, found.files, found.read, found.growing, found.searched, problems))


@router.post("/session", status_code=204)
def sign_in(request: Request, store: StoreDep, accounts: AccountsDep, body: SignIn) -> Response:
    """Exchange a key, or a name and a password, for a cookie that a browser sends only to this server.

    \f
    Args:
        request: The request.
        store: The store of this server.
        accounts: The users and keys of this server.
        body: The key, or the name and the password.
    """
    request.scope["tracker.noted"] = True
    limit: SignInLimit = request.app.state.sign_in_limit
    address, name = address_of(request), (body.name or "").strip()
    if (body.key is None) == (body.password is None) or (body.password is not None) != bool(name):
        raise UsageError("Invalid sign-in. Send a key, or a name and a password.")
    if wait := limit.begin(address, name):
        answer = error_answer(
            429, "too_many_attempts", f"Too many failed attempts. Try again in {math.ceil(wait)} s."
        )
        answer.headers["Retry-After"] = str(math.ceil(wait))
        return answer
    caller = _by_key(accounts, body.key) if body.key is not None else _by_password(store, accounts, body)
    if caller is None:
        with store.writing_keys() as session:
            note(session, Actor(name, address), "sign_in_failed", name)
        what = "API key" if body.key is not None else "name or password"
        raise AuthenticationError(f"Invalid {what}. `tracker user` and `tracker key` on the server help.")
    limit.succeed(address, name)
    response = Response(status_code=204)
    start_session(store, request, response, caller, "key" if body.key is not None else "password")
    return response


def _by_key(accounts: Accounts, key: str) -> Caller | None:
    return accounts.of_key(key.strip())


def _by_password(store: StoreDep, accounts: Accounts, body: SignIn) -> Caller | None:
    number = check_password(store, (body.name or "").strip(), body.password or "")
    return None if number is None else accounts.of_user(number)


@router.delete("/session", status_code=204)
def sign_out(request: Request, store: StoreDep) -> Response:
    """End the session of this browser, and remove the cookie.

    \f
    Args:
        request: The request.
        store: The store of this server.
    """
    caller: Caller | None = request.scope["tracker.caller"]
    request.scope["tracker.noted"] = True
    if caller is not None and caller.session is not None:
        end_session(store, caller.session)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path=f"{ROOT.get()}/", httponly=True, samesite="strict")
    return response


# This route is not part of the API: a person opens it, from the link that the server prints.
links = new_router(include_in_schema=False)


@links.get("/sign-in")
def follow_link(request: Request, store: StoreDep, accounts: AccountsDep, token: str = "") -> Response:
    """Sign a browser in with a one-time token, and show the dashboard.

    \f
    Args:
        request: The request.
        store: The store of this server.
        accounts: The users and keys of this server.
        token: Token from the link.
    """
    if request.scope.get("tracker.head"):  # a preview of the link must not use it up
        return Response(status_code=204)
    caller = None
    if (found := keys.use_link_token(store.layout, token)) is not None:
        name, made_at = found
        user = accounts.people().user(name) if name else None
        if user is not None and user.created_at <= made_at:
            caller = accounts.of_user(user.id)
        elif not name:
            caller = accounts.of_key(keys.own_key(store))
    if caller is None:
        return PlainTextResponse(
            "This link was already used, or is older than 15 minutes. "
            "`tracker server --link` on the server's machine prints a new one.\n",
            401,
        )
    headers = {"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
    first = caller.user is not None and not caller.user.has_password
    # The account page asks for a password.
    response = RedirectResponse(f"{ROOT.get()}/{':account' if first else ''}", 303, headers=headers)
    start_session(store, request, response, caller, "link")
    return response
