"""Histograms: counts of values between edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracker.counting import count_values

# wandb refuses more bins than this.
MAX_BINS = 512


class Histogram:
    """Counts of the values of a sequence in equal bins, as ``wandb.Histogram``.

    Args:
        sequence: Numbers of any shape; non-finite ones are left out of the counts.
        np_histogram: Ready counts and edges, as ``numpy.histogram`` returns them, instead.
        num_bins: How many bins, at most 512.

    Raises:
        ValueError: Too many bins, or edges that do not fit the counts.
    """

    def __init__(
        self,
        sequence: Sequence[float] | Any | None = None,
        np_histogram: tuple[Sequence[float], Sequence[float]] | None = None,
        num_bins: int = 64,
    ) -> None:
        if np_histogram is not None:
            counts, edges = np_histogram
            self.histogram = [float(count) for count in counts]
            self.bins = [float(edge) for edge in edges]
        elif sequence is not None:
            if num_bins > MAX_BINS:
                raise ValueError(f"num_bins is {num_bins}; at most {MAX_BINS} are kept")
            self.histogram, self.bins = count_values(sequence, num_bins)
        else:
            raise ValueError("Histogram needs a sequence or np_histogram")
        if len(self.bins) != len(self.histogram) + 1:
            raise ValueError("np_histogram needs one edge more than counts")

    def to_plain(self) -> dict[str, Any]:
        """Return the history form: ``{"_type": "histogram", "values": ..., "bins": ...}``."""
        return {"_type": "histogram", "values": self.histogram, "bins": self.bins}
