"""A run as the catalog shows it: what all its writers said, one view, with people's edits laid over."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tracker.errors import Error, StoreError
from tracker.ground.records import RunStarted
from tracker.runstate.fold import FinishedRow, pack_state
from tracker.runstate.lacking import fill_aggregates
from tracker.runstate.view import RunView, SegmentView, merge_segments
from tracker.store.catalog.fields import refresh_fields
from tracker.store.catalog.models import Clock, Project, Run, Segment
from tracker.store.history.pieces import read_piece
from tracker.store.queries.history import segment_piece
from tracker.store.queries.runs import segment_views

# Rows that could not be read are tried again after this long: `refresh_run` is called for each batch.
DAMAGED_SECONDS = 600.0
_damaged: dict[str, float] = {}


def find_or_make_project(session: Session, entity: str, name: str, created_at: float) -> Project:
    """Return a project; a new one was created at ``created_at``."""
    project = session.scalar(select(Project).where(Project.entity == entity, Project.name == name))
    if project is None:
        project = Project(entity=entity, name=name, created_at=created_at)
        session.add(project)
        session.flush()
    return project


def find_or_make_run(session: Session, started: RunStarted) -> Run:
    """Return the run that a segment belongs to."""
    project = find_or_make_project(session, started.entity, started.project, started.time)
    run = session.scalar(select(Run).where(Run.project_id == project.id, Run.run_id == started.run_id))
    if run is None:
        run = Run(
            project_id=project.id,
            run_id=started.run_id,
            name=started.name or started.run_id,
            state="running",
            created_at=started.time,
            updated_at=started.time,
            tags=[],
            config={},
            summary={},
            edits={},
            revision=0,
            project=project,
        )
        session.add(run)
        session.flush()
    return run


def refresh_run(session: Session, run: Run, root: Path) -> None:
    """Work out the run's merged view from all its segments; see ``merge_segments``.

    Args:
        session: A write transaction.
        run: The run.
        root: The store's folder: rows are read where a segment lacks an aggregate, which it then has.
    """
    segments = segment_views(session, run)
    for each in fill_aggregates(segments, partial(_read_rows, session, root)):
        session.execute(
            update(Segment).where(Segment.segment == each.segment).values(state=pack_state(each.state))
        )
    view = merge_segments(run.run_id, segments, run.edits)
    for field in RunView.__dataclass_fields__:
        setattr(run, field, getattr(view, field))
    note_change(session, run)


def _read_rows(session: Session, root: Path, segment: SegmentView, keys: list[str]) -> Iterator[FinishedRow]:
    if time.monotonic() - _damaged.get(segment.segment, -math.inf) < DAMAGED_SECONDS:
        raise StoreError(f"rows of segment {segment.segment} could not be read")
    segment_id = session.scalars(select(Segment.id).where(Segment.segment == segment.segment)).one()
    try:
        yield from read_piece(segment_piece(session, segment_id, root), keys)
    except (Error, OSError):
        _damaged[segment.segment] = time.monotonic()
        raise


def note_change(session: Session, run: Run) -> None:
    """Bring what is derived from a run's row up to date, and count the change."""
    run.revision = tick(session)
    refresh_fields(session, run)


def tick(session: Session) -> int:
    """Count a change; return its number."""
    clock = session.get(Clock, 1)
    if clock is None:
        clock = Clock(id=1, revision=0)
        session.add(clock)
    clock.revision += 1
    session.flush()
    return clock.revision
