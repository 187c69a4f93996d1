"""``termlog``, ``termwarn`` and ``termerror``: print lines on stderr."""

from __future__ import annotations

from tracker.ground.settings import load_settings
from tracker.ground.terminal import say

_printed: set[str] = set()


def termlog(string: str = "", newline: bool = True, repeat: bool = True, prefix: bool = True) -> None:
    """Print a line on stderr. See ``termwarn``."""
    _print(string, repeat, prefix)


def termwarn(string: str, newline: bool = True, repeat: bool = True, prefix: bool = True) -> None:
    """Print a warning on stderr, unless ``WANDB_SILENT`` is set.

    Args:
        string: The text.
        newline: Accepted for compatibility and ignored: each text ends with a newline.
        repeat: False prints the same text only once in this process.
        prefix: False prints the text without the prefix ``tracker:`` and the level.
    """
    _print(string, repeat, prefix, "WARNING ")


def termerror(string: str, newline: bool = True, repeat: bool = True, prefix: bool = True) -> None:
    """Print an error on stderr, and raise nothing. See ``termwarn``."""
    _print(string, repeat, prefix, "ERROR ")


def _print(text: str, repeat: bool, prefix: bool, level: str = "") -> None:
    if not repeat:
        if text in _printed:
            return
        _printed.add(text)
    for line in str(text).splitlines() or [""]:
        say(level + line if prefix else line, silent=load_settings().silent, prefix=prefix)
