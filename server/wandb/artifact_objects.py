"""Versions, collections and types of artifacts as the client asks for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property, lru_cache
from mimetypes import guess_type
from typing import Any

from server.wandb.artifact_drafts import Pending
from server.wandb.context import Context
from server.wandb.executor import Fields
from server.wandb.filtering import order_by, select
from server.wandb.ids import make_id, read_id
from server.wandb.pages import connection
from server.wandb.texts import json_text, time_text
from tracker.errors import NotFoundError
from tracker.ground.names import check_entity, check_project
from tracker.ground.parsed_types import is_token
from tracker.ground.read_models import ArtifactDetail, ArtifactInfo, CollectionInfo
from tracker.runstate.collection import parse_version_name
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.manifest import Entry, read_manifest

# Place of a collection: entity, project and name.
Place = tuple[str, str, str]
# The duration of a version that is kept.
_KEPT = -2


def version_id(info: ArtifactInfo) -> str:
    """Return the id of a version."""
    return make_id("Artifact", info.entity, info.project, info.name, info.version)


def pending_id(pending: Pending, token: str) -> str:
    """Return the id of an artifact before its commit. It stays valid afterwards."""
    return make_id("Artifact", pending.entity, pending.project, pending.name, token + pending.digest)


def read_artifact_id(text: Any) -> tuple[Place, str, str]:
    """Return the collection, the token and the version or digest of an artifact's id.

    The token is empty in the id of a version.

    Raises:
        UsageError: It is not the id of an artifact.
    """
    entity, project, name, last = read_id("Artifact", text, 4)
    if is_token(last[:32]):
        return (entity, project, name), last[:32], last[32:]
    return (entity, project, name), "", last


def find_pending(context: Context, text: Any) -> tuple[str, Pending] | None:
    """Return the token of an artifact before its commit, and what is known of it.

    None if none waits, or if the caller does not see its project. Anybody can write an id with the token of
    another artifact, so the token must be that of an artifact of the place in the id.
    """
    place, token, _ = read_artifact_id(text)
    found = context.drafts.find(token) if token else None
    if found is None or (found.entity, found.project, found.name) != place:
        return None
    return (token, found) if context.caller.rights.may("viewer", *place[:2]) else None


def find_version(context: Context, text: Any) -> ArtifactDetail | None:
    """Return the version with an id; None if the caller sees none, or if it is not committed yet."""
    place, token, reference = read_artifact_id(text)
    if token:
        note = context.drafts.read_note(token)
        reference = note.digest if note is not None and note.place == place else reference
    return find_named(context, place, reference)


def get_version(context: Context, text: Any) -> ArtifactDetail:
    """Return the version with an id.

    Raises:
        NotFoundError: The caller sees none.
    """
    found = find_version(context, text)
    if found is None:
        raise NotFoundError("There is no such artifact version.")
    return found


def find_named(context: Context, place: Place, reference: str) -> ArtifactDetail | None:
    """Return a version; None if the caller sees none.

    Args:
        context: The request.
        place: The collection.
        reference: The number, an alias or the digest of the version.
    """
    try:
        context.require("viewer", (check_entity(place[0]), check_project(place[1]), ""))
        return context.reader.artifact(*place, reference) if reference else None
    except NotFoundError:
        return None


def source_of(context: Context, info: ArtifactInfo) -> ArtifactInfo:
    """Return the version that a link points to; the version itself if it is not a link."""
    if info.source is None:
        return info
    place, number = parse_version_name(info.source)
    return find_named(context, place, f"v{number}") or replace(info, source=None)


def project_ref(entity: str, project: str) -> dict[str, Any]:
    """Return a project as artifacts name it."""
    return {
        "__typename": "Project",
        "id": make_id("Project", entity, project),
        "internalId": make_id("ProjectInternalId", entity, project),
        "name": project,
        "entityName": entity,
        "entity": {"__typename": "Entity", "id": make_id("Entity", entity), "name": entity},
    }


def run_ref(entity: str, project: str, run: str) -> dict[str, Any]:
    """Return a run as artifacts name it.

    Args:
        entity: Entity of the run.
        project: Project of the run.
        run: Id of the run.
    """
    return {
        "__typename": "Run",
        "id": make_id("Run", entity, project, run),
        "name": run,
        "project": project_ref(entity, project),
    }


def tag_list(tags: Iterable[str]) -> list[dict[str, str]]:
    """Return tags."""
    return [{"__typename": "Tag", "id": make_id("Tag", tag), "name": tag} for tag in tags]


class ArtifactObject(Fields):
    """A version. A link is shown as the version that it points to.

    Args:
        context: The request.
        info: The version.
    """

    typename = "Artifact"
    internal = Fields.internal | {"info"}
    state = "COMMITTED"
    digest_algorithm = "MANIFEST_MD5"
    history_step = None

    def __init__(self, context: Context, info: ArtifactInfo) -> None:
        self._context = context
        self.info = info = source_of(context, info)
        self.id = version_id(info)
        self.version_index = int(info.version[1:])
        self.artifact_type = {
            "__typename": "ArtifactType",
            "id": make_id("ArtifactType", info.entity, info.project, info.type),
            "name": info.type,
        }
        self.description = info.description
        self.metadata = json_text(info.metadata)
        lasts = None if info.expires_at is None else info.expires_at - info.created_at
        self.ttl_duration_seconds = _KEPT if lasts is None else max(round(lasts), 1)
        self.ttl_is_inherited = lasts is None
        self.tags = tag_list(info.tags)
        self.size = info.size
        self.digest = self.commit_hash = info.digest
        self.file_count = info.file_count
        self.created_at = time_text(info.created_at)
        self.updated_at = time_text(info.updated_at)

    @cached_property
    def artifact_sequence(self) -> CollectionObject:
        """The collection that it was logged to."""
        return CollectionObject.named(self._context, self.info)

    artifact_collections = None

    @property
    def project(self) -> dict[str, Any]:
        """The project."""
        return project_ref(self.info.entity, self.info.project)

    @cached_property
    def _links(self) -> list[ArtifactDetail]:
        found = self._context.reader.artifact(
            self.info.entity, self.info.project, self.info.name, self.info.version
        )
        return self._context.reader.links(found)

    @property
    def aliases(self) -> list[dict[str, Any]]:
        """Its aliases in all collections."""
        return [alias for each in [self.info, *self._links] for alias in alias_list(self._context, each)]

    def artifact_memberships(self, **page: Any) -> Any:
        """Return the collections that it is in."""
        found = [MembershipObject(self._context, each) for each in [self.info, *self._links]]
        return connection(found, **page)

    @property
    def created_by(self) -> dict[str, Any] | None:
        """The run that logged it."""
        if self.info.logged_by is None:
            return None
        entity, _, project = (self.info.logged_in or f"{self.info.entity}/{self.info.project}").partition("/")
        return run_ref(entity, project, self.info.logged_by)

    def used_by(self, **page: Any) -> Any:
        """Return the runs that used it."""
        detail = self._context.reader.artifact(
            self.info.entity, self.info.project, self.info.name, self.info.version
        )
        found = [run_ref(each.entity, each.project, each.id) for each in detail.used_by]
        return connection(found, **page)

    @property
    def current_manifest(self) -> dict[str, Any]:
        """Its manifest."""
        address = self._context.address("wandb_manifest.json", manifest=self.info.manifest, id=self.id)
        return {
            "__typename": "ArtifactManifest",
            "id": make_id("ArtifactManifest", self.info.manifest),
            "digest": self.info.digest,
            "file": {"__typename": "File", "directUrl": address, "url": address},
        }

    def files(self, names: list[str] | None = None, **page: Any) -> dict[str, Any]:
        """Return its files, by name or all; a page at a time."""
        return connection(self._files(names), **page)

    def files_by_manifest_entries(self, entries: list[dict[str, Any]] | None = None, **_: Any) -> Any:
        """Return the files of entries of its manifest."""
        wanted = [str(each.get("name") or each.get("path")) for each in entries or ()]
        return connection(self._files(wanted))

    def _files(self, names: list[str] | None) -> list[VersionFile]:
        found = entries_of(self._context.store.blobs, self.info.manifest)
        if names:
            wanted = set(names)
            found = [each for each in found if each.path in wanted]
        return [VersionFile(self._context, self.info, each) for each in found]


class PendingArtifact(Fields):
    """An artifact before its commit."""

    typename = "Artifact"
    state = "PENDING"
    digest_algorithm = "MANIFEST_MD5"
    version_index = None

    def __init__(self, context: Context, pending: Pending, token: str) -> None:
        self.id = pending_id(pending, token)
        self.digest = pending.digest
        self.description = pending.description
        self.metadata = json_text(pending.metadata)
        place = (pending.entity, pending.project, pending.name)
        self.artifact_sequence = CollectionObject(
            context, CollectionInfo(*place, pending.artifact_type, 0, None, 0, 0.0)
        )
        self.artifact_type = self.artifact_sequence.default_artifact_type


class VersionFile(Fields):
    """A file of a version."""

    typename = "File"

    def __init__(self, context: Context, info: ArtifactInfo, entry: Entry) -> None:
        self._context = context
        self._entry = entry
        self._info = info
        self.name = self.display_name = entry.path
        self.storage_path = f"wandb_artifacts/{entry.path}"
        self.size_bytes = entry.size
        self.digest = self.md5 = entry.digest
        self.updated_at = time_text(info.created_at)

    @property
    def id(self) -> str:
        """The id."""
        return make_id("ArtifactFile", version_id(self._info), self.name)

    @property
    def mimetype(self) -> str:
        """The media type that the name tells."""
        return guess_type(self.name)[0] or "application/octet-stream"

    @property
    def direct_url(self) -> str:
        """The address of the content. The client itself fetches what a reference names."""
        return self._entry.ref or content_address(self._context, self._entry)

    def url(self, **_: Any) -> str:
        """Return the address of the content."""
        return self.direct_url


class MembershipObject(Fields):
    """A version as a member of a collection."""

    typename = "ArtifactCollectionMembership"

    def __init__(self, context: Context, info: ArtifactInfo) -> None:
        self._context = context
        self._info = info
        self.id = make_id("ArtifactMembership", info.entity, info.project, info.name, info.version)
        self.version_index = int(info.version[1:])
        self.created_at = time_text(info.created_at)
        self.aliases = alias_list(context, info)

    @cached_property
    def artifact_collection(self) -> CollectionObject:
        """The collection."""
        return CollectionObject.named(self._context, self._info)

    @cached_property
    def artifact(self) -> ArtifactObject:
        """The version."""
        return ArtifactObject(self._context, self._info)

    def files(self, names: list[str] | None = None, **page: Any) -> dict[str, Any]:
        """Return its files."""
        return self.artifact.files(names, **page)


class CollectionObject(Fields):
    """A collection.

    Args:
        context: The request.
        info: The collection.
    """

    state = "READY"
    internal = Fields.internal | {"find", "info", "named", "place"}

    def __init__(self, context: Context, info: CollectionInfo) -> None:
        self._context = context
        self._info = info
        self.id = make_id("ArtifactCollection", info.entity, info.project, info.name)
        self.name = info.name
        self.default_artifact_type = self.type = {
            "__typename": "ArtifactType",
            "id": make_id("ArtifactType", info.entity, info.project, info.type),
            "name": info.type,
        }
        self.project = project_ref(info.entity, info.project)
        self.version_count = info.versions

    @classmethod
    def named(cls, context: Context, info: ArtifactInfo) -> CollectionObject:
        """Return the collection of a version."""
        found = cls(context, CollectionInfo(info.entity, info.project, info.name, info.type, 0, None, 0, 0.0))
        found.typename = "ArtifactPortfolio" if info.source else "ArtifactSequence"
        return found

    @classmethod
    def find(cls, context: Context, place: Place) -> CollectionObject | None:
        """Return a collection that has versions; None if there is none."""
        for each in context.reader.collections(place[0], place[1], None):
            if each.name == place[2]:
                return cls(context, each)
        return None

    @property
    def place(self) -> Place:
        """Entity, project and name."""
        return self._info.entity, self._info.project, self._info.name

    @cached_property
    def info(self) -> CollectionInfo:
        """All that is known of it."""
        if self._info.versions:
            return self._info
        found = CollectionObject.find(self._context, self.place)
        return self._info if found is None else found._info

    @cached_property
    def typename(self) -> str:
        """``ArtifactPortfolio`` if it has only links, else ``ArtifactSequence``."""
        found = self._versions
        return "ArtifactPortfolio" if found and all(each.source for each in found) else "ArtifactSequence"

    @property
    def description(self) -> str | None:
        """The description."""
        return self.info.description

    @property
    def created_at(self) -> str | None:
        """The time of the oldest version."""
        return time_text(self.info.created_at)

    @property
    def updated_at(self) -> str | None:
        """The time of the newest version."""
        return time_text(self.info.updated_at)

    def tags(self, **_: Any) -> dict[str, Any]:
        """Return the tags."""
        return connection(tag_list(self.info.tags))

    @cached_property
    def _versions(self) -> list[ArtifactInfo]:
        """The versions, the newest first."""
        return self._context.reader.artifacts(self._info.entity, self._info.project, None, self._info.name)

    @property
    def latest_artifact(self) -> ArtifactObject | None:
        """The newest version."""
        return ArtifactObject(self._context, self._versions[0]) if self._versions else None

    def aliases(self, **page: Any) -> dict[str, Any]:
        """Return the aliases of all versions."""
        found = [alias for each in self._versions for alias in alias_list(self._context, each)]
        return connection(found, **page)

    def artifacts(self, order: str | None = None, filters: Any = None, **page: Any) -> dict[str, Any]:
        """Return the versions that match a filter, a page at a time."""
        found = order_by(select(self._versions, filters, version_value), order, version_value)
        answer = connection([ArtifactObject(self._context, each) for each in found], **page)
        for edge in answer["edges"]:
            edge["version"] = f"v{edge['node'].version_index}"
        return answer

    def artifact_memberships(self, order: str | None = None, filters: Any = None, **page: Any) -> Any:
        """Return the versions as members, a page at a time."""
        found = order_by(select(self._versions, filters, version_value), order, version_value)
        return connection([MembershipObject(self._context, each) for each in found], **page)

    def artifact_membership(self, alias_name: str = "latest", **_: Any) -> MembershipObject | None:
        """Return the version with an alias, a number or a digest."""
        found = find_named(self._context, self.place, alias_name)
        return None if found is None else MembershipObject(self._context, found)


class TypeObject(Fields):
    """A type of artifacts in a project."""

    typename = "ArtifactType"
    description = None

    def __init__(self, context: Context, entity: str, project: str, name: str) -> None:
        self._context = context
        self._place = (entity, project)
        self.id = make_id("ArtifactType", entity, project, name)
        self.name = name

    @cached_property
    def _collections(self) -> list[CollectionInfo]:
        return self._context.reader.collections(*self._place, self.name)

    @property
    def created_at(self) -> str | None:
        """The time of the oldest version."""
        return time_text(min((each.created_at for each in self._collections), default=0.0))

    def artifact_collections(self, **page: Any) -> dict[str, Any]:
        """Return the collections of the type."""
        return collection_page(self._context, self._collections, **page)

    artifact_sequences = artifact_collections

    def artifact_collection(self, name: str, **_: Any) -> CollectionObject | None:
        """Return a collection of the type; None if there is none."""
        for each in self._collections:
            if each.name == name:
                return CollectionObject(self._context, each)
        return None

    artifact_sequence = artifact_collection

    def artifact(self, name: str, **_: Any) -> ArtifactObject | None:
        """Return a version by ``NAME:REFERENCE``."""
        collection, _colon, reference = name.partition(":")
        found = find_named(self._context, (*self._place, collection), reference or "latest")
        return None if found is None else ArtifactObject(self._context, found)


def collection_page(context: Context, found: list[CollectionInfo], **asked: Any) -> dict[str, Any]:
    """Return a page of collections in an order, of those that match a filter."""
    chosen = select(found, asked.get("filters"), collection_value)
    ordered = order_by(chosen, asked.get("order"), collection_value)
    return connection([CollectionObject(context, each) for each in ordered], **asked)


def alias_list(context: Context, info: ArtifactInfo) -> list[dict[str, Any]]:
    """Return the aliases of a version in its collection."""
    collection = CollectionObject.named(context, info) if info.aliases else None
    return [
        {
            "__typename": "ArtifactAlias",
            "id": make_id("ArtifactAlias", info.entity, info.project, info.name, alias),
            "alias": alias,
            "artifactCollection": collection,
        }
        for alias in info.aliases
    ]


def content_address(context: Context, entry: Entry) -> str:
    """Return the signed address of the content of an entry."""
    return context.address(
        "wandb_artifacts",
        path=entry.path,
        sha256=entry.sha256,
        size=entry.size,
        pack=entry.pack,
        offset=entry.offset,
    )


def entries_of(blobs: BlobStore, manifest: str) -> list[Entry]:
    """Return the entries of a manifest."""
    return _entries(blobs, manifest)


@lru_cache(maxsize=32)
def _entries(blobs: BlobStore, manifest: str) -> list[Entry]:
    return read_manifest(blobs, manifest).entries


def version_value(info: ArtifactInfo, key: str) -> Any:
    """Return the value of a field of a version, for filters."""
    values = {
        "createdAt": info.created_at,
        "updatedAt": info.updated_at,
        "versionIndex": int(info.version[1:]),
        "tags": info.tags,
        "tag": info.tags,
        "alias": info.aliases,
        "aliases": info.aliases,
        "name": info.name,
        "digest": info.digest,
        "size": info.size,
        "description": info.description,
        "state": "COMMITTED",
    }
    if key.startswith("metadata."):
        found: Any = info.metadata
        for part in key.split(".")[1:]:
            found = found.get(part) if isinstance(found, dict) else None
        return found
    return values.get(key)


def collection_value(info: CollectionInfo, key: str) -> Any:
    """Return the value of a field of a collection, for filters."""
    values = {
        "createdAt": info.created_at,
        "updatedAt": info.updated_at,
        "name": info.name,
        "tag": info.tags,
        "tags": info.tags,
        "description": info.description,
        "type": info.type,
    }
    return values.get(key)
