"""Media objects and tables inside artifacts: ``artifact.add(table, "name")`` and ``artifact.get("name")``."""

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
            f"Cannot add an object of type {type(obj).__name__} to an artifact. "
            "Pass a data type such as Table or Image, or use add_file for a file."
        )
    for path, known in artifact._objects.items():
        if known is obj:
            return artifact.get_entry(path)
    path = obj.with_suffix(name)
    found = artifact.find_content(path)
    if found is not None and not overwrite:
        return found
    described = obj.to_json(artifact)
    if obj._log_type != "table":  # the cells of a table are plain values already
        described = values.to_plain(described)
    data = for_artifact(described)
    if path.startswith("media/tables"):  # a table that another table links to; wandb names it by its digest
        path = obj.with_suffix(f"media/tables/{short_digest(data)}")
    artifact.add_content(path, data, overwrite or path.startswith("media/tables"))
    artifact._objects[path] = obj
    if obj._artifact_target is None:
        obj._artifact_target = (artifact, path)
    return artifact.get_entry(path)


def find(artifact: Artifact, name: str) -> Any:
    """Return the object of a name in an artifact, or None. The files of the object are downloaded."""
    for each in vars(data_types)["__all__"]:
        getattr(data_types, each)  # loading a type registers it in WBValue.type_mapping
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
