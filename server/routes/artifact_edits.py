"""Routes that change artifacts: fields and aliases of versions, links, deletion."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import msgspec
from fastapi import Path, Query, Request
from pydantic import AfterValidator, Field, StringConstraints
from starlette.responses import Response

from server.answers import Done
from server.bodies import Aliases, Body
from server.dependencies import ReaderDep, StoreDep
from server.links import LinkedVersion, link_artifact
from server.responses import ExactJSON
from server.rights import Sender, Writer, require_project
from server.routing import api_router
from tracker.errors import NotFoundError, UsageError
from tracker.ground import values
from tracker.ground.artifact_views import DeletedVersions
from tracker.ground.names import check_alias, is_tag
from tracker.ground.read_models import ArtifactDetail, CollectionInfo
from tracker.ground.records import ArtifactChanged, ArtifactLinked
from tracker.store.ingest.collections import delete_collection as delete_versions

router = api_router(prefix="/projects/{entity}/{project}", tags=["artifacts"], dependencies=[Writer])
changing = api_router(prefix="/artifacts", tags=["artifacts"], dependencies=[Sender])


def _check_tag(tag: str) -> str:
    if not is_tag(tag):
        raise ValueError("a tag has letters, digits, hyphens and underscores, with spaces only between words")
    return tag


# A `pattern` of Pydantic with `\w` takes 0.8 MB, because Rust's regular expressions contain all of Unicode.
Tag = Annotated[
    str,
    StringConstraints(max_length=200),
    AfterValidator(_check_tag),
    Field(json_schema_extra={"pattern": r"^[-\w]+( +[-\w]+)*$"}),
]
AliasName = Annotated[str, Path(max_length=128)]


class CollectionEdit(Body):
    """Changes of a collection. Fields that are not given stay unchanged."""

    description: str | None = None
    tags: Annotated[list[Tag], Field(max_length=1000)] = []


class VersionEdit(Body):
    """Changes of a version. Fields that are not given stay unchanged.

    ``expires_at`` is the time in unix seconds from which on the version may be deleted, or null for never.
    """

    description: str | None = None
    metadata: dict[str, Any] = {}
    tags: Annotated[list[Tag], Field(max_length=1000)] = []
    expires_at: Annotated[float | None, Field(ge=0, le=250_000_000_000.0)] = None


class ChangeRecord(Body):
    """A change of a version as a record of a journal. ``time`` is in unix seconds."""

    entity: str
    project: str
    name: str
    version: int
    digest: str
    time: float
    aliases_added: Aliases = []
    aliases_removed: Aliases = []
    values: dict[str, Any] = {}
    deleted: bool = False


class LinkRecord(Body):
    """A link of a version into another collection as a record of a journal. ``time`` is in unix seconds."""

    entity: str
    project: str
    name: str
    version: int
    digest: str
    target_entity: str
    target_project: str
    target_name: str
    aliases: Aliases
    time: float


@router.patch("/collections/{name}", response_model=CollectionInfo)
def change_collection(
    reader: ReaderDep, entity: str, project: str, name: str, body: CollectionEdit
) -> Response:
    """Change the ``description`` or the ``tags`` of a collection. Fields that are not given stay unchanged.

    \f
    See ``CollectionReader.change_collection``.
    """
    changed = body.model_dump(exclude_unset=True)
    return ExactJSON(reader.change_collection(entity, project, name, changed))


@router.delete("/collections/{name}", response_model=DeletedVersions)
def delete_collection(store: StoreDep, entity: str, project: str, name: str) -> Response:
    """Delete all versions of a collection, with their aliases. Their numbers are not used again.

    \f
    See ``tracker.store.ingest.collections.delete_collection``.
    """
    return ExactJSON(DeletedVersions(delete_versions(store, entity, project, name)))


@router.patch("/artifacts/{name}/{reference}", response_model=LinkedVersion)
def change_version(
    reader: ReaderDep, entity: str, project: str, name: str, reference: str, body: VersionEdit
) -> Response:
    """Change the description, the metadata, the tags or the lifetime of a version.

    \f
    See ``ArtifactReader.change``.
    """
    changed = body.model_dump(exclude_unset=True)
    if "metadata" in changed:
        try:
            # Restores NaN and infinities, and limits the depth.
            changed["metadata"] = values.to_plain(values.loads(json.dumps(changed["metadata"])))
        except (TypeError, RecursionError) as error:
            raise UsageError(f"Invalid metadata: {error}. Use fewer levels.") from error
    if "tags" in changed:
        changed["tags"] = sorted(set(changed["tags"]))
    version = reader.artifact(entity, project, name, reference)
    return _answer(reader, version, values=changed) if changed else ExactJSON(link_artifact(version))


@router.delete("/artifacts/{name}/{reference}", response_model=LinkedVersion)
def delete_version(
    reader: ReaderDep,
    entity: str,
    project: str,
    name: str,
    reference: str,
    aliases: Annotated[bool, Query(description="delete a version that has aliases")] = False,
) -> Response:
    """Delete a version; return the version as it was. A version with aliases needs ``aliases=true``.

    The alias ``latest`` does not count. Its number is not used again.

    \f
    See ``ArtifactReader.change``.
    """
    version = reader.artifact(entity, project, name, reference)
    held = [alias for alias in version.aliases if alias != "latest"]
    if held and not aliases:
        raise UsageError(
            f"{name}:{version.version} has the aliases {', '.join(held)}. Delete it with aliases=true."
        )
    return _answer(reader, version, deleted=True)


@router.put("/artifacts/{name}/{reference}/aliases/{alias}", response_model=LinkedVersion)
def put_alias(
    reader: ReaderDep, entity: str, project: str, name: str, reference: str, alias: AliasName
) -> Response:
    """Give an alias to a version. Another version of the collection that has the alias loses it.

    \f
    See ``ArtifactReader.change``.
    """
    version = reader.artifact(entity, project, name, reference)
    return _answer(reader, version, aliases_added=[_checked(alias)])


@router.delete("/artifacts/{name}/{reference}/aliases/{alias}", response_model=LinkedVersion)
def delete_alias(
    reader: ReaderDep, entity: str, project: str, name: str, reference: str, alias: AliasName
) -> Response:
    """Remove an alias from a version.

    \f
    See ``ArtifactReader.change``.
    """
    version = reader.artifact(entity, project, name, reference)
    if _checked(alias) not in version.aliases:
        raise NotFoundError(f"{name}:{version.version} has no alias {alias!r}.")
    return _answer(reader, version, aliases_removed=[alias])


@changing.post("/change", response_model=LinkedVersion)
def apply_artifact_change(request: Request, reader: ReaderDep, body: ChangeRecord) -> Response:
    """Change a version (aliases, description, metadata, tags, lifetime), or delete it.

    \f
    See ``ArtifactReader.change``.
    """
    require_project(request, "writer", body.entity, body.project)
    request.scope["tracker.target"] = f"{body.entity}/{body.project}/{body.name}:v{body.version}"
    return ExactJSON(link_artifact(reader.change(_record(body, ArtifactChanged))))


@changing.post("/link", response_model=Done)
def link_version(request: Request, reader: ReaderDep, body: LinkRecord) -> Response:
    """Link a version that the caller can read into a collection of a project that the caller can change.

    Callers that can read the other collection can then read the files of the version.

    \f
    See ``ArtifactReader.link``.
    """
    require_project(request, "viewer", body.entity, body.project)
    require_project(request, "writer", body.target_entity, body.target_project, creates=True)
    request.scope["tracker.target"] = f"{body.target_entity}/{body.target_project}/{body.target_name}"
    reader.link(_record(body, ArtifactLinked))
    return ExactJSON(Done())


def _answer(reader: ReaderDep, version: ArtifactDetail, **changes: Any) -> Response:
    """Change a version; return the answer with the version after the change."""
    number = int(version.version[1:])
    place = (version.entity, version.project, version.name)
    change = ArtifactChanged(*place, number, version.digest, time.time(), **changes)
    return ExactJSON(link_artifact(reader.change(change)))


def _checked(alias: str) -> str:
    try:
        check_alias(alias)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if alias == "latest":
        raise UsageError("The alias latest always belongs to the newest version. Use another alias.")
    return alias


def _record(body: Body, kind: type[ArtifactChanged] | type[ArtifactLinked]) -> Any:
    given = [getattr(body, field.name) for field in msgspec.structs.fields(kind)]
    return msgspec.convert([kind.__struct_config__.tag, *given], kind)
