"""Applying records about artifacts: versions, aliases, uses, changes and links.

A process takes a version number by creating ``versions/N.json`` exclusively. The file contains the segment
and the sequence number of the record that asked for the version. After a crash between the creation of the
file and the commit of the catalog, the same record finds its file and keeps the number instead of taking
another one.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.errors import ArtifactError, NotFoundError, StoreError
from tracker.ground.records import ArtifactChanged, ArtifactLinked, ArtifactLogged, ArtifactUsed, RunStarted
from tracker.runstate.collection import RecordId, parse_version_name
from tracker.store.blobs.finalize import FinalizedDraft, PackPosition, finalize_draft, with_content
from tracker.store.blobs.manifest import InvalidManifestError, read_manifest
from tracker.store.blobs.packs import known_places, note_version
from tracker.store.catalog.models import ArtifactUse, Collection, Project, Run, Version
from tracker.store.ingest.run_row import find_or_make_project
from tracker.store.published.runs import publish_run
from tracker.store.published.versions import StoredCollection, find_collection, find_version
from tracker.store.store import Store

# Finalizes a draft of a store; returns None while another thread is still finalizing the draft.
Finalize = Callable[[Store, str], FinalizedDraft | None]


def finalize_now(store: Store, token: str) -> FinalizedDraft:
    """Finalize a draft and wait for the result. Small contents that the store has are not stored again."""

    def known(names: list[str]) -> dict[str, PackPosition]:
        with store.reading() as session:
            return known_places(session, names)

    return finalize_draft(store.layout, token, known)


def complete_record(store: Store, record: ArtifactLogged, finalize: Finalize) -> ArtifactLogged | str | None:
    """Return the record of a logged artifact with the digest and the manifest of its draft.

    Args:
        store: The store.
        record: The record.
        finalize: Finalizes the draft.

    Returns:
        The completed record; a text with the reason if the artifact cannot be made; None if the draft is
        not finalized yet.

    Raises:
        StoreError: The draft is not in the store.
    """
    if record.draft is None:
        return record
    found = finalize(store, record.draft)
    if found is None:
        return None
    if found.problem is not None:
        return f"artifact {record.name} was not made: {found.problem}"
    return with_content(record, found)


def add_version(
    store: Store,
    session: Session,
    run: Run,
    started: RunStarted,
    record: ArtifactLogged,
    made_by: RecordId,
) -> Version:
    """Add a version for a logged artifact, unless the newest version has the same content; move the aliases.

    The collection is in the project that the run had when it logged the artifact.

    Args:
        store: The store.
        session: The write transaction of the batch that contains the record.
        run: The run that logged the artifact.
        started: The first record of the segment, with the project that the run had then.
        record: The record, with its manifest.
        made_by: The segment of the record, and its number there.

    Returns:
        The new version, or the newest one if it has the same content.

    Raises:
        InvalidManifestError: The bytes of the manifest are not a manifest. No version is added.
        StoreError: The store does not have the artifact's content yet.
    """
    project = find_or_make_project(session, *record.place(started), record.time)
    row = _find_or_make_collection(session, project, record.name, record.artifact_type)
    collection = StoredCollection(
        store.layout, session, row, record.aliases, made_by, record.number, record.digest
    )
    if collection.needs_version(record, made_by):
        _sync_content(store, session, run, record)
    version = collection.store(collection.log(record, run.run_id, made_by), run.id)
    if version.run_id is None and (version.segment, version.sequence) == made_by:
        version.run_id = run.id  # a rebuild found the file of the version, but not its run
    return version


def add_use(store: Store, session: Session, run: Run, record: ArtifactUsed) -> None:
    """Note that a run uses a version. A version that this store does not have is ignored.

    Args:
        store: The store.
        session: The write transaction of the batch that contains the record.
        run: The run.
        record: The record of the use.
    """
    place = (record.entity, record.project, record.name)
    version = find_version(store.layout, session, place, record.version, record.digest)
    used = [version]
    if version is not None and version.source is not None:  # using a link also counts as using its source
        used.append(find_version(store.layout, session, *parse_version_name(version.source)))
    for each in used:
        if each is not None and session.get(ArtifactUse, (run.id, each.id)) is None:
            session.add(ArtifactUse(run_id=run.id, version_id=each.id, used_at=record.time))


def apply_change(store: Store, session: Session, record: ArtifactChanged) -> Version | None:
    """Change the description of a version, or delete the version.

    Args:
        store: The store.
        session: A write transaction.
        record: The change.

    Returns:
        The version; None if it does not exist.
    """
    row = find_collection(session, record.entity, record.project, record.name)
    if row is None:
        return None
    aliases = [*record.aliases_added, *record.aliases_removed]
    collection = StoredCollection(
        store.layout, session, row, aliases, number=record.version, digest=record.digest
    )
    outcome = collection.change(record)
    if outcome is None:
        return None
    version = collection.store(outcome)
    run = session.get(Run, version.run_id) if version.run_id is not None else None
    if record.deleted and run is not None:
        publish_run(store.layout, session, run)  # the run's file lists its versions
    return version


def add_link(
    store: Store, session: Session, record: ArtifactLinked, segment: str, sequence: int
) -> Version | None:
    """Link a version into another collection.

    Args:
        store: The store.
        session: A write transaction.
        record: The link.
        segment: The segment of the record.
        sequence: The number of the record in its segment.

    Returns:
        The linked version in the other collection; None if the source does not exist.
    """
    found = find_collection(session, record.entity, record.project, record.name)
    if found is None:
        return None
    source = StoredCollection(store.layout, session, found, number=record.version, digest=record.digest)
    number = source.find(record.version, record.digest)
    if number is None:
        return None
    project = find_or_make_project(session, record.target_entity, record.target_project, record.time)
    row = _find_or_make_collection(session, project, record.target_name, found.type)
    made_by = RecordId(segment, sequence)
    collection = StoredCollection(store.layout, session, row, record.aliases, made_by)
    outcome = collection.link(record, source, made_by)
    return collection.store(outcome, source.rows[number].run_id) if outcome is not None else None


def _find_or_make_collection(session: Session, project: Project, name: str, kind: str) -> Collection:
    found = session.scalar(
        select(Collection).where(Collection.project_id == project.id, Collection.name == name)
    )
    if found is None:
        found = Collection(project_id=project.id, name=name, type=kind, project=project, tags=[])
        session.add(found)
        session.flush()
    return found


def _sync_content(store: Store, session: Session, run: Run, record: ArtifactLogged) -> None:
    """Force the content of a new version to the disk, and note the packs that contain its small files."""
    try:
        manifest = read_manifest(store.blobs, record.manifest)
    except InvalidManifestError:
        raise
    except (NotFoundError, ArtifactError) as error:
        # The journal stays until the content is in the store: a version without entries would stay wrong.
        raise StoreError(f"artifact {record.name} of run {run.run_id}: {error}") from error
    for sha256 in (record.manifest, *manifest.blobs):
        if not store.blobs.path(sha256).exists() and store.blobs.has(sha256):
            # The same content was a run's file too, and has moved into a pack since the draft was finalized.
            store.blobs.add_bytes(store.blobs.read(sha256))
        store.blobs.sync(sha256)
    note_version(session, record.manifest, manifest.entries)
