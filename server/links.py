"""Addresses of files. Answers contain them so that clients need not build them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from tracker.ground.names import RunPath
from tracker.ground.read_models import ArtifactDetail, TablePage
from tracker.ground.table_answers import TableComparison
from tracker.store.blobs.manifest import Entry
from tracker.store.catalog.models import Run


def media_url(run: Run | RunPath, path: str) -> str:
    """Return the address of a run's file."""
    place = run if isinstance(run, tuple) else (run.project.entity, run.project.name, run.run_id)
    entity, project, run_id = (quote(part, safe="") for part in place)
    return f"/api/v1/projects/{entity}/{project}/runs/{run_id}/files/{quote(path)}"


@dataclass(frozen=True, slots=True)
class LinkedTable(TablePage):
    """A page of a table with the address of the table's file."""

    url: str = ""


def link_table(run: RunPath, page: TablePage) -> dict[str, Any]:
    """Return a table page with the addresses of the table and of the media in its cells."""
    answer: dict[str, Any] = msgspec.to_builtins(page)
    answer["url"] = media_url(run, page.path)
    answer["rows"] = [[link_object(run, cell) for cell in row] for row in page.rows]
    return answer


def link_comparison(left: RunPath, right: RunPath, found: TableComparison) -> dict[str, Any]:
    """Return the comparison of two tables with the addresses of the media in its cells.

    Args:
        left: The run of the left table.
        right: The run of the right table.
        found: The comparison.
    """
    answer: dict[str, Any] = msgspec.to_builtins(found)
    for row in answer["rows"]:
        for side, run in (("left", left), ("right", right)):
            row[side] = row[side] and [link_object(run, cell) for cell in row[side]]
    return answer


def link_artifact(artifact: ArtifactDetail) -> dict[str, Any]:
    """Return an artifact with the address of its file list."""
    answer: dict[str, Any] = msgspec.to_builtins(artifact)
    answer["files_url"] = _files_url(artifact)
    return answer


def link_file(artifact: ArtifactDetail, entry: Entry) -> dict[str, Any]:
    """Return one file of an artifact with its address; None as address for a reference."""
    url = f"{_files_url(artifact)}/{quote(entry.path)}" if entry.ref is None else None
    return {
        "path": entry.path,
        "size": entry.size,
        "digest": entry.digest,
        "sha256": entry.sha256,
        "ref": entry.ref,
        "url": url,
    }


def _files_url(artifact: ArtifactDetail) -> str:
    return (
        f"/api/v1/projects/{quote(artifact.entity, safe='')}/{quote(artifact.project, safe='')}"
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
