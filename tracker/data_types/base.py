"""What all logged objects have in common: a type name, and a form in JSON."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol


class ArtifactSink(Protocol):
    """An artifact that takes an object's files."""

    client_id: str

    def add_content(self, path: str, data: bytes) -> str:
        """Add a file unless the same is there; return its path inside the artifact."""

    def add(self, obj: Any, name: str, overwrite: bool = False) -> Any:
        """Add an object; return its entry, which has a ``path``."""

    def get(self, name: str) -> Any:
        """Return the object added under ``name``."""

    def get_entry(self, name: str) -> Any:
        """Return the entry of a file."""


# What says where an object was logged, or came from: a copy may be logged elsewhere.
_NOT_COPIED = ("_bound", "_target", "_artifact_source", "_artifact_target")


def is_artifact(obj: Any) -> bool:
    """Whether ``obj`` takes files by name, as an artifact does."""
    return hasattr(obj, "add_content")


class WBValue:
    """An object that can be logged. Its JSON has its type's name under ``_type``."""

    _log_type: ClassVar[str | None] = None
    _in_artifacts: ClassVar[bool] = True  # whether `Artifact.add` takes it

    # Where it came from or was added to: an artifact and the name in it.
    _artifact_source: tuple[Any, str | None] | None = None
    _artifact_target: tuple[Any, str] | None = None

    def to_json(self, run_or_artifact: Any) -> dict[str, Any]:
        """Return its form in a run's history, or in an artifact."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, json_obj: dict[str, Any], source_artifact: Any) -> WBValue:
        """Make the object from the form that it has in ``source_artifact``."""
        raise NotImplementedError

    @classmethod
    def with_suffix(cls, name: str, filetype: str = "json") -> str:
        """Return ``name`` with the ending that says what the file is, as ``.table.json``."""
        suffix = filetype if cls._log_type is None else f"{cls._log_type}.{filetype}"
        return name if name.endswith(suffix) else f"{name}.{suffix}"

    @staticmethod
    def init_from_json(json_obj: dict[str, Any], source_artifact: Any) -> WBValue | None:
        """Make an object from its form, by its ``_type``; None for a type that is not known."""
        kind = WBValue.type_mapping().get(json_obj["_type"])
        if kind is None:
            return None
        made = kind.from_json(json_obj, source_artifact)
        made._artifact_source = (source_artifact, None)
        return made

    @staticmethod
    def type_mapping() -> dict[str, type[WBValue]]:
        """Return the types that were loaded, by the name that stands in their JSON."""
        found: dict[str, type[WBValue]] = {}
        waiting: list[type[WBValue]] = [WBValue]
        while waiting:
            kind = waiting.pop()
            if kind._log_type is not None:
                found.setdefault(kind._log_type, kind)
            waiting.extend(kind.__subclasses__())
        return found

    def to_data_array(self) -> list[Any]:
        """Return the values that it stands for, where it has some."""
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle has: the content, without the runs and artifacts that have it."""
        return {name: value for name, value in self.__dict__.items() if name not in _NOT_COPIED}

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return id(self)

    def _artifact_paths(self) -> dict[str, str]:
        """Return ``artifact_path`` and ``_latest_artifact_path`` of an object that an artifact holds."""
        if self._artifact_target is None:
            return {}
        artifact, name = self._artifact_target
        return {
            "artifact_path": f"wandb-client-artifact://{artifact.client_id}/{name}",
            "_latest_artifact_path": f"wandb-client-artifact://{artifact.sequence_client_id}:latest/{name}",
        }
