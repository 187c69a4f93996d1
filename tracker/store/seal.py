"""From hot to cold: a segment's rows leave the catalog for Parquet, its journals leave the disk.

The file comes first, fsynced and renamed; then one transaction names it and removes the hot rows;
only when that commit is durable may a sealed segment's journals go.
"""

from __future__ import annotations

from sqlalchemy import delete, select

from tracker.store.apply import unpack_data
from tracker.store.files import publish, sync_file
from tracker.store.fold import FinishedRow
from tracker.store.models import HotRow, Part, Run, Segment
from tracker.store.parquet import write_rows
from tracker.store.published import publish_run
from tracker.store.store import Store

# A part of this many bytes of packed rows, or rows, is worth a file of its own while the run goes on.
SPILL_BYTES = 16 * 1024 * 1024
ROWS_PER_PART = 100_000


def spill(store: Store, segment_id: int) -> bool:
    """Move a batch of a segment's hot rows into a Parquet part; return whether there were any."""
    with store.reading() as session:
        segment = session.get_one(Segment, segment_id)
        run = session.get(Run, segment.run_id) if segment.run_id else None
        if run is None or segment.sealed:
            return False
        hot = session.scalars(
            select(HotRow).where(HotRow.segment_id == segment_id).order_by(HotRow.row).limit(ROWS_PER_PART)
        ).all()
        folder = store.layout.run(run.project.entity, run.project.name, run.run_id) / "history"
    if not hot:
        return False
    rows = [FinishedRow(row.row, row.step, row.time, row.runtime, unpack_data(row.data)) for row in hot]
    first, last = rows[0].row, rows[-1].row
    temporary = store.layout.new_temporary()
    try:
        size = write_rows(temporary, rows)
        sync_file(temporary)
        path = folder / f"{segment.segment}-{first:012d}-{last:012d}.parquet"
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    with store.writing() as session:
        gone = session.scalars(
            delete(HotRow)
            .where(HotRow.segment_id == segment_id, HotRow.row.between(first, last))
            .returning(HotRow.row)
        ).all()
        if len(gone) != len(rows):
            session.rollback()
            return True  # somebody else moved these rows, or a late one came between: look again
        segment = session.get_one(Segment, segment_id)
        segment.hot_bytes = max(0, segment.hot_bytes - sum(len(row.data) for row in hot))
        session.add(
            Part(
                segment_id=segment_id,
                path=str(path.relative_to(store.root)),
                rows=len(rows),
                first_row=first,
                last_row=last,
                size=size,
            )
        )
    return True


def seal(store: Store, segment_id: int) -> None:
    """Make an ended segment's history cold and let its journals go. Idempotent.

    The caller has applied its journals to their end.
    """
    while spill(store, segment_id):
        pass
    with store.writing() as session:
        segment = session.get_one(Segment, segment_id)
        if segment.ended is None or segment.run_id is None:
            return
        if not segment.sealed:
            segment.sealed = True
            publish_run(store, session, session.get_one(Run, segment.run_id))
        name = segment.segment
        named = set(session.scalars(select(Part.path).where(Part.segment_id == segment_id)))
        run = session.get_one(Run, segment.run_id)
        folder = store.layout.run(run.project.entity, run.project.name, run.run_id) / "history"
    # A crash between a part's publishing and its commit left rows twice for who reads the folder.
    # A sealed segment gets no more parts, so what nobody names now nobody ever will.
    for path in folder.glob(f"{name}-*.parquet"):
        if str(path.relative_to(store.root)) not in named:
            path.unlink(missing_ok=True)
    for journal in store.layout.list_journals():
        if journal.segment == name:
            journal.path.unlink(missing_ok=True)
