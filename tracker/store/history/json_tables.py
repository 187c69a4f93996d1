"""Conversion of the JSON file of a logged table into Arrow columns, in bounded memory.

The columns have the names ``"0"``, ``"1"`` and so on, and the form of ``tracker.store.history.columns``. The
rows are in a file without a name that is mapped into memory: its pages can be read from the disk again at any
time.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracker.errors import StoreError
from tracker.ground import values
from tracker.store.history.columns import (
    EXACT,
    FIXED,
    column_name,
    common_kinds,
    conform,
    encode_cells,
    kinds_of,
    make_schema,
    roles_of,
    table_to_data,
)

_DATA = re.compile(rb'(?<!\\)"data"\s*:\s*\Z')
_MEDIA = r'"_type": ?"[a-z0-9A-Z]+-file"'
_QUOTE, _BACKSLASH, _LIST = ord('"'), ord("\\"), ord("[")
_BETWEEN = b", \n\r\t"
# The change of the depth at each byte.
_STEPS = np.zeros(256, np.int64)
_STEPS[[ord("["), ord("{")]] = 1
_STEPS[[ord("]"), ord("}")]] = -1
# Number of bytes that are parsed together.
PIECE = 1024 * 1024


class LoggedTable(NamedTuple):
    """A table.

    Attributes:
        columns: The names of the columns.
        data: The rows. The metadata of the schema has the roles of the columns.
    """

    columns: list[str | int]
    data: pa.Table

    def rows(self, places: Any) -> list[list[Any]]:
        """Return the rows at some places.

        Args:
            places: Row numbers, as a numpy array.
        """
        found = self.data.take(pa.array(places, pa.int64()))
        names = [str(at) for at in range(len(self.columns))]
        return [[row.get(name) for name in names] for row in table_to_data(found, roles_of(self.data.schema))]


def convert_tables(files: Iterable[Iterable[bytes]]) -> LoggedTable:
    """Return the rows of table files, one after the other.

    Args:
        files: The content of each file, in pieces.

    Raises:
        StoreError: A file is not a table.
        OSError: The temporary file cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="tracker-table-") as folder:
        blocks, whole = Path(folder, "blocks"), Path(folder, "whole")
        columns: list[str | int] = []
        schemas: list[pa.Schema] = []
        places: list[int] = []
        with pa.OSFile(str(blocks), "wb") as sink:
            for content in files:
                reader = _TableReader(content)
                for rows in reader.blocks():
                    table = _encode(rows)
                    places.append(sink.tell())
                    schemas.append(table.schema)
                    with pa.ipc.new_stream(sink, table.schema) as writer:
                        writer.write_table(table)
                columns = reader.columns()
        found = common_kinds(schemas)
        names = [str(at) for at in range(len(columns))]
        schema = without_axes(make_schema({name: found.get(name, ("json", False)) for name in names}))
        with pa.OSFile(str(whole), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            if places:
                source = pa.memory_map(str(blocks))
                for place in places:
                    source.seek(place)
                    block = pa.ipc.open_stream(source).read_all()
                    writer.write_table(conform(block, roles_of(block.schema), schema))
        return LoggedTable(columns, pa.ipc.open_file(pa.memory_map(str(whole))).read_all())


def with_media(table: LoggedTable, copy: LoggedTable) -> LoggedTable:
    """Return a table with the columns of media of a copy; the table itself if the copy is another one."""
    if copy.columns != table.columns or len(copy.data) != len(table.data):
        return table
    kinds, media = kinds_of(table.data.schema), kinds_of(copy.data.schema)
    found: dict[str, tuple[str, bool]] = {}
    arrays: list[pa.ChunkedArray] = []
    for name in kinds:
        is_media = name in media and _has_media(copy.data, name, media[name])
        source, found[name] = (copy.data, media[name]) if is_media else (table.data, kinds[name])
        arrays.append(source.column(column_name(name)))
        if found[name][1]:
            arrays.append(source.column(EXACT + name))
    return LoggedTable(table.columns, pa.Table.from_arrays(arrays, schema=without_axes(make_schema(found))))


def _has_media(data: pa.Table, name: str, kind: tuple[str, bool]) -> bool:
    """Return whether a cell of a column describes a file."""
    column = column_name(name) if kind[0] == "json" else EXACT + name if kind[1] else None
    return column is not None and bool(pc.any(pc.match_substring_regex(data.column(column), _MEDIA)).as_py())


def _encode(rows: list[list[Any]]) -> pa.Table:
    width = max(map(len, rows), default=0)
    whole = [row if len(row) == width else [*row, *[None] * (width - len(row))] for row in rows]
    columns = {str(at): encode_cells(list(cells)) for at, cells in enumerate(zip(*whole, strict=True))}
    schema = without_axes(
        make_schema({name: (kind, over is not None) for name, (kind, _, over) in columns.items()})
    )
    arrays = [array for _, main, over in columns.values() for array in (main, over) if array is not None]
    return pa.Table.from_arrays(arrays, schema=schema)


def without_axes(schema: pa.Schema) -> pa.Schema:
    """Return a schema of history without the fixed columns."""
    return pa.schema(list(schema)[len(FIXED) :], metadata=schema.metadata)


class _TableReader:
    """Reads ``{"columns": [...], "data": [[...], ...]}`` piece by piece."""

    def __init__(self, content: Iterable[bytes]) -> None:
        self._content = content
        self._outside = b""  # the text without the rows

    def columns(self) -> list[str | int]:
        """Return the names of the columns. Call this after the last block.

        Raises:
            StoreError: The file is not a table.
        """
        try:
            found = values.loads(self._outside)["columns"]
            return [name if isinstance(name, int) else str(name) for name in found]
        except (ValueError, LookupError, TypeError):
            raise StoreError("the file is not a table: it has no list of columns") from None

    def blocks(self) -> Iterator[list[list[Any]]]:
        """Yield the rows, some thousand at a time.

        Raises:
            StoreError: The file is not a table.
        """
        for text in self._texts():
            try:
                rows = values.loads(b"[" + text.strip(_BETWEEN) + b"]")
            except ValueError as error:
                raise StoreError(f"the file is not a table: {error}") from None
            if not all(isinstance(row, list) for row in rows):
                raise StoreError("the file is not a table: a row is not a list")
            if rows:
                yield rows

    def _texts(self) -> Iterator[bytes]:
        """Yield the text of whole rows, with the commas between them."""
        inside = done = False
        begun = b""  # the row at the end of the text so far
        for text, before, depths in _depths(self._content):
            start = 0
            if not inside and not done:
                for at in np.flatnonzero((depths == 2) & (before == 1)).tolist():
                    known = self._outside[-64:] + text[max(0, at - 64) : at]
                    if text[at] == _LIST and _DATA.search(known):
                        inside, start = True, at + 1
                        break
            if not inside:
                self._outside += text
                continue
            self._outside += text[:start]
            ends = np.flatnonzero(depths[start:] == 1)
            end = start + int(ends[0]) if len(ends) else len(text)
            rows = np.flatnonzero((depths[start:end] == 2) & (before[start:end] == 3))
            if len(rows):
                cut = start + int(rows[-1]) + 1
                yield begun + text[start:cut]
                begun = text[cut:end]
            else:
                begun += text[start:end]
            if len(ends):
                if begun.strip(_BETWEEN):
                    raise StoreError("the file is not a table: a row is not a list")
                inside, done = False, True
                self._outside += text[end:]


def _depths(content: Iterable[bytes]) -> Iterator[tuple[bytes, np.ndarray, np.ndarray]]:
    """Yield the text with the number of open lists and dicts before and after each byte."""
    depth, quoted, rest = 0, 0, b""
    for chunk in content:
        for start in range(0, len(chunk), PIECE):
            text = rest + chunk[start : start + PIECE]
            end = len(text.rstrip(b"\\"))  # a backslash belongs to the byte after it
            text, rest = text[:end], text[end:]
            if not text:
                continue
            found = np.frombuffer(text, np.uint8)
            places = np.arange(len(found))
            slashes = places - np.maximum.accumulate(np.where(found != _BACKSLASH, places, -1))
            quotes = found == _QUOTE
            quotes[1:] &= slashes[:-1] % 2 == 0
            strings = (np.cumsum(quotes) + quoted) % 2
            steps = _STEPS[found] * (strings == 0)
            depths = depth + np.cumsum(steps)
            depth, quoted = int(depths[-1]), int(strings[-1])
            yield text, depths - steps, depths
