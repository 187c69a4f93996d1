"""A timer that detects segments without progress."""

from __future__ import annotations

import time

# Invalid bytes in a live journal, followed by whole records, count as damage after this many seconds. Until
# then they may be pages that arrive late from another host.
STUCK_SECONDS = 30.0


class StallTimer:
    """Measures how long each segment has been at its current place. Progress restarts the measurement.

    It uses the monotonic clock of this process. Clocks of other hosts and clock changes have no effect.

    Args:
        seconds: How long a segment may be at one place.
    """

    def __init__(self, seconds: float = STUCK_SECONDS) -> None:
        self._seconds = seconds
        self._since: dict[str, tuple[object, float]] = {}

    def is_over(self, name: str, place: object) -> bool:
        """Return whether a segment has been at ``place`` for longer than the limit.

        The first call with a place starts the time and returns False.
        """
        now = time.monotonic()
        known, since = self._since.get(name, (None, now))
        if known != place:
            self._since[name] = (place, now)
            return False
        return now - since > self._seconds

    def forget(self, name: str) -> None:
        """Forget a segment."""
        self._since.pop(name, None)
