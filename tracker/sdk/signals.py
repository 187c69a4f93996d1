"""SIGTERM, as SLURM sends it before it kills: open runs end as preempted, and the process dies by the signal.

The handler is there only while runs are open, only when nobody else had one, and acts as if it were
not there: the process still dies by SIGTERM, and a forked child has the default action again. Where
somebody chains it behind a handler of his own (PyTorch Lightning does), it only notes what happened.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracker.sdk.run import Run

# Another thread may hold a run's lock in a write that hangs; SIGTERM must not hang with it.
LOCK_SECONDS = 2.0


class Termination:
    """What SIGTERM does in this process.

    Args:
        open_runs: Returns the runs of this process that have not ended.
    """

    def __init__(self, open_runs: Callable[[], list[Run]]) -> None:
        self._open_runs = open_runs

    def watch(self) -> None:
        """Install the handler, unless somebody else has one or this is not the main thread."""
        try:
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                signal.signal(signal.SIGTERM, self.handle)
        except ValueError:
            pass  # only the main thread may

    def leave(self) -> None:
        """Restore the default action, if the handler is still ours."""
        if self._is_ours():
            try:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
            except ValueError:
                pass  # not the main thread: the handler finds no run and does what the default does

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Handle SIGTERM; runs between any two steps of the main thread, also inside ``log``."""
        runs = self._open_runs()
        for run in runs:
            run.preempted = True  # however the process ends now, this is why
        if not self._is_ours():
            return  # somebody chains us, and decides how the process ends
        if any(run.is_busy_here for run in runs):
            # This very thread is inside a call on the run, which goes on when we return. Another thread
            # ends the run behind it. A second SIGTERM may then kill at once.
            signal.signal(number, signal.SIG_DFL)
            try:
                _thread.start_new_thread(_end, (runs, number))
            except RuntimeError:
                os.kill(os.getpid(), number)
            return
        _preempt(runs)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _is_ours(self) -> bool:
        return signal.getsignal(signal.SIGTERM) == self.handle


def _end(runs: list[Run], number: int) -> None:
    """In a thread of its own: end the runs and die, without letting anybody log in between."""
    held = [run for run in runs if run.lock(LOCK_SECONDS)]
    _preempt(held)
    os.kill(os.getpid(), number)
    threading.Event().wait()  # the locks are never given back: the signal is on its way


def _preempt(runs: list[Run]) -> None:
    for run in runs:
        with suppress(Exception):  # the others must end all the same, and so must the process
            run.preempt(LOCK_SECONDS)
