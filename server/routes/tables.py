"""Routes for the tables that a run logged: pages, groups, and the comparison of two tables."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from server.answers import LinkedTablePage
from server.dependencies import ReaderDep
from server.links import link_comparison, link_table
from server.responses import LARGEST_NUMBER, ExactJSON
from server.rights import Reader
from server.routing import api_router
from tracker.errors import UsageError
from tracker.ground.names import RunPath
from tracker.ground.table_answers import Shown, TableComparison, TableGroups
from tracker.store.queries.filters import parse

router = api_router(
    prefix="/projects/{entity}/{project}/runs/{run_id}/table", tags=["runs"], dependencies=[Reader]
)

Offset = Annotated[int, Query(ge=0, le=LARGEST_NUMBER)]
Limit = Annotated[int, Query(ge=0, le=1000)]
Filters = Annotated[str, Query(max_length=200_000)]
Columns = Annotated[list[str] | None, Query(max_length=50)]


@router.get("", response_model=LinkedTablePage)
def get_table(
    reader: ReaderDep,
    entity: str,
    project: str,
    run_id: str,
    key: str,
    step: int | None = None,
    offset: Offset = 0,
    limit: Limit = 50,
    order: Annotated[list[str] | None, Query(max_length=5)] = None,
    filters: Filters = "",
) -> Response:
    """Return a page of the table that was logged under a key at ``step``; by default the last table.

    ``order`` names columns to sort by, with ``-`` in front for the reverse order. ``filters`` is a filter of
    the rows in JSON. docs/rest-api.md describes both.

    \f
    See ``TableReader.table_page``.
    """
    run: RunPath = (entity, project, run_id)
    page = reader.table_page(
        *run, key, step, filters=_parsed(filters), order=order or (), offset=offset, limit=limit
    )
    return ExactJSON(link_table(run, page))


@router.get("/groups", response_model=TableGroups)
def group_table(
    reader: ReaderDep,
    entity: str,
    project: str,
    run_id: str,
    key: str,
    by: Annotated[list[str], Query(min_length=1, max_length=3)],
    step: int | None = None,
    column: Columns = None,
    offset: Offset = 0,
    limit: Limit = 50,
    filters: Filters = "",
) -> Response:
    """Return the groups of a table's rows with equal values in ``by``, the largest group first.

    Each group has the number of its rows, and count, mean, minimum and maximum of the numbers in each
    ``column``; by default in the first 50 columns with numbers.

    \f
    See ``TableReader.table_groups``.
    """
    return ExactJSON(
        reader.table_groups(
            entity,
            project,
            run_id,
            key,
            step,
            by=by,
            columns=column,
            filters=_parsed(filters),
            offset=offset,
            limit=limit,
        )
    )


@router.get("/compare", response_model=TableComparison)
def compare_tables(
    reader: ReaderDep,
    entity: str,
    project: str,
    run_id: str,
    key: str,
    step: int | None = None,
    with_run: str | None = None,
    with_key: str | None = None,
    with_step: int | None = None,
    on: Annotated[list[str] | None, Query(max_length=10)] = None,
    show: Shown = "differences",
    offset: Offset = 0,
    limit: Limit = 50,
) -> Response:
    """Compare a table (left) with a table of another step or of another run of the project (right).

    ``on`` names the columns whose values join the rows; without it, rows with the same number are joined.
    ``show`` selects the rows of the answer.

    \f
    See ``TableReader.compare_tables``.
    """
    other = with_run or run_id
    found = reader.compare_tables(
        entity,
        project,
        (run_id, key, step),
        (other, with_key or key, with_step),
        on=on or (),
        show=show,
        offset=offset,
        limit=limit,
    )
    return ExactJSON(link_comparison((entity, project, run_id), (entity, project, other), found))


def _parsed(filters: str) -> dict[str, Any] | None:
    found = parse(filters) if filters else None
    if found is not None and not isinstance(found, dict):
        raise UsageError("filters: the text is not a JSON object")
    return found
