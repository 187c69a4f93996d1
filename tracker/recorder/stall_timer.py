"""How long something that may still come is waited for."""

from __future__ import annotations

import time

# Bytes of a live journal that stay invalid this long, with whole records behind them, are no late pages.
STUCK_SECONDS = 30.0


class StallTimer:
    """Remembers since when each segment has been at its place; progress starts the time anew.

    Time is this process's own: neither another host's clock nor a change of this one's counts.

    Args:
        seconds: How long a segment may be at one place.
    """

    def __init__(self, seconds: float = STUCK_SECONDS) -> None:
        self._seconds = seconds
        self._since: dict[str, tuple[object, float]] = {}

    def is_over(self, name: str, place: object) -> bool:
        """Whether segment ``name`` has been at ``place`` for long enough; seen there first, it has not."""
        now = time.monotonic()
        known, since = self._since.get(name, (None, now))
        if known != place:
            self._since[name] = (place, now)
            return False
        return now - since > self._seconds

    def forget(self, name: str) -> None:
        """Segment ``name`` waits for nothing."""
        self._since.pop(name, None)
