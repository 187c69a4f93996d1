"""Routes for one run: its description, charts, media and files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Query, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from server.answers import Done, LoggedObject, LoggedObjects
from server.bodies import AskedRank
from server.dependencies import ReaderDep, StoreDep
from server.downloads import send_blob
from server.edit_bodies import RunEdit, RunMove
from server.links import link_object
from server.openapi import content, ranges
from server.responses import LARGEST_NUMBER, ExactJSON
from server.rights import Reader, Writer, require_project
from server.routing import api_router
from tracker.ground.file_pages import FilePage
from tracker.ground.read_models import RunDetail
from tracker.runstate.merge import pack_segments
from tracker.store.queries import media, runs

if TYPE_CHECKING:
    from tracker.store.queries.line_reduction import Series

router = api_router(prefix="/projects/{entity}/{project}/runs/{run_id}", tags=["runs"], dependencies=[Reader])

Points = Annotated[int, Query(ge=1, le=20_000)]
Keys = Annotated[list[str], Query(min_length=1, max_length=200)]


@router.get("", response_model=RunDetail)
def get_run(reader: ReaderDep, entity: str, project: str, run_id: str) -> Response:
    """Return a run with the keys of its history.

    \f
    See ``RunReader.run``.
    """
    return ExactJSON(reader.run(entity, project, run_id))


@router.get("/segments", response_class=Response, responses=content("application/msgpack"))
def get_segments(store: StoreDep, entity: str, project: str, run_id: str) -> Response:
    """Return the state of each segment of a run, for a process that resumes the run (MessagePack).

    \f
    Args:
        store: The store of this server.
        entity: Entity of the project.
        project: Name of the project.
        run_id: Id of the run.
    """

    def packed(session: Session) -> bytes:
        run = runs.get_run(session, entity, project, run_id)
        return pack_segments(runs.segment_views(session, run), run.edits)

    return Response(store.answer(packed), media_type="application/msgpack")


@router.patch("", response_model=RunDetail, dependencies=[Writer])
def edit_run(reader: ReaderDep, entity: str, project: str, run_id: str, body: RunEdit) -> Response:
    """Change the given fields of a run: name, tags, notes, group, job type, keys of config and summary.

    Without ``tags``, ``tags_added`` and ``tags_removed`` change single tags, so that two people who change
    tags at the same time lose none. ``archived`` hides the run from lists, or shows it again.

    \f
    See ``RunReader.edit``.
    """
    return ExactJSON(reader.edit(entity, project, run_id, body.given()))


@router.post("/move", response_model=RunDetail, dependencies=[Writer])
def move_run(
    request: Request, reader: ReaderDep, entity: str, project: str, run_id: str, body: RunMove
) -> Response:
    """Move a run that has ended to another project; return the run there.

    The artifact versions that the run logged stay in their projects. A move changes both projects.

    \f
    See ``RunReader.move_run``.
    """
    require_project(request, "writer", body.to_entity or entity, body.to_project, creates=True)
    return ExactJSON(reader.move_run(entity, project, run_id, body.to_project, body.to_entity))


@router.delete("", response_model=Done, dependencies=[Writer])
def delete_run(
    reader: ReaderDep, entity: str, project: str, run_id: str, artifacts: bool = False, now: bool = False
) -> Response:
    """Delete a run that has ended. With ``artifacts``, also delete the artifact versions that the run logged.

    The run can be restored for a grace period. With ``now``, it is deleted permanently.

    \f
    See ``RunReader.delete_run``.
    """
    reader.delete_run(entity, project, run_id, artifacts, now)
    return ExactJSON(Done())


@router.get("/chart", response_class=Response, responses=content("application/octet-stream"))
def get_chart(
    store: StoreDep,
    entity: str,
    project: str,
    run_id: str,
    key: Keys,
    x: str = "_step",
    points: Points = 1000,
    min: float | None = None,
    max: float | None = None,
    segment: str | None = None,
    rank: AskedRank = None,
) -> Response:
    """Return the data of a line chart as Float64 columns. docs/rest-api.md describes the format.

    ``rank`` selects the lines of one rank, or with ``all`` those of all ranks, rank by rank, each with its
    rank.

    \f
    See ``queries.charts.chart``.
    """

    # numpy and pyarrow are imported at the first request that needs them: they take 40 MB.
    from tracker.store.queries import charts
    from tracker.store.queries.chart_format import pack_columns

    def lines(session: Session) -> list[Series]:
        run = runs.get_run(session, entity, project, run_id)
        return charts.chart(
            store, session, run, key, x=x, points=points, low=min, high=max, segment=segment, rank=rank
        )

    series = store.answer(lines)
    return Response(pack_columns(x, series), media_type="application/octet-stream")


@router.get("/objects", response_model=LoggedObjects)
def list_objects(
    store: StoreDep,
    entity: str,
    project: str,
    run_id: str,
    key: str,
    limit: Annotated[int, Query(ge=1, le=1000)] = 300,
) -> Response:
    """List the logged objects (media, histograms) of a key by step, with the addresses of their files.

    If there are more than ``limit`` steps, the answer contains ``limit`` of them, evenly spaced, including
    the first and the last.

    \f
    See ``queries.media.objects``.
    """

    def found(session: Session) -> list[LoggedObject]:
        run = runs.get_run(session, entity, project, run_id)
        logged = media.objects(store, session, run, key, limit=limit)
        return [LoggedObject(step, link_object(run, value)) for step, value in logged]

    return ExactJSON(LoggedObjects(key, store.answer(found)))


@router.get("/files", response_model=FilePage)
def list_run_files(
    reader: ReaderDep,
    entity: str,
    project: str,
    run_id: str,
    prefix: Annotated[str, Query(max_length=4000)] = "",
    offset: Annotated[int, Query(ge=0, le=LARGEST_NUMBER)] = 0,
    limit: Annotated[int | None, Query(ge=0, le=LARGEST_NUMBER)] = None,
) -> Response:
    """List the files of a run by path: media and all other saved files, with their number and size.

    ``prefix`` selects the files whose path begins with a text. Without ``limit``, all files are returned.

    \f
    See ``FileReader.file_page``.
    """
    return ExactJSON(reader.file_page(entity, project, run_id, prefix=prefix, offset=offset, limit=limit))


@router.get("/files/{path:path}", response_class=Response, responses=ranges())
def get_run_file(
    request: Request,
    store: StoreDep,
    entity: str,
    project: str,
    run_id: str,
    path: str,
    download: bool = False,
    page: bool = False,
) -> Response:
    """Return a file of a run. Byte ranges are supported.

    ``download`` makes the browser save the file. ``page`` shows HTML in a sandbox.

    \f
    See ``queries.media.run_file``.
    """
    with store.reading() as session:
        found = media.run_file(session, runs.get_run(session, entity, project, run_id), path)
    return send_blob(
        store, found.sha256, path, found.mimetype, asked=request.headers, attachment=download, page=page
    )
