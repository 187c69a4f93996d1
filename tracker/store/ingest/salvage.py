"""Recovery of rows after a rebuild: old parts give the rows of an unsealed segment that its journal lacks."""

from __future__ import annotations

from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.errors import Error, StoreError
from tracker.runstate.fold import FinishedRow
from tracker.store.catalog.hot_rows import add_hot
from tracker.store.catalog.models import HotRow, Part, Segment
from tracker.store.ingest.apply import apply_journal
from tracker.store.store import Store

if TYPE_CHECKING:
    import numpy as np


def salvage(store: Store, forgotten: list[Path]) -> list[str]:
    """Apply the journals of segments whose parts a rebuild forgot; then copy missing rows from these parts.

    Args:
        store: The rebuilt store. No other process has it open.
        forgotten: The parts: ``Rebuilt.forgotten``.

    Returns:
        Lines of text for the user.
    """
    names = {path.name.partition("-")[0] for path in forgotten}
    unapplied: set[str] = set()
    for journal in store.layout.list_journals():
        if journal.segment in names - unapplied:
            try:
                while apply_journal(store, journal).records:
                    pass
            except (Error, OSError):
                unapplied.add(journal.segment)  # the recorder gets the same error and reports it
    return clear_forgotten(store, forgotten, unapplied)


def clear_forgotten(store: Store, paths: list[Path], unapplied: set[str]) -> list[str]:
    """Remove the parts that a rebuild forgot; first copy rows that the applied journals did not contain.

    Args:
        store: The rebuilt store. Its journals have been applied, and nothing has been sealed since.
        paths: The parts that were there before the rebuild.
        unapplied: Segments whose journals could not be applied. Their parts stay for now.

    Returns:
        One line for each segment whose journal lacked rows, and for each segment with an unreadable part.
    """
    lines = []
    for name, files in groupby(sorted(paths), key=lambda path: path.name.partition("-")[0]):
        if name in unapplied:
            continue
        try:
            kept = _clear(store, name, list(files))
        except (StoreError, ValueError, OSError) as error:
            lines.append(f"an old part of segment {name} cannot be read and was left in place: {error}")
            continue
        if kept:
            lines.append(
                f"the journal of segment {name} lacks {kept} rows: they were copied from Parquet files"
            )
    return lines


def keep_rows(store: Store, segment_id: int, paths: list[Path]) -> None:
    """Copy rows that only unnamed parts contain. A rebuild that was killed can leave such parts.

    A part that cannot be read, or that its writer has removed meanwhile, is ignored.

    Args:
        store: The store.
        segment_id: The segment's number in the catalog.
        paths: The parts of the segment that the catalog does not name.
    """
    with store.writing() as session:
        segment = session.get_one(Segment, segment_id)
        for path in paths:
            with suppress(StoreError, ValueError, OSError):
                add_hot(session, segment, _lacking(store, session, segment, [path]))


def _clear(store: Store, name: str, files: list[Path]) -> int:
    with store.writing() as session:
        segment = session.scalar(select(Segment).where(Segment.segment == name))
        if segment is None or segment.sealed:
            return 0  # sealing has removed the unnamed parts
        present = _named(store, session, segment)
        old = [path for path in files if path not in present]
        lost = _lacking(store, session, segment, old)
        add_hot(session, segment, lost)
    for path in old:
        path.unlink(missing_ok=True)
    return len(lost)


def _named(store: Store, session: Session, segment: Segment) -> set[Path]:
    return {
        store.root / path for path in session.scalars(select(Part.path).where(Part.segment_id == segment.id))
    }


def _lacking(store: Store, session: Session, segment: Segment, paths: list[Path]) -> list[FinishedRow]:
    """Return the rows in ``paths`` that are not hot rows and not in a part that the catalog names."""
    import numpy as np

    from tracker.store.history.parquet import read_part_rows

    hot = session.scalars(select(HotRow.row).where(HotRow.segment_id == segment.id)).all()
    known = np.concatenate(
        [np.array(hot, np.int64), *(_row_numbers(path) for path in _named(store, session, segment))]
    )
    lost = {}
    for path in paths:
        if len(missing := np.setdiff1d(_row_numbers(path), known)):
            wanted = set(missing.tolist())
            lost.update({row.row: row for row in read_part_rows(path) if row.row in wanted})
    return [lost[row] for row in sorted(lost)]


def _row_numbers(path: Path) -> np.ndarray:
    from tracker.store.history.parquet import opened, read_columns

    with opened(path) as file:
        numbers: np.ndarray = read_columns(file, ["_row"]).column("_row").to_numpy()
    return numbers
