"""From hot to cold: an ended segment's rows leave the catalog for Parquet, its journals leave the disk.

The small files of its run move into packs (``tracker.store.ingest.run_files``).

The file comes first, fsynced and renamed; then one transaction names it and removes the hot rows;
only when that commit is durable may a sealed segment's journals go.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.journal.format import HEADER
from tracker.runstate.fold import pack_state, unpack_state
from tracker.store.blobs.finalize import notes_of
from tracker.store.catalog.hot_rows import read_hot, take_hot
from tracker.store.catalog.models import Part, Run, Segment
from tracker.store.history.captured import keep_captured, spill_captured, unnamed_captured
from tracker.store.history.parts import add_part, discard, write_part
from tracker.store.ingest.run_files import pack_run_files
from tracker.store.published.runs import publish_run
from tracker.store.store import Store


def spill(store: Store, segment_id: int) -> bool:
    """Move a segment's hot rows into a Parquet part; return whether there were any."""
    with store.reading() as session:
        segment = session.get_one(Segment, segment_id)
        run = session.get(Run, segment.run_id) if segment.run_id else None
        if run is None or segment.sealed:
            return False
        rows = read_hot(session, segment_id)
        folder = store.layout.run(run.project.entity, run.project.name, run.run_id) / "history"
    if not rows:
        return False
    part = write_part(store, folder, segment.segment, rows)
    with store.writing() as session:
        now = session.get_one(Segment, segment_id)
        # As many rows with as many bytes may be others: what was seen went to another part, more came.
        same = (now.journal_index, now.offset) == (segment.journal_index, segment.offset)
        moved = same and take_hot(session, segment)
        if moved:
            add_part(store, session, segment_id, part)
        else:
            session.rollback()
    if not moved:
        discard(part)
    return True  # whoever was faster may have left some, or late rows came between: look again


def seal(store: Store, segment_id: int) -> None:
    """Make an ended segment's history cold and let its journals go. Idempotent.

    The caller has applied its journals to their end; one that holds more is kept, and nothing is sealed.
    """
    with store.reading() as session:
        segment = session.get_one(Segment, segment_id)
        if segment.sealed and segment.run_id is None:  # its run was deleted
            store.check_lease()
            for journal in store.layout.segment_journals(segment.segment, segment.journal_index + 1):
                journal.path.unlink(missing_ok=True)
            return
        if _journals(store, segment) is None:
            return
        unnamed = [] if segment.sealed else _unnamed(store, session, segment)
        left = [] if segment.sealed else unnamed_captured(store, session, segment)
    if left:
        keep_captured(store, segment_id, left)
    spill_captured(store, segment_id, everything=True)
    if unnamed:
        from tracker.store.ingest.salvage import keep_rows

        keep_rows(store, segment_id, unnamed)
    while spill(store, segment_id):
        pass
    with store.reading() as session:
        several = len(session.scalars(select(Part.id).where(Part.segment_id == segment_id)).all()) > 1
    if several:
        from tracker.store.history.compaction import compact_all

        compact_all(store, segment_id)
    if segment.run_id is not None:
        pack_run_files(store, segment.run_id)
    with store.writing() as session:
        segment = session.get_one(Segment, segment_id)
        journals = _journals(store, segment)
        if segment.ended is None or segment.run_id is None or segment.hot_count or journals is None:
            return  # its writer went on after all: look again when that has been applied
        run = session.get_one(Run, segment.run_id)
        notes = notes_of(store.layout, segment.segment)
        if not segment.sealed:
            segment.sealed = True
            state = unpack_state(segment.state)
            state.drafts = {path.stem: note.digest for path, note in notes.items()}
            segment.state = pack_state(state)
            publish_run(store.layout, session, run)
        unnamed = _unnamed(store, session, segment) + unnamed_captured(store, session, segment)
    # A crash between a part's publishing and its commit left rows twice for who reads the folder.
    # A sealed segment gets no more parts, so what nobody names now nobody ever will.
    for path in [*unnamed, *journals, *notes]:
        path.unlink(missing_ok=True)


def _unnamed(store: Store, session: Session, segment: Segment) -> list[Path]:
    """Return the parts that lie in the run's folder and that the catalog does not name."""
    run = session.get(Run, segment.run_id) if segment.run_id else None
    if run is None:
        return []
    named = set(session.scalars(select(Part.path).where(Part.segment_id == segment.id)))
    folder = store.layout.run(run.project.entity, run.project.name, run.run_id) / "history"
    found = folder.glob(f"{segment.segment}-*.parquet")
    return [path for path in found if str(path.relative_to(store.root)) not in named]


def _journals(store: Store, segment: Segment) -> list[Path] | None:
    """Return a segment's journals; None when one holds what was not applied."""
    found = []
    for journal in store.layout.segment_journals(segment.segment, segment.journal_index + 1):
        applied = segment.offset if journal.number == segment.journal_index else HEADER.size
        if journal.number >= segment.journal_index and journal.path.stat().st_size > applied:
            return None
        found.append(journal.path)
    return found
