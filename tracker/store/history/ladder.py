"""The overview ladder: a part's numeric columns in buckets, so that a chart reads about one bucket per pixel.

A rung of a key is a list of buckets. Rung ``r`` divides the part into blocks of ``FINEST * STEP**r`` rows,
and has a bucket for each block in which the key was logged as a number. A bucket has the min, max, total,
last value and count, the number of values that are not finite, and the steps of the min and of the max. So
merged buckets still contain each spike. ``_step``, ``_runtime`` and ``_timestamp`` have rungs too: these
give the position of a bucket on the x axis.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker.store.history.columns import NUMERIC, column_name
from tracker.store.history.parquet import column_roles, opened, read_columns, to_numpy

# A part with fewer rows has no ladder: its rows can be read as fast as a rung.
LADDER_ROWS = 65_536
FINEST = 256
STEP = 8
# A rung with fewer buckets is not stored: the next finer rung is as cheap to read.
FEWEST_BUCKETS = 16
AXES = ("_step", "_runtime", "_timestamp")
COLUMNS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Buckets:
    """Buckets of values, in order. All attributes are float64 arrays of equal length.

    Attributes:
        index: The number of the bucket in its part: the rows begin at ``index * bucket_rows``.
        low: The smallest finite value, NaN if there is none.
        high: The largest finite value, NaN if there is none.
        total: The sum of the finite values.
        last: The last finite value, NaN if there is none.
        count: The number of values, including those that are not finite.
        nonfinite: The number of values that are NaN or infinite.
        low_step: The step of the first row with the smallest value.
        high_step: The step of the first row with the largest value.
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
        """Return the buckets that ``chosen`` selects: an array of indices, or a mask."""
        return Buckets(*(column[chosen] for column in self.columns()))

    def columns(self) -> list[np.ndarray]:
        """Return the columns in the order in which ``pack`` stores them."""
        return [getattr(self, name) for name in self.__slots__]


def single(index: np.ndarray, values: np.ndarray, steps: np.ndarray) -> Buckets:
    """Return one bucket for each value.

    Args:
        index: The ``index`` of each bucket.
        values: The values.
        steps: The step of each value.
    """
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
    """Return larger buckets. Each one contains the buckets from its start to the start of the next one.

    Args:
        buckets: At least one bucket.
        starts: Ascending indices into ``buckets``; the first is 0.
        index: The ``index`` of each new bucket.
    """
    low = np.fmin.reduceat(buckets.low, starts)
    high = np.fmax.reduceat(buckets.high, starts)
    count = len(buckets.low)
    places = np.arange(count)
    lengths = np.diff(starts, append=count)
    latest = np.maximum.reduceat(np.where(np.isnan(buckets.last), -1, places), starts)
    with np.errstate(over="ignore"):  # a sum beyond the range of a double becomes infinite
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
    """Return a coarser rung: buckets of ``factor`` times as many rows."""
    index = buckets.index // factor
    starts = np.flatnonzero(np.diff(index, prepend=-1.0))
    return merge(buckets, starts, index[starts])


def pack(buckets: Buckets) -> bytes:
    """Return buckets as the catalog stores them: columns as little-endian float64, compressed with zlib."""
    return zlib.compress(np.stack(buckets.columns()).astype("<f8", copy=False).tobytes(), 1)


def unpack(data: bytes) -> Buckets:
    """Return the buckets in the result of ``pack``."""
    flat = np.frombuffer(zlib.decompress(data), "<f8")
    return Buckets(*flat.reshape(len(Buckets.__slots__), -1))


def rungs_of_part(path: Path) -> Iterator[tuple[str, int, bytes]]:
    """Yield the rungs of a part: key, rows per bucket, packed buckets. A small part has no rungs.

    Raises:
        FileNotFoundError: The part is gone.
        StoreError: The part is damaged.
    """
    with opened(path) as file:
        rows = file.metadata.num_rows
        if rows < LADDER_ROWS:
            return
        keys = {axis: axis for axis in AXES}
        roles = column_roles(file).values()
        # A script may log a key with the name of an axis. The key's values must not replace the axis.
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


def _finest(values: np.ndarray, present: np.ndarray | None, steps: np.ndarray) -> Buckets | None:
    """Return the finest rung. It is computed slice by slice, so that a long column needs little memory."""
    pieces = []
    present = np.ones(len(values), bool) if present is None else present
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
    """Return for each bucket the step of the first value that equals the bucket's extreme."""
    count = len(values)
    places = np.where(values == np.repeat(extremes, lengths), np.arange(count), count)
    first = np.minimum.reduceat(places, starts)
    return np.where(first < count, steps[np.minimum(first, count - 1)], np.nan)
