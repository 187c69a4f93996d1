"""Labels of the axes of charts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tracker.cli.output import as_age

TIME = "_timestamp"
RUNTIME = "_runtime"


def value_labels(values: Sequence[float]) -> list[str]:
    """Return short texts of numbers. Different numbers have different texts."""
    for digits in range(3, 18):
        found = [f"{value:.{digits}g}" for value in values]
        if len(set(found)) == len(set(values)):
            break
    return [_plain(text) for text in found]


def position_label(value: float, x: str) -> str:
    """Return the text of a position on the x axis.

    Args:
        value: The position.
        x: The x axis: ``_step``, ``_runtime`` (seconds), ``_timestamp`` (unix seconds) or a key.
    """
    if x == RUNTIME:
        return as_age(value)
    if x == TIME:
        return datetime.fromtimestamp(value).strftime("%d %H:%M:%S")
    return str(int(value)) if value == int(value) else _plain(f"{value:.6g}")


def _plain(text: str) -> str:
    """Return a number without the zeros of its exponent: ``1e+05`` is ``1e5``."""
    number, exponent, power = text.partition("e")
    return f"{number}e{int(power)}" if exponent else number
