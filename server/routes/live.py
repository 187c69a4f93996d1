"""Routes for changes of runs: a long poll, and streams of events."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import Header, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from server.dependencies import StoreDep
from server.events import ChangeFeed
from server.responses import LARGEST_NUMBER, ExactJSON
from server.rights import CallerDep, Reader, SignedIn
from server.routing import api_router
from server.watcher import Watcher
from tracker.errors import UsageError
from tracker.ground.live_changes import ChangeBatch
from tracker.ground.read_models import Changes
from tracker.store.queries.changes import change_batch
from tracker.store.queries.visible import Visible
from tracker.store.store import Store

router = api_router(tags=["live"])

Since = Annotated[int | None, Query(ge=0, le=LARGEST_NUMBER)]
# A stream ends, so that the server checks the client's key again when the client connects again.
Lifetime = Annotated[float, Query(ge=0, le=86_400, description="Longest time of the stream in seconds.")]
# Browsers send it by themselves, so it is described only in words.
LastEvent = Annotated[int | None, Header(ge=0, le=LARGEST_NUMBER, include_in_schema=False)]
_EVENTS: dict[str, Any] = {
    "response_class": StreamingResponse,
    "responses": {
        200: {
            "description": "Events whose data is JSON with `revision`, `runs` and `removed`.",
            "content": {"text/event-stream": {"schema": {"$ref": "#/components/schemas/ServerEvent"}}},
        }
    },
}


@router.get("/live", response_model=Changes, dependencies=[SignedIn])
async def get_changes(
    request: Request,
    caller: CallerDep,
    store: StoreDep,
    since: Annotated[int | None, Query(ge=0, le=LARGEST_NUMBER)] = None,
    timeout: Annotated[float, Query(ge=0, le=60)] = 25.0,
) -> Response:
    """Answer when a run that the caller can read changes after revision ``since``, or after some seconds.

    \f
    Args:
        request: The request.
        caller: The caller.
        store: The store of this server.
        since: Revision that the caller has seen; None to get an answer immediately.
        timeout: Longest wait in seconds.
    """
    watcher: Watcher = request.app.state.watcher
    visible = Visible(caller.rights)
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    batch = await run_in_threadpool(_changes, store, since, visible)
    while since is not None and (left := end - loop.time()) > 0 and not watcher.is_ending:
        if batch.runs or batch.removed or (visible.everything and batch.revision > since):
            break
        await watcher.wait_for_revision(max(since, batch.revision), left)
        batch = await run_in_threadpool(_changes, store, since, visible)
    return ExactJSON(Changes(batch.revision, batch.runs, batch.removed))


@router.get("/live/events", dependencies=[SignedIn], **_EVENTS)
async def follow_changes(
    request: Request,
    since: Since = None,
    last_event_id: LastEvent = None,
    project: Annotated[str | None, Query(max_length=1000, description="`ENTITY/PROJECT`")] = None,
    timeout: Lifetime = 3600.0,
) -> Response:
    """Stream the changes of runs after revision ``since``, as server-sent events.

    The first event comes immediately. The id of each event is a revision: a client that connects again
    sends the last id in ``Last-Event-ID``, and misses nothing. Events have the type ``changes``, or ``reset``
    if the client's revision is not one of this store: then load everything again.

    \f
    Args:
        request: The request.
        since: Revision that the caller has seen; None to begin with the current revision.
        last_event_id: The same, from a client that connects again. It takes precedence.
        project: Send only changes of this project.
        timeout: Longest time of the stream in seconds.
    """
    path = None
    if project is not None:
        entity, found, name = project.partition("/")
        if not found:
            raise UsageError(f"Invalid project {project!r:.80}. Use ENTITY/PROJECT.")
        path = (entity, name)
    return _stream(request, since if last_event_id is None else last_event_id, path, timeout)


@router.get("/projects/{entity}/{project}/live/events", dependencies=[Reader], **_EVENTS)
async def follow_project(
    request: Request,
    entity: str,
    project: str,
    since: Since = None,
    last_event_id: LastEvent = None,
    timeout: Lifetime = 3600.0,
) -> Response:
    """Stream the changes of a project's runs after revision ``since``. See ``/live/events``.

    \f
    Args:
        request: The request.
        entity: Entity of the project.
        project: Name of the project.
        since: Revision that the caller has seen; None to begin with the current revision.
        last_event_id: The same, from a client that connects again. It takes precedence.
        timeout: Longest time of the stream in seconds.
    """
    known = since if last_event_id is None else last_event_id
    return _stream(request, known, (entity, project), timeout)


def _stream(request: Request, since: int | None, project: tuple[str, str] | None, timeout: float) -> Response:
    feed: ChangeFeed = request.app.state.feed
    # A proxy such as nginx must not collect the events.
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(
        feed.stream(request, since, project, timeout), media_type="text/event-stream", headers=headers
    )


def _changes(store: Store, since: int | None, visible: Visible) -> ChangeBatch:
    with store.reading() as session:
        return change_batch(session, since, visible=visible)
