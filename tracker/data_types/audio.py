"""Audio clips."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from typing import Any

from tracker.data_types import dtypes
from tracker.data_types.base import WBValue
from tracker.data_types.media import BatchableMedia


class Audio(BatchableMedia):
    """An audio clip from a file or from samples.

    Samples are written as 16-bit WAV: by the package ``soundfile`` where it is installed
    (wandb: ``sdk/data_types/audio.py``), otherwise by the standard library.

    Args:
        data_or_path: The path of a file, or samples. Samples are a list or an array of shape (samples,) or
            (samples, channels): floats in -1..1, or integers in the whole range of their type.
        sample_rate: Samples per second. Required with samples.
        caption: Text shown with the clip.

    Raises:
        ValueError: Samples were given without a sample rate.
        OSError: The file cannot be read.
    """

    _log_type = "audio-file"
    folder = "audio"

    def __init__(
        self,
        data_or_path: str | os.PathLike[str] | Sequence[float] | Any,
        sample_rate: int | None = None,
        caption: str | None = None,
    ) -> None:
        self._caption = caption
        self._sample_rate = sample_rate
        self._duration: float | None = None
        if isinstance(data_or_path, (str, os.PathLike)):
            path = os.fspath(data_or_path)
            if self.path_is_reference(path):
                self._source = path
                self._sha256 = hashlib.sha256(path.encode()).hexdigest()
            else:
                self._take_file(path)
            return
        if sample_rate is None:
            raise ValueError(
                'Argument "sample_rate" is required when instantiating wandb.Audio with raw data.'
            )
        if hasattr(data_or_path, "detach"):
            data_or_path = data_or_path.detach().cpu().numpy()
        self._take(_encode(data_or_path, sample_rate), ".wav")
        self._duration = len(data_or_path) / float(sample_rate)

    @classmethod
    def from_json(cls, json_obj: dict[str, Any], source_artifact: Any) -> Audio:
        """See ``WBValue.from_json``."""
        return cls(source_artifact.get_entry(json_obj["path"]).download(), caption=json_obj.get("caption"))

    @classmethod
    def seq_to_json(cls, seq: Sequence[Any], run: Any, key: str, step: int | str) -> dict[str, Any]:
        """See ``BatchableMedia.seq_to_json``."""
        described: dict[str, Any] = {
            "_type": "audio",
            "count": len(seq),
            "audio": [clip.to_json(run) for clip in seq],
            "sampleRates": cls.sample_rates(seq),
            "durations": cls.durations(seq),
        }
        captions = cls.captions(seq)
        return described | {"captions": captions} if captions else described

    @classmethod
    def durations(cls, audio_list: Sequence[Audio]) -> list[float | None]:
        """Return the duration of each clip in seconds; None for a clip from a file."""
        return [clip._duration for clip in audio_list]

    @classmethod
    def sample_rates(cls, audio_list: Sequence[Audio]) -> list[int | None]:
        """Return the sample rate of each clip; None where it was not given."""
        return [clip._sample_rate for clip in audio_list]

    @staticmethod
    def captions(media_items: Sequence[Any]) -> bool | Sequence[str | None]:
        """Return the captions, with ``""`` for a clip without one; False if no clip has a caption."""
        if all(clip._caption is None for clip in media_items):
            return False
        return [clip._caption or "" for clip in media_items]

    def resolve_ref(self) -> str | None:
        """Return the URL that the clip refers to; None for a clip with content."""
        return self._source if self._data is None else None

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and isinstance(other, Audio) and self._caption == other._caption

    __hash__ = WBValue.__hash__


def _encode(samples: Any, rate: int) -> bytes:
    out = io.BytesIO()
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: the package is installed, but not libsndfile
        return _encode_with_wave(samples, rate)
    soundfile.write(out, samples, rate, format="WAV")
    return out.getvalue()


def _encode_with_wave(samples: Any, rate: int) -> bytes:
    """Return 16-bit PCM WAV, written by the standard library and scaled as libsndfile scales it."""
    import wave

    import numpy as np

    array = np.asarray(samples)
    if array.ndim not in (1, 2):
        raise ValueError(
            f"Audio samples have the wrong shape {array.shape}. Use (samples,) or (samples, channels)."
        )
    if array.dtype == np.int32:
        array = array >> 16
    elif array.dtype != np.int16:
        array = np.clip(np.rint(array.astype("float64") * 32768), -32768, 32767)
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1 if array.ndim == 1 else array.shape[1])
        file.setsampwidth(2)
        file.setframerate(int(rate))
        file.writeframes(np.ascontiguousarray(array, dtype="<i2").tobytes())
    return out.getvalue()


dtypes.register(Audio, dtypes.file_type("audio-file"))
