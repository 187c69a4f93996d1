"""The route for a run as a bundle, with its artifacts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated

from fastapi import Query
from sqlalchemy import select
from starlette.responses import Response

from server.dependencies import StoreDep
from server.exports import send_export
from server.openapi import content
from server.rights import CallerDep, Reader
from server.routing import api_router
from tracker.bundles.bundle_file import make_bundle
from tracker.bundles.staging import Staging
from tracker.bundles.store_source import StoreSource
from tracker.errors import NotFoundError
from tracker.recorder.upload import list_runs
from tracker.store.catalog.models import Segment
from tracker.store.queries.visible import Visible
from tracker.store.store import Store

router = api_router(prefix="/projects/{entity}/{project}/runs/{run_id}", tags=["runs"], dependencies=[Reader])

MEDIA_TYPE = "application/octet-stream"
LOOK_SECONDS = 0.1
Wait = Annotated[float, Query(ge=0, le=30)]


@router.get("/bundle", response_class=Response, responses=content(MEDIA_TYPE))
def get_bundle(
    store: StoreDep, caller: CallerDep, entity: str, project: str, run_id: str, wait: Wait = 0.0
) -> Response:
    """Return a run with its artifacts, as a bundle for another store.

    Segments that have not ended, and artifacts in projects that the caller cannot read, are left out. The
    last segment of a run is complete shortly after its end: ``wait`` waits up to this number of seconds.

    \f
    See ``make_bundle``.
    """
    until = time.monotonic() + wait
    while True:
        found = list_runs(store, (entity, project, run_id))
        if not found:
            raise NotFoundError(f"there is no run {entity}/{project}/{run_id}")
        sealed = all(sealed for _, _, sealed in found[0].segments)
        if sealed or time.monotonic() > until or _is_running(store, found[0].number):
            break
        time.sleep(LOOK_SECONDS)  # the watcher seals the segments of a run that has ended

    def pieces() -> Iterator[bytes]:
        with Staging(store.layout.temporary) as staging:
            source = StoreSource(store, found, staging, visible=Visible(caller.rights))
            yield from make_bundle(source)

    return send_export(pieces, MEDIA_TYPE)


def _is_running(store: Store, run: int) -> bool:
    with store.reading() as session:
        active = select(Segment.id).where(Segment.run_id == run, Segment.ended.is_(None)).limit(1)
        return session.scalar(active) is not None
