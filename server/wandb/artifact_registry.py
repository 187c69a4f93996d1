"""Registries: projects to which versions are linked. Each entity is an organization that has them."""

from __future__ import annotations

from typing import Any

from server.wandb.artifact_objects import MembershipObject, collection_page, collection_value, version_value
from server.wandb.artifact_reads import ProjectArtifacts
from server.wandb.context import Context
from server.wandb.executor import Fields
from server.wandb.filtering import order_by, select
from server.wandb.ids import make_id
from server.wandb.pages import connection
from server.wandb.texts import time_text
from tracker.ground.read_models import CollectionInfo, ProjectInfo

# The client puts this before the name of a registry.
PREFIX = "wandb-registry-"


class OrganizationOfEntity(Fields):
    """The fields of an entity that lead to registries."""

    _context: Context
    name: str

    @property
    def organization(self) -> dict[str, Any]:
        """Its organization."""
        return organization(self._context, self.name)

    @property
    def user(self) -> dict[str, Any]:
        """The caller, whose organizations are all entities with projects that the caller sees."""
        names = {each.entity for each in self._context.reader.projects()}
        found = [organization(self._context, each) for each in sorted({*names, self.name})]
        return {"__typename": "User", "organizations": found}

    def project(self, name: str, **_: Any) -> Registry | None:
        """Return a registry; None if there is none."""
        return Organization(self._context, self.name).project(name)


def organization(context: Context, name: str) -> dict[str, Any]:
    """Return the organization of an entity."""
    return {
        "__typename": "Organization",
        "id": make_id("Organization", name),
        "name": name,
        "orgEntity": Organization(context, name),
        "coreWeaveOrganizationId": None,
        "advancedRegistryFeatures": None,
    }


def find_organization(context: Context, name: str) -> dict[str, Any] | None:
    """Return the organization of an entity of the caller; None if it has no project and no role there."""
    known = {each.entity for each in context.reader.projects()}
    known |= {entity for entity, _ in context.caller.rights.roles} | {context.default_entity}
    return organization(context, name) if name in known else None


class Organization(Fields):
    """An entity with its registries."""

    typename = "Entity"
    entity_type = "organization"

    def __init__(self, context: Context, name: str) -> None:
        self._context = context
        self.id = make_id("Entity", name)
        self.name = name

    def project(self, name: str, **_: Any) -> Registry | None:
        """Return a registry; None if there is none."""
        found = [each for each in self._registries(None) if each.name == name]
        return Registry(self._context, found[0]) if found else None

    def projects(self, filters: Any = None, order: str | None = None, **page: Any) -> dict[str, Any]:
        """Return the registries that match a filter."""
        found = order_by(self._registries(filters), order, _value)
        return connection([Registry(self._context, each) for each in found], **page)

    def artifact_collections(self, project_filters: Any = None, **page: Any) -> dict[str, Any]:
        """Return the collections of the registries that match a filter."""
        return collection_page(self._context, self._collections(project_filters), **page)

    def artifact_memberships(
        self, project_filters: Any = None, collection_filters: Any = None, **page: Any
    ) -> dict[str, Any]:
        """Return the versions in the collections of the registries that match a filter."""
        chosen = select(self._collections(project_filters), collection_filters, collection_value)
        versions = [
            version
            for each in chosen
            for version in self._context.reader.artifacts(each.entity, each.project, None, each.name)
        ]
        versions = select(versions, page.get("filters"), version_value)
        found = order_by(versions, page.get("order"), version_value)
        return connection([MembershipObject(self._context, each) for each in found], **page)

    def _registries(self, filters: Any) -> list[ProjectInfo]:
        found = [
            each
            for each in self._context.reader.projects()
            if each.entity == self.name and each.name.startswith(PREFIX)
        ]
        return select(found, filters, _value)

    def _collections(self, filters: Any) -> list[CollectionInfo]:
        return [
            collection
            for each in self._registries(filters)
            for collection in self._context.reader.collections(each.entity, each.name, None)
        ]


class Registry(ProjectArtifacts):
    """A registry."""

    typename = "Project"
    access = "PRIVATE"  # in the client's words: visible to the organization
    allow_all_artifact_types_in_registry = True
    description = None

    def __init__(self, context: Context, info: ProjectInfo) -> None:
        self._context = context
        self.id = make_id("Project", info.entity, info.name)
        self.internal_id = make_id("ProjectInternalId", info.entity, info.name)
        self.name = info.name
        self.entity_name = info.entity
        organization = {"__typename": "Organization", "name": info.entity}
        self.entity = {"__typename": "Entity", "name": info.entity, "organization": organization}
        self.created_at = self.updated_at = time_text(info.created_at)


def _value(info: ProjectInfo, key: str) -> Any:
    values = {"name": info.name, "createdAt": info.created_at, "updatedAt": info.created_at}
    return values.get(key)
