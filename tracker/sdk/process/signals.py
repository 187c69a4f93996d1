"""SIGTERM, as SLURM sends it before it kills: open runs end as preempted, and the process dies by the signal.

The handler is there only while runs are open, only when nobody else had one, and acts as if it were
not there: the process still dies by SIGTERM, and a forked child has the default action again. Where
somebody chains it behind a handler of his own (PyTorch Lightning does), it only notes what happened.

Python runs a handler between two steps of the main thread. A signal that comes just before that thread waits
in a lock of C (an idle worker of ``multiprocessing.Pool`` does) would wait with it for ever, where the
default action ends the process. So the helper thread of ``SegmentWriter`` looks for a signal that was not
handled (``nudge``).
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
from tracker.sdk.process import exit_status

if TYPE_CHECKING:
    from tracker.sdk.run.run import Run

# Another thread may hold a run's lock in a write that hangs; SIGTERM must not hang with it.
LOCK_SECONDS = 2.0
# How long the main thread is asked to run the handler before another thread does what it would do.
NUDGE_SECONDS = 2.0
# SLURM may send a signal this much before the time at which it is due.
LIMIT_SECONDS = 60
# What a worker of ``multiprocessing.Pool`` calls for the tasks of a ``map``.
_MAPS = ("mapstar", "starmapstar")


class Termination:
    """What SIGTERM does in this process.

    Args:
        open_runs: Returns the runs of this process that have not ended.
    """

    def __init__(self, open_runs: Callable[[], list[Run]]) -> None:
        self._open_runs = open_runs
        # The interpreter writes the number of each signal to it.
        self._pipe: tuple[int, int] | None = None
        self._came_at: float | None = None  # when a signal was seen that is not handled yet (monotonic)

    def watch(self) -> None:
        """Install the handler, unless somebody else has one or this is not the main thread."""
        try:
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                signal.signal(signal.SIGTERM, self.handle)
                self._listen()
        except ValueError:
            pass  # only the main thread may

    def leave(self) -> None:
        """Restore the default action, if the handler is still ours."""
        try:
            if self._is_ours():
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._stop_listening()
        except ValueError:
            pass  # not the main thread: the handler finds no run and does what the default does

    def _listen(self) -> None:
        if self._pipe is None:
            self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._came_at = None
        self.resume_listening()

    def resume_listening(self) -> None:
        """Have the interpreter write signals to the pipe, unless an event loop already uses another one."""
        if self._pipe is not None and threading.current_thread() is threading.main_thread():
            before = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
            if before not in (-1, self._pipe[1]):
                signal.set_wakeup_fd(before)

    def pause_listening(self) -> None:
        """Before a fork: what comes for the child must not be told to the parent."""
        if self._pipe is not None and threading.current_thread() is threading.main_thread():
            before = signal.set_wakeup_fd(-1)
            if before not in (-1, self._pipe[1]):
                signal.set_wakeup_fd(before)

    def _stop_listening(self) -> None:
        # Another thread cannot take the descriptor from the interpreter, so it must stay open.
        if self._pipe is not None and threading.current_thread() is threading.main_thread():
            self.pause_listening()
            pipe, self._pipe = self._pipe, None
            for descriptor in pipe:
                os.close(descriptor)

    def nudge(self) -> None:
        """Have a signal that came be handled. Called every second by another thread than the main one."""
        self._note_arrivals()
        came_at, main = self._came_at, threading.main_thread().ident
        if came_at is None or main is None or not self._is_ours():
            return
        if time.monotonic() - came_at < NUDGE_SECONDS:
            signal.pthread_kill(main, signal.SIGTERM)  # the main thread's wait ends, and the handler runs
            return
        runs = self._open_runs()
        done = _is_done(sys._current_frames().get(main))
        for run in runs:
            run.preempted = not done
        _reset_action()
        _end(runs, signal.SIGTERM, done)

    def _note_arrivals(self) -> None:
        """Take down when a signal came that the pipe tells of."""
        pipe = self._pipe
        if pipe is not None:
            with suppress(OSError):  # none came, or the pipe is closed at this moment
                if signal.SIGTERM in os.read(pipe[0], 4096) and self._came_at is None:
                    self._came_at = time.monotonic()

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGTERM; runs between any two steps of the main thread, also inside ``log``."""
        self._note_arrivals()
        self._came_at = None  # however often it came
        runs = self._open_runs()
        done = _is_done(frame)
        for run in runs:
            run.preempted = not done  # however the process ends now, this is why
        if not self._is_ours():
            return  # somebody chains us, and decides how the process ends
        self._stop_listening()
        if any(run.is_busy_here for run in runs):
            # This very thread is inside a call on the run, which goes on when we return. Another thread
            # ends the run behind it. A second SIGTERM may then kill at once.
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


def signal_reason(number: int) -> str:
    """Return a signal as a run's reason names it: ``signal 15 (SIGTERM)``."""
    return f"signal {number} ({signal.Signals(number).name})"


def why_terminated(now: float) -> str:
    """Return why SIGTERM came: the time limit, if SLURM says that the job's time is over, else the signal."""
    end = os.environ.get("SLURM_JOB_END_TIME", "")
    over = end.isdecimal() and now > int(end) - LIMIT_SECONDS
    return "time limit" if over else signal_reason(signal.SIGTERM)


def _end(runs: list[Run], number: int, done: bool) -> None:
    """Outside the main thread: end the runs and die, without letting anybody log in between."""
    held = [run for run in runs if run.lock(LOCK_SECONDS)]
    _end_runs(held, done)
    os.kill(os.getpid(), number)
    threading.Event().wait()  # the locks are never given back: the signal is on its way


def _end_runs(runs: list[Run], done: bool) -> None:
    for run in runs:
        with Logged("end a run at a signal"):  # the others must end all the same, and so must the process
            run.end_at_signal(LOCK_SECONDS, finished=done)


def _reset_action() -> None:
    """Restore the default action of SIGTERM outside the main thread, where Python refuses to."""
    import ctypes

    libc = ctypes.CDLL(None)
    libc.signal.restype, libc.signal.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
    libc.signal(signal.SIGTERM, None)


def _is_done(frame: FrameType | None) -> bool:
    """Whether a main thread is that of a child of ``multiprocessing`` that has done what it was to do.

    ``Pool.__exit__`` ends workers with SIGTERM: those that wait for a task, and those that are ending.
    """
    inner: list[tuple[str, str]] = []
    while frame is not None:
        at = (str(frame.f_globals.get("__name__")), frame.f_code.co_name)
        if at == ("multiprocessing.pool", "worker"):
            # Anything else under it is a task.
            return all(module.startswith("multiprocessing.") and name not in _MAPS for module, name in inner)
        if at == ("multiprocessing.process", "_bootstrap"):
            return ("multiprocessing.process", "run") not in inner and exit_status.why() is None
        inner.append(at)
        frame = frame.f_back
    return False
