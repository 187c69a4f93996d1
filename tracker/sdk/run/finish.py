"""How a run ends: by a call, with a block, by a signal, with its process."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from tracker.capture import logs
from tracker.errors import UsageError
from tracker.ground.clock import now
from tracker.ground.records import RunFinished, pack
from tracker.ground.terminal import say
from tracker.sdk.process import active_runs
from tracker.sdk.process.exit_status import last_line
from tracker.sdk.process.resume_file import forget_run
from tracker.sdk.process.signals import signal_reason, why_terminated
from tracker.sdk.run.core import RunCore

if TYPE_CHECKING:
    from typing_extensions import Self

# How long a thread of a run that has ended is waited for: it may hang on a slow disk or driver.
THREAD_SECONDS = 1.0
# Characters of an exception's type and message that are kept.
LONGEST_ERROR = 2000


class Life(RunCore):
    """The end of a ``Run``."""

    def finish(self, exit_code: int | None = None) -> None:
        """End the run; a second call does nothing.

        Args:
            exit_code: 0 or None: finished. Anything else: failed.
        """
        self._do_before_end()
        try:
            code = int(exit_code or 0)
        except (TypeError, ValueError):
            code = 1  # said something, and not 0
        code = max(-(2**31), min(code, 2**31 - 1))
        self._end("failed" if code else "finished", code, None, f"exit status {code}" if code else None)
        self._wait_for_threads()
        self._wait_until_sent()

    def fail(self, error: str) -> None:
        """End the run as failed, with one line that says why."""
        self._do_before_end()
        self._end("failed", _exit_code(error), error[:LONGEST_ERROR], _reason(error))
        self._wait_for_threads()
        self._wait_until_sent()

    def _wait_for_threads(self) -> None:
        """Leave none of the run's threads behind, unless one hangs; they were told to end."""
        if self._closed and not self._forked and not self.is_busy_here:
            self._journal.join(THREAD_SECONDS)
            if self.capturing is not None:
                self.capturing.join(THREAD_SECONDS)

    def _wait_until_sent(self) -> None:
        """Wait until a run that goes to a server is there, as long as the server takes bytes.

        Not in a signal handler, which ends a process that others wait for, and not in a forked child.
        """
        journal = self._journal
        if self._waited or self.is_busy_here or journal.disabled or self._forked or not self._closed:
            return
        self._waited = True
        if journal.segment is None or not journal.layout.remote.exists():
            return
        from tracker.sdk.process.upload_wait import (  # most runs are kept here
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

    def write_logs(self, text: str) -> None:
        """Add text to the run's output, as if the script had printed it.

        Raises:
            UsageError: The run is finished.
        """
        if self._finished:
            raise UsageError(f"Run ({self.id}) is finished: init a new run")
        if self.capturing is not None:
            self.capturing.write_logs(text)

    def before_end(self, call: Callable[[], None]) -> None:
        """Have something called once when the run is about to end, while it can still be logged to.

        Not in a forked child, and not when a signal ends the run.
        """
        self._before_end.append(call)

    def _do_before_end(self) -> None:
        if self.is_busy_here:
            return  # a signal handler's call, on top of one that holds the lock: nobody can be waited for
        if self.capturing is not None:
            self.capturing.before_end()
        while self._before_end:
            call = self._before_end.pop()
            try:
                call()
            except Exception as error:  # the run ends all the same
                logs.log(logs.WARNING, f"while run {self.id} ended", error)
                say(f"while run {self.id} ended: {error}")

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
        """End the run; what older scripts call ``finish``."""
        self.finish(exit_code)

    def mark_preempting(self) -> None:
        """Say that this machine may be taken away: if the run fails from now on, it was preempted."""
        self._check_open("mark_preempting")
        self._preempting = True

    # What a signal handler uses

    @property
    def is_busy_here(self) -> bool:
        """Whether the calling thread is inside a call on this run, under the code that asks."""
        return self._lock._is_owned()  # type: ignore[attr-defined, no-any-return]

    def lock(self, seconds: float) -> bool:
        """Keep all others from logging, until the process ends; return whether that could be done."""
        return self._lock.acquire(timeout=seconds)

    def end_at_signal(self, seconds: float, *, finished: bool = False) -> None:
        """End the run because the process was told to end (SIGTERM), unless others block it for too long.

        Args:
            seconds: How long others may block it.
            finished: The process had done its work; else the run is preempted.
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
        # An interrupt (Ctrl-C) may end this anywhere: the next call, at exit at the latest, goes on.
        with self._lock:
            if self._writing and not late:
                self._deferred.append(partial(self._end, state, exit_code, error, reason, late=True))
                return
            self._writing = False  # where it waited, what was to be written first is written
            if self._ending:
                return  # a signal handler's call: what is under it goes on
            try:
                self._ending = True
                if self.capturing is not None:
                    self.capturing.end()
                self._write_deferred()
                if not self._finished:
                    self._keep_files()
                self._finished = True
                if not self._closed:
                    if self._last is None:
                        if self.preempted:
                            state, error, reason = "preempted", error or "SIGTERM", why_terminated(now())
                        elif self._preempting and state == "failed":
                            state = "preempted"
                        self._last = pack(RunFinished(now(), state, exit_code, error, reason))
                    if not self._said:
                        self._journal.put(self._last)
                        self._said = True
                    self._journal.close()
                    self._closed = True
                    if state == "finished" and self.resume_file is not None:
                        forget_run(self.resume_file)
            finally:
                self._ending = False
        active_runs.remove(self)


def _reason(error: str) -> str:
    """Return why a run failed, of the line that says with which exception the process ends."""
    kind = error.partition(": ")[0]
    if kind == "SystemExit":
        return f"exit status {_exit_code(error)}"
    return signal_reason(signal.SIGINT) if kind == "KeyboardInterrupt" else "exception"


def _exit_code(error: str) -> int:
    """Return the status that a process ended with, of the line that says so; 1 for any other error."""
    kind, _, code = error.partition(": ")
    return int(code) if kind == "SystemExit" and code.isdecimal() and len(code) < 10 else 1
