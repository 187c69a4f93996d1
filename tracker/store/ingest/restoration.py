"""Restoration of a deleted run, from the file that describes it: the reverse of a deletion with undo.

In one transaction, the run's rows return to the catalog, ``run.json`` is published, and then the tombstone is
removed. Last, after the commit, the description ``deleted/TOKEN.json`` is deleted. After a crash in between,
the catalog still lists the run as deleted, and the restoration can be repeated. Or a rebuild finds
``run.json`` without a tombstone, and restores the run: a description whose segments belong to a run has no
effect.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from tracker.errors import ConflictError, NotFoundError, StoreError
from tracker.ground.records import encode
from tracker.runstate.collection import version_name
from tracker.runstate.fold import pack_state
from tracker.store.catalog.models import (
    ArtifactUse,
    CapturedPart,
    DeletedRun,
    Part,
    Project,
    Run,
    RunFile,
    Rung,
    Segment,
    Version,
)
from tracker.store.ingest.deletion import publish_tombstone
from tracker.store.ingest.run_row import find_or_make_project, note_change
from tracker.store.published.models import KeptRun, KeptVersion, PublishedSegment, read_published_model
from tracker.store.published.runs import new_run_row, publish_run
from tracker.store.published.versions import StoredCollection, find_collection, publish_version
from tracker.store.queries.deleted_runs import find_deleted
from tracker.store.store import Store

Ladders = dict[str, list[tuple[str, int, bytes]]]


def restore_run(store: Store, entity: str, project: str, run_id: str, token: str | None = None) -> None:
    """Restore a deleted run with its rows, files, artifact versions and aliases.

    Args:
        store: The store.
        entity: The entity of the project.
        project: The name of the project.
        run_id: The id of the run.
        token: Which of several deleted runs with this id; None for the one that was deleted last.

    Raises:
        NotFoundError: There is no such deleted run, or its grace period has ended.
        ConflictError: A newer run has the same id.
        ReadOnlyError: This process may not write to the store.
        StoreError: A file of the run is missing or damaged.
    """
    place = (entity, project, run_id)
    store.check_lease()
    with store.reading() as session:
        number = find_deleted(session, *place, token).id
    path, kept, ladders = _read(store, number, place)
    with store.writing() as session:
        row = session.get(DeletedRun, number)
        if row is None or row.keep_until is None:
            raise NotFoundError(f"run {'/'.join(place)} is not among the deleted runs any more")
        owner = find_or_make_project(session, entity, project, kept.run.created_at)
        if session.scalar(select(Run.id).where(Run.project_id == owner.id, Run.run_id == run_id)) is not None:
            raise ConflictError(
                f"a newer run has the id {'/'.join(place)}: delete the newer run before you restore this one"
            )
        owner.created_at = min(owner.created_at, kept.run.created_at)
        run = _add_run(session, kept, owner)
        _add_segments(session, kept, run, ladders)
        _restore_artifacts(store, session, kept, run)
        note_change(session, run)
        session.delete(row)
        publish_run(store.layout, session, run)
        if kept.former is not None:
            publish_tombstone(store.layout, kept.former)
        else:
            store.layout.tombstone(*place).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _read(store: Store, number: int, place: tuple[str, str, str]) -> tuple[Path, KeptRun, Ladders]:
    """Return the description of a deleted run, with its file and the ladders of its parts.

    The ladders are computed here, because other writers wait during the transaction.
    """
    from tracker.store.history.ladder import LADDER_ROWS, rungs_of_part

    with store.reading() as session:
        row = session.get(DeletedRun, number)
    if row is None or row.keep_until is None:
        raise NotFoundError(f"run {'/'.join(place)} is not among the deleted runs any more")
    path = store.layout.kept_run(*place, row.token)
    ladders: Ladders = {}
    try:
        kept = read_published_model(path, KeptRun)
        for segment in kept.run.segments:
            for named in [each.path for each in segment.parts] + [each.path for each in segment.captured]:
                if not (store.root / named).is_file():
                    raise StoreError(
                        f"run {'/'.join(place)} cannot be restored: {store.root / named} is missing"
                    )
            for each in segment.parts:
                if each.rows >= LADDER_ROWS:
                    ladders[each.path] = list(rungs_of_part(store.root / each.path))
    except (OSError, ValueError) as error:
        raise StoreError(f"run {'/'.join(place)} cannot be restored: {path}: {error}") from error
    return path, kept, ladders


def _add_run(session: Session, kept: KeptRun, project: Project) -> Run:
    number = kept.run.number
    if number is not None and session.get(Run, number) is not None:
        number = None
    run = new_run_row(kept.run, project, number)
    session.add(run)
    session.flush()
    for file in kept.run.files:
        session.add(RunFile(run_id=run.id, **msgspec.structs.asdict(file)))
    return run


def _add_segments(session: Session, kept: KeptRun, run: Run, ladders: Ladders) -> None:
    names = [each.segment for each in kept.run.segments]
    # The rows that have prevented the application of late journals. New rows keep the order of the segments.
    own = Segment.segment.in_(names)
    places = session.execute(select(Segment.segment, Segment.journal_index, Segment.offset).where(own))
    former = {name: (number, offset) for name, number, offset in places}
    session.execute(delete(Segment).where(own))
    for each in kept.run.segments:
        segment = _segment_row(each, run.id, *former.get(each.segment, (0, 0)))
        session.add(segment)
        session.flush()
        for part in each.parts:
            added = Part(segment_id=segment.id, **msgspec.structs.asdict(part))
            session.add(added)
            session.flush()
            rungs = [
                {"part_id": added.id, "key": key, "bucket_rows": size, "data": data}
                for key, size, data in ladders.get(part.path, ())
            ]
            if rungs:
                session.execute(insert(Rung), rungs)
        for captured in each.captured:
            session.add(CapturedPart(segment_id=segment.id, **msgspec.structs.asdict(captured)))


def _segment_row(described: PublishedSegment, run_id: int, journal_index: int, offset: int) -> Segment:
    if described.state is None:
        raise StoreError(f"segment {described.segment} was not sealed when its run was deleted")
    started = described.state.started
    return Segment(
        segment=described.segment,
        run_id=run_id,
        rank=described.rank,
        attempt=described.attempt,
        started_at=described.started_at,
        start_step=described.start_step,
        ended=described.ended,
        sealed=True,
        sequence=described.sequence,
        journal_index=journal_index,
        offset=offset,
        process=encode(started.process) if started is not None else None,
        state=pack_state(described.state),
    )


def _restore_artifacts(store: Store, session: Session, kept: KeptRun, run: Run) -> None:
    """Restore the versions that were deleted with the run, and the relations between the run and versions."""
    for each in kept.versions:
        _restore_version(store, session, each)
    names = {}
    for logged in kept.run.versions:
        found = session.scalar(
            select(Version).where(Version.segment == logged.segment, Version.sequence == logged.sequence)
        )
        if found is not None:
            place = (logged.entity or kept.run.entity, logged.project or kept.run.project, logged.name)
            names[version_name(place, logged.version)] = found
    links = session.scalars(
        select(Version).where(
            Version.source.in_(names), Version.run_id.is_(None), Version.deleted_at.is_(None)
        )
    )
    _name_run(store, session, [*names.values(), *links], run)
    for use in kept.run.uses or []:
        collection = find_collection(session, use.entity, use.project, use.name)
        version = collection and session.scalar(
            select(Version).where(
                Version.collection_id == collection.id,
                Version.index == use.version,
                Version.deleted_at.is_(None),
            )
        )
        if version is not None and session.get(ArtifactUse, (run.id, version.id)) is None:
            session.add(ArtifactUse(run_id=run.id, version_id=version.id, used_at=use.used_at))


def _restore_version(store: Store, session: Session, kept: KeptVersion) -> None:
    row = find_collection(session, kept.entity, kept.project, kept.name)
    if row is None:
        return
    collection = StoredCollection(store.layout, session, row, kept.aliases, number=kept.version)
    if kept.version in collection.versions:
        outcome = collection.restore(kept.version, kept.aliases, time.time())
        # Publish the version first: an alias of a deleted version would be reported as damage.
        collection.store(msgspec.structs.replace(outcome, aliases={}))
        collection.store(msgspec.structs.replace(outcome, changed=False))


def _name_run(store: Store, session: Session, versions: Iterable[Version], run: Run) -> None:
    for version in versions:
        version.run_id = run.id
        session.flush()
        # A version that was changed in the meantime was published without the run.
        publish_version(store.layout, session, version)
