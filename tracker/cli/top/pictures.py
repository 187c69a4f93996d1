"""Images in half blocks: the character ``▀`` shows two pixels, one above the other."""

from __future__ import annotations

import io
import warnings
from functools import lru_cache
from importlib.util import find_spec

import numpy as np
from rich.color import Color
from rich.color_triplet import ColorTriplet
from rich.style import Style

from tracker.errors import UsageError

# The largest image that is decoded, in pixels, and its largest file, in bytes.
_MOST_PIXELS = 32_000_000
MOST_BYTES = 128 * 1024 * 1024
# The levels of each colour in terminals with 256 colours.
_LEVELS = np.array([0, 95, 135, 175, 215, 255])
# The background of transparent images: that of the panels.
_DARK, _LIGHT = (18, 18, 18), (239, 239, 239)

# A row of characters: their styles.
Row = list[Style]


def half_blocks(content: bytes, columns: int, rows: int, dark: bool, true_color: bool) -> list[Row]:
    """Return an image as rows of half blocks.

    Args:
        content: The content of the file.
        columns: The largest number of columns.
        rows: The largest number of rows.
        dark: Whether the background is dark.
        true_color: Whether the terminal has 24-bit colours. Else the image has those of 256 colours.

    Raises:
        UsageError: The image cannot be drawn. The message tells why.
    """
    if find_spec("PIL") is None:
        raise UsageError("Images need the package pillow. Run: pip install 'airgap-tracker[top]'")
    try:
        pixels = _pixels(content, columns, rows, _DARK if dark else _LIGHT)
    except UsageError:
        raise
    except Exception as error:  # decoders raise errors of any type for damaged files
        raise UsageError(f"This image cannot be read: {error}") from error
    if not true_color:
        pixels = _in_256_colors(pixels)
    cells = [list(map(tuple, row)) for row in pixels.tolist()]
    if len(cells) % 2:
        cells.append([()] * len(cells[0]))
    return [list(map(_style, *pair)) for pair in zip(cells[::2], cells[1::2], strict=True)]


def _pixels(content: bytes, columns: int, rows: int, background: tuple[int, int, int]) -> np.ndarray:
    """Return the pixels of an image that is scaled to a space, two pixels to a row."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is smaller
        image: Image.Image = Image.open(io.BytesIO(content))
    width, height = image.size
    scale = min(columns / width, 2 * rows / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if "progressive" not in image.info:  # libjpeg holds a whole progressive image, at every scale
        image.draft(image.mode, (2 * size[0], 2 * size[1]))
    if image.width * image.height > _MOST_PIXELS:
        raise UsageError(
            f"{width} x {height} pixels are too many: only {_MOST_PIXELS // 1_000_000} million are drawn"
        )
    how = Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST
    if image.mode[0] in "IF":  # from the smallest value, which is black, to the largest
        wide = image.convert("I") if ";" in image.mode else image
        values = np.asarray(wide.convert("F").resize(size, how, reducing_gap=2.0))
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if len(finite) else (0, 0)
        shares = np.nan_to_num((values - low) / ((high - low) or 1), nan=0.0, posinf=1.0, neginf=0.0)
        return np.repeat((shares * 255).astype(np.uint8)[..., None], 3, axis=-1)
    has_alpha = image.mode in ("PA", "LA", "La", "RGBA", "RGBa") or "transparency" in image.info
    image = image.convert("RGBA" if has_alpha else "RGB").resize(size, how, reducing_gap=2.0)
    flat = Image.new("RGB", size, background)
    flat.paste(image, mask=image.getchannel("A") if has_alpha else None)
    return np.asarray(flat)


def _in_256_colors(pixels: np.ndarray) -> np.ndarray:
    """Return the closest of the 256 colours: those of the cube, and the greys."""
    values = pixels.astype(int)
    found: np.ndarray = _LEVELS[np.abs(values[..., None] - _LEVELS).argmin(-1)]
    grey = np.ptp(values, axis=-1) < 12
    found[grey] = (8 + 10 * np.rint((values[grey].mean(-1) - 8) / 10).clip(0, 23))[:, None]
    return found


@lru_cache(1 << 14)
def _style(upper: tuple[int, int, int], lower: tuple[int, ...]) -> Style:
    colors = [Color.from_triplet(ColorTriplet(*each)) if each else None for each in (upper, lower)]
    return Style.from_color(*colors)
