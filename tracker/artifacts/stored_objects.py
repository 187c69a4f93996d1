"""Objects inside artifacts: ``artifact.add(table, "name")`` and ``artifact.get("name")``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracker import data_types
from tracker.data_types.base import WBValue
from tracker.data_types.json_text import for_artifact
from tracker.data_types.media import short_digest
from tracker.ground import values

if TYPE_CHECKING:
    from tracker.artifacts.artifact import Artifact
    from tracker.artifacts.draft import DraftMethods
    from tracker.artifacts.entry import ArtifactManifestEntry


def add(artifact: DraftMethods, obj: Any, name: str, overwrite: bool) -> ArtifactManifestEntry:
    """See ``Artifact.add``."""
    if not isinstance(obj, WBValue) or obj._log_type is None or not obj._in_artifacts:
        raise TypeError(
            f"An artifact does not take objects of type {type(obj).__name__}. Give it a data type such as "
            "Table or Image, and use add_file for files."
        )
    for path, known in artifact._objects.items():
        if known is obj:
            return artifact.get_entry(path)
    path = obj.with_suffix(name)
    found = artifact.find_content(path)
    if found is not None and not overwrite:
        return found
    described = obj.to_json(artifact)
    if obj._log_type != "table":  # whose cells are plain already
        described = values.to_plain(described)
    data = for_artifact(described)
    if path.startswith("media/tables"):  # as in wandb: of a table that another one links to
        path = obj.with_suffix(f"media/tables/{short_digest(data)}")
    artifact.add_content(path, data, overwrite or path.startswith("media/tables"))
    artifact._objects[path] = obj
    if obj._artifact_target is None:
        obj._artifact_target = (artifact, path)
    return artifact.get_entry(path)


def find(artifact: Artifact, name: str) -> Any:
    """Return the object of that name in an artifact, files that it needs downloaded; None without one."""
    for each in vars(data_types)["__all__"]:
        getattr(data_types, each)  # a type is known once it is loaded
    for kind in WBValue.type_mapping().values():
        path = kind.with_suffix(name)
        if path in artifact._objects:
            return artifact._objects[path]
        if artifact.find_content(path) is not None:
            with open(artifact.get_entry(path).download(), "rb") as file:
                found = kind.from_json(values.loads(file.read()), artifact)
            found._artifact_source = (artifact, name)
            return found
    return None
