"""``Run.alert``: messages for the person who watches a run."""

from __future__ import annotations

import time
from datetime import timedelta
from enum import Enum

from tracker.ground.records import AlertRaised
from tracker.sdk.run.core import RunCore

# Alerts with the same title are ignored for this time.
WAIT_SECONDS = 60.0


class AlertLevel(Enum):
    """The severity of an alert."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


class Alerts(RunCore):
    """The alert method of a ``Run``."""

    _alerted: dict[str, float]

    def alert(
        self,
        title: str,
        text: str,
        level: str | AlertLevel | None = None,
        wait_duration: float | timedelta | None = None,
    ) -> None:
        """Raise an alert. The alert is stored with the run, shown with it, and printed unless ``silent``.

        Args:
            title: A short title.
            text: The message.
            level: The severity: INFO (default), WARN or ERROR.
            wait_duration: How long further alerts with this title are ignored: seconds or a timedelta. The
                default is one minute.

        Raises:
            ValueError: The level is unknown.
            TypeError: The wait is not a duration, or the title or text is not a string.
        """
        self._check_open("alert")
        severity = level.value if isinstance(level, AlertLevel) else (level or "INFO")
        if severity not in AlertLevel.__members__:
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
        self._put(AlertRaised(time.time(), title, text, severity))
        self._warn(f"alert ({severity}): {title}: {text}")
