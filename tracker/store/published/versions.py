"""Artifact versions and aliases as published files and catalog rows: finding, describing, moving.

Nothing here decides anything; ``tracker.store.ingest.artifacts`` applies what runs and people say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.store.catalog.database import check_lease
from tracker.store.catalog.models import Alias, Collection, Project, Run, Version
from tracker.store.objects.described import encode, publish_described
from tracker.store.objects.files import claim, read_json, write_new
from tracker.store.objects.layout import Layout


def find_collection(session: Session, entity: str, project: str, name: str) -> Collection | None:
    """Return a collection by name."""
    return session.scalar(
        select(Collection)
        .join(Project)
        .where(Project.entity == entity, Project.name == project, Collection.name == name)
    )


def find_version(session: Session, collection: Collection, index: int, digest: str = "") -> Version | None:
    """Return a version that is not deleted, by number.

    Args:
        session: Where.
        collection: Of which.
        index: Its number, as somebody saw it who could not see what others logged meanwhile.
        digest: When given, the version has this one: another number's, the newest, if need be.
    """
    known = select(Version).where(Version.collection_id == collection.id, Version.deleted_at.is_(None))
    found = session.scalar(known.where(Version.index == index))
    if digest and (found is None or found.digest != digest):
        found = session.scalar(known.where(Version.digest == digest).order_by(Version.index.desc()).limit(1))
    return found


def newest_version(session: Session, collection: Collection) -> Version | None:
    """Return the newest version that is not deleted."""
    return session.scalar(
        select(Version)
        .where(Version.collection_id == collection.id, Version.deleted_at.is_(None))
        .order_by(Version.index.desc())
        .limit(1)
    )


def version_path(layout: Layout, version: Version) -> Path:
    """Return where a version is published."""
    collection = version.collection
    return layout.version(collection.project.entity, collection.project.name, collection.name, version.index)


def describe(session: Session, version: Version) -> dict[str, Any]:
    """Return the content of ``versions/N.json``."""
    collection = version.collection
    run = session.get(Run, version.run_id) if version.run_id is not None else None
    return {
        "format": 1,
        "entity": collection.project.entity,
        "project": collection.project.name,
        "name": collection.name,
        "type": collection.type,
        "digest": version.digest,
        "size": version.size,
        "file_count": version.file_count,
        "description": version.description,
        "metadata": version.attributes,
        "tags": version.tags,
        "created_at": version.created_at,
        "updated_at": version.updated_at,
        "expires_at": version.expires_at,
        "deleted_at": version.deleted_at,
        "logged_by": run.run_id if run is not None else None,
        "source": version.source,
        "segment": version.segment,
        "sequence": version.sequence,
        "manifest": version.manifest,
    }


def publish_version(layout: Layout, session: Session, version: Version) -> None:
    """Publish a version anew, after it was changed."""
    described = describe(session, version)
    check_lease(session)
    publish_described(layout.new_temporary(), version_path(layout, version), described)


def claim_number(layout: Layout, session: Session, version: Version) -> int:
    """Return the number of a new version: one claimed before a crash by the same record, else the next."""
    collection = version.collection
    place = (collection.project.entity, collection.project.name, collection.name)
    committed = set(session.scalars(select(Version.index).where(Version.collection_id == collection.id)))
    for index in layout.list_versions(*place):
        if index not in committed:
            found = read_published(layout.version(*place, index))
            if (found.get("segment"), found.get("sequence")) == (version.segment, version.sequence):
                return index
    data = encode(describe(session, version))
    index = max(committed, default=-1) + 1
    check_lease(session)
    while True:
        temporary = layout.new_temporary()
        write_new(temporary, data)
        if claim(temporary, layout.version(*place, index)):
            return index
        index += 1


def move_alias(layout: Layout, session: Session, version: Version, alias: str, time: float) -> None:
    """Let an alias name a version; it leaves the one that had it."""
    check_lease(session)
    publish_described(
        layout.new_temporary(),
        _alias_path(layout, version.collection, alias),
        {"alias": alias, "version": version.index, "moved_at": time},
    )
    held = session.get(Alias, (version.collection_id, alias))
    if held is None:
        session.add(Alias(collection_id=version.collection_id, alias=alias, version_id=version.id))
    else:
        held.version_id = version.id
    session.flush()


def drop_alias(layout: Layout, session: Session, version: Version, alias: str) -> None:
    """Take an alias from a version; one that names another is left alone."""
    held = session.get(Alias, (version.collection_id, alias))
    if held is not None and held.version_id == version.id:
        check_lease(session)
        _alias_path(layout, version.collection, alias).unlink(missing_ok=True)
        session.delete(held)
        session.flush()


def aliases_of(session: Session, version: Version) -> list[str]:
    """Return the aliases that name a version, sorted."""
    return list(
        session.scalars(select(Alias.alias).where(Alias.version_id == version.id).order_by(Alias.alias))
    )


def has_moved_on(layout: Layout, collection: Collection, alias: str, time: float) -> bool:
    """Whether an alias was moved after ``time``: a record that is applied again must not take it back."""
    moved_at = read_published(_alias_path(layout, collection, alias)).get("moved_at", 0.0)
    return isinstance(moved_at, (int, float)) and moved_at > time


def read_published(path: Path) -> dict[str, Any]:
    """Return what a published file says; a damaged one says nothing, and must not stop what is new."""
    try:
        found = read_json(path)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _alias_path(layout: Layout, collection: Collection, alias: str) -> Path:
    return layout.alias(collection.project.entity, collection.project.name, collection.name, alias)
