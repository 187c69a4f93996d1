"""Reading a store on this machine through its catalog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.ground.answers import (
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
from tracker.recorder.follow import catch_up
from tracker.store.blobs.manifest import Entry, Manifest, read_manifest
from tracker.store.ingest.changes import change_artifact, link_artifact
from tracker.store.objects.layout import Layout
from tracker.store.queries import artifacts, captured, files, history, runs
from tracker.store.store import Store

if TYPE_CHECKING:
    import pyarrow as pa


class LocalReader:
    """Reads a store's catalog; first applies what this host's journals hold."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def url(self) -> str | None:
        """See ``Reader``."""
        return None

    @property
    def place(self) -> dict[str, str]:
        """See ``Reader``."""
        return {"store": str(self._store.layout.source), "mode": "offline"}

    def projects(self) -> list[ProjectInfo]:
        """See ``Reader``."""
        catch_up(self._store)
        with self._store.reading() as session:
            return runs.list_projects(session)

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
        """See ``Reader``."""
        catch_up(self._store)
        with self._store.reading() as session:
            return runs.list_runs(
                session,
                entity,
                project,
                limit=limit,
                offset=offset,
                order=order,
                search=search,
                filters=filters,
            )

    def run(self, entity: str, project: str, run_id: str) -> RunDetail:
        """See ``Reader``."""
        catch_up(self._store)
        with self._store.reading() as session:
            return runs.run_detail(session, entity, project, run_id)

    def edit(self, entity: str, project: str, run_id: str, values: dict[str, Any]) -> RunDetail:
        """See ``Reader``."""
        from tracker.store.ingest.edits import apply_edit, make_edit

        catch_up(self._store)
        apply_edit(self._store, make_edit(entity, project, run_id, values))
        with self._store.reading() as session:
            return runs.run_detail(session, entity, project, run_id)

    def history(
        self,
        entity: str,
        project: str,
        run_id: str,
        keys: Sequence[str] | None,
        complete: bool,
        segment: str | None = None,
    ) -> list[dict[str, Any]]:
        """See ``Reader``."""
        catch_up(self._store)
        root = self._store.root
        return self._store.answer(
            lambda session: history.rows(
                session,
                runs.get_run(session, entity, project, run_id),
                root,
                keys,
                complete=complete,
                segment=segment,
            )
        )

    def table(
        self, entity: str, project: str, run_id: str, keys: Sequence[str] | None, segment: str | None
    ) -> pa.Table:
        """See ``Reader``."""
        catch_up(self._store)
        root = self._store.root
        return self._store.answer(
            lambda session: history.table(
                session, runs.get_run(session, entity, project, run_id), root, keys, segment=segment
            )
        )

    def system(
        self, entity: str, project: str, run_id: str, segment: str | None = None
    ) -> list[SystemMetrics]:
        """See ``Reader``."""
        catch_up(self._store)
        root = self._store.root
        return self._store.answer(
            lambda session: captured.system(
                session, runs.get_run(session, entity, project, run_id), root, segment=segment
            )
        )

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
        """See ``Reader``."""
        catch_up(self._store)
        root = self._store.root
        return self._store.answer(
            lambda session: captured.console(
                session,
                runs.get_run(session, entity, project, run_id),
                root,
                segment=segment,
                offset=offset,
                limit=limit,
                search=search,
            )
        )

    def delete_run(self, entity: str, project: str, run_id: str, delete_artifacts: bool) -> None:
        """See ``Reader``."""
        from tracker.store.ingest.deletion import delete_run

        catch_up(self._store)
        delete_run(self._store, entity, project, run_id, delete_artifacts=delete_artifacts)

    def files(self, entity: str, project: str, run_id: str) -> list[FileInfo]:
        """See ``Reader``."""
        catch_up(self._store)
        with self._store.reading() as session:
            run = runs.get_run(session, entity, project, run_id)
            return files.run_files(self._store.blobs, session, run)

    def file_chunks(self, entity: str, project: str, run_id: str, file: FileInfo) -> Iterator[bytes]:
        """See ``Reader``."""
        return self._store.blobs.chunks(file.sha256)

    def journals(self) -> Layout:
        """See ``Reader``."""
        return self._store.layout

    def artifacts(
        self, entity: str, project: str, run_id: str | None, name: str | None
    ) -> list[ArtifactInfo]:
        """See ``Reader``."""
        catch_up(self._store)
        with self._store.reading() as session:
            return artifacts.list_artifacts(session, entity, project, run_id=run_id, name=name)

    def artifact(self, entity: str, project: str, name: str, reference: str) -> ArtifactDetail:
        """See ``Reader``."""
        catch_up(self._store)
        with self._store.reading() as session:
            return artifacts.artifact_detail(session, entity, project, name, reference)

    def used_artifacts(self, entity: str, project: str, run_id: str) -> list[ArtifactInfo]:
        """See ``Reader``."""
        catch_up(self._store)
        with self._store.reading() as session:
            return artifacts.used_artifacts(session, runs.get_run(session, entity, project, run_id))

    def collections(self, entity: str, project: str, type_name: str | None) -> list[CollectionInfo]:
        """See ``Reader``."""
        catch_up(self._store)
        with self._store.reading() as session:
            return artifacts.list_collections(session, entity, project, type_name)

    def links(self, artifact: ArtifactDetail) -> list[ArtifactDetail]:
        """See ``Reader``."""
        catch_up(self._store)
        with self._store.reading() as session:
            return artifacts.links_of(session, artifact)

    def change_collection(
        self, entity: str, project: str, name: str, values: dict[str, Any]
    ) -> CollectionInfo:
        """See ``Reader``."""
        from tracker.store.ingest.collections import change_collection

        catch_up(self._store)
        return change_collection(self._store, entity, project, name, values)

    def catch_up(self) -> None:
        """See ``Reader``."""
        catch_up(self._store)

    @property
    def can_change(self) -> bool:
        """See ``Reader``."""
        return True

    def manifest(self, artifact: ArtifactDetail) -> Manifest:
        """See ``Reader``."""
        return read_manifest(self._store.blobs, artifact.manifest)

    def blob(self, sha256: str) -> Path | None:
        """See ``Reader``."""
        return self._store.blobs.path(sha256)

    def chunks(self, artifact: ArtifactDetail, entry: Entry) -> Iterator[bytes]:
        """See ``Reader``."""
        return self._store.blobs.chunks(entry.blob or "", entry.offset, entry.size)

    def fetch(self, artifact: ArtifactDetail, wanted: Sequence[tuple[Entry, str]]) -> None:
        """See ``Reader``; never needed, as ``blob`` finds everything."""
        raise NotImplementedError

    def change(self, change: ArtifactChanged) -> ArtifactDetail:
        """See ``Reader``."""
        catch_up(self._store)
        return change_artifact(self._store, change)

    def link(self, link: ArtifactLinked) -> None:
        """See ``Reader``."""
        catch_up(self._store)
        link_artifact(self._store, link)

    def close(self) -> None:
        """See ``Reader``."""
        self._store.close()
