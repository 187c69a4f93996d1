"""Queries about projects and runs: lists, and the detail of one run."""

from __future__ import annotations

from dataclasses import fields

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tracker.errors import NotFoundError
from tracker.ground.read_models import ProjectInfo, RunDetail, RunInfo
from tracker.runstate.fold import unpack_state
from tracker.runstate.merge import SegmentView, add_segments
from tracker.store.catalog.models import Project, Run, Segment
from tracker.store.catalog.revision_cache import revision
from tracker.store.queries.run_order import ORDERS
from tracker.store.queries.run_rows import list_runs
from tracker.store.queries.visible import EVERYTHING, Visible

__all__ = ["ORDERS", "list_runs", "revision"]  # the lists of runs are a part of this module for its callers


def list_projects(session: Session, visible: Visible = EVERYTHING) -> list[ProjectInfo]:
    """Return the visible projects, the most recently changed first."""
    # Each of these reads one range of an index: its length or its end.
    runs_of = select(func.count(Run.id)).where(Run.project_id == Project.id).scalar_subquery()
    latest_of = select(func.max(Run.updated_at)).where(Run.project_id == Project.id).scalar_subquery()
    first_of = select(func.min(Run.created_at)).where(Run.project_id == Project.id).scalar_subquery()
    query = select(Project.entity, Project.name, runs_of, latest_of, first_of, Project.created_at)
    rows = session.execute(visible.limit_names(query, Project.entity, Project.name).order_by(Project.id))
    found = [
        ProjectInfo(entity, name, runs, latest or created, first or created)
        for entity, name, runs, latest, first, created in rows
    ]
    return sorted(found, key=lambda project: -project.updated_at)


def created_project(session: Session, entity: str, project: str) -> float | None:
    """Return the creation time of a project in unix seconds, as ``list_projects``; None if it is unknown.

    Args:
        session: A read transaction.
        entity: The entity of the project.
        project: The name of the project.
    """
    first_of = select(func.min(Run.created_at)).where(Run.project_id == Project.id).scalar_subquery()
    query = select(func.coalesce(first_of, Project.created_at))
    found: float | None = session.scalar(query.where(Project.entity == entity, Project.name == project))
    return found


def get_run(session: Session, entity: str, project: str, run_id: str) -> Run:
    """Return the catalog row of a run.

    Args:
        session: A read or write transaction.
        entity: The entity of the project.
        project: The name of the project.
        run_id: The id of the run.

    Raises:
        NotFoundError: The run does not exist.
    """
    run = session.scalar(
        select(Run)
        .join(Project)
        .where(Project.entity == entity, Project.name == project, Run.run_id == run_id)
    )
    if run is None:
        raise NotFoundError(f"there is no run {entity}/{project}/{run_id} in this store")
    return run


def segment_views(session: Session, run: Run) -> list[SegmentView]:
    """Return a run's segments with their states, in the order in which they came into the catalog."""
    found = session.execute(
        select(
            Segment.segment,
            Segment.rank,
            Segment.attempt,
            Segment.started_at,
            Segment.start_step,
            Segment.ended,
            Segment.state,
            Segment.fault,
        )
        .where(Segment.run_id == run.id)
        .order_by(Segment.id)
    )
    return [SegmentView(*row[:-2], unpack_state(row.state), row.fault) for row in found]


def run_detail(session: Session, entity: str, project: str, run_id: str) -> RunDetail:
    """Return a run with its segments, keys and problems. See ``get_run`` for arguments and errors."""
    run = get_run(session, entity, project, run_id)
    return add_segments(_info(run), segment_views(session, run))


def _info(run: Run) -> RunInfo:
    shown = {
        each.name: getattr(run, "run_id" if each.name == "id" else each.name) for each in fields(RunInfo)[2:]
    }
    return RunInfo(run.project.entity, run.project.name, **shown)
