"""A run's history in the order of steps, table by table, in bounded memory.

A chunk is a row group of a part, or the rows of a segment that are not in a part. The footer of a part has
the smallest and the largest step of each row group. Most chunks follow each other, so they are read in
sequence. Chunks whose steps overlap (rows of child processes, rows that were logged with an earlier step) are
sorted together. If they are large, their steps are divided into ranges, and one range at a time is read and
sorted. This module does not use the catalog.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tracker.store.history.columns import (
    FIXED,
    NUMERIC,
    Roles,
    common_kinds,
    conform,
    kinds_of,
    make_schema,
    roles_of,
    rows_to_table,
)
from tracker.store.history.parquet import opened, read_columns
from tracker.store.history.part_file import FIXED_KEYS, RANK_KEY, PartFile
from tracker.store.history.sources import HistorySource, hold

# Tables have about this number of bytes.
BATCH_BYTES = 8 * 1024 * 1024
# The largest number of rows of a table with strings: the size of strings is only known after reading.
STRING_ROWS = 8192
# Chunks that overlap are sorted in memory up to this size in bytes.
SORTED_BYTES = 64 * 1024 * 1024
# Number of steps that decide about the ranges of large chunks.
SAMPLED_STEPS = 1_000_000
_EVERYTHING = (-(2**63), 2**63 - 1)


class Span(NamedTuple):
    """A range of steps. Both limits are included; None: no limit."""

    first: int | None = None
    last: int | None = None


class _Chunk(NamedTuple):
    """Rows that are read together.

    Attributes:
        begin: A lower bound of the rows' places in the order: (step, piece, row).
        end: An upper bound of the same form.
        rows: The number of rows.
        size: About the number of bytes of the rows.
        shown: The smallest and the largest visible step.
        roles: The roles of the columns to read.
        part: The part; None for rows that are not in a part.
        group: The row group of the part.
        table: The rows, if they are not in a part.
    """

    begin: tuple[int, int, int]
    end: tuple[int, int, int]
    rows: int
    size: int
    shown: tuple[int, int]
    roles: Roles
    part: PartFile | None = None
    group: int = 0
    table: pa.Table | None = None

    def has_hidden_rows(self) -> bool:
        """Return whether some rows are not visible."""
        return self.begin[0] < self.shown[0] or self.end[0] > self.shown[1]


class OrderedHistory:
    """The visible rows of a run, opened for reading. Rows with the same step are in the order of logging.

    Creating it reads the rows that are not in a part, and opens the parts that a compaction may remove. So
    create it in the transaction that lists the pieces. ``tables`` needs no transaction.

    Args:
        pieces: The visible pieces of the history, oldest attempt first.
        keys: Return only these keys, and only rows that have at least one of them. None: all keys and rows.
        exact: Whether the tables have exact columns. See ``tracker.store.history.columns``.
        span: Return only rows with these steps.
        complete: Return only rows that have all of ``keys``.

    Attributes:
        schema: The schema of the tables: ``_step``, ``_runtime``, ``_timestamp``, then columns of the keys;
            with ``_rank`` as last key if the pieces have ranks.
    """

    def __init__(
        self,
        pieces: list[HistorySource],
        keys: Sequence[str] | None = None,
        *,
        exact: bool,
        span: Span | None = None,
        complete: bool = False,
    ) -> None:
        self._wanted = None if keys is None else [key for key in dict.fromkeys(keys) if key not in FIXED_KEYS]
        self._exact = exact
        self._span = span or Span()
        self._has = all if complete else any
        self._ranks = [piece.rank for piece in pieces]
        self._has_ranks = any(rank is not None for rank in self._ranks)
        self._chunks: list[_Chunk] = []
        schemas: list[pa.Schema] = []
        with ExitStack() as stack:
            for place, piece in enumerate(stack.enter_context(hold(pieces))):
                self._add(place, piece, schemas)
            self._held = stack.pop_all()
        kinds = {
            key: (kind, has_exact and exact and kind != "json")
            for key, (kind, has_exact) in common_kinds(schemas).items()
            if (key not in FIXED_KEYS if self._wanted is None else key in self._wanted)
        }
        if self._has_ranks:
            kinds.pop(RANK_KEY, None)
        names = list(kinds) if self._wanted is None else [key for key in self._wanted if key in kinds]
        ranks = {RANK_KEY: ("int64", False)} if self._has_ranks else {}
        self._with_rows = make_schema({key: kinds[key] for key in names} | ranks)
        self.schema = self._with_rows.remove(0)

    def close(self) -> None:
        """Close the parts."""
        self._held.close()

    def __enter__(self) -> OrderedHistory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows.

        Raises:
            FileNotFoundError: A part that was not held open is gone. The run was deleted.
            StoreError: A part is damaged.
        """
        for part, clusters in groupby(_clusters(self._chunks), key=_only_part):
            if part is None:
                for cluster in clusters:
                    yield from self._sorted(cluster)
                continue
            with opened(part) as file:
                for (chunk,) in clusters:
                    if chunk.rows > _batch_rows(chunk) and not _is_ascending(_steps(file, chunk)):
                        yield from self._sorted([chunk])
                    else:
                        yield from map(_by_step, self._read(file, chunk, self.schema))

    def _add(self, place: int, piece: HistorySource, schemas: list[pa.Schema]) -> None:
        before = _EVERYTHING[1] if piece.before is None else piece.before - 1
        first, last = self._span
        shown = (
            _EVERYTHING[0] if first is None else first,
            before if last is None else min(before, last),
        )
        for part in piece.parts:
            with opened(part) as file:
                schemas.append(file.schema_arrow)
                roles = self._chosen(file.schema_arrow)
                if self._wanted and not roles:
                    continue
                for chunk in _row_groups(file, part, roles, place, shown):
                    self._keep(chunk)
        hot = piece.hot()
        if self._wanted is not None:
            hot = [
                row._replace(data={key: row.data[key] for key in self._wanted if key in row.data})
                for row in hot
                if not self._wanted or self._has(key in row.data for key in self._wanted)
            ]
        if hot:
            table = rows_to_table(hot)
            schemas.append(table.schema)
            steps, numbers = [row.step for row in hot], [row.row for row in hot]
            begin, end = (min(steps), place, min(numbers)), (max(steps), place, max(numbers))
            roles = roles_of(table.schema)
            self._keep(_Chunk(begin, end, len(table), table.nbytes, shown, roles, table=table))

    def _keep(self, chunk: _Chunk) -> None:
        if chunk.rows and chunk.begin[0] <= chunk.shown[1] and chunk.end[0] >= chunk.shown[0]:
            self._chunks.append(chunk)

    def _chosen(self, schema: pa.Schema) -> Roles:
        """Return the roles of the columns to read."""
        roles, kinds = roles_of(schema), kinds_of(schema)
        if self._wanted is not None:  # the exact columns show which rows have a key
            return {name: role for name, role in roles.items() if role["key"] in self._wanted}
        # Without exact columns, only a column that becomes JSON needs its exact values.
        return {
            name: role
            for name, role in roles.items()
            if self._exact or role["kind"] != "exact" or kinds[role["key"]][0] not in NUMERIC
        }

    def _read(
        self,
        file: pq.ParquetFile | None,
        chunk: _Chunk,
        schema: pa.Schema,
        span: tuple[int, int] = _EVERYTHING,
    ) -> Iterator[pa.Table]:
        """Yield the visible rows of a chunk with steps in ``span``, in the order of logging."""
        low, high = max(span[0], chunk.shown[0]), min(span[1], chunk.shown[1])
        batches: Iterable[Any]
        if file is None:
            batches = [chunk.table]
        else:
            fixed = [name for name in FIXED if name in schema.names]
            batches = file.iter_batches(
                _batch_rows(chunk), row_groups=[chunk.group], columns=[*fixed, *chunk.roles]
            )
        for batch in batches:
            mask = None
            if span != _EVERYTHING or chunk.has_hidden_rows():
                steps = batch.column("_step").to_numpy()
                mask = (steps >= low) & (steps <= high)
            if self._wanted and chunk.part is not None:
                logged = self._logged(batch, chunk.roles)
                mask = logged if mask is None else mask & logged
            if mask is not None and not mask.all():
                batch = batch.filter(pa.array(mask))
            if batch.num_rows:
                yield self._label(conform(batch, chunk.roles, schema), chunk)

    def _label(self, table: pa.Table, chunk: _Chunk) -> pa.Table:
        """Return the table with the rank of its rows."""
        if not self._has_ranks:
            return table
        at = table.schema.get_field_index(RANK_KEY)
        ranks = pa.array(np.full(len(table), self._ranks[chunk.begin[1]]))
        return table.set_column(at, table.schema.field(at), ranks)

    def _logged(self, batch: pa.RecordBatch, roles: Roles) -> np.ndarray:
        """Return a mask of the rows that have one of the keys, or all of them."""
        found = {key: np.zeros(batch.num_rows, bool) for key in self._wanted or ()}
        for name, role in roles.items():
            found[role["key"]] |= batch.column(name).is_valid().to_numpy(zero_copy_only=False)
            if self._has is any and found[role["key"]].all():
                break
        join = np.logical_and if self._has is all else np.logical_or
        return np.asarray(join.reduce(list(found.values())))

    def _read_again(self, chunk: _Chunk, span: tuple[int, int]) -> Iterator[pa.Table]:
        if chunk.part is None:
            yield from self._read(None, chunk, self._with_rows, span)
            return
        with opened(chunk.part) as file:
            yield from self._read(file, chunk, self._with_rows, span)

    def _sorted(self, chunks: list[_Chunk]) -> Iterator[pa.Table]:
        """Yield the rows of chunks that overlap."""
        for low, high, inside in _ranges(chunks):
            tables, places = [], []
            for chunk in inside:
                for table in self._read_again(chunk, (low, high)):
                    tables.append(table)
                    places.append(np.full(len(table), chunk.begin[1]))
            if tables:
                whole = pa.concat_tables(tables)
                numbers, steps = (whole.column(name).to_numpy() for name in ("_row", "_step"))
                order = np.lexsort((numbers, np.concatenate(places), steps))
                whole = whole.drop_columns("_row")
                yield whole if _is_ascending(order) else whole.take(pa.array(order))


def _row_groups(
    file: pq.ParquetFile, part: PartFile, roles: Roles, place: int, shown: tuple[int, int]
) -> Iterator[_Chunk]:
    names = file.schema_arrow.names
    at = {name: index for index, name in enumerate(names)}
    columns = [at[name] for name in roles]
    for group in range(file.num_row_groups):
        described = file.metadata.row_group(group)
        bounds = []
        for name in ("_step", "_row"):
            found = described.column(at[name]).statistics
            if found is None or not found.has_min_max:  # files of other writers
                numbers = read_columns(file, [name], [group]).column(name)
                bounds.append((pc.min(numbers).as_py() or 0, pc.max(numbers).as_py() or 0))
            else:
                bounds.append((found.min, found.max))
        (first, last), (first_row, last_row) = bounds
        packed = sum(described.column(index).total_uncompressed_size for index in columns)
        size = max(packed, 8 * described.num_rows * (len(columns) + len(FIXED)))
        begin, end = (first, place, first_row), (last, place, last_row)
        yield _Chunk(begin, end, described.num_rows, size, shown, roles, part, group)


def _clusters(chunks: list[_Chunk]) -> Iterator[list[_Chunk]]:
    """Yield the chunks in order, in lists of chunks that overlap."""
    cluster: list[_Chunk] = []
    end = (0, 0, 0)
    for chunk in sorted(chunks, key=lambda chunk: chunk.begin):
        if cluster and chunk.begin > end:
            yield cluster
            cluster = []
        end = max(end, chunk.end) if cluster else chunk.end
        cluster.append(chunk)
    if cluster:
        yield cluster


def _only_part(cluster: list[_Chunk]) -> PartFile | None:
    return cluster[0].part if len(cluster) == 1 else None


def _ranges(chunks: list[_Chunk]) -> Iterator[tuple[int, int, list[_Chunk]]]:
    """Yield small ranges of steps: the first and the last step, and the chunks with rows in the range."""
    count = -(-sum(chunk.size for chunk in chunks) // SORTED_BYTES)
    if count <= 1:
        yield *_EVERYTHING, chunks
        return
    every = max(1, sum(chunk.rows for chunk in chunks) // SAMPLED_STEPS)
    sample = np.sort(np.concatenate([np.sort(_all_steps(chunk))[::every] for chunk in chunks]))
    limits = np.unique(sample[[at * len(sample) // count for at in range(1, count)]])
    inside = [
        set(np.unique(np.searchsorted(limits, _all_steps(chunk), "right")).tolist()) for chunk in chunks
    ]
    bounds = [_EVERYTHING[0], *limits.tolist(), _EVERYTHING[1] + 1]
    for at in range(len(bounds) - 1):
        found = [chunk for chunk, ranges in zip(chunks, inside, strict=True) if at in ranges]
        yield bounds[at], bounds[at + 1] - 1, found


def _all_steps(chunk: _Chunk) -> np.ndarray:
    if chunk.part is None:
        assert chunk.table is not None
        return np.asarray(chunk.table.column("_step").to_numpy())
    with opened(chunk.part) as file:
        return _steps(file, chunk)


def _steps(file: pq.ParquetFile, chunk: _Chunk) -> np.ndarray:
    return np.asarray(read_columns(file, ["_step"], [chunk.group]).column("_step").to_numpy())


def _batch_rows(chunk: _Chunk) -> int:
    rows = max(64, BATCH_BYTES // max(1, chunk.size // chunk.rows))
    has_text = any(role["kind"] in ("string", "json", "exact") for role in chunk.roles.values())
    return min(rows, STRING_ROWS) if has_text else rows


def _is_ascending(numbers: np.ndarray) -> bool:
    return not (numbers[1:] < numbers[:-1]).any()


def _by_step(table: pa.Table) -> pa.Table:
    """Return the rows of a chunk that was read as a whole, sorted by step."""
    steps = table.column("_step").to_numpy()
    return table if _is_ascending(steps) else table.take(pa.array(np.argsort(steps, kind="stable")))
