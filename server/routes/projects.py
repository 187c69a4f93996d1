"""Routes for projects and their runs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from server.answers import ProjectList
from server.dependencies import Reader, ReaderDep, Writer
from server.edit_bodies import BulkChange
from server.responses import LARGEST_NUMBER, ExactJSON
from tracker.ground.bulk_edits import BulkResult
from tracker.ground.read_models import RunPage
from tracker.store.queries.filters import parse
from tracker.store.queries.runs import LARGEST_PAGE

router = APIRouter(tags=["projects"], dependencies=[Reader])


@router.get("/projects", response_model=ProjectList)
def list_projects(reader: ReaderDep) -> Response:
    """List all projects, the most recently changed first."""
    return ExactJSON(ProjectList(reader.projects()))


@router.get("/projects/{entity}/{project}/runs", response_model=RunPage)
def list_runs(
    reader: ReaderDep,
    entity: str,
    project: str,
    limit: Annotated[int, Query(ge=0, le=LARGEST_PAGE)] = 100,
    offset: Annotated[int, Query(ge=0, le=LARGEST_NUMBER)] = 0,
    order: str = "-created_at",
    search: str = "",
    filters: str = "",
) -> Response:
    """List one page of the runs of a project that match ``search`` and ``filters``, in the given order.

    \f
    See ``RunReader.runs``.
    """
    asked = parse(filters) if filters else None
    return ExactJSON(
        reader.runs(entity, project, limit=limit, offset=offset, order=order, search=search, filters=asked)
    )


@router.post("/projects/{entity}/{project}/runs/change", response_model=BulkResult, dependencies=[Writer])
def change_runs(reader: ReaderDep, entity: str, project: str, body: BulkChange) -> Response:
    """Edit, delete or restore many runs of a project at once: at most 1000.

    Each run is changed completely or not at all. The answer has a result for each run. With ``dry_run``,
    nothing is changed, and the answer has only the number of runs.

    \f
    See ``RunReader.change_runs``.
    """
    return ExactJSON(reader.change_runs(entity, project, body.action, **body.options()))
