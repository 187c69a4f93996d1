"""Arrays and tensors as images of Pillow."""

from __future__ import annotations

from typing import Any

from tracker.data_types.media import need


def to_pil(data: Any, mode: str | None, normalize: bool, file_type: str | None) -> Any:
    """Return data as an image of Pillow.

    Args:
        data: An image of Pillow; an array (height, width) or (height, width, 1, 3 or 4), leading dimensions
            of 1 dropped; or a torch tensor (height, width) or (1, 3 or 4, height, width).
        mode: Pillow's mode to convert to; by the number of channels unless given.
        normalize: Whether floats within 0..1 are scaled to 0..255, and floats within -1..1 shifted and
            scaled. Whatever is left outside 0..255 is clipped.
        file_type: What it will be written as: JPEG has no transparency.

    Raises:
        ValueError: No image has such a shape.
    """
    pil = need("PIL.Image", "Image")
    if isinstance(data, pil.Image):
        return data  # as in wandb: a mode is for arrays
    if data is None:
        raise AttributeError(
            "an Image needs data: a path, an array, a tensor, a figure or a PIL image, not None"
        )
    import numpy as np

    if hasattr(data, "detach"):  # torch: channels come first
        data = data.detach().cpu()
        array = (data.float() if data.is_floating_point() else data).numpy()
        array = _squeeze(array)
        if array.ndim == 3:
            array = array.transpose(1, 2, 0)
    else:
        array = _squeeze(np.asarray(data.numpy() if hasattr(data, "numpy") else data))
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        raise ValueError(
            f"Un-supported shape for image conversion {list(array.shape)}: give (height, width) or (height, "
            "width, 3 or 4), or a torch tensor (1, 3 or 4, height, width)"
        )
    image = pil.fromarray(to_bytes(array, normalize))
    if mode is None and image.mode == "RGBA" and file_type in ("jpg", "jpeg"):
        mode = "RGB"
    return image.convert(mode) if mode else image


def to_bytes(array: Any, normalize: bool) -> Any:
    """Return an array as uint8."""
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


def _squeeze(array: Any) -> Any:
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    return array
