"""Grouped curves: mean, standard deviation, minimum and maximum over the runs of a group, point by point.

A point is an exact position on the x axis, or a bucket of positions. The value of a run at a point is the
mean of its finite values there, so each run counts once. The result is exact: all logged values are used,
never the sampled points of a chart.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sqlalchemy.orm import Session

from tracker.errors import UsageError
from tracker.ground.curves import Curve
from tracker.runstate.merge import Rank
from tracker.store.queries.chart_limits import check_size
from tracker.store.queries.line_cache import LineCache, RunValues
from tracker.store.queries.many_runs import choose_axes
from tracker.store.queries.run_sources import RunSource, find_sources

# Limits of one request: rows that are read for one key, and runs times points of one key.
MOST_ROWS = 25_000_000
MOST_CELLS = 20_000_000
# Up to this number of values, all keys are read together: a row that is not in a part is decoded once.
MOST_TOGETHER = 2_000_000
# On the axes of time, the positions of different runs are never equal: points are always buckets.
TIMES = ("_runtime", "_timestamp")
# Above this number, not every whole number is a double.
LARGEST_WHOLE = 2.0**53
LARGEST = sys.float_info.max
_cache = LineCache()


def grouped_curves(
    session: Session,
    root: Path,
    entity: str,
    project: str,
    groups: Mapping[str, Sequence[str]],
    keys: Sequence[str],
    *,
    x: str | None = None,
    points: int = 1000,
    low: float | None = None,
    high: float | None = None,
    rank: Rank | None = None,
    by_rank: bool = False,
) -> list[Curve]:
    """Return one curve for each key and group: by key, then by group, in the given order, then by rank.

    All groups of a key have the same points. Where the axis has whole numbers (``_step``, an epoch), each
    point is one position. If there are more than ``points`` positions, a point is a bucket of as many whole
    numbers as needed. On other axes (``_runtime``, ``_timestamp``, keys with fractions), the interval from
    the first to the last position is divided into ``points`` buckets of equal width. A bucket contains its
    left edge, the last bucket also its right edge. Points where no run has a value are left out.

    Args:
        session: A read transaction.
        root: The store's folder.
        entity: The entity of the project.
        project: The name of the project.
        groups: The ids of the runs of each group, by label. A run may be in several groups. Runs that do not
            exist are ignored, and so are groups without another run.
        keys: History keys, or names of axes.
        x: The x axis, as in ``charts.chart``. None: the axis that all runs define for the key with
            ``define_metric``; ``_step`` if they do not define the same axis.
        points: The largest number of points of a curve.
        low: The smallest x. None: no limit.
        high: The largest x. None: no limit.
        rank: See ``find_sources``. With ``"all"``, each rank of a run counts as a run.
        by_rank: Whether each rank of a group has a curve of its own.

    Raises:
        NotFoundError: None of the runs exists.
        UsageError: The request is too large, or ``by_rank`` is used without all ranks.
    """
    members = {label: list(dict.fromkeys(run_ids)) for label, run_ids in groups.items()}
    empty = [label for label, run_ids in members.items() if not run_ids]
    if empty:
        raise UsageError(f"group {empty[0]!r} has no runs: leave it out")
    runs, keys = (
        list(dict.fromkeys(run for each in members.values() for run in each)),
        list(dict.fromkeys(keys)),
    )
    check_size(len(members), len(keys), points)
    check_size(len(runs), len(keys), 1)
    _check_cells(sum(map(len, members.values())), points)
    if by_rank and rank != "all":
        raise UsageError("A curve for each rank needs all ranks. Use by_rank with the rank 'all'.")
    sources = find_sources(session, entity, project, runs, root, rank)
    check_rows(sources)
    of_run: dict[str, list[RunSource]] = defaultdict(list)
    for source in sources:
        of_run[source.run_id].append(source)
    grouped = [
        _Group(label, None, [source for run in each for source in of_run.get(run, ())])
        for label, each in members.items()
    ]
    if by_rank:
        grouped = [part for group in grouped for part in group.split()]
        check_size(len(grouped), len(keys), points)
    _check_cells(sum(len(group.sources) for group in grouped), points)
    axes = choose_axes(session, sources, keys, x)
    axis_of: dict[str, str] = {}
    keys_of: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        chosen = {axes[run][key] for run in of_run}
        axis_of[key] = chosen.pop() if len(chosen) == 1 else "_step"
        keys_of[axis_of[key]].append(key)
    if sum(source.rows for source in sources) * len(keys) <= MOST_TOGETHER:
        for source in sources:
            for axis, some in keys_of.items():
                _cache.load(session, root, source, axis, some)
    curves = []
    for key, axis in axis_of.items():
        values = {
            (source.run_id, source.rank): _window(
                _cache.load(session, root, source, axis, [key])[0], low, high
            )
            for source in sources
        }
        at = _place_points(list(values.values()), axis, points)
        curves += [
            _curve(group, key, axis, at, [values[source.run_id, source.rank] for source in group.sources])
            for group in grouped
            if group.sources
        ]
    return curves


def _check_cells(runs: int, points: int) -> None:
    if runs * points > MOST_CELLS:
        raise UsageError(
            f"{runs:,} runs x {points:,} points are too many for one request: "
            f"the product may be at most {MOST_CELLS:,}"
        )


class _Group(NamedTuple):
    """The histories of a group of runs; ``rank`` is the rank of all of them, if the group was split."""

    label: str
    rank: int | None
    sources: list[RunSource]

    def split(self) -> list[_Group]:
        """Return a group for each rank."""
        ranks = sorted({source.rank for source in self.sources if source.rank is not None})
        return [
            self._replace(rank=rank, sources=[source for source in self.sources if source.rank == rank])
            for rank in ranks
        ]


def check_rows(sources: Sequence[RunSource]) -> None:
    """Raise UsageError if runs have too many rows for one request."""
    rows = sum(source.rows for source in sources)
    if rows > MOST_ROWS:
        raise UsageError(
            f"the runs have {rows:,} rows, but one request can read at most {MOST_ROWS:,}: ask for fewer runs"
        )


def load_values(session: Session, root: Path, source: RunSource, key: str) -> RunValues:
    """Return all visible numbers of a key, by step. See ``LineCache.load``."""
    return _cache.load(session, root, source, "_step", [key])[0]


def _window(values: RunValues, low: float | None, high: float | None) -> RunValues:
    if low is None and high is None:
        return values

    def span(x: np.ndarray) -> slice:
        first = 0 if low is None else int(np.searchsorted(x, low, "left"))
        return slice(first, len(x) if high is None else int(np.searchsorted(x, high, "right")))

    inside = span(values.x)
    return values._replace(x=values.x[inside], y=values.y[inside], bad=values.bad[span(values.bad)])


class _Place(NamedTuple):
    """Where the values of a run belong.

    Attributes:
        at: The points that have values, ascending: a slice, or an array of indices.
        starts: The first value of each of these points. None: each point has one value.
    """

    at: slice | np.ndarray
    starts: np.ndarray | None


class _Points:
    """The points of a curve.

    Args:
        x: The x column of the curve.
        width: The width of the buckets. 0: each point is one exact position, an element of ``x``.
        low: The left edge of the first bucket.
        scale: A factor for positions whose differences are beyond the range of a double.
    """

    def __init__(self, x: np.ndarray, width: float, low: float = 0.0, scale: float = 1.0) -> None:
        self.x = x
        self.width = width
        self._low, self._scale = low, scale
        self._places: dict[int, tuple[np.ndarray, _Place]] = {}

    def index(self, x: np.ndarray) -> np.ndarray:
        """Return the point of each position."""
        if not self.width:
            return np.searchsorted(self.x, x)
        found = np.floor((x * self._scale - self._low * self._scale) / (self.width * self._scale))
        return np.minimum(found, len(self.x) - 1).astype(np.intp)

    def place(self, values: RunValues) -> _Place:
        """Return where the values of a run belong. Runs with the same array of positions share the result."""
        known = self._places.get(id(values.x))
        if known is None:
            # The array is kept with the result, so that no other array can get its identity.
            known = self._places[id(values.x)] = values.x, self._find_place(values)
        return known[1]

    def _find_place(self, values: RunValues) -> _Place:
        if not self.width and values.distinct and len(values.x) == len(self.x):
            return _Place(slice(0, len(self.x)), None)
        index = self.index(values.x)
        starts = np.flatnonzero(np.diff(index, prepend=-1))
        at = index[starts]
        whole = len(at) and at[-1] - at[0] + 1 == len(at)
        return _Place(
            slice(int(at[0]), int(at[-1]) + 1) if whole else at, None if len(starts) == len(index) else starts
        )


def _place_points(lines: list[RunValues], axis: str, points: int) -> _Points:
    """Return the points for all lines of a key: see ``grouped_curves``."""
    positions = {id(x): x for line in lines for x in (line.x, line.bad) if len(x)}
    if not positions:
        return _Points(np.empty(0), 0.0)
    low = min(float(x[0]) for x in positions.values())
    high = max(float(x[-1]) for x in positions.values())
    if axis not in TIMES and all(line.whole for line in lines) and max(-low, high) < LARGEST_WHOLE:
        exact = _exact_positions(list(positions.values()), points)
        if exact is not None:
            return _Points(exact, 0.0)
        span = int(high) - int(low) + 1
        size = -(-span // points)
        count = -(-span // size)
        return _Points(low + np.arange(count) * float(size) + (size - 1) / 2, float(size), low)
    if low == high:
        return _Points(np.array([low]), 0.0)
    scale = 1.0 if math.isfinite(high - low) else 0.5
    width = min((high * scale - low * scale) / points / scale, LARGEST)
    if width == 0:  # the positions are almost equal
        return _Points(np.array([low / 2 + high / 2]), high - low, low)
    return _Points(low + (np.arange(points) + 0.5) * width, width, low, scale)


def _exact_positions(positions: list[np.ndarray], most: int) -> np.ndarray | None:
    """Return all distinct positions, ascending; None if there are more than ``most``."""
    found = np.empty(0)
    for x in positions:
        distinct = x[np.append(True, x[1:] != x[:-1])]
        if len(distinct) > most:
            return None
        if len(found) != len(distinct) or not np.array_equal(found, distinct):
            found = np.union1d(found, distinct)
            if len(found) > most:
                return None
    return found


def _curve(group: _Group, key: str, axis: str, points: _Points, lines: list[RunValues]) -> Curve:
    count = len(points.x)
    n, total, extra, nonfinite, square = np.zeros((5, count))
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    means: list[tuple[slice | np.ndarray, np.ndarray]] = []
    with np.errstate(over="ignore", invalid="ignore"):  # a sum beyond the range of a double becomes infinite
        for line in lines:
            if len(line.bad):
                np.add.at(nonfinite, points.index(line.bad), 1)
            if not len(line.x):
                continue
            at, starts = points.place(line)
            mean = lowest = highest = line.y
            if starts is not None:
                lengths = np.diff(starts, append=len(line.y))
                mean = np.add.reduceat(line.y, starts) / lengths
                lowest, highest = np.minimum.reduceat(line.y, starts), np.maximum.reduceat(line.y, starts)
                extra[at] += lengths - 1
            means.append((at, mean))
            n[at] += 1
            total[at] += mean
            low[at] = np.minimum(low[at], lowest)
            high[at] = np.maximum(high[at], highest)
        with np.errstate(divide="ignore"):
            mean = total / n
            for at, of_run in means:
                difference = of_run - mean[at]
                difference *= difference
                square[at] += difference
            std = np.sqrt(square / np.where(n > 1, n - 1, np.nan))
            error = std / np.sqrt(n)
    low[n == 0] = high[n == 0] = np.nan
    shown = (n > 0) | (nonfinite > 0)
    columns = {
        "x": points.x,
        "n": n,
        "mean": mean,
        "std": std,
        "stderr": error,
        "min": low,
        "max": high,
        "values": n + extra,
        "nonfinite": nonfinite,
    }
    runs = sum(1 for line in lines if len(line.x) or len(line.bad))
    drawn = {name: column[shown] for name, column in columns.items()}
    return Curve(group.label, key, axis, points.width, runs, drawn, group.rank)
