"""Images."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from typing import Any

from tracker.data_types.media import FileSink, Media, file_name
from tracker.errors import UsageError

# What browsers show, by PIL's name of the format.
FORMATS = {"PNG": "png", "JPEG": "jpg", "GIF": "gif", "WEBP": "webp", "BMP": "bmp"}


class Image(Media):
    """One image, encoded when it is made, so that the source may change afterwards.

    Args:
        data_or_path: A file's path, a PIL image, an array of shape (height, width) or
            (height, width, 1, 3 or 4), or a torch tensor of shape (height, width) or
            (1, 3 or 4, height, width).
        mode: PIL mode to convert to, such as ``"L"`` or ``"RGB"``.
        caption: Text shown with it.
        normalize: As wandb: floats within 0..1 are scaled to 0..255, floats within -1..1 are
            shifted and scaled; other values are clipped to 0..255.
        file_type: ``"png"``, ``"jpg"``, ``"bmp"``; PNG unless given.

    Raises:
        UsageError: Pillow is missing, or there is no image of that shape or at that path.
    """

    data: bytes
    format: str
    width: int
    height: int

    def __init__(
        self,
        data_or_path: Any,
        mode: str | None = None,
        caption: str | None = None,
        normalize: bool = True,
        file_type: str | None = None,
    ) -> None:
        self.caption = None if caption is None else str(caption)
        if isinstance(data_or_path, Image):
            self._copy(data_or_path, caption)
        elif isinstance(data_or_path, (str, os.PathLike)):
            self._read(os.fspath(data_or_path))
        else:
            self._encode(_to_pil(data_or_path, mode, normalize), (file_type or "png").lower())

    def to_history(self, sink: FileSink, key: str, step: int | str) -> dict[str, Any]:
        """See ``Media``; the dict is wandb's ``image-file``."""
        path = file_name("images", key, step, hashlib.sha256(self.data).hexdigest(), self.format)
        sha256 = sink.save_file(
            path, self.data, "image/jpeg" if self.format == "jpg" else f"image/{self.format}"
        )
        described: dict[str, Any] = {
            "_type": "image-file",
            "path": path,
            "sha256": sha256,
            "size": len(self.data),
            "width": self.width,
            "height": self.height,
            "format": self.format,
        }
        return described | {"caption": self.caption} if self.caption is not None else described

    def _copy(self, other: Image, caption: str | None) -> None:
        self.data, self.format = other.data, other.format
        self.width, self.height = other.width, other.height
        if caption is None:
            self.caption = other.caption

    def _read(self, path: str) -> None:
        pil = _pil()
        try:
            with open(path, "rb") as file:
                self.data = file.read()
            with pil.open(io.BytesIO(self.data)) as image:
                self.width, self.height = image.size
                self.format = FORMATS.get(image.format or "", "")
                if not self.format:  # keep what browsers show, convert the rest
                    self._encode(image.convert("RGBA"), "png")
        except (OSError, SyntaxError) as error:
            raise UsageError(f"cannot read an image from {path}: {error}") from error

    def _encode(self, image: Any, file_type: str) -> None:
        buffer = io.BytesIO()
        kind = "JPEG" if file_type in ("jpg", "jpeg") else file_type.upper()
        if kind not in FORMATS:
            raise UsageError(
                f"cannot write images as {file_type!r}; use one of {', '.join(FORMATS.values())}"
            )
        if kind == "JPEG" and image.mode not in ("L", "RGB"):
            image = image.convert("RGB")
        image.save(buffer, kind)
        self.data, self.format = buffer.getvalue(), FORMATS[kind]
        self.width, self.height = image.size


def images_to_history(images: Sequence[Image], sink: FileSink, key: str, step: int | str) -> dict[str, Any]:
    """Store several images logged under one key; return wandb's ``images/separated``."""
    saved = [image.to_history(sink, key, step) for image in images]
    described: dict[str, Any] = {
        "_type": "images/separated",
        "width": saved[0]["width"],
        "height": saved[0]["height"],
        "format": saved[0]["format"],
        "count": len(saved),
        "filenames": [each["path"] for each in saved],
    }
    if any(image.caption is not None for image in images):
        described["captions"] = [image.caption or "" for image in images]
    return described


def _pil() -> Any:
    try:
        import PIL.Image
    except ImportError:
        raise UsageError("Image needs Pillow: pip install 'airgap-tracker[media]'") from None
    return PIL.Image


def _to_pil(data: Any, mode: str | None, normalize: bool) -> Any:
    pil = _pil()
    if isinstance(data, pil.Image):
        return data.convert(mode) if mode else data
    import numpy as np

    if hasattr(data, "detach"):  # torch: channels come first
        data = data.detach().cpu()
        array = (data.float() if data.is_floating_point() else data).numpy()
        if array.ndim == 3:
            array = array.transpose(1, 2, 0)
    else:
        array = np.asarray(data)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        raise UsageError(
            f"cannot make an image of shape {tuple(array.shape)}: give (height, width) or "
            "(height, width, 3 or 4), "
            "or a torch tensor (1, 3 or 4, height, width)"
        )
    image = pil.fromarray(_to_bytes(array, normalize))
    return image.convert(mode) if mode else image


def _to_bytes(array: Any, normalize: bool) -> Any:
    import numpy as np

    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if np.issubdtype(array.dtype, np.floating):
        array = np.nan_to_num(array.astype(np.float64))
        if normalize and array.min() >= 0 and array.max() <= 1:
            array = array * 255
        elif normalize and array.min() >= -1 and array.max() <= 1:
            array = (array + 1) * 127.5
    return np.clip(array, 0, 255).astype(np.uint8)
