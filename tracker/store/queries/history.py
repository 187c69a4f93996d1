"""A run's history: which rows show, and reading them, hot and cold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.errors import NotFoundError
from tracker.store.fold import FinishedRow
from tracker.store.hot import read_hot
from tracker.store.models import Part, Run, Segment

FIXED_KEYS = ("_step", "_runtime", "_timestamp")


class PartFile(NamedTuple):
    """A Parquet file of a segment."""

    id: int
    path: Path
    rows: int


class Piece(NamedTuple):
    """One segment's part of the history that shows.

    Attributes:
        segment_id: The segment.
        parts: Its Parquet files, by first row.
        before: Rows at this step and beyond were logged again by a later attempt (None: all show).
    """

    segment_id: int
    parts: list[PartFile]
    before: int | None

    def shows(self, step: int) -> bool:
        """Whether a row of this segment at ``step`` belongs to the newest branch."""
        return self.before is None or step < self.before


def visible_pieces(session: Session, run: Run, root: Path, segment: str | None = None) -> list[Piece]:
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
    segments = session.scalars(select(Segment).where(Segment.run_id == run.id)).all()
    if segment is not None:
        found = [each for each in segments if each.segment == segment]
        if not found:
            raise NotFoundError(f"run {run.run_id} has no segment {segment!r}: its detail lists them")
        return [Piece(found[0].id, _part_files(session, found[0], root), None)]
    if not segments:
        return []
    primary = min(each.rank for each in segments)
    attempts = sorted(
        (each for each in segments if each.rank == primary),
        key=lambda each: (each.attempt, each.started_at, each.id),
    )
    pieces: list[Piece] = []
    before: int | None = None
    for each in reversed(attempts):
        pieces.append(Piece(each.id, _part_files(session, each, root), before))
        # An older attempt shows up to where the newer one began.
        before = each.start_step if before is None else min(before, each.start_step)
    return pieces[::-1]


def _part_files(session: Session, segment: Segment, root: Path) -> list[PartFile]:
    found = session.execute(
        select(Part.id, Part.path, Part.rows)
        .where(Part.segment_id == segment.id)
        .order_by(Part.first_row, Part.id)
    )
    return [PartFile(id, root / path, rows) for id, path, rows in found]


def piece_rows(session: Session, piece: Piece, keys: Iterable[str] | None = None) -> Iterator[FinishedRow]:
    """Yield a piece's rows in order of logging; with ``keys`` only their cells, and rows that have some."""
    found: list[FinishedRow] = []
    if piece.parts:
        # pyarrow is heavy, and a short run may have no part yet.
        from tracker.store.parquet import read_rows

        for part in piece.parts:
            found += read_rows(part.path, keys)
    for row in read_hot(session, piece.segment_id):
        if keys is not None:
            row = row._replace(data={key: row.data[key] for key in keys if key in row.data})
        if row.data or keys is None:
            found.append(row)
    found.sort(key=attrgetter("row"))
    return (row for row in found if piece.shows(row.step))


def rows(
    session: Session,
    run: Run,
    root: Path,
    keys: Iterable[str] | None = None,
    *,
    complete: bool = False,
    segment: str | None = None,
) -> list[dict[str, Any]]:
    """Return the run's history as wandb gives rows: the logged keys, ``_step``, ``_runtime``, ``_timestamp``.

    Args:
        session: A read transaction.
        run: The run.
        root: The store's folder.
        keys: Only these keys, and rows that have at least one of them.
        complete: Only rows that have all of ``keys``.
        segment: See ``visible_pieces``.

    Returns:
        Rows by step; those of equal steps in order of logging.
    """
    wanted = None if keys is None else [key for key in keys if key not in FIXED_KEYS]
    found: list[FinishedRow] = []
    for piece in visible_pieces(session, run, root, segment):
        found += piece_rows(session, piece, wanted or None)
    found.sort(key=attrgetter("step"))
    answer = []
    for row in found:
        data = row.data if wanted is None else {key: row.data[key] for key in wanted if key in row.data}
        if complete and wanted and len(data) < len(wanted):
            continue
        answer.append({**data, "_step": row.step, "_runtime": row.runtime, "_timestamp": row.time})
    return answer
