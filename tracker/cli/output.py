"""Output helpers for commands: aligned tables, sizes, times, time spans."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from datetime import datetime

_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)")
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}


def as_table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Return rows as aligned columns. The columns with an index in ``right`` are right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


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
