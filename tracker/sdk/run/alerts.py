"""``Run.alert``: what a person should look at."""

from __future__ import annotations

import time
from datetime import timedelta
from enum import Enum

from tracker.ground.records import AlertRaised
from tracker.sdk.run.core import RunCore

# An alert of the same title is passed over for this long.
WAIT_SECONDS = 60.0


class AlertLevel(Enum):
    """How grave an alert is."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


class Alerts(RunCore):
    """How a ``Run`` raises alerts."""

    _alerted: dict[str, float]

    def alert(
        self,
        title: str,
        text: str,
        level: str | AlertLevel | None = None,
        wait_duration: float | timedelta | None = None,
    ) -> None:
        """Raise an alert: kept with the run, shown with it, and printed unless ``silent``.

        Args:
            title: Short.
            text: What there is to say.
            level: INFO, WARN or ERROR; INFO unless given.
            wait_duration: Seconds (or a timedelta) in which a further alert of this title is passed over;
                a minute unless given.

        Raises:
            ValueError: Another level.
            TypeError: A wait that is none, or a title or text that is no string.
        """
        self._check_open("alert")
        grave = level.value if isinstance(level, AlertLevel) else (level or "INFO")
        if grave not in AlertLevel.__members__:
            raise ValueError("level must be one of 'INFO', 'WARN', or 'ERROR'")
        if isinstance(wait_duration, timedelta):
            wait_duration = wait_duration.total_seconds()
        elif wait_duration is None:
            wait_duration = WAIT_SECONDS
        elif not isinstance(wait_duration, (int, float)):
            raise TypeError("wait_duration must be an int, float, or datetime.timedelta")
        if not isinstance(title, str) or not isinstance(text, str):
            raise TypeError("title and text of an alert must be strings")
        raised = self.__dict__.setdefault("_alerted", {})
        now = time.monotonic()
        if title in raised and now < raised[title]:
            return
        raised[title] = now + wait_duration
        self._put(AlertRaised(time.time(), title, text, grave))
        self._warn(f"alert ({grave}): {title}: {text}")
