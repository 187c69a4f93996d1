"""The overview ladder: a part's numeric columns in buckets of rows, so that a chart costs its pixels.

Rung ``r`` of a key has one bucket for each ``FINEST * STEP**r`` rows of the part in which the key was
logged as a number. A bucket keeps min, max, total, last, count and how many values were not finite, and
the step at which each extreme stood: merging buckets loses no spike. ``_step``, ``_runtime`` and
``_timestamp`` have rungs too: they say where a bucket stands on an x axis.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker.store.history.columns import NUMERIC, column_name
from tracker.store.history.parquet import column_roles, opened, read_columns, to_numpy

# Fewer rows are read as fast as a rung would be.
LADDER_ROWS = 65_536
FINEST = 256
STEP = 8
# A rung with fewer buckets than this says nothing that a finer one does not say as cheaply.
FEWEST_BUCKETS = 16
AXES = ("_step", "_runtime", "_timestamp")
COLUMNS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Buckets:
    """Values in buckets, in order: float64 arrays of equal length.

    Attributes:
        index: Which of the part's buckets: its rows begin at ``index * bucket_rows``.
        low: Smallest finite value, NaN where there is none.
        high: Largest finite value.
        total: Sum of the finite values.
        last: The last finite value.
        count: Values, those that are not finite included.
        nonfinite: Values that are NaN or infinite.
        low_step: Step of the first row with the smallest value.
        high_step: Step of the first row with the largest value.
    """

    index: np.ndarray
    low: np.ndarray
    high: np.ndarray
    total: np.ndarray
    last: np.ndarray
    count: np.ndarray
    nonfinite: np.ndarray
    low_step: np.ndarray
    high_step: np.ndarray

    def take(self, chosen: np.ndarray) -> Buckets:
        """Return the buckets at ``chosen``: indices or a mask."""
        return Buckets(*(column[chosen] for column in self.columns()))

    def columns(self) -> list[np.ndarray]:
        """Return the columns, in the order in which they are packed."""
        return [getattr(self, name) for name in self.__slots__]


def single(index: np.ndarray, values: np.ndarray, steps: np.ndarray) -> Buckets:
    """Return a bucket for each value."""
    finite = np.isfinite(values)
    shown = values if finite.all() else np.where(finite, values, np.nan)
    ones = np.ones(len(values))
    at = steps.astype(np.float64)
    return Buckets(
        index.astype(np.float64),
        shown,
        shown,
        np.where(finite, values, 0.0),
        shown,
        ones,
        ones - finite,
        at,
        at,
    )


def merge(buckets: Buckets, starts: np.ndarray, index: np.ndarray) -> Buckets:
    """Return larger buckets: each takes those from its start up to the next one's.

    Args:
        buckets: At least one.
        starts: Ascending, the first is 0.
        index: The new buckets' ``index``.
    """
    low = np.fmin.reduceat(buckets.low, starts)
    high = np.fmax.reduceat(buckets.high, starts)
    count = len(buckets.low)
    places = np.arange(count)
    lengths = np.diff(starts, append=count)
    latest = np.maximum.reduceat(np.where(np.isnan(buckets.last), -1, places), starts)
    with np.errstate(over="ignore"):  # a sum beyond what a double holds is infinite
        total = np.add.reduceat(buckets.total, starts)
    return Buckets(
        index.astype(np.float64),
        low,
        high,
        total,
        np.where(latest >= 0, buckets.last[latest], np.nan),
        np.add.reduceat(buckets.count, starts),
        np.add.reduceat(buckets.nonfinite, starts),
        _step_of(buckets.low, low, buckets.low_step, starts, lengths),
        _step_of(buckets.high, high, buckets.high_step, starts, lengths),
    )


def concatenate(pieces: list[Buckets]) -> Buckets:
    """Return the buckets of all pieces, one after the other."""
    columns = zip(*(piece.columns() for piece in pieces), strict=True)
    return Buckets(*(np.concatenate(column) for column in columns))


def coarsen(buckets: Buckets, factor: int) -> Buckets:
    """Return the next rung: buckets of ``factor`` times as many rows."""
    index = buckets.index // factor
    starts = np.flatnonzero(np.diff(index, prepend=-1.0))
    return merge(buckets, starts, index[starts])


def pack(buckets: Buckets) -> bytes:
    """Return buckets as the catalog keeps them: the columns as little-endian float64, deflated."""
    return zlib.compress(np.stack(buckets.columns()).astype("<f8", copy=False).tobytes(), 1)


def unpack(data: bytes) -> Buckets:
    """Return the buckets that ``pack`` was given."""
    flat = np.frombuffer(zlib.decompress(data), "<f8")
    return Buckets(*flat.reshape(len(Buckets.__slots__), -1))


def rungs_of_part(path: Path) -> Iterator[tuple[str, int, bytes]]:
    """Yield the rungs of a part: key, rows in a bucket, packed buckets. None for a small part."""
    with opened(path) as file:
        rows = file.metadata.num_rows
        if rows < LADDER_ROWS:
            return
        keys = {axis: axis for axis in AXES}
        roles = column_roles(file).values()
        # A script may log keys named like an axis: theirs are other values, and not in every row.
        numeric = [role["key"] for role in roles if role["kind"] in NUMERIC and role["key"] not in AXES]
        keys.update({key: column_name(key) for key in numeric})
        steps = read_columns(file, ["_step"]).column("_step").to_numpy()
        names = list(keys.items())
        for first in range(0, len(names), COLUMNS_AT_ONCE):
            group = names[first : first + COLUMNS_AT_ONCE]
            table = read_columns(file, [name for _, name in group])
            for key, name in group:
                values, present = to_numpy(table.column(name))
                finest = _finest(values, present, steps)
                if finest is not None:
                    yield from ((key, size, pack(rung)) for size, rung in _rungs(finest, rows))


def _finest(values: np.ndarray, present: np.ndarray, steps: np.ndarray) -> Buckets | None:
    """Return the finest rung; worked out slice by slice, so that a long column takes little memory."""
    pieces = []
    for start in range(0, len(values), LADDER_ROWS):
        end = start + LADDER_ROWS
        places = np.flatnonzero(present[start:end]) + start
        if len(places):
            index = places // FINEST
            starts = np.flatnonzero(np.diff(index, prepend=-1))
            pieces.append(merge(single(index, values[places], steps[places]), starts, index[starts]))
    return concatenate(pieces) if pieces else None


def _rungs(finest: Buckets, rows: int) -> Iterator[tuple[int, Buckets]]:
    size, rung = FINEST, finest
    while True:
        yield size, rung
        size *= STEP
        if rows < size * FEWEST_BUCKETS:
            return
        rung = coarsen(rung, STEP)


def _step_of(
    values: np.ndarray, extremes: np.ndarray, steps: np.ndarray, starts: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    """Return the step that stands beside the first of the values that is its bucket's extreme."""
    count = len(values)
    places = np.where(values == np.repeat(extremes, lengths), np.arange(count), count)
    first = np.minimum.reduceat(places, starts)
    return np.where(first < count, steps[np.minimum(first, count - 1)], np.nan)
