"""Conversion of arrays and tensors to PIL images."""

from __future__ import annotations

from typing import Any

from tracker.data_types.media import need


def to_pil(data: Any, mode: str | None, normalize: bool, file_type: str | None) -> Any:
    """Return data as a PIL image.

    Args:
        data: A PIL image; an array of shape (height, width) or (height, width, 1, 3 or 4); or a torch tensor
            of shape (height, width) or (1, 3 or 4, height, width). Leading dimensions of 1 are dropped.
        mode: PIL mode to convert an array to. By default, the number of channels determines it.
        normalize: Whether to scale floats: values in 0..1 are scaled to 0..255, values in -1..1 are shifted
            and scaled to 0..255. Other values are clipped to 0..255.
        file_type: File type in which the image will be encoded. JPEG has no transparency.

    Raises:
        AttributeError: ``data`` is None.
        ValueError: ``data`` does not have the shape of an image.
    """
    pil = need("PIL.Image", "Image")
    if isinstance(data, pil.Image):
        return data  # wandb too applies the mode only to arrays (sdk/data_types/image.py)
    if data is None:
        raise AttributeError("Image got None. Give it a path, an array, a tensor, a figure or a PIL image.")
    import numpy as np

    if hasattr(data, "detach"):  # in torch tensors, the channels are the first dimension
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
            f"Un-supported shape for image conversion {list(array.shape)}. Use (height, width) or (height, "
            "width, 1, 3 or 4), or a torch tensor of shape (1, 3 or 4, height, width)."
        )
    image = pil.fromarray(to_bytes(array, normalize))
    if mode is None and image.mode == "RGBA" and file_type in ("jpg", "jpeg"):
        mode = "RGB"
    return image.convert(mode) if mode else image


def to_bytes(array: Any, normalize: bool) -> Any:
    """Return an array as uint8; ``normalize`` as in ``to_pil``."""
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
