"""``CatalogFreeReader``: read artifacts without a catalog, from published files and unapplied journals.

A process on a compute node that needs only one artifact starts faster without a private catalog of all
published files. For other questions, the reader opens the reader of such a catalog.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.errors import NotFoundError
from tracker.ground.artifact_views import ArtifactDifference, ArtifactFolder
from tracker.ground.read_models import ArtifactDetail
from tracker.ground.records import ArtifactChanged, ArtifactLinked
from tracker.reading.pending_artifacts import CollectionFiles
from tracker.runstate.collection import CollectionPath, VersionState, parse_version_name
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.manifest import Entry, Manifest, read_manifest
from tracker.store.objects.layout import Layout
from tracker.store.published.models import PublishedVersion, read_published_model
from tracker.store.published.moves import place_at
from tracker.store.queries.artifact_files import compare_versions, list_folder

if TYPE_CHECKING:
    from tracker.reading.reader import Reader

VERSION = re.compile(r"v(\d{1,9})")


class CatalogFreeReader:
    """Reads artifacts and their contents. Opens the reader of a private catalog at the first other question.

    Args:
        layout: The store.
        open_complete: Opens the reader that answers all questions.
    """

    def __init__(self, layout: Layout, open_complete: Callable[[], Reader]) -> None:
        self._layout = layout
        self._open_complete = open_complete
        self._blobs = BlobStore(layout)

    def artifact(self, entity: str, project: str, name: str, reference: str) -> ArtifactDetail:
        """See ``ArtifactReader.artifact``."""
        return find_artifact(self._layout, entity, project, name, reference)

    @property
    def url(self) -> str | None:
        """See ``AnyReader.url``."""
        return None

    @property
    def api_overrides(self) -> dict[str, str]:
        """See ``AnyReader.api_overrides``."""
        return {"store": str(self._layout.root), "mode": "offline"}

    @cached_property
    def complete(self) -> Reader:
        """The reader that answers all questions."""
        return self._open_complete()

    def links(self, artifact: ArtifactDetail) -> list[ArtifactDetail]:
        """See ``ArtifactReader.links``."""
        return self.complete.links(artifact)

    def catch_up(self) -> None:
        """See ``AnyReader.catch_up``. Only moves what waits in a spool: this reader applies no journals."""
        self._layout.move_arrivals()

    @property
    def can_change(self) -> bool:
        """See ``ArtifactReader.can_change``."""
        return False

    def manifest(self, artifact: ArtifactDetail) -> Manifest:
        """See ``ArtifactReader.manifest``."""
        return read_manifest(self._blobs, artifact.manifest)

    def folder(self, artifact: ArtifactDetail, path: str = "", **options: Any) -> ArtifactFolder:
        """See ``ArtifactReader.folder``."""
        return list_folder(self.manifest(artifact), path, **options)

    def difference(self, before: ArtifactDetail, after: ArtifactDetail, **options: Any) -> ArtifactDifference:
        """See ``ArtifactReader.difference``."""
        first, second = self.manifest(before), self.manifest(after)
        return compare_versions((before, first), (after, second), **options)

    def blob(self, sha256: str) -> Path | None:
        """See ``ArtifactReader.blob``."""
        return self._blobs.path(sha256)

    def chunks(self, artifact: ArtifactDetail, entry: Entry) -> Iterator[bytes]:
        """See ``ArtifactReader.chunks``."""
        return self._blobs.chunks(entry.blob or "", entry.offset, entry.size)

    def fetch(self, artifact: ArtifactDetail, wanted: Sequence[tuple[Entry, str]]) -> None:
        """See ``ArtifactReader.fetch``. Never called, because ``blob`` finds all contents."""
        raise NotImplementedError

    def change(self, change: ArtifactChanged) -> ArtifactDetail:
        """See ``ArtifactReader.change``. Never called, because ``can_change`` is False."""
        raise NotImplementedError

    def link(self, link: ArtifactLinked) -> None:
        """See ``ArtifactReader.link``. Never called, because ``can_change`` is False."""
        raise NotImplementedError

    def close(self) -> None:
        """See ``AnyReader.close``."""
        if "complete" in self.__dict__:
            self.complete.close()


def _logged_in(layout: Layout, path: CollectionPath, version: VersionState) -> str | None:
    """Return ``ENTITY/PROJECT`` of the run that logged a version, if it is not the project of the version."""
    if version.logged_by is None:
        return None
    logged = version
    entity, project, _ = path
    if version.source is not None:
        (entity, project, name), number = parse_version_name(version.source)
        with suppress(FileNotFoundError, ValueError):
            logged = read_published_model(layout.version(entity, project, name, number), PublishedVersion)
    named = (entity, project, version.logged_by)
    run = place_at(layout, named, logged.created_at, logged.segment) or named
    return None if run[:2] == path[:2] else f"{run[0]}/{run[1]}"


def find_artifact(layout: Layout, entity: str, project: str, name: str, reference: str) -> ArtifactDetail:
    """Return one artifact version.

    Args:
        layout: The store.
        entity: The entity of the project.
        project: The project.
        name: The name of the collection.
        reference: A version such as ``"v3"``, an alias, or a digest.

    Raises:
        NotFoundError: The version does not exist. The message lists existing versions and aliases.
    """
    collection = CollectionFiles(layout, (entity, project, name))
    versions, aliases = collection.live, collection.aliases
    if not versions:
        raise NotFoundError(f"there is no artifact {entity}/{project}/{name} in {layout.root}")
    if number := VERSION.fullmatch(reference):
        index: int | None = int(number[1])
    elif reference in aliases:
        index = aliases[reference]
    else:
        index = collection.newest(reference)
    if index is None or index not in versions:
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
        type=found.type,
        version=f"v{index}",
        aliases=sorted(alias for alias, at in aliases.items() if at == index),
        size=found.size,
        file_count=found.file_count,
        digest=found.digest,
        created_at=found.created_at,
        description=found.description,
        metadata=found.metadata,
        logged_by=found.logged_by,
        logged_in=_logged_in(layout, (entity, project, name), found),
        manifest=found.manifest,
        updated_at=found.updated_at or found.created_at,
        tags=found.tags,
        expires_at=found.expires_at,
        source=found.source,
    )
