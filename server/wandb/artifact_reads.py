"""Reading artifacts: the fields of projects and runs that lead to them, and versions by id."""

from __future__ import annotations

from typing import Any

from server.wandb.artifact_drafts import token_of
from server.wandb.artifact_objects import (
    ArtifactObject,
    CollectionObject,
    MembershipObject,
    PendingArtifact,
    TypeObject,
    collection_page,
    find_named,
    find_pending,
    find_version,
    pending_id,
)
from server.wandb.context import Context
from server.wandb.executor import Fields
from server.wandb.ids import make_id, read_id
from server.wandb.pages import connection
from tracker.errors import NotFoundError
from tracker.ground.names import RunPath
from tracker.ground.read_models import ArtifactDetail


class ProjectArtifacts(Fields):
    """The fields of a project that lead to artifacts."""

    _context: Context
    entity_name: str
    name: str

    def artifact(self, name: str, **_: Any) -> ArtifactObject | None:
        """Return a version by ``NAME:REFERENCE``."""
        found = self._version(name)
        return None if found is None else ArtifactObject(self._context, found)

    def artifact_collection_membership(self, name: str, **_: Any) -> MembershipObject | None:
        """Return a version by ``NAME:REFERENCE`` as a member of its collection."""
        found = self._version(name)
        return None if found is None else MembershipObject(self._context, found)

    def _version(self, name: str) -> ArtifactDetail | None:
        collection, _, reference = name.partition(":")
        return find_named(self._context, (self.entity_name, self.name, collection), reference or "latest")

    def artifact_collection(self, name: str, **_: Any) -> CollectionObject | None:
        """Return a collection; None if there is none."""
        return CollectionObject.find(self._context, (self.entity_name, self.name, name))

    artifact_sequence = artifact_collection

    def artifact_collections(self, **page: Any) -> dict[str, Any]:
        """Return the collections."""
        found = self._context.reader.collections(self.entity_name, self.name, None)
        return collection_page(self._context, found, **page)

    def artifact_type(self, name: str, **_: Any) -> TypeObject | None:
        """Return a type of artifacts; None if there is none."""
        if not self._context.reader.collections(self.entity_name, self.name, name):
            return None
        return TypeObject(self._context, self.entity_name, self.name, name)

    def artifact_types(self, **page: Any) -> dict[str, Any]:
        """Return the types of artifacts."""
        found = self._context.reader.collections(self.entity_name, self.name, None)
        names = sorted({each.type for each in found})
        nodes = [TypeObject(self._context, self.entity_name, self.name, each) for each in names]
        return connection(nodes, **page)


class RunArtifacts(Fields):
    """The fields of a run that lead to artifacts."""

    _context: Context
    _place: RunPath

    def output_artifacts(self, **page: Any) -> Any:
        """Return the versions that the run logged."""
        entity, project, run = self._place
        found = [
            each for each in self._context.reader.artifacts(entity, project, run, None) if not each.source
        ]
        return connection([ArtifactObject(self._context, each) for each in reversed(found)], **page)

    def input_artifacts(self, **page: Any) -> Any:
        """Return the versions that the run used."""
        found = self._context.reader.used_artifacts(*self._place)
        # Using a link also counts as using its source.
        nodes = {node.id: node for node in (ArtifactObject(self._context, each) for each in found)}
        return connection([*nodes.values()], **page)


def artifact(context: Context, id: Any) -> ArtifactObject | PendingArtifact | None:
    """Return a version, or an artifact before its commit; None if the caller sees none."""
    pending = find_pending(context, id)
    if pending is not None:
        return PendingArtifact(context, pending[1], pending[0])
    found = find_version(context, id)
    return None if found is None else ArtifactObject(context, found)


def artifact_collection(context: Context, id: Any) -> CollectionObject | None:
    """Return a collection by its id; None if there is none."""
    entity, project, name = read_id("ArtifactCollection", id, 3)
    try:
        context.require("viewer", (entity, project, ""))
    except NotFoundError:
        return None
    return CollectionObject.find(context, (entity, project, name))


def client_id_mapping(context: Context, client_id: str) -> dict[str, str] | None:
    """Return the id of the artifact to which a client has given an id; None if the caller sees none."""
    token = token_of(client_id)
    rights = context.caller.rights
    pending = context.drafts.find(token)
    if pending is not None:
        seen = rights.may("viewer", pending.entity, pending.project)
        return {"serverID": pending_id(pending, token)} if seen else None
    note = context.drafts.read_note(token)
    if note is None or not rights.may("viewer", *note.place[:2]):
        return None
    return {"serverID": make_id("Artifact", *note.place, token + note.digest)}
