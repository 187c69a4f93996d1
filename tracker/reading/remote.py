"""``RemoteReader``: read from a server over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tracker.ground import values
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
    RunPage,
    SystemMetrics,
)
from tracker.ground.records import ArtifactChanged, ArtifactLinked
from tracker.ground.run_groups import RunGroups
from tracker.ground.run_selections import RunValues
from tracker.reading.transfer.fetch import fetch_files
from tracker.recorder.outbox import Remote, write_remote
from tracker.recorder.send import Sender
from tracker.store.blobs.manifest import Entry, Manifest, parse_manifest
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import make_folders

if TYPE_CHECKING:
    import pyarrow as pa

# The largest number of output lines in one answer of a server.
LARGEST_OUTPUT = 10_000

prepare(ProjectInfo, RunPage, RunDetail, SystemMetrics, Output, FileInfo)
prepare(RunValues, RunGroups, ArtifactInfo, ArtifactDetail, CollectionInfo)


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
    ) -> list[dict[str, Any]]:
        """See ``HistoryReader.history``."""
        path = ("projects", entity, project, "runs", run_id, "history")
        rows: list[dict[str, Any]] = self._get(
            *path, key=_query_keys(keys), complete=complete, segment=segment
        )["rows"]
        return rows

    def table(
        self, entity: str, project: str, run_id: str, keys: Sequence[str] | None, segment: str | None
    ) -> pa.Table:
        """See ``HistoryReader.table``."""
        import pyarrow as pa

        self._send_outbox()
        path = ("projects", entity, project, "runs", run_id, "history.arrow")
        data = b"".join(self._client.stream(*path, key=_query_keys(keys), segment=segment))
        return pa.ipc.open_stream(data).read_all()

    def system(
        self, entity: str, project: str, run_id: str, segment: str | None = None, points: int | None = None
    ) -> list[SystemMetrics]:
        """See ``HistoryReader.system``."""
        path = ("projects", entity, project, "runs", run_id, "system")
        found = self._get(*path, segment=segment, points=points)
        return msgspec.convert(found["segments"], list[SystemMetrics])

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
        """See ``HistoryReader.console``."""
        path = ("projects", entity, project, "runs", run_id, "console")
        lines: list[OutputLine] = []
        while True:
            rest = LARGEST_OUTPUT if limit is None else min(limit - len(lines), LARGEST_OUTPUT)
            found = self._get(*path, segment=segment, offset=offset, limit=rest, search=search)
            page = msgspec.convert(found, Output)
            lines += page.lines
            enough = limit is not None and len(lines) >= limit
            if enough or not page.lines or page.lines[-1].line + 1 >= page.total:
                return Output(page.total, lines, page.found)
            offset = page.lines[-1].line + 1

    def delete_run(self, entity: str, project: str, run_id: str, delete_artifacts: bool) -> None:
        """See ``RunReader.delete_run``."""
        self._send_outbox()
        path = ("projects", entity, project, "runs", run_id)
        self._client.send("DELETE", *path, data=b"", artifacts=str(delete_artifacts).lower())

    def files(self, entity: str, project: str, run_id: str) -> list[FileInfo]:
        """See ``FileReader.files``."""
        found = self._get("projects", entity, project, "runs", run_id, "files")
        return msgspec.convert(found["files"], list[FileInfo])

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

    def change_collection(
        self, entity: str, project: str, name: str, values: dict[str, Any]
    ) -> CollectionInfo:
        """See ``CollectionReader.change_collection``."""
        self._send_outbox()
        found = self._client.patch("projects", entity, project, "collections", name, body=values)
        return msgspec.convert(found, CollectionInfo)

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


def _query_keys(keys: Sequence[str] | None) -> Sequence[str] | None:
    """Return the keys for a query string, where an empty list would mean all keys. ``_step`` replaces it."""
    return ["_step"] if keys is not None and not keys else keys
