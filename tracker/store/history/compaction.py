"""Compaction: merge neighbouring small parts of a segment into one, so that readers open few files.

Parts have size classes, as in a log-structured merge tree. Four parts of one class become one part of the
next class, so each row is written again once per class. The merged file is published first, and the catalog
names the file second. A reader that still uses the old names reads the catalog again when a file is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from tracker.store.catalog.models import Part, Run, Rung, Segment
from tracker.store.history.columns import common_kinds, conform, make_schema, roles_of
from tracker.store.history.parquet import Writer, opened, rows_per_group
from tracker.store.history.parts import add_part, discard, publish_part
from tracker.store.store import Store

# Number of parts of one class that become one part of the next class; also the ratio of the classes' sizes.
FAN = 4
SMALLEST_CLASS = 4096
# A part of this many rows or bytes is large: merging it again would cost more than opening it.
LARGE_ROWS = 4_000_000
LARGE_BYTES = 512 * 1024 * 1024


def compact(store: Store, segment_id: int) -> bool:
    """Merge the newest parts of a live segment when there are enough parts of one size class.

    Returns:
        Whether to call this function again: parts were merged, by this process or by another one.
    """
    with store.reading() as session:
        chosen = _due(_parts(session, segment_id))
    return bool(chosen) and _merge(store, segment_id, chosen)


def compact_all(store: Store, segment_id: int) -> None:
    """Merge the remaining small parts of an ended segment into few large parts."""
    while True:
        with store.reading() as session:
            groups = _groups(_parts(session, segment_id))
        if not groups:
            return
        _merge(store, segment_id, groups[0])


def _parts(session: Session, segment_id: int) -> list[Part]:
    query = select(Part).where(Part.segment_id == segment_id).order_by(Part.first_row, Part.id)
    return list(session.scalars(query))


def _is_large(part: Part) -> bool:
    return part.rows >= LARGE_ROWS or part.size >= LARGE_BYTES


def _class(part: Part) -> int:
    size, found = SMALLEST_CLASS * FAN, 0
    while part.rows >= size:
        size, found = size * FAN, found + 1
    return found


def _due(parts: list[Part]) -> list[Part]:
    """Return the newest parts, oldest first, if there are at least ``FAN`` of one size class or smaller."""
    tail: list[Part] = []
    for part in reversed(parts):
        if _is_large(part):
            break
        tail.append(part)
    for largest in range(max(map(_class, tail), default=-1) + 1):
        count = next((at for at, part in enumerate(tail) if _class(part) > largest), len(tail))
        if count >= FAN:
            return tail[:count][::-1]
    return []


def _groups(parts: list[Part]) -> list[list[Part]]:
    """Return neighbouring parts that are not large, in groups that each make about one large part."""
    groups: list[list[Part]] = [[]]
    rows = size = 0
    for part in parts:
        if _is_large(part) or rows >= LARGE_ROWS or size >= LARGE_BYTES:
            groups.append([])
            rows = size = 0
        if not _is_large(part):
            groups[-1].append(part)
            rows, size = rows + part.rows, size + part.size
    return [group for group in groups if len(group) > 1]


def _merge(store: Store, segment_id: int, parts: list[Part]) -> bool:
    with store.reading() as session:
        segment = session.get_one(Segment, segment_id)
        run = session.get_one(Run, segment.run_id)
        folder = store.layout.run(run.project.entity, run.project.name, run.run_id) / "history"
    paths = [store.root / part.path for part in parts]
    extent = (
        min(part.first_row for part in parts),
        max(part.last_row for part in parts),
        sum(part.rows for part in parts),
    )
    in_order = all(a.last_row < b.first_row for a, b in pairwise(parts))
    try:
        merged = publish_part(
            store, folder, segment.segment, extent, lambda path: _write_merged(path, paths, in_order)
        )
    except FileNotFoundError:
        return True  # another process has merged the parts: read the catalog again
    with store.writing() as session:
        ids = [part.id for part in parts]
        session.execute(delete(Rung).where(Rung.part_id.in_(ids)))
        gone = session.scalars(delete(Part).where(Part.id.in_(ids)).returning(Part.id)).all()
        won = len(gone) == len(ids)
        if won:
            add_part(store, session, segment_id, merged)
        else:
            session.rollback()
    if not won:
        discard(merged)
        return True
    for path in paths:
        path.unlink(missing_ok=True)
    return True


def _write_merged(target: Path, paths: list[Path], in_order: bool) -> int:
    schema = make_schema(common_kinds([_schema(path) for path in paths]))
    tables = _conformed(paths, schema)
    if not in_order:  # late rows belong between the rows of other parts
        whole = pa.concat_tables(tables)
        tables = iter([whole.sort_by([("_row", "ascending")])])
    size = rows_per_group(len(schema))
    writer: Writer | None = None
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(each.num_rows for each in waiting) >= size:
            group = pa.concat_tables(waiting)
            writer = writer or Writer(target, group)
            whole_groups = len(group) - len(group) % size
            writer.write(group.slice(0, whole_groups))
            waiting = [group.slice(whole_groups)]
    rest = pa.concat_tables(waiting)
    writer = writer or Writer(target, rest)
    writer.write(rest)
    writer.close()
    return target.stat().st_size


def _schema(path: Path) -> pa.Schema:
    with opened(path) as file:
        return file.schema_arrow


def _conformed(paths: list[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the row groups of all parts as tables of one schema."""
    for path in paths:
        with opened(path) as file:
            roles = roles_of(file.schema_arrow)
            for group in range(file.num_row_groups):
                yield conform(file.read_row_group(group), roles, schema)
