"""Routes for projects and their runs."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import Query, Request
from starlette.responses import Response

from server.answers import ProjectList
from server.bodies import LARGEST_SEARCH
from server.dependencies import ReaderDep, StoreDep
from server.edit_bodies import BulkChange
from server.responses import LARGEST_NUMBER, ExactJSON
from server.rights import CallerDep, Reader, SignedIn, Writer, require_project
from server.routing import api_router
from tracker.errors import NotFoundError
from tracker.ground.bulk_edits import BulkResult
from tracker.ground.field_infos import FieldList
from tracker.ground.read_models import ProjectOverview, RunName, RunPage
from tracker.ground.run_groups import RunGroups
from tracker.ground.run_selections import RunValues
from tracker.store.queries.field_list import LARGEST_LIST, LARGEST_VALUES
from tracker.store.queries.filters import parse
from tracker.store.queries.project_overview import LARGEST_DAYS, project_overview
from tracker.store.queries.query_language import LONGEST_QUERY
from tracker.store.queries.run_pages import LARGEST_PAGE, PageAsked
from tracker.store.queries.run_rows import LARGEST_FIELDS, page_json, parse_fields, select_values

router = api_router(tags=["projects"])


@router.get("/projects", response_model=ProjectList, dependencies=[SignedIn])
def list_projects(reader: ReaderDep) -> Response:
    """List all projects, the most recently changed first."""
    return ExactJSON(ProjectList(reader.projects()))


@router.get("/projects/{entity}/{project}/overview", response_model=ProjectOverview, dependencies=[Reader])
def get_project_overview(
    store: StoreDep,
    entity: str,
    project: str,
    days: Annotated[int, Query(ge=1, le=LARGEST_DAYS)] = 30,
) -> Response:
    """Return the states of the runs of a project, its runs per day, and the size of its artifacts.

    ``days`` is the number of days, in UTC. The last day is today.

    \f
    See ``project_overview``.
    """
    found = store.answer(lambda read: project_overview(read, entity, project, days=days, now=time.time()))
    return ExactJSON(found)


Limit = Annotated[int, Query(ge=0, le=LARGEST_PAGE)]
Offset = Annotated[int, Query(ge=0, le=LARGEST_NUMBER)]
QueryText = Annotated[
    str, Query(max_length=LONGEST_QUERY, examples=['state:failed config.lr>0.01 "vit.*sgd"'])
]
Names = Annotated[list[str], Query(max_length=LARGEST_FIELDS)]


@router.get("/projects/{entity}/{project}/runs", response_model=RunPage | RunValues, dependencies=[Reader])
def list_runs(
    store: StoreDep,
    entity: str,
    project: str,
    limit: Limit = 100,
    offset: Offset = 0,
    order: str = "-created_at",
    search: Annotated[str, Query(max_length=LARGEST_SEARCH)] = "",
    filters: str = "",
    query: QueryText = "",
    cursor: str = "",
    fields: str = "",
) -> Response:
    """List one page of the runs of a project that match ``search``, ``filters`` and ``query``, in an order.

    ``order`` has one or several keys, such as ``-summary.loss,name``. ``cursor`` is ``next`` of the page
    before: the page continues after the last run, also if new runs have arrived. ``fields``, such as
    ``name,config.lr``, selects the fields of the answer.

    \f
    See ``RunReader.runs`` and ``RunReader.run_values``.
    """
    options: dict[str, Any] = {
        "limit": limit,
        "offset": offset,
        "order": order,
        "search": search,
        "filters": parse(filters) if filters else None,
        "query": query,
        "cursor": cursor,
    }
    if fields:
        names = parse_fields(fields)
        with store.reading_rows() as rows:
            return ExactJSON(select_values(rows, entity, project, names, **options))
    with store.reading_rows() as rows:
        return Response(page_json(rows, PageAsked(entity, project, **options)), media_type="application/json")


@router.get("/projects/{entity}/{project}/run-groups", response_model=RunGroups, dependencies=[Reader])
def group_runs(
    reader: ReaderDep,
    entity: str,
    project: str,
    by: Names = [],  # noqa: B006 - FastAPI copies it
    all_but: str | None = None,
    metric: Names = [],  # noqa: B006
    limit: Limit = 100,
    offset: Offset = 0,
    order: str = "",
    search: str = "",
    filters: str = "",
    query: QueryText = "",
) -> Response:
    """Group the matching runs of a project, with statistics of metrics that are computed from all of them.

    ``by`` has one or several keys, such as ``state,config.lr``. Instead of it, ``all_but`` groups by all
    config keys except the given ones. ``metric`` is a key of the summary and can be repeated. ``order`` is
    ``runs``, a key of the groups, or ``METRIC:STATISTIC`` such as ``-loss:mean``.

    \f
    See ``RunReader.run_groups``.
    """
    from tracker.store.queries.run_groups import parse_keys  # NumPy is heavy: an idle server does not need it

    return ExactJSON(
        reader.run_groups(
            entity,
            project,
            by=parse_keys(by),
            all_but=None if all_but is None else parse_keys([all_but]),
            metrics=list(dict.fromkeys(metric)),
            limit=limit,
            offset=offset,
            order=order,
            search=search,
            filters=parse(filters) if filters else None,
            query=query,
        )
    )


@router.get("/projects/{entity}/{project}/fields", response_model=FieldList, dependencies=[Reader])
def list_fields(
    reader: ReaderDep,
    entity: str,
    project: str,
    search: Annotated[str, Query(max_length=LARGEST_SEARCH, examples=["config.opt"])] = "",
    values: Annotated[int, Query(ge=0, le=LARGEST_VALUES)] = 12,
    limit: Annotated[int, Query(ge=1, le=LARGEST_LIST)] = 1000,
) -> Response:
    """List the keys of config and summary that the runs of a project have, and tags and columns, by name.

    ``search`` selects the fields whose name contains a text. ``values`` is the largest number of strings of
    a field, ``limit`` that of fields. Each field has its smallest and largest number.

    \f
    See ``RunReader.fields``.
    """
    return ExactJSON(reader.fields(entity, project, search=search, values=values, limit=limit))


@router.post("/projects/{entity}/{project}/runs/change", response_model=BulkResult, dependencies=[Writer])
def change_runs(request: Request, reader: ReaderDep, entity: str, project: str, body: BulkChange) -> Response:
    """Edit, delete, restore or move many runs of a project at once: at most 1000.

    Each run is changed completely or not at all. The answer has a result for each run. With ``dry_run``,
    nothing is changed, and the answer has only the number of runs.

    \f
    See ``RunReader.change_runs``.
    """
    request.scope["tracker.noted"] = body.dry_run  # the audit log has only changes
    if body.action == "move" and body.to_project is not None:
        require_project(request, "writer", body.to_entity or entity, body.to_project, creates=True)
    return ExactJSON(reader.change_runs(entity, project, body.action, **body.options()))


@router.get("/projects/{entity}/{project}/moved-runs/{run_id}", response_model=RunName, dependencies=[Reader])
def find_moved_run(caller: CallerDep, reader: ReaderDep, entity: str, project: str, run_id: str) -> Response:
    """Return the name of the run that was moved last from a project and had this id there.

    \f
    See ``RunReader.moved_run``.
    """
    found = reader.moved_run(entity, project, run_id)
    if found is None or not caller.rights.may("viewer", found.entity, found.project):
        raise NotFoundError(f"no run {entity}/{project}/{run_id} was moved to another project")
    return ExactJSON(found)
