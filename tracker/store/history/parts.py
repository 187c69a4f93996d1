"""Parts: Parquet files with rows of one segment. Written and published first, named in the catalog second.

A part's name carries a random token: two appliers that write the same rows at once make two files,
the one whose transaction comes second removes its own, and nobody ever replaces a file that is named.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import insert
from sqlalchemy.orm import Session

from tracker.runstate.fold import FinishedRow
from tracker.store.catalog.models import Part, Rung
from tracker.store.objects.atomic_files import publish, sync_file
from tracker.store.store import Store


class NewPart(NamedTuple):
    """A part that lies in its place and that no catalog names yet.

    Attributes:
        path: The file.
        rows: How many rows it has.
        first_row: Number of the first in order of logging.
        last_row: Number of the last.
        size: Bytes.
        rungs: Its overview ladder: key, rows in a bucket, packed buckets.
    """

    path: Path
    rows: int
    first_row: int
    last_row: int
    size: int
    rungs: list[tuple[str, int, bytes]]


def write_part(store: Store, folder: Path, segment: str, rows: list[FinishedRow]) -> NewPart:
    """Write rows, in order of logging, to a new part in ``folder``."""
    from tracker.store.history.parquet import write_rows

    return publish_part(
        store, folder, segment, (rows[0].row, rows[-1].row, len(rows)), lambda path: write_rows(path, rows)
    )


def publish_part(
    store: Store, folder: Path, segment: str, extent: tuple[int, int, int], write: Callable[[Path], int]
) -> NewPart:
    """Have a part written under a temporary name, force it to the disk and move it to its name.

    Args:
        store: Where.
        folder: The run's ``history``.
        segment: The rows' segment.
        extent: First row, last row, number of rows.
        write: Writes the file and returns its size.
    """
    from tracker.store.history.ladder import rungs_of_part
    from tracker.store.history.parquet import part_name

    first, last, count = extent
    temporary = store.layout.new_temporary()
    try:
        size = write(temporary)
        sync_file(temporary)
        rungs = list(rungs_of_part(temporary))
        path = folder / part_name(temporary, segment, first, last)
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return NewPart(path, count, first, last, size, rungs)


def add_part(store: Store, session: Session, segment_id: int, part: NewPart) -> None:
    """Name a part in the catalog, in the transaction that takes its rows from where they were."""
    named = Part(
        segment_id=segment_id,
        path=str(part.path.relative_to(store.root)),
        rows=part.rows,
        first_row=part.first_row,
        last_row=part.last_row,
        size=part.size,
    )
    session.add(named)
    session.flush()
    if part.rungs:
        session.execute(
            insert(Rung),
            [
                {"part_id": named.id, "key": key, "bucket_rows": size, "data": data}
                for key, size, data in part.rungs
            ],
        )


def discard(part: NewPart) -> None:
    """Remove a part that lost a race, or that its transaction failed to name."""
    with suppress(OSError):
        part.path.unlink(missing_ok=True)
