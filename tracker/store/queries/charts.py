"""Chart data: numeric columns, reduced to the number of points that a chart can show. No spike is lost.

For a long part (a Parquet file with rows), the query reads buckets of rows instead of the rows: a rung of the
part's overview ladder (``tracker.store.history.ladder``). It uses the rung whose number of buckets is nearest
to the number of points. A smaller window needs a finer rung, and the smallest windows need the rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.errors import StoreError
from tracker.runstate.fold import FinishedRow
from tracker.runstate.merge import Rank
from tracker.store.catalog.hot_rows import read_hot_keys
from tracker.store.catalog.models import Run, Rung
from tracker.store.history.ladder import (
    AXES,
    FINEST,
    LADDER_ROWS,
    STEP,
    Buckets,
    rungs_of_part,
    unpack,
)
from tracker.store.history.parquet import last_number, read_numbers
from tracker.store.history.part_file import PartFile
from tracker.store.history.sources import HistorySource, hold
from tracker.store.queries.history import visible_sources
from tracker.store.queries.line_reduction import Line, Series, reduce_lines
from tracker.store.store import Store


class Window(NamedTuple):
    """The requested interval of the x axis."""

    x: str
    low: float
    high: float

    def all(self) -> bool:
        """Return whether the window is the whole axis."""
        return self.low == -np.inf and self.high == np.inf


def chart(
    store: Store,
    session: Session,
    run: Run,
    keys: list[str],
    *,
    x: str = "_step",
    points: int = 1000,
    low: float | None = None,
    high: float | None = None,
    segment: str | None = None,
    rank: Rank | None = None,
) -> list[Series]:
    """Return the lines of ``keys`` over ``x``; of all ranks rank by rank, each with its rank.

    Args:
        store: The store.
        session: A read transaction.
        run: The run.
        keys: History keys, or names of axes. A key without numbers gives an empty line.
        x: The x axis: ``_step``, ``_runtime`` (seconds), ``_timestamp`` (unix seconds) or a numeric key. A
            row without a finite number for this key takes the previous x of its segment. Rows before the
            first x are left out.
        points: The largest number of points. More values are put into at most this number of buckets.
        low: The smallest x. None: no limit.
        high: The largest x. None: no limit.
        segment: Use the rows of this segment: see ``visible_sources``.
        rank: Use the rows of this rank, or of all ranks.
    """
    pieces = visible_sources(session, run, store.root, segment, rank)
    window = make_window(x, low, high)
    return [
        replace(series, rank=label)
        for label, some in groupby(pieces, key=attrgetter("rank"))
        for series in draw(session, list(some), keys, window, points)
    ]


def make_window(x: str, low: float | None, high: float | None) -> Window:
    """Return the interval from ``low`` to ``high`` of the axis ``x``.

    Args:
        x: The x axis.
        low: The smallest x. None: no limit.
        high: The largest x. None: no limit.
    """
    return Window(x, -np.inf if low is None else low, np.inf if high is None else high)


def draw(
    session: Session,
    pieces: list[HistorySource],
    keys: Sequence[str],
    window: Window,
    points: int,
    *,
    steps: bool = True,
) -> list[Series]:
    """Return the lines of ``keys`` in some pieces of a run's history.

    Args:
        session: A read transaction.
        pieces: The visible pieces of a run's history.
        keys: The keys, as in ``chart``.
        window: The requested interval of the x axis.
        points: The largest number of points of a line.
        steps: Whether buckets have the steps of their smallest and largest value.
    """
    lines: dict[str, list[Line]] = {key: [] for key in keys}
    with hold(pieces) as held:
        ladders = _Ladders(session, held, window.x)
        bucket_rows = ladders.rows_in(window) / points
        for piece in held:
            for part in piece.parts:
                size = ladders.find_rung_size(part, bucket_rows)
                if size is None:
                    _read_part(part, ladders, window, piece.before, lines)
                else:
                    _read_rungs(part, size, ladders, window, piece.before, lines, points)
            read_hot_lines(session, piece, window, ladders.x_after(piece), lines)
    return reduce_lines(lines, points, steps)


class Axis(NamedTuple):
    """The positions of a part's buckets on the x axis: arrays with one element per bucket.

    The positions are NaN as long as the segment has no x yet.

    Attributes:
        low: The smallest x of the bucket's rows. A row without an x has the x of the row before it.
        high: The largest x.
        last: The x of the last row.
        rows: The number of rows.
        partial: Whether some rows come before the first x of the segment and some after it.
    """

    low: np.ndarray
    high: np.ndarray
    last: np.ndarray
    rows: np.ndarray
    partial: np.ndarray


class _Ladders:
    """The rungs of all parts, and the last x before each part, read from the store when needed."""

    def __init__(self, session: Session, pieces: list[HistorySource], x: str) -> None:
        self._session = session
        self._x = x
        self._parts = [part for piece in pieces for part in piece.parts]
        self._before = {
            part.path: piece.parts[:at] for piece in pieces for at, part in enumerate(piece.parts)
        }
        self._last: dict[Path, float] = {}
        self._sizes: dict[int, list[int]] = {}
        self._computed: dict[int, dict[tuple[str, int], bytes]] = {}
        if long := [part.id for part in self._parts if part.rows >= LADDER_ROWS]:
            found = session.execute(
                select(Rung.part_id, Rung.bucket_rows)
                .where(Rung.part_id.in_(long), Rung.key == "_step")
                .order_by(Rung.bucket_rows)
            )
            for part_id, size in found:
                self._sizes.setdefault(part_id, []).append(size)
        for part in self._parts:
            if part.rows >= LADDER_ROWS and part.id not in self._sizes and (made := _compute(part.path)):
                self._computed[part.id] = made
                self._sizes[part.id] = sorted(size for key, size in made if key == "_step")

    def find_rung_size(self, part: PartFile, bucket_rows: float) -> int | None:
        """Return the size of the rung whose buckets have about ``bucket_rows`` rows; None for the rows.

        A rung is the nearest one up to half a step of the ladder, so an answer has at least a third of the
        points. The rung below has up to eight times as many buckets, which would only be merged again.
        """
        most = bucket_rows * STEP**0.5
        fitting = [size for size in self._sizes.get(part.id, ()) if size <= most]
        return fitting[-1] if fitting else None

    def finer(self, part: PartFile, size: int) -> int | None:
        """Return the bucket size of the next finer rung; None if there is none."""
        sizes = self._sizes[part.id]
        return sizes[sizes.index(size) - 1] if size > sizes[0] else None

    def rung(self, part: PartFile, key: str, size: int) -> Buckets | None:
        """Return one rung of a key; None if the part has no numbers of this key."""
        return self.rungs(part, [key], size).get(key)

    def rungs(self, part: PartFile, keys: Iterable[str], size: int) -> dict[str, Buckets]:
        """Return the rungs of keys. Keys without numbers in the part are absent."""
        if (made := self._computed.get(part.id)) is not None:
            return {key: unpack(made[key, size]) for key in keys if (key, size) in made}
        found = self._session.execute(
            select(Rung.key, Rung.data).where(
                Rung.part_id == part.id, Rung.key.in_(keys), Rung.bucket_rows == size
            )
        )
        return {key: unpack(data) for key, data in found}

    def axis(self, part: PartFile, size: int) -> Axis:
        """Return the positions of a part's buckets of ``size`` rows."""
        rung = self.rung(part, self._x, size)
        count = -(-part.rows // size)
        low, high, last, known = np.full((4, count), np.nan)
        if rung is not None:
            at = rung.index.astype(int)
            low[at], high[at], last[at], known[at] = (
                rung.low,
                rung.high,
                rung.last,
                rung.count - rung.nonfinite,
            )
        rows = np.minimum(size, part.rows - size * np.arange(count))
        carried = self.x_before(part)
        last = fill_gaps(last, carried)
        before = np.concatenate([[carried], last[:-1]])
        some = ~(known == rows)  # some rows have no x: they take the last x before them
        low, high = np.where(some, np.fmin(low, before), low), np.where(some, np.fmax(high, before), high)
        return Axis(low, high, last, rows, some & np.isnan(before) & ~np.isnan(last))

    def x_before(self, part: PartFile, row: int = 0) -> float:
        """Return the last x of the segment before a row of a part; NaN if there is none."""
        if self._x in AXES:
            return np.nan  # each row has its own x
        if row:
            found = last_number(part, self._x, row)
            if not np.isnan(found):
                return found
        return self._latest(self._before[part.path])

    def x_after(self, piece: HistorySource) -> float:
        """Return the last x in the parts of a piece; NaN if there is none."""
        return np.nan if self._x in AXES else self._latest(piece.parts)

    def _latest(self, parts: list[PartFile]) -> float:
        for part in reversed(parts):
            if part.path not in self._last:
                self._last[part.path] = self._last_of(part)
            if not np.isnan(self._last[part.path]):
                return self._last[part.path]
        return np.nan

    def _last_of(self, part: PartFile) -> float:
        sizes = self._sizes.get(part.id)
        if not sizes:
            return last_number(part, self._x)
        rung = self.rung(part, self._x, sizes[-1])
        finite = np.empty(0) if rung is None else rung.last[~np.isnan(rung.last)]
        return float(finite[-1]) if len(finite) else np.nan

    def rows_in(self, window: Window) -> float:
        """Return an estimate of the number of rows in a window."""
        total = 0.0
        for part in self._parts:
            sizes = self._sizes.get(part.id)
            whole = window.all() or not sizes
            total += part.rows if whole or not sizes else _estimate_rows(self.axis(part, sizes[-1]), window)
        return total

    def row_range(self, part: PartFile, window: Window) -> tuple[int, int]:
        """Return a range of a part's rows that contains all rows in the window."""
        if window.all() or part.id not in self._sizes:
            return 0, part.rows
        index = np.flatnonzero(_inside(self.axis(part, FINEST), window))
        return (int(index[0]) * FINEST, int(index[-1] + 1) * FINEST) if len(index) else (0, 0)


@lru_cache(maxsize=64)
def _compute(path: Path) -> dict[tuple[str, int], bytes]:
    """Return the rungs of a part that has none in the catalog, by key and rows per bucket.

    A private catalog of published files has no rungs, because their computation reads all rows.
    """
    try:
        return {(key, size): data for key, size, data in rungs_of_part(path)}
    except StoreError:  # the part is damaged; the read of its rows reports the damage
        return {}


def fill_gaps(values: np.ndarray, before: float) -> np.ndarray:
    """Return values in which each gap (a value that is not finite) is filled with the last finite value.

    ``before`` fills a gap at the beginning.
    """
    finite = np.isfinite(values)
    if finite.all():
        return values
    latest = np.maximum.accumulate(np.where(finite, np.arange(len(values)), -1))
    return np.where(latest >= 0, values[latest], before) if len(values) else values


def _inside(axis: Axis, window: Window) -> np.ndarray:
    return (axis.high >= window.low) & (axis.low <= window.high)  # False for NaN


def _estimate_rows(axis: Axis, window: Window) -> float:
    """Return the number of rows in a window, as if the rows of each bucket were evenly spaced."""
    inside = _inside(axis, window)
    low, high = axis.low[inside], axis.high[inside]
    width = high - low
    overlap = np.minimum(high, window.high) - np.maximum(low, window.low)
    shares = np.where(width > 0, overlap / np.where(width > 0, width, 1.0), 1.0)
    return float((axis.rows[inside] * shares).sum())


def _read_rungs(
    part: PartFile,
    size: int,
    ladders: _Ladders,
    window: Window,
    before: int | None,
    lines: dict[str, list[Line]],
    points: int,
) -> None:
    rungs = ladders.rungs(part, lines, size)
    finer = ladders.finer(part, size)
    # The values of a key that is logged rarely need not share buckets.
    rare = {key for key, rung in rungs.items() if finer is not None and _is_rare(rung, points)}
    if finer is not None and rare:
        few = {key: lines[key] for key in rare}
        _read_rungs(part, finer, ladders, window, before, few, points)
        lines = {key: found for key, found in lines.items() if key not in rare}
        if not rungs.keys() - rare:
            return
    axis = ladders.axis(part, size)
    shown = _inside(axis, window)
    # If only some rows of a bucket are visible, read the rows.
    _read_partial_buckets(part, size, ladders, window, before, lines, shown & axis.partial)
    shown &= ~axis.partial
    if before is not None:
        steps = ladders.rung(part, "_step", size)
        assert steps is not None
        partial = shown & (steps.low < before) & (steps.high >= before)
        shown &= steps.high < before
        _read_partial_buckets(part, size, ladders, window, before, lines, partial)
    for key in rungs.keys() & lines.keys():
        at = rungs[key].index.astype(int)
        lines[key].append(Line(axis.last[at[shown[at]]], None, None, rungs[key].take(shown[at])))


def _is_rare(rung: Buckets, points: int) -> bool:
    """Return whether buckets share the values of a key that has few."""
    return bool(rung.count.sum() <= points * STEP**0.5 and (rung.count > 1).any())


def _read_partial_buckets(
    part: PartFile,
    size: int,
    ladders: _Ladders,
    window: Window,
    before: int | None,
    lines: dict[str, list[Line]],
    partial: np.ndarray,
) -> None:
    index = np.flatnonzero(partial)
    if len(index):
        span = (int(index[0]) * size, int(index[-1] + 1) * size)
        _read_part(part, ladders, window, before, lines, span, partial, size)


def _read_part(
    part: PartFile,
    ladders: _Ladders,
    window: Window,
    before: int | None,
    lines: dict[str, list[Line]],
    span: tuple[int, int] | None = None,
    only: np.ndarray | None = None,
    size: int = 1,
) -> None:
    """Read the rows of a part that are in the window.

    Given ``span`` and ``only``, read only rows in this span and in the buckets that the mask ``only``
    selects; ``size`` is the number of rows per bucket.
    """
    first, last = span or ladders.row_range(part, window)
    if first >= last:
        return
    numbers = read_numbers(part, window.x, list(lines), (first, last))
    x = fill_gaps(numbers.x, ladders.x_before(part, numbers.start))
    shown = (x >= window.low) & (x <= window.high)  # False for NaN: a row without an x cannot be drawn
    if before is not None:
        shown &= numbers.steps < before
    if only is not None:
        shown &= only[np.arange(numbers.start, numbers.start + len(shown)) // size]
    everything = shown.all()
    for key, (values, present) in numbers.columns.items():
        if everything and present is None:
            lines[key].append(Line(x, values, numbers.steps, None))
        else:
            kept = shown if present is None else shown & present
            lines[key].append(Line(x[kept], values[kept], numbers.steps[kept], None))


def read_hot_lines(
    session: Session, piece: HistorySource, window: Window, x_before: float, lines: dict[str, list[Line]]
) -> None:
    """Add the visible hot rows of a piece to the lines of the keys.

    Args:
        session: A read transaction.
        piece: The piece.
        window: The requested interval of the x axis.
        x_before: The last x in the parts of the piece; NaN if there is none.
        lines: The pieces of each key's line.
    """
    if piece.hot_count == 0:
        return
    columns: dict[str, tuple[list[float], list[float], list[int]]] = {key: ([], [], []) for key in lines}
    names = list(dict.fromkeys([*lines, window.x]))
    x_at, on_axis = names.index(window.x), [name in AXES for name in names]
    at = x_before
    for row, cells in read_hot_keys(session, piece.segment_id, names):
        numbers = [
            _on_axis(row, name) if own else _as_double(cell) if _is_number(cell) else None
            for name, own, cell in zip(names, on_axis, cells, strict=True)
        ]
        x = numbers[x_at]
        at = x if x is not None and math.isfinite(x) else at
        if not piece.shows(row.step) or not window.low <= at <= window.high:
            continue  # also if ``at`` is NaN: a row without an x cannot be drawn
        for value, (xs, ys, steps) in zip(numbers, columns.values(), strict=False):
            if value is not None:
                xs.append(at)
                ys.append(value)
                steps.append(row.step)
    for key, (xs, ys, steps) in columns.items():
        if xs:
            lines[key].append(Line(np.array(xs), np.array(ys), np.array(steps), None))


def _on_axis(row: FinishedRow, axis: str) -> float:
    return float({"_step": row.step, "_runtime": row.runtime, "_timestamp": row.time}[axis])


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _as_double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf
