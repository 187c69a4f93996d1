"""Hot rows: history that lies in the catalog until there is enough of it for a Parquet part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from operator import attrgetter
from typing import Any

import msgspec
from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from tracker.ground.records import encode, packable, read_extension
from tracker.runstate.fold import FinishedRow
from tracker.store.catalog.models import HotRow, Segment

# With so many rows, or bytes of packed rows, a segment's hot rows become a part. Charts unpack each
# hot row in Python, so there should be few; a part of a wide run should hold more than a few rows.
HOT_ROWS = 4096
HOT_BYTES = 32 * 1024 * 1024

_decode = msgspec.msgpack.Decoder(dict[str, Any], ext_hook=read_extension).decode
_COLUMNS = (HotRow.row, HotRow.step, HotRow.time, HotRow.runtime, HotRow.data)


def pack_data(data: dict[str, object]) -> bytes:
    """Return a row's data as hot rows keep it."""
    try:
        return encode(data)
    except OverflowError:  # integers beyond 64 bits
        return encode(packable(data))


def unpack_data(data: bytes) -> dict[str, Any]:
    """Return the data that ``pack_data`` was given."""
    return _decode(data)


def read_hot(session: Session, segment_id: int) -> list[FinishedRow]:
    """Return a segment's hot rows in order of logging."""
    found = session.execute(select(*_COLUMNS).where(HotRow.segment_id == segment_id).order_by(HotRow.row))
    return [FinishedRow(row, step, time, runtime, _decode(data)) for row, step, time, runtime, data in found]


def read_hot_keys(
    session: Session, segment_id: int, keys: list[str]
) -> Iterator[tuple[FinishedRow, tuple[Any, ...]]]:
    """Yield a segment's hot rows, without data, each with the values of ``keys`` (UNSET: not logged).

    The other keys are passed over in C: of a row with 10,000 keys a chart wants two.
    """
    pick = _picker(list(dict.fromkeys(keys)))
    found = session.execute(select(*_COLUMNS).where(HotRow.segment_id == segment_id).order_by(HotRow.row))
    for row, step, time, runtime, data in found:
        yield FinishedRow(row, step, time, runtime, {}), pick(data)


def _picker(names: list[str]) -> Callable[[bytes], tuple[Any, ...]]:
    """Return what takes the values of ``names`` out of packed data."""
    try:
        shape = msgspec.defstruct(
            "Keys",
            [(f"k{at}", Any, msgspec.UNSET) for at in range(len(names))],
            rename={f"k{at}": key for at, key in enumerate(names)},
        )
    except ValueError:  # quotes, backslashes and control characters are no names of fields
        return lambda data: tuple(map(_decode(data).get, names, repeat(msgspec.UNSET)))
    decode = msgspec.msgpack.Decoder(shape, ext_hook=read_extension).decode
    return lambda data: msgspec.structs.astuple(decode(data))


def add_hot(session: Session, segment: Segment, rows: list[FinishedRow]) -> None:
    """Store rows; one whose beginning is stored already is joined with it."""
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
    """Remove all hot rows of a segment.

    Returns:
        False, and nothing was removed, when they are not what they were when ``seen`` was read.
    """
    segment = session.get_one(Segment, seen.id)
    if (segment.hot_count, segment.hot_bytes) != (seen.hot_count, seen.hot_bytes):
        return False
    _remove(session, segment, 0)
    return True


def join(stored: list[FinishedRow], rows: list[FinishedRow]) -> list[FinishedRow]:
    """Return both lists as one, in order of logging; the parts of one row become one.

    The open row of a writer that was taken for dead has been closed; when the writer goes on, it may
    add to that row.
    """
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
