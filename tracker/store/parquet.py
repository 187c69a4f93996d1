"""Cold history: rows of one segment as a Parquet file with one column per key.

Columns ``_row``, ``_step``, ``_runtime`` (seconds), ``_timestamp`` (unix seconds), then the keys.
A key's column has the type that fits most of its values: double, int64, bool, string, or JSON text
(dicts, lists). Values that the column's type cannot hold exactly (an int among floats, None, a
string among numbers) stand as JSON in a second column ``~exact:KEY``, which overrides the first
where it is not null. Key names that begin with ``~`` get one more ``~``. The schema metadata
``tracker`` maps every column to its key and role, so that nothing has to be guessed from names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tracker import values
from tracker.store.fold import FinishedRow

FIXED = ("_row", "_step", "_runtime", "_timestamp")
EXACT = "~exact:"
METADATA = b"tracker"


def write_rows(path: Path, rows: list[FinishedRow]) -> int:
    """Write rows to a new Parquet file at ``path``; return its size in bytes."""
    columns: list[pa.Array] = [
        pa.array([row.row for row in rows], pa.int64()),
        pa.array([row.step for row in rows], pa.int64()),
        pa.array([row.runtime for row in rows], pa.float64()),
        pa.array([row.time for row in rows], pa.float64()),
    ]
    names = list(FIXED)
    roles: dict[str, dict[str, str]] = {}
    keys = dict.fromkeys(key for row in rows for key in row.data)
    for key in keys:
        cells = [row.data.get(key, _ABSENT) for row in rows]
        kind, main, exact = _encode_column(cells)
        column = "~" + key if key.startswith("~") or key in FIXED else key
        names.append(column)
        columns.append(main)
        roles[column] = {"key": key, "kind": kind}
        if exact is not None:
            names.append(EXACT + key)
            columns.append(exact)
            roles[EXACT + key] = {"key": key, "kind": "exact"}
    schema = pa.schema(
        [pa.field(name, column.type) for name, column in zip(names, columns, strict=True)],
        metadata={METADATA: values.dumps({"format": 1, "columns": roles}).encode()},
    )
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), path, compression="zstd")
    return path.stat().st_size


def read_rows(path: Path, keys: Iterable[str] | None = None) -> Iterator[FinishedRow]:
    """Yield the rows of a part in the order in which they were logged.

    Args:
        path: A file that ``write_rows`` made.
        keys: Only these keys; a row that has none of them is left out.
    """
    file = pq.ParquetFile(path)
    roles = column_roles(file)
    wanted = None if keys is None else set(keys)
    chosen = [name for name, role in roles.items() if wanted is None or role["key"] in wanted]
    mains = [
        (name, roles[name]["key"], roles[name]["kind"]) for name in chosen if roles[name]["kind"] != "exact"
    ]
    for batch in file.iter_batches(columns=[*FIXED, *chosen]):
        cells = {name: batch.column(name).to_pylist() for name in (*FIXED, *chosen)}
        for at in range(batch.num_rows):
            data: dict[str, Any] = {}
            for name, key, kind in mains:
                exact = cells[EXACT + key][at] if EXACT + key in cells else None
                if exact is not None:
                    data[key] = values.loads(exact)
                elif (cell := cells[name][at]) is not None:
                    data[key] = values.loads(cell) if kind == "json" else cell
            if data or wanted is None:
                row, step, runtime, time = (cells[name][at] for name in FIXED)
                yield FinishedRow(row, step, time, runtime, data)


def read_numbers(path: Path, x: str, keys: list[str]) -> tuple[Any, list[int], dict[str, Any]]:
    """Read numeric columns of a part without making a Python object per value.

    Args:
        path: A file that ``write_rows`` made.
        x: ``_step``, ``_runtime``, ``_timestamp`` or a numeric key.
        keys: The keys to read; those that the part lacks, or that are not numbers, are left out.

    Returns:
        The x column (float64 chunked array, or None when the part lacks it), the ``_step`` column
        as Python ints' array, and for each key a float64 chunked array, null where not logged.
    """
    file = pq.ParquetFile(path)
    roles = column_roles(file)
    columns = {role["key"]: name for name, role in roles.items() if role["kind"] in ("double", "int64")}
    columns.update({name: name for name in FIXED})
    chosen = [key for key in keys if key in columns]
    names = list(dict.fromkeys([*(columns[key] for key in [x, *chosen] if key in columns), "_step"]))
    table = file.read(columns=names)
    as_double = {name: table.column(name).cast(pa.float64(), safe=False) for name in names}
    x_column = as_double[columns[x]] if x in columns else None
    return x_column, table.column("_step"), {key: as_double[columns[key]] for key in chosen}


def column_roles(file: pq.ParquetFile) -> dict[str, dict[str, str]]:
    """Return what each column stands for: ``{column: {"key": ..., "kind": ...}}``."""
    metadata = file.schema_arrow.metadata or {}
    described: dict[str, dict[str, dict[str, str]]] = values.loads(metadata[METADATA])
    return described["columns"]


_ABSENT = object()


def _encode_column(cells: list[Any]) -> tuple[str, pa.Array, pa.Array | None]:
    """Return the column's kind, its main array and, where needed, the exact one."""
    kinds = {type(cell) for cell in cells if cell is not _ABSENT and cell is not None}
    if float in kinds or int in kinds:
        whole = float not in kinds and all(-(2**63) <= cell < 2**63 for cell in cells if type(cell) is int)
        return _numbers(cells, whole)
    if kinds == {bool}:
        return _typed(cells, "bool", pa.bool_(), bool)
    if kinds == {str}:
        return _typed(cells, "string", pa.string(), str)
    text = [None if cell is _ABSENT else values.dumps(cell) for cell in cells]
    return "json", pa.array(text, pa.string()), None


def _numbers(cells: list[Any], whole: bool) -> tuple[str, pa.Array, pa.Array | None]:
    if whole:
        return _typed(cells, "int64", pa.int64(), int)
    main: list[float | None] = []
    exact: list[str | None] = []
    for cell in cells:
        kind = type(cell)
        main.append(cell if kind is float else _nearest(cell) if kind is int else None)
        exact.append(None if kind is float or cell is _ABSENT else values.dumps(cell))
    return "double", pa.array(main, pa.float64()), _exact(exact)


def _typed(
    cells: list[Any], name: str, arrow: pa.DataType, kind: type
) -> tuple[str, pa.Array, pa.Array | None]:
    main = [cell if type(cell) is kind else None for cell in cells]
    exact = [None if type(cell) is kind or cell is _ABSENT else values.dumps(cell) for cell in cells]
    return name, pa.array(main, arrow), _exact(exact)


def _exact(cells: list[str | None]) -> pa.Array | None:
    return pa.array(cells, pa.string()) if any(cell is not None for cell in cells) else None


def _nearest(value: int) -> float:
    try:
        return float(value)
    except OverflowError:  # beyond what a double reaches; the exact column has it
        return float("inf") if value > 0 else float("-inf")
