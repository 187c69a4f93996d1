"""Reduction of the values of a line to buckets of almost equal numbers of rows."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

# The division of at most this number of rows is kept: the runs of a chart often have the same number of rows.
LARGEST_KEPT = 65_536


class Division(NamedTuple):
    """The buckets of a number of rows.

    Attributes:
        starts: The first row of each bucket.
        ends: The last row of each bucket.
        rows: The number of rows of each bucket, float64.
        table: The rows of the buckets, one bucket per column. A shorter bucket repeats its last row.
        offsets: The positions of the rows in their buckets: a column of the smallest type of integers.
    """

    starts: np.ndarray
    ends: np.ndarray
    rows: np.ndarray
    table: np.ndarray
    offsets: np.ndarray


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
    return Division(starts, ends, count.astype(np.float64), table, small[:, None])


_kept_division = lru_cache(maxsize=32)(_division)


def bucket_values(y: np.ndarray, steps: np.ndarray, buckets: int) -> dict[str, np.ndarray]:
    """Return the columns of a series of buckets, except ``x``: see ``tracker.store.queries.charts.Series``.

    Args:
        y: The values in the order of x: at least ``buckets``.
        steps: The step of each value.
        buckets: The number of buckets.
    """
    at = divide(len(y), buckets)
    finite = np.isfinite(y)
    if finite.all():
        cells = y.take(at.table)
        low, high = cells.min(axis=0), cells.max(axis=0)
        lowest, highest = _first(cells, low, at), _first(cells, high, at)
        number, nonfinite = at.rows, np.zeros(buckets)
        total, last = _sum(cells, at), y[at.ends]
    else:
        cells = np.where(finite, y, np.inf).take(at.table)
        lowest = _first(cells, low := cells.min(axis=0), at)
        cells = np.where(finite, y, -np.inf).take(at.table)
        highest = _first(cells, high := cells.max(axis=0), at)
        nonfinite = np.add.reduceat(~finite, at.starts, dtype=np.float64)
        number = at.rows - nonfinite
        total = _sum(np.where(finite, y, 0.0).take(at.table), at)
        latest = np.maximum.reduceat(np.where(finite, np.arange(len(y)), -1), at.starts)
        last = np.where(latest >= 0, y[latest], np.nan)
    low_step, high_step = steps[lowest].astype(np.float64), steps[highest].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / number
    if not number.all():
        for column in (low, high, mean, low_step, high_step):
            column[number == 0] = np.nan
    return {
        "last": last,
        "min": low,
        "max": high,
        "mean": mean,
        "count": at.rows,
        "nonfinite": nonfinite,
        "min_step": low_step,
        "max_step": high_step,
    }


def _first(cells: np.ndarray, extremes: np.ndarray, at: Division) -> np.ndarray:
    """Return the row of the first cell of each bucket that equals the bucket's extreme."""
    none = np.iinfo(at.offsets.dtype).max  # all bits are set
    offsets: np.ndarray = np.multiply(cells != extremes, none, dtype=at.offsets.dtype) | at.offsets
    first: np.ndarray = at.starts + np.minimum(offsets.min(axis=0), at.offsets[-1])
    return first


def _sum(cells: np.ndarray, at: Division) -> np.ndarray:
    """Return the sum of each bucket, without the repeated last row of a shorter bucket."""
    last = np.where(at.rows == len(cells), cells[-1], 0.0)
    with np.errstate(over="ignore", invalid="ignore"):  # a sum beyond the range of a double becomes infinite
        total: np.ndarray = cells[:-1].sum(axis=0) + last
    return total
