"""Signals of a job: at SIGTERM open runs end as preempted, and then the process dies by the signal.

SLURM sends SIGTERM before it kills a job. The handler is installed only while runs are open, and only when
the script has no handler of its own. It does not change how the process ends: the process still dies by
SIGTERM, and a forked child has the default action again. When another handler calls this one (PyTorch
Lightning's does), it only marks the runs as preempted.

Python runs a handler between two steps of the main thread. If a signal arrives just before the main thread
waits in a lock of C (as an idle worker of ``multiprocessing.Pool`` does), the handler would never run, while
the default action would end the process. Therefore the helper thread of ``SegmentWriter`` looks for signals
that were not handled (``handle_pending``).

Slurm can send a warning before the end of a job (``tracker.sdk.process.time_limit``). The interpreter writes
the number of each signal with a Python handler to a pipe, also if the handler is the script's. The helper
thread reads the pipe, and marks the open runs as preempting.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

from tracker.capture.logs import Logged
from tracker.ground.clock import now
from tracker.sdk.process import exit_status, time_limit

if TYPE_CHECKING:
    from tracker.sdk.run.run import Run

# How long to wait for a run's lock. Another thread may hold it in a write that hangs.
LOCK_SECONDS = 2.0
# If the main thread does not run the handler within this time, the helper thread does its work.
PENDING_SECONDS = 2.0
# Functions that a worker of ``multiprocessing.Pool`` calls for the tasks of a ``map``.
_MAPS = ("mapstar", "starmapstar")


class Termination:
    """The handler of SIGTERM in this process.

    Args:
        open_runs: Function that returns the runs of this process that have not ended.
    """

    def __init__(self, open_runs: Callable[[], list[Run]]) -> None:
        self._open_runs = open_runs
        # The interpreter writes the number of each signal to this pipe.
        self._pipe: tuple[int, int] | None = None
        self._came_at: float | None = (
            None  # when a SIGTERM arrived that is not handled yet (monotonic seconds)
        )
        self._warning: int | None = None  # a warning of Slurm that was not reported to the runs yet

    def install(self) -> None:
        """Install the handler, unless there is another handler or this is not the main thread."""
        try:
            time_limit.install()
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                signal.signal(signal.SIGTERM, self.handle)
                self._listen()
            elif self._pipe is None and time_limit.in_job():
                self._listen()
        except ValueError:
            pass  # only the main thread may install a handler

    def uninstall(self) -> None:
        """Restore the default action of SIGTERM, if this handler is still installed."""
        try:
            if self._is_ours():
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._stop_listening()
        except ValueError:
            pass  # not the main thread: the handler stays, finds no run, and acts as the default action

    def _listen(self) -> None:
        if self._pipe is None:
            self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._came_at = None
        self.resume_listening()

    def resume_listening(self) -> None:
        """Make the interpreter write signals to the pipe, unless an event loop already uses its own."""
        if self._pipe is not None and threading.current_thread() is threading.main_thread():
            before = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
            if before not in (-1, self._pipe[1]):
                signal.set_wakeup_fd(before)

    def pause_listening(self) -> None:
        """Stop writing signals to the pipe, before a fork: the child's signals must not reach the parent."""
        if self._pipe is not None and threading.current_thread() is threading.main_thread():
            before = signal.set_wakeup_fd(-1)
            if before not in (-1, self._pipe[1]):
                signal.set_wakeup_fd(before)

    def _stop_listening(self) -> None:
        # Only the main thread can take the descriptor from the interpreter. Otherwise it must stay open.
        if self._pipe is not None and threading.current_thread() is threading.main_thread():
            self.pause_listening()
            pipe, self._pipe = self._pipe, None
            for descriptor in pipe:
                os.close(descriptor)

    def handle_pending(self) -> None:
        """Handle signals that the main thread has not handled. The helper thread calls this every second."""
        self._note_arrivals()
        self._report_warning()
        came_at, main = self._came_at, threading.main_thread().ident
        if came_at is None or main is None or not self._is_ours():
            return
        if time.monotonic() - came_at < PENDING_SECONDS:
            signal.pthread_kill(main, signal.SIGTERM)  # interrupts the main thread's wait: the handler runs
            return
        runs = self._open_runs()
        done = _is_done(sys._current_frames().get(main))
        for run in runs:
            run.preempted = not done
        _reset_action()
        _end(runs, signal.SIGTERM, done)

    def _note_arrivals(self) -> None:
        """Read the pipe, and note a warning, and the time if SIGTERM has arrived."""
        pipe = self._pipe
        if pipe is not None:
            with suppress(OSError):  # the pipe is empty, or is being closed
                numbers = os.read(pipe[0], 4096)
                if signal.SIGTERM in numbers and self._came_at is None:
                    self._came_at = time.monotonic()
                for number in time_limit.WARNINGS if time_limit.in_job() else ():
                    if number in numbers:
                        self._warning = number

    @property
    def is_warned(self) -> bool:
        """Whether a warning has arrived that the open runs do not know yet."""
        self._note_arrivals()
        return self._warning is not None

    def _report_warning(self) -> None:
        """Mark the open runs as preempting, first without the end of the job if ``squeue`` must be asked."""
        number, self._warning = self._warning, None
        if number is None:
            return
        known, runs = time_limit.job_end(), self._open_runs()
        for run in runs:
            run.announce_preemption(time_limit.describe_warning(number, now()), LOCK_SECONDS)
        # Only the segment of rank 0 decides the run's state, and each question costs the controller time.
        runs = [run for run in runs if run.started.rank == 0] if known is None else []
        if runs and time_limit.ask_job_end() is not None:
            for run in runs:
                run.announce_preemption(time_limit.describe_warning(number, now()), LOCK_SECONDS)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGTERM. Python calls this between any two steps of the main thread, also inside ``log``.

        Args:
            number: The signal's number.
            frame: The main thread's frame.
        """
        self._note_arrivals()
        self._came_at = None  # one call handles all signals that have arrived
        runs = self._open_runs()
        done = _is_done(frame)
        for run in runs:
            run.preempted = not done  # the reason why the runs end, also if another handler ends the process
        if not self._is_ours():
            return  # another handler has called this one, and decides how the process ends
        self._stop_listening()
        if any(run.is_busy_here for run in runs):
            # The main thread is inside a call on the run, which continues when this handler returns. Another
            # thread then ends the run. A second SIGTERM kills the process immediately.
            signal.signal(number, signal.SIG_DFL)
            try:
                _thread.start_new_thread(_end, (runs, number, done))
            except RuntimeError:
                os.kill(os.getpid(), number)
            return
        _end_runs(runs, done)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _is_ours(self) -> bool:
        return signal.getsignal(signal.SIGTERM) == self.handle


def _end(runs: list[Run], number: int, done: bool) -> None:
    """End the runs and kill the process, outside the main thread. No thread can log in between."""
    held = [run for run in runs if run.lock(LOCK_SECONDS)]
    _end_runs(held, done)
    os.kill(os.getpid(), number)
    threading.Event().wait()  # keep the locks until the signal ends the process


def _end_runs(runs: list[Run], done: bool) -> None:
    for run in runs:
        with Logged("end a run at a signal"):  # after an error, the other runs and the process must still end
            run.end_at_signal(LOCK_SECONDS, finished=done)


def _reset_action() -> None:
    """Restore the default action of SIGTERM with libc. Python refuses this outside the main thread."""
    import ctypes

    libc = ctypes.CDLL(None)
    libc.signal.restype, libc.signal.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
    libc.signal(signal.SIGTERM, None)


def _is_done(frame: FrameType | None) -> bool:
    """Return whether the main thread belongs to a child of ``multiprocessing`` that has done its work.

    ``Pool.__exit__`` sends SIGTERM to workers that wait for a task, and to workers that are ending.
    """
    inner: list[tuple[str, str]] = []
    while frame is not None:
        at = (str(frame.f_globals.get("__name__")), frame.f_code.co_name)
        if at == ("multiprocessing.pool", "worker"):
            # Any other frame below `worker` belongs to a task.
            return all(module.startswith("multiprocessing.") and name not in _MAPS for module, name in inner)
        if at == ("multiprocessing.process", "_bootstrap"):
            return ("multiprocessing.process", "run") not in inner and exit_status.find_failure() is None
        inner.append(at)
        frame = frame.f_back
    return False
