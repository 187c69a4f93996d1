"""Why the process ends, as far as Python lets it be seen: an exception, or ``sys.exit`` with a status.

An exception that nobody caught is in ``sys.last_value`` when the handlers of ``atexit`` run. Of a SystemExit
nothing is left then, and a script may catch it and go on. So ``sys.exit``, ``exit`` and ``quit`` give theirs
a token: freed while no frame is left, the main thread has ended with it; who catches it has a frame.
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
    """What somebody said of a failure, and what had been logged by then: who logs more went on after it."""

    error: str
    logged: object


class _Token:
    """Goes with one SystemExit."""

    def __init__(self, note: _Note) -> None:
        self.note = note

    def __del__(self, _frame: Callable[[int], Any] = sys._getframe) -> None:
        global _left
        try:
            _frame(1)
        except ValueError:
            _left = self.note.error

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()  # an exception may be sent to another process


def _nothing() -> object:
    return None


_logged: Callable[[], object] = _nothing
_note: _Note | None = None
_token: weakref.ref[_Token] | None = None
_left: str | None = None
_before: BaseException | None = None


def watch(logged: Callable[[], object]) -> None:
    """Begin to look; what was before this call is forgotten.

    Args:
        logged: Returns something that is no longer equal once anything was logged.
    """
    global _logged, _note, _token, _left, _before
    _logged, _note, _token, _left, _before = logged, None, None, None, _last_error()
    if getattr(sys.exit, "_tracker", False):
        return
    leave = sys.exit
    sys.exit = _noting(leave)
    # A script that began with `from sys import exit` has it under a name of its own.
    names = vars(sys.modules["__main__"])
    for name in [name for name, value in names.items() if value is leave]:
        names[name] = sys.exit
    site = sys.modules.get("_sitebuiltins")  # where `exit` and `quit` come from, unless started with -S
    if site is not None:
        site.Quitter.__call__ = _noting(site.Quitter.__call__)


def at_end(call: Callable[[], None]) -> None:
    """Have something called, maybe twice, when this process ends; what is asked for last is called first."""
    atexit.unregister(call)
    atexit.register(call)
    # A process that multiprocessing forks ends without the handlers of atexit.
    multiprocessing = sys.modules.get("multiprocessing.util")
    if multiprocessing is not None:
        multiprocessing.Finalize(None, call, exitpriority=0)


def note(error: str) -> None:
    """Take down a failure that ends the process, unless something is logged after it."""
    global _note
    _note = _Note(error, _logged())


def why() -> str | None:
    """Return what the process failed with, at its end; None when it ends well."""
    if _left is not None:
        return _left
    raised = sys.exc_info()[1]
    if raised is not None:  # a process that multiprocessing forks is ending, under what it raised
        return None if isinstance(raised, SystemExit) and not raised.code else last_line(raised)
    code = _code_of_forked()
    if code is not None:
        return f"SystemExit: {code}" if code else None
    # Whose token is not freed, somebody keeps: a task of asyncio, say. It may be on its way, or caught.
    token = _token() if _token is not None else None
    for noted in (_note, token.note if token is not None else None):
        if noted is not None and noted.logged == _logged():
            return noted.error
    error = _last_error()
    # Where a person types, every mistake is found there, and none is the end.
    return None if error is None or error is _before or hasattr(sys, "ps1") else last_line(error)


def last_line(error: BaseException) -> str:
    """Return what the traceback of an exception ends with: its type and message."""
    kind = type(error)
    name = (
        kind.__qualname__
        if kind.__module__ in ("builtins", "__main__")
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    try:
        said = str(error)
    except Exception:
        said = "<no message: its own str() failed>"
    return f"{name}: {said}" if said else name


def _code_of_forked() -> int | None:
    """Return the status that a process forked by multiprocessing ends with, where that is known.

    From Python 3.13 on its handlers of atexit are called, when what it raised is forgotten.
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


def _noting(leave: Callable[..., Any]) -> Callable[..., Any]:
    def note_exit(*arguments: Any, **named: Any) -> Any:
        global _token
        try:
            leave(*arguments, **named)
        except SystemExit as error:
            code = error.code
            failed = code != 0 if isinstance(code, int) else code is not None
            # In another thread it ends that one alone.
            if failed and threading.current_thread() is threading.main_thread():
                token = _Token(_Note(last_line(error), _logged()))
                _token = weakref.ref(token)
                error._tracker = token  # type: ignore[attr-defined]
                del token  # this frame stays with the exception
            raise

    note_exit._tracker = True  # type: ignore[attr-defined]
    return note_exit
