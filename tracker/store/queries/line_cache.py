"""The values of runs as arrays in memory, for grouped curves and distributions.

The cache keeps the lines that were used last. A line is valid as long as the version of its run's history is
the same: new rows, a merge of parts and a new attempt give a new version. So nothing has to be invalidated.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sqlalchemy.orm import Session

from tracker.store.history.parquet import read_numbers
from tracker.store.history.sources import hold
from tracker.store.queries.charts import fill_gaps, make_window, read_hot_lines
from tracker.store.queries.line_reduction import Line
from tracker.store.queries.run_sources import RunSource
from tracker.store.queries.sized_cache import SizedCache

# The largest total size of the kept arrays.
LARGEST_BYTES = 256 * 1024 * 1024


class RunValues(NamedTuple):
    """The visible numbers of one key of a run, ordered by x.

    Attributes:
        x: The positions of the finite values, ascending.
        y: The finite values.
        bad: The positions of the values that are NaN or infinite, ascending.
        distinct: Whether no two elements of ``x`` are equal.
        whole: Whether all positions are whole numbers.
    """

    x: np.ndarray
    y: np.ndarray
    bad: np.ndarray
    distinct: bool
    whole: bool


class LineCache:
    """Keeps values of runs. Several threads may use it.

    Args:
        largest_bytes: The largest total size of the kept arrays.
    """

    def __init__(self, largest_bytes: int = LARGEST_BYTES) -> None:
        self._kept: SizedCache[RunValues] = SizedCache(largest_bytes)
        self._lock = threading.Lock()
        # Runs of a sweep often have the same steps: their lines share one array.
        self._axes: OrderedDict[tuple[int, float, float], np.ndarray] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        """The total size of the kept arrays."""
        return self._kept.size_bytes

    def load(
        self, session: Session, root: Path, source: RunSource, x: str, keys: Sequence[str]
    ) -> list[RunValues]:
        """Return the values of ``keys`` over the axis ``x``, from memory or from the store.

        Args:
            session: A read transaction.
            root: The store's folder.
            source: The run.
            x: The x axis, as in ``charts.chart``.
            keys: History keys, or names of axes.
        """
        names = {key: (str(root), source.run_id, source.version, x, key) for key in keys}
        kept = {key: self._kept.get(name) for key, name in names.items()}
        found = {key: values for key, values in kept.items() if values is not None}
        missing = [key for key in keys if key not in found]
        if missing:
            read = _read(session, source, x, missing)
            for key in missing:
                with self._lock:
                    found[key] = self._share_axis(read[key])
                self._kept.keep(names[key], found[key], _size(found[key]))
        return [found[key] for key in keys]

    def _share_axis(self, values: RunValues) -> RunValues:
        if not len(values.x):
            return values
        name = (len(values.x), float(values.x[0]), float(values.x[-1]))
        known = self._axes.get(name)
        if known is not None and np.array_equal(known, values.x):
            return values._replace(x=known)
        self._axes[name] = values.x
        if len(self._axes) > 64:
            self._axes.popitem(last=False)
        return values


def _size(values: RunValues) -> int:
    """Return an upper bound of the memory of a line in bytes: two lines may share ``x``."""
    return values.x.nbytes + values.y.nbytes + values.bad.nbytes + 1000


def _read(session: Session, source: RunSource, x: str, keys: Sequence[str]) -> dict[str, RunValues]:
    lines: dict[str, list[Line]] = {key: [] for key in keys}
    window = make_window(x, None, None)
    with hold(source.pieces) as held:
        for piece in held:
            latest = np.nan
            for part in piece.parts:
                numbers = read_numbers(part, x, list(keys))
                at = fill_gaps(numbers.x, latest)
                latest = at[-1] if len(at) else latest
                shown = ~np.isnan(at)
                if piece.before is not None:
                    shown &= numbers.steps < piece.before
                for key, (values, present) in numbers.columns.items():
                    kept = shown if present is None else shown & present
                    lines[key].append(Line(at[kept], values[kept], numbers.steps[kept], None))
            read_hot_lines(session, piece, window, float(latest), lines)
    return {key: _order(found) for key, found in lines.items()}


def _order(lines: list[Line]) -> RunValues:
    x = np.concatenate([np.empty(0), *(line.x for line in lines)])
    y = np.concatenate([np.empty(0), *(line.values for line in lines if line.values is not None)])
    if (x[1:] < x[:-1]).any():
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
    whole = bool((np.floor(x) == x).all())
    finite = np.isfinite(y)
    bad = x[~finite]
    if len(bad):
        x, y = x[finite], y[finite]
    return RunValues(x, y, bad, not (x[1:] == x[:-1]).any(), whole)
