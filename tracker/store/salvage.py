"""After a rebuild: rows of an unsealed segment that its journal no longer gives are taken from old parts."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from tracker.store.hot import add_hot
from tracker.store.models import HotRow, Part, Segment
from tracker.store.store import Store

if TYPE_CHECKING:
    import numpy as np


def clear_forgotten(store: Store, paths: list[Path], unapplied: set[str]) -> list[str]:
    """Remove the parts that a rebuild forgot, now that the journals have given their rows again.

    Args:
        store: The rebuilt store, its journals applied, nothing sealed since.
        paths: Parts as they lay there before the rebuild.
        unapplied: Segments whose journals could not be applied: their parts stay for now.

    Returns:
        One line for each segment whose journal lacked rows; they were kept.
    """
    lines = []
    for name, files in groupby(sorted(paths), key=lambda path: path.name.partition("-")[0]):
        if name in unapplied:
            continue
        try:
            kept = _clear(store, name, list(files))
        except (ValueError, OSError) as error:
            lines.append(f"an old part of segment {name} cannot be read and was left alone: {error}")
            continue
        if kept:
            lines.append(
                f"the journal of segment {name} lacks {kept} rows: they were kept from Parquet files"
            )
    return lines


def _clear(store: Store, name: str, files: list[Path]) -> int:
    import numpy as np

    from tracker.store.parquet import read_rows

    with store.writing() as session:
        segment = session.scalar(select(Segment).where(Segment.segment == name))
        if segment is None or segment.sealed:
            return 0  # sealing has removed what nobody names
        named = session.scalars(select(Part.path).where(Part.segment_id == segment.id))
        present = {store.root / path for path in named}
        hot = session.scalars(select(HotRow.row).where(HotRow.segment_id == segment.id)).all()
        known = np.concatenate([np.array(hot, np.int64), *(_row_numbers(path) for path in present)])
        old = [path for path in files if path not in present]
        lost = {}
        for path in old:
            if len(missing := np.setdiff1d(_row_numbers(path), known)):
                wanted = set(missing.tolist())
                lost.update({row.row: row for row in read_rows(path) if row.row in wanted})
        add_hot(session, segment, list(lost.values()))
    for path in old:
        path.unlink(missing_ok=True)
    return len(lost)


def _row_numbers(path: Path) -> np.ndarray:
    import pyarrow.parquet as pq

    numbers: np.ndarray = pq.read_table(path, columns=["_row"]).column("_row").to_numpy()
    return numbers
