"""Conversion of table cells to plain values, in one form for files of runs and another for artifacts.

The forms are those of wandb (corpus: ``tables.numpy_cells``, ``tables.in_an_artifact``).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tracker.data_types.base import WBValue
from tracker.data_types.media import FileSink, Media
from tracker.ground import values


def rows_for_run(rows: list[list[Any]], sink: FileSink, key: str, step: int | str) -> list[list[Any]]:
    """Return rows with their cells as ``for_run`` returns them. Most rows need no conversion.

    Args:
        rows: The rows.
        sink: The files of the run.
        key: History key of the table.
        step: Step of the history row.
    """
    return [
        row if values.PLAIN.issuperset(map(type, row)) else [for_run(cell, sink, key, step) for cell in row]
        for row in rows
    ]


def rows_for_artifact(rows: list[list[Any]], artifact: Any, apart: set[int]) -> list[list[Any]]:
    """Return rows with their cells as ``for_artifact`` returns them.

    Args:
        rows: The rows.
        artifact: The artifact.
        apart: Indexes of columns that are stored in separate files; their cells become None.
    """
    return [
        row
        if not apart and values.PLAIN.issuperset(map(type, row))
        else [None if at in apart else for_artifact(cell, artifact) for at, cell in enumerate(row)]
        for row in rows
    ]


def for_run(cell: Any, sink: FileSink, key: str, step: int | str) -> Any:
    """Return a cell for the table's file in a run: media are stored and described, dates become ISO text.

    Args:
        cell: The value.
        sink: The files of the run.
        key: History key of the table.
        step: Step of the history row.
    """

    def convert(value: Any) -> Any:
        if isinstance(value, Media):
            return value.to_history(sink, key, step)
        if isinstance(value, WBValue):
            return value.to_json(sink.owner)
        return _function_name(value)

    return _plain(cell, convert)


def for_artifact(cell: Any, artifact: Any) -> Any:
    """Return a cell for a table in an artifact. Dates become milliseconds since 1970."""

    def convert(value: Any) -> Any:
        return value.to_json(artifact) if isinstance(value, WBValue) else _function_name(value)

    return _plain(cell, convert, in_artifact=True)


def _plain(cell: Any, convert: Callable[[Any], Any], in_artifact: bool = False) -> Any:
    kind = type(cell)
    if kind in values.PLAIN:
        return cell
    if isinstance(cell, WBValue):
        return convert(cell)
    if isinstance(cell, dict):
        return {str(key): _plain(item, convert, in_artifact) for key, item in cell.items()}
    if isinstance(cell, (list, tuple, set, frozenset)):
        items = sorted(cell, key=repr) if isinstance(cell, (set, frozenset)) else cell
        return [_plain(item, convert, in_artifact) for item in items]
    if isinstance(cell, datetime.date):
        return _milliseconds(cell) if in_artifact else cell.isoformat()
    if hasattr(cell, "detach"):
        cell = cell.detach().cpu()
    if hasattr(cell, "tolist"):  # arrays and scalars of numpy and torch, of any size
        value = cell.tolist()
        if kind.__name__ == "datetime64" and isinstance(value, int):
            return value / 1e6 if in_artifact else str(cell)  # nanoseconds
        return _plain(value, convert, in_artifact)
    if isinstance(cell, Decimal):
        return float(cell)
    if hasattr(cell, "item") and callable(cell.item):
        return _plain(cell.item(), convert, in_artifact)
    return values.to_plain(cell, convert)


def _milliseconds(date: datetime.date) -> int:
    if not isinstance(date, datetime.datetime):
        date = datetime.datetime(date.year, date.month, date.day)
    return int(date.replace(tzinfo=date.tzinfo or datetime.timezone.utc).timestamp() * 1000)


def _function_name(value: Any) -> Any:
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    raise TypeError(f"A table cannot contain an object of type {type(value).__name__}")
