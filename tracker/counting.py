"""Counting values into equal bins, for histograms."""

from __future__ import annotations

from typing import Any


def count_values(sequence: Any, num_bins: int) -> tuple[list[float], list[float]]:
    """Return counts and edges of the finite values of a sequence, array or tensor of any shape."""
    import numpy as np

    if hasattr(sequence, "detach"):
        sequence = sequence.detach().float().cpu().numpy()
    values = np.asarray(sequence, dtype="float64").ravel()
    counts, edges = np.histogram(values[np.isfinite(values)], bins=num_bins)
    return counts.astype("float64").tolist(), edges.tolist()
