"""The route for changes of runs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from server.dependencies import Reader, StoreDep
from server.responses import LARGEST_NUMBER, ExactJSON
from server.watcher import Watcher
from tracker.ground.read_models import Changes
from tracker.store.queries.runs import changes_since
from tracker.store.store import Store

router = APIRouter(tags=["live"], dependencies=[Reader])


@router.get("/live", response_model=Changes)
async def get_changes(
    request: Request,
    store: StoreDep,
    since: Annotated[int | None, Query(ge=0, le=LARGEST_NUMBER)] = None,
    timeout: Annotated[float, Query(ge=0, le=60)] = 25.0,
) -> Response:
    """Answer when a run changes after revision ``since``, or after ``timeout`` seconds.

    \f
    Args:
        request: The request.
        store: The store of this server.
        since: Revision that the caller has seen; None to get an answer immediately.
        timeout: Longest wait in seconds.
    """
    watcher: Watcher = request.app.state.watcher
    changes = await run_in_threadpool(_changes, store, since)
    if since is not None and changes.revision <= since:
        await watcher.wait_for_revision(since, timeout)
        changes = await run_in_threadpool(_changes, store, since)
    return ExactJSON(changes)


def _changes(store: Store, since: int | None) -> Changes:
    with store.reading() as session:
        return changes_since(session, since)
