"""Videos."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any, ClassVar

from tracker.data_types import dtypes
from tracker.data_types.media import BatchableMedia, Media


class Video(BatchableMedia):
    """A video from a file, from bytes or from frames.

    Args:
        data_or_path: The path of a file, an open binary stream, or frames. Frames are an array or tensor of
            shape (time, channels, height, width), or (videos, time, channels, height, width) for several
            videos that are shown side by side. Values are 0..255.
        caption: Text shown with the video.
        fps: Frames per second of frames; 4 by default.
        format: ``"gif"``, ``"mp4"``, ``"webm"`` or ``"ogg"``. Required unless a path is given. Pillow encodes
            GIF; the other formats need ``imageio`` with ``imageio-ffmpeg``, or ``moviepy``.

    Raises:
        ValueError: The format is missing or unknown, or the frames have another shape.
        Error: The package that encodes the format is not installed.
        OSError: The file cannot be read.
    """

    EXTS: ClassVar[tuple[str, ...]] = ("gif", "mp4", "webm", "ogg")
    _log_type = "video-file"
    folder = "videos"

    def __init__(
        self,
        data_or_path: Any,
        caption: str | None = None,
        fps: int | None = None,
        format: str | None = None,
    ) -> None:
        self._caption = caption
        self._width: int | None = None
        self._height: int | None = None
        self._channels: int | None = None
        if fps and isinstance(data_or_path, (str, io.BytesIO)):
            from tracker.ground.terminal import say

            say("`fps` has no effect on a video that is given as a file or as bytes")
        if isinstance(data_or_path, (str, os.PathLike)):
            path = os.fspath(data_or_path)
            self._format = os.path.splitext(path)[1][1:].lower()
            if self._format not in self.EXTS:
                raise ValueError(f"wandb.Video accepts {', '.join(self.EXTS)} formats")
            self._take_file(path)
            return
        if hasattr(data_or_path, "read"):
            self._format = self._require(format, "raw bytes (an io object)")
            self._take(data_or_path.read(), f".{self._format}")
            return
        self._format = self._require(format, "a numpy array")
        if hasattr(data_or_path, "detach"):
            data_or_path = data_or_path.detach().cpu()
        self.data = data_or_path.numpy() if hasattr(data_or_path, "numpy") else data_or_path
        if not hasattr(self.data, "ndim") or not hasattr(self.data, "reshape"):
            raise ValueError("wandb.Video accepts a file path or numpy like data as input")
        self.encode(fps or 4)

    def _require(self, format: str | None, what: str) -> str:
        if format is None:
            raise ValueError(f"wandb.Video requires a `format` argument when initializing with {what}.")
        if format not in self.EXTS:
            raise ValueError(f"wandb.Video accepts {', '.join(self.EXTS)} formats")
        return format

    def encode(self, fps: int = 4) -> None:
        """Encode the frames at ``fps`` frames per second."""
        from tracker.data_types import video_frames

        video = video_frames.side_by_side(self.data)
        _, self._height, self._width, self._channels = video.shape
        self._take(video_frames.encode(video, self._format, fps), f".{self._format}")

    def describe(self) -> dict[str, Any]:
        """See ``Media.describe``."""
        sizes = {"width": self._width, "height": self._height}
        return {name: size for name, size in sizes.items() if size is not None}

    @classmethod
    def from_json(cls, json_obj: dict[str, Any], source_artifact: Any) -> Video:
        """See ``WBValue.from_json``."""
        return cls(source_artifact.get_entry(json_obj["path"]).download(), caption=json_obj.get("caption"))

    @classmethod
    def seq_to_json(cls, seq: Sequence[Any], run: Any, key: str, step: int | str) -> dict[str, Any]:
        """See ``BatchableMedia.seq_to_json``."""
        return {
            "_type": "videos",
            "count": len(seq),
            "videos": [video.to_json(run) for video in seq],
            "captions": Media.captions(seq),
        }


dtypes.register(Video, dtypes.file_type("video-file"))
