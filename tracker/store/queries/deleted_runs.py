"""Queries about deleted runs that can be restored."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tracker.errors import NotFoundError
from tracker.ground.deleted_runs import DeletedRunInfo, DeletedRunPage
from tracker.store.catalog.models import DeletedRun


def list_deleted(
    session: Session, entity: str, project: str, *, limit: int = 100, offset: int = 0
) -> DeletedRunPage:
    """Return a page of a project's deleted runs, the last deleted first.

    Args:
        session: A read transaction.
        entity: The entity of the project.
        project: The name of the project.
        limit: The largest number of runs.
        offset: The number of runs to skip.
    """
    wanted = (
        DeletedRun.entity == entity,
        DeletedRun.project == project,
        DeletedRun.keep_until.is_not(None),
    )
    total = session.scalar(select(func.count(DeletedRun.id)).where(*wanted)) or 0
    found = session.scalars(
        select(DeletedRun).where(*wanted).order_by(DeletedRun.id.desc()).limit(limit).offset(offset)
    )
    return DeletedRunPage(
        total,
        [
            DeletedRunInfo(
                each.entity,
                each.project,
                each.run_id,
                each.name,
                each.token,
                each.deleted_at,
                each.keep_until or 0.0,
            )
            for each in found
        ],
    )


def find_deleted(session: Session, entity: str, project: str, run_id: str, token: str | None) -> DeletedRun:
    """Return the row of a deleted run that can be restored.

    Args:
        session: A transaction of the catalog.
        entity: The entity of the project.
        project: The name of the project.
        run_id: The id of the run.
        token: Which of several deleted runs with this id; None for the one that was deleted last.

    Raises:
        NotFoundError: There is no such run.
    """
    wanted = [
        DeletedRun.entity == entity,
        DeletedRun.project == project,
        DeletedRun.run_id == run_id,
        DeletedRun.keep_until.is_not(None),
    ]
    if token is not None:
        wanted.append(DeletedRun.token == token)
    found = session.scalar(select(DeletedRun).where(*wanted).order_by(DeletedRun.id.desc()).limit(1))
    if found is None:
        raise NotFoundError(f"there is no deleted run {entity}/{project}/{run_id} that can be restored")
    return found
