"""Early stopping of a function that runs a trial in this process."""

from __future__ import annotations

import ctypes
import threading
from contextlib import suppress

from tracker.errors import Error
from tracker.sdk.process import active_runs
from tracker.sweeps.early_stop import EarlyStopper

# Seconds between two checks.
EVERY = 1.0


class Stopped(Exception):
    """The exception that is raised inside the function of a stopped trial."""

    why = ""

    def __str__(self) -> str:
        return self.why


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
        while not self._over.wait(EVERY):
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
