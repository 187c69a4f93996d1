"""Reading without a catalog: published files, laid over with the journals that are not applied yet.

This is what a compute node has that sees the store only through a network file system, and what a
process has that only wants one run or one artifact: it imports neither SQLAlchemy nor pyarrow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tracker.answers import ArtifactDetail
from tracker.errors import NotFoundError, StoreError
from tracker.reading.known import journal_records
from tracker.records import ArtifactChanged, ArtifactLinked, ArtifactLogged, RunStarted
from tracker.store.blobs import BlobStore
from tracker.store.files import read_json
from tracker.store.layout import Layout
from tracker.store.manifest import Entry, Manifest, read_manifest
from tracker.store.settle import settle

VERSION = re.compile(r"v(\d{1,9})")


class FilesReader:
    """Finds artifacts and their content; lists and histories need the catalog."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._blobs = BlobStore(layout)

    def artifact(self, entity: str, project: str, name: str, reference: str) -> ArtifactDetail:
        """See ``Reader``."""
        return find_artifact(self._layout, entity, project, name, reference)

    def catch_up(self) -> None:
        """See ``Reader``; nothing is applied here."""

    @property
    def can_change(self) -> bool:
        """See ``Reader``."""
        return False

    def manifest(self, artifact: ArtifactDetail) -> Manifest:
        """See ``Reader``."""
        return read_manifest(self._blobs, artifact.manifest)

    def blob(self, sha256: str) -> Path | None:
        """See ``Reader``."""
        return self._blobs.path(sha256)

    def chunks(self, artifact: ArtifactDetail, entry: Entry) -> Iterator[bytes]:
        """See ``Reader``."""
        return self._blobs.chunks(entry.blob or "", entry.offset, entry.size)

    def fetch(self, artifact: ArtifactDetail, wanted: Sequence[tuple[Entry, str]]) -> None:
        """See ``Reader``; never needed, as ``blob`` finds everything."""
        raise NotImplementedError

    def change(self, change: ArtifactChanged) -> ArtifactDetail:
        """See ``Reader``; never asked, as ``can_change`` is False."""
        raise NotImplementedError

    def link(self, link: ArtifactLinked) -> None:
        """See ``Reader``; never asked, as ``can_change`` is False."""
        raise NotImplementedError

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
    taken = max(layout.list_versions(entity, project, name), default=-1)
    _lay_over(layout, versions, aliases, logged, taken)
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
        file_count=found["file_count"] if "file_count" in found else len(found["entries"]),
        digest=found["digest"],
        created_at=found["created_at"],
        description=found["description"],
        metadata=found["metadata"],
        logged_by=found["logged_by"],
        manifest=found["manifest"],
        updated_at=found.get("updated_at") or found["created_at"],
        tags=found.get("tags", []),
        expires_at=found.get("expires_at"),
        source=found.get("source"),
    )


def _published_versions(layout: Layout, entity: str, project: str, name: str) -> dict[int, dict[str, Any]]:
    found = {}
    for index in layout.list_versions(entity, project, name):
        described = read_json(layout.version(entity, project, name, index))
        if described is not None and described.get("deleted_at") is None:
            found[index] = described
    return found


def _lay_over(
    layout: Layout,
    versions: dict[int, dict[str, Any]],
    aliases: dict[str, int],
    logged: list[tuple[str, RunStarted, int, ArtifactLogged]],
    taken: int,
) -> None:
    """Add what journals ask for and nobody has applied yet, as applying it would."""
    known = {(found["segment"], found["sequence"]) for found in versions.values()}
    for segment, started, sequence, record in logged:
        if (segment, sequence) in known:
            continue
        digest, manifest, size, count = record.digest, record.manifest, record.size, record.file_count
        if record.draft is not None:
            try:
                settled = settle(layout, record.draft)
            except StoreError:
                continue  # another host's, which has not come here yet
            if settled.problem is not None:
                continue
            digest, manifest = settled.digest, settled.manifest
            size, count = settled.size, settled.file_count
        newest = max(versions, default=-1)
        if newest < 0 or versions[newest]["digest"] != digest:
            newest = taken = taken + 1
            versions[newest] = {
                "type": record.artifact_type,
                "digest": digest,
                "manifest": manifest,
                "size": size,
                "file_count": count,
                "description": record.description,
                "metadata": record.metadata,
                "tags": record.tags,
                "created_at": record.time,
                "expires_at": None if record.ttl is None else record.time + record.ttl,
                "logged_by": started.run_id,
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
