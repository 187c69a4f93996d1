"""Histograms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from tracker.data_types.base import WBValue
from tracker.ground.histogram import count_values


class Histogram(WBValue):
    """A histogram: the counts of values in bins of equal width.

    Args:
        sequence: Numbers in a list or array of any shape. Numbers that are not finite are not counted (wandb
            raises an error for them).
        np_histogram: Counts and bin edges, as ``numpy.histogram`` returns them, instead of ``sequence``.
        num_bins: Number of bins, at most 512.

    Raises:
        ValueError: There are too many bins, or the number of edges does not fit the number of counts.
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
            raise ValueError("Histogram has no data. Give it sequence or np_histogram.")
        if len(self.histogram) > self.MAX_LENGTH:
            raise ValueError(
                f"The maximum length of a histogram is {self.MAX_LENGTH}, not {len(self.histogram)}"
            )
        if len(self.histogram) + 1 != len(self.bins):
            raise ValueError("len(bins) must be len(histogram) + 1")

    def to_json(self, run_or_artifact: Any = None) -> dict[str, Any]:
        """Return the history value ``{"_type": "histogram", "values": ..., "bins": ...}``."""
        return {"_type": "histogram", "values": self.histogram, "bins": self.bins}

    def to_plain(self) -> dict[str, Any]:
        """Return the history value; see ``to_json``."""
        return self.to_json()


def _as_list(numbers: Any) -> list[Any]:
    if hasattr(numbers, "detach"):
        numbers = numbers.detach().cpu()
    return (
        numbers.tolist()
        if hasattr(numbers, "tolist")
        else [number.item() if hasattr(number, "item") else number for number in numbers]
    )
