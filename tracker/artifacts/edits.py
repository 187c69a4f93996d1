"""Changes of artifact versions as journal records: edits, deletions and links."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from tracker.artifacts.active_run import active_run
from tracker.artifacts.artifact_name import parse_reference
from tracker.errors import UsageError
from tracker.ground.names import check_alias, check_collection_name, is_tag
from tracker.ground.read_models import ArtifactDetail
from tracker.ground.records import ArtifactChanged, ArtifactLinked, VersionValues
from tracker.ground.values import to_plain
from tracker.reading.reader import ArtifactReader


def check_tags(tags: Sequence[str]) -> list[str]:
    """Return the tags without duplicates.

    Raises:
        ValueError: A tag has characters that are not allowed.
    """
    found = [tags] if isinstance(tags, str) else list(tags)
    wrong = [tag for tag in found if not is_tag(tag)]
    if wrong:
        raise ValueError(
            f"Invalid tag {wrong[0]!r}. Use letters, digits, hyphens, underscores, and spaces between words."
        )
    return list(dict.fromkeys(found))


def build_change(
    version: ArtifactDetail,
    aliases: Sequence[str],
    tags: Sequence[str],
    description: str | None,
    metadata: dict[str, Any],
    ttl: timedelta | None,
) -> ArtifactChanged | None:
    """Return the record that changes a version to the given values, or None without a change.

    Args:
        version: The version before the change.
        aliases: All aliases after the change. ``latest`` is never removed.
        tags: All tags after the change.
        description: The description after the change.
        metadata: The metadata after the change.
        ttl: The lifetime from the time of logging; None for an unlimited lifetime.

    Raises:
        ValueError: An alias or tag is not allowed.
    """
    values: VersionValues = {}
    if description != version.description:
        values["description"] = description
    plain = to_plain(metadata)
    if plain != version.metadata:
        values["metadata"] = plain
    if (found := check_tags(tags)) != version.tags:
        values["tags"] = found
    expires_at = None if ttl is None else version.created_at + ttl.total_seconds()
    if expires_at != version.expires_at:
        values["expires_at"] = expires_at
    added = [check_alias(alias) for alias in dict.fromkeys(aliases) if alias not in version.aliases]
    removed = [alias for alias in version.aliases if alias not in aliases and alias != "latest"]
    if not (values or added or removed):
        return None
    return ArtifactChanged(*_name_parts(version), time.time(), added, removed, values)


def build_deletion(version: ArtifactDetail) -> ArtifactChanged:
    """Return the record that deletes a version."""
    return ArtifactChanged(*_name_parts(version), time.time(), deleted=True)


def build_link(version: ArtifactDetail, target: str, aliases: Sequence[str]) -> ArtifactLinked:
    """Return the record that links a version into a collection.

    Args:
        version: The version.
        target: The collection: ``[[entity/]project/]collection``.
        aliases: Aliases of the linked version.

    Raises:
        UsageError: The target is not the path of a collection.
        ValueError: The target's name or an alias is not allowed.
    """
    entity, project, name, reference = parse_reference(target, version.entity, version.project)
    if reference != "latest":
        raise UsageError(
            f"Invalid target {target!r}: it names a version. Use a collection, [[entity/]project/]collection."
        )
    check_collection_name(name)
    named = [check_alias(alias) for alias in aliases]
    return ArtifactLinked(*_name_parts(version), entity, project, name, named, time.time())


def apply(reader: ArtifactReader, version: ArtifactDetail, change: ArtifactChanged) -> ArtifactDetail:
    """Change or delete a version. Without a catalog or server, write the change to the active run's journal.

    Args:
        reader: The reader of the version.
        version: The version.
        change: The change.

    Returns:
        The changed version, or the deleted version before the deletion.

    Raises:
        UsageError: There is neither a catalog, nor a server, nor an active run.
    """
    if reader.can_change:
        return reader.change(change)
    run = active_run()
    if run is None:
        raise UsageError(
            "This host sees only the folder of the store. Change artifacts in a run, or on the host that "
            "runs `tracker server`."
        )
    run.record(change)
    if change.deleted:
        return version
    return reader.artifact(version.entity, version.project, version.name, version.version)


def apply_link(reader: ArtifactReader, link: ArtifactLinked) -> ArtifactDetail:
    """Link a version into a collection; return the linked version.

    An active run writes the link to its journal. Otherwise the reader makes the link.

    Raises:
        UsageError: There is neither an active run, nor a catalog, nor a server.
    """
    run = active_run()
    if run is not None:
        run.record(link)
    elif reader.can_change:
        reader.link(link)
    else:
        raise UsageError(
            "This host sees only the folder of the store. Link artifacts in a run, or on the host that runs "
            "`tracker server`."
        )
    return reader.artifact(link.target_entity, link.target_project, link.target_name, link.digest)


def _name_parts(version: ArtifactDetail) -> tuple[str, str, str, int, str]:
    return version.entity, version.project, version.name, int(version.version[1:]), version.digest
