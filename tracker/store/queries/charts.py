"""Chart data: numeric columns, thinned to what a chart can show without losing a spike.

Long parts are not read: their overview ladder is, at the rung that has a few buckets for each point
asked for. Zooming in takes a finer rung, and in the end the rows themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.store.hot import read_hot_keys
from tracker.store.ladder import AXES, FINEST, Buckets, concatenate, merge, single, unpack
from tracker.store.models import Run, Rung
from tracker.store.parquet import read_numbers
from tracker.store.pieces import PartFile, Piece, hold
from tracker.store.queries.history import visible_pieces
from tracker.store.store import Store


@dataclass(frozen=True, slots=True)
class Series:
    """One key's line.

    Attributes:
        key: The history key.
        kind: ``"points"`` (columns x, y) or ``"buckets"`` (x, last, min, max, mean, count, nonfinite,
            min_step, max_step).
        columns: Float64 columns of equal length; y may be NaN or infinite. A bucket's x is that of its
            last value; last, min, max and mean are those of its finite values (NaN when it has none),
            min_step and max_step the steps at which the extremes stood; ``nonfinite`` counts the others.
    """

    key: str
    kind: str
    columns: dict[str, np.ndarray]


class Window(NamedTuple):
    """What of the x axis is asked for."""

    x: str
    low: float
    high: float

    def all(self) -> bool:
        """Whether it is the whole axis."""
        return self.low == -np.inf and self.high == np.inf


class Line(NamedTuple):
    """Some of a line: x positions and values, or x positions and buckets."""

    x: np.ndarray
    values: np.ndarray | None
    steps: np.ndarray | None
    buckets: Buckets | None

    def as_buckets(self) -> Buckets:
        """Return the buckets, or one for each value."""
        if self.buckets is not None:
            return self.buckets
        assert self.values is not None and self.steps is not None
        return single(np.zeros(len(self.x)), self.values, self.steps)


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
) -> list[Series]:
    """Return the lines of ``keys`` over ``x``.

    Args:
        store: The store.
        session: A read transaction.
        run: The run.
        keys: History keys; one without numbers gives an empty line.
        x: ``_step``, ``_runtime`` (seconds), ``_timestamp`` (unix seconds) or a numeric key.
        points: More values than this are put into that many buckets.
        low: Only x from here.
        high: Only x up to here.
        segment: See ``visible_pieces``.
    """
    window = Window(x, -np.inf if low is None else low, np.inf if high is None else high)
    pieces = visible_pieces(session, run, store.root, segment)
    ladders = _Ladders(session, [part for piece in pieces for part in piece.parts], x)
    bucket_rows = ladders.rows_in(window) / points
    lines: dict[str, list[Line]] = {key: [] for key in keys}
    with hold(pieces) as held:
        for piece in held:
            for part in piece.parts:
                size = ladders.fitting(part, bucket_rows)
                if size is None:
                    _read_part(part, ladders, window, piece.before, lines)
                else:
                    _read_rungs(part, size, ladders, window, piece.before, lines)
            _read_hot(session, piece, window, lines)
    return [_thin(key, found, points) for key, found in lines.items()]


class _Ladders:
    """The rungs of some parts, fetched when they are wanted."""

    def __init__(self, session: Session, parts: list[PartFile], x: str) -> None:
        self._session = session
        self._parts = parts
        self._sizes: dict[int, list[int]] = {}
        found = session.execute(
            select(Rung.part_id, Rung.bucket_rows)
            .where(Rung.part_id.in_([part.id for part in parts]), Rung.key == x)
            .order_by(Rung.bucket_rows)
        )
        for part_id, size in found:
            self._sizes.setdefault(part_id, []).append(size)

    def fitting(self, part: PartFile, bucket_rows: float) -> int | None:
        """Return the coarsest rung of a part with buckets of at most so many rows."""
        fitting = [size for size in self._sizes.get(part.id, ()) if size <= bucket_rows]
        return fitting[-1] if fitting else None

    def rung(self, part: PartFile, key: str, size: int) -> Buckets | None:
        """Return one rung of a key; None when the part has no numbers of it."""
        data = self._session.scalar(
            select(Rung.data).where(Rung.part_id == part.id, Rung.key == key, Rung.bucket_rows == size)
        )
        return None if data is None else unpack(data)

    def rows_in(self, window: Window) -> float:
        """Return about how many rows stand in a window."""
        total = 0.0
        for part in self._parts:
            sizes = self._sizes.get(part.id)
            axis = self.rung(part, window.x, sizes[-1]) if sizes and not window.all() else None
            total += part.rows if axis is None else _share(axis, window)
        return total

    def row_range(self, part: PartFile, window: Window) -> tuple[int, int]:
        """Return the rows of a part outside which nothing is in the window."""
        axis = None
        if not window.all() and part.id in self._sizes:
            axis = self.rung(part, window.x, FINEST)
        if axis is None:
            return 0, part.rows
        index = axis.index[_inside(axis, window)]
        return (int(index[0]) * FINEST, int(index[-1] + 1) * FINEST) if len(index) else (0, 0)


def _inside(axis: Buckets, window: Window) -> np.ndarray:
    return (axis.high >= window.low) & (axis.low <= window.high)


def _share(axis: Buckets, window: Window) -> float:
    """Return how many values of an axis stand in a window, if they are even within each bucket."""
    inside = axis.take(_inside(axis, window))
    width = inside.high - inside.low
    overlap = np.minimum(inside.high, window.high) - np.maximum(inside.low, window.low)
    shares = np.where(width > 0, overlap / np.where(width > 0, width, 1.0), 1.0)
    return float((inside.count * shares).sum())


def _read_rungs(
    part: PartFile,
    size: int,
    ladders: _Ladders,
    window: Window,
    before: int | None,
    lines: dict[str, list[Line]],
) -> None:
    axis, steps = ladders.rung(part, window.x, size), ladders.rung(part, "_step", size)
    assert axis is not None and steps is not None
    shown = _inside(axis, window)
    if before is not None:
        steps = steps.take(np.searchsorted(steps.index, axis.index))
        torn = shown & (steps.low < before) & (steps.high >= before)
        shown &= steps.high < before
        if torn.any():  # buckets with rows of both branches: the rows themselves tell
            index = axis.index[torn]
            span = (int(index[0]) * size, int(index[-1] + 1) * size)
            _read_part(part, ladders, window, before, lines, span, set(index.astype(int)), size)
    axis = axis.take(shown)
    for key, found in lines.items():
        rung = ladders.rung(part, key, size)
        if rung is None or not len(axis.index):
            continue
        at = np.minimum(np.searchsorted(axis.index, rung.index), len(axis.index) - 1)
        both = axis.index[at] == rung.index
        found.append(Line(axis.last[at[both]], None, None, rung.take(both)))


def _read_part(
    part: PartFile,
    ladders: _Ladders,
    window: Window,
    before: int | None,
    lines: dict[str, list[Line]],
    span: tuple[int, int] | None = None,
    only: set[int] | None = None,
    size: int = 1,
) -> None:
    """Read a part's rows: all that are in the window, or those of a span that are in the buckets ``only``."""
    first, last = span or ladders.row_range(part, window)
    if first >= last:
        return
    numbers = read_numbers(part, window.x, list(lines), (first, last))
    if numbers.x is None:
        return
    shown = (numbers.x >= window.low) & (numbers.x <= window.high)  # False for NaN
    if before is not None:
        shown &= numbers.steps < before
    if only is not None:
        shown &= np.isin(np.arange(numbers.start, numbers.start + len(shown)) // size, list(only))
    for key, (values, present) in numbers.columns.items():
        kept = shown & present
        lines[key].append(Line(numbers.x[kept], values[kept], numbers.steps[kept], None))


def _read_hot(session: Session, piece: Piece, window: Window, lines: dict[str, list[Line]]) -> None:
    columns: dict[str, tuple[list[float], list[float], list[int]]] = {key: ([], [], []) for key in lines}
    names = list(dict.fromkeys([*lines, window.x]))
    x_at = names.index(window.x)
    for row, cells in read_hot_keys(session, piece.segment_id, names):
        at: Any = _on_axis(row, window.x) if window.x in AXES else cells[x_at]
        if not piece.shows(row.step) or not _is_number(at) or not window.low <= _as_double(at) <= window.high:
            continue  # what stands at no x cannot be drawn
        for value, (xs, ys, steps) in zip(cells, columns.values(), strict=False):
            if _is_number(value):
                xs.append(_as_double(at))
                ys.append(_as_double(value))
                steps.append(row.step)
    for key, (xs, ys, steps) in columns.items():
        if xs:
            lines[key].append(Line(np.array(xs), np.array(ys), np.array(steps), None))


def _on_axis(row: Any, axis: str) -> float:
    return float({"_step": row.step, "_runtime": row.runtime, "_timestamp": row.time}[axis])


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _as_double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def _thin(key: str, lines: list[Line], points: int) -> Series:
    if not lines:
        return Series(key, "points", {"x": np.empty(0), "y": np.empty(0)})
    x = np.concatenate([line.x for line in lines])
    order = np.argsort(x, kind="stable") if (x[1:] < x[:-1]).any() else None
    if len(x) <= points and all(line.values is not None for line in lines):
        y = np.concatenate([line.values for line in lines if line.values is not None])
        return Series(key, "points", {"x": x, "y": y} if order is None else {"x": x[order], "y": y[order]})
    buckets = concatenate([line.as_buckets() for line in lines])
    if order is not None:
        x, buckets = x[order], buckets.take(order)
    before = np.cumsum(buckets.count)
    targets = np.arange(points) * int(before[-1]) // points if len(before) else np.empty(0, int)
    starts = np.unique(np.searchsorted(before, targets, side="right"))
    found = merge(buckets, starts, starts) if len(starts) else buckets
    ends = np.append(starts[1:], len(x)) - 1 if len(starts) else starts
    finite = found.count - found.nonfinite
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(finite > 0, found.total / finite, np.nan)
    return Series(
        key,
        "buckets",
        {
            "x": x[ends],
            "last": found.last,
            "min": found.low,
            "max": found.high,
            "mean": mean,
            "count": found.count,
            "nonfinite": found.nonfinite,
            "min_step": found.low_step,
            "max_step": found.high_step,
        },
    )
