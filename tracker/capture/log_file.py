"""Writing the log: whole records at the end of a file that several processes share, and its rotation."""

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

# A larger file gets the name FILE.1, in place of the one that had it.
LARGEST_BYTES = 1_000_000
_FORMAT = "%(asctime)s %(levelname)s [%(process)d %(threadName)s] %(message)s"
_TIME = "%Y-%m-%dT%H:%M:%S%z"


def make_logger(current_file: Callable[[], Path | None]) -> logging.Logger:
    """Return a logger that no other logger, and no configuration of a script, has to do with."""
    logger = logging.Logger("tracker")
    logger.manager = logging.Manager(logging.RootLogger(logging.NOTSET))  # `logging.disable` is the script's
    logger.addHandler(LogHandler(current_file))
    return logger


class LogHandler(logging.Handler):
    """Writes records to the log of this process, and to stderr where ``tracker --verbose`` asks for it.

    Args:
        current_file: Returns the log; see ``tracker.capture.logs.current_file``.
        level: The lowest level.
    """

    def __init__(self, current_file: Callable[[], Path | None], level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._current_file = current_file
        self.setFormatter(logging.Formatter(_FORMAT, _TIME))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; what cannot be written is dropped."""
        try:
            text = hide(self.format(record), secret_values(os.environ)) + "\n"
            if getattr(record, "to_stderr", False):
                sys.stderr.write(text)
            path = self._current_file()
            if path is not None and getattr(record, "to_file", True):
                append(path, text.encode("utf-8", "backslashreplace"))
        except Exception:  # noqa: S110 - an exception here must not end what was to be logged
            pass


def append(path: Path, data: bytes) -> None:
    """Write data behind the end of a store's log, with one call, and begin a new file when it is too large.

    Writers take no lock: the kernel puts each write behind the one before, also in a file that another
    process renames meanwhile.
    """
    if not (path.parent.parent / "store.json").is_file() or path.parent.is_symlink():
        return  # there is no store, or its log would be elsewhere
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
    # Another member of a group may have put a link or a pipe there.
    return create(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK)


def _rotate(path: Path, descriptor: int) -> None:
    """Rename a full log, unless another process does it at this moment or has done it."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.stat(path), os.fstat(descriptor)):
            os.rename(path, path.with_name(f"{path.name}.1"))
