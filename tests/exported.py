"""Reading exported files back as rows, with other code than the code that writes them."""

from __future__ import annotations

import io
import json
import math
import re
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tracker.ground import values

FORMATS = ("json", "jsonl", "csv", "arrow", "parquet")
MARKS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20'"
_CELL = re.compile(r'("(?:[^"]|"")*"|[^",\r\n]*)(,|\r\n)')
_NAMES = {
    "NaN": math.nan,
    "Infinity": math.inf,
    "-Infinity": -math.inf,
    "null": None,
    "true": True,
    "false": False,
}


def read_export(format: str, content: bytes) -> list[dict[str, Any]]:
    """Return the rows of an exported file. CSV cells with dicts and lists are returned as their JSON text."""
    if format == "json":
        return list(values.loads(content)["rows"])
    if format == "jsonl":
        assert content == b"" or content.endswith(b"\n")
        return [values.loads(line) for line in content.splitlines()]
    if format == "csv":
        return _read_csv(content.decode())
    if format == "arrow":
        return _read_table(pa.ipc.open_stream(content).read_all())
    return _read_table(pq.read_table(io.BytesIO(content)))


def as_csv(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as ``read_export`` returns it for CSV."""
    return {key: values.dumps(each) if isinstance(each, (dict, list)) else each for key, each in row.items()}


def _read_table(table: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{} for _ in range(len(table))]
    exact = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        marks = field.metadata or {}
        kind = marks.get(b"kind")
        if kind == b"exact":
            exact[marks[b"key"].decode()] = column.to_pylist()
            continue
        for row, cell in zip(rows, column.to_pylist(), strict=True):
            if cell is not None:
                row[field.name] = values.loads(cell) if kind == b"json" else cell
    for key, cells in exact.items():
        for row, cell in zip(rows, cells, strict=True):
            if cell is not None:
                row[key] = values.loads(cell)
    return rows


def _read_csv(text: str) -> list[dict[str, Any]]:
    lines: list[list[str]] = [[]]
    at = 0
    while at < len(text):
        found = _CELL.match(text, at)
        assert found is not None, text[at : at + 50]
        lines[-1].append(found[1])
        at = found.end()
        if found[2] != ",":
            lines.append([])
    assert lines.pop() == []
    header, *rows = lines
    keys = [_cell(key) for key in header]
    return [{key: _cell(cell) for key, cell in zip(keys, row, strict=True) if cell != ""} for row in rows]


def _cell(cell: str) -> Any:
    if cell.startswith('"'):
        text = cell[1:-1].replace('""', '"')
        assert text == "" or text[0] not in MARKS or text[0] == "'"
        return text[1:] if text.startswith("'") else text
    return _NAMES[cell] if cell in _NAMES else json.loads(cell)
