"""The error that ends the process: an uncaught exception, or ``sys.exit`` with a status that is not 0.

When the handlers of ``atexit`` run, ``sys.last_value`` holds an uncaught exception, but never a SystemExit. A
script may also catch a SystemExit and continue. Therefore ``sys.exit``, ``exit`` and ``quit`` attach a token
to the SystemExit that they raise. If the token is freed when the main thread has no Python frame left, the
exception has ended the main thread. If it is freed earlier, the script has caught the exception.
"""

from __future__ import annotations

import atexit
import sys
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple


class _Note(NamedTuple):
    """A noted failure. It does not count if the process has logged something after it.

    Attributes:
        error: The failure, as one line.
        logged: The value of ``watch``'s argument ``logged`` at that time.
    """

    error: str
    logged: object


class _Token:
    """Token of one SystemExit."""

    def __init__(self, note: _Note) -> None:
        self.note = note

    def __del__(self, _frame: Callable[[int], Any] = sys._getframe) -> None:
        global _exit_failure
        try:
            _frame(1)
        except ValueError:
            _exit_failure = self.note.error

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()  # the exception must stay picklable; the token is not part of the pickle


def _nothing_logged() -> object:
    return None


_logged: Callable[[], object] = _nothing_logged
_note: _Note | None = None
_token: weakref.ref[_Token] | None = None
_exit_failure: str | None = None
_earlier_error: BaseException | None = None


def watch(logged: Callable[[], object]) -> None:
    """Start to watch for failures, and forget earlier ones.

    Args:
        logged: Returns a value that changes each time something is logged.
    """
    global _logged, _note, _token, _exit_failure, _earlier_error
    _logged, _note, _token, _exit_failure, _earlier_error = logged, None, None, None, _last_error()
    if getattr(sys.exit, "_tracker", False):
        return
    leave = sys.exit
    sys.exit = _noting_exit(leave)
    # A script with `from sys import exit` has its own reference.
    names = vars(sys.modules["__main__"])
    for name in [name for name, value in names.items() if value is leave]:
        names[name] = sys.exit
    site = sys.modules.get("_sitebuiltins")  # defines `exit` and `quit`; absent with `python -S`
    if site is not None:
        site.Quitter.__call__ = _noting_exit(site.Quitter.__call__)


def call_at_exit(call: Callable[[], None]) -> None:
    """Register a function to be called when this process ends. It may be called twice.

    The function that was registered last is called first.
    """
    atexit.unregister(call)
    atexit.register(call)
    # A process that multiprocessing has forked ends without the handlers of atexit.
    multiprocessing = sys.modules.get("multiprocessing.util")
    if multiprocessing is not None:
        multiprocessing.Finalize(None, call, exitpriority=0)


def note_failure(error: str) -> None:
    """Record a failure that ends the process. It does not count if something is logged after it."""
    global _note
    _note = _Note(error, _logged())


def find_failure() -> str | None:
    """Return the error that ends the process; None when the process ends without an error."""
    if _exit_failure is not None:
        return _exit_failure
    raised = sys.exc_info()[1]
    if raised is not None:  # a process that multiprocessing has forked is ending with this exception
        return None if isinstance(raised, SystemExit) and not raised.code else last_line(raised)
    code = _code_of_forked()
    if code is not None:
        return f"SystemExit: {code}" if code else None
    # A token that is not freed is still referenced, for example by a task of asyncio. Its exception may still
    # end the process, or may have been caught. It counts if nothing was logged after it.
    token = _token() if _token is not None else None
    for noted in (_note, token.note if token is not None else None):
        if noted is not None and noted.logged == _logged():
            return noted.error
    error = _last_error()
    # In an interactive session, `sys.last_value` holds any earlier mistake; it does not end the process.
    return None if error is None or error is _earlier_error or hasattr(sys, "ps1") else last_line(error)


def last_line(error: BaseException) -> str:
    """Return the type and message of an exception, as in the last line of its traceback."""
    kind = type(error)
    name = (
        kind.__qualname__
        if kind.__module__ in ("builtins", "__main__")
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    try:
        message = str(error)
    except Exception:
        message = "<no message: its own str() failed>"
    return f"{name}: {message}" if message else name


def _code_of_forked() -> int | None:
    """Return the exit status of a process that multiprocessing has forked; None if this is another process.

    Since Python 3.13 such a process runs the handlers of atexit, after its exception has been cleared.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_name != "_bootstrap":
        if frame.f_globals.get("__name__") in ("multiprocessing.popen_fork", "multiprocessing.forkserver"):
            code = frame.f_locals.get("code")
            return code if isinstance(code, int) else None
        frame = frame.f_back
    return None


def _last_error() -> BaseException | None:
    error: BaseException | None = getattr(sys, "last_value", None)
    return error


def _noting_exit(leave: Callable[..., Any]) -> Callable[..., Any]:
    def note_exit(*arguments: Any, **named: Any) -> Any:
        global _token
        try:
            leave(*arguments, **named)
        except SystemExit as error:
            code = error.code
            failed = code != 0 if isinstance(code, int) else code is not None
            # In another thread, SystemExit ends only that thread.
            if failed and threading.current_thread() is threading.main_thread():
                token = _Token(_Note(last_line(error), _logged()))
                _token = weakref.ref(token)
                error._tracker = token  # type: ignore[attr-defined]
                del token  # the exception keeps this frame alive, and the frame would keep the token alive
            raise

    note_exit._tracker = True  # type: ignore[attr-defined]
    return note_exit
