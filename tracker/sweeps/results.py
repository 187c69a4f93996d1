"""What the runs of a sweep gave: from the catalog or a server, else from published files and journals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from tracker.errors import NotFoundError, StoreError
from tracker.ground.settings import Settings
from tracker.reading.open_reader import can_apply, is_journal_only, layout_for, open_reader, remote_for
from tracker.reading.reader import Reader
from tracker.reading.resume_state import find_run

ENDED = ("finished", "failed", "crashed", "killed", "preempted")


class Seen(NamedTuple):
    """What is known of a run."""

    ended: bool
    config: dict[str, Any]
    summary: dict[str, Any]


class Results:
    """Looks at the runs of one project.

    Args:
        settings: Where they are.
        entity: Whose project.
        project: The project.
    """

    def __init__(self, settings: Settings, entity: str, project: str) -> None:
        self._settings = settings
        self._place = (entity, project)
        self._ended: dict[str, Seen] = {}

    def look(self, run_id: str) -> Seen | None:
        """Return what is known of a run; None when it is not there."""
        if run_id not in self._ended:
            seen = self._look(run_id)
            if seen is None or not seen.ended:
                return seen
            self._ended[run_id] = seen
        return self._ended[run_id]

    def _look(self, run_id: str) -> Seen | None:
        if self.can_read:
            reader = self._open()
            try:
                found = reader.run(*self._place, run_id)
            except NotFoundError:
                return None
            finally:
                reader.close()
            return Seen(found.state in ENDED, found.config, found.summary)
        known = find_run(layout_for(self._settings), *self._place, run_id)
        if known is None:
            return None
        ended = all(each.ended for each in known.segments.values())
        return Seen(ended, known.merged.config, known.merged.summary)

    def values(self, run_id: str, metric: str) -> list[float]:
        """Return all values of a metric that a run logged, in order; none when it is not there.

        Raises:
            StoreError: Histories cannot be read on this host.
        """
        reader = self._open()
        try:
            keys = list(dict.fromkeys((metric.split(".", 1)[0], metric)))
            rows = reader.history(*self._place, run_id, keys, False, None)
        except NotFoundError:
            return []
        finally:
            reader.close()
        found = (number_of(row, metric) for row in rows)
        return [each for each in found if each is not None]

    @property
    def can_read(self) -> bool:
        """Whether this host reads lists and histories."""
        return remote_for(self._settings) is not None or (can_apply() and not is_journal_only(self._settings))

    def _open(self) -> Reader:
        if not self.can_read:
            raise StoreError("this host reads no histories: its store is shared over a network")
        return open_reader(self._settings)


def number_of(row: Mapping[str, Any], metric: str, best: str = "min") -> float | None:
    """Return a metric's number in a row or a summary, where dots lead into dicts; None without one.

    A summary of ``define_metric`` is a dict: its ``best`` is taken, else ``"best"`` or ``"last"``.
    """
    value: Any = row.get(metric)
    if value is None:
        value = row
        for name in metric.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, Mapping):
        value = next((value[key] for key in (best, "best", "last") if key in value), None)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        return None
    return float(value)
