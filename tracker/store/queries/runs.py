"""Queries about projects and runs: lists, the detail of one run, and changed runs."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sqlalchemy import Select, SQLColumnExpression, exists, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from tracker.errors import NotFoundError, UsageError
from tracker.ground.read_models import Changes, ProjectInfo, RunDetail, RunInfo, RunName, RunPage
from tracker.runstate.fold import unpack_state
from tracker.runstate.merge import SegmentView, add_segments
from tracker.store.catalog.models import Clock, Project, Run, RunField, Segment
from tracker.store.queries.filter_fields import check_text
from tracker.store.queries.filters import Filter, canonical, has_archived, resolve

LARGEST_PAGE = 1000
# The query first looks for a page among this many times as many runs, before it lists all matching runs.
WALKED = 4
LARGEST_WALK = 4000
ORDERS: dict[str, InstrumentedAttribute[Any]] = {
    "created_at": Run.created_at,
    "updated_at": Run.updated_at,
    "name": Run.name,
    "state": Run.state,
    "last_step": Run.last_step,
    "duration": Run.duration,
}
# Other names of these orders, which wandb and its users use.
ORDER_NAMES = {
    "createdAt": "created_at",
    "updatedAt": "updated_at",
    "heartbeat_at": "updated_at",
    "heartbeatAt": "updated_at",
    "display_name": "name",
    "displayName": "name",
    "summary._step": "last_step",
    "summary._runtime": "duration",
    "summary._timestamp": "updated_at",
}
# A run's columns in the order of ``RunInfo``, without entity and project, which come first.
_COLUMNS: tuple[InstrumentedAttribute[Any], ...] = tuple(
    Run.run_id if each.name == "id" else getattr(Run, each.name) for each in fields(RunInfo)[2:]
)


def list_projects(session: Session) -> list[ProjectInfo]:
    """Return all projects, the most recently changed first."""
    # Each of these reads one range of an index: its length or its end.
    runs_of = select(func.count(Run.id)).where(Run.project_id == Project.id).scalar_subquery()
    latest_of = select(func.max(Run.updated_at)).where(Run.project_id == Project.id).scalar_subquery()
    first_of = select(func.min(Run.created_at)).where(Run.project_id == Project.id).scalar_subquery()
    rows = session.execute(
        select(Project.entity, Project.name, runs_of, latest_of, first_of, Project.created_at).order_by(
            Project.id
        )
    )
    found = [
        ProjectInfo(entity, name, runs, latest or created, first or created)
        for entity, name, runs, latest, first, created in rows
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
    filters: Any = None,
) -> RunPage:
    """Return a page of a project's runs.

    In the order of a key, runs with a number come first, then runs with a string, then the others. Runs that
    are equal in the order come newest first.

    Args:
        session: A read transaction.
        entity: The entity of the project.
        project: The name of the project. An unknown project has no runs.
        limit: The largest number of runs, up to 1000.
        offset: The number of runs to skip.
        order: A column of ``ORDERS``, ``summary.KEY`` or ``config.KEY``; with ``-`` in front, descending.
        search: Return only runs whose name or id contains this text.
        filters: Return only runs that match this filter: see ``tracker.store.queries.filters``. Without a
            condition on ``archived``, archived runs are not returned.

    Raises:
        UsageError: The order does not exist, or the filter is invalid.
    """
    at = session.scalar(select(Project.id).where(Project.entity == entity, Project.name == project)) or 0
    listing = _Listing(session, at, search, filters)
    by_field, key, descending = _parse_order(session, at, order)
    limit = min(limit, LARGEST_PAGE, listing.total - offset)
    ids: list[int] = []
    if limit > 0:
        ids = (listing.by_field if by_field else listing.by_column)(key, descending, limit, offset)
    found = {
        row[0]: RunInfo(entity, project, *row[1:])
        for row in session.execute(select(Run.id, *_COLUMNS).where(Run.id.in_(ids)))
    }
    return RunPage(listing.total, revision(session), [found[each] for each in ids])


def _parse_order(session: Session, project_id: int, order: str) -> tuple[bool, str, bool]:
    """Return whether an order uses ``run_fields``, its field or column, and whether it is descending."""
    name = order[1:] if order.startswith(("-", "+")) else order
    check_text(name)
    known = ORDER_NAMES.get(canonical(name), name)
    if known in ORDERS:
        return False, known, order.startswith("-")
    if canonical(name).startswith(("summary.", "config.")):
        return True, resolve(session, project_id, name), order.startswith("-")
    raise UsageError(f"cannot order by {name!r}: use {', '.join(ORDERS)}, summary.KEY or config.KEY")


class _Listing:
    """The runs of one project that match a search and a filter: their number, and their ids in an order."""

    def __init__(self, session: Session, project_id: int, search: str, filters: Any) -> None:
        check_text(search)
        self._session = session
        self._project_id = project_id
        filtered = bool(filters) or has_archived(session, project_id)
        self._filter = Filter(session, project_id, filters or {}) if filtered else None
        pattern = f"%{_escape_like(search)}%"
        named = Run.name.ilike(pattern, "\\") | Run.run_id.ilike(pattern, "\\")
        self._named = named if search else None
        self.total = self._count()

    def _count(self) -> int:
        if self._filter is not None and self._named is None:
            query = self._filter.counted()
        else:
            query = self._restrict(
                select(func.count(Run.id)).where(Run.project_id == self._project_id), Run.id
            )
        return self._session.scalar(query) or 0

    def by_column(self, key: str, descending: bool, limit: int, offset: int) -> list[int]:
        column = ORDERS[key]
        query = self._restrict(select(Run.id).where(Run.project_id == self._project_id), Run.id)
        if column.nullable:
            query = query.order_by(column.is_(None))
        query = query.order_by(column.desc() if descending else column.asc(), Run.id.desc())
        return list(self._session.scalars(query.limit(limit).offset(offset)))

    def by_field(self, key: str, descending: bool, limit: int, offset: int) -> list[int]:
        """Return ids in the order of an index of ``run_fields``, then those of runs that lack the field."""
        of_field = (RunField.project_id == self._project_id, RunField.field == key)
        ids: list[int] = []
        for column in (RunField.number, RunField.text):
            has_it = select(RunField.run_id).where(*of_field, column.is_not(None))
            found = self._walk(has_it, column, descending, limit - len(ids), offset)
            ids += found
            if len(ids) == limit:
                return ids
            if found or not offset:
                offset = 0
            else:  # the page begins after all of these
                counted = has_it.with_only_columns(func.count(RunField.run_id))
                offset -= self._session.scalar(self._restrict(counted, RunField.run_id)) or 0
        listed = exists().where(
            *of_field, RunField.run_id == Run.id, RunField.number.is_not(None) | RunField.text.is_not(None)
        )
        rest = self._restrict(select(Run.id).where(Run.project_id == self._project_id, ~listed), Run.id)
        rest = rest.order_by(Run.id.desc()).limit(limit - len(ids)).offset(offset)
        return ids + list(self._session.scalars(rest))

    def _walk(self, rows: Select[Any], column: Any, descending: bool, limit: int, offset: int) -> list[int]:
        """Return the run ids in rows of ``run_fields``, in the order of one of its columns."""

        def page(query: Select[Any], place: Any, run_id: Any, *, probe: bool = False) -> list[int]:
            query = self._restrict(query, run_id, probe=probe)
            query = query.order_by(place.desc() if descending else place.asc(), run_id.desc())
            return list(self._session.scalars(query.limit(limit).offset(offset)))

        if self._filter is not None and WALKED * (offset + limit) <= min(self.total, LARGEST_WALK):
            # If many runs match, a few rows fill the page, and the matching runs need not all be listed.
            first = rows.add_columns(column.label("place"))
            first = first.order_by(column.desc() if descending else column.asc(), RunField.run_id.desc())
            walked = first.limit(WALKED * (offset + limit)).subquery()
            found = page(select(walked.c.run_id), walked.c.place, walked.c.run_id, probe=True)
            if len(found) == limit:
                return found
        return page(rows, column, RunField.run_id)

    def _restrict(
        self, query: Select[Any], run_id: SQLColumnExpression[int], *, probe: bool = False
    ) -> Select[Any]:
        """Add the search and the filter to a query over a column of run ids."""
        if self._named is not None and run_id is Run.id:
            query = query.where(self._named)
        elif self._named is not None:
            named = select(Run.id).where(Run.project_id == self._project_id, self._named)
            query = query.where(run_id.in_(named))
        return query if self._filter is None else query.where(self._filter.on(run_id, probe=probe))


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


def changes_since(session: Session, since: int | None) -> Changes:
    """Return the runs that changed after revision ``since``; no runs if ``since`` is None."""
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
        now = changed[-1].revision  # the caller gets the other runs when it asks again from this revision
    return Changes(now, [RunName(*row[:3]) for row in changed])


def revision(session: Session) -> int:
    """Return the number of the newest committed change."""
    return session.scalar(select(Clock.revision).where(Clock.id == 1)) or 0


def _info(run: Run) -> RunInfo:
    shown = {
        each.name: getattr(run, "run_id" if each.name == "id" else each.name) for each in fields(RunInfo)[2:]
    }
    return RunInfo(run.project.entity, run.project.name, **shown)


def _escape_like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
