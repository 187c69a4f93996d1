"""Early stopping of a sweep's trials, also for a function that runs in this process."""

from __future__ import annotations

import ctypes
import threading
from contextlib import suppress

from tracker.errors import Error
from tracker.sdk.process import active_runs
from tracker.sweeps.config import sign_of
from tracker.sweeps.files import Sweep, Trial
from tracker.sweeps.hyperband import is_beaten, reached_brackets, read_brackets
from tracker.sweeps.results import Results

# Seconds between two checks.
EVERY = 1.0


class Stopped(Exception):
    """The exception that is raised inside the function of a stopped trial."""

    why = ""

    def __str__(self) -> str:
        return self.why


class EarlyStopper:
    """Decides whether to stop a trial: its sweep is canceled, or hyperband gives up the trial.

    Attributes:
        every: Seconds between two checks.
    """

    def __init__(self, sweep: Sweep, trial: Trial, results: Results) -> None:
        self._sweep, self._trial, self._results = sweep, trial, results
        self._brackets = read_brackets(sweep.config)
        self._passed = 0
        self._others: dict[str, list[float]] = {}
        self.every = EVERY

    def reason_to_stop(self) -> str | None:
        """Return the reason to stop the trial, or None to continue."""
        if self._sweep.requested_state == "CANCELED":
            return "the sweep was canceled"
        if self._brackets is None:
            return None
        try:
            own = self._values(self._trial.run_id)
            at = reached_brackets(self._brackets, self._passed, len(own))
            others = [] if not at else self._values_of_others()
        except Error:
            return None  # the next check may be able to read
        self._passed = max(at, default=self._passed)
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


class Watch:
    """Raises ``Stopped`` in the thread that created it, when a trial is to be stopped.

    The exception can appear between any two bytecode instructions of the function
    (wandb: ``agents/pyagent.py``).
    """

    def __init__(self, stopper: EarlyStopper) -> None:
        self._stopper = stopper
        self._thread_id = threading.get_ident()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True, name="tracker-sweep")

    def begin(self) -> None:
        """Start checking."""
        self._thread.start()

    def end(self) -> None:
        """Stop checking. An exception that is still pending appears in this method."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        for _ in range(1000):
            pass

    def _look(self) -> None:
        while not self._over.wait(self._stopper.every):
            why = self._stopper.reason_to_stop()
            if why is None or self._over.is_set():
                continue
            for run in active_runs.open_runs():
                with suppress(Error):
                    run.mark_preempting()  # the run ends as preempted, not as failed
            # Only a class can be raised in another thread, so the reason is an attribute of a new class.
            kind = type("Stopped", (Stopped,), {"why": why})
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._thread_id), ctypes.py_object(kind)
            )
            return
