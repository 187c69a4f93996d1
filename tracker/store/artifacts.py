"""Artifact versions and aliases: numbered by claiming a file, indexed in the catalog.

A version's number is taken by creating ``versions/N.json`` exclusively. The file carries the segment
and sequence number of the record that asked for it; after a crash between that and the catalog's commit, the
same record finds its own file and adopts the number instead of taking another.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker import values
from tracker.errors import ArtifactError, NotFoundError, StoreError
from tracker.records import ArtifactLogged, ArtifactUsed
from tracker.store.files import claim, publish_json, read_json, write_new
from tracker.store.manifest import Manifest, read_manifest
from tracker.store.models import Alias, ArtifactUse, Collection, Project, Run, Version
from tracker.store.store import Store


def add_version(
    store: Store, session: Session, run: Run, record: ArtifactLogged, segment: str, sequence: int
) -> Version:
    """Give what a run logged a version, unless its content is the newest version's; move the aliases.

    Args:
        store: Where.
        session: The write transaction of the batch that holds the record.
        run: Who logged it.
        record: What was logged.
        segment: Segment of the record.
        sequence: Its number in the segment: together they name the record for ever.
    """
    collection = _find_or_make_collection(session, run.project, record)
    newest = session.scalar(
        select(Version).where(Version.collection_id == collection.id).order_by(Version.index.desc()).limit(1)
    )
    version = session.scalar(select(Version).where(Version.segment == segment, Version.sequence == sequence))
    again = version is not None  # a rebuild found its file: the record had been applied before
    if version is not None and version.run_id is None:
        version.run_id = run.id
    if version is None and newest is not None and newest.digest == record.digest:
        version = newest
    if version is None:
        version = _new_version(store, session, run, collection, record, segment, sequence)
    # The newest version is always the latest, whatever the script says; one adopted late never is.
    aliases = [alias for alias in record.aliases if alias != "latest"]
    if newest is None or version.index >= newest.index:
        aliases.append("latest")
    for alias in dict.fromkeys(aliases):
        if not (again and _has_moved_on(store, collection, alias, record.time)):
            _move_alias(store, session, version, alias, record.time)
    return version


def add_use(session: Session, run: Run, record: ArtifactUsed) -> None:
    """Note that a run uses a version; one that this store does not have is passed over."""
    version = session.scalar(
        select(Version)
        .join(Collection)
        .join(Project)
        .where(
            Project.entity == record.entity,
            Project.name == record.project,
            Collection.name == record.name,
            Version.index == record.version,
        )
    )
    if version is not None and session.get(ArtifactUse, (run.id, version.id)) is None:
        session.add(ArtifactUse(run_id=run.id, version_id=version.id, used_at=record.time))


def _find_or_make_collection(session: Session, project: Project, record: ArtifactLogged) -> Collection:
    found = session.scalar(
        select(Collection).where(Collection.project_id == project.id, Collection.name == record.name)
    )
    if found is None:
        found = Collection(
            project_id=project.id, name=record.name, type=record.artifact_type, project=project
        )
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
    try:
        manifest = read_manifest(store.blobs, record.manifest)
    except (NotFoundError, ArtifactError) as error:
        # The journal stays until its content has come: a version without entries would be wrong for ever.
        raise StoreError(f"artifact {collection.name} of run {run.run_id}: {error}") from error
    for sha256 in {record.manifest, *(entry.sha256 for entry in manifest.entries)}:
        store.blobs.sync(sha256)
    described = _describe(run, collection, record, manifest, segment, sequence)
    index = _claim_number(store, session, collection, described)
    version = Version(
        collection_id=collection.id,
        index=index,
        digest=record.digest,
        manifest=record.manifest,
        size=record.size,
        file_count=record.file_count,
        created_at=record.time,
        description=record.description,
        attributes=record.metadata,
        run_id=run.id,
        segment=segment,
        sequence=sequence,
        collection=collection,
    )
    session.add(version)
    session.flush()
    return version


def _describe(
    run: Run, collection: Collection, record: ArtifactLogged, manifest: Manifest, segment: str, sequence: int
) -> dict[str, Any]:
    return {
        "format": 1,
        "entity": run.project.entity,
        "project": run.project.name,
        "name": collection.name,
        "type": collection.type,
        "digest": record.digest,
        "size": record.size,
        "description": record.description,
        "metadata": record.metadata,
        "created_at": record.time,
        "logged_by": run.run_id,
        "segment": segment,
        "sequence": sequence,
        "manifest": record.manifest,
        "entries": [
            {"path": entry.path, "sha256": entry.sha256, "digest": entry.digest, "size": entry.size}
            for entry in manifest.entries
        ],
    }


def _claim_number(store: Store, session: Session, collection: Collection, described: dict[str, Any]) -> int:
    """Return the number of a new version: one claimed before a crash by the same record, else the next."""
    layout, project = store.layout, collection.project
    committed = set(session.scalars(select(Version.index).where(Version.collection_id == collection.id)))
    for index in layout.list_versions(project.entity, project.name, collection.name):
        if index not in committed:
            found = _read(layout.version(project.entity, project.name, collection.name, index))
            if (found.get("segment"), found.get("sequence")) == (described["segment"], described["sequence"]):
                return index
    index = max(committed, default=-1) + 1
    while True:
        temporary = layout.new_temporary()
        write_new(temporary, values.dumps(described, indent=1).encode("utf-8", "replace"))
        if claim(temporary, layout.version(project.entity, project.name, collection.name, index)):
            return index
        index += 1


def _has_moved_on(store: Store, collection: Collection, alias: str, time: float) -> bool:
    """Whether an alias was moved after ``time``: a record that is applied again must not take it back."""
    project = collection.project
    held = _read(store.layout.alias(project.entity, project.name, collection.name, alias))
    moved_at = held.get("moved_at", 0.0)
    return isinstance(moved_at, (int, float)) and moved_at > time


def _read(path: Path) -> dict[str, Any]:
    """Return what a published file says; a damaged one says nothing, and must not stop what is new."""
    try:
        found = read_json(path)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _move_alias(store: Store, session: Session, version: Version, alias: str, time: float) -> None:
    collection = version.collection
    project = collection.project
    path = store.layout.alias(project.entity, project.name, collection.name, alias)
    publish_json(
        store.layout.new_temporary(), path, {"alias": alias, "version": version.index, "moved_at": time}
    )
    held = session.get(Alias, (collection.id, alias))
    if held is None:
        session.add(Alias(collection_id=collection.id, alias=alias, version_id=version.id))
    else:
        held.version_id = version.id
    session.flush()
