"""Queries about artifacts: lists of versions, and one version by number, alias or digest."""

from __future__ import annotations

import re

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from tracker.errors import NotFoundError
from tracker.ground.read_models import ArtifactDetail, ArtifactInfo, CollectionInfo, RunName
from tracker.store.catalog.models import Alias, ArtifactUse, Collection, Project, Run, Version
from tracker.store.published.versions import aliases_of, find_collection, newest_version
from tracker.store.queries.visible import EVERYTHING, Visible

VERSION = re.compile(r"v(\d{1,9})")


def list_artifacts(
    session: Session,
    entity: str,
    project: str,
    *,
    run_id: str | None = None,
    name: str | None = None,
    visible: Visible = EVERYTHING,
) -> list[ArtifactInfo]:
    """Return a project's artifact versions, newest first.

    Args:
        session: A read transaction.
        entity: The entity of the project.
        project: The name of the project.
        run_id: Return only versions that this run logged.
        name: Return only versions of this collection.
        visible: The projects that the caller sees. A link can have a run and a source of another project.
    """
    here = (Project.entity == entity) & (Project.name == project)
    query = select(Version).join(Collection).join(Project).where(Version.deleted_at.is_(None))
    if run_id is None:
        query = query.where(here)
    else:  # also the versions that the run logged before it was moved to this project
        own = aliased(Project)
        query = query.join(Run, Run.id == Version.run_id).join(own, own.id == Run.project_id)
        query = query.where(
            own.entity == entity, own.name == project, Run.run_id == run_id, here | Version.source.is_(None)
        )
    if name is not None:
        query = query.where(Collection.name == name).order_by(Version.index.desc())
    else:
        query = query.order_by(Version.created_at.desc(), Collection.name, Version.index.desc())
        query = visible.limit(query, Collection.project_id)
    versions = list(session.scalars(query))
    collections = {version.collection_id for version in versions}
    aliases: dict[int, list[str]] = {}
    for alias in session.scalars(select(Alias).where(Alias.collection_id.in_(collections))):
        aliases.setdefault(alias.version_id, []).append(alias.alias)
    return [_info(session, version, sorted(aliases.get(version.id, [])), visible) for version in versions]


def list_places(session: Session) -> list[tuple[str, str]]:
    """Return the entity and the name of each project that has artifacts, sorted."""
    query = select(Project.entity, Project.name).join(Collection).distinct()
    return [(entity, name) for entity, name in session.execute(query.order_by(Project.entity, Project.name))]


def used_artifacts(session: Session, run: Run, visible: Visible = EVERYTHING) -> list[ArtifactInfo]:
    """Return the versions that a run used, in the order of use.

    Args:
        session: A read transaction.
        run: The run.
        visible: The projects that the caller sees. Other versions are left out.
    """
    query = (
        select(Version)
        .join(ArtifactUse, ArtifactUse.version_id == Version.id)
        .where(ArtifactUse.run_id == run.id, Version.deleted_at.is_(None))
        .order_by(ArtifactUse.used_at, Version.id)
    )
    versions = session.scalars(visible.limit_versions(query))
    return [_info(session, version, aliases_of(session, version), visible) for version in versions]


def related_manifests(
    session: Session, place: tuple[str, str, str], run_id: str | None, visible: Visible, *, limit: int
) -> list[str]:
    """Return the manifests of the versions whose contents a new version may share.

    These are the newest version of the collection, and those that the run has logged or used last.

    Args:
        session: A read transaction.
        place: Entity, project and name of the collection.
        run_id: Id of a run in the same project; None for none.
        visible: The projects that the caller sees.
        limit: Most versions that the run has logged, and that it has used.
    """
    entity, project, name = place
    alive = select(Version.manifest).where(Version.deleted_at.is_(None))
    collection = find_collection(session, entity, project, name)
    queries = []
    if collection is not None:
        newest = alive.where(Version.collection_id == collection.id)
        queries.append(newest.order_by(Version.index.desc()).limit(1))
    here = (Project.entity == entity) & (Project.name == project)
    run = session.scalar(select(Run.id).join(Project).where(here, Run.run_id == run_id)) if run_id else None
    if run is not None:
        logged = visible.limit_versions(alive.where(Version.run_id == run))
        queries.append(logged.order_by(Version.id.desc()).limit(limit))
        used = visible.limit_versions(
            alive.join(ArtifactUse, ArtifactUse.version_id == Version.id).where(ArtifactUse.run_id == run)
        )
        queries.append(used.order_by(ArtifactUse.used_at.desc()).limit(limit))
    return list(dict.fromkeys(manifest for query in queries for manifest in session.scalars(query)))


def list_collections(
    session: Session, entity: str, project: str, type_name: str | None = None
) -> list[CollectionInfo]:
    """Return a project's collections that have versions, by name.

    Args:
        session: A read transaction.
        entity: The entity of the project.
        project: The name of the project.
        type_name: Return only collections of this artifact type.
    """
    query = select(Collection).join(Project).where(Project.entity == entity, Project.name == project)
    if type_name is not None:
        query = query.where(Collection.type == type_name)
    found = []
    for collection in session.scalars(query.order_by(Collection.name)):
        known = (Version.collection_id == collection.id, Version.deleted_at.is_(None))
        count, size, newest, updated, created = session.execute(
            select(
                func.count(),
                func.sum(Version.size),
                func.max(Version.index),
                func.max(Version.created_at),
                func.min(Version.created_at),
            ).where(*known)
        ).one()
        if count:
            found.append(
                CollectionInfo(
                    entity,
                    project,
                    collection.name,
                    collection.type,
                    count,
                    f"v{newest}",
                    size,
                    updated,
                    collection.description,
                    collection.tags,
                    created,
                )
            )
    return found


def artifact_detail(
    session: Session, entity: str, project: str, name: str, reference: str, visible: Visible = EVERYTHING
) -> ArtifactDetail:
    """Return one version and the visible runs that used it. See ``find_named`` for arguments and errors."""
    version = find_named(session, entity, project, name, reference)
    query = (
        select(Project.entity, Project.name, Run.run_id)
        .join_from(Run, Project, Project.id == Run.project_id)
        .join(ArtifactUse, ArtifactUse.run_id == Run.id)
        .where(ArtifactUse.version_id == version.id)
        .order_by(ArtifactUse.used_at, Run.id)
    )
    users = session.execute(visible.limit_names(query, Project.entity, Project.name))
    info = _info(session, version, aliases_of(session, version), visible)
    return ArtifactDetail(
        **{name: getattr(info, name) for name in ArtifactInfo.__dataclass_fields__},
        used_by=[RunName(*user) for user in users],
    )


def links_of(
    session: Session, artifact: ArtifactDetail, visible: Visible = EVERYTHING
) -> list[ArtifactDetail]:
    """Return the links to a version in other collections, oldest first.

    Args:
        session: A read transaction.
        artifact: The version.
        visible: The projects that the caller sees. Other links are left out.
    """
    name = f"{artifact.entity}/{artifact.project}/{artifact.name}:{artifact.version}"
    query = select(Version).where(Version.source == name, Version.deleted_at.is_(None))
    links = session.scalars(visible.limit_versions(query).order_by(Version.id))
    infos = [_info(session, link, aliases_of(session, link), visible) for link in links]
    return [
        ArtifactDetail(**{field: getattr(info, field) for field in ArtifactInfo.__dataclass_fields__})
        for info in infos
    ]


def find_named(session: Session, entity: str, project: str, name: str, reference: str) -> Version:
    """Return the catalog row of the version that ``reference`` names.

    Args:
        session: A read transaction.
        entity: The entity of the project.
        project: The name of the project.
        name: The name of the collection.
        reference: A version such as ``v3``, an alias, or a digest.

    Raises:
        NotFoundError: The version does not exist. The message lists the versions and aliases.
    """
    collection = find_collection(session, entity, project, name)
    if collection is None:
        raise NotFoundError(f"there is no artifact {entity}/{project}/{name} in this store")
    versions = select(Version).where(Version.collection_id == collection.id, Version.deleted_at.is_(None))
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
        newest = newest_version(session, collection)
        described = f"versions v0 to v{newest.index}" if newest else "no version yet"
        raise NotFoundError(
            f"artifact {entity}/{project}/{name} has no version or alias {reference!r}; "
            f"it has {described}, aliases: {', '.join(aliases) or 'none'}"
        )
    return found


def _logged_in(project: Project, run: Run | None) -> str | None:
    """Return ``ENTITY/PROJECT`` of the run that logged a version, if it is not the project of the version."""
    if run is None or run.project_id == project.id:
        return None
    return f"{run.project.entity}/{run.project.name}"


def _info(session: Session, version: Version, aliases: list[str], visible: Visible) -> ArtifactInfo:
    run = session.get(Run, version.run_id) if version.run_id else None
    if run is not None and not visible.sees(run.project.entity, run.project.name):
        run = None  # a link has the run of its source
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
        logged_in=_logged_in(collection.project, run),
        manifest=version.manifest,
        updated_at=version.updated_at or version.created_at,
        tags=version.tags,
        expires_at=version.expires_at,
        source=visible.source(version.source),
    )
