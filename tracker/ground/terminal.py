"""Lines for a person, on stderr, so that a script's own output stays clean."""

from __future__ import annotations

import sys
import threading
import time

# Seconds between two states of a progress line, and how long a transfer takes that is worth a line elsewhere.
_REDRAWN = 0.2
_LONG = 1.0


def say(message: str, *, silent: bool = False, prefix: bool = True) -> None:
    """Print one line; a closed or broken stderr is no reason to stop training."""
    if silent:
        return
    try:
        print(f"tracker: {message}" if prefix else message, file=sys.stderr, flush=True)  # noqa: T201
    except (OSError, ValueError, AttributeError, RuntimeError):  # the last: a signal came inside a print
        pass


def printable(text: str) -> str:
    """Return one line without what a terminal would obey."""
    return "".join(each if each.isprintable() else " " for each in text)


class Progress:
    """How far a transfer is: on a terminal a line that is drawn over, elsewhere one line after a long one.

    Args:
        what: What is done, such as ``"downloading model:v1"``.
        total: Bytes there are.
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
        self._terminal = not silent and _is_terminal()

    def skip(self, count: int) -> None:
        """Count bytes that were there already."""
        with self._lock:
            self._skipped += count

    def add(self, count: int) -> None:
        """Count bytes; from any thread."""
        with self._lock:
            self._done += count
            now = time.monotonic()
            if self._terminal and now - self._drawn >= _REDRAWN:
                self._drawn = now
                self._draw(self.line(now - self._begun))

    def close(self, *, whole: bool) -> None:
        """Say the last word; ``whole`` is whether all bytes came."""
        seconds = time.monotonic() - self._begun
        if self._width:
            self._draw(self.line(seconds) + "\n")
        elif whole and seconds > _LONG and not self._terminal:
            say(self.line(seconds), silent=self._silent)

    def line(self, seconds: float) -> str:
        """Return the state after so many seconds: bytes, percent, rate."""
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


def _is_terminal() -> bool:
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
