"""Frozen records of charts over many runs: lines, grouped curves, distributions and abandoned branches.

In Python, ``columns`` has float64 arrays of numpy. In JSON, it has lists of numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RunLine:
    """The line of one key of one run.

    Attributes:
        run: The id of the run.
        key: The history key.
        x: The x axis: ``_step``, ``_runtime`` (seconds), ``_timestamp`` (unix seconds) or a key.
        kind: ``"points"`` or ``"buckets"``.
        columns: The columns of ``tracker.store.queries.line_reduction.Series``, of equal length. Buckets have
            ``min_step`` and ``max_step`` only on request.
        rank: The rank, if those of all ranks were requested.
    """

    run: str
    key: str
    x: str
    kind: str
    columns: dict[str, Any]
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """The curve of one key over a group of runs. Each run counts once at each point.

    Attributes:
        group: The label of the group.
        key: The history key.
        x: The x axis, as in ``RunLine``.
        width: The width of the x bucket of each point. 0: each point is one exact position.
        runs: The number of runs in the group that have a value of the key.
        columns: Columns of equal length, one element per point. ``x``: the position, or the centre of the
            bucket. ``n``: the number of runs with a finite value. ``mean``, ``std`` (sample standard
            deviation, NaN for one run) and ``stderr`` (standard error of the mean): over the runs' values,
            where the value of a run is the mean of its finite values at this point. ``min`` and ``max``: over
            all finite values. ``values`` and ``nonfinite``: the number of finite values, and of values that
            are NaN or infinite. Without a finite value, ``mean``, ``min`` and ``max`` are NaN.
        rank: The rank, if a curve of each rank was requested.
    """

    group: str
    key: str
    x: str
    width: float
    runs: int
    columns: dict[str, Any]
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Distribution:
    """The distribution of the values of a key.

    Attributes:
        key: The key.
        source: ``"history"`` (all values that the runs logged) or ``"summary"`` (one value per run).
        runs: The number of runs with a number under the key.
        count: The number of finite values.
        nonfinite: The number of NaN and infinite values; the other attributes do not cover them.
        below: The number of values below the first edge.
        above: The number of values above the last edge.
        edges: The edges of the bins, ascending. A bin contains its left edge; the last bin contains both.
        counts: The number of values in each bin.
        mean: Mean of the values; None without values.
        std: Sample standard deviation; None for fewer than two values.
        probabilities: The probabilities of the quantiles.
        quantiles: The quantile for each probability, with linear interpolation; empty without values.
    """

    key: str
    source: str
    runs: int
    count: int
    nonfinite: int
    below: int
    above: int
    edges: list[float]
    counts: list[int]
    mean: float | None
    std: float | None
    probabilities: list[float]
    quantiles: list[float]


@dataclass(frozen=True, slots=True)
class AbandonedBranch:
    """Rows of a run that the default history does not contain, because a later attempt logged them again.

    Attributes:
        run: The id of the run.
        segment: The segment with the rows.
        first_step: The first step that was logged again.
        last_step: The last step of the segment.
    """

    run: str
    segment: str
    first_step: int
    last_step: int
