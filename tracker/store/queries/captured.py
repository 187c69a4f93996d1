"""Queries about the system metrics and the output of a run, from the catalog and Parquet files."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.errors import NotFoundError, UsageError
from tracker.ground.read_models import Output, OutputLine, SystemMetrics
from tracker.ground.records import is_child, writer_rank
from tracker.runstate.fold import unpack_state
from tracker.runstate.merge import Rank, choose_segments
from tracker.store.catalog.models import Run, Segment
from tracker.store.history.captured import CapturedSource, captured_rows, captured_source
from tracker.store.history.sources import HistorySource

if TYPE_CHECKING:
    from tracker.store.history.ordered import OrderedHistory

# Lines that are searched or written together.
LINES_AT_ONCE = 4096


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


def open_system(
    session: Session, run: Run, root: Path, segment: str | None = None, rank: Rank | None = None
) -> OrderedHistory:
    """Open the system metrics of a writer as rows of history. ``_step`` is the number of the sample.

    Args:
        session: A read transaction.
        run: The run.
        root: The store's folder.
        segment: The segment. None: the newest attempt of the primary writer.
        rank: The newest attempt of this rank, or of each rank.

    Raises:
        NotFoundError: The run has no such segment.
        UsageError: The run does not have the rank, or both a segment and a rank are given.
    """
    from tracker.store.history.ordered import OrderedHistory

    segments = {each.segment: each for each in _segments(session, run, segment)}
    writers = [each for each in segments.values() if segment is not None or not is_child(each.rank)]
    chosen = choose_segments(run.run_id, writers, segment, rank)
    pieces = []
    for label, name in {each.label: each.segment for each in chosen}.items():  # the last is the newest
        source = captured_source(session, segments[name].id, "system", root)
        parts = [part for part, _, _ in source.parts]
        pieces.append(HistorySource(parts, partial(list, source.hot), None, rank=label))
    return OrderedHistory(pieces, exact=True)


class LineFilter(NamedTuple):
    """A choice of lines of output.

    Attributes:
        search: The line contains this text. Case is ignored.
        regex: Whether ``search`` is an RE2 pattern, in which case matters, that matches somewhere in the
        line. stream: The line was written to ``stdout`` or ``stderr``. None: both.
    """

    search: str = ""
    regex: bool = False
    stream: str | None = None

    def chooses_all(self) -> bool:
        """Return whether all lines are chosen."""
        return not self.search and self.stream is None

    def choose(self, lines: Iterable[OutputLine]) -> Iterator[OutputLine]:
        """Yield the chosen lines.

        Raises:
            UsageError: The pattern is not valid.
        """
        if self.stream is not None:
            lines = (line for line in lines if line.stream == self.stream)
        if self.search and self.regex:
            return _match(lines, self.search)
        if self.search:
            wanted = self.search.casefold()
            return (line for line in lines if wanted in line.text.casefold())
        return iter(lines)


class Lines(NamedTuple):
    """The output of a run, opened for reading without a transaction.

    Attributes:
        sources: The segments: their captured lines, the number of lines before them, and their number of
        lines.
    """

    sources: list[tuple[CapturedSource, int, int]]

    @property
    def total(self) -> int:
        """The number of all lines."""
        return sum(lines for _, _, lines in self.sources)

    def between(self, first: int, last: int) -> Iterator[OutputLine]:
        """Yield the lines from line ``first`` to before line ``last``."""
        for source, start, lines in self.sources:
            low, high = max(0, first - start), min(lines, last - start)
            if low < high:
                for row in source.rows(low, high - 1):
                    yield OutputLine(start + row.row, row.time, row.data["stream"], row.data["text"])


def console(
    session: Session,
    run: Run,
    root: Path,
    *,
    segment: str | None = None,
    rank: int | None = None,
    offset: int = 0,
    limit: int | None = None,
    tail: int | None = None,
    search: str = "",
    regex: bool = False,
    stream: str | None = None,
) -> Output:
    """Return lines of a run's output: of one segment, or of all attempts of a writer in sequence.

    Args:
        session: A read transaction.
        run: The run.
        root: The store's folder.
        segment: Return only lines of this segment.
        rank: Return the lines of this rank. None: those of the primary writer.
        offset: The first line. A negative offset counts from the end.
        limit: The largest number of lines. None: all lines.
        tail: Return only this number of chosen lines from the end.
        search: See ``LineFilter``.
        regex: See ``LineFilter``.
        stream: See ``LineFilter``.

    Raises:
        NotFoundError: The run has no such segment.
        UsageError: The pattern is not valid, or ``tail`` is used with ``offset``.
    """
    if tail is not None and offset:
        raise UsageError("tail cannot be combined with offset: use one of them")
    lines = open_lines(session, run, root, segment, rank)
    chosen = LineFilter(search, regex, stream)
    if tail is not None and chosen.chooses_all():
        offset = -tail
    total = lines.total
    first = max(0, total + offset) if offset < 0 else offset
    last = total if limit is None or not chosen.chooses_all() else min(total, first + limit)
    if tail == 0:
        first = last
    page: deque[OutputLine] = deque(maxlen=tail)
    found = 0
    for line in chosen.choose(lines.between(first, last)):
        found += 1
        if tail is not None or limit is None or len(page) < limit:
            page.append(line)
    return Output(total, list(page)[: limit if tail is not None else None], found)


def open_lines(
    session: Session, run: Run, root: Path, segment: str | None = None, rank: int | None = None
) -> Lines:
    """Open the output of one segment, or of all attempts of a writer in sequence.

    Args:
        session: A read transaction.
        run: The run.
        root: The store's folder.
        segment: Only lines of this segment.
        rank: Only lines of this rank. None: those of the primary writer.

    Raises:
        NotFoundError: The run has no such segment.
        UsageError: The run does not have the rank, or both a segment and a rank are given.
    """
    segments = {each.segment: each for each in _segments(session, run, segment)}
    writers = [each for each in segments.values() if segment is not None or not is_child(each.rank)]
    sources = []
    start = 0
    for name, _, _ in choose_segments(run.run_id, writers, segment, rank):
        count = unpack_state(segments[name].state).console_lines
        sources.append((captured_source(session, segments[name].id, "console", root), start, count))
        start += count
    return Lines(sources)


def output_text(lines: Lines, chosen: LineFilter, *, timestamps: bool = False) -> Iterator[bytes]:
    """Yield the lines of a run's output as text in UTF-8, in pieces, with a newline after each line.

    Args:
        lines: The output.
        chosen: The lines to return.
        timestamps: Whether each line begins with its time (ISO 8601, UTC, milliseconds) and a space.
    """
    texts = chosen.choose(lines.between(0, lines.total))
    while piece := list(islice(texts, LINES_AT_ONCE)):
        found = (f"{_clock(line.time)} {line.text}\n" if timestamps else f"{line.text}\n" for line in piece)
        yield "".join(found).encode("utf-8", "replace")


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")[:-6] + "Z"


def _match(lines: Iterable[OutputLine], pattern: str) -> Iterator[OutputLine]:
    import pyarrow as pa
    import pyarrow.compute as pc

    def hits(texts: list[str]) -> list[int]:
        found: list[int] = pc.indices_nonzero(
            pc.match_substring_regex(pa.array(texts, pa.string()), pattern)
        ).to_pylist()
        return found

    def match() -> Iterator[OutputLine]:
        rest = iter(lines)
        while piece := list(islice(rest, LINES_AT_ONCE)):
            for at in hits([line.text for line in piece]):
                yield piece[at]

    try:
        hits([""])  # RE2 needs time in proportion to the text, with any pattern
    except (pa.ArrowInvalid, UnicodeEncodeError) as error:
        reason = str(error).removeprefix("Invalid regular expression: ")
        raise UsageError(f"search: {pattern!r} is not a valid RE2 pattern: {reason}") from None
    return match()


def _segments(session: Session, run: Run, segment: str | None) -> Sequence[Segment]:
    query = select(Segment).where(Segment.run_id == run.id).order_by(Segment.id)
    found = session.scalars(query if segment is None else query.where(Segment.segment == segment)).all()
    if segment is not None and not found:
        raise NotFoundError(f"run {run.run_id} has no segment {segment!r}: its detail lists them")
    return found
