"""``RemoteReader``: read from a server over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tracker.errors import NotFoundError
from tracker.ground import values
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
from tracker.ground.http import Client
from tracker.ground.parsed_types import prepare
from tracker.ground.processes import host_name
from tracker.ground.read_models import (
    ArtifactDetail,
    ArtifactInfo,
    CollectionInfo,
    FileInfo,
    Output,
    OutputLine,
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
from tracker.reading.transfer.fetch import fetch_files
from tracker.recorder.outbox import Remote, write_remote
from tracker.recorder.send import Sender
from tracker.runstate.merge import Rank
from tracker.store.blobs.manifest import Entry, Manifest, parse_manifest
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import make_folders

if TYPE_CHECKING:
    import pyarrow as pa

# The largest number of output lines in one answer of a server.
LARGEST_OUTPUT = 10_000

prepare(ProjectInfo, RunPage, RunDetail, SystemMetrics, Output, FileInfo)
prepare(TablePage, TableGroups, TableComparison, FilePage)
prepare(ArtifactInfo, ArtifactDetail, CollectionInfo, DeletedRunPage, BulkResult, Document)
prepare(Distribution)
prepare(ArtifactDifference, ArtifactFolder, ArtifactSizes, LineageGraph, RegistryPage)
prepare(RunValues, RunGroups, RunName, FieldList, MetricList)


class RemoteReader:
    """Reads from a server. Sends the journals of this host's outbox before each request.

    Args:
        remote: The server.
        outbox: The outbox of this host for the server. The folder may be missing.
        silent: Whether to hide the progress of downloads.
    """

    def __init__(self, remote: Remote, outbox: Layout, *, silent: bool = False) -> None:
        self._client = Client(remote.url, remote.key)
        self._outbox = outbox
        self._remote = remote
        self._silent = silent

    @property
    def url(self) -> str | None:
        """See ``AnyReader.url``."""
        return self._remote.url

    @property
    def api_overrides(self) -> dict[str, str]:
        """See ``AnyReader.api_overrides``."""
        return {"base_url": self._remote.url, "mode": "online"}

    def projects(self) -> list[ProjectInfo]:
        """See ``RunReader.projects``."""
        return msgspec.convert(self._get("projects")["projects"], list[ProjectInfo])

    def runs(self, entity: str, project: str, **options: Any) -> RunPage:
        """See ``RunReader.runs``."""
        return msgspec.convert(self._list_runs(entity, project, options), RunPage)

    def run_values(self, entity: str, project: str, fields: Sequence[str], **options: Any) -> RunValues:
        """See ``RunReader.run_values``."""
        found = self._list_runs(entity, project, {**options, "fields": ",".join(fields)})
        return msgspec.convert(found, RunValues)

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
        """See ``RunReader.run_groups``."""
        asked = {**options, "by": ",".join(by) or None, "metric": list(metrics)}
        if all_but is not None:
            asked["all_but"] = ",".join(all_but)
        if filters:
            asked["filters"] = values.dumps(filters)
        found = self._get("projects", entity, project, "run-groups", **asked)
        return msgspec.convert(found, RunGroups)

    def fields(self, entity: str, project: str, **options: Any) -> FieldList:
        """See ``RunReader.fields``."""
        return msgspec.convert(self._get("projects", entity, project, "fields", **options), FieldList)

    def run(self, entity: str, project: str, run_id: str) -> RunDetail:
        """See ``RunReader.run``."""
        return msgspec.convert(self._get("projects", entity, project, "runs", run_id), RunDetail)

    def edit(self, entity: str, project: str, run_id: str, values: dict[str, Any]) -> RunDetail:
        """See ``RunReader.edit``."""
        self._send_outbox()
        found = self._client.patch("projects", entity, project, "runs", run_id, body=values)
        return msgspec.convert(found, RunDetail)

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
        path = ("projects", entity, project, "runs", run_id, "history")
        rows: list[dict[str, Any]] = self._get(
            *path, key=_query_keys(keys), complete=complete, segment=segment, rank=rank
        )["rows"]
        return rows

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
        import pyarrow as pa

        self._send_outbox()
        path = ("projects", entity, project, "runs", run_id, "history.arrow")
        data = b"".join(self._client.stream(*path, key=_query_keys(keys), segment=segment, rank=rank))
        return pa.ipc.open_stream(data).read_all()

    def export_history(
        self,
        entity: str,
        project: str,
        run_id: str,
        format: Format,
        *,
        keys: Sequence[str] | None = None,
        **options: Any,
    ) -> Iterator[bytes]:
        """See ``HistoryReader.export_history``."""
        self._send_outbox()
        path = ("projects", entity, project, "runs", run_id, "history", "export")
        return self._client.stream(*path, format=format, key=_query_keys(keys), **options)

    def run_lines(
        self, entity: str, project: str, runs: Sequence[str], keys: Sequence[str], **options: Any
    ) -> list[RunLine]:
        """See ``ChartReader.run_lines``."""
        from tracker.store.queries.chart_format import unpack_columns

        body = {"runs": list(runs), "keys": list(keys), **_window(options)}
        return unpack_columns(self._ask("projects", entity, project, "chart", body=body), RunLine)

    def metrics(
        self, entity: str, project: str, runs: Sequence[str] | None = None, **selection: Any
    ) -> MetricList:
        """See ``ChartReader.metrics``."""
        chosen = {"runs": None if runs is None else list(runs), **selection}
        found = values.loads(self._ask("projects", entity, project, "metrics", body=chosen))
        return msgspec.convert(found, MetricList)

    def grouped_curves(
        self,
        entity: str,
        project: str,
        groups: Mapping[str, Sequence[str]],
        keys: Sequence[str],
        **options: Any,
    ) -> list[Curve]:
        """See ``ChartReader.grouped_curves``."""
        from tracker.store.queries.chart_format import unpack_columns

        members = {label: list(run_ids) for label, run_ids in groups.items()}
        body = {"groups": members, "keys": list(keys), **_window(options)}
        return unpack_columns(self._ask("projects", entity, project, "curves", body=body), Curve)

    def distribution(
        self, entity: str, project: str, runs: Sequence[str], key: str, **options: Any
    ) -> Distribution:
        """See ``ChartReader.distribution``."""
        body = {"runs": list(runs), "key": key, **options}
        found = values.loads(self._ask("projects", entity, project, "distribution", body=body))
        return msgspec.convert(found, Distribution)

    def system(
        self, entity: str, project: str, run_id: str, segment: str | None = None, points: int | None = None
    ) -> list[SystemMetrics]:
        """See ``HistoryReader.system``."""
        path = ("projects", entity, project, "runs", run_id, "system")
        found = self._get(*path, segment=segment, points=points)
        return msgspec.convert(found["segments"], list[SystemMetrics])

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
        self._send_outbox()
        path = ("projects", entity, project, "runs", run_id, "system", "export")
        return self._client.stream(*path, format=format, segment=segment, rank=rank)

    def console(
        self,
        entity: str,
        project: str,
        run_id: str,
        *,
        offset: int = 0,
        limit: int | None = None,
        tail: int | None = None,
        **options: Any,
    ) -> Output:
        """See ``HistoryReader.console``."""
        path = ("projects", entity, project, "runs", run_id, "console")
        if tail is not None:
            found = self._get(*path, offset=offset or None, limit=limit, tail=tail, **options)
            return msgspec.convert(found, Output)
        lines: list[OutputLine] = []
        while True:
            rest = LARGEST_OUTPUT if limit is None else min(limit - len(lines), LARGEST_OUTPUT)
            found = self._get(*path, offset=offset, limit=rest, **options)
            page = msgspec.convert(found, Output)
            lines += page.lines
            enough = limit is not None and len(lines) >= limit
            if enough or not page.lines or page.lines[-1].line + 1 >= page.total:
                return Output(page.total, lines, page.found)
            offset = page.lines[-1].line + 1

    def output_text(self, entity: str, project: str, run_id: str, **options: Any) -> Iterator[bytes]:
        """See ``HistoryReader.output_text``."""
        self._send_outbox()
        path = ("projects", entity, project, "runs", run_id, "console", "download")
        return self._client.stream(*path, **options)

    def delete_run(
        self, entity: str, project: str, run_id: str, delete_artifacts: bool, now: bool = False
    ) -> None:
        """See ``RunReader.delete_run``."""
        self._send_outbox()
        path = ("projects", entity, project, "runs", run_id)
        self._client.send("DELETE", *path, data=b"", artifacts=_flag(delete_artifacts), now=_flag(now))

    def move_run(
        self, entity: str, project: str, run_id: str, to_project: str, to_entity: str | None = None
    ) -> RunDetail:
        """See ``RunReader.move_run``."""
        self._send_outbox()
        path = ("projects", entity, project, "runs", run_id, "move")
        body = {"to_entity": to_entity, "to_project": to_project}
        return msgspec.convert(self._client.post(*path, body=body), RunDetail)

    def moved_run(self, entity: str, project: str, run_id: str) -> RunName | None:
        """See ``RunReader.moved_run``."""
        try:
            found = self._get("projects", entity, project, "moved-runs", run_id)
        except NotFoundError:
            return None
        return msgspec.convert(found, RunName)

    def change_runs(self, entity: str, project: str, action: str, **options: Any) -> BulkResult:
        """See ``RunReader.change_runs``."""
        self._send_outbox()
        path = ("projects", entity, project, "runs", "change")
        return msgspec.convert(self._client.post(*path, body={"action": action, **options}), BulkResult)

    def deleted_runs(self, entity: str, project: str, *, limit: int = 100, offset: int = 0) -> DeletedRunPage:
        """See ``RunReader.deleted_runs``."""
        found = self._get("projects", entity, project, "deleted-runs", limit=limit, offset=offset)
        return msgspec.convert(found, DeletedRunPage)

    def restore_run(self, entity: str, project: str, run_id: str, token: str | None = None) -> RunDetail:
        """See ``RunReader.restore_run``."""
        path = ("projects", entity, project, "deleted-runs", run_id, "restore")
        return msgspec.convert(self._client.post(*path, body={"token": token}), RunDetail)

    def purge_run(self, entity: str, project: str, run_id: str, token: str | None = None) -> None:
        """See ``RunReader.purge_run``."""
        path = ("projects", entity, project, "deleted-runs", run_id)
        query = {} if token is None else {"token": token}
        self._client.send("DELETE", *path, data=b"", **query)

    def table_page(
        self,
        entity: str,
        project: str,
        run_id: str,
        key: str,
        step: int | None = None,
        *,
        filters: dict[str, Any] | None = None,
        **options: Any,
    ) -> TablePage:
        """See ``TableReader.table_page``."""
        path = ("projects", entity, project, "runs", run_id, "table")
        found = self._get(*path, key=key, step=step, filters=_query_filters(filters), **options)
        return msgspec.convert(found, TablePage)

    def table_groups(
        self,
        entity: str,
        project: str,
        run_id: str,
        key: str,
        step: int | None = None,
        *,
        columns: Sequence[str] | None = None,
        filters: dict[str, Any] | None = None,
        **options: Any,
    ) -> TableGroups:
        """See ``TableReader.table_groups``."""
        path = ("projects", entity, project, "runs", run_id, "table", "groups")
        options["column"], options["filters"] = columns, _query_filters(filters)
        return msgspec.convert(self._get(*path, key=key, step=step, **options), TableGroups)

    def compare_tables(
        self,
        entity: str,
        project: str,
        left: tuple[str, str, int | None],
        right: tuple[str, str, int | None],
        **options: Any,
    ) -> TableComparison:
        """See ``TableReader.compare_tables``."""
        path = ("projects", entity, project, "runs", left[0], "table", "compare")
        sides = {"key": left[1], "step": left[2]}
        sides |= {"with_run": right[0], "with_key": right[1], "with_step": right[2]}
        return msgspec.convert(self._get(*path, **sides, **options), TableComparison)

    def files(self, entity: str, project: str, run_id: str) -> list[FileInfo]:
        """See ``FileReader.files``."""
        found = self._get("projects", entity, project, "runs", run_id, "files")
        return msgspec.convert(found["files"], list[FileInfo])

    def file_page(self, entity: str, project: str, run_id: str, **options: Any) -> FilePage:
        """See ``FileReader.file_page``."""
        found = self._get("projects", entity, project, "runs", run_id, "files", **options)
        return msgspec.convert(found, FilePage)

    def file_chunks(self, entity: str, project: str, run_id: str, file: FileInfo) -> Iterator[bytes]:
        """See ``FileReader.file_chunks``."""
        path = ("projects", entity, project, "runs", run_id, "files", *file.path.split("/"))
        return self._client.stream(*path)

    def journals(self) -> Layout:
        """See ``RunReader.journals``."""
        make_folders(self._outbox)
        write_remote(self._outbox, self._remote)
        return self._outbox

    def artifacts(
        self, entity: str, project: str, run_id: str | None, name: str | None
    ) -> list[ArtifactInfo]:
        """See ``CollectionReader.artifacts``."""
        found = self._get("projects", entity, project, "artifacts", run=run_id, name=name)
        return msgspec.convert(found["artifacts"], list[ArtifactInfo])

    def artifact(self, entity: str, project: str, name: str, reference: str) -> ArtifactDetail:
        """See ``ArtifactReader.artifact``."""
        found = self._get("projects", entity, project, "artifacts", name, reference)
        return msgspec.convert(found, ArtifactDetail)

    def used_artifacts(self, entity: str, project: str, run_id: str) -> list[ArtifactInfo]:
        """See ``CollectionReader.used_artifacts``."""
        found = self._get("projects", entity, project, "runs", run_id, "used-artifacts")
        return msgspec.convert(found["artifacts"], list[ArtifactInfo])

    def collections(self, entity: str, project: str, type_name: str | None) -> list[CollectionInfo]:
        """See ``CollectionReader.collections``."""
        found = self._get("projects", entity, project, "collections", type=type_name)
        return msgspec.convert(found["collections"], list[CollectionInfo])

    def links(self, artifact: ArtifactDetail) -> list[ArtifactDetail]:
        """See ``ArtifactReader.links``."""
        found = self._get(*_version_path(artifact), "links")
        return msgspec.convert(found["artifacts"], list[ArtifactDetail])

    def version_lineage(
        self, entity: str, project: str, name: str, reference: str, **options: Any
    ) -> LineageGraph:
        """See ``CollectionReader.version_lineage``."""
        path = ("projects", entity, project, "artifacts", name, reference, "lineage")
        return msgspec.convert(self._get(*path, **options), LineageGraph)

    def run_lineage(self, entity: str, project: str, run_id: str, **options: Any) -> LineageGraph:
        """See ``CollectionReader.run_lineage``."""
        path = ("projects", entity, project, "runs", run_id, "lineage")
        return msgspec.convert(self._get(*path, **options), LineageGraph)

    def registry(self, entity: str, **options: Any) -> RegistryPage:
        """See ``CollectionReader.registry``."""
        return msgspec.convert(self._get("registries", entity, **options), RegistryPage)

    def artifact_sizes(self, entity: str, project: str, name: str | None) -> ArtifactSizes:
        """See ``CollectionReader.artifact_sizes``."""
        found = self._get("projects", entity, project, "artifact-sizes", name=name)
        return msgspec.convert(found, ArtifactSizes)

    def change_collection(
        self, entity: str, project: str, name: str, values: dict[str, Any]
    ) -> CollectionInfo:
        """See ``CollectionReader.change_collection``."""
        self._send_outbox()
        found = self._client.patch("projects", entity, project, "collections", name, body=values)
        return msgspec.convert(found, CollectionInfo)

    def documents(self, entity: str, project: str, kind: str) -> list[DocumentInfo]:
        """See ``DocumentReader.documents``."""
        found = self._get("projects", entity, project, "documents", kind)
        return msgspec.convert(found["documents"], list[DocumentInfo])

    def document(self, entity: str, project: str, kind: str, document_id: str) -> Document:
        """See ``DocumentReader.document``."""
        found = self._get("projects", entity, project, "documents", kind, document_id)
        return msgspec.convert(found, Document)

    def create_document(
        self, entity: str, project: str, kind: str, name: str, content: Any, owner: str | None = None
    ) -> Document:
        """See ``DocumentReader.create_document``."""
        self._send_outbox()
        body = {"name": name, "content": content, "owner": owner}
        return msgspec.convert(
            self._client.post("projects", entity, project, "documents", kind, body=body), Document
        )

    def update_document(
        self, entity: str, project: str, kind: str, document_id: str, version: int, **values: Any
    ) -> Document:
        """See ``DocumentReader.update_document``."""
        path = ("projects", entity, project, "documents", kind, document_id)
        headers = {"If-Match": f'"{version}"'}
        return msgspec.convert(self._client.change("PATCH", *path, body=values, headers=headers), Document)

    def delete_document(self, entity: str, project: str, kind: str, document_id: str, version: int) -> None:
        """See ``DocumentReader.delete_document``."""
        path = ("projects", entity, project, "documents", kind, document_id)
        self._client.change("DELETE", *path, body={}, headers={"If-Match": f'"{version}"'})

    def catch_up(self) -> None:
        """See ``AnyReader.catch_up``."""
        self._send_outbox()

    @property
    def can_change(self) -> bool:
        """See ``ArtifactReader.can_change``."""
        return True

    def manifest(self, artifact: ArtifactDetail) -> Manifest:
        """See ``ArtifactReader.manifest``."""
        data = b"".join(self._client.stream(*_version_path(artifact), "manifest"))
        return parse_manifest(data, artifact.manifest)

    def folder(self, artifact: ArtifactDetail, path: str = "", **options: Any) -> ArtifactFolder:
        """See ``ArtifactReader.folder``."""
        return msgspec.convert(
            self._get(*_version_path(artifact), "folder", path=path, **options), ArtifactFolder
        )

    def difference(
        self,
        before: ArtifactDetail,
        after: ArtifactDetail,
        *,
        states: Sequence[str] | None = None,
        **options: Any,
    ) -> ArtifactDifference:
        """See ``ArtifactReader.difference``."""
        to = f"{after.entity}/{after.project}/{after.name}:{after.version}"
        path = (*_version_path(before), "difference")
        return msgspec.convert(self._get(*path, to=to, state=states, **options), ArtifactDifference)

    def blob(self, sha256: str) -> Path | None:
        """See ``ArtifactReader.blob``. Always None, because the blobs are on the server."""
        return None

    def chunks(self, artifact: ArtifactDetail, entry: Entry) -> Iterator[bytes]:
        """See ``ArtifactReader.chunks``."""
        return self._client.stream(*_version_path(artifact), "files", *entry.path.split("/"))

    def fetch(self, artifact: ArtifactDetail, wanted: Sequence[tuple[Entry, str]]) -> None:
        """See ``ArtifactReader.fetch``."""
        fetch_files(self._remote, _version_path(artifact), artifact, wanted, silent=self._silent)

    def change(self, change: ArtifactChanged) -> ArtifactDetail:
        """See ``ArtifactReader.change``."""
        self._send_outbox()
        body = msgspec.structs.asdict(change)
        return msgspec.convert(self._client.post("artifacts", "change", body=body), ArtifactDetail)

    def link(self, link: ArtifactLinked) -> None:
        """See ``ArtifactReader.link``."""
        self._send_outbox()
        self._client.post("artifacts", "link", body=msgspec.structs.asdict(link))

    def close(self) -> None:
        """See ``AnyReader.close``."""
        self._client.close()

    def _ask(self, *path: str, body: dict[str, Any]) -> bytes:
        self._send_outbox()
        return self._client.post_for_bytes(*path, body=body)

    def _list_runs(self, entity: str, project: str, options: dict[str, Any]) -> Any:
        filters = options.pop("filters", None)
        asked = {**options, "filters": values.dumps(filters)} if filters else options
        return self._get("projects", entity, project, "runs", **asked)

    def _get(self, *path: str, **query: Any) -> Any:
        self._send_outbox()
        return self._client.get(*path, **query)

    def _send_outbox(self) -> None:
        if self._outbox.journals.is_dir():
            Sender(self._outbox, self._remote, host_name()).poll(patient=False)


def _version_path(artifact: ArtifactDetail) -> tuple[str, ...]:
    return (
        "projects",
        artifact.entity,
        artifact.project,
        "artifacts",
        artifact.name,
        artifact.version,
    )


def _flag(value: bool) -> str:
    return str(value).lower()


def _query_keys(keys: Sequence[str] | None) -> Sequence[str] | None:
    """Return the keys for a query string, where an empty list would mean all keys. ``_step`` replaces it."""
    return ["_step"] if keys is not None and not keys else keys


def _query_filters(filters: dict[str, Any] | None) -> str | None:
    return values.dumps(filters) if filters else None


def _window(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a chart with their names in the REST API."""
    names = {"low": "min", "high": "max"}
    return {names.get(name, name): value for name, value in options.items()}
