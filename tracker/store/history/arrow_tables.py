"""A run's history as Arrow tables, made from whole columns without a Python object per value.

This module does not use the catalog.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from tracker.store.history.columns import EXACT, column_name, kinds_of, roles_of
from tracker.store.history.ordered import OrderedHistory
from tracker.store.history.part_file import FIXED_KEYS
from tracker.store.history.sources import HistorySource


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
    with OrderedHistory(pieces, keys, exact=False) as history:
        schema = shown_columns(history.schema)
        return pa.concat_tables([schema.empty_table(), *shown_tables(history)])


def shown_tables(history: OrderedHistory) -> Iterator[pa.Table]:
    """Yield the tables of a history with the schema ``shown_columns``."""
    schema = shown_columns(history.schema)
    for table in history.tables():
        yield pa.Table.from_arrays(table.columns, schema=schema)


def shown_columns(schema: pa.Schema) -> pa.Schema:
    """Return the schema for users: each column has the name of its key, and its kind as metadata.

    A column with exact values has the kind ``exact`` and the metadata ``key``. Its name is ``~exact:KEY``,
    with more ``~`` in front if a key has the same name.
    """
    roles = roles_of(schema)
    taken = {*FIXED_KEYS, *(role["key"] for role in roles.values() if role["kind"] != "exact")}
    fields = [schema.field(name) for name in FIXED_KEYS]
    for key, (kind, has_exact) in kinds_of(schema).items():
        column = schema.field(column_name(key))
        fields.append(column.with_name(key).with_metadata({"kind": kind}))
        if has_exact:
            name = EXACT + key
            while name in taken:
                name = "~" + name
            taken.add(name)
            fields.append(pa.field(name, pa.string(), metadata={"key": key, "kind": "exact"}))
    return pa.schema(fields)
