"""Queries about the system metrics and the output of a run, from the catalog and Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.errors import NotFoundError
from tracker.ground.read_models import Output, OutputLine, SystemMetrics
from tracker.ground.records import is_child, writer_rank
from tracker.runstate.fold import FinishedRow, unpack_state
from tracker.runstate.merge import newest_branch
from tracker.store.catalog.models import Run, Segment
from tracker.store.history.captured import captured_rows


def system(
    session: Session, run: Run, root: Path, *, segment: str | None = None, points: int | None = None
) -> list[SystemMetrics]:
    """Return the system metrics of a run by segment, the primary writer's oldest attempt first.

    Args:
        session: A read transaction.
        run: The run.
        root: The store's folder.
        segment: Return only samples of this segment.
        points: Return at most this many samples of each segment, evenly spaced, with the last one.

    Raises:
        NotFoundError: The run has no such segment.
    """
    segments = _segments(session, run, segment)
    found = []
    # Children have the largest ranks, so they come after all writers.
    for each in sorted(segments, key=lambda each: (each.rank, each.attempt, each.started_at)):
        rows = list(captured_rows(session, each.id, "system", root))
        if points is not None and len(rows) > points > 0:
            rows = [rows[(at + 1) * len(rows) // points - 1] for at in range(points)]
        started = unpack_state(each.state).started
        host = started.process.host if started is not None else None
        if rows:
            plain = [{"_runtime": row.runtime, "_timestamp": row.time, **row.data} for row in rows]
            rank = writer_rank(each.rank)
            found.append(
                SystemMetrics(each.segment, rank, each.attempt, host, plain, child=is_child(each.rank))
            )
    return found


class _Stretch(NamedTuple):
    """The lines of one segment in the output of a run.

    Attributes:
        segment_id: The segment's number in the catalog.
        start: The number of lines in the segments before this one.
        lines: The number of lines in this segment.
    """

    segment_id: int
    start: int
    lines: int


def console(
    session: Session,
    run: Run,
    root: Path,
    *,
    segment: str | None = None,
    offset: int = 0,
    limit: int | None = None,
    search: str = "",
) -> Output:
    """Return lines of a run's output: of one segment, or of all attempts of the primary writer in sequence.

    Args:
        session: A read transaction.
        run: The run.
        root: The store's folder.
        segment: Return only lines of this segment.
        offset: The first line. A negative offset counts from the end.
        limit: The largest number of lines. None: all lines.
        search: Return only lines that contain this text. Case is ignored.

    Raises:
        NotFoundError: The run has no such segment.
    """
    stretches = list(_stretches(session, run, segment))
    total = stretches[-1].start + stretches[-1].lines if stretches else 0
    first = max(0, total + offset) if offset < 0 else offset
    last = total if limit is None or search else min(total, first + limit)
    wanted = search.casefold()
    lines: list[OutputLine] = []
    found = 0
    for row, start in _between(session, root, stretches, first, last):
        if wanted and wanted not in row.data["text"].casefold():
            continue
        found += 1
        if limit is None or len(lines) < limit:
            lines.append(OutputLine(start + row.row, row.time, row.data["stream"], row.data["text"]))
    return Output(total, lines, found)


def _between(
    session: Session, root: Path, stretches: list[_Stretch], first: int, last: int
) -> Iterator[tuple[FinishedRow, int]]:
    for each in stretches:
        low, high = max(0, first - each.start), min(each.lines, last - each.start)
        if low < high:
            for row in captured_rows(session, each.segment_id, "console", root, low, high - 1):
                yield row, each.start


def _stretches(session: Session, run: Run, segment: str | None) -> Iterator[_Stretch]:
    segments = {each.segment: each for each in _segments(session, run, segment)}
    writers = [each for each in segments.values() if not is_child(each.rank)]
    names = [segment] if segment is not None else [name for name, _ in newest_branch(writers)]
    start = 0
    for name in names:
        count = unpack_state(segments[name].state).console_lines
        yield _Stretch(segments[name].id, start, count)
        start += count


def _segments(session: Session, run: Run, segment: str | None) -> Sequence[Segment]:
    query = select(Segment).where(Segment.run_id == run.id).order_by(Segment.id)
    found = session.scalars(query if segment is None else query.where(Segment.segment == segment)).all()
    if segment is not None and not found:
        raise NotFoundError(f"run {run.run_id} has no segment {segment!r}: its detail lists them")
    return found
