"""Limits of one request for a chart of many runs. This module does not import NumPy."""

from __future__ import annotations

from tracker.errors import UsageError

# Limits of one request. The answer has up to nine columns of eight bytes for each point.
MOST_RUNS = 5_000
MOST_KEYS = 200
MOST_POINTS = 2_000_000
# Most bins of a distribution.
MOST_BINS = 1000


def check_size(runs: int, keys: int, points: int) -> None:
    """Raise UsageError if a request asks for too many runs, keys or points.

    Args:
        runs: The number of runs, or of groups of runs if the answer has a line for each group.
        keys: The number of keys.
        points: The largest number of points of one line.
    """
    if runs > MOST_RUNS or keys > MOST_KEYS:
        raise UsageError(
            f"{runs} runs and {keys} keys are too many for one request: "
            f"ask for at most {MOST_RUNS:,} runs and {MOST_KEYS} keys"
        )
    if runs * keys * points > MOST_POINTS:
        raise UsageError(
            f"{runs} lines x {keys} keys x {points} points are {runs * keys * points:,} points, more than "
            f"{MOST_POINTS:,} in one request: ask for fewer runs, keys or points"
        )
