"""Export of a run as a tfevents file of TensorBoard, without the tensorboard package.

Scalars are the 32-bit numbers that all readers of TensorBoard accept. The other values are tensors with the
name of their plugin, as TensorFlow 2 writes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from struct import pack
from typing import Any

from tracker.api.history import save
from tracker.exporting.protobuf import field, varint
from tracker.exporting.run_source import RunSource
from tracker.ground.values import dumps, flatten
from tracker.importing.event_file import masked_crc32c

_AXES = ("_step", "_runtime", "_timestamp")
_DOUBLE, _STRING = 2, 7
_STATUS = {"finished": 1, "failed": 2, "crashed": 2, "preempted": 2}
_WAV = field(2, 11)  # the encoding in the metadata of TensorBoard's audio plugin


def export_tensorboard(source: RunSource, folder: Path) -> Path:
    """Write the rows and the config of a run into a folder; return the file.

    An earlier export of the run is replaced. ``source.problems`` lists the values that TensorBoard does not
    have.
    """
    run, segment = source.run, source.first_segment
    info = run._info
    started_at = info.created_at if segment is None else segment.started_at
    host = re.sub(r"[^\w.-]", "_", (info.host if segment is None else segment.host) or "tracker")
    rank = 0 if segment is None else segment.rank
    path = folder / f"events.out.tfevents.{int(started_at):010}.{host}.{rank}"
    save(path, map(_frame, _Events(source).events(started_at)))
    return path


def _frame(data: bytes) -> bytes:
    """Return a record: its length and data, each with its checksum."""
    length = pack("<Q", len(data))
    return length + pack("<I", masked_crc32c(length)) + data + pack("<I", masked_crc32c(data))


def _event(time: float, step: int, values: bytes) -> bytes:
    return field(1, time) + (field(2, step) if step else b"") + field(5, values)


class _Events:
    """Converts the rows of a run to events."""

    def __init__(self, source: RunSource) -> None:
        self._source = source
        # The kind of the first value of each tag. TensorBoard reads all values of a tag as this kind.
        self._kinds: dict[str, str] = {}
        self._refused: dict[str, str] = {}

    def events(self, started_at: float) -> Iterator[bytes]:
        """Yield the events: the version, the hyperparameters, one event for each row, the final state."""
        info = self._source.run._info
        yield field(1, started_at) + field(3, "brain.Event:2")
        config = dict(flatten(self._source.run.config))
        if config:
            session = b"".join(
                field(1, field(1, name) + field(2, _hyperparameter(value))) for name, value in config.items()
            )
            start = field(3, session + field(5, started_at))
            yield _event(started_at, 0, _hparams("session_start_info", start))
        for row in self._source.rows():
            logged = {key: value for key, value in row.items() if key not in _AXES}
            values = b"".join(self._value(key, value) for key, value in flatten(logged))
            if values:
                yield _event(row["_timestamp"], row["_step"], values)
        status = _STATUS.get(info.state)
        if config and status is not None:
            ended_at = info.finished_at or info.updated_at
            end = field(4, field(1, status) + field(2, ended_at))
            yield _event(ended_at, 0, _hparams("session_end_info", end))
        if self._refused:
            listed = ", ".join(f"{key} ({kind})" for key, kind in self._refused.items())
            self._source.problems.append(f"TensorBoard has no such values: {listed}")

    def _value(self, key: str, value: Any) -> bytes:
        """Return a value as a field of a summary; empty if TensorBoard does not have such values."""
        if value is None:
            return b""
        try:
            kind, content = self._convert(value)
        except (AttributeError, KeyError, TypeError, ValueError):  # a dict that only resembles an object
            kind, content = str(value.get("_type")), None
        if content is None or self._kinds.setdefault(key, kind) != kind:
            self._refused.setdefault(key, kind)
            return b""
        return field(1, field(1, key) + content)

    def _convert(self, value: Any) -> tuple[str, bytes | None]:
        """Return the kind of a value, and its fields; None for a value that cannot be converted."""
        if isinstance(value, (bool, int, float)):
            return "scalars", varint(2 << 3 | 5) + _float32(value)
        if isinstance(value, str):
            return "text", _tensor("text", [value.encode("utf-8", "replace")], ())
        kind = value.get("_type") if isinstance(value, dict) else None
        if kind == "histogram":
            return "histograms", _histogram(value)
        if kind in ("image-file", "images/separated"):
            return "images", self._images(value)
        if kind in ("audio-file", "audio"):
            return "audio", self._audio(value)
        return str(kind or type(value).__name__), None

    def _images(self, value: dict[str, Any]) -> bytes | None:
        paths = value["filenames"] if "filenames" in value else [value["path"]]
        found = [content for path in paths if (content := self._source.content(path)) is not None]
        size = [str(value.get(name) or 0).encode() for name in ("width", "height")]
        return _tensor("images", [*size, *found], (2 + len(found),)) if found else None

    def _audio(self, value: dict[str, Any]) -> bytes | None:
        clips = value.get("audio", [value])
        found = [content for clip in clips if (content := self._source.content(clip["path"])) is not None]
        if not found or not all(content.startswith(b"RIFF") for content in found):
            return None
        texts = [text for content in found for text in (content, b"")]
        return _tensor("audio", texts, (len(found), 2), _WAV)


def _float32(value: float) -> bytes:
    try:
        return pack("<f", value)
    except OverflowError:
        return pack("<f", float("inf") if value > 0 else float("-inf"))


def _histogram(value: dict[str, Any]) -> bytes | None:
    """Return rows of left edge, right edge and count."""
    edges, counts = value.get("bins"), value.get("values")
    if not isinstance(edges, list) or not isinstance(counts, list) or len(edges) != len(counts) + 1:
        return None
    numbers = [float(number) for row in zip(edges, edges[1:], counts, strict=False) for number in row]
    return _tensor("histograms", numbers, (len(counts), 3))


def _tensor(
    plugin: str, values: list[bytes] | list[float], shape: tuple[int, ...], extra: bytes = b""
) -> bytes:
    """Return the metadata and the tensor of a value."""
    sizes = b"".join(field(2, field(1, size)) for size in shape)
    if values and isinstance(values[0], float):
        content = field(1, _DOUBLE) + field(2, sizes) + field(4, pack(f"<{len(values)}d", *values))
    else:
        content = field(1, _STRING) + field(2, sizes) + b"".join(field(8, each) for each in values)
    return field(9, field(1, field(1, plugin) + field(2, extra))) + field(8, content)


def _hparams(tag: str, content: bytes) -> bytes:
    """Return a value of TensorBoard's plugin for hyperparameters: its content is in the metadata."""
    plugin = field(1, "hparams") + field(2, content)
    return field(1, field(1, f"_hparams_/{tag}") + field(9, field(1, plugin)))


def _hyperparameter(value: Any) -> bytes:
    """Return a value as a message of type ``google.protobuf.Value``."""
    if isinstance(value, bool):
        return field(4, value)
    if isinstance(value, (int, float)):
        return field(2, _double(value))
    return field(3, value if isinstance(value, str) else dumps(value))


def _double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
