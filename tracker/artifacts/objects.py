"""Media objects inside artifacts: ``artifact.add(table, "name")`` and ``artifact.get("name")``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracker import values
from tracker.data_types.image import Image
from tracker.data_types.media import Media
from tracker.data_types.table import Table

if TYPE_CHECKING:
    from tracker.artifacts.artifact import Artifact

# What a name ends in, as in wandb, says what the file is.
_ENDINGS = (".table.json", ".image-file.json")


class _Collected:
    """A ``FileSink`` that keeps in memory what it is given."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def save_file(self, path: str, data: bytes, mimetype: str) -> str:
        import hashlib

        self.files[path] = data
        return hashlib.sha256(data).hexdigest()


def to_files(obj: Any, name: str) -> tuple[str, dict[str, bytes]]:
    """Return the path of an object inside an artifact, and its file with those that it needs.

    Raises:
        ValueError: It is no media object that can be added.
    """
    sink = _Collected()
    if isinstance(obj, Table):
        path = _with_ending(name, ".table.json")
        described = {"_type": "table", **obj.to_content(sink, name, 0)}
    elif isinstance(obj, Image):
        path = _with_ending(name, ".image-file.json")
        described = obj.to_history(sink, name, 0)
    else:
        kind = type(obj).__name__
        hint = "; log it with run.log" if isinstance(obj, Media) else "; use add_file for files"
        raise ValueError(f"Found object of type {kind}, expected Table or Image{hint}")
    return path, {**sink.files, path: values.dumps(described).encode("utf-8", "replace")}


def find(artifact: Artifact, name: str) -> Any:
    """Return the object of that name in an artifact, files that it needs downloaded; None without one."""
    for path in (name, *(name + ending for ending in _ENDINGS)):
        if path in artifact._objects:
            return artifact._objects[path]
        if path.endswith(_ENDINGS) and artifact.contents.find(path) is not None:
            return _load(artifact, path)
    return None


def _load(artifact: Artifact, path: str) -> Any:
    with open(artifact.get_entry(path).download(), "rb") as file:
        described = values.loads(file.read())
    if described.get("_type") == "table":
        rows = [[_cell(artifact, cell) for cell in row] for row in described["data"]]
        return Table(columns=described["columns"], data=rows)
    return _cell(artifact, described)


def _cell(artifact: Artifact, cell: Any) -> Any:
    if isinstance(cell, dict) and cell.get("_type") == "image-file" and isinstance(cell.get("path"), str):
        return Image(artifact.get_entry(cell["path"]).download(), caption=cell.get("caption"))
    return cell


def _with_ending(name: str, ending: str) -> str:
    return name if name.endswith(ending) else name + ending
