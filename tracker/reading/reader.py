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

if TYPE_CHECKING:
    import pyarrow as pa

    from tracker.ground.read_models import (
        ArtifactDetail,
        ArtifactInfo,
        CollectionInfo,
        FileInfo,
        Output,
        ProjectInfo,
        RunDetail,
        RunPage,
        SystemMetrics,
    )
    from tracker.ground.records import ArtifactChanged, ArtifactLinked
    from tracker.ground.run_groups import RunGroups
    from tracker.ground.run_selections import RunValues
    from tracker.store.blobs.manifest import Entry, Manifest
    from tracker.store.objects.layout import Layout


class AnyReader(Protocol):
    """The common part of all readers."""

    @property
    def url(self) -> str | None:
        """The address of the server, or None if the store is read without a server."""

    @property
    def api_overrides(self) -> dict[str, str]:
        """The argument ``overrides`` with which ``Api`` reads this store or server in any process."""

    def catch_up(self) -> None:
        """Apply, or send to the server, everything that this host has logged so far."""

    def close(self) -> None:
        """Close files and connections."""


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
        query: str = "",
        cursor: str = "",
    ) -> RunPage:
        """Return a page of a project's runs; an unknown project has no runs.

        Args:
            entity: The entity of the project.
            project: The project.
            limit: The maximum number of runs, up to 1000.
            offset: The number of runs to skip.
            order: Columns, ``summary.KEY`` or ``config.KEY``, with commas between them. A leading ``-``
                reverses the order of a key. See ``tracker.store.queries.run_order``.
            search: Return only runs whose name or id contains this text.
            filters: Return only runs that match this filter. See ``tracker.store.queries.filters``.
            query: Return only runs that match this text. See ``tracker.store.queries.query_language``.
            cursor: ``next`` of the page before, to continue after its last run; empty for the first page.

        Raises:
            UsageError: The order, the filter, the query or the cursor is invalid.
        """

    def run_values(self, entity: str, project: str, fields: Sequence[str], **options: Any) -> RunValues:
        """Return only some fields of a page of a project's runs.

        Args:
            entity: The entity of the project.
            project: The project.
            fields: Fields of ``RunInfo``, ``config.KEY`` or ``summary.KEY``.
            options: The other arguments of ``runs``; none is required.

        Raises:
            UsageError: A field does not exist, or see ``runs``.
        """

    def run_groups(
        self,
        entity: str,
        project: str,
        *,
        by: Sequence[str] = (),
        all_but: Sequence[str] | None = None,
        metrics: Sequence[str] = (),
        filters: dict[str, Any] | None = None,
        **options: Any,
    ) -> RunGroups:
        """Return groups of the matching runs of a project, with statistics of metrics over all their runs.

        Args:
            entity: The entity of the project.
            project: The project.
            by: The keys of the groups: columns, ``tags``, ``config.KEY`` or ``summary.KEY``.
            all_but: Group by all keys of the config except these, instead of ``by``.
            metrics: Keys of the summary.
            filters: See ``runs``.
            options: ``limit``, ``offset``, ``order``, ``search`` and ``query``: see
                ``tracker.store.queries.run_groups.GroupsAsked``.

        Raises:
            UsageError: A key or the order does not exist, or a filter is invalid.
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


class HistoryReader(AnyReader, Protocol):
    """Reads the data that a run logged: rows, system metrics and output."""

    def history(
        self,
        entity: str,
        project: str,
        run_id: str,
        keys: Sequence[str] | None,
        complete: bool,
        segment: str | None = None,
    ) -> list[dict[str, Any]]:
        """Return the rows of a run's history, in the order of their steps.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            keys: Return only these keys, and only rows that have at least one of them. None returns all keys.
            complete: Return only rows that have all ``keys``.
            segment: The id of a segment, to return all its rows; None for the newest branch of the run.
        """

    def table(
        self, entity: str, project: str, run_id: str, keys: Sequence[str] | None, segment: str | None
    ) -> pa.Table:
        """Return a run's history as an Arrow table. See ``tracker.store.history.arrow_tables.source_table``.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            keys: Return only these keys, and only rows that have at least one of them. None returns all keys.
            segment: The id of a segment, to return all its rows; None for the newest branch of the run.
        """

    def system(
        self, entity: str, project: str, run_id: str, segment: str | None = None, points: int | None = None
    ) -> list[SystemMetrics]:
        """Return the system metrics of a run's segments, the oldest attempt of the primary writer first.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            segment: Return only the metrics of this segment.
            points: The maximum number of samples of each segment. The returned samples are evenly spaced and
                include the last sample. None returns all samples.
        """

    def console(
        self,
        entity: str,
        project: str,
        run_id: str,
        *,
        segment: str | None = None,
        offset: int = 0,
        limit: int | None = None,
        search: str = "",
    ) -> Output:
        """Return lines of a run's output.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            segment: Return only lines of this segment; None for all attempts of the primary writer.
            offset: The number of the first line. A negative number counts from the end.
            limit: The maximum number of lines; None for all lines.
            search: Return only lines that contain this text. The search ignores case.
        """


class FileReader(AnyReader, Protocol):
    """Reads the files of a run."""

    def files(self, entity: str, project: str, run_id: str) -> list[FileInfo]:
        """Return the saved files of a run, sorted by path.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
        """

    def file_chunks(self, entity: str, project: str, run_id: str, file: FileInfo) -> Iterator[bytes]:
        """Return the content of a file in chunks.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            file: One of the run's ``files``.
        """


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


class Reader(RunReader, HistoryReader, FileReader, ArtifactReader, CollectionReader, Protocol):
    """Reads everything about runs and artifacts."""
