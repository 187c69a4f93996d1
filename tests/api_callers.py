"""Every route of the REST API with a valid request, and the headers of callers."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response

import tracker
from server.accounts.browser_sessions import start_session
from server.accounts.callers import COOKIE, Accounts
from server.routing import API, Operation, operations
from server.settings import ServerSettings
from tracker.reading.local import LocalReader
from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import User
from tracker.store.ingest.people import Actor
from tracker.store.store import Store

OPEN = (f"{API}/health", f"{API}/session")
VALUES = {
    "entity": "team",
    "project": "demo",
    "run_id": "run",
    "name": "model",
    "reference": "latest",
    "path": "file",
    "segment": "0" * 32,
    "sha256": hashlib.sha256(b"content").hexdigest(),
    "token": "0" * 32,
    "alias": "tried",
    "kind": "views",
    "document_id": "none",
    "sweep_id": "none",
    "user_name": "cleo",
    "key_id": "9999",
    "session_id": "9999",
}
READING_POSTS = ("/branches", "/chart", "/curves", "/distribution", "/metrics", "/objects")
VERSION = {"entity": "team", "project": "demo", "name": "model", "version": 0, "digest": "", "time": 0.0}
TARGET = {"target_entity": "team", "target_project": "demo", "target_name": "linked", "aliases": []}
BODIES = {
    "/session": {"key": "wrong"},
    "/move": {"to_project": "demo"},
    "/members/{user_name}": {"role": "viewer"},
    "/access": {"private": False},
    "/keys": {"name": "new"},
    "/users": {"name": "dora"},
    "/users/{user_name}": {"full_name": "Cleo"},
    "/me": {"full_name": "Me"},
    "/drafts/{token}": {"manifest": "", "digest": "", "size": 0, "file_count": 0, "problem": "none"},
    "/artifacts/change": {**VERSION, "aliases_added": ["good"]},
    "/artifacts/link": {**VERSION, **TARGET},
    "/{project}/chart": {"runs": ["run"], "keys": ["x"]},
    "/{project}/curves": {"groups": {"all": ["run"]}, "keys": ["x"]},
    "/{project}/distribution": {"runs": ["run"], "key": "x"},
    "/{project}/metrics": {"runs": ["run"]},
    "/{project}/objects": {"runs": ["run"], "key": "x"},
    "/{project}/branches": {"runs": ["run"]},
}
QUERY: dict[str, Any] = {
    "key": "x",
    "to": "v0",
    "timeout": 0,
    "offset": 0,
    "digest": hashlib.sha256().hexdigest(),
}


def api_routes(app: FastAPI) -> Iterator[Operation]:
    """Yield the routes of the API."""
    return (route for route in operations(app.routes) if route.path.startswith(API))


def under_api(app: FastAPI) -> list[tuple[str, str]]:
    """Return the method and path of every route of the API."""
    found = [(method, route.path) for route in api_routes(app) for method in sorted(route.methods)]
    return sorted(found, key=lambda route: route == ("DELETE", f"{API}/session"))  # signing out comes last


def request_of(method: str, path: str, headers: dict[str, Any]) -> dict[str, Any]:
    values = dict(VALUES, name=f"{'0' * 32}-000000") if "/ingest/" in path else VALUES
    url = path.replace(":path}", "}").format(**values)
    request = {"method": method, "url": url, "params": QUERY, "headers": headers}
    if path.endswith(("/journals/{name}", "/blobs/{sha256}")) and method != "GET":
        request["content"] = b"content" if "/blobs/" in path else b""
        request["headers"] = {**headers, "Content-Type": "application/octet-stream"}
    elif method in ("PATCH", "POST", "PUT"):
        bodies = (body for ending, body in BODIES.items() if path.endswith(ending))
        default = {"notes": "edited"} if method == "PATCH" else {"state": "crashed", "sha256": []}
        request["json"] = next(bodies, default)
    return request


def log_something(folder: Path) -> Store:
    """Return a store with an applied run and artifact, and without a recorder that could change it."""
    settings = {"store": folder / "tracker-store", "silent": True, "journal_only": True}
    run = tracker.init(entity="team", project="demo", id="run", settings=settings)
    run.log({"x": 1})
    artifact = tracker.Artifact("model", "model")
    with artifact.new_file("file") as file:
        file.write("content of the model")
    run.log_artifact(artifact).wait()
    run.finish()
    store = open_store(folder / "tracker-store")
    LocalReader(store).projects()
    return store


def basic(text: str) -> dict[str, str]:
    """Return the header of HTTP Basic for ``user:password``."""
    return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


def bearer(key: str) -> dict[str, str]:
    """Return the header that tracker's own client sends."""
    return {"Authorization": f"Bearer {key}"}


def cookie(value: str) -> dict[str, str]:
    """Return the header that a browser sends."""
    return {"Cookie": f"{COOKIE}={value}"}


ACTOR = Actor("test")


def start(store: Store, key: str | None, user: str | None) -> str:
    """Sign a browser in with a key, or as a user; return the cookie."""
    accounts = Accounts(store, ServerSettings(store.root))
    with store.reading() as session:
        number = session.scalar(select(User.id).where(User.name == user))
    caller = accounts.of_key(key) if key is not None else accounts.of_user(number or 0)
    assert caller is not None
    response = Response()
    start_session(store, Request(SCOPE), response, caller, "test")
    found = re.search(f"{COOKIE}=([^;]+)", response.headers["set-cookie"])
    assert found is not None
    return found[1]


SCOPE = {"type": "http", "method": "GET", "scheme": "http", "path": "/", "headers": [], "client": ("::1", 1)}
