"""Conversion of history rows to a pandas DataFrame that keeps every integer exact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame


def frame_of(rows: list[dict[str, Any]]) -> DataFrame:
    """Return rows as a DataFrame.

    pandas converts ints to doubles in a column with missing values or floats. This function uses another
    column type where a double cannot hold the ints, or where the column has only ints and missing values.
    """
    from pandas import DataFrame, Series

    frame = DataFrame(rows)
    for key, kind in frame.dtypes.items():
        if kind == "float64":
            cells = [row.get(key) for row in rows]
            exact = _exact_kind(cells)
            if exact is not None:
                frame[key] = Series(cells, dtype=exact)
    return frame


def _exact_kind(cells: list[Any]) -> str | None:
    """Return the column type that holds the cells exactly, or None if a column of doubles does."""
    ints = [cell for cell in cells if type(cell) is int]
    if not ints:
        return None
    if any(type(cell) is float for cell in cells):
        return None if all(map(_is_double, ints)) else "object"
    return "Int64" if all(-(2**63) <= cell < 2**63 for cell in ints) else "object"


def _is_double(value: int) -> bool:
    try:
        return float(value) == value
    except OverflowError:
        return False
