"""What runs and people say of artifacts, applied: versions, aliases, uses, changes, links.

A version's number is taken by creating ``versions/N.json`` exclusively. The file carries the segment
and sequence number of the record that asked for it; after a crash between that and the catalog's commit, the
same record finds its own file and adopts the number instead of taking another.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.errors import ArtifactError, NotFoundError, StoreError
from tracker.ground.records import ArtifactChanged, ArtifactLinked, ArtifactLogged, ArtifactUsed
from tracker.store.blobs.manifest import InvalidManifestError, Manifest, read_manifest
from tracker.store.blobs.packs import known_places, note_version
from tracker.store.blobs.settle import Place, Settled, settle
from tracker.store.catalog.merged import find_or_make_project
from tracker.store.catalog.models import ArtifactUse, Collection, Project, Run, Version
from tracker.store.published.versions import (
    aliases_of,
    claim_number,
    drop_alias,
    find_collection,
    find_version,
    has_moved_on,
    move_alias,
    newest_version,
    publish_version,
)
from tracker.store.store import Store

# Settles a draft of a store, or returns None: not yet, it is being done.
Settle = Callable[[Store, str], Settled | None]


def settle_now(store: Store, token: str) -> Settled:
    """Settle a draft and wait for it; small contents that the store has are not stored again."""

    def known(names: list[str]) -> dict[str, Place]:
        with store.reading() as session:
            return known_places(session, names)

    return settle(store.layout, token, known)


def with_manifest(store: Store, record: ArtifactLogged, settle: Settle) -> ArtifactLogged | str | None:
    """Return a record of a logged draft with what became of the draft.

    Args:
        store: Where.
        record: What was logged.
        settle: Settles the draft.

    Returns:
        The record with digest and manifest; a text when there is no such artifact, and why; None: not yet.

    Raises:
        StoreError: The draft is not here.
    """
    if record.draft is None:
        return record
    found = settle(store, record.draft)
    if found is None:
        return None
    if found.problem is not None:
        return f"artifact {record.name} was not made: {found.problem}"
    return msgspec.structs.replace(
        record,
        digest=found.digest,
        manifest=found.manifest,
        size=found.size,
        file_count=found.file_count,
    )


def add_version(
    store: Store, session: Session, run: Run, record: ArtifactLogged, segment: str, sequence: int
) -> Version:
    """Give what a run logged a version, unless its content is the newest version's; move the aliases.

    Args:
        store: Where.
        session: The write transaction of the batch that holds the record.
        run: Who logged it.
        record: What was logged, with its manifest.
        segment: Segment of the record.
        sequence: Its number in the segment: together they name the record for ever.

    Raises:
        InvalidManifestError: The bytes of its manifest are not a manifest: no version is made.
        StoreError: Its content has not come yet.
    """
    collection = _find_or_make_collection(session, run.project, record.name, record.artifact_type)
    newest = newest_version(session, collection)
    version = session.scalar(select(Version).where(Version.segment == segment, Version.sequence == sequence))
    again = version is not None  # a rebuild found its file: the record had been applied before
    if version is not None and version.run_id is None:
        version.run_id = run.id
    if version is None and newest is not None and newest.digest == record.digest:
        version = newest
        if newest.expires_at is not None and newest.expires_at <= record.time:
            # Its time was over, and what is logged now must not go with it.
            newest.expires_at = _expiry(record)
            publish_version(store.layout, session, newest)
    if version is None:
        version = _new_version(store, session, run, collection, record, segment, sequence)
    # The newest version is always the latest, whatever the script says; one adopted late never is.
    aliases = [alias for alias in record.aliases if alias != "latest"]
    if newest is None or version.index >= newest.index:
        aliases.append("latest")
    for alias in dict.fromkeys(aliases):
        if not (again and has_moved_on(store.layout, collection, alias, record.time)):
            move_alias(store.layout, session, version, alias, record.time)
    return version


def add_use(session: Session, run: Run, record: ArtifactUsed) -> None:
    """Note that a run uses a version; one that this store does not have is passed over."""
    collection = find_collection(session, record.entity, record.project, record.name)
    version = (
        find_version(session, collection, record.version, record.digest) if collection is not None else None
    )
    # Who uses a link uses what it stands for.
    for used in (version, _source_of(session, version) if version is not None else None):
        if used is not None and session.get(ArtifactUse, (run.id, used.id)) is None:
            session.add(ArtifactUse(run_id=run.id, version_id=used.id, used_at=record.time))


def _source_of(session: Session, link: Version) -> Version | None:
    if link.source is None:
        return None
    entity, project, named = link.source.split("/")
    name, _, number = named.rpartition(":v")
    collection = find_collection(session, entity, project, name)
    return find_version(session, collection, int(number)) if collection is not None else None


def apply_change(store: Store, session: Session, record: ArtifactChanged) -> Version | None:
    """Change what is said of a version, or delete it; return it, or None when there is no such version."""
    collection = find_collection(session, record.entity, record.project, record.name)
    version = (
        find_version(session, collection, record.version, record.digest) if collection is not None else None
    )
    if collection is None or version is None:
        return None
    layout = store.layout
    for alias in record.aliases_added:
        if not has_moved_on(layout, collection, alias, record.time):
            move_alias(layout, session, version, alias, record.time)
    for alias in record.aliases_removed:
        if not has_moved_on(layout, collection, alias, record.time):
            drop_alias(layout, session, version, alias)
    # The later of two edits holds, whichever comes first; a deletion holds in any case.
    if record.deleted or (record.values and record.time >= version.updated_at):
        version.updated_at = max(record.time, version.updated_at)
        values = record.values
        if "description" in values:
            version.description = values["description"]
        if "metadata" in values:
            version.attributes = values["metadata"]
        if "tags" in values:
            version.tags = values["tags"]
        if "expires_at" in values:
            version.expires_at = values["expires_at"]
        if record.deleted:
            _delete(store, session, version, record.time)
        publish_version(layout, session, version)
    return version


def add_link(
    store: Store, session: Session, run: Run | None, record: ArtifactLinked, segment: str, sequence: int
) -> Version | None:
    """Link a version into another collection; return the version there, or None without such a source."""
    place = (record.entity, record.project, record.name)
    found = find_collection(session, *place)
    source = find_version(session, found, record.version, record.digest) if found is not None else None
    if found is None or source is None:
        return None
    project = find_or_make_project(session, record.target_entity, record.target_project, record.time)
    collection = _find_or_make_collection(session, project, record.target_name, found.type)
    layout, newest = store.layout, newest_version(session, collection)
    version = session.scalar(select(Version).where(Version.segment == segment, Version.sequence == sequence))
    named = source.source or f"{record.entity}/{record.project}/{record.name}:v{source.index}"
    if version is None and newest is not None and newest.source == named:
        version = newest
    if version is None:
        version = _add(
            store,
            session,
            Version(
                collection=collection,
                digest=source.digest,
                manifest=source.manifest,
                size=source.size,
                file_count=source.file_count,
                created_at=record.time,
                description=source.description,
                attributes=source.attributes,
                run_id=source.run_id,
                segment=segment,
                sequence=sequence,
                source=named,
            ),
        )
    for alias in dict.fromkeys([*(alias for alias in record.aliases if alias != "latest"), "latest"]):
        if not has_moved_on(layout, collection, alias, record.time):
            move_alias(layout, session, version, alias, record.time)
    return version


def _delete(store: Store, session: Session, version: Version, time: float) -> None:
    """Take a version away; its number and its published file stay, so that nobody gets the number again."""
    held = aliases_of(session, version)
    for alias in held:
        drop_alias(store.layout, session, version, alias)
    version.deleted_at = time
    session.flush()
    newest = newest_version(session, version.collection)
    if "latest" in held and newest is not None:
        move_alias(store.layout, session, newest, "latest", time)


def _find_or_make_collection(session: Session, project: Project, name: str, kind: str) -> Collection:
    found = session.scalar(
        select(Collection).where(Collection.project_id == project.id, Collection.name == name)
    )
    if found is None:
        found = Collection(project_id=project.id, name=name, type=kind, project=project, tags=[])
        session.add(found)
        session.flush()
    return found


def _new_version(
    store: Store,
    session: Session,
    run: Run,
    collection: Collection,
    record: ArtifactLogged,
    segment: str,
    sequence: int,
) -> Version:
    manifest = _read_whole(store, run, record)
    for sha256 in (record.manifest, *manifest.blobs):
        if not store.blobs.path(sha256).exists() and store.blobs.has(sha256):
            # The same content was a run's file too, and moved into a pack since it was found here.
            store.blobs.add_bytes(store.blobs.read(sha256))
        store.blobs.sync(sha256)
    note_version(session, record.manifest, manifest.entries)
    return _add(
        store,
        session,
        Version(
            collection=collection,
            digest=record.digest,
            manifest=record.manifest,
            size=record.size,
            file_count=record.file_count,
            created_at=record.time,
            description=record.description,
            attributes=record.metadata,
            tags=record.tags,
            expires_at=_expiry(record),
            run_id=run.id,
            segment=segment,
            sequence=sequence,
        ),
    )


def _expiry(record: ArtifactLogged) -> float | None:
    return None if record.ttl is None else record.time + record.ttl


def _read_whole(store: Store, run: Run, record: ArtifactLogged) -> Manifest:
    try:
        return read_manifest(store.blobs, record.manifest)
    except InvalidManifestError:
        raise
    except (NotFoundError, ArtifactError) as error:
        # The journal stays until its content has come: a version without entries would be wrong for ever.
        raise StoreError(f"artifact {record.name} of run {run.run_id}: {error}") from error


def _add(store: Store, session: Session, version: Version) -> Version:
    """Claim a number for a new version and store it."""
    version.collection_id = version.collection.id
    version.tags = version.tags or []
    version.updated_at = version.created_at
    with session.no_autoflush:
        version.index = claim_number(store.layout, session, version)
    session.add(version)
    session.flush()
    return version
