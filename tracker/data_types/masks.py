"""Image masks, which have a class for each pixel."""

from __future__ import annotations

import io
from typing import Any

from tracker.data_types.boxes import check_labels, note_labels
from tracker.data_types.media import FileSink, Media, need


class ImageMask(Media):
    """A mask on an image, such as a segmentation.

    Args:
        val: ``{"mask_data": data}`` with an array or tensor of shape (height, width) and values 0..255, or
            ``{"path": path}`` with the path of a greyscale PNG file. Either can have
            ``"class_labels": {id: name}``.
        key: Name of the mask.

    Raises:
        KeyError: ``val`` has neither data nor a path.
        TypeError: The data has the wrong shape or range, or the class labels are not strings by number.
        OSError: The file cannot be read.
    """

    _log_type = "mask"

    def __init__(self, val: dict[str, Any], key: str) -> None:
        self._key = key
        if "path" in val:
            self._take_file(str(val["path"]))
            if "class_labels" in val:
                check_labels(val, "Class labels must be a dictionary of numbers to strings")
                self._val = {"class_labels": val["class_labels"]}
            return
        import numpy as np

        val = dict(val)
        if hasattr(val.get("mask_data"), "detach"):
            val["mask_data"] = val["mask_data"].detach().cpu().numpy()
        self.validate(val)
        if "class_labels" not in val:
            found = np.unique(val["mask_data"]).astype(np.int32).tolist()
            val["class_labels"] = {each: f"class_{each}" for each in found}
        self._val = val
        image = need("PIL.Image", "ImageMask").fromarray(np.asarray(val["mask_data"]).astype(np.uint8), "L")
        out = io.BytesIO()
        image.save(out, "PNG")
        self._take(out.getvalue(), ".mask.png")

    @classmethod
    def get_media_subdir(cls) -> str:
        """See ``Media.get_media_subdir``."""
        return "media/images/mask"

    @classmethod
    def type_name(cls) -> str:
        """Return the ``_type`` in a run's history."""
        return "mask"

    @property
    def class_labels(self) -> dict[Any, str]:
        """The class names by class id; empty for a mask that was read from an artifact."""
        return getattr(self, "_val", {}).get("class_labels", {})  # type: ignore[no-any-return]

    def validate(self, val: dict[str, Any]) -> bool:
        """Check the shape and the range of the data and the class labels; return True.

        Raises:
            KeyError: ``val`` has no data.
            TypeError: The data or the labels do not have the form that the class describes.
        """
        if "mask_data" not in val:
            raise KeyError(
                'Missing key "mask_data": An image mask requires mask data: a 2D array representing the '
                "predictions"
            )
        data = val["mask_data"]
        if len(getattr(data, "shape", ())) != 2:
            raise TypeError("mask_data must be a 2D array")
        if not ((data >= 0).all() and (data <= 255).all()):
            raise TypeError("Mask data must be integers between 0 and 255")
        check_labels(val, "Class labels must be a dictionary of numbers to strings")
        return True

    def _to_history(
        self, sink: FileSink, key: str, step: int | str, id_: int | str | None = None
    ) -> dict[str, Any]:
        described = super()._to_history(sink, key, step, id_)
        if self.class_labels:
            note_labels(sink, "mask/class_labels", key, self._key, self.class_labels)
        return described

    @classmethod
    def from_json(cls, json_obj: dict[str, Any], source_artifact: Any) -> ImageMask:
        """See ``WBValue.from_json``."""
        return cls({"path": source_artifact.get_entry(json_obj["path"]).download()}, key="")
