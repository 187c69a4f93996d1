"""The row of a run in the catalog: the merged view of all its segments, with people's edits applied."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tracker.errors import Error, StoreError
from tracker.ground.names import RunPath
from tracker.ground.records import RunStarted
from tracker.runstate.fold import FinishedRow, SegmentState, pack_state
from tracker.runstate.merge import RunView, SegmentView, merge_segments
from tracker.runstate.missing_aggregates import fill_aggregates
from tracker.store.catalog.models import Clock, Project, Run, Segment
from tracker.store.catalog.run_index import refresh_fields
from tracker.store.history.sources import HistorySource, read_source
from tracker.store.queries.history import segment_source
from tracker.store.queries.runs import segment_views
from tracker.store.store import Store

# Rows that could not be read are tried again after this long: `refresh_run` is called for each batch.
DAMAGED_SECONDS = 600.0
# The number of transactions that may fail because rows have to be read first. The next one reads them inside.
ATTEMPTS = 3
_damaged: dict[str, float] = {}
T = TypeVar("T")


def find_or_make_project(session: Session, entity: str, name: str, created_at: float) -> Project:
    """Return a project; add the project if it does not exist.

    Args:
        session: A write transaction.
        entity: The entity of the project.
        name: The name of the project.
        created_at: The creation time of a new project, in unix seconds.
    """
    project = session.scalar(select(Project).where(Project.entity == entity, Project.name == name))
    if project is None:
        project = Project(entity=entity, name=name, created_at=created_at)
        session.add(project)
        session.flush()
    return project


def find_or_make_run(session: Session, started: RunStarted, place: RunPath) -> Run:
    """Return the run of a segment; add the run if it does not exist.

    Args:
        session: A write transaction.
        started: The first record of the segment.
        place: Entity, project and id of the run. The run may have been moved from the recorded project.
    """
    entity, name, run_id = place
    project = find_or_make_project(session, entity, name, started.time)
    run = session.scalar(select(Run).where(Run.project_id == project.id, Run.run_id == run_id))
    if run is None:
        run = Run(
            project_id=project.id,
            run_id=run_id,
            name=started.name or run_id,
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


class RowsNeededError(Exception):
    """Segments of a run lack aggregates. Their computation inside the transaction would block other writers.

    Args:
        segments: All segments of the run, as the transaction sees them.
        pieces: The rows of the segments that lack aggregates, by segment.
    """

    def __init__(self, segments: list[SegmentView], pieces: dict[str, HistorySource]) -> None:
        super().__init__(f"aggregates of {', '.join(pieces)} are to be computed first")
        self.segments, self.pieces = segments, pieces


class Aggregates:
    """Aggregates that segments lacked, computed from the segments' rows.

    Args:
        root: The store's folder.
        inside: Whether to read rows inside the transaction, while other writers wait.
    """

    def __init__(self, root: Path, *, inside: bool = False) -> None:
        self._root, self._inside = root, inside
        # The new state of a segment, and the old state: the new one is valid only while the old one is
        # current.
        self._computed: dict[str, tuple[bytes, SegmentState]] = {}
        self._missing: set[str] = set()  # parts that were missing once: they are merged, or lost

    def fill(self, session: Session, run: Run) -> tuple[list[SegmentView], list[SegmentView]]:
        """Return all segments of a run with their aggregates, and the segments that changed by this.

        Raises:
            RowsNeededError: Aggregates need rows that may not be read inside this transaction.
        """
        segments, changed, pieces = segment_views(session, run), [], {}
        for at, each in enumerate(segments):
            before, state = self._computed.get(each.segment, (b"", each.state))
            if before and before == pack_state(each.state):
                segments[at] = each._replace(state=state)
                changed.append(segments[at])

        def read_rows_of(segment: SegmentView, keys: list[str]) -> Iterator[FinishedRow]:
            if time.monotonic() - _damaged.get(segment.segment, -math.inf) < DAMAGED_SECONDS:
                raise StoreError(f"rows of segment {segment.segment} could not be read")
            segment_id = session.scalars(select(Segment.id).where(Segment.segment == segment.segment)).one()
            piece = segment_source(session, segment_id, self._root)
            if self._inside:
                return self._read_source_rows(piece, segment, keys)
            hot = piece.hot()
            pieces[segment.segment] = piece._replace(hot=lambda: hot)
            raise StoreError("these rows are read between this transaction and the next one")

        changed += fill_aggregates(segments, read_rows_of)
        if pieces:
            raise RowsNeededError(segments, pieces)
        return segments, changed

    def compute(self, needed: RowsNeededError) -> None:
        """Compute the aggregates that a transaction lacked, before the transaction is tried again."""
        before = {
            each.segment: pack_state(each.state) for each in needed.segments if each.segment in needed.pieces
        }

        def read_rows_of(segment: SegmentView, keys: list[str]) -> Iterator[FinishedRow]:
            if segment.segment not in needed.pieces:
                raise StoreError(f"rows of segment {segment.segment} could not be read")
            return self._read_source_rows(needed.pieces[segment.segment], segment, keys)

        for each in fill_aggregates(needed.segments, read_rows_of):
            self._computed[each.segment] = before[each.segment], each.state

    def _read_source_rows(
        self, piece: HistorySource, segment: SegmentView, keys: list[str]
    ) -> Iterator[FinishedRow]:
        try:
            yield from read_source(piece, keys)
        except (Error, OSError) as error:
            missing = str(error.filename) if isinstance(error, FileNotFoundError) else None
            if missing is None or missing in self._missing:
                _damaged[segment.segment] = time.monotonic()
            else:
                self._missing.add(missing)
            raise


def write_run(store: Store, change: Callable[[Session, Aggregates], T]) -> T:
    """Call ``change`` in a write transaction and return its result.

    When ``change`` raises ``RowsNeededError``, the transaction is rolled back, the rows are read, and
    ``change`` is called again. Other writers would reach their time limit if a transaction read ten million
    rows.
    """
    aggregates = Aggregates(store.root)
    for _ in range(ATTEMPTS):
        try:
            with store.writing() as session:
                return change(session, aggregates)
        except RowsNeededError as needed:
            aggregates.compute(needed)
    with store.writing() as session:  # other writers changed the segments each time: now let them wait
        return change(session, Aggregates(store.root, inside=True))


def refresh_run(session: Session, run: Run, aggregates: Aggregates) -> None:
    """Compute the run's merged view from all its segments: see ``merge_segments``.

    Args:
        session: A write transaction.
        run: The run.
        aggregates: Adds the aggregates that a segment lacks.

    Raises:
        RowsNeededError: See ``write_run``.
    """
    segments, changed = aggregates.fill(session, run)
    for each in changed:
        session.execute(
            update(Segment).where(Segment.segment == each.segment).values(state=pack_state(each.state))
        )
    view = merge_segments(run.run_id, segments, run.edits)
    for field in RunView.__dataclass_fields__:
        setattr(run, field, getattr(view, field))
    note_change(session, run)


def note_change(session: Session, run: Run) -> None:
    """Update the fields that are derived from a run's row, and count a change of the run."""
    run.revision = count_change(session)
    refresh_fields(session, run)


def count_change(session: Session) -> int:
    """Count a change of the store; return the number of the change."""
    clock = session.get(Clock, 1)
    if clock is None:
        clock = Clock(id=1, revision=0)
        session.add(clock)
    clock.revision += 1
    session.flush()
    return clock.revision
