"""What is left of deleted runs: a tombstone, and rows in the catalog that keep their journals out."""

from __future__ import annotations

from contextlib import suppress

from tracker.ground.records import RunStarted
from tracker.runstate.fold import SegmentState, pack_state
from tracker.store.catalog.models import Segment
from tracker.store.objects.layout import Layout
from tracker.store.published.models import PublishedDeletion, read_published_model


def is_deleted(layout: Layout, started: RunStarted, segment: str) -> bool:
    """Whether a segment that the catalog does not know belongs to a run that was deleted after it began."""
    with suppress(FileNotFoundError, ValueError):
        said = read_published_model(
            layout.tombstone(started.entity, started.project, started.run_id), PublishedDeletion
        )
        return segment in said.segments or started.time <= said.time
    return False


def publish_tombstone(segment: str, started_at: float = 0.0) -> Segment:
    """Return the catalog's row of a segment of a deleted run: nothing of it is applied, its journals go."""
    return Segment(
        segment=segment,
        sealed=True,
        ended="finished",
        started_at=started_at,
        state=pack_state(SegmentState()),
    )
