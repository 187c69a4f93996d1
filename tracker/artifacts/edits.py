"""Changes of artifact versions as records: what was edited, deletion, links."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from tracker.artifacts.active_run import active_run
from tracker.artifacts.artifact_name import parse_reference
from tracker.errors import UsageError
from tracker.ground.names import check_alias, check_collection_name
from tracker.ground.read_models import ArtifactDetail
from tracker.ground.records import ArtifactChanged, ArtifactLinked, VersionValues
from tracker.ground.values import to_plain
from tracker.reading.reader import ArtifactReader

_TAG = re.compile(r"[-\w]+( +[-\w]+)*")


def check_tags(tags: Sequence[str]) -> list[str]:
    """Return tags, each once.

    Raises:
        ValueError: One has characters that a tag may not have.
    """
    found = [tags] if isinstance(tags, str) else list(tags)
    wrong = [tag for tag in found if not isinstance(tag, str) or not _TAG.fullmatch(tag)]
    if wrong:
        raise ValueError(
            f"Invalid tag {wrong[0]!r}: tags have letters, digits, hyphens, underscores, and spaces between"
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
    """Return what is to change of a version; None when nothing is.

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
    """Return the record that links a version to ``[[entity/]project/]collection``.

    Raises:
        ValueError: The target's name or an alias is not allowed.
    """
    entity, project, name, reference = parse_reference(target, version.entity, version.project)
    if reference != "latest":
        raise UsageError(f"{target!r} names a version: link to a collection, [[entity/]project/]collection")
    check_collection_name(name)
    named = [check_alias(alias) for alias in aliases]
    return ArtifactLinked(*_name_parts(version), entity, project, name, named, time.time())


def apply(reader: ArtifactReader, version: ArtifactDetail, change: ArtifactChanged) -> ArtifactDetail:
    """Make a change; where there is neither catalog nor server, through the active run's journal.

    Returns:
        The version as it is then.
    """
    if reader.can_change:
        return reader.change(change)
    run = active_run()
    if run is None:
        raise UsageError(
            "this host only sees the store's folder: change artifacts inside a run, or on the host that runs "
            "`tracker server`"
        )
    run.record(change)
    if change.deleted:
        return version
    return reader.artifact(version.entity, version.project, version.name, version.version)


def apply_link(reader: ArtifactReader, link: ArtifactLinked) -> ArtifactDetail:
    """Make a link; through the active run's journal, if there is one. Return the version as it is there."""
    run = active_run()
    if run is not None:
        run.record(link)
    elif reader.can_change:
        reader.link(link)
    else:
        raise UsageError(
            "this host only sees the store's folder: link artifacts inside a run, or on the host that runs "
            "`tracker server`"
        )
    return reader.artifact(link.target_entity, link.target_project, link.target_name, link.digest)


def _name_parts(version: ArtifactDetail) -> tuple[str, str, str, int, str]:
    return version.entity, version.project, version.name, int(version.version[1:]), version.digest
