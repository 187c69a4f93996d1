"""The pieces that a run's history consists of, and its rows out of them. Knows no catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from operator import attrgetter
from typing import Any, NamedTuple

from tracker.runstate.fold import FinishedRow
from tracker.store.history.part_file import FIXED_KEYS, PartFile


class HistorySource(NamedTuple):
    """One segment's part of the history that shows.

    Attributes:
        parts: Its Parquet files, by first row.
        hot: Returns its rows that are in no part yet, in order of logging.
        before: Rows at this step and beyond were logged again by a later attempt (None: all show).
        segment_id: The segment's number in the catalog, 0 without one.
    """

    parts: list[PartFile]
    hot: Callable[[], list[FinishedRow]]
    before: int | None
    segment_id: int = 0

    def shows(self, step: int) -> bool:
        """Whether a row of this segment at ``step`` belongs to the newest branch."""
        return self.before is None or step < self.before


# How many parts are held at once: more than a run's writer, and the one before it, have that can be merged.
MOST_HELD = 64


@contextmanager
def hold(pieces: list[HistorySource]) -> Iterator[list[HistorySource]]:
    """Open the newest parts of all pieces before any is read, which takes long for a large one.

    Newest parts are merged and removed at any time; a file that is open can still be read then.

    Raises:
        FileNotFoundError: One has been merged already.
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
    """Return history as wandb gives rows: the logged keys, ``_step``, ``_runtime``, ``_timestamp``.

    Args:
        pieces: What shows, oldest attempt first.
        keys: Only these keys, and rows that have at least one of them.
        complete: Only rows that have all of ``keys``.

    Returns:
        Rows by step; those of equal steps in order of logging.
    """
    wanted = None if keys is None else [key for key in dict.fromkeys(keys) if key not in FIXED_KEYS]
    found: list[FinishedRow] = []
    with hold(pieces) as held:
        for piece in held:
            found += _rows(piece, wanted or None)
    found.sort(key=attrgetter("step"))
    answer = []
    for row in found:
        data = row.data if wanted is None else {key: row.data[key] for key in wanted if key in row.data}
        if complete and wanted and len(data) < len(wanted):
            continue
        answer.append({**data, "_step": row.step, "_runtime": row.runtime, "_timestamp": row.time})
    return answer


def _rows(piece: HistorySource, keys: list[str] | None) -> Iterator[FinishedRow]:
    """Return a piece's rows in order of logging; with ``keys``, only those that have some of them."""
    found = sorted(read_source(piece, keys), key=attrgetter("row"))
    return (row for row in found if piece.shows(row.step))


def read_source(piece: HistorySource, keys: list[str] | None) -> Iterator[FinishedRow]:
    """Yield all rows of a piece, part by part; with ``keys``, only those that have some of them."""
    if piece.parts:
        # pyarrow is heavy, and a short run may have no part yet.
        from tracker.store.history.parquet import read_part_rows

        for part in piece.parts:
            yield from read_part_rows(part, keys)
    yield from (row for row in piece.hot() if keys is None or any(key in row.data for key in keys))
