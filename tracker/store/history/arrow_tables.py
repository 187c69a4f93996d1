"""A run's history as an Arrow table, built from whole columns without a Python object per value.

This module does not use the catalog.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from tracker.store.history.columns import (
    ARROW,
    EXACT,
    FIXED,
    column_name,
    common_kind,
    convert,
    kinds_of,
    roles_of,
    rows_to_table,
)
from tracker.store.history.parquet import opened, read_columns
from tracker.store.history.part_file import FIXED_KEYS
from tracker.store.history.sources import HistorySource, hold

# A schema with the roles of its columns, the table, and a mask of the rows that have a requested key.
# The mask is None when every row has one.
Source = tuple[pa.Schema, pa.Table, np.ndarray | None]


def source_table(pieces: list[HistorySource], keys: Sequence[str] | None = None) -> pa.Table:
    """Return history sorted by step: columns ``_step``, ``_runtime``, ``_timestamp``, then one per key.

    A key's column is double, int64, bool, string, or JSON text (for dicts and lists). The metadata
    ``kind`` of its field names the kind. Integers among floats, and integers beyond 64 bits, become the
    nearest double. A value that does not fit a column of numbers (None, a string) is null. ``rows_of``
    returns every value exactly.

    Args:
        pieces: The visible pieces of the history, oldest attempt first.
        keys: Return only these keys, and only rows that have at least one of them. A key that was never
            logged has no column. None: all keys and all rows.
    """
    wanted = None if keys is None else [key for key in dict.fromkeys(keys) if key not in FIXED_KEYS]
    sources: list[tuple[HistorySource, Source]] = []
    with hold(pieces) as held:
        for piece in held:
            sources += [(piece, source) for source in _sources(piece, wanted)]
    kinds: dict[str, list[tuple[str, bool]]] = {}
    for _, (schema, _, _) in sources:
        for key, kind in kinds_of(schema).items():
            if key in wanted if wanted is not None else key not in FIXED_KEYS:  # same rule as ``rows_of``
                kinds.setdefault(key, []).append(kind)
    targets = {key: common_kind(found)[0] for key, found in kinds.items()}
    names = list(targets) if wanted is None else [key for key in wanted if key in targets]
    shown = [_shown(piece, _conform(source, names, targets), source[2]) for piece, source in sources]
    return _by_step(shown) if shown else _nothing()


def _sources(piece: HistorySource, wanted: list[str] | None) -> Iterable[Source]:
    for part in piece.parts:
        with opened(part) as file:
            schema = file.schema_arrow
            roles = roles_of(schema)
            kinds = kinds_of(schema)
            # Exact columns of numbers are not read: only a column that becomes JSON needs its exact values.
            chosen = [
                name for name, role in roles.items()
                if (wanted is None or role["key"] in wanted)
                and (role["kind"] != "exact" or kinds[role["key"]][0] not in ("double", "int64"))
            ]  # fmt: skip
            found = read_columns(file, [*FIXED_KEYS, *chosen])
            logged = None
            if wanted:
                # Where a main column is null, the exact column may still contain a logged value.
                # So read the exact columns too, unless some main column has a value in every row.
                cells = found.columns[len(FIXED_KEYS) :]
                if not any(column.null_count == 0 for column in cells):
                    rest = [
                        name for name, role in roles.items() if role["key"] in wanted and name not in chosen
                    ]
                    logged = _any_valid(len(found), [*cells, *read_columns(file, rest).columns])
            yield schema, found, logged
    hot = piece.hot()
    if hot:
        if wanted is not None:
            hot = [
                row._replace(data={key: row.data[key] for key in wanted if key in row.data}) for row in hot
            ]
        found = rows_to_table(hot)
        yield found.schema, found, np.array([bool(row.data) for row in hot]) if wanted else None


def _any_valid(rows: int, columns: list[pa.ChunkedArray]) -> np.ndarray:
    logged = np.zeros(rows, bool)
    for column in columns:
        logged |= column.is_valid().to_numpy()
    return logged


def _conform(source: Source, names: list[str], targets: dict[str, str]) -> pa.Table:
    schema, found, _ = source
    kinds = kinds_of(schema)
    columns = [found.column(name) for name in FIXED_KEYS]
    fields = [pa.field(name, FIXED[name]) for name in FIXED_KEYS]
    for key in names:
        target = targets[key]
        if key in kinds:
            name = column_name(key)
            exact = found.column(EXACT + key) if EXACT + key in found.column_names else None
            column, _ = convert(kinds[key][0], found.column(name), exact, (target, False))
        else:
            column = pa.chunked_array([pa.nulls(len(found), ARROW[target])])
        columns.append(column)
        fields.append(pa.field(key, ARROW[target], metadata={"kind": target}))
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _shown(piece: HistorySource, found: pa.Table, logged: np.ndarray | None) -> pa.Table:
    mask = np.ones(len(found), bool)
    if piece.before is not None:
        mask &= found.column("_step").to_numpy() < piece.before
    if logged is not None:
        mask &= logged
    return found if mask.all() else found.filter(pa.array(mask))


def _by_step(pieces: list[pa.Table]) -> pa.Table:
    whole = pa.concat_tables(pieces)
    steps = whole.column("_step").to_numpy()
    if len(steps) and (np.diff(steps) < 0).any():
        whole = whole.take(pa.array(np.argsort(steps, kind="stable")))
    return whole


def _nothing() -> pa.Table:
    return pa.schema([pa.field(name, FIXED[name]) for name in FIXED_KEYS]).empty_table()
