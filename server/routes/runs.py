"""One run: what it is, its charts, media, tables, files and rows."""

from __future__ import annotations

from typing import Annotated, Any

import pyarrow as pa
from fastapi import APIRouter, Body, Query, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from server.charts import pack_series
from server.dependencies import Reader, ReaderDep, StoreDep, Writer
from server.downloads import send_blob
from server.links import link_object, link_table
from server.responses import LARGEST_NUMBER, ExactJSON
from tracker.ground.read_models import FileInfo, RunDetail
from tracker.runstate.merge import pack_segments
from tracker.store.queries import charts, media
from tracker.store.queries.runs import get_run, segment_views

router = APIRouter(prefix="/projects/{entity}/{project}/runs/{run_id}", tags=["runs"], dependencies=[Reader])

Points = Annotated[int, Query(ge=1, le=20_000)]
Keys = Annotated[list[str], Query(min_length=1, max_length=200)]


@router.get("", response_model=RunDetail)
def detail(reader: ReaderDep, entity: str, project: str, run_id: str) -> Response:
    """Describe a run, with the keys of its history."""
    return ExactJSON(reader.run(entity, project, run_id))


@router.get("/segments", response_class=Response)
def segments(store: StoreDep, entity: str, project: str, run_id: str) -> Response:
    """Return the state of each segment of a run, for a process that resumes it."""

    def packed(session: Session) -> bytes:
        run = get_run(session, entity, project, run_id)
        return pack_segments(segment_views(session, run), run.edits)

    return Response(store.answer(packed), media_type="application/msgpack")


@router.patch("", response_model=RunDetail, dependencies=[Writer])
def edit(
    reader: ReaderDep, entity: str, project: str, run_id: str, body: Annotated[dict[str, Any], Body()]
) -> Response:
    """Change what is given of a run: name, tags, notes, group, job type, keys of config and summary."""
    return ExactJSON(reader.edit(entity, project, run_id, body))


@router.delete("", dependencies=[Writer])
def remove(reader: ReaderDep, entity: str, project: str, run_id: str, artifacts: bool = False) -> Response:
    """Delete a run that has ended; with ``artifacts``, the versions that it logged too."""
    reader.delete_run(entity, project, run_id, artifacts)
    return ExactJSON({})


@router.get("/chart")
def chart(
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
) -> Response:
    """Return lines as Float64 columns; see docs/rest-api.md for the layout."""

    def lines(session: Session) -> list[charts.Series]:
        run = get_run(session, entity, project, run_id)
        return charts.chart(store, session, run, key, x=x, points=points, low=min, high=max, segment=segment)

    series = store.answer(lines)
    return Response(pack_series(x, series), media_type="application/octet-stream")


@router.get("/history")
def rows(
    reader: ReaderDep,
    entity: str,
    project: str,
    run_id: str,
    key: Annotated[list[str] | None, Query()] = None,
    complete: bool = False,
    segment: str | None = None,
) -> Response:
    """Return all rows, or those that have any (or, ``complete``, all) of the keys."""
    return ExactJSON({"rows": reader.history(entity, project, run_id, key, complete, segment)})


@router.get("/history.arrow")
def columns(
    reader: ReaderDep,
    entity: str,
    project: str,
    run_id: str,
    key: Annotated[list[str] | None, Query()] = None,
    segment: str | None = None,
) -> Response:
    """Return the rows as columns: an Arrow IPC stream."""
    found = reader.table(entity, project, run_id, key, segment)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, found.schema) as writer:
        writer.write_table(found)
    return Response(sink.getvalue().to_pybytes(), media_type="application/vnd.apache.arrow.stream")


@router.get("/objects")
def objects(
    store: StoreDep,
    entity: str,
    project: str,
    run_id: str,
    key: str,
    limit: Annotated[int, Query(ge=1, le=1000)] = 300,
) -> Response:
    """List what was logged under a key that is no plain value (media, histograms), by step, with addresses.

    Of more than ``limit`` steps so many are returned, evenly chosen, the first and the last among them.
    """

    def found(session: Session) -> list[dict[str, Any]]:
        run = get_run(session, entity, project, run_id)
        logged = media.objects(store, session, run, key, limit=limit)
        return [{"step": step, "value": link_object(run, value)} for step, value in logged]

    return ExactJSON({"key": key, "steps": store.answer(found)})


@router.get("/table")
def table(
    store: StoreDep,
    entity: str,
    project: str,
    run_id: str,
    key: str,
    step: int | None = None,
    offset: Annotated[int, Query(ge=0, le=LARGEST_NUMBER)] = 0,
    limit: Annotated[int, Query(ge=0, le=1000)] = 50,
) -> Response:
    """Return a page of the table logged under a key, the last one unless a step is given."""

    def found(session: Session) -> Any:
        run = get_run(session, entity, project, run_id)
        page = media.table(store, session, run, key, step=step, offset=offset, limit=limit)
        return link_table(run, page)

    return ExactJSON(store.answer(found))


@router.get("/files", response_model=dict[str, list[FileInfo]])
def list_files(reader: ReaderDep, entity: str, project: str, run_id: str) -> Response:
    """List the run's files by path: media, and whatever else was saved with it."""
    return ExactJSON({"files": reader.files(entity, project, run_id)})


@router.get("/files/{path:path}")
def file(
    request: Request,
    store: StoreDep,
    entity: str,
    project: str,
    run_id: str,
    path: str,
    download: bool = False,
    page: bool = False,
) -> Response:
    """Return a file of the run; answers ranges. With ``page``, HTML is shown, in a sandbox."""
    with store.reading() as session:
        found = media.run_file(session, get_run(session, entity, project, run_id), path)
    return send_blob(
        store, found.sha256, path, found.mimetype, asked=request.headers, attachment=download, page=page
    )
