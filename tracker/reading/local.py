"""``LocalReader``: read a store on this machine through its catalog."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tracker.ground.artifact_views import (
    ArtifactDifference,
    ArtifactFolder,
    ArtifactSizes,
    LineageGraph,
    RegistryPage,
)
from tracker.ground.bulk_edits import BulkResult
from tracker.ground.curves import Curve, Distribution, RunLine
from tracker.ground.deleted_runs import DeletedRunPage
from tracker.ground.documents import Document, DocumentInfo
from tracker.ground.export_formats import Format
from tracker.ground.field_infos import FieldList, MetricList
from tracker.ground.file_pages import FilePage
from tracker.ground.read_models import (
    ArtifactDetail,
    ArtifactInfo,
    CollectionInfo,
    FileInfo,
    Output,
    ProjectInfo,
    RunDetail,
    RunName,
    RunPage,
    SystemMetrics,
    TablePage,
)
from tracker.ground.records import ArtifactChanged, ArtifactLinked
from tracker.ground.run_groups import RunGroups
from tracker.ground.run_selections import RunValues
from tracker.ground.table_answers import TableComparison, TableGroups
from tracker.recorder.follow import catch_up
from tracker.runstate.merge import Rank
from tracker.store.blobs.manifest import Entry, Manifest, read_manifest
from tracker.store.ingest.artifact_edits import change_artifact, link_artifact
from tracker.store.objects.layout import Layout
from tracker.store.published import documents
from tracker.store.published.moves import moved_place
from tracker.store.queries import (
    artifact_files,
    artifact_sizes,
    artifacts,
    captured,
    deleted_runs,
    field_list,
    files,
    history,
    lineage,
    registry,
    run_rows,
    runs,
    tables,
)
from tracker.store.queries.visible import EVERYTHING, Visible
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
        visible: The projects that the caller sees. Projects of one run or project are not checked: see
            ``server.rights``.
    """

    def __init__(self, store: Store, *, follows: bool = True, visible: Visible = EVERYTHING) -> None:
        self._store = store
        self._follows = follows
        self._visible = visible

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
        return self._query(lambda session: runs.list_projects(session, self._visible))

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
        from tracker.store.queries import run_groups  # imports NumPy

        asked = run_groups.GroupsAsked(entity, project, **options)
        return self._query(lambda session: run_groups.group_runs(session, asked))

    def fields(self, entity: str, project: str, **options: Any) -> FieldList:
        """See ``RunReader.fields``."""
        return self._query(lambda session: field_list.list_fields(session, entity, project, **options))

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
        rank: Rank | None = None,
    ) -> list[dict[str, Any]]:
        """See ``HistoryReader.history``."""
        root = self._store.root
        return self._query_run(
            (entity, project, run_id),
            lambda session, run: history.rows(
                session, run, root, keys, complete=complete, segment=segment, rank=rank
            ),
        )

    def table(
        self,
        entity: str,
        project: str,
        run_id: str,
        keys: Sequence[str] | None,
        segment: str | None = None,
        rank: Rank | None = None,
    ) -> pa.Table:
        """See ``HistoryReader.table``."""
        root = self._store.root
        return self._query_run(
            (entity, project, run_id),
            lambda session, run: history.table(session, run, root, keys, segment=segment, rank=rank),
        )

    def export_history(
        self,
        entity: str,
        project: str,
        run_id: str,
        format: Format,
        *,
        min_step: int | None = None,
        max_step: int | None = None,
        exact: bool = True,
        **options: Any,
    ) -> Iterator[bytes]:
        """See ``HistoryReader.export_history``."""
        from tracker.store.history.export import encode_history

        root = self._store.root
        options["steps"] = (min_step, max_step)
        options["exact"] = exact or format not in ("arrow", "parquet")
        opened = self._query_run(
            (entity, project, run_id),
            lambda session, run: history.open_history(session, run, root, **options),
        )
        return encode_history(opened, format)

    def metrics(
        self, entity: str, project: str, runs: Sequence[str] | None = None, **selection: Any
    ) -> MetricList:
        """See ``ChartReader.metrics``."""
        from tracker.store.queries.metrics import list_metrics

        return self._query(lambda session: list_metrics(session, entity, project, runs, **selection))

    def run_lines(
        self, entity: str, project: str, runs: Sequence[str], keys: Sequence[str], **options: Any
    ) -> list[RunLine]:
        """See ``ChartReader.run_lines``."""
        from tracker.store.queries.many_runs import run_lines

        root = self._store.root
        return self._query(lambda session: run_lines(session, root, entity, project, runs, keys, **options))

    def grouped_curves(
        self,
        entity: str,
        project: str,
        groups: Mapping[str, Sequence[str]],
        keys: Sequence[str],
        **options: Any,
    ) -> list[Curve]:
        """See ``ChartReader.grouped_curves``."""
        from tracker.store.queries.grouped_curves import grouped_curves

        root = self._store.root
        return self._query(
            lambda session: grouped_curves(session, root, entity, project, groups, keys, **options)
        )

    def distribution(
        self, entity: str, project: str, runs: Sequence[str], key: str, **options: Any
    ) -> Distribution:
        """See ``ChartReader.distribution``."""
        from tracker.store.queries.distributions import distribution

        root = self._store.root
        return self._query(lambda session: distribution(session, root, entity, project, runs, key, **options))

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

    def export_system(
        self,
        entity: str,
        project: str,
        run_id: str,
        format: Format,
        segment: str | None = None,
        rank: Rank | None = None,
    ) -> Iterator[bytes]:
        """See ``HistoryReader.export_system``."""
        from tracker.store.history.export import encode_history

        root = self._store.root
        opened = self._query_run(
            (entity, project, run_id),
            lambda session, run: captured.open_system(session, run, root, segment, rank),
        )
        return encode_history(opened, format)

    def output_text(
        self,
        entity: str,
        project: str,
        run_id: str,
        *,
        segment: str | None = None,
        rank: int | None = None,
        timestamps: bool = False,
        **chosen: Any,
    ) -> Iterator[bytes]:
        """See ``HistoryReader.output_text``."""
        root = self._store.root
        lines = self._query_run(
            (entity, project, run_id),
            lambda session, run: captured.open_lines(session, run, root, segment, rank),
        )
        return captured.output_text(lines, captured.LineFilter(**chosen), timestamps=timestamps)

    def delete_run(
        self, entity: str, project: str, run_id: str, delete_artifacts: bool, now: bool = False
    ) -> None:
        """See ``RunReader.delete_run``."""
        from tracker.store.ingest.deletion import delete_run

        self.catch_up()
        delete_run(
            self._store,
            entity,
            project,
            run_id,
            delete_artifacts=delete_artifacts,
            now=now,
            changeable=self._visible.changeable,
        )

    def move_run(
        self, entity: str, project: str, run_id: str, to_project: str, to_entity: str | None = None
    ) -> RunDetail:
        """See ``RunReader.move_run``."""
        from tracker.store.ingest.moves import move_run

        self.catch_up()
        to_entity = entity if to_entity is None else to_entity
        move_run(self._store, entity, project, run_id, to_entity, to_project)
        return self.run(to_entity, to_project, run_id)

    def moved_run(self, entity: str, project: str, run_id: str) -> RunName | None:
        """See ``RunReader.moved_run``."""
        found = moved_place(Layout(self._store.layout.source), (entity, project, run_id))
        return None if found is None else RunName(*found)

    def change_runs(self, entity: str, project: str, action: str, **options: Any) -> BulkResult:
        """See ``RunReader.change_runs``."""
        from tracker.store.ingest.bulk_edits import change_runs

        self.catch_up()
        options["changeable"] = self._visible.changeable
        return change_runs(self._store, entity, project, action, **options)

    def deleted_runs(self, entity: str, project: str, *, limit: int = 100, offset: int = 0) -> DeletedRunPage:
        """See ``RunReader.deleted_runs``."""
        return self._query(
            lambda session: deleted_runs.list_deleted(session, entity, project, limit=limit, offset=offset)
        )

    def restore_run(self, entity: str, project: str, run_id: str, token: str | None = None) -> RunDetail:
        """See ``RunReader.restore_run``."""
        from tracker.store.ingest.restoration import restore_run

        self.catch_up()
        restore_run(self._store, entity, project, run_id, token)
        return self.run(entity, project, run_id)

    def purge_run(self, entity: str, project: str, run_id: str, token: str | None = None) -> None:
        """See ``RunReader.purge_run``."""
        from tracker.store.ingest.deletion import purge_run

        number = self._query(
            lambda session: deleted_runs.find_deleted(session, entity, project, run_id, token).id
        )
        purge_run(self._store, number, math.inf)

    def table_page(
        self, entity: str, project: str, run_id: str, key: str, step: int | None = None, **options: Any
    ) -> TablePage:
        """See ``TableReader.table_page``."""
        self.catch_up()
        place = tables.TablePlace((entity, project, run_id), key, step)
        return tables.table_page(self._store, place, **options)

    def table_groups(
        self, entity: str, project: str, run_id: str, key: str, step: int | None = None, **options: Any
    ) -> TableGroups:
        """See ``TableReader.table_groups``."""
        self.catch_up()
        place = tables.TablePlace((entity, project, run_id), key, step)
        return tables.table_groups(self._store, place, **options)

    def compare_tables(
        self,
        entity: str,
        project: str,
        left: tuple[str, str, int | None],
        right: tuple[str, str, int | None],
        **options: Any,
    ) -> TableComparison:
        """See ``TableReader.compare_tables``."""
        self.catch_up()
        places = [
            tables.TablePlace((entity, project, run_id), key, step) for run_id, key, step in (left, right)
        ]
        return tables.compare_tables(self._store, *places, **options)

    def files(self, entity: str, project: str, run_id: str) -> list[FileInfo]:
        """See ``FileReader.files``."""
        return self.file_page(entity, project, run_id).files

    def file_page(
        self,
        entity: str,
        project: str,
        run_id: str,
        *,
        prefix: str = "",
        offset: int = 0,
        limit: int | None = None,
    ) -> FilePage:
        """See ``FileReader.file_page``."""
        blobs = self._store.blobs
        return self._query_run(
            (entity, project, run_id),
            lambda session, run: files.run_files(blobs, session, run, prefix, offset, limit, self._visible),
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
            lambda session: artifacts.list_artifacts(
                session, entity, project, run_id=run_id, name=name, visible=self._visible
            )
        )

    def artifact(self, entity: str, project: str, name: str, reference: str) -> ArtifactDetail:
        """See ``ArtifactReader.artifact``."""
        return self._query(
            lambda session: artifacts.artifact_detail(
                session, entity, project, name, reference, self._visible
            )
        )

    def used_artifacts(self, entity: str, project: str, run_id: str) -> list[ArtifactInfo]:
        """See ``CollectionReader.used_artifacts``."""
        return self._query_run(
            (entity, project, run_id),
            lambda session, run: artifacts.used_artifacts(session, run, self._visible),
        )

    def collections(self, entity: str, project: str, type_name: str | None) -> list[CollectionInfo]:
        """See ``CollectionReader.collections``."""
        return self._query(lambda session: artifacts.list_collections(session, entity, project, type_name))

    def links(self, artifact: ArtifactDetail) -> list[ArtifactDetail]:
        """See ``ArtifactReader.links``."""
        return self._query(lambda session: artifacts.links_of(session, artifact, self._visible))

    def version_lineage(
        self, entity: str, project: str, name: str, reference: str, **options: Any
    ) -> LineageGraph:
        """See ``CollectionReader.version_lineage``."""
        options["visible"] = self._visible
        return self._query(
            lambda session: lineage.of_version(session, (entity, project, name), reference, **options)
        )

    def run_lineage(self, entity: str, project: str, run_id: str, **options: Any) -> LineageGraph:
        """See ``CollectionReader.run_lineage``."""
        options["visible"] = self._visible
        return self._query_run(
            (entity, project, run_id), lambda session, run: lineage.of_run(session, run, **options)
        )

    def registry(self, entity: str, **options: Any) -> RegistryPage:
        """See ``CollectionReader.registry``."""
        return self._query(
            lambda session: registry.list_registry(session, entity, **options, visible=self._visible)
        )

    def artifact_sizes(self, entity: str, project: str, name: str | None) -> ArtifactSizes:
        """See ``CollectionReader.artifact_sizes``."""
        manifests = self._query(lambda session: artifact_sizes.list_manifests(session, entity, project, name))
        return artifact_sizes.measure(self._store.blobs, manifests, self._visible)

    def change_collection(
        self, entity: str, project: str, name: str, values: dict[str, Any]
    ) -> CollectionInfo:
        """See ``CollectionReader.change_collection``."""
        from tracker.store.ingest.collections import change_collection

        self.catch_up()
        return change_collection(self._store, entity, project, name, values)

    def documents(self, entity: str, project: str, kind: str) -> list[DocumentInfo]:
        """See ``DocumentReader.documents``."""
        return documents.list_documents(Layout(self._store.layout.source), entity, project, kind)

    def document(self, entity: str, project: str, kind: str, document_id: str) -> Document:
        """See ``DocumentReader.document``."""
        layout = Layout(self._store.layout.source)
        return documents.read_document(layout, entity, project, kind, document_id)

    def create_document(
        self, entity: str, project: str, kind: str, name: str, content: Any, owner: str | None = None
    ) -> Document:
        """See ``DocumentReader.create_document``."""
        from tracker.store.ingest.documents import create_document

        self.catch_up()
        return create_document(self._store, entity, project, kind, name, content, owner)

    def update_document(
        self, entity: str, project: str, kind: str, document_id: str, version: int, **values: Any
    ) -> Document:
        """See ``DocumentReader.update_document``."""
        from tracker.store.ingest.documents import update_document

        return update_document(self._store, entity, project, kind, document_id, version, **values)

    def delete_document(self, entity: str, project: str, kind: str, document_id: str, version: int) -> None:
        """See ``DocumentReader.delete_document``."""
        from tracker.store.ingest.documents import delete_document

        delete_document(self._store, entity, project, kind, document_id, version)

    def catch_up(self) -> None:
        """See ``AnyReader.catch_up``."""
        if self._follows:
            catch_up(self._store)

    @property
    def can_change(self) -> bool:
        """See ``ArtifactReader.can_change``."""
        return not self._store.from_files

    def manifest(self, artifact: ArtifactDetail) -> Manifest:
        """See ``ArtifactReader.manifest``."""
        return read_manifest(self._store.blobs, artifact.manifest)

    def folder(self, artifact: ArtifactDetail, path: str = "", **options: Any) -> ArtifactFolder:
        """See ``ArtifactReader.folder``."""
        return artifact_files.list_folder(self.manifest(artifact), path, **options)

    def difference(self, before: ArtifactDetail, after: ArtifactDetail, **options: Any) -> ArtifactDifference:
        """See ``ArtifactReader.difference``."""
        first, second = self.manifest(before), self.manifest(after)
        return artifact_files.compare_versions((before, first), (after, second), **options)

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
        return change_artifact(self._store, change, self._visible)

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
