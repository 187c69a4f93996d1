"""Artifacts: lists, and finding one by version, alias or digest."""

from __future__ import annotations

import re

from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.answers import ArtifactDetail, ArtifactEntry, ArtifactInfo
from tracker.errors import NotFoundError
from tracker.store.manifest import read_manifest
from tracker.store.models import Alias, ArtifactUse, Collection, Project, Run, Version
from tracker.store.store import Store

VERSION = re.compile(r"v(\d{1,9})")


def list_artifacts(
    session: Session, entity: str, project: str, *, run_id: str | None = None, name: str | None = None
) -> list[ArtifactInfo]:
    """Return a project's artifact versions, newest first; only a run's, or a collection's, if asked."""
    query = (
        select(Version)
        .join(Collection)
        .join(Project)
        .where(Project.entity == entity, Project.name == project)
        .order_by(Version.created_at.desc(), Collection.name, Version.index.desc())
    )
    if name is not None:
        query = query.where(Collection.name == name)
    if run_id is not None:
        query = query.join(Run, Run.id == Version.run_id).where(Run.run_id == run_id)
    versions = list(session.scalars(query))
    aliases: dict[int, list[str]] = {}
    for alias in session.scalars(
        select(Alias).join(Collection).join(Project).where(Project.entity == entity, Project.name == project)
    ):
        aliases.setdefault(alias.version_id, []).append(alias.alias)
    return [_info(session, version, sorted(aliases.get(version.id, []))) for version in versions]


def artifact_detail(
    store: Store, session: Session, entity: str, project: str, name: str, reference: str
) -> ArtifactDetail:
    """Return the version that ``reference`` names: ``v3``, an alias, or a digest.

    Raises:
        NotFoundError: There is none; the message says which there are.
    """
    version = _find(session, entity, project, name, reference)
    aliases = session.scalars(select(Alias.alias).where(Alias.version_id == version.id).order_by(Alias.alias))
    users = session.scalars(
        select(Run.run_id)
        .join(ArtifactUse, ArtifactUse.run_id == Run.id)
        .where(ArtifactUse.version_id == version.id)
        .order_by(ArtifactUse.used_at, Run.id)
    )
    info = _info(session, version, list(aliases))
    return ArtifactDetail(
        **{name: getattr(info, name) for name in ArtifactInfo.__dataclass_fields__},
        files=[
            ArtifactEntry(entry.path, entry.digest, entry.size, entry.sha256)
            for entry in read_manifest(store.blobs, version.manifest).entries
        ],
        used_by=list(users),
    )


def _find(session: Session, entity: str, project: str, name: str, reference: str) -> Version:
    collection = session.scalar(
        select(Collection)
        .join(Project)
        .where(Project.entity == entity, Project.name == project, Collection.name == name)
    )
    if collection is None:
        raise NotFoundError(f"there is no artifact {entity}/{project}/{name} in this store")
    versions = select(Version).where(Version.collection_id == collection.id)
    if number := VERSION.fullmatch(reference):
        found = session.scalar(versions.where(Version.index == int(number[1])))
    else:
        found = session.scalar(
            versions.join(Alias, Alias.version_id == Version.id).where(Alias.alias == reference)
        )
        if found is None:
            found = session.scalar(
                versions.where(Version.digest == reference).order_by(Version.index.desc()).limit(1)
            )
    if found is None:
        aliases = session.scalars(
            select(Alias.alias).where(Alias.collection_id == collection.id).order_by(Alias.alias)
        )
        newest = session.scalar(versions.order_by(Version.index.desc()).limit(1))
        there_is = f"versions v0 to v{newest.index}" if newest else "no version yet"
        raise NotFoundError(
            f"artifact {entity}/{project}/{name} has no version or alias {reference!r}; "
            f"there is {there_is}, aliases: {', '.join(aliases) or 'none'}"
        )
    return found


def _info(session: Session, version: Version, aliases: list[str]) -> ArtifactInfo:
    run = session.get(Run, version.run_id) if version.run_id else None
    collection = version.collection
    return ArtifactInfo(
        entity=collection.project.entity,
        project=collection.project.name,
        name=collection.name,
        type=collection.type,
        version=f"v{version.index}",
        aliases=aliases,
        size=version.size,
        file_count=version.file_count,
        digest=version.digest,
        created_at=version.created_at,
        description=version.description,
        metadata=version.attributes,
        logged_by=run.run_id if run else None,
    )
