"""Reading without a catalog: published files, laid over with the journals that are not applied yet.

This is what a compute node has that sees the store only through a network file system, and what a
process has that only wants one run or one artifact: it imports neither SQLAlchemy nor pyarrow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tracker.answers import ArtifactDetail, ArtifactEntry
from tracker.errors import NotFoundError
from tracker.reading.known import journal_records
from tracker.records import ArtifactLogged, RunStarted
from tracker.store.blobs import BlobStore
from tracker.store.files import read_json
from tracker.store.layout import Layout
from tracker.store.manifest import read_manifest

VERSION = re.compile(r"v(\d{1,9})")


class FilesReader:
    """Finds artifacts and their content; lists and histories need the catalog."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._blobs = BlobStore(layout)

    def artifact(self, entity: str, project: str, name: str, reference: str) -> ArtifactDetail:
        """See ``Reader``."""
        return find_artifact(self._layout, entity, project, name, reference)

    def chunks(self, artifact: ArtifactDetail, entry: ArtifactEntry) -> Iterator[bytes]:
        """See ``Reader``."""
        return self._blobs.chunks(entry.sha256)

    def close(self) -> None:
        """See ``Reader``."""


def find_artifact(layout: Layout, entity: str, project: str, name: str, reference: str) -> ArtifactDetail:
    """Return the version that ``reference`` names: ``v3``, an alias, or a digest.

    Raises:
        NotFoundError: There is none; the message says which there are.
    """
    # Journals before published files: what is sealed meanwhile is gone here, and stands there.
    logged = _logged_artifacts(layout, entity, project, name)
    versions = _published_versions(layout, entity, project, name)
    published = [read_json(path) for path in layout.alias_files(entity, project, name)]
    aliases: dict[str, int] = {held["alias"]: held["version"] for held in published if held is not None}
    _lay_over(layout, versions, aliases, logged)
    if not versions:
        raise NotFoundError(f"there is no artifact {entity}/{project}/{name} in {layout.root}")
    if number := VERSION.fullmatch(reference):
        index = int(number[1])
    elif reference in aliases:
        index = aliases[reference]
    else:
        index = max((at for at, found in versions.items() if found["digest"] == reference), default=-1)
    if index not in versions:
        raise NotFoundError(
            f"artifact {entity}/{project}/{name} has no version or alias {reference!r}; "
            f"there is {', '.join(f'v{at}' for at in sorted(versions)[-5:])}, "
            f"aliases: {', '.join(sorted(aliases)) or 'none'}"
        )
    found = versions[index]
    return ArtifactDetail(
        entity=entity,
        project=project,
        name=name,
        type=found["type"],
        version=f"v{index}",
        aliases=sorted(alias for alias, at in aliases.items() if at == index),
        size=found["size"],
        file_count=len(found["entries"]),
        digest=found["digest"],
        created_at=found["created_at"],
        description=found["description"],
        metadata=found["metadata"],
        logged_by=found["logged_by"],
        files=[ArtifactEntry(**entry) for entry in found["entries"]],
    )


def _published_versions(layout: Layout, entity: str, project: str, name: str) -> dict[int, dict[str, Any]]:
    found = {}
    for index in layout.list_versions(entity, project, name):
        described = read_json(layout.version(entity, project, name, index))
        if described is not None:
            found[index] = described
    return found


def _lay_over(
    layout: Layout,
    versions: dict[int, dict[str, Any]],
    aliases: dict[str, int],
    logged: list[tuple[str, RunStarted, int, ArtifactLogged]],
) -> None:
    """Add what journals ask for and nobody has applied yet, as applying it would."""
    known = {(found["segment"], found["sequence"]) for found in versions.values()}
    for segment, started, sequence, record in logged:
        if (segment, sequence) in known:
            continue
        newest = max(versions, default=-1)
        if newest < 0 or versions[newest]["digest"] != record.digest:
            newest += 1
            entries = read_manifest(BlobStore(layout), record.manifest).entries
            versions[newest] = {
                "type": record.artifact_type,
                "digest": record.digest,
                "size": record.size,
                "description": record.description,
                "metadata": record.metadata,
                "created_at": record.time,
                "logged_by": started.run_id,
                "entries": [
                    {"path": each.path, "digest": each.digest, "size": each.size, "sha256": each.sha256}
                    for each in entries
                ],
            }
        for alias in [*record.aliases, "latest"]:
            aliases[alias] = newest


def _logged_artifacts(
    layout: Layout, entity: str, project: str, name: str
) -> list[tuple[str, RunStarted, int, ArtifactLogged]]:
    found = []
    for segment, records in journal_records(layout):
        started: RunStarted | None = None
        applied = 0
        for sequence, record in records:
            if isinstance(record, RunStarted):
                started = record
                if (started.entity, started.project) != (entity, project):
                    break
                applied = _applied(layout, started, segment)
            elif sequence < applied:
                continue  # it has a version already, perhaps an older one of the same content
            elif isinstance(record, ArtifactLogged) and started is not None and record.name == name:
                found.append((segment, started, sequence, record))
    return sorted(found, key=lambda each: each[3].time)


def _applied(layout: Layout, started: RunStarted, segment: str) -> int:
    """Return the number of the first record of a segment that its run's file does not know."""
    published = read_json(layout.run_file(started.entity, started.project, started.run_id)) or {}
    numbers = [
        each.get("sequence", 0) for each in published.get("segments", []) if each["segment"] == segment
    ]
    return max(numbers, default=0)
