"""The pieces of a run's history, and reading rows from them. This module does not use the catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from operator import attrgetter
from typing import Any, NamedTuple

from tracker.runstate.fold import FinishedRow
from tracker.store.history.part_file import FIXED_KEYS, RANK_KEY, PartFile


class HistorySource(NamedTuple):
    """One piece of a run's visible history: the rows of one segment.

    Attributes:
        parts: The Parquet files of the segment, by first row.
        hot: A function that returns the rows that are not in a part yet, in order of logging.
        before: Only rows before this step are visible; a later attempt logged the other steps again.
            None: all rows are visible.
        segment_id: The segment's number in the catalog; 0 without a catalog.
        hot_count: The number of rows that are not in a part yet; None if it is not known.
        rank: The rank that each row names as ``_rank``; None: rows do not name it.
    """

    parts: list[PartFile]
    hot: Callable[[], list[FinishedRow]]
    before: int | None
    segment_id: int = 0
    hot_count: int | None = None
    rank: int | None = None

    def shows(self, step: int) -> bool:
        """Return whether a row of this segment at ``step`` is visible: it belongs to the newest branch."""
        return self.before is None or step < self.before


# The largest number of parts that are held open. Only small parts are merged, and two attempts of a writer
# have fewer of them.
MOST_HELD = 64


@contextmanager
def hold(pieces: list[HistorySource]) -> Iterator[list[HistorySource]]:
    """Open the newest parts of all pieces before the first part is read; yield pieces with the open files.

    Reading a large part takes long. Meanwhile, another process may merge and remove the newest parts. A file
    that is open already can still be read.

    Raises:
        FileNotFoundError: A part was merged before it was opened.
    """
    newest = [part.path for piece in pieces for part in piece.parts][-MOST_HELD:]
    if not newest:
        yield pieces
        return
    from tracker.store.history.parquet import (
        hold_file,  # pyarrow is heavy, and a short run may have no part yet
    )

    with ExitStack() as stack:
        files = {path: hold_file(stack, path) for path in newest}
        yield [
            piece._replace(parts=[part._replace(held=files.get(part.path)) for part in piece.parts])
            for piece in pieces
        ]


def rows_of(
    pieces: list[HistorySource], keys: Iterable[str] | None = None, *, complete: bool = False
) -> list[dict[str, Any]]:
    """Return history as a list of dicts: the logged keys, then ``_step``, ``_runtime``, ``_timestamp``.

    Args:
        pieces: The visible pieces of the history, oldest attempt first.
        keys: Return only these keys, and only rows that have at least one of them. None: everything.
        complete: Return only rows that have all of ``keys``.

    Returns:
        Rows by step. Rows of the same step are in order of the pieces, then of logging.
    """
    wanted = None if keys is None else [key for key in dict.fromkeys(keys) if key not in FIXED_KEYS]
    found: list[tuple[FinishedRow, int | None]] = []
    with hold(pieces) as held:
        for piece in held:
            found += ((row, piece.rank) for row in _rows(piece, wanted or None))
    found.sort(key=lambda each: each[0].step)
    answer = []
    for row, rank in found:
        data = row.data if wanted is None else {key: row.data[key] for key in wanted if key in row.data}
        if complete and wanted and len(data) < len(wanted):
            continue
        answer.append({**data, "_step": row.step, "_runtime": row.runtime, "_timestamp": row.time})
        if rank is not None:
            answer[-1][RANK_KEY] = rank
    return answer


def _rows(piece: HistorySource, keys: list[str] | None) -> Iterator[FinishedRow]:
    """Return a piece's visible rows in order of logging; with ``keys``, only rows that have one of them."""
    found = sorted(read_source(piece, keys), key=attrgetter("row"))
    return (row for row in found if piece.shows(row.step))


def read_source(piece: HistorySource, keys: list[str] | None) -> Iterator[FinishedRow]:
    """Yield all rows of a piece, part by part; with ``keys``, only rows that have one of them."""
    if piece.parts:
        # pyarrow is heavy, and a short run may have no part yet.
        from tracker.store.history.parquet import read_part_rows

        for part in piece.parts:
            yield from read_part_rows(part, keys)
    yield from (row for row in piece.hot() if keys is None or any(key in row.data for key in keys))
