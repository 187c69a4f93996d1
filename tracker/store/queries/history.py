"""Queries for a run's history: its visible rows, from hot rows in the catalog and from Parquet parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.runstate.merge import Rank, choose_segments
from tracker.store.catalog.hot_rows import read_hot
from tracker.store.catalog.models import Part, Run, Segment
from tracker.store.history.part_file import PartFile
from tracker.store.history.sources import HistorySource, rows_of

if TYPE_CHECKING:
    import pyarrow as pa

    from tracker.store.history.ordered import OrderedHistory


def visible_sources(
    session: Session, run: Run, root: Path, segment: str | None = None, rank: Rank | None = None
) -> list[HistorySource]:
    """Return the visible pieces of a run's history. See ``choose_segments``.

    Args:
        session: A read transaction.
        run: The run.
        root: The store's folder.
        segment: Return all rows of this segment (32 hex digits).
        rank: Return the rows of this rank, or of all ranks.
    """
    segments = session.scalars(select(Segment).where(Segment.run_id == run.id).order_by(Segment.id)).all()
    ids = {each.segment: each.id for each in segments}
    return [
        segment_source(session, ids[name], root, before)._replace(rank=label)
        for name, before, label in choose_segments(run.run_id, segments, segment, rank)
    ]


def segment_source(session: Session, segment_id: int, root: Path, before: int | None = None) -> HistorySource:
    """Return the history of a segment.

    Args:
        session: A read transaction.
        segment_id: The segment's number in the catalog.
        root: The store's folder.
        before: Only rows before this step are visible. None: all rows.
    """
    found = session.execute(
        select(Part.id, Part.path, Part.rows)
        .where(Part.segment_id == segment_id)
        .order_by(Part.first_row, Part.id)
    )
    parts = [PartFile(id, root / path, rows) for id, path, rows in found]
    return HistorySource(parts, partial(read_hot, session, segment_id), before, segment_id)


def rows(
    session: Session,
    run: Run,
    root: Path,
    keys: Iterable[str] | None = None,
    *,
    complete: bool = False,
    segment: str | None = None,
    rank: Rank | None = None,
) -> list[dict[str, Any]]:
    """Return the run's history as a list of dicts. See ``rows_of`` and ``visible_sources``.

    Args:
        session: A read transaction.
        run: The run.
        root: The store's folder.
        keys: Return only these keys, and only rows that have at least one of them.
        complete: Return only rows that have all of ``keys``.
        segment: Return the rows of this segment.
        rank: Return the rows of this rank, or of all ranks.
    """
    return rows_of(visible_sources(session, run, root, segment, rank), keys, complete=complete)


def table(
    session: Session,
    run: Run,
    root: Path,
    keys: Sequence[str] | None = None,
    *,
    segment: str | None = None,
    rank: Rank | None = None,
) -> pa.Table:
    """Return the run's history as columns. See ``source_table`` and ``visible_sources``.

    Args:
        session: A read transaction.
        run: The run.
        root: The store's folder.
        keys: Return only these keys, and only rows that have at least one of them.
        segment: Return the rows of this segment.
        rank: Return the rows of this rank, or of all ranks.
    """
    from tracker.store.history.arrow_tables import source_table  # pyarrow is heavy, and rarely needed

    return source_table(visible_sources(session, run, root, segment, rank), keys)


def open_history(
    session: Session,
    run: Run,
    root: Path,
    keys: Sequence[str] | None = None,
    *,
    complete: bool = False,
    segment: str | None = None,
    rank: Rank | None = None,
    steps: tuple[int | None, int | None] = (None, None),
    exact: bool = True,
) -> OrderedHistory:
    """Open the run's history, to read it table by table after the transaction.

    Args:
        session: A read transaction.
        run: The run.
        root: The store's folder.
        keys: Return only these keys, and only rows that have at least one of them.
        complete: Return only rows that have all of ``keys``.
        segment: Return the rows of this segment.
        rank: Return the rows of this rank, or of all ranks.
        steps: The first and the last step. None: no limit.
        exact: Whether the tables have exact columns. See ``tracker.store.history.columns``.
    """
    from tracker.store.history.ordered import OrderedHistory, Span

    pieces = visible_sources(session, run, root, segment, rank)
    return OrderedHistory(pieces, keys, exact=exact, span=Span(*steps), complete=complete)
