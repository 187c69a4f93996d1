"""The log of tracker itself: one file for each host, user and role in the ``logs`` folder of a store.

Nothing is imported or opened before there is something to log: ``tracker.capture.log_file`` does the writing.
``TRACKER_LOG`` is the lowest level that is logged: debug, info, warning (the default), error or off.
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
# The same message is logged again after this long.
REPEATED_SECONDS = 600.0
_MOST_REMEMBERED = 1000

_role = "sdk"
_folder: Path | None = None
_verbose = False
_logger: logging.Logger | None = None
_logged: dict[tuple[object, ...], float] = {}


def begin(role: str) -> None:
    """Set what this process is, such as ``"recorder"``."""
    global _role
    _role = role


def be_verbose() -> None:
    """Write all messages to stderr too, whatever ``TRACKER_LOG`` says."""
    global _verbose
    _verbose = True


def use(folder: Path) -> None:
    """Log to this folder of a store from now on."""
    global _folder
    _folder = folder


def file_of(folder: Path, role: str) -> Path:
    """Return the log of a role on this host."""
    host = re.sub(r"[^\w.-]", "_", os.uname().nodename)
    return folder / f"{host}-{os.getuid()}-{role}.log"


def current_file() -> Path | None:
    """Return the file that this process logs to; None while it has no store."""
    return None if _folder is None else file_of(_folder, _role)


def lowest() -> int:
    """Return the lowest level that is logged."""
    return _LEVELS.get(os.environ.get("TRACKER_LOG", "").lower(), WARNING)


def log(level: int, message: str, error: BaseException | None = None) -> None:
    """Log a message, with the traceback of an error. Never raises: nobody could be told."""
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
    """A context that logs an exception with its traceback and goes on behind the block.

    Args:
        doing: What the block does, such as ``"sample the GPU"``.
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
    """What stands for stderr in a process that has none: what is printed there is logged, line by line."""

    def write(self, text: str) -> int:
        """Log a text."""
        if text.strip():
            log(WARNING, text.rstrip())
        return len(text)

    def flush(self) -> None:
        """Do nothing: each text is logged when it comes."""


def log_all_errors() -> None:
    """Let what this process prints to stderr, and what ends its threads, go to the log."""
    import threading

    def note(ended: threading.ExceptHookArgs) -> None:
        name = ended.thread.name if ended.thread is not None else "a thread"
        log(ERROR, f"{name} ended by an exception", ended.exc_value)

    threading.excepthook = note
    sys.stderr = LogStream()
