"""The route for a run as a bundle, with its artifacts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from starlette.responses import Response

from server.dependencies import StoreDep
from server.exports import send_export
from server.openapi import content
from server.rights import CallerDep, Reader
from server.routing import api_router
from tracker.bundles.bundle_file import write_bundle
from tracker.bundles.staging import Staging
from tracker.bundles.store_source import StoreSource
from tracker.errors import NotFoundError, UsageError
from tracker.recorder.upload import list_runs
from tracker.store.blobs.content import CHUNK
from tracker.store.ingest.deletion import seal_segments
from tracker.store.queries.visible import Visible

router = api_router(prefix="/projects/{entity}/{project}/runs/{run_id}", tags=["runs"], dependencies=[Reader])

MEDIA_TYPE = "application/octet-stream"


@router.get("/bundle", response_class=Response, responses=content(MEDIA_TYPE))
def get_bundle(store: StoreDep, caller: CallerDep, entity: str, project: str, run_id: str) -> Response:
    """Return a run with its artifacts, as a bundle for another store.

    Segments that have not ended, and artifacts in projects that the caller cannot read, are left out.

    \f
    See ``write_bundle``.
    """
    if not store.layout.is_copy:
        with suppress(UsageError):  # a writer is active: only its ended segments are in the bundle
            seal_segments(store, entity, project, run_id)
    found = list_runs(store, (entity, project, run_id))
    if not found:
        raise NotFoundError(f"there is no run {entity}/{project}/{run_id}")

    def pieces() -> Iterator[bytes]:
        with Staging(store.layout.temporary) as staging:
            source = StoreSource(store, found, staging, visible=Visible(caller.rights))
            path = staging.path("bundle")
            with path.open("x+b") as file:
                write_bundle(source, file)
                file.seek(0)
                while chunk := file.read(CHUNK):
                    yield chunk

    return send_export(pieces, MEDIA_TYPE)
