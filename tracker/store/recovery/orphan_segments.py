"""Orphan segments: segments without a run, because their first record, which names the run, is lost."""

from __future__ import annotations

from sqlalchemy import select

from tracker.runstate.fold import unpack_state
from tracker.store.catalog.models import Segment
from tracker.store.store import Store


def list_orphans(store: Store) -> list[str]:
    """Return one line of text for each segment without a run."""
    with store.reading() as session:
        found = session.execute(
            select(Segment.segment, Segment.state)
            .where(Segment.run_id.is_(None), Segment.sealed.is_(False))  # segments of deleted runs are sealed
            .order_by(Segment.segment)
        ).all()
    return [describe_orphan(segment, state) for segment, state in found]


def describe_orphan(segment: str, packed: bytes) -> str:
    """Return one line of text about a segment without a run, from the segment's packed state."""
    state = unpack_state(packed)
    rows = state.rows + (state.open is not None)
    said = f"segment {segment} has no run, as its first record is gone; its {rows} rows are kept"
    return "; ".join([said, *state.problems])
