"""Forked child processes: one that returns a result through a pipe, and workers that run until a kill."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from tracker.errors import StoreError

T = TypeVar("T")


def ask(work: Callable[..., T], *arguments: Any) -> T:
    """Return the result of ``work``, run in a child process. The parent then holds no file that it opened.

    Raises:
        StoreError: The child died, or ``work`` raised an exception. The message contains the traceback.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _answer(work, arguments, writing)
    os.close(writing)
    with open(reading, "rb") as file:
        answer = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != 0 or not answer:
        raise StoreError(f"{work.__name__} ended with status {status}.")
    good, result = pickle.loads(answer)
    if not good:
        raise StoreError(f"{work.__name__} failed:\n{result}")
    return result  # type: ignore[no-any-return]


def _answer(work: Callable[..., Any], arguments: tuple[Any, ...], writing: int) -> NoReturn:
    try:
        result = (True, work(*arguments))
    except BaseException:
        result = (False, traceback.format_exc())
    try:
        with open(writing, "wb") as file:
            pickle.dump(result, file)
    finally:
        os._exit(0)


class Worker:
    """A child process that runs ``work`` and can be killed at any moment.

    Args:
        work: Function to run. An exception goes to stderr and ends the child with status 1.
        arguments: Arguments of ``work``.
    """

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        self._status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                work(*arguments)
                status = 0
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(status)

    def wait(self) -> int:
        """Wait for the end of the child; return its exit status, negative for a signal."""
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status

    @property
    def ended(self) -> bool:
        """Whether the child has ended."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status is not None

    def kill(self) -> bool:
        """Kill the child; return whether it was still running."""
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)
        return self.wait() == -signal.SIGKILL
