"""Projects and runs: lists, one run, what a run logged."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from tracker.answers import ChangedRun, Changes, KeyInfo, ProjectInfo, RunDetail, RunInfo, RunPage
from tracker.errors import NotFoundError, UsageError
from tracker.store.fold import KeyFacts, unpack_state
from tracker.store.models import Clock, Project, Run, Segment

LARGEST_PAGE = 1000
ORDERS = {
    "created_at": Run.created_at,
    "updated_at": Run.updated_at,
    "name": Run.name,
    "state": Run.state,
    "last_step": Run.last_step,
    "duration": Run.duration,
}


def list_projects(session: Session) -> list[ProjectInfo]:
    """Return all projects, the most recently changed first."""
    rows = session.execute(
        select(Project.entity, Project.name, func.count(Run.id), func.max(Run.updated_at), Project.created_at)
        .outerjoin(Run, Run.project_id == Project.id)
        .group_by(Project.id)
    ).all()
    found = [
        ProjectInfo(entity, name, runs, latest or created) for entity, name, runs, latest, created in rows
    ]
    return sorted(found, key=lambda project: -project.updated_at)


def list_runs(
    session: Session,
    entity: str,
    project: str,
    *,
    limit: int = 100,
    offset: int = 0,
    order: str = "-created_at",
    search: str = "",
) -> RunPage:
    """Return a page of a project's runs.

    Args:
        session: A read transaction.
        entity: Whose project.
        project: Its name; an unknown one has no runs.
        limit: At most this many, up to 1000.
        offset: How many to pass over.
        order: A column of ``ORDERS``, ``summary.KEY`` or ``config.KEY``; ``-`` in front turns it round.
        search: Only runs whose name or id contains this.

    Raises:
        UsageError: There is no such order.
    """
    matching = select(Run).join(Project).where(Project.entity == entity, Project.name == project)
    if search:
        pattern = f"%{_escape_like(search)}%"
        matching = matching.where(Run.name.ilike(pattern, "\\") | Run.run_id.ilike(pattern, "\\"))
    total = session.scalar(select(func.count()).select_from(matching.subquery())) or 0
    page = _ordered(matching, order).limit(min(limit, LARGEST_PAGE)).offset(offset)
    return RunPage(total, revision(session), [_info(run) for run in session.scalars(page)])


def get_run(session: Session, entity: str, project: str, run_id: str) -> Run:
    """Return a run's catalog row.

    Raises:
        NotFoundError: There is none.
    """
    run = session.scalar(
        select(Run)
        .join(Project)
        .where(Project.entity == entity, Project.name == project, Run.run_id == run_id)
    )
    if run is None:
        raise NotFoundError(f"there is no run {entity}/{project}/{run_id} in this store")
    return run


def run_detail(session: Session, entity: str, project: str, run_id: str) -> RunDetail:
    """Return a run with its keys and problems.

    Raises:
        NotFoundError: There is no such run.
    """
    run = get_run(session, entity, project, run_id)
    keys: dict[str, KeyFacts] = {}
    problems: list[str] = []
    attempts = 0
    for segment in session.scalars(select(Segment).where(Segment.run_id == run.id).order_by(Segment.id)):
        state = unpack_state(segment.state)
        attempts = max(attempts, segment.attempt + 1)
        problems += state.problems
        for key, facts in state.keys.items():
            known = keys.get(key)
            if known is None:
                keys[key] = facts
                continue
            known.kind = known.kind if facts.kind in (known.kind, "null") else facts.kind
            known.count += facts.count
            known.last_step = max(known.last_step, facts.last_step)
    return RunDetail(
        **{name: getattr(_info(run), name) for name in RunInfo.__dataclass_fields__},
        keys=[KeyInfo(key, facts.kind, facts.count, facts.last_step) for key, facts in sorted(keys.items())],
        problems=problems,
        attempts=attempts,
    )


def changes_since(session: Session, since: int | None) -> Changes:
    """Return the runs that changed after revision ``since``; none when it is None."""
    now = revision(session)
    if since is None or since >= now:
        return Changes(now)
    changed = session.execute(
        select(Project.entity, Project.name, Run.run_id, Run.revision)
        .join(Run)
        .where(Run.revision > since)
        .order_by(Run.revision)
        .limit(LARGEST_PAGE)
    ).all()
    if len(changed) == LARGEST_PAGE:
        now = changed[-1].revision  # the rest comes to whoever asks again from there
    return Changes(now, [ChangedRun(*row[:3]) for row in changed])


def revision(session: Session) -> int:
    """Return the number of the newest committed change."""
    return session.scalar(select(Clock.revision).where(Clock.id == 1)) or 0


def _info(run: Run) -> RunInfo:
    return RunInfo(
        entity=run.project.entity,
        project=run.project.name,
        id=run.run_id,
        name=run.name,
        state=run.state,
        created_at=run.created_at,
        updated_at=run.updated_at,
        finished_at=run.finished_at,
        duration=run.duration,
        last_step=run.last_step,
        tags=run.tags,
        group=run.group,
        job_type=run.job_type,
        notes=run.notes,
        config=run.config,
        summary=run.summary,
        error=run.error,
    )


def _ordered(query: Select[Run], order: str) -> Select[Run]:
    name = order.removeprefix("-").removeprefix("+")
    column: ColumnElement[Any]
    if name in ORDERS:
        column = ORDERS[name].expression
    elif name.startswith(("summary.", "config.")):
        field_name, _, key = name.partition(".")
        # Not json_extract: its paths cannot name every key. Lists, dicts and NaN have no atom.
        items = func.json_each(getattr(Run, field_name)).table_valued("key", "atom")
        column = select(items.c.atom).where(items.c.key == key).correlate(Run).scalar_subquery()
    else:
        raise UsageError(f"cannot order by {name!r}: use {', '.join(ORDERS)}, summary.KEY or config.KEY")
    way = column.desc() if order.startswith("-") else column.asc()
    return query.order_by(column.is_(None), way, Run.id.desc())


def _escape_like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
