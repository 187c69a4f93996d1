"""Counting values into equal bins, for histograms."""

from __future__ import annotations

import math
from typing import Any

# Values beyond it are counted as it, so that a range never overflows.
LARGEST = 8e307


def count_values(sequence: Any, num_bins: int) -> tuple[list[float], list[float]]:
    """Return counts and edges of the finite values of a sequence, array or tensor of any shape.

    Args:
        sequence: Numbers or booleans; a torch tensor may have any type, device and layout.
        num_bins: How many bins.
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
    """Return a range that holds all values and whose bins have rising edges.

    It is from ``least`` to ``most`` where doubles have room for the edges between them. Otherwise it is as
    wide as they need, and 1 at least, as numpy makes it of equal values.
    """
    spacing = math.ulp(max(abs(least), abs(most)))
    if (most - least) / num_bins >= 2 * spacing:
        return least, most
    half = max(0.5, 2 * num_bins * spacing)
    middle = least / 2 + most / 2
    return middle - half, middle + half
