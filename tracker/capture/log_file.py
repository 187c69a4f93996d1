"""Writes the log: whole records at the end of a file that several processes share. Rotates the file."""

from __future__ import annotations

import fcntl
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tracker.capture.secrets import hide, secret_values
from tracker.ground.group_files import create, make_folder

# A larger file is renamed to FILE.1, which replaces the earlier one.
LARGEST_BYTES = 1_000_000
_FORMAT = "%(asctime)s %(levelname)s [%(process)d %(threadName)s] %(message)s"
_TIME = "%Y-%m-%dT%H:%M:%S%z"


def make_logger(current_file: Callable[[], Path | None]) -> logging.Logger:
    """Return a logger that is independent of other loggers and of the script's logging configuration."""
    logger = logging.Logger("tracker")
    logger.manager = logging.Manager(logging.RootLogger(logging.NOTSET))  # ignores `logging.disable`
    logger.addHandler(LogHandler(current_file))
    return logger


class LogHandler(logging.Handler):
    """Writes records to the log of this process, and to stderr with ``tracker --verbose``.

    Args:
        current_file: Returns the log; see ``tracker.capture.logs.current_file``.
        level: The lowest level.
    """

    def __init__(self, current_file: Callable[[], Path | None], level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._current_file = current_file
        self.setFormatter(logging.Formatter(_FORMAT, _TIME))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record. A record that cannot be written is dropped."""
        try:
            text = hide(self.format(record), secret_values(os.environ)) + "\n"
            if getattr(record, "to_stderr", False):
                sys.stderr.write(text)
            path = self._current_file()
            if path is not None and getattr(record, "to_file", True):
                append(path, text.encode("utf-8", "backslashreplace"))
        except Exception:  # noqa: S110 - logging must not stop the logged code
            pass


def append(path: Path, data: bytes) -> None:
    """Append data to a store's log with one call, and start a new file if the log is too large.

    Writers take no lock: the kernel appends each write as a whole, also if another process renames the file.
    """
    if not (path.parent.parent / "store.json").is_file() or path.parent.is_symlink():
        return  # there is no store, or a link would lead the log elsewhere
    with suppress(FileExistsError):
        make_folder(path.parent)
    descriptor = _open(path)
    try:
        if os.fstat(descriptor).st_size >= LARGEST_BYTES:
            _rotate(path, descriptor)
            os.close(descriptor)
            descriptor = _open(path)
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    # Another member of a group may have created a link or a pipe there.
    return create(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK)


def _rotate(path: Path, descriptor: int) -> None:
    """Rename a full log, unless another process is renaming it or has renamed it."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.stat(path), os.fstat(descriptor)):
            os.rename(path, path.with_name(f"{path.name}.1"))
