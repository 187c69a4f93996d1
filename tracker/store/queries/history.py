"""A run's history: which rows show, and reading them, hot and cold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.store.apply import unpack_data
from tracker.store.fold import FinishedRow
from tracker.store.models import HotRow, Part, Run, Segment


class Piece(NamedTuple):
    """One segment's part of the history that shows.

    Attributes:
        segment_id: The segment.
        parts: Its Parquet files, by first row.
        before: Rows at this step and beyond were logged again by a later attempt (None: all show).
    """

    segment_id: int
    parts: list[Path]
    before: int | None

    def shows(self, step: int) -> bool:
        """Whether a row of this segment at ``step`` belongs to the newest branch."""
        return self.before is None or step < self.before


def visible_pieces(session: Session, run: Run, root: Path) -> list[Piece]:
    """Return the newest branch of the primary writer (rank 0, else the first), oldest attempt first."""
    segments = session.scalars(select(Segment).where(Segment.run_id == run.id)).all()
    if not segments:
        return []
    primary = min(segment.rank for segment in segments)
    attempts = sorted(
        (segment for segment in segments if segment.rank == primary),
        key=lambda segment: (segment.attempt, segment.started_at, segment.id),
    )
    pieces: list[Piece] = []
    before: int | None = None
    for segment in reversed(attempts):
        parts = session.scalars(
            select(Part.path).where(Part.segment_id == segment.id).order_by(Part.first_row)
        )
        pieces.append(Piece(segment.id, [root / path for path in parts], before))
        # An older attempt shows up to where the newer one began.
        before = segment.start_step if before is None else min(before, segment.start_step)
    return pieces[::-1]


def hot_rows(session: Session, piece: Piece) -> Iterator[FinishedRow]:
    """Yield a piece's rows that are still in the catalog, in order of logging."""
    for row in session.scalars(
        select(HotRow).where(HotRow.segment_id == piece.segment_id).order_by(HotRow.row)
    ):
        if piece.shows(row.step):
            yield FinishedRow(row.row, row.step, row.time, row.runtime, unpack_data(row.data))


def rows(
    session: Session, run: Run, root: Path, keys: Iterable[str] | None = None, *, complete: bool = False
) -> list[dict[str, Any]]:
    """Return the run's history as wandb gives rows: the logged keys, ``_step``, ``_runtime``, ``_timestamp``.

    Args:
        session: A read transaction.
        run: The run.
        root: The store's folder.
        keys: Only these keys, and rows that have at least one of them.
        complete: Only rows that have all of ``keys``.

    Returns:
        Rows by step; those of equal steps in order of logging.
    """
    from tracker.store.parquet import read_rows  # pyarrow is heavy, and a live run may have no part yet

    wanted = None if keys is None else [key for key in keys if key not in ("_step", "_runtime", "_timestamp")]
    found: list[FinishedRow] = []
    for piece in visible_pieces(session, run, root):
        cold = [
            row for path in piece.parts for row in read_rows(path, wanted or None) if piece.shows(row.step)
        ]
        found += sorted([*cold, *hot_rows(session, piece)], key=lambda row: row.row)
    found.sort(key=lambda row: row.step)
    answer = []
    for row in found:
        data = row.data if wanted is None else {key: row.data[key] for key in wanted if key in row.data}
        if wanted and (len(data) < len(wanted) if complete else not data):
            continue
        answer.append({**data, "_step": row.step, "_runtime": row.runtime, "_timestamp": row.time})
    return answer
