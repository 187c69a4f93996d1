"""Deleted runs: a tombstone file, and rows in the catalog that prevent applying their journals."""

from __future__ import annotations

from contextlib import suppress

from tracker.ground.records import RunStarted
from tracker.runstate.fold import SegmentState, pack_state
from tracker.store.catalog.models import Segment
from tracker.store.objects.layout import Layout
from tracker.store.published.models import PublishedDeletion, read_published_model


def is_deleted(layout: Layout, started: RunStarted, segment: str) -> bool:
    """Return whether the run of an unknown segment was deleted after the segment began.

    Args:
        layout: The paths of the store.
        started: The first record of the segment.
        segment: Id of the segment, which is not in the catalog.
    """
    with suppress(FileNotFoundError, ValueError):
        deletion = read_published_model(
            layout.tombstone(started.entity, started.project, started.run_id), PublishedDeletion
        )
        return segment in deletion.segments or started.time <= deletion.time
    return False


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
