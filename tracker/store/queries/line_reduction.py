"""Reduction of the pieces of a line to points, or to buckets of almost equal numbers of rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from tracker.store.history.ladder import Buckets, concatenate, merge, single

# The division of at most this number of rows is kept: the runs of a chart often have the same number of rows.
LARGEST_KEPT = 65_536


@dataclass(frozen=True, slots=True)
class Series:
    """The line of one key.

    Attributes:
        key: The history key.
        kind: ``"points"`` (columns x, y) or ``"buckets"`` (x, last, min, max, mean, count, nonfinite,
            min_step, max_step).
        columns: Float64 columns of equal length. y can be NaN or infinite. The x of a bucket is the x of
            its last value. last, min, max and mean cover the finite values of the bucket; they are NaN if
            there are none. min_step and max_step are the steps of the smallest and of the largest value.
            count covers all values, and nonfinite those that are NaN or infinite.
        rank: The rank, if those of all ranks were requested.
    """

    key: str
    kind: str
    columns: dict[str, np.ndarray]
    rank: int | None = None


class Line(NamedTuple):
    """A piece of a line: x positions with values and steps, or x positions with buckets."""

    x: np.ndarray
    values: np.ndarray | None
    steps: np.ndarray | None
    buckets: Buckets | None

    def as_buckets(self) -> Buckets:
        """Return the buckets, or one bucket for each value."""
        if self.buckets is not None:
            return self.buckets
        assert self.values is not None and self.steps is not None
        return single(np.zeros(len(self.x)), self.values, self.steps)


def reduce_lines(lines: dict[str, list[Line]], points: int, steps: bool = True) -> list[Series]:
    """Return the line of each key. The function does not use the store.

    Args:
        lines: The pieces of each key's line.
        points: The largest number of points of a line.
        steps: Whether buckets have the steps of their smallest and largest value.
    """
    shared: dict[int, np.ndarray] = {}
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return [_reduce(key, found, points, shared, steps) for key, found in lines.items()]


def _reduce(
    key: str, lines: list[Line], points: int, shared: dict[int, np.ndarray], with_steps: bool
) -> Series:
    """Return the line of a key.

    Args:
        key: The key.
        lines: The pieces of the line.
        points: The largest number of points.
        shared: The x columns of keys that were logged in the same rows, by the identity of their x positions.
            Only the first of these keys checks and reduces them.
        with_steps: See ``reduce_lines``.
    """
    if not lines:
        return Series(key, "points", {"x": np.empty(0), "y": np.empty(0)})
    x = _join([line.x for line in lines])
    known = shared.get(id(x)) if len(lines) == 1 else None
    order = np.argsort(x, kind="stable") if known is None and (x[1:] < x[:-1]).any() else None
    if all(line.values is not None for line in lines):
        y = _join([line.values for line in lines if line.values is not None])
        if order is not None:
            y = y[order]
        if len(y) <= points:
            return Series(key, "points", {"x": x if order is None else x[order], "y": y})
        steps = _join([line.steps for line in lines if line.steps is not None]) if with_steps else None
        if order is not None:
            x, steps = x[order], None if steps is None else steps[order]
        if known is None:
            known = x[divide(len(y), points).ends]
            if len(lines) == 1 and order is None:
                shared[id(x)] = known
        return Series(key, "buckets", {"x": known, **bucket_values(y, steps, points)})
    buckets = concatenate([line.as_buckets() for line in lines])
    if order is not None:
        x, buckets = x[order], buckets.take(order)
    before = np.cumsum(buckets.count)
    targets = np.arange(points) * int(before[-1]) // points if len(before) else np.empty(0, int)
    starts = np.unique(np.searchsorted(before, targets, side="right"))
    found = merge(buckets, starts, starts) if len(starts) else buckets
    ends = np.append(starts[1:], len(x)) - 1 if len(starts) else starts
    finite = found.count - found.nonfinite
    columns = {
        "x": x[ends],
        "last": found.last,
        "min": found.low,
        "max": found.high,
        "mean": np.where(finite > 0, found.total / finite, np.nan),
        "count": found.count,
        "nonfinite": found.nonfinite,
    }
    steps_of = {"min_step": found.low_step, "max_step": found.high_step} if with_steps else {}
    return Series(key, "buckets", {**columns, **steps_of})


def _join(arrays: list[np.ndarray]) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


class Division(NamedTuple):
    """The buckets of a number of rows. Several series share the arrays, so they are read-only.

    Attributes:
        starts: The first row of each bucket.
        ends: The last row of each bucket.
        rows: The number of rows of each bucket, float64.
        zeros: A zero for each bucket, float64.
        table: The rows of the buckets, one bucket per column. A shorter bucket repeats its last row.
        offsets: The positions of the rows in their buckets: a column of the smallest type of integers.
        even: Whether all buckets have the same number of rows.
    """

    starts: np.ndarray
    ends: np.ndarray
    rows: np.ndarray
    zeros: np.ndarray
    table: np.ndarray
    offsets: np.ndarray
    even: bool


def divide(rows: int, buckets: int) -> Division:
    """Return the division of rows into at most as many buckets."""
    return _kept_division(rows, buckets) if rows <= LARGEST_KEPT else _division(rows, buckets)


def _division(rows: int, buckets: int) -> Division:
    starts = np.arange(buckets) * rows // buckets
    ends = np.append(starts[1:], rows) - 1
    count = ends - starts + 1
    offsets = np.arange(count.max())
    table = np.minimum(starts + offsets[:, None], ends)
    small = offsets.astype(np.min_scalar_type(len(offsets)))
    found = Division(
        starts, ends, count.astype(np.float64), np.zeros(buckets), table, small[:, None], rows % buckets == 0
    )
    for each in found[:-1]:
        each.setflags(write=False)
    return found


_kept_division = lru_cache(maxsize=32)(_division)


def bucket_values(y: np.ndarray, steps: np.ndarray | None, buckets: int) -> dict[str, np.ndarray]:
    """Return the columns of a series of buckets, except ``x``: see ``Series``.

    The caller has turned off NumPy's warnings: a sum beyond the range of a double becomes infinite.

    Args:
        y: The values in the order of x: at least ``buckets``.
        steps: The step of each value. None: the result has no steps of extremes.
        buckets: The number of buckets.
    """
    at = divide(len(y), buckets)
    cells = y.take(at.table)
    total = _sum(cells, at)
    number, nonfinite, last = at.rows, at.zeros, y[at.ends]
    if np.isfinite(total).all():  # then all values are finite
        low, high = cells.min(axis=0), cells.max(axis=0)
        extremes = ((cells, low), (cells, high))
    else:
        finite = np.isfinite(y)
        nonfinite = np.add.reduceat(~finite, at.starts, dtype=np.float64)
        number = at.rows - nonfinite
        total = _sum(np.where(finite, y, 0.0).take(at.table), at)
        lowest = np.where(finite, y, np.inf).take(at.table)
        highest = np.where(finite, y, -np.inf).take(at.table)
        low, high = lowest.min(axis=0), highest.max(axis=0)
        extremes = ((lowest, low), (highest, high))
        latest = np.maximum.reduceat(np.where(finite, np.arange(len(y)), -1), at.starts)
        last = np.where(latest >= 0, y[latest], np.nan)
    columns = {
        "last": last,
        "min": low,
        "max": high,
        "mean": total / number,
        "count": at.rows,
        "nonfinite": nonfinite,
    }
    if steps is not None:
        for name, (some, extreme) in zip(("min_step", "max_step"), extremes, strict=True):
            columns[name] = steps[_first(some, extreme, at)].astype(np.float64)
    if number is not at.rows and not number.all():
        for name in columns.keys() & {"min", "max", "mean", "min_step", "max_step"}:
            columns[name] = np.where(number == 0, np.nan, columns[name])
    return columns


def _first(cells: np.ndarray, extremes: np.ndarray, at: Division) -> np.ndarray:
    """Return the row of the first cell of each bucket that equals the bucket's extreme."""
    none = np.iinfo(at.offsets.dtype).max  # all bits are set
    offsets: np.ndarray = np.multiply(cells != extremes, none, dtype=at.offsets.dtype) | at.offsets
    first: np.ndarray = at.starts + np.minimum(offsets.min(axis=0), at.offsets[-1])
    return first


def _sum(cells: np.ndarray, at: Division) -> np.ndarray:
    """Return the sum of each bucket, without the repeated last row of a shorter bucket."""
    total: np.ndarray = cells.sum(axis=0)
    return total if at.even else cells[:-1].sum(axis=0) + np.where(at.rows == len(cells), cells[-1], 0.0)
