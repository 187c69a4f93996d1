"""Addresses of files. Answers contain them so that clients need not build them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from tracker.ground.read_models import ArtifactDetail, TablePage
from tracker.store.blobs.manifest import Entry
from tracker.store.catalog.models import Run


def media_url(run: Run, path: str) -> str:
    """Return the address of a run's file."""
    return (
        f"/api/v1/projects/{quote(run.project.entity, safe='')}/{quote(run.project.name, safe='')}"
        f"/runs/{quote(run.run_id, safe='')}/files/{quote(path)}"
    )


def link_table(run: Run, page: TablePage) -> dict[str, Any]:
    """Return a table page with the addresses of the table and of the media in its cells."""
    answer: dict[str, Any] = msgspec.to_builtins(page)
    answer["url"] = media_url(run, page.path)
    answer["rows"] = [[link_object(run, cell) for cell in row] for row in page.rows]
    return answer


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


def link_artifact(artifact: ArtifactDetail) -> LinkedVersion:
    """Return an artifact with the address of its file list."""
    fields = {name: getattr(artifact, name) for name in ArtifactDetail.__dataclass_fields__}
    return LinkedVersion(**fields, files_url=_files_url(artifact))


def link_file(artifact: ArtifactDetail, entry: Entry) -> LinkedFile:
    """Return one file of an artifact with its address; None as address for a reference."""
    url = f"{_files_url(artifact)}/{quote(entry.path)}" if entry.ref is None else None
    return LinkedFile(entry.path, entry.size, entry.digest, entry.sha256, entry.ref, url)


def _files_url(artifact: ArtifactDetail) -> str:
    return (
        f"/api/v1/projects/{quote(artifact.entity, safe='')}/{quote(artifact.project, safe='')}"
        f"/artifacts/{quote(artifact.name, safe='')}/{artifact.version}/files"
    )


def link_object(run: Run, value: Any) -> Any:
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
