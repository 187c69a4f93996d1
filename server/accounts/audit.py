"""Entries of the audit log for the changes that requests make."""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.types import Scope

from server.accounts.callers import actor_of
from tracker.store.ingest.people import note
from tracker.store.store import Store


def note_request(store: Store, scope: Scope, body: bytes) -> None:
    """Write an entry for a successful request. Requests about users and keys write their own entries.

    The target is ``tracker.target`` in the scope, else the values in the address.

    Args:
        store: The store.
        scope: The ASGI scope of the request, with its caller, its operation and its path parameters.
        body: The beginning of the body.
    """
    request = HTTPConnection(scope)
    target = scope.get("tracker.target") or "/".join(str(each) for each in request.path_params.values())
    detail = " ".join(part for part in (request.url.query, body.decode("utf-8", "replace")) if part)
    action = str(getattr(scope.get("endpoint"), "__name__", scope["method"]))
    with store.writing_keys() as session:
        note(session, actor_of(scope["tracker.caller"], request), action, target, detail)
