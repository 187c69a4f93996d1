"""A run's history out of the catalog: which rows show, and reading them, hot and cold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.errors import NotFoundError
from tracker.runstate.merge import newest_branch
from tracker.store.catalog.hot_rows import read_hot
from tracker.store.catalog.models import Part, Run, Segment
from tracker.store.history.part_file import PartFile
from tracker.store.history.sources import HistorySource, rows_of

if TYPE_CHECKING:
    import pyarrow as pa


def visible_sources(
    session: Session, run: Run, root: Path, segment: str | None = None
) -> list[HistorySource]:
    """Return what shows of a run's history, oldest attempt first.

    Args:
        session: A read transaction.
        run: The run.
        root: The store's folder.
        segment: All rows of this segment (32 hex digits); by default the newest branch of the
            primary writer (rank 0, else the first).

    Raises:
        NotFoundError: The run has no such segment.
    """
    segments = session.scalars(select(Segment).where(Segment.run_id == run.id).order_by(Segment.id)).all()
    ids = {each.segment: each.id for each in segments}
    if segment is None:
        shown = newest_branch(segments)
    elif segment in ids:
        shown = [(segment, None)]
    else:
        raise NotFoundError(f"run {run.run_id} has no segment {segment!r}: its detail lists them")
    return [segment_source(session, ids[name], root, before) for name, before in shown]


def segment_source(session: Session, segment_id: int, root: Path, before: int | None = None) -> HistorySource:
    """Return the history of a segment, or what shows of it."""
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
) -> list[dict[str, Any]]:
    """Return the run's history as wandb gives rows; see ``rows_of`` and ``visible_sources``."""
    return rows_of(visible_sources(session, run, root, segment), keys, complete=complete)


def table(
    session: Session, run: Run, root: Path, keys: Sequence[str] | None = None, *, segment: str | None = None
) -> pa.Table:
    """Return the run's history as columns; see ``source_table`` and ``visible_sources``."""
    from tracker.store.history.arrow_tables import source_table  # pyarrow is heavy, and lists need it not

    return source_table(visible_sources(session, run, root, segment), keys)
