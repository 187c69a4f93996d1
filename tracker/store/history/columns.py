"""Conversion of history rows to Arrow columns, one or two per key, and back. This module does not use files.

A table has the columns ``_row``, ``_step``, ``_runtime`` (seconds), ``_timestamp`` (unix seconds), then the
keys.

The main column of a key is double, int64, bool, string, or JSON text (for dicts and lists). A value that this
column cannot hold exactly (an int among floats, None, a string among numbers) is stored as JSON in a second
column ``~exact:KEY``. Where the second column is not null, its value takes precedence.

A key that has only None as its value has a JSON column of nulls and an exact column. When tables are merged,
such a key takes the kind that the key has in the other tables.

A column name gets one more ``~`` in front when the key begins with ``~``, or has the name of a fixed column.
The schema metadata ``tracker`` maps each column of a key to the key and its kind, so readers do not parse
names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa

from tracker.ground import values
from tracker.runstate.fold import FinishedRow

FIXED = {"_row": pa.int64(), "_step": pa.int64(), "_runtime": pa.float64(), "_timestamp": pa.float64()}
EXACT = "~exact:"
METADATA = b"tracker"
ARROW = {
    "double": pa.float64(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "json": pa.string(),
    "exact": pa.string(),
}
NUMERIC = ("double", "int64")

# A key's values as columns: the kind, the main array, and the exact array if one is needed.
Encoded = tuple[str, pa.Array, pa.Array | None]


class Role(TypedDict):
    """The role of a column, as in the schema metadata: its key, and its kind (a name in ``ARROW``)."""

    key: str
    kind: str


# The roles of the columns of keys, by column name.
Roles = dict[str, Role]


def column_name(key: str) -> str:
    """Return the name of a key's main column."""
    return "~" + key if key.startswith("~") or key in FIXED else key


def rows_to_table(rows: list[FinishedRow]) -> pa.Table:
    """Return rows as a table, in the given order."""
    numbers, steps, times, runtimes, every = zip(*rows, strict=True) if rows else ((),) * 5
    fixed = [
        pa.array(cells, kind)
        for cells, kind in zip((numbers, steps, runtimes, times), FIXED.values(), strict=True)
    ]
    keys = {key: _encode(cells, at, len(rows)) for key, (cells, at) in _cells_by_key(every).items()}
    return make_table(fixed, keys)


def make_table(fixed: list[pa.Array], keys: dict[str, Encoded]) -> pa.Table:
    """Return a table of the four fixed columns and the columns of ``keys``."""
    schema = make_schema({key: (kind, exact is not None) for key, (kind, _, exact) in keys.items()})
    columns = list(fixed)
    for _, main, exact in keys.values():
        columns += [main] if exact is None else [main, exact]
    return pa.Table.from_arrays(columns, schema=schema)


def make_schema(keys: dict[str, tuple[str, bool]]) -> pa.Schema:
    """Return a schema for ``keys``: the kind of each key, and whether it has an exact column."""
    fields = [pa.field(name, kind) for name, kind in FIXED.items()]
    roles: Roles = {}
    for key, (kind, has_exact) in keys.items():
        fields.append(pa.field(column_name(key), ARROW[kind]))
        roles[column_name(key)] = {"key": key, "kind": kind}
        if has_exact:
            fields.append(pa.field(EXACT + key, pa.string()))
            roles[EXACT + key] = {"key": key, "kind": "exact"}
    described = values.dumps({"format": 1, "columns": roles}).encode()
    return pa.schema(fields, metadata={METADATA: described})


def roles_of(schema: pa.Schema) -> Roles:
    """Return the role of each column of a key."""
    described: dict[str, Roles] = values.loads((schema.metadata or {})[METADATA])
    return described["columns"]


def kinds_of(schema: pa.Schema) -> dict[str, tuple[str, bool]]:
    """Return the kind of each key, and whether it has an exact column: the argument of ``make_schema``."""
    roles = roles_of(schema)
    return {
        role["key"]: (role["kind"], EXACT + role["key"] in roles)
        for role in roles.values()
        if role["kind"] != "exact"
    }


def table_to_rows(batch: pa.Table | pa.RecordBatch, roles: Roles) -> Iterator[FinishedRow]:
    """Yield the rows of a table that has the fixed columns and those in ``roles``."""
    fixed = zip(*(batch.column(name).to_pylist() for name in FIXED), strict=True)
    for (row, step, runtime, time), data in zip(fixed, table_to_data(batch, roles), strict=True):
        yield FinishedRow(row, step, time, runtime, data)


def table_to_data(batch: pa.Table | pa.RecordBatch, roles: Roles) -> Iterator[dict[str, Any]]:
    """Yield the logged values of each row of a table that has the columns in ``roles``."""
    cells = {name: batch.column(name).to_pylist() for name in roles}
    columns = [
        (role["key"], cells[name], cells.get(EXACT + role["key"]), role["kind"] == "json")
        for name, role in roles.items()
        if role["kind"] != "exact"
    ]
    for at in range(batch.num_rows):
        data: dict[str, Any] = {}
        for key, main, exact, is_json in columns:
            if exact is not None and (text := exact[at]) is not None:
                data[key] = values.loads(text)
            elif (cell := main[at]) is not None:
                data[key] = values.loads(cell) if is_json else cell
        yield data


def conform(table: pa.Table | pa.RecordBatch, roles: Roles, schema: pa.Schema) -> pa.Table:
    """Return a table with the columns of another schema. A column that the table lacks has only nulls.

    Args:
        table: The table.
        roles: The roles of its columns.
        schema: A result of ``make_schema``, possibly without some fixed columns.
    """
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    columns: list[Any] = [table.column(name) for name in FIXED if name in schema.names]
    for key, (kind, has_exact) in kinds_of(schema).items():
        name = column_name(key)
        if name in roles:
            exact = table.column(EXACT + key) if EXACT + key in table.column_names else None
            main, over = convert(roles[name]["kind"], table.column(name), exact, (kind, has_exact))
        else:
            main, over = pa.nulls(len(table), ARROW[kind]), pa.nulls(len(table), pa.string())
        columns += [main, over] if has_exact else [main]
    return pa.Table.from_arrays(columns, schema=schema)


def common_kind(kinds: Iterable[tuple[str, bool]]) -> tuple[str, bool]:
    """Return one kind for a key's values of several tables, and whether an exact column is needed."""
    found = list(kinds)
    exact = any(has_exact for _, has_exact in found)
    # A JSON column with an exact column contains only None. Any other kind takes precedence over it.
    names = {kind for kind, has_exact in found if (kind, has_exact) != ("json", True)}
    if not names:
        return "json", True
    if names == {"json"}:
        return "json", False
    if len(names) == 1:
        return names.pop(), exact
    if names & set(NUMERIC):
        return "double" if "double" in names else "int64", True
    return "json", False


def common_kinds(schemas: Iterable[pa.Schema]) -> dict[str, tuple[str, bool]]:
    """Return one kind for each key of several tables: the argument of ``make_schema``."""
    found: dict[str, list[tuple[str, bool]]] = {}
    for schema in schemas:
        for key, kind in kinds_of(schema).items():
            found.setdefault(key, []).append(kind)
    return {key: common_kind(kinds) for key, kinds in found.items()}


def convert(
    kind: str, main: pa.ChunkedArray, exact: pa.ChunkedArray | None, target: tuple[str, bool]
) -> tuple[pa.ChunkedArray, pa.ChunkedArray | None]:
    """Return a key's main and exact column, converted to another kind.

    Args:
        kind: The kind of the columns.
        main: The main column.
        exact: The exact column, if there is one.
        target: The result of ``common_kind``: the new kind, and whether an exact column is needed.
    """
    wanted, has_exact = target
    if kind == wanted == "json" and exact is not None and not has_exact:
        return _as_json(kind, main, exact), None
    if kind == wanted:
        absent = pa.chunked_array([pa.nulls(len(main), pa.string())])
        return main, (exact if exact is not None else absent) if has_exact else None
    if kind == "int64" and wanted == "double":  # the exact column keeps each int an int
        if not has_exact:
            return main.cast(pa.float64(), safe=False), None
        text = main.cast(pa.string())
        if exact is not None:
            import pyarrow.compute as pc

            text = pc.coalesce(exact, text)
        return main.cast(pa.float64(), safe=False), text
    texts = _as_json(kind, main, exact)
    if wanted == "json":
        return texts, None
    return pa.chunked_array([pa.nulls(len(main), ARROW[wanted])]), texts


def _as_json(kind: str, main: pa.ChunkedArray, exact: pa.ChunkedArray | None) -> pa.ChunkedArray:
    cells = main.to_pylist()
    texts = cells if kind == "json" else [None if cell is None else values.dumps(cell) for cell in cells]
    if exact is not None:
        texts = [text if over is None else over for text, over in zip(texts, exact.to_pylist(), strict=True)]
    return pa.chunked_array([pa.array(texts, pa.string())])


def _cells_by_key(every: Sequence[dict[str, Any]]) -> dict[str, tuple[list[Any], list[int] | None]]:
    """Return each key's values, and the indices of the rows that have them (None: every row has one)."""
    first = every[0].keys() if every else {}
    if all(data.keys() == first for data in every):
        return {key: (list(map(itemgetter(key), every)), None) for key in first}
    found: dict[str, tuple[list[Any], list[int] | None]] = {}
    for at, data in enumerate(every):
        for key, value in data.items():
            column = found.get(key)
            if column is None:
                column = found[key] = ([], [])
            column[0].append(value)
            column[1].append(at)  # type: ignore[union-attr]
    return found


def _encode(cells: list[Any], at: list[int] | None, count: int) -> Encoded:
    kinds = set(map(type, cells))
    kind = _kind_for(kinds, cells)
    if kinds == {type(None)}:
        return kind, pa.nulls(count, ARROW[kind]), _spread(["null"] * len(cells), at, count, "exact")
    if kind == "json":
        return kind, _spread([values.dumps(cell) for cell in cells], at, count, kind), None
    python = {"double": float, "int64": int, "bool": bool, "string": str}[kind]
    if kinds == {python}:
        return kind, _spread(cells, at, count, kind), None
    main: list[Any]
    if kind == "double":
        main = [cell if type(cell) is float else _nearest(cell) for cell in cells]
    else:
        main = [cell if type(cell) is python else None for cell in cells]
    exact = [
        None if type(cell) is python else "null" if cell is None else values.dumps(cell) for cell in cells
    ]
    return kind, _spread(main, at, count, kind), _spread(exact, at, count, "exact")


def _kind_for(kinds: set[type], cells: list[Any]) -> str:
    if int in kinds and float not in kinds:
        whole = all(-(2**63) <= cell < 2**63 for cell in cells if type(cell) is int)
        return "int64" if whole else "double"
    if float in kinds:
        return "double"
    scalar = kinds - {type(None)}
    return "bool" if scalar == {bool} else "string" if scalar == {str} else "json"


def _nearest(value: Any) -> float | None:
    if type(value) is not int:
        return None
    try:
        return float(value)
    except OverflowError:  # beyond the range of a double; the exact column holds the value
        return float("inf") if value > 0 else float("-inf")


def encode_cells(cells: list[Any]) -> Encoded:
    """Return the values of a key that every row has as columns."""
    return _encode(cells, None, len(cells))


def _spread(cells: list[Any], at: list[int] | None, count: int, kind: str) -> pa.Array:
    """Return an array of ``count`` cells with ``cells`` at the indices ``at`` and nulls elsewhere."""
    array = pa.array(cells, ARROW[kind])
    if at is None or len(cells) == count:
        return array
    places = np.zeros(count, np.int64)
    places[at] = np.arange(1, len(at) + 1)
    absent = places == 0
    places[~absent] -= 1
    return array.take(pa.array(places, mask=absent))
