"""The seam between those who ask and where the answers are: a protocol for each subject, and one of all.

Answers include what this host has logged so far. All methods raise NotFoundError for what is not there.
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
    from tracker.store.blobs.manifest import Entry, Manifest
    from tracker.store.objects.layout import Layout


class AnyReader(Protocol):
    """What every reader has."""

    @property
    def url(self) -> str | None:
        """Address of the server that is asked; None where nothing serves the store."""

    @property
    def api_overrides(self) -> dict[str, str]:
        """What ``Api`` is given to read there, from another process too."""

    def catch_up(self) -> None:
        """Apply, or send, whatever this host has logged and was not yet."""

    def close(self) -> None:
        """Let go of files and connections."""


class RunReader(AnyReader, Protocol):
    """Projects and their runs."""

    def projects(self) -> list[ProjectInfo]:
        """All projects, the most recently changed first."""

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
        """A page of a project's runs; see ``tracker.store.queries.runs.list_runs``."""

    def run(self, entity: str, project: str, run_id: str) -> RunDetail:
        """One run."""

    def edit(self, entity: str, project: str, run_id: str, values: dict[str, Any]) -> RunDetail:
        """Change what people may change of a run (``tracker.store.ingest.run_edits``); return it as it is."""

    def delete_run(self, entity: str, project: str, run_id: str, delete_artifacts: bool) -> None:
        """Delete a run that has ended (``tracker.store.ingest.deletion``)."""

    def journals(self) -> Layout:
        """Where journals are written that ``catch_up`` takes in; made if there is nothing yet."""


class HistoryReader(AnyReader, Protocol):
    """What was written during a run: rows, samples of the machine, output."""

    def history(
        self,
        entity: str,
        project: str,
        run_id: str,
        keys: Sequence[str] | None,
        complete: bool,
        segment: str | None = None,
    ) -> list[dict[str, Any]]:
        """A run's rows; see ``tracker.store.queries.history.rows``."""

    def table(
        self, entity: str, project: str, run_id: str, keys: Sequence[str] | None, segment: str | None
    ) -> pa.Table:
        """A run's columns; see ``tracker.store.queries.history.table``."""

    def system(
        self, entity: str, project: str, run_id: str, segment: str | None = None, points: int | None = None
    ) -> list[SystemMetrics]:
        """What a run's writers sampled; see ``tracker.store.queries.captured.system``."""

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
        """Lines of a run's output; see ``tracker.store.queries.captured.console``."""


class FileReader(AnyReader, Protocol):
    """A run's files."""

    def files(self, entity: str, project: str, run_id: str) -> list[FileInfo]:
        """A run's files, by path."""

    def file_chunks(self, entity: str, project: str, run_id: str, file: FileInfo) -> Iterator[bytes]:
        """The content of one of them, in pieces."""


class ArtifactReader(AnyReader, Protocol):
    """Artifact versions: found by name, changed, and their content; on nodes without a catalog too."""

    def artifact(self, entity: str, project: str, name: str, reference: str) -> ArtifactDetail:
        """The version that a version, alias or digest names."""

    def links(self, artifact: ArtifactDetail) -> list[ArtifactDetail]:
        """The links that stand for a version, in other collections."""

    @property
    def can_change(self) -> bool:
        """Whether ``change`` and ``link`` work here; else only a run's journal can say so."""

    def manifest(self, artifact: ArtifactDetail) -> Manifest:
        """The list of a version's files."""

    def blob(self, sha256: str) -> Path | None:
        """Where a blob lies on this machine; None when it must be fetched."""

    def chunks(self, artifact: ArtifactDetail, entry: Entry) -> Iterator[bytes]:
        """The content of one of its files, in pieces."""

    def fetch(self, artifact: ArtifactDetail, wanted: Sequence[tuple[Entry, str]]) -> None:
        """Write files of a version to paths, each checked before it gets its name."""

    def change(self, change: ArtifactChanged) -> ArtifactDetail:
        """Change what is said of a version, or delete it; return it as it is, or was."""

    def link(self, link: ArtifactLinked) -> None:
        """Link a version into another collection."""


class CollectionReader(AnyReader, Protocol):
    """Lists of artifact versions and collections."""

    def artifacts(
        self, entity: str, project: str, run_id: str | None, name: str | None
    ) -> list[ArtifactInfo]:
        """Artifact versions, newest first."""

    def used_artifacts(self, entity: str, project: str, run_id: str) -> list[ArtifactInfo]:
        """The artifact versions that a run used, in that order."""

    def collections(self, entity: str, project: str, type_name: str | None) -> list[CollectionInfo]:
        """A project's artifact collections by name; only those of a type, if given."""

    def change_collection(
        self, entity: str, project: str, name: str, values: dict[str, Any]
    ) -> CollectionInfo:
        """Change a collection's ``description`` or ``tags``; return it as it is then."""


class Reader(RunReader, HistoryReader, FileReader, ArtifactReader, CollectionReader, Protocol):
    """Answers all questions about runs and artifacts."""
