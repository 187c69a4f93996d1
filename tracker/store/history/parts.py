"""Parts: Parquet files with rows of one segment. A part is published first, then named in the catalog.

The name of a part has a random token. When two processes write the same rows at the same time, they make two
files. The process whose transaction comes second removes its own file. So a file that the catalog names is
never replaced.
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
    """A published part that the catalog does not name yet.

    Attributes:
        path: The file.
        rows: The number of rows.
        first_row: The number of the first row, in order of logging.
        last_row: The number of the last row.
        size: The size of the file in bytes.
        rungs: The overview ladder: key, rows per bucket, packed buckets.
    """

    path: Path
    rows: int
    first_row: int
    last_row: int
    size: int
    rungs: list[tuple[str, int, bytes]]


def write_part(store: Store, folder: Path, segment: str, rows: list[FinishedRow]) -> NewPart:
    """Write rows to a new part and publish the part.

    Args:
        store: The store.
        folder: The run's ``history`` folder.
        segment: The segment of the rows.
        rows: At least one row, in order of logging.
    """
    from tracker.store.history.parquet import write_rows

    return publish_part(
        store, folder, segment, (rows[0].row, rows[-1].row, len(rows)), lambda path: write_rows(path, rows)
    )


def publish_part(
    store: Store, folder: Path, segment: str, extent: tuple[int, int, int], write: Callable[[Path], int]
) -> NewPart:
    """Write a part under a temporary name, force it to the disk and rename it to its final name.

    Args:
        store: The store.
        folder: The run's ``history`` folder.
        segment: The segment of the rows.
        extent: The numbers of the first and the last row, and the number of rows.
        write: A function that writes the file and returns its size in bytes.
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
    """Name a part in the catalog.

    Args:
        store: The store.
        session: The write transaction that also removes the rows from their former place.
        segment_id: The segment's number in the catalog.
        part: The part.
    """
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
    """Remove a part whose transaction did not name it: another process was faster, or an error occurred."""
    with suppress(OSError):
        part.path.unlink(missing_ok=True)
