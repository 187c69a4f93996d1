"""Following runs while they are written: the chosen metrics, and the pauses between two reads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracker.api.run import Run

# The shortest and the longest pause, in seconds.
SHORTEST = 0.2
LONGEST = 5.0
# The length of a pause, as a part of the time since the last change.
PART = 0.05


class Poller:
    """Pauses between two reads of a store or a server: short after a change, longer while nothing changes.

    Args:
        timeout: The number of seconds after which ``expired`` is True; None for no limit.
    """

    def __init__(self, timeout: float | None = None) -> None:
        self._end = None if timeout is None else time.monotonic() + timeout
        self._changed_at = time.monotonic()

    @property
    def expired(self) -> bool:
        """Whether the time is over."""
        return self._end is not None and time.monotonic() >= self._end

    def seconds(self, *, changed: bool) -> float:
        """Return the length of the next pause. ``changed`` tells whether the last read found a change."""
        now = time.monotonic()
        if changed:
            self._changed_at = now
        pause = min(max(SHORTEST, PART * (now - self._changed_at)), LONGEST)
        return max(0.0, pause if self._end is None else min(pause, self._end - now))

    def pause(self, *, changed: bool) -> None:
        """Sleep until the next read. See ``seconds``."""
        time.sleep(self.seconds(changed=changed))


def find_metrics(run: Run, globs: Sequence[str]) -> list[str]:
    """Return the metrics of a run that match a pattern, such as ``val/*``."""
    known = (each.key for each in run._detail().keys)
    return [key for key in known if any(fnmatchcase(key, glob) for glob in globs)]
