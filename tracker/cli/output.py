"""Output helpers for commands: aligned tables, values, sizes, times, time spans."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tracker.ground.values import dumps

# Whole words, with the sign after the last one.
_WORDS = re.compile(r".*[-_ /.:=,]")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)")
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}


# Control characters, and escape sequences other than those of colours: they could move the cursor.
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
_CONTROL = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)|[\x00-\x08\x0a-\x1f\x7f-\x9f]"
)


def as_table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Return rows as aligned columns. The columns with an index in ``right`` are right-aligned."""
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for at, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - width_of(cell))
            cells.append(space + cell if at in right else cell + space)
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def width_of(text: str) -> int:
    """Return the number of terminal columns that a text takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(unicodedata.combining(each) != 0 for each in text)


def shortened(text: str, width: int) -> str:
    """Return a text in at most ``width`` terminal columns, with ``…`` in place of the removed end."""
    if width_of(text) <= width:
        return text
    while text and width_of(text) > width - 1:
        text = text[:-1]
    return f"{text}…"


def without_common_start(texts: Sequence[str]) -> list[str]:
    """Return texts with ``…`` in place of the words at the beginning that all of them have.

    The ends tell long names of a sweep apart, such as ``study-trial-7`` and ``study-trial-8``.
    """
    first, last = min(texts, default=""), max(texts, default="")
    same = next((at for at, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), 0)
    words = _WORDS.match(first[:same])
    if words is None or len(words[0]) < 4:
        return list(texts)
    return [f"…{text[words.end() :]}" for text in texts]


def terminal_width() -> int | None:
    """Return the number of columns of the terminal, or None if the output is not a terminal."""
    if not (sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()):
        return None
    return shutil.get_terminal_size().columns


def one_line(text: str) -> str:
    """Return a text without control characters, for a cell of a table."""
    return _CONTROL.sub("", _COLOUR.sub("", text)).replace("\t", " ")


def for_terminal(text: str) -> str:
    """Return a line of a run's output without control characters, but with its colours and tabs."""
    return "".join(
        part if _COLOUR.fullmatch(part) else _CONTROL.sub("", part) for part in _COLOUR.split(text)
    )


def as_value(value: Any) -> str:
    """Return a value of a config or a summary for people: floats with 4 digits, media as their type."""
    if value is None:
        return ""
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict) and isinstance(value.get("_type"), str):
        return f"<{one_line(value['_type'])}>"
    return one_line(dumps(value))


def as_json(value: Any) -> str:
    """Return a plain value as indented JSON, with the numbers that JSON does not have as in the REST API."""
    return dumps(value, indent=2)


def as_size(count: int) -> str:
    """Return a number of bytes as text: ``999 B``, ``1.5 kB``, ``2.0 GB``."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.95:
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def as_time(seconds: float) -> str:
    """Return a Unix time as text in the local time zone."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def as_age(seconds: float) -> str:
    """Return a time span in its largest unit: ``45s``, ``12m``, ``3h``, ``5d``."""
    for unit, least in (("d", 2 * 86_400), ("h", 2 * 3600), ("m", 120)):
        if seconds >= least:
            return f"{seconds / _UNITS[unit]:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def as_span(seconds: float) -> str:
    """Return a time span as ``parse_span`` accepts it, in the largest unit without a remainder."""
    for unit in ("w", "d", "h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:.0f}{unit}"
    return f"{seconds:g}s" if seconds else "0"


def parse_span(text: str) -> float:
    """Return the seconds of ``30m``, ``2h``, ``1d`` or ``0``. argparse calls this function."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"Invalid time span {text!r}. Use a number with s, m, h, d or w, such as 2h."
        )
    return float(found[1]) * _UNITS[found[2]]
