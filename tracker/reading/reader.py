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
from tracker.reading.run_data_reader import ChartReader, FileReader, HistoryReader, TableReader

if TYPE_CHECKING:
    from tracker.ground.artifact_views import (
        ArtifactDifference,
        ArtifactFolder,
        ArtifactSizes,
        LineageGraph,
        RegistryPage,
    )
    from tracker.ground.bulk_edits import BulkResult
    from tracker.ground.deleted_runs import DeletedRunPage
    from tracker.ground.documents import Document, DocumentInfo
    from tracker.ground.field_infos import FieldList
    from tracker.ground.read_models import (
        ArtifactDetail,
        ArtifactInfo,
        CollectionInfo,
        ProjectInfo,
        RunDetail,
        RunName,
        RunPage,
    )
    from tracker.ground.records import ArtifactChanged, ArtifactLinked
    from tracker.ground.run_groups import RunGroups
    from tracker.ground.run_selections import RunValues
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

    def fields(
        self, entity: str, project: str, *, search: str = "", values: int = 12, limit: int = 1000
    ) -> FieldList:
        """Return the fields that runs of a project have: keys of config and summary, tags and columns.

        Args:
            entity: The entity of the project.
            project: The project.
            search: Return only fields whose name contains this text.
            values: The maximum number of strings of a field, up to 100.
            limit: The maximum number of fields, up to 5000.
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

    def delete_run(
        self, entity: str, project: str, run_id: str, delete_artifacts: bool, now: bool = False
    ) -> None:
        """Delete a run that has ended. It can be restored for a grace period.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            delete_artifacts: Whether to also delete the artifact versions that the run logged.
            now: Delete the run permanently.

        Raises:
            UsageError: A writer of the run is still running.
        """

    def move_run(
        self, entity: str, project: str, run_id: str, to_project: str, to_entity: str | None = None
    ) -> RunDetail:
        """Move a run that has ended to another project; return the run there.

        The artifact versions that the run logged stay in their projects.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            to_project: The target. It is created if it does not exist.
            to_entity: The entity of the target; None for the entity of the project.

        Raises:
            UsageError: A writer of the run is still running, or the target is invalid.
            ConflictError: The target has a run with this id.
        """

    def moved_run(self, entity: str, project: str, run_id: str) -> RunName | None:
        """Return where the run is that was moved last from a project; None without such a run.

        Args:
            entity: The entity of the former project.
            project: The former project.
            run_id: The id of the run.
        """

    def change_runs(
        self,
        entity: str,
        project: str,
        action: str,
        *,
        runs: Sequence[str] | None = None,
        filters: dict[str, Any] | None = None,
        values: dict[str, Any] | None = None,
        artifacts: bool = False,
        now: bool = False,
        to_entity: str | None = None,
        to_project: str | None = None,
        dry_run: bool = False,
    ) -> BulkResult:
        """Edit, delete, restore or move many runs, each of them completely or not at all.

        Args:
            entity: The entity of the project.
            project: The project.
            action: ``"edit"``, ``"delete"``, ``"restore"`` or ``"move"``.
            runs: Ids of the runs.
            filters: In place of ``runs``: change the runs that match this filter.
            values: For ``"edit"``: new values by field. See ``tracker.store.ingest.run_edits``.
            artifacts: For ``"delete"``: also delete the artifact versions that the runs logged.
            now: For ``"delete"``: delete the runs permanently.
            to_entity: For ``"move"``: the entity of the target; None for the entity of the project.
            to_project: For ``"move"``: the target.
            dry_run: Change nothing, and only count the runs.

        Raises:
            UsageError: The request is invalid. No run was changed.
        """

    def deleted_runs(self, entity: str, project: str, *, limit: int = 100, offset: int = 0) -> DeletedRunPage:
        """Return a page of a project's deleted runs that can be restored, the last deleted first.

        Args:
            entity: The entity of the project.
            project: The project.
            limit: The maximum number of runs, up to 1000.
            offset: The number of runs to skip.
        """

    def restore_run(self, entity: str, project: str, run_id: str, token: str | None = None) -> RunDetail:
        """Restore a deleted run with its rows, files, artifact versions and aliases; return the run.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            token: Which of several deleted runs with this id; None for the one that was deleted last.

        Raises:
            ConflictError: A newer run has the same id.
        """

    def purge_run(self, entity: str, project: str, run_id: str, token: str | None = None) -> None:
        """Delete a deleted run permanently, before its grace period ends. See ``restore_run``."""

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

    def folder(
        self,
        artifact: ArtifactDetail,
        path: str = "",
        *,
        search: str = "",
        offset: int = 0,
        limit: int = 1000,
    ) -> ArtifactFolder:
        """Return a page of the content of a folder of a version.

        Args:
            artifact: The version.
            path: The path of the folder; empty for the root.
            search: Return the files at all levels whose path contains this text, ignoring case. If it is
                empty, return the files and folders directly in the folder.
            offset: The number of items to skip.
            limit: The maximum number of items, up to 1000.
        """

    def difference(
        self,
        before: ArtifactDetail,
        after: ArtifactDetail,
        *,
        states: Sequence[str] = ("added", "removed", "changed"),
        search: str = "",
        offset: int = 0,
        limit: int = 1000,
    ) -> ArtifactDifference:
        """Return the difference between two versions, which may be of different collections.

        Args:
            before: The first version.
            after: The second version.
            states: List only files in these states: ``added``, ``removed``, ``changed`` or ``same``.
            search: List only files whose path contains this text, ignoring case.
            offset: The number of files to skip.
            limit: The maximum number of files, up to 1000.

        Raises:
            UsageError: A state is unknown.
        """

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

    def version_lineage(
        self,
        entity: str,
        project: str,
        name: str,
        reference: str,
        *,
        direction: str = "both",
        depth: int = 5,
        limit: int = 200,
    ) -> LineageGraph:
        """Return the runs and versions from which a version was made, and those that were made from it.

        Args:
            entity: The entity of the project.
            project: The project.
            name: The name of the collection.
            reference: A version such as ``"v3"``, an alias, or a digest.
            direction: ``"before"``, ``"after"`` or ``"both"``.
            depth: The maximum number of edges between the version and a node, up to 50.
            limit: The maximum number of nodes, up to 1000.
        """

    def run_lineage(
        self,
        entity: str,
        project: str,
        run_id: str,
        *,
        direction: str = "both",
        depth: int = 5,
        limit: int = 200,
    ) -> LineageGraph:
        """Return the runs and versions from which a run was made, and those that were made from it.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            direction: See ``version_lineage``.
            depth: See ``version_lineage``.
            limit: See ``version_lineage``.
        """

    def registry(self, entity: str, *, search: str = "", offset: int = 0, limit: int = 100) -> RegistryPage:
        """Return the collections in all projects of an entity that link versions of other collections.

        Args:
            entity: The entity.
            search: Return only collections whose name contains this text, ignoring the case of ASCII letters.
            offset: The number of collections to skip.
            limit: The maximum number of collections, up to 1000.
        """

    def artifact_sizes(self, entity: str, project: str, name: str | None) -> ArtifactSizes:
        """Return the sizes of all versions of a project or collection, and what sharing of contents saves.

        Args:
            entity: The entity of the project.
            project: The project.
            name: The name of a collection; None for all collections of the project.
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


class DocumentReader(AnyReader, Protocol):
    """Reads and changes the documents of a project: saved views, reports and notes."""

    def documents(self, entity: str, project: str, kind: str) -> list[DocumentInfo]:
        """Return the documents of a kind without their contents, the last changed first.

        Args:
            entity: The entity of the project.
            project: The project.
            kind: ``"views"``, ``"reports"`` or ``"notes"``.
        """

    def document(self, entity: str, project: str, kind: str, document_id: str) -> Document:
        """Return a document with its content. See ``update_document`` for the arguments."""

    def create_document(
        self, entity: str, project: str, kind: str, name: str, content: Any, owner: str | None = None
    ) -> Document:
        """Create a document and return it.

        Args:
            entity: The entity of the project.
            project: The project.
            kind: ``"views"``, ``"reports"`` or ``"notes"``.
            name: The name of the document.
            content: The content: see ``tracker.ground.documents.Document``.
            owner: The name of the person who makes the document.

        Raises:
            UsageError: A value is invalid.
            EditConflictError: The project has notes already.
        """

    def update_document(
        self,
        entity: str,
        project: str,
        kind: str,
        document_id: str,
        version: int,
        *,
        name: str | None = None,
        content: Any = None,
    ) -> Document:
        """Change a document and return its new version.

        Args:
            entity: The entity of the project.
            project: The project.
            kind: ``"views"``, ``"reports"`` or ``"notes"``.
            document_id: The id of the document.
            version: The version that the editor read.
            name: The new name; None to keep it.
            content: The new content; None to keep it.

        Raises:
            UsageError: A value is invalid.
            EditConflictError: Another editor has changed the document since ``version``.
        """

    def delete_document(self, entity: str, project: str, kind: str, document_id: str, version: int) -> None:
        """Delete a document. See ``update_document`` for arguments and errors."""


class Reader(
    RunReader,
    HistoryReader,
    ChartReader,
    TableReader,
    FileReader,
    ArtifactReader,
    CollectionReader,
    DocumentReader,
    Protocol,
):
    """Reads everything about runs, artifacts and the documents of projects."""
