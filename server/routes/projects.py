"""Routes for projects and their runs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from server.answers import ProjectList
from server.dependencies import Reader, ReaderDep
from server.responses import LARGEST_NUMBER, ExactJSON
from tracker.ground.read_models import RunPage
from tracker.store.queries.filters import parse
from tracker.store.queries.runs import LARGEST_PAGE

# Longest text to search for, in characters: SQLite refuses a pattern of 50,000 bytes.
LARGEST_SEARCH = 1000

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
    search: Annotated[str, Query(max_length=LARGEST_SEARCH)] = "",
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
