"""Statistics of groups of numbers, exact to the rounding of doubles."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from tracker.ground.run_groups import MetricStatistics

# Up to this number of degrees of freedom, the t distribution is a finite sum.
LARGEST_SUM = 200
# The 97.5% quantile of the normal distribution.
NORMAL = 1.959963984540054


def group_statistics(groups: Any, numbers: Any, sizes: Any, nonfinite: Any) -> list[MetricStatistics]:
    """Return the statistics of each group.

    The mean is computed first, and then the deviations from the mean: two passes, in which large means do not
    cancel small deviations. The sum of the deviations, which would be 0 without rounding, corrects both.

    Args:
        groups: The number of the group of each value: int array, from 0.
        numbers: The values: float64 array of the same length, all finite.
        sizes: The number of runs of each group: int array.
        nonfinite: The number of NaN and infinite values of each group: int array.
    """
    count = len(sizes)
    smallest = np.full(count, math.inf)
    np.minimum.at(smallest, groups, numbers)
    greatest = np.full(count, -math.inf)
    np.maximum.at(greatest, groups, numbers)
    scale = _powers(np.maximum(np.abs(smallest), np.abs(greatest)))
    scaled = numbers / scale[groups]
    n = np.bincount(groups, minlength=count)
    some = np.maximum(n, 1)
    shift = np.bincount(groups, scaled, count) / some
    deviations = scaled - shift[groups]
    largest = np.zeros(count)
    np.maximum.at(largest, groups, np.abs(deviations))
    spread = _powers(largest)
    deviations /= spread[groups]
    rest = np.bincount(groups, deviations, count)
    squares = np.bincount(groups, deviations * deviations, count)
    variance = np.maximum(squares - rest * rest / some, 0.0) / np.maximum(n - 1, 1)
    means = (shift + rest / some * spread) * scale
    deviation = np.sqrt(variance) * spread * scale
    columns = (n, nonfinite, sizes, means, deviation, smallest, greatest)
    return [_statistics(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _powers(largest: Any) -> Any:
    """Return for each number a power of two near it. Numbers divided by it are near 1, without rounding.

    So neither sums nor squares of very large and very small numbers leave the range of doubles.
    """
    exponents = np.frexp(np.where(np.isfinite(largest), largest, 0.0))[1]
    return np.exp2(np.clip(exponents, -1021, 1023).astype(np.float64))


def _statistics(
    n: int, nonfinite: int, size: int, mean: float, std: float, smallest: float, greatest: float
) -> MetricStatistics:
    missing = size - n - nonfinite
    if n == 0:
        return MetricStatistics(0, nonfinite, missing, None, None, None, None, None, None, None)
    mean = min(max(mean, smallest), greatest)  # rounding can leave the range by one place
    if n == 1:
        return MetricStatistics(1, nonfinite, missing, mean, None, None, None, None, smallest, greatest)
    sem = std / math.sqrt(n)
    half = student_t(n - 1) * sem
    return MetricStatistics(
        n, nonfinite, missing, mean, std, sem, mean - half, mean + half, smallest, greatest
    )


@lru_cache(maxsize=4096)
def student_t(degrees: int) -> float:
    """Return the 97.5% quantile of Student's t distribution, for a two-sided interval of 95%.

    For integer degrees of freedom the distribution is a finite sum (Abramowitz and Stegun, 26.7.3 and
    26.7.4), which Newton's method inverts. Beyond 200 degrees of freedom, the errors of the expansion 26.7.5
    are below 1e-11.

    Args:
        degrees: The degrees of freedom, at least 1.
    """
    if degrees > LARGEST_SUM:
        return _expansion(degrees)
    # For one degree of freedom, the expansion is too far off for Newton's method; its quantile is known.
    value = math.tan(0.475 * math.pi) if degrees == 1 else _expansion(degrees)
    log_scale = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - math.log(degrees * math.pi) / 2
    for _ in range(20):
        log_density = log_scale - (degrees + 1) / 2 * math.log1p(value * value / degrees)
        step = (_two_sided(value, degrees) - 0.95) / (2 * math.exp(log_density))
        value -= step
        if abs(step) < 1e-14 * value:
            break
    return value


def _two_sided(value: float, degrees: int) -> float:
    """Return the probability of a value between ``-value`` and ``value``."""
    angle = math.atan2(value, math.sqrt(degrees))
    square = math.cos(angle) ** 2
    odd = degrees % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0 if degrees == 1 else term
    for at in range(3 if odd else 2, degrees - 1, 2):
        term *= square * (at - 1) / at
        total += term
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total


def _expansion(degrees: int) -> float:
    x: float = NORMAL
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + sum(term / float(degrees) ** (at + 1) for at, term in enumerate(terms))
