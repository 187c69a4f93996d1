"""Encoding of a run's history as JSON, JSON lines, CSV, an Arrow IPC stream or Parquet, in bounded memory.

This module does not use the catalog.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tracker.errors import StoreError
from tracker.ground import values
from tracker.ground.export_formats import Format
from tracker.store.history.arrow_tables import shown_columns, shown_tables
from tracker.store.history.columns import roles_of, table_to_data
from tracker.store.history.ordered import OrderedHistory
from tracker.store.history.part_file import FIXED_KEYS

# Exports consist of pieces of about this number of bytes.
PIECE = 1024 * 1024
# Number of cells that are Python objects at the same time.
CELLS_AT_ONCE = 100_000
# A row group of an exported Parquet file ends at this number of cells, or of bytes in memory.
GROUP_CELLS, GROUP_BYTES = 1_000_000, 32 * 1024 * 1024
# The fewest rows of a row group with many columns: each column of a row group needs a place in the footer.
FEWEST_ROWS = 1024
# Spreadsheets calculate a cell that begins with one of these characters. The apostrophe makes the mark
# unique.
FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20'")

_MISSING = object()


def encode_history(history: OrderedHistory, format: Format) -> Iterator[bytes]:
    """Yield the content of a file with the rows of a history, and close the history at the end.

    Args:
        history: The history. For ``arrow`` and ``parquet``, its exact columns become columns of the file. For
            the other formats it must have exact columns.
        format: The format.

    Raises:
        StoreError: A part of the run is damaged, or was removed together with the run.
    """
    with history:
        try:
            yield from _in_pieces(_ENCODERS[format](history))
        except FileNotFoundError as error:
            raise StoreError(f"{error.filename} was removed during the read: repeat the read") from error


def history_rows(history: OrderedHistory) -> Iterator[dict[str, Any]]:
    """Yield the rows of a history with exact columns: the logged keys, then the axes, as ``rows_of``."""
    roles = roles_of(history.schema)
    size = max(1, CELLS_AT_ONCE // len(history.schema))
    for table in history.tables():
        for start in range(0, len(table), size):
            piece = table.slice(start, size)
            fixed = zip(*(piece.column(name).to_pylist() for name in FIXED_KEYS), strict=True)
            for axes, data in zip(fixed, table_to_data(piece, roles), strict=True):
                yield {**data, **dict(zip(FIXED_KEYS, axes, strict=True))}


def _json(history: OrderedHistory) -> Iterator[bytes]:
    yield b'{"rows":['
    between = b""
    for row in history_rows(history):
        yield between + _utf8(values.dumps(row))
        between = b","
    yield b"]}"


def _jsonl(history: OrderedHistory) -> Iterator[bytes]:
    return (_utf8(values.dumps(row)) + b"\n" for row in history_rows(history))


def _csv(history: OrderedHistory) -> Iterator[bytes]:
    fields = shown_columns(history.schema)
    keys = [field.name for field in fields if (field.metadata or {}).get(b"kind") != b"exact"]
    yield _csv_line(map(csv_text, keys))
    for row in history_rows(history):
        yield _csv_line(csv_cell(row.get(key, _MISSING)) for key in keys)


def _csv_line(cells: Iterable[str]) -> bytes:
    return _utf8(",".join(cells) + "\r\n")


def csv_cell(value: Any) -> str:
    """Return a cell of a CSV file. docs/rest-api.md has the conventions.

    Args:
        value: A plain value. A missing value is an empty cell, and None is ``null``.
    """
    if value is _MISSING:
        return ""
    if isinstance(value, float):
        if math.isfinite(value):
            return repr(value)
        return "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, str):
        return csv_text(value)
    return _quoted(values.dumps(value)) if isinstance(value, (dict, list)) else values.dumps(value)


def csv_text(text: str) -> str:
    """Return a text as a quoted cell that no spreadsheet calculates."""
    return _quoted("'" + text if text.startswith(FORMULA_STARTS) else text)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _arrow(history: OrderedHistory) -> Iterator[bytes]:
    sink = _Sink()
    with pa.ipc.new_stream(sink, shown_columns(history.schema)) as writer:
        for table in shown_tables(history):
            writer.write_table(table)
            yield sink.take()
    yield sink.take()


def _parquet(history: OrderedHistory) -> Iterator[bytes]:
    sink = _Sink()
    schema = shown_columns(history.schema)
    size = max(FEWEST_ROWS, GROUP_CELLS // len(schema))
    waiting: list[pa.Table] = []
    rows = held = 0
    # Numbers repeat rarely, and their dictionaries would take most of the memory and of the time.
    dictionary = [field.name for field in schema if pa.types.is_string(field.type)]
    with pq.ParquetWriter(sink, schema, compression="zstd", use_dictionary=dictionary) as writer:
        for table in shown_tables(history):
            waiting.append(table)
            rows, held = rows + len(table), held + table.nbytes
            if rows >= size or held >= GROUP_BYTES:
                writer.write_table(pa.concat_tables(waiting), row_group_size=rows)
                waiting, rows, held = [], 0, 0
                yield sink.take()
        if waiting:
            writer.write_table(pa.concat_tables(waiting), row_group_size=rows)
    yield sink.take()


class _Sink:
    """A file for pyarrow that keeps what is written until it is taken."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._written = 0

    def write(self, data: bytes) -> int:
        """Append bytes."""
        self._pieces.append(bytes(data))
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        """Return the number of bytes that were written."""
        return self._written

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing: the end of the file is taken afterwards."""

    def take(self) -> bytes:
        """Return and forget the bytes since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _in_pieces(content: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in pieces of about ``PIECE`` bytes."""
    waiting: list[bytes] = []
    size = 0
    for each in content:
        waiting.append(each)
        size += len(each)
        if size >= PIECE:
            whole = b"".join(waiting)
            waiting, size = [], 0
            for start in range(0, len(whole), PIECE):
                yield whole[start : start + PIECE]
    if size:
        yield b"".join(waiting)


_ENCODERS: dict[Format, Callable[[OrderedHistory], Iterator[bytes]]] = {
    "json": _json,
    "jsonl": _jsonl,
    "csv": _csv,
    "arrow": _arrow,
    "parquet": _parquet,
}
