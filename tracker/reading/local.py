"""``LocalReader``: read a store on this machine through its catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

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
from tracker.recorder.follow import catch_up
from tracker.store.blobs.manifest import Entry, Manifest, read_manifest
from tracker.store.ingest.artifact_edits import change_artifact, link_artifact
from tracker.store.objects.layout import Layout
from tracker.store.queries import artifacts, captured, files, history, run_groups, run_rows, runs
from tracker.store.store import Store

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy.orm import Session

    from tracker.store.catalog.models import Run

T = TypeVar("T")


class LocalReader:
    """Reads a store through its catalog.

    Args:
        store: The store.
        follows: Whether to apply this host's journals before each answer. A server passes False, because it
            applies journals in the background.
    """

    def __init__(self, store: Store, *, follows: bool = True) -> None:
        self._store = store
        self._follows = follows

    @property
    def url(self) -> str | None:
        """See ``AnyReader.url``."""
        return None

    @property
    def api_overrides(self) -> dict[str, str]:
        """See ``AnyReader.api_overrides``."""
        return {"store": str(self._store.layout.source), "mode": "offline"}

    def projects(self) -> list[ProjectInfo]:
        """See ``RunReader.projects``."""
        return self._query(runs.list_projects)

    def runs(self, entity: str, project: str, **options: Any) -> RunPage:
        """See ``RunReader.runs``."""
        return self._query(lambda session: runs.list_runs(session, entity, project, **options))

    def run_values(self, entity: str, project: str, fields: Sequence[str], **options: Any) -> RunValues:
        """See ``RunReader.run_values``."""
        return self._query(
            lambda session: run_rows.select_values(session, entity, project, fields, **options)
        )

    def run_groups(self, entity: str, project: str, **options: Any) -> RunGroups:
        """See ``RunReader.run_groups``."""
        asked = run_groups.GroupsAsked(entity, project, **options)
        return self._query(lambda session: run_groups.group_runs(session, asked))

    def run(self, entity: str, project: str, run_id: str) -> RunDetail:
        """See ``RunReader.run``."""
        return self._query(lambda session: runs.run_detail(session, entity, project, run_id))

    def edit(self, entity: str, project: str, run_id: str, values: dict[str, Any]) -> RunDetail:
        """See ``RunReader.edit``."""
        from tracker.store.ingest.run_edits import apply_edit, make_edit

        self.catch_up()
        apply_edit(self._store, make_edit(entity, project, run_id, values))
        return self.run(entity, project, run_id)

    def history(
        self,
        entity: str,
        project: str,
        run_id: str,
        keys: Sequence[str] | None,
        complete: bool,
        segment: str | None = None,
    ) -> list[dict[str, Any]]:
        """See ``HistoryReader.history``."""
        root = self._store.root
        return self._query_run(
            (entity, project, run_id),
            lambda session, run: history.rows(session, run, root, keys, complete=complete, segment=segment),
        )

    def table(
        self, entity: str, project: str, run_id: str, keys: Sequence[str] | None, segment: str | None
    ) -> pa.Table:
        """See ``HistoryReader.table``."""
        root = self._store.root
        return self._query_run(
            (entity, project, run_id),
            lambda session, run: history.table(session, run, root, keys, segment=segment),
        )

    def system(
        self, entity: str, project: str, run_id: str, segment: str | None = None, points: int | None = None
    ) -> list[SystemMetrics]:
        """See ``HistoryReader.system``."""
        root = self._store.root
        return self._query_run(
            (entity, project, run_id),
            lambda session, run: captured.system(session, run, root, segment=segment, points=points),
        )

    def console(self, entity: str, project: str, run_id: str, **options: Any) -> Output:
        """See ``HistoryReader.console``."""
        root = self._store.root
        return self._query_run(
            (entity, project, run_id), lambda session, run: captured.console(session, run, root, **options)
        )

    def delete_run(self, entity: str, project: str, run_id: str, delete_artifacts: bool) -> None:
        """See ``RunReader.delete_run``."""
        from tracker.store.ingest.deletion import delete_run

        self.catch_up()
        delete_run(self._store, entity, project, run_id, delete_artifacts=delete_artifacts)

    def files(self, entity: str, project: str, run_id: str) -> list[FileInfo]:
        """See ``FileReader.files``."""
        blobs = self._store.blobs
        return self._query_run(
            (entity, project, run_id), lambda session, run: files.run_files(blobs, session, run)
        )

    def file_chunks(self, entity: str, project: str, run_id: str, file: FileInfo) -> Iterator[bytes]:
        """See ``FileReader.file_chunks``."""
        return self._store.blobs.chunks(file.sha256)

    def journals(self) -> Layout:
        """See ``RunReader.journals``."""
        return self._store.layout

    def artifacts(
        self, entity: str, project: str, run_id: str | None, name: str | None
    ) -> list[ArtifactInfo]:
        """See ``CollectionReader.artifacts``."""
        return self._query(
            lambda session: artifacts.list_artifacts(session, entity, project, run_id=run_id, name=name)
        )

    def artifact(self, entity: str, project: str, name: str, reference: str) -> ArtifactDetail:
        """See ``ArtifactReader.artifact``."""
        return self._query(
            lambda session: artifacts.artifact_detail(session, entity, project, name, reference)
        )

    def used_artifacts(self, entity: str, project: str, run_id: str) -> list[ArtifactInfo]:
        """See ``CollectionReader.used_artifacts``."""
        return self._query_run((entity, project, run_id), artifacts.used_artifacts)

    def collections(self, entity: str, project: str, type_name: str | None) -> list[CollectionInfo]:
        """See ``CollectionReader.collections``."""
        return self._query(lambda session: artifacts.list_collections(session, entity, project, type_name))

    def links(self, artifact: ArtifactDetail) -> list[ArtifactDetail]:
        """See ``ArtifactReader.links``."""
        return self._query(lambda session: artifacts.links_of(session, artifact))

    def change_collection(
        self, entity: str, project: str, name: str, values: dict[str, Any]
    ) -> CollectionInfo:
        """See ``CollectionReader.change_collection``."""
        from tracker.store.ingest.collections import change_collection

        self.catch_up()
        return change_collection(self._store, entity, project, name, values)

    def catch_up(self) -> None:
        """See ``AnyReader.catch_up``."""
        if self._follows:
            catch_up(self._store)

    @property
    def can_change(self) -> bool:
        """See ``ArtifactReader.can_change``."""
        return True

    def manifest(self, artifact: ArtifactDetail) -> Manifest:
        """See ``ArtifactReader.manifest``."""
        return read_manifest(self._store.blobs, artifact.manifest)

    def blob(self, sha256: str) -> Path | None:
        """See ``ArtifactReader.blob``."""
        return self._store.blobs.path(sha256)

    def chunks(self, artifact: ArtifactDetail, entry: Entry) -> Iterator[bytes]:
        """See ``ArtifactReader.chunks``."""
        return self._store.blobs.chunks(entry.blob or "", entry.offset, entry.size)

    def fetch(self, artifact: ArtifactDetail, wanted: Sequence[tuple[Entry, str]]) -> None:
        """See ``ArtifactReader.fetch``. Never called, because ``blob`` finds all contents."""
        raise NotImplementedError

    def change(self, change: ArtifactChanged) -> ArtifactDetail:
        """See ``ArtifactReader.change``."""
        self.catch_up()
        return change_artifact(self._store, change)

    def link(self, link: ArtifactLinked) -> None:
        """See ``ArtifactReader.link``."""
        self.catch_up()
        link_artifact(self._store, link)

    def close(self) -> None:
        """See ``AnyReader.close``."""
        self._store.close()

    def _query(self, question: Callable[[Session], T]) -> T:
        self.catch_up()
        return self._store.answer(question)

    def _query_run(self, run: tuple[str, str, str], question: Callable[[Session, Run], T]) -> T:
        return self._query(lambda session: question(session, runs.get_run(session, *run)))
