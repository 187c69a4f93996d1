"""Exact comparison of history: types must be equal, NaN is equal to NaN, and -0.0 differs from 0.0."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa

from tracker.ground import values

FIXED = ("_step", "_runtime", "_timestamp")


def exact(value: Any) -> str:
    """Return a text that is equal for values of equal type and value only."""
    return repr(_sorted(value))


def _sorted(value: Any) -> Any:
    if type(value) is dict:
        return {key: _sorted(value[key]) for key in sorted(value)}
    if type(value) is list:
        return [_sorted(item) for item in value]
    return value


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return history rows without ``_runtime`` and ``_timestamp``."""
    return [
        {key: value for key, value in row.items() if key not in ("_runtime", "_timestamp")} for row in rows
    ]


def check_rows(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Fail unless both lists have the same rows in the same order; the message has the first difference."""
    for at, (row, meant) in enumerate(zip(without_times(found), expected, strict=False)):
        assert exact(row) == exact(meant), f"row {at}"
    assert len(found) == len(expected)
    for row in found:
        assert type(row["_timestamp"]) is type(row["_runtime"]) is float


def check_table(table: pa.Table, expected: list[dict[str, Any]]) -> None:
    """Fail unless a table of ``history_arrow`` contains these rows as documented."""
    assert table.column("_step").to_pylist() == [row["_step"] for row in expected]
    assert set(table.schema.names) == {*FIXED, *(key for row in expected for key in row)}
    for key in set(table.schema.names) - set(FIXED):
        kind = table.schema.field(key).metadata[b"kind"].decode()
        logged = [row[key] for row in expected if key in row]
        assert kind == _kind(logged), key
        cells = table.column(key).to_pylist()
        for row, cell in zip(expected, cells, strict=True):
            meant = _cell(kind, row[key]) if key in row else None
            given = exact(values.loads(cell)) if kind == "json" and cell is not None else cell
            assert repr(given) == repr(meant), f"{key!r} at step {row['_step']}: a column of {kind}"


def _kind(logged: list[Any]) -> str:
    """Return the kind of a column with these values, for any division into parts."""
    types = {type(value) for value in logged} - {type(None)}
    if float in types:
        return "double"
    if int in types:
        fits = all(-(2**63) <= value < 2**63 for value in logged if type(value) is int)
        return "int64" if fits else "double"
    return {frozenset((bool,)): "bool", frozenset((str,)): "string"}.get(frozenset(types), "json")


def _cell(kind: str, value: Any) -> Any:
    """Return the cell for a logged value in a column of a kind."""
    if kind == "json":
        return exact(value)
    if kind == "double" and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    python = {"double": float, "int64": int, "bool": bool, "string": str}[kind]
    return value if type(value) is python else None


def without_empty(values: dict[str, Any]) -> dict[str, Any]:
    """Remove empty dicts, recursively, as wandb does."""
    inner = {
        key: without_empty(value) if isinstance(value, dict) and "_type" not in value else value
        for key, value in values.items()
    }
    return {key: value for key, value in inner.items() if value != {}}
