"""Changing and deleting versions and collections."""

from __future__ import annotations

import time
from typing import Any

from server.wandb.artifact_objects import (
    ArtifactObject,
    CollectionObject,
    Place,
    get_version,
    tag_list,
)
from server.wandb.context import Context
from server.wandb.ids import read_id
from server.wandb.texts import read_json
from tracker.errors import ConflictError, NotFoundError, UsageError
from tracker.ground.names import check_alias, check_collection_name, is_tag
from tracker.ground.read_models import ArtifactInfo
from tracker.ground.records import ArtifactChanged, ArtifactLinked, VersionValues
from tracker.ground.values import to_plain
from tracker.runstate.collection import parse_version_name
from tracker.store.ingest.collections import delete_collection


def checked_aliases(given: Any) -> list[str]:
    """Return the aliases of an input without duplicates.

    Raises:
        UsageError: An alias is invalid.
    """
    try:
        return list(dict.fromkeys(check_alias(each) for each in _values(given, "alias")))
    except ValueError as error:
        raise UsageError(str(error)) from None


def checked_tags(given: Any) -> list[str]:
    """Return the tags of an input without duplicates.

    Raises:
        UsageError: A tag is invalid.
    """
    found = list(dict.fromkeys(_values(given, "tagName")))
    for each in found:
        if not is_tag(each):
            raise UsageError(f"Invalid tag {each!r:.80}.")
    return found


def _values(given: Any, key: str) -> list[Any]:
    """Return a value of each object of a list. Old clients send the values themselves."""
    return [each.get(key) if isinstance(each, dict) else each for each in given or ()]


def update_artifact(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Change the description, the metadata, the tags, the time to live or the aliases of a version."""
    found = get_version(context, input.get("artifactID"))
    _require(context, found)
    values: VersionValues = {}
    if input.get("description") is not None:
        values["description"] = str(input["description"])
    if input.get("metadata") is not None:
        metadata = read_json(input["metadata"])
        if not isinstance(metadata, dict):
            raise UsageError("The metadata of an artifact is a JSON object.")
        values["metadata"] = to_plain(metadata)
    added = checked_tags(input.get("tagsToAdd"))
    removed = {each.get("tagName") for each in input.get("tagsToDelete") or ()}
    if added or removed:
        values["tags"] = [each for each in dict.fromkeys([*found.tags, *added]) if each not in removed]
    seconds = input.get("ttlDurationSeconds")
    if seconds is not None:
        values["expires_at"] = found.created_at + seconds if seconds > 0 else None
    names: list[str] = []
    gone: list[str] = []
    if input.get("aliases") is not None:  # all aliases that the version has after the change
        wanted = checked_aliases(
            each.get("alias")
            for each in input["aliases"]
            if each.get("artifactCollectionName", found.name) == found.name
        )
        names = [each for each in wanted if each not in found.aliases]
        gone = [each for each in found.aliases if each not in wanted and each != "latest"]
    if values or names or gone:
        change(context, found, aliases_added=names, aliases_removed=gone, values=values)
    return {"artifact": ArtifactObject(context, get_version(context, input.get("artifactID")))}


def add_aliases(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Give a version aliases in its collection, or in collections that it is linked into."""
    for target, aliases in _named(context, input):
        change(context, target, aliases_added=aliases)
    return {"success": True}


def delete_aliases(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Remove aliases from a version."""
    for target, aliases in _named(context, input):
        change(context, target, aliases_removed=aliases)
    return {"success": True}


def _named(context: Context, given: dict[str, Any]) -> list[tuple[ArtifactInfo, list[str]]]:
    """Return the versions whose aliases are meant, with the aliases."""
    version = get_version(context, given.get("artifactID"))
    aliases: dict[Place, list[str]] = {}
    for each in given.get("aliases") or ():
        place = (
            str(each.get("entityName") or version.entity),
            str(each.get("projectName") or version.project),
            str(each.get("artifactCollectionName") or version.name),
        )
        aliases.setdefault(place, []).append(each.get("alias"))
    found = []
    for place, names in aliases.items():
        target = member_of(context, version, place)
        _require(context, target)
        found.append((target, checked_aliases(names)))
    return found


def member_of(context: Context, version: ArtifactInfo, place: Place) -> ArtifactInfo:
    """Return a version as it is in a collection: itself, or the link to it.

    Args:
        context: The request.
        version: The version.
        place: The collection.

    Raises:
        NotFoundError: The collection does not have it.
    """
    if (version.entity, version.project, version.name) == place:
        return version
    context.require("viewer", (place[0], place[1], ""))
    source = f"{version.entity}/{version.project}/{version.name}:{version.version}"
    for each in context.reader.artifacts(place[0], place[1], None, place[2]):
        if each.source == source:
            return each
    raise NotFoundError(f"the collection {'/'.join(place)} does not have this version")


def delete_artifact(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Delete a version."""
    found = get_version(context, input.get("artifactID"))
    _require(context, found)
    held = [each for each in found.aliases if each != "latest"]
    if held and not input.get("deleteAliases"):
        raise UsageError(
            f"The version has the aliases {', '.join(held)}. Remove them, or delete it with its aliases."
        )
    shown = ArtifactObject(context, found)
    answer = {"__typename": "Artifact", "id": shown.id, "state": "DELETED"}
    change(context, found, deleted=True)
    return {"artifact": answer, "success": True}


def unlink_artifact(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Remove the link to a version from a collection."""
    found = get_version(context, input.get("artifactID"))
    entity, project, name = read_id("ArtifactCollection", input.get("artifactPortfolioID"), 3)
    link = member_of(context, found, (entity, project, name))
    _require(context, link)
    if link.source is None:
        raise UsageError("The version is not a link. Delete it instead.")
    change(context, link, deleted=True)
    return {"success": True}


def update_collection(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Change the description of a collection, or the name of a collection of links."""
    place = _collection(context, input)
    if input.get("name") not in (None, place[2]):
        place = _renamed(context, place, str(input["name"]))
    if input.get("description") is not None:
        context.reader.change_collection(*place, {"description": str(input["description"])})
    return {"artifactCollection": CollectionObject.find(context, place)}


def _renamed(context: Context, place: Place, name: str) -> Place:
    """Link all versions of a collection of links under another name, and delete the links under the old one.

    The links keep their numbers and aliases.
    """
    try:
        check_collection_name(name)
    except ValueError as error:
        raise UsageError(str(error)) from None
    new = (place[0], place[1], name)
    before, other = (CollectionObject.find(context, each) for each in (place, new))
    if before is None and other is not None:
        return new  # it was renamed before: the client keeps the id
    if before is None:
        raise NotFoundError(f"there is no collection {'/'.join(place)}")
    if other is not None:
        raise ConflictError(f"There is a collection {'/'.join(new)} already.")
    versions = context.reader.artifacts(place[0], place[1], None, place[2])[::-1]
    if not all(each.source for each in versions):
        raise UsageError(
            "Only a collection of links can be renamed. Link the versions of this one into a new one."
        )
    for each in versions:
        source, index = parse_version_name(each.source or "")
        aliases = [alias for alias in each.aliases if alias != "latest"]
        link = ArtifactLinked(*source, index, each.digest, *new, aliases, time.time())
        context.reader.link(link)
        made = context.reader.artifact(*new, "latest")
        if made.version != each.version:  # versions were deleted, and their numbers are not used again
            delete_collection(context.store, *new)
            raise UsageError(
                f"The collection cannot be renamed: {each.version} would become {made.version}, because "
                "versions with one of the names were deleted. Link the versions into a new one."
            )
    context.reader.change_collection(*new, {"description": before.info.description, "tags": before.info.tags})
    delete_collection(context.store, *place)
    return new


def move_artifact_sequence(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Refuse to change the type of a collection."""
    _collection(context, input)
    raise UsageError("The type of a collection cannot be changed.")


def remove_collection(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Delete all versions of a collection."""
    place = _collection(context, input)
    found = CollectionObject.find(context, place)
    if found is None:
        raise NotFoundError(f"there is no collection {'/'.join(place)}")
    typename = found.typename
    delete_collection(context.store, *place)
    return {"artifactCollection": {"__typename": typename, "state": "DELETED"}}


def add_collection_tags(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Give a collection tags."""
    found = _tagged(context, input)
    tags = checked_tags([*found.info.tags, *_values(input.get("tags"), "tagName")])
    context.reader.change_collection(*found.place, {"tags": tags})
    return {"tags": tag_list(tags)}


def delete_collection_tags(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Remove tags from a collection."""
    found = _tagged(context, input)
    removed = {each.get("tagName") for each in input.get("tags") or ()}
    context.reader.change_collection(
        *found.place, {"tags": [each for each in found.info.tags if each not in removed]}
    )
    return {"success": True}


def _tagged(context: Context, given: dict[str, Any]) -> CollectionObject:
    entity, project, _ = context.place(given.get("entityName"), given.get("projectName"), "-")
    context.require("writer", (entity, project, ""))
    place = (entity, project, str(given.get("artifactCollectionName")))
    found = CollectionObject.find(context, place)
    if found is None:
        raise NotFoundError(f"there is no collection {'/'.join(place)}")
    return found


def _collection(context: Context, given: dict[str, Any]) -> Place:
    """Return the collection that an input names. The caller may change it."""
    id = given.get("artifactSequenceID") or given.get("artifactPortfolioID")
    entity, project, name = read_id("ArtifactCollection", id, 3)
    context.require("writer", (entity, project, ""))
    return entity, project, name


def _require(context: Context, info: ArtifactInfo) -> None:
    context.require("writer", (info.entity, info.project, ""))


def change(context: Context, info: ArtifactInfo, **changes: Any) -> None:
    """Change or delete a version.

    Args:
        context: The request. The caller may write to the project.
        info: The version.
        changes: Fields of ``ArtifactChanged``.
    """
    number = int(info.version[1:])
    context.reader.change(
        ArtifactChanged(info.entity, info.project, info.name, number, info.digest, time.time(), **changes)
    )
