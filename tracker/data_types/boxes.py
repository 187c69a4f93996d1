"""Bounding boxes on images."""

from __future__ import annotations

import copy
import numbers
from typing import Any

from tracker.data_types.json_text import for_run
from tracker.data_types.media import FileSink, Media
from tracker.ground.values import to_plain

_POSITION = "Each box must contain a position with: middle, width, and height or minX, maxX, minY, maxY."


class BoundingBoxes2D(Media):
    """A set of boxes on an image, such as predictions.

    Args:
        val: ``{"box_data": [box, ...], "class_labels": {id: name}}``. A box has a ``position``: either
            ``{"minX", "maxX", "minY", "maxY"}`` or ``{"middle": [x, y], "width", "height"}``. The numbers are
            fractions of the image size (0..1), or pixels if the box has ``"domain": "pixel"``. A box can also
            have ``class_id`` (int), ``scores`` (a dict of numbers by name) and ``box_caption`` (str).
        key: Name of the set.

    Raises:
        TypeError: A box does not have this form.
    """

    _log_type = "bounding-boxes"

    def __init__(self, val: dict[str, Any], key: str) -> None:
        self.validate(val)
        self._key = key
        self._val = _plain_boxes(val["box_data"])
        if "class_labels" in val:
            self._class_labels = dict(val["class_labels"])
        else:
            ids = sorted({int(box["class_id"]) for box in val["box_data"]})
            self._class_labels = {each: f"class_{each}" for each in ids}
        stored = {**val, "box_data": self._val}
        self._take(for_run(to_plain(stored)), ".boxes2D.json")

    @classmethod
    def get_media_subdir(cls) -> str:
        """See ``Media.get_media_subdir``."""
        return "media/metadata/boxes2D"

    @classmethod
    def type_name(cls) -> str:
        """Return the ``_type`` in a run's history."""
        return "boxes2D"

    def validate(self, val: dict[str, Any]) -> bool:
        """Check the boxes and their class labels; return True.

        Raises:
            TypeError: ``val`` does not have the form that the class describes.
        """
        check_labels(val, "Class labels must be a dictionary of numbers to string")
        boxes = val["box_data"]
        if not isinstance(boxes, list):
            raise TypeError("Boxes must be a list")
        for box in boxes:
            position = box.get("position", {})
            middle = position.get("middle")
            if middle is not None and len(middle) == 2:
                needed: tuple[str, ...] = ("width", "height")
            else:
                needed = ("minX", "maxX", "minY", "maxY")
            if not all(isinstance(position.get(name), numbers.Number) for name in needed):
                raise TypeError(_POSITION)
            scores = box.get("scores", {})
            if not isinstance(scores, dict):
                raise TypeError("Box scores must be a dictionary")
            for name, score in scores.items():
                if not isinstance(name, str):
                    raise TypeError("A score key must be a string")
                if not isinstance(score, numbers.Number):
                    raise TypeError("A score value must be a number")
            if not isinstance(box.get("class_id", 0), int):
                raise TypeError("A box's class_id must be an integer")
            if not isinstance(box.get("box_caption", ""), str):
                raise TypeError("A box's caption must be a string")
        return True

    def _to_history(
        self, sink: FileSink, key: str, step: int | str, id_: int | str | None = None
    ) -> dict[str, Any]:
        described = super()._to_history(sink, key, step, id_)
        note_labels(sink, "bounding_box/class_labels", key, self._key, self._class_labels)
        return {**described, "_type": self.type_name()}

    def _to_artifact(self, artifact: Any) -> Any:
        return self._val

    @classmethod
    def from_json(cls, json_obj: Any, source_artifact: Any) -> BoundingBoxes2D:
        """See ``WBValue.from_json``."""
        return cls({"box_data": json_obj}, "")


def check_labels(val: dict[str, Any], message: str) -> None:
    """Check that the class labels are a dict of strings by number.

    Raises:
        TypeError: They are not; its text is ``message``.
    """
    for key, name in val.get("class_labels", {}).items():
        if not isinstance(key, numbers.Number) or not isinstance(name, str):
            raise TypeError(message)


def note_labels(sink: FileSink, kind: str, key: str, of: str, labels: dict[Any, str]) -> None:
    """Store class labels in the run's config, where wandb's pages read them.

    Args:
        sink: The run's files.
        kind: Config section, such as ``"mask/class_labels"``.
        key: History key of the image.
        of: Name of the set of boxes or of the mask.
        labels: Class names by class id.
    """
    sink.note_labels(
        kind, f"{key}_wandb_delimeter_{of}", {str(_key(each)): name for each, name in labels.items()}
    )


def _plain_boxes(boxes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [to_plain(copy.copy(box)) for box in boxes]


def _key(key: Any) -> Any:
    return key.item() if hasattr(key, "item") else key
