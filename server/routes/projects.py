"""Projects and their runs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from server.dependencies import Reader, StoreDep
from server.responses import LARGEST_NUMBER, ExactJSON
from tracker.ground.answers import ProjectInfo, RunPage
from tracker.store.queries import runs as query
from tracker.store.queries.filters import parse

router = APIRouter(tags=["projects"], dependencies=[Reader])


@router.get("/projects", response_model=dict[str, list[ProjectInfo]])
def projects(store: StoreDep) -> Response:
    """List all projects, the most recently changed first."""
    with store.reading() as session:
        return ExactJSON({"projects": query.list_projects(session)})


@router.get("/projects/{entity}/{project}/runs", response_model=RunPage)
def runs(
    store: StoreDep,
    entity: str,
    project: str,
    limit: Annotated[int, Query(ge=0, le=query.LARGEST_PAGE)] = 100,
    offset: Annotated[int, Query(ge=0, le=LARGEST_NUMBER)] = 0,
    order: str = "-created_at",
    search: str = "",
    filters: str = "",
) -> Response:
    """List a page of a project's runs: those that match a search and a filter, in an order."""
    asked = parse(filters) if filters else None
    with store.reading() as session:
        page = query.list_runs(
            session,
            entity,
            project,
            limit=limit,
            offset=offset,
            order=order,
            search=search,
            filters=asked,
        )
    return ExactJSON(page)
