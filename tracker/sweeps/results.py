"""Results of a sweep's runs: from the catalog or a server, else from published files and journals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from functools import cached_property
from typing import Any, NamedTuple

from tracker.errors import NotFoundError, StoreError
from tracker.ground.settings import Settings
from tracker.reading.open_reader import can_apply, is_journal_only, layout_for, open_reader, remote_for
from tracker.reading.reader import Reader
from tracker.reading.resume_state import find_run
from tracker.sweeps.config import sign_of

ENDED = ("finished", "failed", "crashed", "killed", "preempted")


class RunResult(NamedTuple):
    """State, config and summary of a run."""

    ended: bool
    config: dict[str, Any]
    summary: dict[str, Any]


class Results:
    """Reader of results of a project's runs. It keeps the results of runs that have ended.

    Args:
        settings: Settings with the store or the server.
        entity: Entity of the project.
        project: The project.
    """

    def __init__(self, settings: Settings, entity: str, project: str) -> None:
        self._settings = settings
        self._place = (entity, project)
        self._ended: dict[str, RunResult] = {}

    def read(self, run_id: str) -> RunResult | None:
        """Return the result of a run; None if the run does not exist."""
        if run_id not in self._ended:
            result = self._read(run_id)
            if result is None or not result.ended:
                return result
            self._ended[run_id] = result
        return self._ended[run_id]

    def _read(self, run_id: str) -> RunResult | None:
        if remote_for(self._settings) is not None or (can_apply() and not is_journal_only(self._settings)):
            with closing(open_reader(self._settings)) as reader:
                return ReaderResults(reader, *self._place).read(run_id)
        known = find_run(layout_for(self._settings), *self._place, run_id)
        if known is None:
            return None
        ended = all(each.ended for each in known.segments.values())
        return RunResult(ended, known.merged.config, known.merged.summary)

    def values(self, run_id: str, metric: str) -> list[float]:
        """Return all values of a metric that a run logged, in order; an empty list if the run does not exist.

        Raises:
            StoreError: This host cannot read histories.
        """
        with self._reading() as reader:
            return ReaderResults(reader, *self._place).values(run_id, metric)

    @property
    def can_read(self) -> bool:
        """Whether this host can read lists of runs and histories."""
        return remote_for(self._settings) is not None or can_apply()

    def _reading(self) -> AbstractContextManager[Reader]:
        if not self.can_read:
            raise StoreError("this host cannot read histories: run pip install airgap-tracker")
        if remote_for(self._settings) is None and is_journal_only(self._settings):
            return nullcontext(self._kept)
        return closing(open_reader(self._settings))

    @cached_property
    def _kept(self) -> Reader:
        """A reader of published files, which stays open, because it reads all of them when it opens."""
        return open_reader(self._settings)


class ReaderResults:
    """Results of a project's runs from an open reader.

    Args:
        reader: The reader.
        entity: Entity of the project.
        project: The project.
    """

    def __init__(self, reader: Reader, entity: str, project: str) -> None:
        self._reader = reader
        self._place = (entity, project)

    def read(self, run_id: str) -> RunResult | None:
        """Return the result of a run; None if the run does not exist."""
        try:
            found = self._reader.run(*self._place, run_id)
        except NotFoundError:
            return None
        return RunResult(found.state in ENDED, found.config, found.summary)

    def values(self, run_id: str, metric: str) -> list[float]:
        """See ``Results.values``."""
        keys = list(dict.fromkeys((metric.split(".", 1)[0], metric)))
        try:
            rows = self._reader.history(*self._place, run_id, keys, False, None)
        except NotFoundError:
            return []
        found = (number_of(row, metric) for row in rows)
        return [each for each in found if each is not None]


def outcome_of(config: Mapping[str, Any], seen: RunResult | None) -> tuple[float | None, bool]:
    """Return the result of a trial, or None, and whether it can still have a result later.

    Args:
        config: The checked config of the sweep.
        seen: The result of the trial's run; None if the run does not exist.
    """
    if seen is None:
        return None, False  # the run has not started yet, or never will
    best = "max" if sign_of(config) < 0 else "min"
    gave = number_of(seen.summary, config["metric"]["name"], best) if seen.ended else None
    return gave, not seen.ended


def number_of(row: Mapping[str, Any], metric: str, best: str = "min") -> float | None:
    """Return the number of a metric in a row or a summary; None without a number.

    Args:
        row: The row or the summary.
        metric: Name of the metric. Dots lead into nested dicts.
        best: Aggregate to use if the summary of the metric is a dict of aggregates. If it is missing,
            ``"best"`` or ``"last"`` is used.
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
