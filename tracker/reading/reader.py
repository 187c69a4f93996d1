"""The protocols of readers: one protocol for each subject, and ``Reader`` with all of them.

A reader reads from a store's catalog, from a store's files without a catalog, or from a server. Every answer
includes everything that this host has logged so far.

Every method can raise these errors. The docstrings of the methods do not list them:

* NotFoundError: The named run, file, version or collection does not exist.
* CommError: The server cannot be reached, or refuses the request.
* StoreError: The store cannot be opened or read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tracker.reading.any_reader import AnyReader
from tracker.reading.run_data_reader import FileReader, HistoryReader, TableReader

if TYPE_CHECKING:
    from tracker.ground.read_models import (
        ArtifactDetail,
        ArtifactInfo,
        CollectionInfo,
        ProjectInfo,
        RunDetail,
        RunPage,
    )
    from tracker.ground.records import ArtifactChanged, ArtifactLinked
    from tracker.store.blobs.manifest import Entry, Manifest
    from tracker.store.objects.layout import Layout


class RunReader(AnyReader, Protocol):
    """Reads and edits projects and their runs."""

    def projects(self) -> list[ProjectInfo]:
        """Return all projects, the most recently changed first."""

    def runs(
        self,
        entity: str,
        project: str,
        *,
        limit: int,
        offset: int,
        order: str,
        search: str = "",
        filters: dict[str, Any] | None = None,
    ) -> RunPage:
        """Return a page of a project's runs; an unknown project has no runs.

        Args:
            entity: The entity of the project.
            project: The project.
            limit: The maximum number of runs, up to 1000.
            offset: The number of runs to skip.
            order: A column, ``summary.KEY`` or ``config.KEY``. A leading ``-`` reverses the order. See
                ``tracker.store.queries.runs.list_runs``.
            search: Return only runs whose name or id contains this text.
            filters: Return only runs that match this filter. See ``tracker.store.queries.filters``.

        Raises:
            UsageError: The order or the filter is invalid.
        """

    def run(self, entity: str, project: str, run_id: str) -> RunDetail:
        """Return one run.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
        """

    def edit(self, entity: str, project: str, run_id: str, values: dict[str, Any]) -> RunDetail:
        """Edit fields of a run; return the edited run.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            values: New values by field. See ``tracker.store.ingest.run_edits``.

        Raises:
            UsageError: A field cannot be edited, or cannot have the given value.
        """

    def delete_run(self, entity: str, project: str, run_id: str, delete_artifacts: bool) -> None:
        """Delete a run that has ended.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            delete_artifacts: Whether to also delete the artifact versions that the run logged.

        Raises:
            UsageError: A writer of the run is still running.
        """

    def journals(self) -> Layout:
        """Return the store or outbox whose journals ``catch_up`` applies or sends; create it if needed."""


class ArtifactReader(AnyReader, Protocol):
    """Reads and changes artifact versions. The methods do not need a catalog, except where noted."""

    def artifact(self, entity: str, project: str, name: str, reference: str) -> ArtifactDetail:
        """Return one artifact version.

        Args:
            entity: The entity of the project.
            project: The project.
            name: The name of the collection.
            reference: A version such as ``"v3"``, an alias, or a digest.
        """

    def links(self, artifact: ArtifactDetail) -> list[ArtifactDetail]:
        """Return the links to a version in other collections, the oldest first.

        Raises:
            UnsupportedError: The reader does not have a catalog.
        """

    @property
    def can_change(self) -> bool:
        """Whether ``change`` and ``link`` work. Otherwise only the journal of a run can record changes."""

    def manifest(self, artifact: ArtifactDetail) -> Manifest:
        """Return the list of a version's files."""

    def blob(self, sha256: str) -> Path | None:
        """Return the path of a blob on this machine, or None if the blob must be fetched from a server."""

    def chunks(self, artifact: ArtifactDetail, entry: Entry) -> Iterator[bytes]:
        """Return the content of one of the version's files in chunks."""

    def fetch(self, artifact: ArtifactDetail, wanted: Sequence[tuple[Entry, str]]) -> None:
        """Download files of a version from a server. Each file gets its name after its content was checked.

        Args:
            artifact: The version.
            wanted: Entries of the version, each with its target path.

        Raises:
            ArtifactError: The content of a file does not match its checksum.
        """

    def change(self, change: ArtifactChanged) -> ArtifactDetail:
        """Change or delete a version.

        Returns:
            The changed version. For a deletion: the version as it was before.
        """

    def link(self, link: ArtifactLinked) -> None:
        """Link a version into another collection."""


class CollectionReader(AnyReader, Protocol):
    """Lists artifact versions and collections."""

    def artifacts(
        self, entity: str, project: str, run_id: str | None, name: str | None
    ) -> list[ArtifactInfo]:
        """Return artifact versions of a project, the newest first.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: Return only versions that this run logged.
            name: Return only versions of this collection.
        """

    def used_artifacts(self, entity: str, project: str, run_id: str) -> list[ArtifactInfo]:
        """Return the artifact versions that a run used, in the order of their use.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
        """

    def collections(self, entity: str, project: str, type_name: str | None) -> list[CollectionInfo]:
        """Return a project's artifact collections, sorted by name.

        Args:
            entity: The entity of the project.
            project: The project.
            type_name: Return only collections of this type.
        """

    def change_collection(
        self, entity: str, project: str, name: str, values: dict[str, Any]
    ) -> CollectionInfo:
        """Change a collection; return the changed collection.

        Args:
            entity: The entity of the project.
            project: The project.
            name: The name of the collection.
            values: New values of ``description`` or ``tags``.

        Raises:
            UsageError: A field cannot be changed, or cannot have the given value.
        """


class Reader(RunReader, HistoryReader, TableReader, FileReader, ArtifactReader, CollectionReader, Protocol):
    """Reads everything about runs and artifacts."""
