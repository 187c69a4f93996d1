"""Routes for deleted runs that can be restored."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from server.answers import Done
from server.dependencies import ReaderDep
from server.responses import LARGEST_NUMBER, ExactJSON
from server.rights import Reader, Writer
from server.routing import api_router
from tracker.ground.deleted_runs import DeletedRunPage
from tracker.ground.read_models import RunDetail

router = api_router(
    prefix="/projects/{entity}/{project}/deleted-runs", tags=["deleted runs"], dependencies=[Reader]
)


class Restoration(BaseModel):
    """Which of several deleted runs with the same id to restore; by default the one that was deleted last."""

    model_config = ConfigDict(extra="forbid")
    token: str | None = None


_NEWEST = Restoration()


@router.get("", response_model=DeletedRunPage)
def list_deleted_runs(
    reader: ReaderDep,
    entity: str,
    project: str,
    limit: Annotated[int, Query(ge=0, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=LARGEST_NUMBER)] = 0,
) -> Response:
    """List the deleted runs of a project that can be restored, the last deleted first.

    \f
    See ``RunReader.deleted_runs``.
    """
    return ExactJSON(reader.deleted_runs(entity, project, limit=limit, offset=offset))


@router.post("/{run_id}/restore", response_model=RunDetail, dependencies=[Writer])
def restore_run(
    reader: ReaderDep, entity: str, project: str, run_id: str, body: Restoration = _NEWEST
) -> Response:
    """Restore a deleted run with its rows, files, artifact versions and aliases.

    \f
    See ``RunReader.restore_run``.
    """
    return ExactJSON(reader.restore_run(entity, project, run_id, body.token))


@router.delete("/{run_id}", response_model=Done, dependencies=[Writer])
def purge_run(
    reader: ReaderDep, entity: str, project: str, run_id: str, token: str | None = None
) -> Response:
    """Delete a deleted run permanently, before its grace period ends.

    \f
    See ``RunReader.purge_run``.
    """
    reader.purge_run(entity, project, run_id, token)
    return ExactJSON(Done())
