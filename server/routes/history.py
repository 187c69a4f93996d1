"""Routes for the rows of a run: JSON, Arrow and exports."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from server.answers import HistoryRows
from server.bodies import AskedRank
from server.dependencies import ReaderDep
from server.exports import export_content, send_export
from server.responses import LARGEST_NUMBER
from server.rights import Reader
from server.routing import api_router
from tracker.ground.export_formats import FORMATS, Format

router = api_router(prefix="/projects/{entity}/{project}/runs/{run_id}", tags=["runs"], dependencies=[Reader])

Keys = Annotated[list[str] | None, Query(max_length=10_000)]
Step = Annotated[int | None, Query(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]


@router.get("/history", response_model=HistoryRows)
def get_history(
    reader: ReaderDep,
    entity: str,
    project: str,
    run_id: str,
    key: Keys = None,
    complete: bool = False,
    segment: str | None = None,
    rank: AskedRank = None,
) -> Response:
    """Return the rows of a run: ``{"rows": [...]}``.

    ``key`` selects the rows that have at least one of the keys. With ``complete``, it selects the rows that
    have all of the given keys. ``rank`` selects the rows of one rank, or with ``all`` those of all ranks,
    each with its rank as ``_rank``.

    \f
    See ``HistoryReader.export_history``.
    """
    return send_export(
        lambda: reader.export_history(
            entity, project, run_id, "json", keys=key, complete=complete, segment=segment, rank=rank
        ),
        FORMATS["json"].media_type,
    )


@router.get("/history.arrow", response_class=Response, responses=export_content("arrow"))
def get_history_arrow(
    reader: ReaderDep,
    entity: str,
    project: str,
    run_id: str,
    key: Keys = None,
    segment: str | None = None,
    rank: AskedRank = None,
) -> Response:
    """Return the rows of a run as columns, in an Arrow IPC stream.

    ``key``, ``segment`` and ``rank`` select rows as in the list of rows.

    \f
    See ``HistoryReader.table``.
    """
    return send_export(
        lambda: reader.export_history(
            entity, project, run_id, "arrow", keys=key, segment=segment, rank=rank, exact=False
        ),
        FORMATS["arrow"].media_type,
    )


@router.get("/history/export", response_class=Response, responses=export_content(*FORMATS))
def export_history(
    reader: ReaderDep,
    entity: str,
    project: str,
    run_id: str,
    format: Format,
    key: Keys = None,
    complete: bool = False,
    segment: str | None = None,
    rank: AskedRank = None,
    min_step: Step = None,
    max_step: Step = None,
    exact: bool = True,
) -> Response:
    """Return the rows of a run as a file, in constant memory. docs/rest-api.md describes the formats.

    ``key``, ``complete``, ``segment`` and ``rank`` select rows as in the list of rows; ``min_step`` and
    ``max_step`` are included. Without ``exact``, Arrow and Parquet have one column for each key, and values
    that do not fit the type of the column are null.

    \f
    See ``HistoryReader.export_history``.
    """
    return send_export(
        lambda: reader.export_history(
            entity,
            project,
            run_id,
            format,
            keys=key,
            complete=complete,
            segment=segment,
            rank=rank,
            min_step=min_step,
            max_step=max_step,
            exact=exact,
        ),
        FORMATS[format].media_type,
        f"{run_id}.history.{FORMATS[format].ending}",
    )
