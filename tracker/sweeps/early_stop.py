"""The decision to stop a trial of a sweep early."""

from __future__ import annotations

from tracker.errors import Error
from tracker.sweeps.config import sign_of
from tracker.sweeps.files import Sweep, Trial
from tracker.sweeps.hyperband import is_beaten, reached_brackets, read_brackets
from tracker.sweeps.results import ReaderResults, Results


class EarlyStopper:
    """Decides whether to stop a trial: its sweep is canceled, or hyperband gives up the trial.

    Args:
        sweep: The sweep.
        trial: The trial.
        results: Reads the results of the sweep's runs.
        passed: The last bracket at which the trial was compared.

    Attributes:
        passed: The same, after the last check.
    """

    def __init__(self, sweep: Sweep, trial: Trial, results: Results | ReaderResults, passed: int = 0) -> None:
        self._sweep, self._trial, self._results = sweep, trial, results
        self._brackets = read_brackets(sweep.config)
        self.passed = passed
        self._others: dict[str, list[float]] = {}

    def reason_to_stop(self) -> str | None:
        """Return the reason to stop the trial, or None to continue."""
        if self._sweep.requested_state == "CANCELED":
            return "the sweep was canceled"
        if self._brackets is None:
            return None
        try:
            own = self._values(self._trial.run_id)
            at = reached_brackets(self._brackets, self.passed, len(own))
            others = [] if not at else self._values_of_others()
        except Error:
            return None  # the next check may be able to read
        self.passed = max(at, default=self.passed)
        for each in at:
            if is_beaten(self._brackets, each, own, others):
                return f"hyperband: not among the best after {each} values of {self._metric}"
        return None

    @property
    def _metric(self) -> str:
        name: str = self._sweep.config["metric"]["name"]
        return name

    def _values(self, run_id: str) -> list[float]:
        sign = sign_of(self._sweep.config)
        return [sign * each for each in self._results.values(run_id, self._metric)]

    def _values_of_others(self) -> list[list[float]]:
        own = self._trial.run_id
        return [self._values_of_other(trial.run_id) for trial in self._sweep.trials() if trial.run_id != own]

    def _values_of_other(self, run_id: str) -> list[float]:
        if run_id not in self._others:
            seen = self._results.read(run_id)
            if seen is None:
                return []
            values = self._values(run_id)
            if not seen.ended:
                return values
            self._others[run_id] = values
        return self._others[run_id]
