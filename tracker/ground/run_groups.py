"""Frozen records of groups of runs, with the statistics of their metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class MetricStatistics:
    """Statistics of one summary key over the runs of a group. Only finite numbers count.

    Attributes:
        n: The number of runs with a finite number.
        nonfinite: The number of runs whose value is NaN or infinite.
        missing: The number of runs without a number.
        mean: The mean; None if ``n`` is 0, like ``min`` and ``max``.
        std: The standard deviation of the sample (with ``n - 1``); None if ``n`` is less than 2, like the
            values that are computed from it.
        sem: The standard error of the mean.
        ci_low: The lower end of the 95% confidence interval of the mean (Student's t distribution).
        ci_high: The upper end of this interval.
        min: The smallest number.
        max: The largest number.
    """

    n: int
    nonfinite: int
    missing: int
    mean: float | None
    std: float | None
    sem: float | None
    ci_low: float | None
    ci_high: float | None
    min: float | None
    max: float | None


@dataclass(frozen=True, slots=True)
class RunGroup:
    """The runs that have the same values.

    Attributes:
        values: The value of each key of ``RunGroups.by``; None if the runs do not have the key.
        runs: The number of runs.
        newest: The id of the newest run.
        metrics: Statistics by summary key, in the order of the question.
    """

    values: dict[str, Any]
    runs: int
    newest: str
    metrics: dict[str, MetricStatistics]


@dataclass(frozen=True, slots=True)
class RunGroups:
    """A page of groups of the runs of a project.

    Attributes:
        total: The number of all groups.
        runs: The number of all matching runs. Each run is in one group, except in groups by tag.
        revision: The store's revision at the time of the query.
        by: The names of the keys.
        groups: The groups of the page.
    """

    total: int
    runs: int
    revision: int
    by: list[str]
    groups: list[RunGroup]
