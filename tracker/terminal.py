"""Lines for a person, on stderr, so that a script's own output stays clean."""

from __future__ import annotations

import sys


def say(message: str, *, silent: bool = False) -> None:
    """Print one line; a closed or broken stderr is no reason to stop training."""
    if silent:
        return
    try:
        print(f"tracker: {message}", file=sys.stderr, flush=True)  # noqa: T201
    except (OSError, ValueError, AttributeError, RuntimeError):  # the last: a signal came inside a print
        pass
