"""The registry of an entity: its collections that link versions of other collections."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tracker.ground.artifact_views import RegistryCollection, RegistryPage
from tracker.store.catalog.models import Alias, Collection, Project, Version
from tracker.store.queries.visible import EVERYTHING, Visible


def list_registry(
    session: Session,
    entity: str,
    *,
    search: str = "",
    offset: int = 0,
    limit: int = 100,
    visible: Visible = EVERYTHING,
) -> RegistryPage:
    """Return a page of the collections with links in the visible projects of an entity, by project and name.

    Args:
        session: A read transaction.
        entity: The entity.
        search: Return only collections whose name contains this text, ignoring the case of ASCII letters.
        offset: Number of collections to skip.
        limit: Maximum number of collections.
        visible: The projects that the caller sees.
    """
    links = func.count(Version.source)
    newest_link = func.max(Version.index).filter(Version.source.is_not(None))
    found = (
        select(
            Collection,
            func.count(),
            func.max(Version.index),
            func.sum(Version.size),
            func.max(Version.created_at),
            func.min(Version.created_at),
            links,
            newest_link,
        )
        .join(Version, Version.collection_id == Collection.id)
        .join(Project, Project.id == Collection.project_id)
        .where(Project.entity == entity, Version.deleted_at.is_(None))
        .group_by(Collection.id)
        .having(links > 0)
    )
    found = visible.limit_names(found, Project.entity, Project.name)
    if search:
        found = found.where(Collection.name.icontains(search, autoescape=True))
    total = session.scalar(select(func.count()).select_from(found.subquery())) or 0
    page = found.order_by(Project.name, Collection.name).offset(offset).limit(limit)
    collections = []
    for collection, count, newest, size, updated, created, linked, link in session.execute(page):
        source = select(Version.source).where(Version.collection_id == collection.id, Version.index == link)
        named = select(Alias.alias, Version.index).join(Version, Version.id == Alias.version_id)
        aliases = session.execute(named.where(Alias.collection_id == collection.id).order_by(Alias.alias))
        collections.append(
            RegistryCollection(
                entity,
                collection.project.name,
                collection.name,
                collection.type,
                count,
                f"v{newest}",
                size,
                updated,
                collection.description,
                collection.tags,
                created,
                linked,
                visible.source(session.scalar(source)),
                {alias: f"v{index}" for alias, index in aliases},
            )
        )
    return RegistryPage(total, collections)
