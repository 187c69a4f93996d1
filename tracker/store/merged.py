"""A run as the catalog shows it: what all its writers said, one view, with people's edits laid over."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.records import RunStarted
from tracker.store.fields import refresh_fields
from tracker.store.fold import unpack_state
from tracker.store.models import Clock, Project, Run, Segment

# What a person may change of a run. Config, summary and history are what the run itself said.
EDITABLE = ("name", "tags", "notes", "group", "job_type")


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


def refresh_run(session: Session, run: Run) -> None:
    """Work out the run's merged view from all its segments; the primary writer's newest wins.

    A person's edit of a field holds against what the writers say of it, those of before and those
    of a later attempt that says nothing. Only a segment that began after the edit and gave the field
    explicitly (``init(name=...)``) has the word again: its user meant that, and knew of the edit.
    """
    segments = session.scalars(select(Segment).where(Segment.run_id == run.id)).all()
    # Later in this order overrides earlier: other ranks first, then the primary's attempts.
    ordered = sorted(segments, key=lambda segment: (-segment.rank, segment.attempt, segment.started_at))
    states = [(segment, unpack_state(segment.state)) for segment in ordered]
    config: dict[str, object] = {}
    summary: dict[str, object] = {}
    given: dict[str, tuple[Any, float]] = {}  # field: the last writer's value, and when that writer began
    for _segment, state in states:
        config.update(state.config)
        summary.update(state.summary)
        started = state.started
        if started is None:
            continue
        for field in EDITABLE:
            value = getattr(started, field)
            if value is not None and (value or field != "name"):
                given[field] = (value, started.time)
        run.host, run.program = started.process.host, started.program or run.program
    _name(run, given)
    newest, state = states[-1]
    run.config, run.summary = config, summary
    run.created_at = min(each.started_at for each in segments)
    run.updated_at = max(state.last_time for _segment, state in states)
    run.duration = max(state.runtime for _segment, state in states)
    run.last_step = max(
        (state.last_step for _s, state in states if state.last_step is not None), default=None
    )
    run.state = newest.ended or "running"
    finished = state.finished
    run.exit_code = finished.exit_code if finished else None
    run.error = finished.error if finished else None
    run.finished_at = finished.time if finished else (run.updated_at if newest.ended else None)
    note_change(session, run)


def note_change(session: Session, run: Run) -> None:
    """Bring what is derived from a run's row up to date, and count the change."""
    run.revision = _tick(session)
    refresh_fields(session, run)


def _name(run: Run, given: dict[str, tuple[Any, float]]) -> None:
    """Set what people may edit from what the writers gave, and from the edits that hold."""
    found: dict[str, Any] = {"name": run.run_id, "tags": []}
    found.update({field: value for field, (value, _time) in given.items()})
    for field, edit in run.edits.items():
        if field in EDITABLE and (field not in given or given[field][1] <= edit["time"]):
            found[field] = edit["value"]
    for field in EDITABLE:
        setattr(run, field, found.get(field))


def _tick(session: Session) -> int:
    clock = session.get(Clock, 1)
    if clock is None:
        clock = Clock(id=1, revision=0)
        session.add(clock)
    clock.revision += 1
    session.flush()
    return clock.revision
