"""Messages for the user, on stderr, so that they do not mix with the script's output."""

from __future__ import annotations

import sys
import threading
import time

# Seconds between two updates of a progress line on a terminal.
_REDRAW_SECONDS = 0.2
# Without a terminal, a transfer that takes longer than this number of seconds gets a line.
_LONG_SECONDS = 1.0


def say(message: str, *, silent: bool = False, prefix: bool = True) -> None:
    """Print a line to stderr. A closed or broken stderr is ignored: training must not stop.

    Args:
        message: The line.
        silent: Print nothing.
        prefix: Print ``tracker:`` before the message.
    """
    if silent:
        return
    try:
        print(f"tracker: {message}" if prefix else message, file=sys.stderr, flush=True)  # noqa: T201
    except (OSError, ValueError, AttributeError, RuntimeError):  # RuntimeError: a signal came inside a print
        pass


def printable(text: str) -> str:
    """Return a text on one line: spaces replace control characters, which a terminal would execute."""
    return "".join(each if each.isprintable() else " " for each in text)


class Progress:
    """Progress of a transfer: a line that is updated on a terminal; elsewhere a line after a long transfer.

    Args:
        what: Description of the transfer, such as ``"downloading model:v1"``.
        total: Number of bytes.
        silent: Print nothing.
    """

    def __init__(self, what: str, total: int, *, silent: bool = False) -> None:
        self._what = what
        self._total = total
        self._silent = silent
        self._done = 0
        self._skipped = 0
        self._begun = self._drawn = time.monotonic()
        self._width = 0
        self._lock = threading.Lock()
        self._terminal = not silent and is_terminal()

    def skip(self, count: int) -> None:
        """Count bytes that needed no transfer because they already exist."""
        with self._lock:
            self._skipped += count

    def add(self, count: int) -> None:
        """Count transferred bytes. Any thread may call this."""
        with self._lock:
            self._done += count
            now = time.monotonic()
            if self._terminal and now - self._drawn >= _REDRAW_SECONDS:
                self._drawn = now
                self._draw(self.line(now - self._begun))

    def close(self, *, whole: bool) -> None:
        """Print the final state; ``whole`` is whether all bytes were transferred."""
        seconds = time.monotonic() - self._begun
        if self._width:
            self._draw(self.line(seconds) + "\n")
        elif whole and seconds > _LONG_SECONDS and not self._terminal:
            say(self.line(seconds), silent=self._silent)

    def line(self, seconds: float) -> str:
        """Return the state as text: bytes, percent, and the rate over the given seconds."""
        there = self._done + self._skipped
        percent = 100 * there // self._total if self._total else 100
        rate = _bytes(self._done / max(seconds, 1e-6))
        return f"{self._what}: {_bytes(there)} of {_bytes(self._total)} ({percent}%), {rate}/s"

    def _draw(self, line: str) -> None:
        try:
            sys.stderr.write("\rtracker: " + line.ljust(self._width))
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError, RuntimeError):
            self._terminal = False
        self._width = max(self._width, len(line))


def is_terminal() -> bool:
    """Return whether stderr is a terminal."""
    try:
        return sys.stderr.isatty()
    except (OSError, ValueError, AttributeError):
        return False


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.2f} GiB"
