"""Permanent deletion of a run: its rows, files and journals. ``tracker gc`` later deletes unreferenced blobs.

First, a tombstone is published: ``deleted.json`` in the run's folder. Then one transaction removes the run
from the catalog. Last, the run's files are deleted. The tombstone stays, so that a rebuild does not restore
the run, and so that journals of the run that come later from another host are not applied.

After a crash between the tombstone and the transaction, the catalog still has the run until the deletion is
repeated or the catalog is rebuilt. If the id is used again after the deletion, it is a new run.
"""

from __future__ import annotations

import shutil
import time

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from tracker.errors import UsageError
from tracker.ground.records import ArtifactChanged
from tracker.runstate.fold import SegmentState, pack_state
from tracker.store.catalog.models import (
    ArtifactUse,
    CapturedPart,
    ConsoleLine,
    HotRow,
    Part,
    Run,
    RunField,
    RunFile,
    Rung,
    Sample,
    Segment,
    Version,
)
from tracker.store.ingest.artifact_edits import change_artifact
from tracker.store.ingest.run_row import count_change
from tracker.store.objects.checksummed_json import publish_checksummed
from tracker.store.published.models import PublishedDeletion
from tracker.store.queries.runs import get_run
from tracker.store.store import Store


def delete_run(
    store: Store, entity: str, project: str, run_id: str, *, delete_artifacts: bool = False
) -> None:
    """Delete a run that has ended.

    Args:
        store: The store.
        entity: The entity of the project.
        project: The name of the project.
        run_id: The id of the run.
        delete_artifacts: Also delete the artifact versions that the run logged. By default these stay,
            without a run.

    Raises:
        NotFoundError: The run does not exist.
        UsageError: A writer of the run has not ended.
    """
    if delete_artifacts:
        _delete_artifacts(store, entity, project, run_id)
    layout = store.layout
    with store.writing() as session:
        run = get_run(session, entity, project, run_id)
        segments = session.scalars(select(Segment).where(Segment.run_id == run.id)).all()
        if any(segment.ended is None for segment in segments):
            raise UsageError(f"run {entity}/{project}/{run_id} is still running: end it first")
        named = [segment.segment for segment in segments]
        journals = {segment.segment: segment.journal_index for segment in segments}
        deletion = PublishedDeletion(1, entity, project, run_id, time.time(), named)
        path = layout.tombstone(entity, project, run_id)
        store.check_lease()
        publish_checksummed(layout.new_temporary(), path, deletion)
        _remove_from_catalog(session, run)
    for child in layout.run(entity, project, run_id).iterdir():
        if child == path:
            continue
        if child.is_dir():
            shutil.rmtree(child, ignore_errors=True)
        else:
            child.unlink(missing_ok=True)
    for name, last in journals.items():
        for journal in layout.segment_journals(name, last):
            journal.path.unlink(missing_ok=True)


def _delete_artifacts(store: Store, entity: str, project: str, run_id: str) -> None:
    with store.reading() as session:
        run = get_run(session, entity, project, run_id)
        versions = session.scalars(
            select(Version).where(Version.run_id == run.id, Version.deleted_at.is_(None))
        ).all()
        changes = [
            ArtifactChanged(
                each.collection.project.entity,
                each.collection.project.name,
                each.collection.name,
                each.index,
                each.digest,
                time.time(),
                deleted=True,
            )
            for each in versions
        ]
    for change in changes:
        change_artifact(store, change)


def _remove_from_catalog(session: Session, run: Run) -> None:
    own = select(Segment.id).where(Segment.run_id == run.id).scalar_subquery()
    parts = select(Part.id).where(Part.segment_id.in_(own)).scalar_subquery()
    session.execute(delete(Rung).where(Rung.part_id.in_(parts)))
    for table in (HotRow, Part, Sample, ConsoleLine, CapturedPart):
        session.execute(delete(table).where(table.segment_id.in_(own)))
    for kind in (RunFile, RunField, ArtifactUse):
        session.execute(delete(kind).where(kind.run_id == run.id))
    session.execute(update(Version).where(Version.run_id == run.id).values(run_id=None))
    session.execute(
        update(Segment)
        .where(Segment.run_id == run.id)
        .values(run_id=None, sealed=True, hot_count=0, hot_bytes=0, state=pack_state(SegmentState()))
    )
    session.execute(delete(Run).where(Run.id == run.id))
    count_change(session)
