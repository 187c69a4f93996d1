"""The base class of all objects that can be logged."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol


class ArtifactSink(Protocol):
    """An artifact to which objects add their files."""

    client_id: str

    def add_content(self, path: str, data: bytes) -> str:
        """Add a file, unless the artifact has the same file, and return its path in the artifact."""

    def add(self, obj: Any, name: str, overwrite: bool = False) -> Any:
        """Add an object and return its entry, which has a ``path``.

        Args:
            obj: The object.
            name: Name of the object in the artifact.
            overwrite: Whether to replace an object of that name.
        """

    def get(self, name: str) -> Any:
        """Return the object that was added under ``name``."""

    def get_entry(self, name: str) -> Any:
        """Return the entry of the file ``name``."""


# Attributes that record where an object was logged or came from. A copy may be logged elsewhere.
_NOT_COPIED = ("_bound", "_target", "_artifact_source", "_artifact_target")


def is_artifact(obj: Any) -> bool:
    """Return whether ``obj`` accepts files by name, as an artifact does."""
    return hasattr(obj, "add_content")


class WBValue:
    """An object that can be logged. Its JSON form has the name of its type under ``_type``."""

    _log_type: ClassVar[str | None] = None
    _in_artifacts: ClassVar[bool] = True  # whether `Artifact.add` accepts it

    # The artifact that the object came from or was added to, and its name there.
    _artifact_source: tuple[Any, str | None] | None = None
    _artifact_target: tuple[Any, str] | None = None

    def to_json(self, run_or_artifact: Any) -> dict[str, Any]:
        """Return the JSON form of the object in a run's history or in an artifact."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, json_obj: dict[str, Any], source_artifact: Any) -> WBValue:
        """Return the object for its JSON form in ``source_artifact``."""
        raise NotImplementedError

    @classmethod
    def with_suffix(cls, name: str, filetype: str = "json") -> str:
        """Return ``name`` with the file suffix of this type, such as ``.table.json``."""
        suffix = filetype if cls._log_type is None else f"{cls._log_type}.{filetype}"
        return name if name.endswith(suffix) else f"{name}.{suffix}"

    @staticmethod
    def init_from_json(json_obj: dict[str, Any], source_artifact: Any) -> WBValue | None:
        """Return the object for a JSON form, by its ``_type``; None for an unknown type."""
        kind = WBValue.type_mapping().get(json_obj["_type"])
        if kind is None:
            return None
        made = kind.from_json(json_obj, source_artifact)
        made._artifact_source = (source_artifact, None)
        return made

    @staticmethod
    def type_mapping() -> dict[str, type[WBValue]]:
        """Return the imported types by the ``_type`` of their JSON form."""
        found: dict[str, type[WBValue]] = {}
        waiting: list[type[WBValue]] = [WBValue]
        while waiting:
            kind = waiting.pop()
            if kind._log_type is not None:
                found.setdefault(kind._log_type, kind)
            waiting.extend(kind.__subclasses__())
        return found

    def to_data_array(self) -> list[Any]:
        """Return the values of the object as a list, such as the pixel rows of an image."""
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        """Return the state of a copy or a pickle: the content, without its runs and artifacts."""
        return {name: value for name, value in self.__dict__.items() if name not in _NOT_COPIED}

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return id(self)

    def _artifact_paths(self) -> dict[str, str]:
        """Return ``artifact_path`` and ``_latest_artifact_path``; empty if no artifact has the object."""
        if self._artifact_target is None:
            return {}
        artifact, name = self._artifact_target
        return {
            "artifact_path": f"wandb-client-artifact://{artifact.client_id}/{name}",
            "_latest_artifact_path": f"wandb-client-artifact://{artifact.sequence_client_id}:latest/{name}",
        }
