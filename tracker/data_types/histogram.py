"""Histograms: counts of values between edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from tracker.data_types.base import WBValue
from tracker.ground.histogram import count_values


class Histogram(WBValue):
    """Counts of the values of a sequence in equal bins, as ``wandb.Histogram``.

    Args:
        sequence: Numbers of any shape; non-finite ones are left out of the counts (wandb raises for them).
        np_histogram: Ready counts and edges, as ``numpy.histogram`` returns them, instead.
        num_bins: How many bins, at most 512.

    Raises:
        ValueError: Too many bins, or edges that do not fit the counts.
    """

    MAX_LENGTH: ClassVar[int] = 512
    _log_type = "histogram"
    _in_artifacts = False

    def __init__(
        self,
        sequence: Sequence[float] | Any | None = None,
        np_histogram: tuple[Sequence[float], Sequence[float]] | None = None,
        num_bins: int = 64,
    ) -> None:
        if np_histogram is not None:
            if len(np_histogram) != 2:
                raise ValueError(
                    "Expected np_histogram to be a tuple of (values, bin_edges) or sequence to be specified"
                )
            self.histogram, self.bins = (_as_list(each) for each in np_histogram)
        elif sequence is not None:
            if num_bins > self.MAX_LENGTH:
                raise ValueError(f"The maximum length of a histogram is {self.MAX_LENGTH}, not {num_bins}")
            counts, self.bins = count_values(sequence, num_bins)
            self.histogram = [int(count) for count in counts]
        else:
            raise ValueError("Histogram needs a sequence or np_histogram")
        if len(self.histogram) > self.MAX_LENGTH:
            raise ValueError(
                f"The maximum length of a histogram is {self.MAX_LENGTH}, not {len(self.histogram)}"
            )
        if len(self.histogram) + 1 != len(self.bins):
            raise ValueError("len(bins) must be len(histogram) + 1")

    def to_json(self, run_or_artifact: Any = None) -> dict[str, Any]:
        """Return the history form: ``{"_type": "histogram", "values": ..., "bins": ...}``."""
        return {"_type": "histogram", "values": self.histogram, "bins": self.bins}

    def to_plain(self) -> dict[str, Any]:
        """Return the history form."""
        return self.to_json()


def _as_list(numbers: Any) -> list[Any]:
    if hasattr(numbers, "detach"):
        numbers = numbers.detach().cpu()
    return (
        numbers.tolist()
        if hasattr(numbers, "tolist")
        else [number.item() if hasattr(number, "item") else number for number in numbers]
    )
