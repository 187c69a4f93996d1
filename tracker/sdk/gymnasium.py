"""``monitor_gym=True``: logs the videos that gymnasium records to the active run."""

from __future__ import annotations

import functools
import importlib.util
import os
from typing import Any

from tracker.data_types.video import Video
from tracker.errors import Error
from tracker.sdk.process import active_runs

_MARK = "_tracker_logs_videos"


def monitor() -> None:
    """Log each video that ``gymnasium.wrappers.RecordVideo`` writes from now on, under the key ``videos``.

    Videos of the older package ``gym`` are not logged.

    Raises:
        Error: gymnasium is not installed.
    """
    if importlib.util.find_spec("gymnasium") is None:
        raise Error("monitor_gym needs the gymnasium package. Run `pip install gymnasium`.")
    from gymnasium.wrappers import RecordVideo

    if getattr(RecordVideo, _MARK, False):
        return
    original = RecordVideo.stop_recording

    @functools.wraps(original)
    def stop_recording(self: Any) -> None:
        path = os.path.join(self.video_folder, f"{self._video_name}.mp4")
        original(self)
        if active_runs.current is not None and os.path.isfile(path):
            active_runs.current.log({"videos": Video(path, format="mp4")})

    RecordVideo.stop_recording = stop_recording
    setattr(RecordVideo, _MARK, True)
