"""Sealing of an ended segment: its rows move from the catalog to Parquet, and its journals are deleted.

The small files of the segment's run move into packs (``tracker.store.ingest.run_files``).

First, the Parquet file is written, forced to the disk and renamed. Then one transaction names the file and
removes the hot rows. The journals of a sealed segment are deleted only when this commit is durable.

The writer of a sealed segment may come back if its silence was the only sign of its end. Its journals are
then set aside instead: ``tracker.recorder.silent_journals``.
"""

from __future__ import annotations

from collections.abc import Callable
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


def remove_journal(path: Path) -> None:
    """Delete a journal, or another file of a sealed segment."""
    path.unlink(missing_ok=True)


def spill(store: Store, segment_id: int) -> bool:
    """Move a segment's hot rows into a Parquet part.

    Returns:
        Whether there were hot rows. If True, call again: there may be more.
    """
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
        # Equal counts of rows and bytes are not enough: the rows may have moved, and other rows have come.
        same = (now.journal_index, now.offset) == (segment.journal_index, segment.offset)
        moved = same and take_hot(session, segment)
        if moved:
            add_part(store, session, segment_id, part)
        else:
            session.rollback()
    if not moved:
        discard(part)
    return True  # another process may have left rows, and late rows may have come: look again


def seal(store: Store, segment_id: int, remove: Callable[[Path], object] = remove_journal) -> None:
    """Seal an ended segment: move its rows to Parquet and delete its journals. Idempotent.

    The caller has applied the journals to their end. If a journal has unapplied records, it is kept, and the
    segment is not sealed.

    Args:
        store: The store.
        segment_id: Number of the segment in the catalog.
        remove: Deletes a journal, or sets it aside.
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
            return  # the writer has written again: the caller seals after applying its records
        run = session.get_one(Run, segment.run_id)
        notes = notes_of(store.layout, segment.segment)
        if not segment.sealed:
            segment.sealed = True
            state = unpack_state(segment.state)
            state.drafts |= {path.stem: note.digest for path, note in notes.items()}
            segment.state = pack_state(state)
            publish_run(store.layout, session, run)
        unnamed = _unnamed(store, session, segment) + unnamed_captured(store, session, segment)
    # After a crash between the publishing of a part and its commit, the folder contains rows twice.
    # A sealed segment does not get more parts, so the catalog will never name these files.
    for path in [*unnamed, *notes]:
        remove_journal(path)
    for path in journals:
        remove(path)


def has_all_records(store: Store, segment: Segment) -> bool:
    """Return whether a segment that is not sealed has ended for good, and its journals are applied."""
    if segment.ended is None or unpack_state(segment.state).silent_since is not None:
        return False
    return bool(_journals(store, segment))


def _unnamed(store: Store, session: Session, segment: Segment) -> list[Path]:
    """Return the segment's parts in the run's folder that the catalog does not name."""
    run = session.get(Run, segment.run_id) if segment.run_id else None
    if run is None:
        return []
    named = set(session.scalars(select(Part.path).where(Part.segment_id == segment.id)))
    folder = store.layout.run(run.project.entity, run.project.name, run.run_id) / "history"
    found = folder.glob(f"{segment.segment}-*.parquet")
    return [path for path in found if str(path.relative_to(store.root)) not in named]


def _journals(store: Store, segment: Segment) -> list[Path] | None:
    """Return a segment's journals; None if one has unapplied bytes."""
    found = []
    for journal in store.layout.segment_journals(segment.segment, segment.journal_index + 1):
        applied = segment.offset if journal.number == segment.journal_index else HEADER.size
        if journal.number >= segment.journal_index and journal.path.stat().st_size > applied:
            return None
        found.append(journal.path)
    return found
