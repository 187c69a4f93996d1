"""Images."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from typing import Any, ClassVar

from tracker.data_types import dtypes, figures
from tracker.data_types.base import WBValue
from tracker.data_types.boxes import BoundingBoxes2D
from tracker.data_types.classes import Classes
from tracker.data_types.image_type import ImageFileType
from tracker.data_types.masks import ImageMask
from tracker.data_types.media import BatchableMedia, FileSink, need
from tracker.data_types.pillow_images import to_pil
from tracker.errors import UsageError

# Attributes that `Image(image)` copies. As in wandb (sdk/data_types/image.py), it copies no boxes or masks.
_COPIED = (
    *("_data", "_extension", "_sha256", "_source", "_artifact_source"),
    *("_width", "_height", "_grouping", "_classes", "format", "_file_type"),
)
# File types in which arrays can be encoded.
FILE_TYPES = ("png", "jpg", "jpeg", "bmp")


class Image(BatchableMedia):
    """An image. It is encoded immediately, so the source may change afterwards.

    Args:
        data_or_path: The path of a file, a PIL image, an array of shape (height, width) or
            (height, width, 1, 3 or 4), a torch tensor of shape (height, width) or
            (1, 3 or 4, height, width), a matplotlib figure, or another ``Image``.
        mode: PIL mode to which an array is converted, such as ``"L"`` or ``"RGB"``.
        caption: Text shown with the image.
        grouping: A number stored with the image.
        classes: Names of the classes of boxes and masks: ``Classes``, or a list of ``{"id", "name"}``.
        boxes: Sets of boxes by name; see ``BoundingBoxes2D``.
        masks: Masks by name; see ``ImageMask``.
        file_type: ``"png"`` (default), ``"jpg"``, ``"jpeg"`` or ``"bmp"``. Image files are not
            converted.
        normalize: Whether to scale floats: values in 0..1 are scaled to 0..255, values in -1..1 are shifted
            and scaled to 0..255. Other values are clipped to 0..255. wandb 0.31 truncates floats to integers,
            so it stores such images in black.

    Raises:
        ValueError: An array does not have the shape of an image, or the file type is unknown.
        FileNotFoundError: The file does not exist.
        UsageError: Pillow is not installed, or the file is not an image.
    """

    MAX_ITEMS: ClassVar[int] = 108
    _log_type = "image-file"
    folder = "images"

    format: str | None = None
    _width: int | None = None
    _height: int | None = None
    _grouping: int | None = None
    _classes: Classes | None = None
    _boxes: dict[str, BoundingBoxes2D] | None = None
    _masks: dict[str, ImageMask] | None = None
    _file_type: str | None = None

    def __init__(
        self,
        data_or_path: Any,
        mode: str | None = None,
        caption: str | None = None,
        grouping: int | None = None,
        classes: Classes | Sequence[dict[str, Any]] | None = None,
        boxes: dict[str, Any] | None = None,
        masks: dict[str, Any] | None = None,
        file_type: str | None = None,
        normalize: bool = True,
    ) -> None:
        self._caption = None if caption is None else str(caption)
        if isinstance(data_or_path, Image):
            self._copy(data_or_path)
        elif isinstance(data_or_path, (str, os.PathLike)):
            self._read(os.fspath(data_or_path))
        else:
            self._encode(data_or_path, mode, file_type, normalize)
        self._grouping = grouping or self._grouping
        self._file_type = file_type or self._file_type
        self._annotate(boxes, masks, classes)

    @property
    def data(self) -> bytes:
        """The content of the image file."""
        return self.data_bytes

    @property
    def width(self) -> int | None:
        """Width in pixels; None for a URL."""
        return self._width

    @property
    def height(self) -> int | None:
        """Height in pixels; None for a URL."""
        return self._height

    @property
    def image(self) -> Any:
        """The image as a PIL image; None for a URL."""
        if self._data is None:
            return None
        image = need("PIL.Image", "Image").open(io.BytesIO(self._data))
        image.load()
        return image

    def _copy(self, other: Image) -> None:
        for name in _COPIED:
            setattr(self, name, getattr(other, name))
        if self._caption is None:
            self._caption = other._caption

    def _read(self, path: str) -> None:
        self.format = os.path.splitext(path.partition("?")[0])[1][1:]
        if self.path_is_reference(path):
            self._source = path
            self._sha256 = hashlib.sha256(path.encode()).hexdigest()
            return
        pil = need("PIL.Image", "Image")
        self._take_file(path)
        try:
            with pil.open(io.BytesIO(self.data_bytes)) as image:
                self._width, self._height = image.size
                image.load()
        except (OSError, SyntaxError) as error:
            raise UsageError(f"Cannot read an image from {path}: {error}") from error

    def _encode(self, data: Any, mode: str | None, file_type: str | None, normalize: bool) -> None:
        self.format = (file_type or "png").lower()
        if self.format not in FILE_TYPES:
            raise ValueError(f"file_type must be one of {list(FILE_TYPES)}")
        if figures.is_matplotlib(data):
            data = need("PIL.Image", "Image").open(io.BytesIO(figures.draw(data, self.format)))
        image = to_pil(data, mode, normalize, self.format)
        kind = "JPEG" if self.format in ("jpg", "jpeg") else self.format.upper()
        if kind == "JPEG" and image.mode not in ("L", "RGB"):
            image = image.convert("RGB")
        out = io.BytesIO()
        image.save(out, kind)
        self._width, self._height = image.size
        self._take(out.getvalue(), f".{self.format}")

    def _annotate(self, boxes: Any, masks: Any, classes: Any) -> None:
        names: dict[Any, str] = {}
        for given, what in ((boxes, "boxes"), (masks, "masks")):
            if given and not isinstance(given, dict):
                raise ValueError(f'Images "{what}" argument must be a dictionary')
        if boxes:
            self._boxes = {
                key: each if isinstance(each, BoundingBoxes2D) else BoundingBoxes2D(each, key)
                for key, each in boxes.items()
            }
            for box in self._boxes.values():
                names.update(box._class_labels)
        if masks:
            self._masks = {
                key: each if isinstance(each, ImageMask) else ImageMask(each, key)
                for key, each in masks.items()
            }
            for mask in self._masks.values():
                names.update(mask.class_labels)
        if classes is not None:
            listed = classes._class_set if isinstance(classes, Classes) else classes
            names.update({each["id"]: each["name"] for each in listed})
        if names:
            self._classes = Classes([{"id": key, "name": name} for key, name in names.items()])

    def describe(self) -> dict[str, Any]:
        """See ``Media.describe``."""
        optional = {"width": self._width, "height": self._height, "grouping": self._grouping or None}
        return {"format": self.format, **{key: each for key, each in optional.items() if each is not None}}

    def _to_history(
        self, sink: FileSink, key: str, step: int | str, id_: int | str | None = None
    ) -> dict[str, Any]:
        if self._data is None:
            raise ValueError(
                "Image media created by a reference to external storage cannot currently be added to a run"
            )
        described = super()._to_history(sink, key, step, id_)
        for name, layers in (("boxes", self._boxes), ("masks", self._masks)):
            if layers:
                described[name] = {of: layer._to_history(sink, key, step) for of, layer in layers.items()}
        return described

    def _to_artifact(self, artifact: Any) -> dict[str, Any]:
        if (self._masks or self._boxes) and self._classes is None:
            raise ValueError(
                "classes must be passed to wandb.Image which have masks or bounding boxes when adding to "
                "artifacts"
            )
        described = super()._to_artifact(artifact)
        if self._classes is not None:
            digest = hashlib.md5(str(self._classes._class_set).encode()).hexdigest()
            entry = artifact.add(self._classes, f"media/classes/{digest}_cls")
            described["classes"] = {"type": "classes-file", "path": entry.path, "digest": entry.digest}
        for name, layers in (("boxes", self._boxes), ("masks", self._masks)):
            if layers:
                described[name] = {of: layer._to_artifact(artifact) for of, layer in layers.items()}
        return described

    @classmethod
    def from_json(cls, json_obj: dict[str, Any], source_artifact: Any) -> Image:
        """See ``WBValue.from_json``."""
        classes = json_obj.get("classes")
        found = cls(
            source_artifact.get_entry(json_obj["path"]).download(),
            caption=json_obj.get("caption"),
            grouping=json_obj.get("grouping"),
            classes=None if classes is None else source_artifact.get(classes["path"]),
            boxes={
                key: BoundingBoxes2D.from_json(each, source_artifact)
                for key, each in (json_obj.get("boxes") or {}).items()
            },
            masks={
                key: ImageMask.from_json(each, source_artifact)
                for key, each in (json_obj.get("masks") or {}).items()
            },
        )
        for layers in (found._boxes or {}, found._masks or {}):
            for key, layer in layers.items():
                layer._key = key
        return found

    @classmethod
    def seq_to_json(cls, seq: Sequence[Any], run: Any, key: str, step: int | str) -> dict[str, Any]:
        """See ``BatchableMedia.seq_to_json``."""
        saved = [image.to_json(run) for image in seq]
        described: dict[str, Any] = {
            "_type": "images/separated",
            "width": saved[0].get("width"),
            "height": saved[0].get("height"),
            "format": saved[0]["format"],
            "count": len(saved),
            "filenames": [each["path"] for each in saved],
        }
        captions = cls.all_captions(seq)
        if captions:
            described["captions"] = captions
        for name in ("masks", "boxes"):
            if any(name in each for each in saved):
                described[f"all_{name}"] = [each.get(name) for each in saved]
        return described

    @classmethod
    def all_captions(cls, images: Sequence[Any]) -> bool | Sequence[str | None]:
        """Return the captions of images; False if the first image has no caption."""
        return cls.captions(images)

    @classmethod
    def all_masks(
        cls, images: Sequence[Any], run: Any, run_key: str, step: int | str
    ) -> list[dict[str, Any] | None] | bool:
        """Return the masks of images that were logged to a run.

        Args:
            images: The images.
            run: The run.
            run_key: Accepted for compatibility.
            step: Accepted for compatibility.

        Returns:
            The masks of each image, None for an image without masks; False if no image has masks.
        """
        found = [image.to_json(run).get("masks") for image in images]
        return found if any(found) else False

    @classmethod
    def all_boxes(
        cls, images: Sequence[Any], run: Any, run_key: str, step: int | str
    ) -> list[dict[str, Any] | None] | bool:
        """Return the boxes of images that were logged to a run.

        Args:
            images: The images.
            run: The run.
            run_key: Accepted for compatibility.
            step: Accepted for compatibility.

        Returns:
            The boxes of each image, None for an image without boxes; False if no image has boxes.
        """
        found = [image.to_json(run).get("boxes") for image in images]
        return found if any(found) else False

    def to_data_array(self) -> list[Any]:
        """Return the pixel rows of the image; an empty list for a URL."""
        import numpy as np

        return [] if self._data is None else list(np.asarray(self.image).tolist())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Image):
            return False
        same = (self._caption, self._grouping, self._classes) == (
            other._caption,
            other._grouping,
            other._classes,
        )
        return same and (self._sha256 == other._sha256 or self.to_data_array() == other.to_data_array() != [])

    __hash__ = WBValue.__hash__


dtypes.register(Image, ImageFileType, ImageFileType.of)
dtypes.register_names(ImageFileType, "wandb.Image")
