"""The end of a run: by ``finish``, by a ``with`` block, by a signal, or with its process."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from tracker.capture import logs
from tracker.ground.clock import now
from tracker.ground.records import Preemption, RunChanged, RunFinished, pack
from tracker.ground.terminal import say
from tracker.sdk.process import active_runs
from tracker.sdk.process.exit_status import last_line
from tracker.sdk.process.resume_file import forget_run
from tracker.sdk.process.time_limit import signal_reason, why_terminated
from tracker.sdk.run.core import RunCore

if TYPE_CHECKING:
    from typing_extensions import Self

# How long the end of a run waits for one of its threads, which can hang on a slow disk or driver.
THREAD_SECONDS = 1.0
# The longest stored text of an exception, in characters.
LONGEST_ERROR = 2000


class FinishMethods(RunCore):
    """The methods that end a ``Run``."""

    def finish(self, exit_code: int | None = None) -> None:
        """End the run. A second call does nothing.

        Args:
            exit_code: 0 or None marks the run as finished, other values as failed.
        """
        self._do_before_end()
        try:
            code = int(exit_code or 0)
        except (TypeError, ValueError):
            code = 1  # any value that is not a number counts as a failure
        code = max(-(2**31), min(code, 2**31 - 1))
        self._end("failed" if code else "finished", code, None, f"exit status {code}" if code else None)
        self._wait_for_threads()
        self._wait_until_sent()

    def fail(self, error: str) -> None:
        """End the run as failed.

        Args:
            error: One line with the reason.
        """
        self._do_before_end()
        self._end("failed", _exit_code(error), error[:LONGEST_ERROR], _reason(error))
        self._wait_for_threads()
        self._wait_until_sent()

    def _wait_for_threads(self) -> None:
        """Wait for the run's threads, which were told to end. Stop waiting for a thread that hangs."""
        if self._closed and not self._forked and not self.is_busy_here:
            self._journal.join(THREAD_SECONDS)
            if self.capturing is not None:
                self.capturing.join(THREAD_SECONDS)

    def _wait_until_sent(self) -> None:
        """Wait until the server has the whole run. Stop waiting when the server takes no more bytes.

        A signal handler does not wait, because it ends a process that other processes wait for. A forked
        child does not wait either.
        """
        journal = self._journal
        if self._waited or self.is_busy_here or journal.disabled or self._forked or not self._closed:
            return
        self._waited = True
        if journal.segment is None or not journal.layout.remote.exists():
            return
        from tracker.sdk.process.upload_wait import (  # imported late: most runs have no server
            is_in_signal_handler,
            wait_until_sent,
        )

        if not is_in_signal_handler():
            settings = journal.settings
            wait_until_sent(
                journal.layout,
                journal.segment,
                self.id,
                longest_seconds=settings.finish_seconds,
                silent=settings.silent,
            )

    def before_end(self, call: Callable[[], None]) -> None:
        """Register a function to call once before the run ends, while the run still accepts records.

        The function is not called in a forked child, or when a signal ends the run.
        """
        self._before_end.append(call)

    def _do_before_end(self) -> None:
        if self.is_busy_here:
            return  # a signal handler has interrupted code that holds the lock: waiting would block forever
        if self.capturing is not None:
            self.capturing.before_end()
        while self._before_end:
            call = self._before_end.pop()
            try:
                call()
            except Exception as error:  # end the run in spite of it
                logs.log(logs.WARNING, f"Run {self.id}: an action at its end failed", error)
                say(f"run {self.id}: an action at its end failed: {error}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or (isinstance(error, SystemExit) and not error.code):
            self.finish()
        else:
            self.fail(last_line(error))

    def join(self, exit_code: int | None = None) -> None:
        """End the run. Older scripts call this method."""
        self.finish(exit_code)

    def mark_preempting(self) -> None:
        """Announce that this machine may be taken away. A later failure then counts as preemption."""
        self._check_open("mark_preempting")
        self._preempting = True
        self._put(RunChanged(now(), {"preempting": {"reason": None, "job_end": None}}))

    def announce_preemption(self, announced: Preemption, seconds: float) -> None:
        """Record a warning of the job, and the output so far. Do nothing if the run has ended.

        Args:
            announced: The warning.
            seconds: How long to wait for the lock of the run, which a thread that hangs may hold.
        """
        if self.lock(seconds):
            try:
                if not self._finished:
                    self._preempting = True
                    self._put(RunChanged(now(), {"preempting": announced}))
            finally:
                self._lock.release()
            if self.capturing is not None and not self._finished:
                self.capturing.flush()

    # Methods for signal handlers

    @property
    def is_busy_here(self) -> bool:
        """Whether the calling thread is inside a call on this run, which a signal handler interrupted."""
        return self._lock._is_owned()  # type: ignore[attr-defined, no-any-return]

    def lock(self, seconds: float) -> bool:
        """Block all other writers of this run until the process ends.

        Args:
            seconds: How long to wait for the lock.

        Returns:
            Whether the lock was taken.
        """
        return self._lock.acquire(timeout=seconds)

    def end_at_signal(self, seconds: float, *, finished: bool = False) -> None:
        """End the run because the process received SIGTERM. Do nothing if the run's lock stays taken.

        Args:
            seconds: How long to wait for the lock.
            finished: Whether the process had completed its work. If not, the run is preempted.
        """
        if self.lock(seconds):
            try:
                if finished:
                    self._end("finished", 0, None, None)
                else:
                    self._end("preempted", 128 + signal.SIGTERM, None, None)
            finally:
                self._lock.release()

    def _end(
        self, state: str, exit_code: int, error: str | None, reason: str | None, *, late: bool = False
    ) -> None:
        # Ctrl-C may interrupt this method anywhere. The next call, at the latest at exit, completes it.
        with self._lock:
            if self._writing and not late:
                self._deferred.append(partial(self._end, state, exit_code, error, reason, late=True))
                return
            self._writing = False  # if this call was deferred, the writes before it are complete
            if self._ending:
                return  # a signal handler has interrupted this method, which continues afterwards
            try:
                self._ending = True
                if self.capturing is not None:
                    self.capturing.end()
                self._write_deferred()
                if not self._finished:
                    self._keep_files()
                self._finished = True
                if not self._closed:
                    if self._end_record is None:
                        if self.preempted:
                            state, error, reason = "preempted", error or "SIGTERM", why_terminated(now())
                        elif state == "failed" and (self._preempting or active_runs.is_warned()):
                            state = "preempted"
                        self._end_record = pack(RunFinished(now(), state, exit_code, error, reason))
                    if not self._end_written:
                        self._journal.put(self._end_record)
                        self._end_written = True
                    self._journal.close()
                    self._closed = True
                    if state == "finished" and self.resume_file is not None:
                        forget_run(self.resume_file)
            finally:
                self._ending = False
        active_runs.remove(self)


def _reason(error: str) -> str:
    """Return why a run failed, given the last line of the exception that ended the process."""
    kind = error.partition(": ")[0]
    if kind == "SystemExit":
        return f"exit status {_exit_code(error)}"
    return signal_reason(signal.SIGINT) if kind == "KeyboardInterrupt" else "exception"


def _exit_code(error: str) -> int:
    """Return the exit status in the last line of an exception, or 1 if it is not ``SystemExit``."""
    kind, _, code = error.partition(": ")
    return int(code) if kind == "SystemExit" and code.isdecimal() and len(code) < 10 else 1
