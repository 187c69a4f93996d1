"""Addresses on this server. Answers contain addresses of files, so that clients need not build them."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import quote

from server.answers import LinkedTablePage
from tracker.ground.names import RunPath
from tracker.ground.read_models import ArtifactDetail, TablePage
from tracker.ground.table_answers import TableComparison
from tracker.store.blobs.manifest import Entry
from tracker.store.catalog.models import Run

# The path of the public address of this server, during a request: empty, or for example "/tracker".
ROOT: ContextVar[str] = ContextVar("root", default="")


@dataclass(frozen=True, slots=True)
class LinkedVersion(ArtifactDetail):
    """An artifact version with the address of its file list."""

    files_url: str = ""


@dataclass(frozen=True, slots=True)
class LinkedFile:
    """A file of a version.

    Attributes:
        path: Path in the version.
        size: Size in bytes.
        digest: Digest of the content: its MD5 in Base64. For a reference, the checksum of its scheme.
        sha256: SHA-256 of the content; empty for a reference.
        ref: URI of a reference; None for other files.
        url: Address of the content on this server; None for a reference.
    """

    path: str
    size: int
    digest: str
    sha256: str
    ref: str | None
    url: str | None


@dataclass(frozen=True, slots=True)
class LinkedFiles:
    """A page of the files of a version. ``total`` counts all files that match the query."""

    total: int
    files: list[LinkedFile]


def media_url(run: Run | RunPath, path: str) -> str:
    """Return the address of a run's file."""
    place = run if isinstance(run, tuple) else (run.project.entity, run.project.name, run.run_id)
    return f"{_project_url(*place[:2])}/runs/{quote(place[2], safe='')}/files/{quote(path)}"


def link_table(run: RunPath, page: TablePage) -> LinkedTablePage:
    """Return a table page with the addresses of the table and of the media in its cells."""
    rows = [[link_object(run, cell) for cell in row] for row in page.rows]
    return LinkedTablePage(**_fields(page) | {"rows": rows}, url=media_url(run, page.path))


def link_comparison(left: RunPath, right: RunPath, found: TableComparison) -> TableComparison:
    """Return the comparison of two tables with the addresses of the media in its cells.

    Args:
        left: The run of the left table.
        right: The run of the right table.
        found: The comparison.
    """

    def linked(run: RunPath, cells: list[Any] | None) -> list[Any] | None:
        return cells and [link_object(run, cell) for cell in cells]

    rows = [replace(row, left=linked(left, row.left), right=linked(right, row.right)) for row in found.rows]
    return replace(found, rows=rows)


def link_artifact(artifact: ArtifactDetail) -> LinkedVersion:
    """Return an artifact with the address of its file list."""
    return LinkedVersion(**_fields(artifact), files_url=_files_url(artifact))


def link_file(artifact: ArtifactDetail, entry: Entry) -> LinkedFile:
    """Return one file of an artifact with its address; None as address for a reference."""
    url = f"{_files_url(artifact)}/{quote(entry.path)}" if entry.ref is None else None
    return LinkedFile(entry.path, entry.size, entry.digest, entry.sha256, entry.ref, url)


def _fields(record: TablePage | ArtifactDetail) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _project_url(entity: str, project: str) -> str:
    return f"{ROOT.get()}/api/v1/projects/{quote(entity, safe='')}/{quote(project, safe='')}"


def _files_url(artifact: ArtifactDetail) -> str:
    return (
        f"{_project_url(artifact.entity, artifact.project)}"
        f"/artifacts/{quote(artifact.name, safe='')}/{artifact.version}/files"
    )


def link_object(run: Run | RunPath, value: Any) -> Any:
    """Return a logged value with a ``url`` next to each ``path`` of a file.

    A list of file names (``filenames``) gets a list of addresses, ``urls``.
    """
    if isinstance(value, list):
        return [link_object(run, item) for item in value]
    if not isinstance(value, dict):
        return value
    linked = {key: link_object(run, item) for key, item in value.items()}
    kind, path, names = value.get("_type"), value.get("path"), value.get("filenames")
    if isinstance(kind, str) and isinstance(path, str):
        linked["url"] = media_url(run, path)
    if isinstance(kind, str) and isinstance(names, list):
        below = "media/object3D/" if kind == "object3D" else ""
        linked["urls"] = [media_url(run, below + name) for name in names if isinstance(name, str)]
    return linked
