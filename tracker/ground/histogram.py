"""Histograms: counts of values in bins of equal width."""

from __future__ import annotations

import math
from typing import Any

# Larger values are counted as this value, so that the width of the range does not overflow.
LARGEST = 8e307


def count_values(sequence: Any, num_bins: int) -> tuple[list[float], list[float]]:
    """Return the counts and the edges of a histogram of finite values; other values are not counted.

    Args:
        sequence: Numbers or booleans: a sequence, array or tensor of any shape. A torch tensor may have any
            type, device and layout.
        num_bins: The number of bins.
    """
    import numpy as np

    if hasattr(sequence, "detach"):
        sequence = sequence.detach().to_dense().cpu().double().numpy()
    values = np.asarray(sequence, dtype="float64").ravel()
    values = values[np.isfinite(values)].clip(-LARGEST, LARGEST)
    limits = rising_range(values.min(), values.max(), num_bins) if len(values) else None
    counts, edges = np.histogram(values, num_bins, limits)
    return counts.astype("float64").tolist(), edges.tolist()


def rising_range(least: float, most: float, num_bins: int) -> tuple[float, float]:
    """Return a range that contains all values and whose bins have strictly increasing edges.

    The range is ``least`` to ``most`` if there are enough doubles between them for the edges. Otherwise it is
    wider: as wide as the edges need, and at least 1. numpy also uses a width of 1 for equal values.

    Args:
        least: The smallest value.
        most: The largest value.
        num_bins: The number of bins.
    """
    spacing = math.ulp(max(abs(least), abs(most)))
    if (most - least) / num_bins >= 2 * spacing:
        return least, most
    half = max(0.5, 2 * num_bins * spacing)
    middle = least / 2 + most / 2
    return middle - half, middle + half
