"""The FastAPI application with its routes, middleware, error handlers and dashboard files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from server.dashboard import add_dashboard
from server.dependencies import require_writer
from server.ingest import Ingest
from server.middleware import Compression, KeyBeforeBody, LoopbackNamesOnly
from server.responses import add_error_handlers
from server.routes import (
    artifact_edits,
    artifact_files,
    artifacts,
    captured,
    ingest,
    live,
    projects,
    runs,
    session,
)
from server.settings import ServerSettings
from server.watcher import Watcher
from tracker.store.store import Store
from tracker.version import __version__

API = "/api/v1"


def create_app(store: Store, settings: ServerSettings) -> FastAPI:
    """Return the application that serves ``store``."""
    watcher = Watcher(store)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        watcher.start(asyncio.get_running_loop())
        yield
        watcher.stop()

    # No interactive documentation pages: FastAPI's pages load scripts from other hosts.
    app = FastAPI(
        title="tracker",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{API}/openapi.json",
    )
    app.state.store = store
    app.state.settings = settings
    app.state.watcher = watcher
    app.state.ingest = Ingest(store)
    app.add_middleware(
        KeyBeforeBody,
        needs_key=API,
        open_path=f"{API}/session",
        check=lambda request: require_writer(request, store, settings),
    )
    if not settings.key_required:
        # Without a key, refuse foreign host names: a foreign page could point its own name at 127.0.0.1.
        app.add_middleware(LoopbackNamesOnly)
    app.add_middleware(Compression, minimum_size=2048, compresslevel=3)
    add_error_handlers(app)
    for routes in (
        session,
        projects,
        runs,
        captured,
        artifacts,
        artifact_files,
        artifact_edits,
        live,
        ingest,
    ):
        app.include_router(routes.router, prefix=API)
    app.include_router(artifacts.registries, prefix=API)
    app.include_router(artifact_edits.changing, prefix=API)
    app.include_router(session.links)
    add_dashboard(app)
    return app
