"""Hot rows: history rows in the catalog, before there are enough rows for a Parquet part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from operator import attrgetter, lt
from typing import Any

import msgspec
from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from tracker.ground.records import encode, packable, read_extension
from tracker.runstate.fold import FinishedRow
from tracker.store.catalog.models import HotRow, Segment

# At this number of rows, or of bytes of packed rows, the hot rows of a segment become a part. Charts unpack
# hot rows in Python, so there should be few. A part of a run with many keys should have more than a few rows.
HOT_ROWS = 4096
HOT_BYTES = 32 * 1024 * 1024

_decode = msgspec.msgpack.Decoder(dict[str, Any], ext_hook=read_extension).decode
_COLUMNS = (HotRow.row, HotRow.step, HotRow.time, HotRow.runtime, HotRow.data)


def pack_data(data: dict[str, object]) -> bytes:
    """Return the data of a row as msgpack, for the column ``HotRow.data``."""
    try:
        return encode(data)
    except OverflowError:  # msgpack has no integers beyond 64 bits
        return encode(packable(data))


def unpack_data(data: bytes) -> dict[str, Any]:
    """Return the data of a row from the result of ``pack_data``."""
    return _decode(data)


def read_hot(session: Session, segment_id: int) -> list[FinishedRow]:
    """Return the hot rows of a segment in the order of logging."""
    found = session.execute(select(*_COLUMNS).where(HotRow.segment_id == segment_id).order_by(HotRow.row))
    return [FinishedRow(row, step, time, runtime, _decode(data)) for row, step, time, runtime, data in found]


def read_hot_keys(
    session: Session, segment_id: int, keys: list[str]
) -> Iterator[tuple[FinishedRow, tuple[Any, ...]]]:
    """Yield the hot rows of a segment, with the values of some keys.

    The decoder skips the other keys in C, because a chart needs only two of 10,000 keys.

    Args:
        session: A transaction of the catalog.
        segment_id: ``Segment.id`` of the segment.
        keys: The wanted keys.

    Yields:
        The row without its data, and the value of each key (``msgspec.UNSET`` if the row lacks the key).
    """
    pick = _picker(list(dict.fromkeys(keys)))
    found = session.execute(select(*_COLUMNS).where(HotRow.segment_id == segment_id).order_by(HotRow.row))
    for row, step, time, runtime, data in found:
        yield FinishedRow(row, step, time, runtime, {}), pick(data)


def _picker(names: list[str]) -> Callable[[bytes], tuple[Any, ...]]:
    """Return a function that returns the values of ``names`` from packed data."""
    try:
        shape = msgspec.defstruct(
            "Keys",
            [(f"k{at}", Any, msgspec.UNSET) for at in range(len(names))],
            rename={f"k{at}": key for at, key in enumerate(names)},
        )
    except ValueError:  # msgspec does not allow quotes, backslashes and control characters in field names
        return lambda data: tuple(map(_decode(data).get, names, repeat(msgspec.UNSET)))
    decode = msgspec.msgpack.Decoder(shape, ext_hook=read_extension).decode
    return lambda data: msgspec.structs.astuple(decode(data))


def add_hot(session: Session, segment: Segment, rows: list[FinishedRow]) -> None:
    """Store hot rows. Join a row with a stored row of the same number.

    Args:
        session: A write transaction.
        segment: The segment of the rows.
        rows: The rows, in the order of logging.
    """
    if not rows:
        return
    rows = join([], rows)
    last = session.scalar(select(func.max(HotRow.row)).where(HotRow.segment_id == segment.id))
    if last is not None and rows[0].row <= last:
        stored = [row for row in read_hot(session, segment.id) if row.row >= rows[0].row]
        _remove(session, segment, rows[0].row)
        rows = join(stored, rows)
    values: list[dict[str, Any]] = [
        {
            "segment_id": segment.id,
            "row": row.row,
            "step": row.step,
            "time": row.time,
            "runtime": row.runtime,
            "data": pack_data(row.data),
        }
        for row in rows
    ]
    session.execute(insert(HotRow), values)
    segment.hot_count = (segment.hot_count or 0) + len(values)
    segment.hot_bytes = (segment.hot_bytes or 0) + sum(len(value["data"]) for value in values)


def take_hot(session: Session, seen: Segment) -> bool:
    """Remove all hot rows of a segment, unless they have changed.

    Args:
        session: A write transaction.
        seen: The segment as it was when the caller read the rows.

    Returns:
        False if the rows have changed since then. Nothing is removed in this case.
    """
    segment = session.get_one(Segment, seen.id)
    if (segment.hot_count, segment.hot_bytes) != (seen.hot_count, seen.hot_bytes):
        return False
    _remove(session, segment, 0)
    return True


def join(stored: list[FinishedRow], rows: list[FinishedRow]) -> list[FinishedRow]:
    """Return both lists as one, in the order of logging. Rows with the same number become one row.

    Such rows occur when a writer seems to be dead: its open row is closed and stored. If the writer is alive
    and continues, it may add values to that row.
    """
    numbers = [row.row for row in (*stored, *rows)]
    if all(map(lt, numbers, numbers[1:])):
        return stored + rows
    joined = {row.row: row for row in stored}
    for row in rows:
        before = joined.get(row.row)
        joined[row.row] = row if before is None else row._replace(data=before.data | row.data)
    return sorted(joined.values(), key=attrgetter("row"))


def _remove(session: Session, segment: Segment, first: int) -> None:
    gone = session.scalars(
        delete(HotRow)
        .where(HotRow.segment_id == segment.id, HotRow.row >= first)
        .returning(func.length(HotRow.data))
    ).all()
    segment.hot_count = max(0, segment.hot_count - len(gone))
    segment.hot_bytes = max(0, segment.hot_bytes - sum(gone))
