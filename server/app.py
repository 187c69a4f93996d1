"""The FastAPI application with its routes, middleware, error handlers and dashboard files."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from server.accounts.attempts import Attempts
from server.accounts.audit import note_request
from server.accounts.callers import Accounts
from server.accounts.openid_connect import OpenIdProvider
from server.accounts.sign_in_limit import SignInLimit
from server.dashboard import add_dashboard
from server.events import ChangeFeed
from server.forwarded import Forwarded
from server.in_place import InPlaceReading
from server.ingest import Ingest
from server.known_projects import KnownProjects
from server.middleware import Compression, Ending, HeadLikeGet, KnownCaller, LoopbackNamesOnly, PublicAddress
from server.openapi import add_document
from server.responses import add_error_handlers
from server.routes import (
    artifact_edits,
    artifact_files,
    artifacts,
    bundles,
    captured,
    charts,
    deleted_runs,
    documents,
    history,
    ingest,
    live,
    people,
    projects,
    runs,
    session,
    single_sign_on,
    sweeps,
    tables,
    wandb_operations,
    wandb_stops,
)
from server.routing import API, add_routes
from server.settings import ServerSettings
from server.wandb.routes import add_wandb
from server.watcher import Watcher
from tracker.errors import Error, ReadOnlyError, StoreError
from tracker.store.queries.runs import revision
from tracker.store.store import Store
from tracker.version import __version__

# The modules with routes of one project or run.
OF_PROJECTS = (
    *(projects, charts, runs, deleted_runs, documents, sweeps, history, bundles, tables, captured),
    *(artifacts, artifact_files, artifact_edits, wandb_stops),
)
# Operations that need no key.
OPEN = {"get_health", "get_session", "sign_in", "sign_out"}
OPEN_PATHS = {f"{API}/{name}" for name in ("health", "session", "openapi.json", "docs")}
NOTE_SECONDS = 60.0


def create_app(store: Store, settings: ServerSettings, in_place: InPlaceReading | None = None) -> FastAPI:
    """Return the application that serves ``store``.

    Args:
        store: The store.
        settings: The settings of the server.
        in_place: Reads the folders of ``settings.in_place`` into the store; None if they need no reading.
    """
    watcher = Watcher(store, applies=in_place is None)

    def check_writable() -> None:
        if settings.in_place:
            raise ReadOnlyError(
                "These folders are shown in place, so nothing can be changed here. To edit runs, import them "
                "into a store: tracker import"
            )
        if store.layout.is_copy:
            store.check_lease()

    accounts = Accounts(store, settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        watcher.start(asyncio.get_running_loop())
        noting = asyncio.create_task(_note_uses(accounts))
        yield
        noting.cancel()
        watcher.stop()

    app = _describe(lifespan=lifespan, servers=[{"url": settings.root}] if settings.root else None)
    app.state.store = store
    app.state.settings = settings
    app.state.watcher = watcher
    app.state.in_place = in_place
    app.state.check_writable = check_writable
    app.state.feed = ChangeFeed(store, watcher, accounts)
    app.state.ingest = Ingest(store)
    app.state.accounts = accounts
    app.state.known_projects = KnownProjects(store)
    app.state.sign_in_limit = SignInLimit()
    app.state.oidc = None if settings.oidc is None else OpenIdProvider(settings.oidc)
    app.state.attempts = Attempts()
    app.add_middleware(
        KnownCaller,
        api=API,
        open_paths=OPEN_PATHS,
        find=accounts.find,
        check_writable=check_writable,
        note=partial(note_request, store),
    )
    if not settings.key_required:
        # Without a key, refuse foreign host names: a foreign page could point its own name at 127.0.0.1.
        app.add_middleware(LoopbackNamesOnly)
    app.add_middleware(Compression, minimum_size=2048, compresslevel=3)
    app.add_middleware(HeadLikeGet)
    if settings.url is not None:  # all before it see addresses without the prefix
        app.add_middleware(PublicAddress, root=settings.root, secure=settings.url.startswith("https:"))
    app.add_middleware(Ending, is_ending=lambda: watcher.is_ending)
    header = settings.trusted_header and settings.trusted_header.lower()
    app.add_middleware(Forwarded, proxies=settings.pinned, user_header=header)
    add_error_handlers(app)
    add_routes(app, session.links)
    add_routes(app, single_sign_on.links)
    add_wandb(app, store)
    add_dashboard(app, partial(_find_revision, store, accounts), settings.frame_origins)
    return app


def _find_revision(store: Store, accounts: Accounts, request: Request) -> int | None:
    """Return the revision of the store; None if the caller is unknown, or the store cannot be read."""
    try:
        if accounts.find(request) is None:
            return None
        with store.reading() as session:
            return revision(session)
    except Error:  # the page tells what is wrong
        return None


async def _note_uses(accounts: Accounts) -> None:
    """Store the times of the last uses of keys once a minute."""
    while True:
        await asyncio.sleep(NOTE_SECONDS)
        try:
            await run_in_threadpool(accounts.store_last_uses)
        except StoreError as error:  # the watcher reports that the store was lost
            logging.getLogger(__name__).warning("Cannot store the last uses of keys: %s", error.message)


def describe() -> dict[str, Any]:
    """Return the OpenAPI document. It needs no store."""
    return _describe().openapi()


def _describe(**options: Any) -> FastAPI:
    """Return an application with the routes of the API and their document."""
    # FastAPI's own reference pages load scripts from other hosts.
    app = FastAPI(
        title="tracker",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{API}/openapi.json",
        **options,
    )
    for routes in (session, *OF_PROJECTS, live, people, ingest, wandb_operations):
        add_routes(app, routes.router)
    add_routes(app, artifacts.registries)
    add_routes(app, artifact_edits.changing)
    add_document(app, OPEN)
    return app
