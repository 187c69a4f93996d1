"""Errors that keep a segment's journals from being applied. The catalog records them for users to see."""

from __future__ import annotations

from sqlalchemy import select

from tracker.store.catalog.models import Run, Segment
from tracker.store.ingest.run_row import note_change
from tracker.store.store import Store


def note_fault(store: Store, segment_id: str, fault: str | None) -> None:
    """Record in the catalog why a segment is not applied.

    Args:
        store: The store.
        segment_id: 32 hex digits. A segment that the catalog does not have is ignored.
        fault: One line; None when applying works.
    """
    named = Segment.segment == segment_id
    with store.reading() as session:  # usually nothing changes; then no write lock is needed
        found = session.execute(select(Segment.fault).where(named)).one_or_none()
    if found is None or found.fault == fault:
        return
    with store.writing() as session:
        segment = session.scalar(select(Segment).where(named))
        if segment is None or segment.fault == fault:
            return
        segment.fault = fault
        run = session.get(Run, segment.run_id) if segment.run_id else None
        if run is not None:
            note_change(session, run)
