"""The changes of runs since a revision, for clients that follow a store."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.ground.live_changes import ChangeBatch
from tracker.ground.read_models import RunName
from tracker.store.catalog.models import DeletedRun, Project, Run
from tracker.store.queries.runs import revision
from tracker.store.queries.visible import EVERYTHING, Visible

LARGEST_BATCH = 1000


def change_batch(
    session: Session,
    since: int | None,
    project: tuple[str, str] | None = None,
    visible: Visible = EVERYTHING,
) -> ChangeBatch:
    """Return the changes after revision ``since``, at most about ``LARGEST_BATCH`` of each kind.

    Args:
        session: A read transaction.
        since: The revision that the caller knows; None for the current revision without changes.
        project: Entity and name of a project, to return only changes of its runs.
        visible: The projects that the caller sees.
    """
    now = revision(session)
    if since is None or since >= now:
        return ChangeBatch(now)
    changed = (
        select(Project.entity, Project.name, Run.run_id, Run.revision)
        .join(Run, Run.project_id == Project.id)
        .where(Run.revision > since)
        .order_by(Run.revision)
    )
    removed = (
        select(DeletedRun.entity, DeletedRun.project, DeletedRun.run_id, DeletedRun.revision)
        .where(DeletedRun.revision > since)
        .order_by(DeletedRun.revision)
    )
    if project is not None:
        changed = changed.where(Project.entity == project[0], Project.name == project[1])
        removed = removed.where(DeletedRun.entity == project[0], DeletedRun.project == project[1])
    changed = visible.limit_names(changed, Project.entity, Project.name)
    removed = visible.limit_names(removed, DeletedRun.entity, DeletedRun.project)
    found = [session.execute(query.limit(LARGEST_BATCH)).all() for query in (changed, removed)]
    # A full list may lack later changes: the next batch continues where the list ends.
    upto = min([now, *(rows[-1].revision for rows in found if len(rows) == LARGEST_BATCH)])
    runs, gone = ([RunName(*row[:3]) for row in rows if row.revision <= upto] for rows in found)
    return ChangeBatch(upto, runs, gone)
