"""Changes of an artifact collection: its description and tags, published next to its versions; deletion."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from tracker.errors import NotFoundError, UsageError
from tracker.ground.names import is_tag
from tracker.ground.read_models import CollectionInfo
from tracker.ground.records import ArtifactChanged
from tracker.ground.values import without_surrogates
from tracker.store.ingest.artifact_edits import change_artifact
from tracker.store.objects.checksummed_json import publish_checksummed
from tracker.store.published.models import PublishedCollection, read_published_model
from tracker.store.published.versions import find_collection
from tracker.store.queries.artifacts import list_artifacts, list_collections
from tracker.store.store import Store


def change_collection(
    store: Store, entity: str, project: str, name: str, values: dict[str, Any]
) -> CollectionInfo:
    """Change the ``description`` or the ``tags`` of a collection; return the changed collection.

    Args:
        store: The store.
        entity: The entity of the project.
        project: The name of the project.
        name: The name of the collection.
        values: The new values by field name.

    Raises:
        NotFoundError: The collection does not exist, or all its versions are deleted.
        UsageError: The field cannot be changed, or the value is invalid.
    """
    checked = {field: _checked(field, value) for field, value in values.items()}
    with store.writing() as session:
        collection = find_collection(session, entity, project, name)
        if collection is None:
            raise NotFoundError(f"there is no collection {entity}/{project}/{name} in this store")
        for field, value in checked.items():
            setattr(collection, field, value)
        described = PublishedCollection(
            1, entity, project, name, collection.description, collection.tags, time.time()
        )
        path = store.layout.collection_file(entity, project, name)
        store.check_lease()
        publish_checksummed(store.layout.new_temporary(), path, described)
        for found in list_collections(session, entity, project, collection.type):
            if found.name == name:
                return found
    raise NotFoundError(f"all versions of collection {entity}/{project}/{name} are deleted")


def copy_collection(store: Store, described: PublishedCollection, *, dry_run: bool = False) -> bool:
    """Take the description and the tags of a collection of another store, unless they are older than here.

    Args:
        store: The store.
        described: The collection in the other store.
        dry_run: Change nothing.

    Returns:
        Whether they were changed, or would be.
    """
    place = (described.entity, described.project, described.name)
    path = store.layout.collection_file(*place)
    with store.writing() as session:
        with suppress(FileNotFoundError, ValueError):
            if read_published_model(path, PublishedCollection).updated_at >= described.updated_at:
                return False
        collection = find_collection(session, *place)
        if collection is None:
            return dry_run  # the store has no version of it
        if not dry_run:
            collection.description, collection.tags = described.description, described.tags
            store.check_lease()
            publish_checksummed(store.layout.new_temporary(), path, described)
    return True


def _checked(field: str, value: Any) -> Any:
    if field == "description":
        if value is not None and not isinstance(value, str):
            raise UsageError(f"a description is a string or None, not {value!r:.80}")
        return without_surrogates(value) if value is not None else None
    if field == "tags":
        texts = value if isinstance(value, list) else [None]
        if not all(is_tag(tag) for tag in texts):
            raise UsageError(
                f"invalid tags {value!r:.80}: use a list of strings of letters, digits, hyphens and "
                "underscores, with spaces only between words"
            )
        return sorted(set(texts))
    raise UsageError(f"cannot change {field!r} of a collection: only description and tags can be changed")


def delete_collection(store: Store, entity: str, project: str, name: str) -> int:
    """Delete all versions of a collection one by one; return how many. Their numbers are not used again.

    Args:
        store: The store.
        entity: The entity of the project.
        project: The name of the project.
        name: The name of the collection.

    Raises:
        NotFoundError: The collection does not exist, or all its versions are deleted.
    """
    with store.reading() as session:
        versions = list_artifacts(session, entity, project, name=name)
    if not versions:
        raise NotFoundError(f"there is no collection {entity}/{project}/{name} in this store")
    for each in reversed(versions):  # the oldest first: the alias latest moves once
        number = int(each.version[1:])
        change_artifact(
            store, ArtifactChanged(entity, project, name, number, each.digest, time.time(), deleted=True)
        )
    return len(versions)
