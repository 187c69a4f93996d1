"""Deletion of runs: with undo for a grace period, or permanently.

A deleted run is removed from the catalog, so that no query finds it. Its segments stay in the catalog without
a run, so that journals of the run that come later are not applied.

The steps of a deletion with undo are:

1. All segments are sealed: the description of the run and its parts then contain everything about it.
2. The description is published: ``deleted/TOKEN.json`` (``KeptRun``). Alone, this file has no effect.
3. The tombstone ``deleted.json`` is published. From here on, a rebuild lists the run as deleted.
4. The transaction commits.
5. ``run.json`` is deleted.

After a crash between steps 3 and 4, the catalog still has the run until the deletion is repeated or the
catalog is rebuilt. Garbage collection deletes the files after the grace period (``purge_run``). The tombstone
stays, so that a rebuild does not restore the run. ``tracker.store.ingest.restoration`` undoes a deletion. If
the id is used again after the deletion, it is a new run.

A permanent deletion publishes the tombstone, commits, and deletes the files.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from tracker.errors import UsageError
from tracker.ground.records import ArtifactChanged
from tracker.ground.settings import deletion_grace
from tracker.runstate.fold import SegmentState, pack_state
from tracker.store.catalog.models import (
    ArtifactUse,
    CapturedPart,
    ConsoleLine,
    DeletedRun,
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
from tracker.store.ingest.artifacts import apply_change
from tracker.store.ingest.run_row import count_change
from tracker.store.ingest.seal import seal
from tracker.store.objects.checksummed_json import publish_checksummed
from tracker.store.objects.layout import Layout
from tracker.store.published.models import (
    FORMAT,
    KeptRun,
    KeptVersion,
    PublishedDeletion,
    PublishedRun,
    read_published_model,
)
from tracker.store.published.runs import describe_run
from tracker.store.published.versions import aliases_of, path_of
from tracker.store.queries.runs import get_run
from tracker.store.queries.visible import EVERYTHING, Visible
from tracker.store.store import Store


def delete_run(
    store: Store,
    entity: str,
    project: str,
    run_id: str,
    *,
    delete_artifacts: bool = False,
    now: bool = False,
    changeable: Visible = EVERYTHING,
) -> None:
    """Delete a run that has ended.

    Args:
        store: The store.
        entity: The entity of the project.
        project: The name of the project.
        run_id: The id of the run.
        delete_artifacts: Also delete the artifact versions that the run logged. By default these stay,
            without a run.
        now: Delete the run permanently. By default it can be restored for ``deletion_grace`` seconds.
        changeable: The projects that the caller can change. Links to the run's versions in other projects
            stay.

    Raises:
        NotFoundError: The run does not exist.
        UsageError: A writer of the run has not ended. Or records of the run wait to be applied, so that they
            could not be restored.
    """
    layout, place = store.layout, (entity, project, run_id)
    grace = deletion_grace()
    if not now:
        seal_segments(store, *place)
    with store.writing() as session:
        run = get_run(session, *place)
        segments = ended_segments(session, run)
        if not (now or all(segment.sealed for segment in segments)):
            raise UsageError(
                f"records of run {'/'.join(place)} wait to be applied, and could not be restored: apply them "
                "with `tracker sync`, or delete the run permanently"
            )
        versions = _versions_of(session, run, changeable) if delete_artifacts else []
        named = [segment.segment for segment in segments]
        described = describe_run(session, run)
        parts = _parts_of(described)
        deleted_at, token, keep_until = time.time(), "", None
        store.check_lease()
        if not now:
            kept = KeptRun(
                format=FORMAT,
                deleted_at=deleted_at,
                keep_until=deleted_at + grace,
                versions=[_keep_version(session, each) for each in versions],
                run=described,
            )
            kept.former = _former_tombstone(layout, kept)
            token, keep_until = kept.token, kept.keep_until
            publish_checksummed(layout.new_temporary(), layout.kept_run(*place, token), kept.to_json())
        publish_tombstone(layout, PublishedDeletion(FORMAT, *place, deleted_at, named))
        for version in versions:
            _delete_version(store, session, version, deleted_at)
        session.add(
            DeletedRun(
                entity=entity,
                project=project,
                run_id=run_id,
                name=run.name,
                deleted_at=deleted_at,
                keep_until=keep_until,
                token=token,
                revision=count_change(session),
            )
        )
        _remove_from_catalog(session, run)
    layout.run_file(*place).unlink(missing_ok=True)
    if now:
        _remove_files(layout, place, named, parts)
        for segment in segments:
            for journal in layout.segment_journals(segment.segment, segment.journal_index):
                journal.path.unlink(missing_ok=True)


def purge_run(store: Store, number: int, due: float) -> bool:
    """Delete the files of a deleted run, unless the run was restored or deleted permanently in the meantime.

    Args:
        store: The store.
        number: ``DeletedRun.id`` of the run.
        due: Delete the run only if its grace period ends by this time, in unix seconds.

    Returns:
        Whether the files were deleted.
    """
    layout = store.layout
    with store.writing() as session:  # a restoration waits for this transaction
        row = session.get(DeletedRun, number)
        if row is None or row.keep_until is None or row.keep_until > due:
            return False
        place = (row.entity, row.project, row.run_id)
        path = layout.kept_run(*place, row.token)
        segments, parts = [row.token], []
        with suppress(FileNotFoundError, ValueError):
            kept = read_published_model(path, KeptRun)
            segments = [each.segment for each in kept.run.segments]
            parts = _parts_of(kept.run)
        tombstone = read_tombstone(layout, *place)
        store.check_lease()
        if tombstone is None:  # a restoration was interrupted
            tombstone = PublishedDeletion(FORMAT, *place, row.deleted_at, segments)
            publish_tombstone(layout, tombstone)
        _remove_files(layout, place, segments, parts, path)
        row.keep_until, row.token = None, ""
    return True


def read_tombstone(layout: Layout, entity: str, project: str, run_id: str) -> PublishedDeletion | None:
    """Return the tombstone of a run, or None if there is none or it is damaged. See ``Layout.tombstone``."""
    with suppress(FileNotFoundError, ValueError):
        return read_published_model(layout.tombstone(entity, project, run_id), PublishedDeletion)
    return None


def publish_tombstone(layout: Layout, deletion: PublishedDeletion) -> None:
    """Publish the tombstone of a run."""
    path = layout.tombstone(deletion.entity, deletion.project, deletion.id)
    publish_checksummed(layout.new_temporary(), path, deletion)


def _former_tombstone(layout: Layout, kept: KeptRun) -> PublishedDeletion | None:
    """Return the tombstone of an earlier run with the id of this one, or None."""
    place = (kept.run.entity, kept.run.project, kept.run.id)
    found = read_tombstone(layout, *place)
    if found is None or not set(found.segments).intersection(each.segment for each in kept.run.segments):
        return found
    # An earlier attempt to delete this run was interrupted after it had published its tombstone.
    with suppress(FileNotFoundError, ValueError):
        return read_published_model(layout.kept_run(*place, kept.token), KeptRun).former
    return None


def seal_segments(store: Store, entity: str, project: str, run_id: str) -> None:
    """Seal the segments of a run that has ended.

    Args:
        store: The store.
        entity: The entity of the project.
        project: The name of the project.
        run_id: The id of the run.

    Raises:
        NotFoundError: The run does not exist.
        UsageError: A writer of the run has not ended.
    """
    with store.reading() as session:
        segments = ended_segments(session, get_run(session, entity, project, run_id))
    for segment in segments:
        if not segment.sealed:
            seal(store, segment.id)


def _parts_of(run: PublishedRun) -> list[str]:
    found = [part.path for segment in run.segments for part in segment.parts]
    return found + [part.path for segment in run.segments for part in segment.captured]


def ended_segments(session: Session, run: Run) -> list[Segment]:
    """Return the segments of a run.

    Raises:
        UsageError: A writer of the run has not ended.
    """
    segments = session.scalars(select(Segment).where(Segment.run_id == run.id).order_by(Segment.id)).all()
    if any(segment.ended is None for segment in segments):
        name = f"{run.project.entity}/{run.project.name}/{run.run_id}"
        raise UsageError(f"run {name} is still running: end it first")
    return list(segments)


def _versions_of(session: Session, run: Run, changeable: Visible) -> list[Version]:
    found = select(Version).where(Version.run_id == run.id, Version.deleted_at.is_(None))
    return list(session.scalars(changeable.limit_versions(found).order_by(Version.id)))


def _keep_version(session: Session, version: Version) -> KeptVersion:
    aliases = aliases_of(session, version)
    return KeptVersion(*path_of(version.collection), version.index, version.manifest, aliases)


def _delete_version(store: Store, session: Session, version: Version, deleted_at: float) -> None:
    place = path_of(version.collection)
    change = ArtifactChanged(*place, version.index, version.digest, deleted_at, deleted=True)
    apply_change(store, session, change)


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


def _remove_files(
    layout: Layout,
    place: tuple[str, str, str],
    segments: Iterable[str],
    parts: Iterable[str],
    kept: Path | None = None,
) -> None:
    """Delete the files of a run, except the tombstone and the files of other runs that had the same id.

    Args:
        layout: The paths of the store.
        place: Entity, project and id of the run.
        segments: The segments of the run.
        parts: Paths of Parquet files of the run. A run that was moved has files in its former folders.
        kept: The description of the run, if it could be restored. It is deleted last.
    """
    folder = layout.run(*place)
    folders = {folder, *((layout.root / path).parents[1] for path in parts)}
    for segment in segments:
        for each in folders:
            for path in each.glob(f"*/{segment}-*.parquet"):
                path.unlink(missing_ok=True)
    if not (folder / "run.json").exists():
        (folder / "run.json.broken").unlink(missing_ok=True)
    if kept is not None:
        kept.unlink(missing_ok=True)
    for each in folders:
        for child in each.iterdir():
            if child.is_dir():
                with suppress(OSError):  # it has files of another run
                    child.rmdir()
