"""Arrangement of several videos side by side, and encoding of frames."""

from __future__ import annotations

import io
import os
import tempfile
from typing import Any

from tracker.errors import Error

_CODECS = {"mp4": "libx264", "webm": "libvpx", "ogg": "libtheora"}


def side_by_side(video: Any) -> Any:
    """Return frames of shape (time, height, width, channels).

    Several videos are arranged in a grid. The number of places in the grid is a power of two; free places are
    black (wandb: ``sdk/data_types/video.py``).

    Args:
        video: An array of shape (time, channels, height, width) or (videos, time, channels, height, width).

    Raises:
        ValueError: The array does not have 4 or 5 dimensions.
    """
    import numpy as np

    if video.ndim not in (4, 5):
        raise ValueError("Video must be at least 4 dimensions: time, channels, height, width")
    if video.ndim == 4:
        video = video[None]
    video = video.astype(np.uint8)
    count, time, channels, height, width = video.shape
    places = 1 << (count - 1).bit_length()
    if places > count:
        video = np.concatenate([video, np.zeros((places - count, *video.shape[1:]), np.uint8)])
    rows = 2 ** ((count.bit_length() - 1) // 2)
    columns = places // rows
    grid = video.reshape(rows, columns, time, channels, height, width).transpose(2, 0, 4, 1, 5, 3)
    return grid.reshape(time, rows * height, columns * width, channels)


def encode(video: Any, format: str, fps: float) -> bytes:
    """Return the content of a video file.

    Args:
        video: A uint8 array of shape (time, height, width, channels) with 1, 3 or 4 channels.
        format: ``"gif"``, ``"mp4"``, ``"webm"`` or ``"ogg"``.
        fps: Frames per second.

    Raises:
        Error: No package that can encode this format is installed.
    """
    import numpy as np

    if video.shape[3] == 1:
        video = np.repeat(video, 3, axis=3)
    return _gif(video, fps) if format == "gif" else _film(video, format, fps)


def _gif(video: Any, fps: float) -> bytes:
    from tracker.data_types.media import need

    pil = need("PIL.Image", "Video of frames as gif")
    images = [pil.fromarray(frame) for frame in video]
    out = io.BytesIO()
    images[0].save(
        out, "GIF", save_all=True, append_images=images[1:], duration=1000 / fps, loop=0, optimize=False
    )
    return out.getvalue()


def _film(video: Any, format: str, fps: float) -> bytes:
    folder = tempfile.mkdtemp(prefix="tracker-video-")
    path = os.path.join(folder, f"video.{format}")
    try:
        _write(video[..., :3], path, format, fps)
        with open(path, "rb") as file:
            return file.read()
    finally:
        if os.path.exists(path):
            os.unlink(path)
        os.rmdir(folder)


def _write(video: Any, path: str, format: str, fps: float) -> None:
    try:
        from moviepy.video.io.ImageSequenceClip import ImageSequenceClip

        ImageSequenceClip(list(video), fps=fps).write_videofile(path, logger=None)
        return
    except ImportError:
        pass
    try:
        import imageio.v2 as imageio
        import imageio_ffmpeg  # noqa: F401
    except ImportError:
        raise Error(
            f"Video of frames as {format} needs a package that encodes it: pip install imageio imageio-ffmpeg"
            ' (or pass format="gif", which does not need one)'
        ) from None
    writer: Any = imageio.get_writer(path, fps=fps, codec=_CODECS[format], macro_block_size=2)
    with writer:
        for frame in video:
            writer.append_data(frame)
