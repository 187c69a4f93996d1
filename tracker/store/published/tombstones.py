"""Rows in the catalog that prevent applying the journals of deleted runs."""

from __future__ import annotations

from tracker.runstate.fold import SegmentState, pack_state
from tracker.store.catalog.models import Segment


def deleted_segment(segment: str, started_at: float = 0.0) -> Segment:
    """Return a catalog row for a segment of a deleted run. Its records are not applied.

    The row is sealed, so the journals of the segment are deleted.
    """
    return Segment(
        segment=segment,
        sealed=True,
        ended="finished",
        started_at=started_at,
        state=pack_state(SegmentState()),
    )
