"""Names of the classes of boxes and masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracker.data_types import dtypes
from tracker.data_types.base import WBValue
from tracker.data_types.media import Media


class Classes(Media):
    """The names of the classes that boxes and masks refer to by id.

    Args:
        class_set: One dict for each class: ``{"id": number or str, "name": str}``.

    Raises:
        AssertionError: A class has no id or no name.
    """

    _log_type = "classes"
    folder = "classes"

    def __init__(self, class_set: Sequence[dict[str, Any]]) -> None:
        for each in class_set:
            assert "id" in each and "name" in each, f"Invalid class {each!r}. Give it an 'id' and a 'name'."
        self._class_set = class_set

    def to_json(self, run_or_artifact: Any = None) -> dict[str, Any]:
        """Return ``{"_type": "classes", "class_set": ...}``. Classes need no file."""
        return {"_type": self._log_type, "class_set": self._class_set}

    @classmethod
    def from_json(cls, json_obj: dict[str, Any], source_artifact: Any) -> Classes:
        """See ``WBValue.from_json``."""
        return cls(json_obj["class_set"])

    def get_type(self) -> ClassesIdType:
        """Return the type of a table column that holds ids of these classes."""
        return ClassesIdType(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Classes) and self._class_set == other._class_set

    __hash__ = WBValue.__hash__


class ClassesIdType(dtypes.Type):
    """The type of class ids of one ``Classes``."""

    name = "classesId"

    def __init__(self, classes_obj: Any = None, valid_ids: Any = None) -> None:
        if classes_obj is None:
            ids = (valid_ids or dtypes.UnionType()).params["allowed_types"]
            classes_obj = Classes(
                [{"id": each.params["val"], "name": str(each.params["val"])} for each in ids]
            )
        self.classes = classes_obj
        allowed = [dtypes.ConstType(each["id"]) for each in classes_obj._class_set]
        super().__init__(valid_ids=dtypes.UnionType(allowed))

    def assign(self, obj: Any) -> dtypes.Type | None:
        """See ``Type.assign``."""
        return self.assign_type(dtypes.ConstType(obj))

    def assign_type(self, other: dtypes.Type) -> dtypes.Type | None:
        """See ``Type.assign_type``."""
        return self if self.params["valid_ids"].assign_type(other) is not None else None

    def to_json(self, artifact: Any = None) -> dict[str, Any]:
        """See ``Type.to_json``. In an artifact, the classes are stored as a file of the artifact."""
        described = super().to_json(artifact)
        if artifact is None:
            described["params"]["classes_obj"] = self.classes.to_json()
        else:
            entry = artifact.add(self.classes, "media/cls")
            described["params"]["classes_obj"] = {
                "type": "classes-file",
                "path": entry.path,
                "digest": entry.digest,
            }
        return described

    @classmethod
    def from_params(cls, params: dict[str, Any], artifact: Any) -> dtypes.Type:
        """See ``Type.from_params``."""
        described = params["classes_obj"]
        if described.get("type") == "classes-file":
            return cls(artifact.get(described["path"]))
        return cls(Classes(described["class_set"]))


dtypes.register(Classes, ClassesIdType, ClassesIdType)
dtypes.register_names(ClassesIdType, "wandb.Classes_id")
