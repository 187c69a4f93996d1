"""Writing and reading Parquet files of history columns. See ``tracker.store.history.columns``."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tracker.errors import Error, StoreError
from tracker.ground.group_files import share
from tracker.runstate.fold import FinishedRow
from tracker.store.history.columns import (
    FIXED,
    NUMERIC,
    Roles,
    column_name,
    roles_of,
    rows_to_table,
    table_to_rows,
)
from tracker.store.history.part_file import FIXED_KEYS, PartFile
from tracker.store.objects.digests import sha256_of_file

# A row group has about this many cells. Merging parts and reading rows keep one row group in memory.
CELLS_PER_GROUP = 4_000_000
ROWS_PER_GROUP = 1_000_000
# For a read of fewer cells, Arrow uses only the calling thread.
CELLS_PER_THREAD = 1_000_000
# Number of a column's first values, which decide its encoding.
SAMPLE = 2_000
# The end of a Parquet file: the length of the footer, and the magic number.
_TAIL = struct.Struct("<I4s")
# Checksums in the name of a part: of the whole file (older names lack this one), and of the footer.
_CHECKSUMS = re.compile(r"(?:-([0-9a-f]{16}))?-([0-9a-f]{16})\.parquet\Z")


class Writer:
    """Writer of a new Parquet file: appends tables of one schema as row groups.

    Args:
        path: The file. An existing file is replaced.
        first: The first table. Its schema is that of the file, and its values decide the encodings.
    """

    def __init__(self, path: Path, first: pa.Table) -> None:
        self._path = path
        encodings, dictionary = _choose_encodings(first)
        self._writer = pq.ParquetWriter(
            path,
            first.schema,
            compression="zstd",
            use_dictionary=dictionary,
            column_encoding=encodings,
            write_statistics=["_row", "_step"],  # others would only fill the footer
            write_page_checksum=True,
        )

    def write(self, table: pa.Table) -> None:
        """Append a table."""
        if table.num_rows:
            self._writer.write_table(table, row_group_size=rows_per_group(table.num_columns))

    def close(self) -> None:
        """Finish the file, and set its permissions for a shared store."""
        self._writer.close()
        share(self._path)


def rows_per_group(columns: int) -> int:
    """Return the number of rows in a row group of a file with this number of columns."""
    return max(1024, min(ROWS_PER_GROUP, CELLS_PER_GROUP // max(columns, 1)))


def write_table(path: Path, table: pa.Table) -> int:
    """Write a table of history columns to a new file; return its size in bytes."""
    writer = Writer(path, table)
    writer.write(table)
    writer.close()
    return path.stat().st_size


def write_rows(path: Path, rows: list[FinishedRow]) -> int:
    """Write rows to a new file; return its size in bytes."""
    return write_table(path, rows_to_table(rows))


def hold_file(stack: ExitStack, path: Path) -> pa.NativeFile | None:
    """Open a part and leave the closing to ``stack``.

    Returns:
        The open file; None when the file has to be opened when it is read.

    Raises:
        FileNotFoundError: The part is gone: see ``opened``.
    """
    try:
        return stack.enter_context(pa.OSFile(str(path)))
    except FileNotFoundError as error:
        raise _gone(path) from error
    except OSError:  # too many open files, or an unreadable file: reading the part reports the error
        return None


def part_name(path: Path, segment: str, first: int, last: int) -> str:
    """Return a unique name for a finished file of rows, with checksums of the whole file and of its footer.

    The page checksums of Parquet do not cover the headers of pages, nor the footer, which has the place and
    the type of each column. The catalog and the run's published file store the name, and with it both
    checksums.

    Args:
        path: The file.
        segment: The segment of the rows.
        first: The number of the first row.
        last: The number of the last row.
    """
    with pa.OSFile(str(path)) as file:
        footer = footer_checksum(file)
    token, whole = os.urandom(4).hex(), file_checksum(path)
    return f"{segment}-{first:012d}-{last:012d}-{token}-{whole}-{footer}.parquet"


def file_checksum(path: Path) -> str:
    """Return the first 16 hex digits of a file's SHA-256."""
    return sha256_of_file(path)[:16]


class Checksums(NamedTuple):
    """Checksums in the name of a part: of the whole file and of its footer. None: the name lacks it."""

    whole: str | None
    footer: str | None


def checksums_of(path: Path) -> Checksums:
    """Return the checksums in the name of a part. Names of older trackers have none."""
    found = _CHECKSUMS.search(path.name)
    return Checksums(None, None) if found is None else Checksums(found[1], found[2])


def footer_checksum(file: pa.NativeFile) -> str:
    """Return 16 hex digits of the SHA-256 over a Parquet file's footer, footer length and magic number.

    Raises:
        StoreError: The file does not end like a Parquet file.
    """
    size = file.size()
    file.seek(max(0, size - _TAIL.size))
    tail = file.read(_TAIL.size)
    length, magic = _TAIL.unpack(tail) if len(tail) == _TAIL.size else (0, b"")
    if magic != b"PAR1" or length > size - _TAIL.size:
        raise StoreError("the end of the file is not that of a Parquet file")
    file.seek(size - _TAIL.size - length)
    digest = hashlib.sha256(file.read(length) + tail).hexdigest()[:16]
    file.seek(0)
    return digest


@contextmanager
def opened(part: PartFile | Path) -> Iterator[pq.ParquetFile]:
    """Open a part for reading. The footer's checksum is checked now, each page's when the page is read.

    A part of an older tracker has no checksums: damage is only noticed if Arrow or Python raises an error.

    Raises:
        FileNotFoundError: The part is gone. It was merged into another part, unless the catalog still
            names it. The error's ``filename`` is the path.
        StoreError: The part is damaged, whichever error the damage causes. The message names the file.
    """
    path, held = (part.path, part.held) if isinstance(part, PartFile) else (part, None)
    try:
        with ExitStack() as stack:
            source = held or stack.enter_context(pa.OSFile(str(path)))
            checksum = checksums_of(path).footer
            if checksum is not None and footer_checksum(source) != checksum:
                raise StoreError("the checksum of its footer is wrong")
            yield stack.enter_context(pq.ParquetFile(source, page_checksum_verification=True))
    except FileNotFoundError as error:
        raise _gone(path) from error
    except (StoreError, pa.ArrowException, OSError, ValueError, LookupError, TypeError) as error:
        if isinstance(error, Error) and not isinstance(error, StoreError):
            raise  # not about the file: the code that uses the file raised it
        reason = error.message if isinstance(error, Error) else str(error).partition(chr(10))[0]
        if str(path) in reason:
            raise
        raise StoreError(
            f"cannot read {path}, which contains rows of a run: {reason or type(error).__name__}; "
            "restore this file from a backup"
        ) from error


def _gone(path: Path) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def read_part_rows(part: PartFile | Path, keys: Iterable[str] | None = None) -> Iterator[FinishedRow]:
    """Yield the rows of a part in the order of logging.

    Args:
        part: A file that ``write_rows`` made.
        keys: Yield only these keys, and only rows that have one of them. None: all keys and rows.

    Raises:
        FileNotFoundError: The part is gone: see ``opened``.
        StoreError: The part is damaged.
    """
    with opened(part) as file:
        roles = column_roles(file)
        wanted = None if keys is None else set(keys)
        chosen = {name: role for name, role in roles.items() if wanted is None or role["key"] in wanted}
        if wanted is not None and not chosen:
            return
        size = rows_per_group(10 * (len(chosen) + len(FIXED)))  # Python values are about ten times as large
        for batch in file.iter_batches(size, columns=[*FIXED, *chosen]):
            for row in table_to_rows(batch, chosen):
                if row.data or wanted is None:
                    yield row


class Numbers(NamedTuple):
    """Numeric columns of a part, as numpy arrays of equal length.

    Attributes:
        start: Index of the first row in the part.
        steps: The steps of the rows, int64.
        x: The x column, float64, NaN where a row has no number.
        columns: For each key a float64 array, and a bool array: True where the key was logged as a number.
            None in place of the bool array: it was logged in every row.
    """

    start: int
    steps: np.ndarray
    x: np.ndarray
    columns: dict[str, tuple[np.ndarray, np.ndarray | None]]


def read_numbers(
    part: PartFile | Path, x: str, keys: list[str], span: tuple[int, int] | None = None
) -> Numbers:
    """Read numeric columns of a part without making a Python object per value.

    Args:
        part: A file that ``write_rows`` made.
        x: The x column: ``_step``, ``_runtime``, ``_timestamp`` or a numeric key.
        keys: The other columns, named in the same way. Columns that the part lacks, or that are not
            numeric, are left out.
        span: The first row, and the row after the last. Rows outside may be returned too, as whole row
            groups are read. None: all rows.

    Raises:
        FileNotFoundError: The part is gone: see ``opened``.
        StoreError: The part is damaged.
    """
    with opened(part) as file:
        roles = column_roles(file)
        names = {key: name for key in [*keys, x] if (name := _numeric_column(roles, key)) is not None}
        groups, start = (None, 0) if span is None else _row_groups(file.metadata, *span)
        table = read_columns(file, list(dict.fromkeys(["_step", *names.values()])), groups)
    columns = {key: to_numpy(table.column(name)) for key, name in names.items()}
    if x in columns:
        x_values, present = columns[x]
        x_values = x_values if present is None else np.where(present, x_values, np.nan)
    else:
        x_values = np.full(len(table), np.nan)
    columns = {key: columns[key] for key in keys if key in columns}
    return Numbers(start, table.column("_step").to_numpy(), x_values, columns)


def last_number(part: PartFile | Path, key: str, before: int | None = None) -> float:
    """Return the last finite number of a key in a part; NaN if there is none.

    Args:
        part: A file that ``write_rows`` made.
        key: ``_step``, ``_runtime``, ``_timestamp`` or a numeric key.
        before: Look only at rows before this row of the part. None: at all rows.
    """
    with opened(part) as file:
        name = _numeric_column(column_roles(file), key)
        if name is None:
            return np.nan
        end = file.metadata.num_rows
        for group in reversed(range(file.metadata.num_row_groups)):
            start = end - file.metadata.row_group(group).num_rows
            if before is None or start < before:
                values, _ = to_numpy(read_columns(file, [name], [group]).column(name))
                values = values[: None if before is None else max(0, before - start)]
                finite = values[np.isfinite(values)]
                if len(finite):
                    return float(finite[-1])
            end = start
    return np.nan


def _numeric_column(roles: Roles, key: str) -> str | None:
    """Return the column of an axis, or of a key that has numbers; None if the part has no such column."""
    if key in FIXED_KEYS:  # without `_row`: a script may log a key of that name
        return key
    name = column_name(key)
    return name if name in roles and roles[name]["kind"] in NUMERIC else None


def _row_groups(metadata: Any, first: int, last: int) -> tuple[list[int], int]:
    """Return the row groups that contain the rows from ``first`` to before ``last``, and their first row."""
    chosen: list[int] = []
    start = at = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if at < last and at + rows > first:
            start = start if chosen else at
            chosen.append(group)
        at += rows
    return chosen, start


def read_columns(file: pq.ParquetFile, names: list[str], groups: list[int] | None = None) -> pa.Table:
    """Return columns of an open part.

    Args:
        file: The open part.
        names: The names of the columns.
        groups: The row groups to read. None: all.
    """
    rows = file.metadata.num_rows
    threads = rows * len(names) > CELLS_PER_THREAD  # for fewer cells, threads cost more than they save
    if groups is None:
        return file.read(columns=names, use_threads=threads)
    return file.read_row_groups(groups, columns=names, use_threads=threads)


def to_numpy(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a numeric column as float64 with NaN for nulls, and a mask of the cells that have a value.

    None in place of the mask: all cells have one.
    """
    as_double = column if column.type == pa.float64() else column.cast(pa.float64(), safe=False)
    if as_double.null_count == 0:
        return as_double.to_numpy(), None
    return as_double.to_numpy(), as_double.is_valid().to_numpy()


def column_roles(file: pq.ParquetFile) -> Roles:
    """Return the key and the kind of each column of an open part: see ``roles_of``."""
    return roles_of(file.schema_arrow)


def _choose_encodings(table: pa.Table) -> tuple[dict[str, str], list[str]]:
    """Return encodings for numeric columns with few repeated values, and columns to encode with a dictionary.

    Floats with few repeated values compress best when bytes of the same position are stored together. Ints
    with few repeated values compress best as differences. docs/decisions/0017 has the measurements.
    """
    encodings: dict[str, str] = {}
    dictionary: list[str] = []
    for name, column in zip(table.schema.names, table.columns, strict=True):
        if pa.types.is_boolean(column.type):
            continue
        if pa.types.is_string(column.type):
            dictionary.append(name)
            continue
        if name not in FIXED and _repeats(column):
            dictionary.append(name)
        else:
            floats = pa.types.is_floating(column.type)
            encodings[name] = "BYTE_STREAM_SPLIT" if floats else "DELTA_BINARY_PACKED"
    return encodings, dictionary


def _repeats(column: Any) -> bool:
    sample = column.slice(0, SAMPLE).drop_null()
    return len(sample) >= 16 and len(sample.unique()) * 4 <= len(sample)
