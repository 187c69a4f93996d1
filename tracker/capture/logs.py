"""The log of tracker itself: one file per host, user and role, in the ``logs`` folder of a store.

Nothing is imported or opened before the first message; ``tracker.capture.log_file`` writes the messages.
``TRACKER_LOG`` is the lowest logged level: debug, info, warning (the default), error or off.
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40
_LEVELS = {"debug": DEBUG, "info": INFO, "warning": WARNING, "error": ERROR, "off": 100}
# A repeated message is logged again after this time.
REPEATED_SECONDS = 600.0
_MOST_REMEMBERED = 1000

_role = "sdk"
_folder: Path | None = None
_verbose = False
_logger: logging.Logger | None = None
_logged: dict[tuple[object, ...], float] = {}


def begin(role: str) -> None:
    """Set the role of this process, such as ``"recorder"``."""
    global _role
    _role = role


def be_verbose() -> None:
    """Write all messages to stderr too, at every level of ``TRACKER_LOG``."""
    global _verbose
    _verbose = True


def use(folder: Path) -> None:
    """Log to this folder of a store from now on."""
    global _folder
    _folder = folder


def file_of(folder: Path, role: str) -> Path:
    """Return the log file of a role on this host."""
    host = re.sub(r"[^\w.-]", "_", os.uname().nodename)
    return folder / f"{host}-{os.getuid()}-{role}.log"


def current_file() -> Path | None:
    """Return the file that this process logs to, or None before ``use``."""
    return None if _folder is None else file_of(_folder, _role)


def lowest() -> int:
    """Return the lowest level that is logged."""
    return _LEVELS.get(os.environ.get("TRACKER_LOG", "").lower(), WARNING)


def log(level: int, message: str, error: BaseException | None = None) -> None:
    """Log a message. Never raises, because the caller could not handle a failed log.

    Args:
        level: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
        message: The message.
        error: An exception to log with its traceback.
    """
    try:
        if _folder is None and not _verbose:
            return
        if level >= lowest() or _verbose:
            _write(level, message, error, to_file=level >= lowest())
    except Exception:  # noqa: S110
        pass


def _write(level: int, message: str, error: BaseException | None, *, to_file: bool) -> None:
    global _logger
    trace = error.__traceback__ if error is not None else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = (trace.tb_frame.f_code, trace.tb_lineno) if trace is not None else None
    now, key = time.monotonic(), (message, type(error), place)
    if now - _logged.get(key, -REPEATED_SECONDS) < REPEATED_SECONDS:
        return
    if len(_logged) >= _MOST_REMEMBERED:
        _logged.clear()
    _logged[key] = now
    if _logger is None:
        from tracker.capture.log_file import make_logger

        _logger = make_logger(current_file)
    _logger.log(level, message, exc_info=error, extra={"to_file": to_file, "to_stderr": _verbose})


class Logged:
    """A context manager that logs an exception with its traceback, and suppresses it.

    Args:
        doing: A verb phrase for the log, such as ``"sample the GPU"``.
    """

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        log(WARNING, f"cannot {self._doing}", error)
        return True


class LogStream:
    """A replacement of stderr for a process that has none. Printed text is logged."""

    def write(self, text: str) -> int:
        """Log a text."""
        if text.strip():
            log(WARNING, text.rstrip())
        return len(text)

    def flush(self) -> None:
        """Do nothing. Each text is logged immediately."""


def log_all_errors() -> None:
    """Log what this process prints to stderr, and the exceptions that end its threads."""
    import threading

    def note(ended: threading.ExceptHookArgs) -> None:
        name = ended.thread.name if ended.thread is not None else "(unknown)"
        log(ERROR, f"Thread {name} ended with an exception", ended.exc_value)

    threading.excepthook = note
    sys.stderr = LogStream()
