"""Import of TensorBoard logs. Each folder with tfevents files is a run, as in TensorBoard.

A run's events of one step become one row. The step of the event is the step of the row.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tracker.data_types.media import file_name
from tracker.ground.records import ConfigChanged, Process, RunStarted
from tracker.importing.event_file import Event, EventFile, Tensor, Value
from tracker.importing.hparams_file import read_hparams
from tracker.importing.output import Output
from tracker.importing.source import Found, GrowingSource, Origin, UnreadableError
from tracker.importing.wire import Message, WireError
from tracker.sdk.tensorboard.convert import histogram_from_rows, histogram_of_buckets, pr_curve, shortest

_IMAGE_TYPES = {
    b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"GIF8": "gif", b"RIFF": "webp", b"BM": "bmp",
}  # fmt: skip
_HPARAMS = "_hparams_/session_start_info"
_HPARAMS_END = "_hparams_/session_end_info"
_STATES = {1: "finished", 2: "failed"}
_FLOAT32 = 1


def find_tensorboard(paths: list[Path]) -> Found:
    """Return the runs in folders. The name of a run is the path of its folder below the given one."""
    found = Found()
    seen: set[Path] = set()
    for given in paths:
        walked = os.walk(given) if given.is_dir() else [(str(given.parent), [], [given.name])]
        for top, _, names in walked:
            files = sorted(Path(top, name) for name in names if "tfevents" in name)
            files = [path for path in files if path.resolve() not in seen]
            seen.update(path.resolve() for path in files)
            if not files:
                continue
            folder = Path(top)
            name = (
                folder.relative_to(given).as_posix()
                if given.is_dir() and folder != given
                else folder.resolve().name
            )
            first: str | None = None
            for path in files:
                try:
                    source = TensorboardSource(path, name, first)
                except (UnreadableError, WireError) as error:
                    found.problems.append((path, str(error)))
                except OSError as error:
                    found.problems.append((path, error.strerror or str(error)))
                else:
                    first = first or source.origin.run_id
                    found.sources.append(source)
    return found


class TensorboardSource(GrowingSource):
    """One tfevents file.

    Args:
        path: The file.
        name: Name of its run.
        run_id: Id of the run, if an earlier file of the folder has determined it.

    Raises:
        UnreadableError: The file is not a tfevents file, or is empty.
    """

    UNIT = "events"

    def __init__(self, path: Path, name: str, run_id: str | None) -> None:
        super().__init__()
        self._name = name
        self._file = EventFile(path)
        self.problems = self._file.problems
        first = next((event for event, _ in self._file.events()), None)
        if first is None:
            raise UnreadableError("it contains no events")
        identity = f"{path.name}\0{first.time!r}"
        self.origin = Origin(
            "tensorboard",
            path,
            identity,
            None,
            run_id or hashlib.sha256(identity.encode()).hexdigest()[:8],
            first.time,
            path.stat().st_size,
        )

    def _begin(self, out: Output) -> None:
        # The plugin of a tag is only in the tag's first value.
        self._plugins: dict[str, str] = {}
        self._refused: set[str] = set()
        purges = self._find_restart()
        # Without a restart, TensorBoard shows the events of all files of a folder.
        start = purges if purges is not None else (-1 if out.run_step is None else out.run_step) + 1
        out.follow(start - 1)
        out.begin(
            RunStarted(
                "",
                "",
                self.origin.run_id,
                self.origin.started_at,
                Process(_host_of(self.origin.path.name), "", 0, 0, 0),
                name=self._name,
                start_step=start,
                config=read_hparams(self.origin.path.parent),
            )
        )
        self._row: dict[str, Any] = {}
        self._step, self._when = 0, 0.0

    def read_more(self, out: Output, *, last: bool) -> Iterator[int]:
        """See ``GrowingSource.read_more``."""
        for event, end in self._file.events(self._offset, last=last):
            if event.values:
                if event.step != self._step:
                    self.rest(out)
                self._step, self._when = event.step, event.time
                for value in event.values:
                    self._take(out, event, value, self._row)
            if self._counted(out):
                self._row = {}  # the end of the earlier import has written this row
            self._offset = end
            yield end

    def rest(self, out: Output) -> None:
        """Write the row of the last step. Further values of this step become another row."""
        if self._row:
            out.row(self._step, self._when, self._row)
            self._row = {}

    def _end(self, out: Output) -> None:
        if not out.finished:
            out.finish("finished")  # the file does not say how the run ended

    def _find_restart(self) -> int | None:
        """Return the step at which the writer restarted. The file begins with it, before all values."""
        for event, _ in self._file.events():
            if event.purges:
                return event.step
            if event.values:
                break
        return None

    def _take(self, out: Output, event: Event, value: Value, row: dict[str, Any]) -> None:
        """Add a value to a row, or to the config."""
        plugin = value.plugin or self._plugins.get(value.tag, "")
        if value.kind == "scalar" and plugin in ("", "scalars"):
            row[value.tag] = shortest(value.data)
            return
        self._plugins[value.tag] = plugin
        if plugin == "hparams":
            self._take_hparams(out, event, value)
            return
        try:
            converted = self._convert(out, event, value, plugin)
        except (WireError, ValueError, IndexError) as error:
            converted = None
            if value.tag not in self._refused:
                self._refused.add(value.tag)
                out.problems.append(f"{value.tag} at step {event.step} cannot be read: {error}")
        if converted is not None:
            row[value.tag] = converted

    def _take_hparams(self, out: Output, event: Event, value: Value) -> None:
        data = Message(value.content)
        if value.tag == _HPARAMS:
            config = {}
            for each in data.message(3).messages(1):
                config[each.text(1)] = _plain(each.message(2))
            if config:
                out.put(ConfigChanged(config))
        elif value.tag == _HPARAMS_END:
            state = _STATES.get(data.message(4).integer(1))
            if state is not None:
                out.finish(state, event.time)

    def _convert(self, out: Output, event: Event, value: Value, plugin: str) -> Any:
        key, data = value.tag, value.data
        if value.kind == "histogram":
            buckets = histogram_of_buckets(data.double(1), data.doubles(6), data.doubles(7))
            return None if buckets is None else buckets.to_json(None)
        if value.kind == "image":
            return self._images(out, key, event.step, [data.data(4)], data.integer(2), data.integer(1))
        if value.kind == "audio":
            return self._audio(out, key, event.step, data.data(4), data.text(5))
        if value.kind != "tensor":
            return None
        tensor: Tensor = data
        if plugin == "scalars":
            if len(tensor.values) != 1:
                return None
            number = tensor.values[0]
            return shortest(number) if tensor.type == _FLOAT32 else number
        if plugin == "text":
            texts = [text.decode("utf-8", "replace") for text in tensor.values]
            return texts[0] if len(texts) == 1 else texts
        if plugin == "images":  # the first two texts are the width and the height
            width, height = (int(text) for text in tensor.values[:2])
            return self._images(out, key, event.step, tensor.values[2:], width, height)
        if plugin == "audio":
            pairs = tensor.values if len(tensor.shape) < 2 else tensor.values[:: tensor.shape[1]]
            made = [self._audio(out, key, event.step, each, "audio/wav") for each in pairs]
            return made[0] if len(made) == 1 else made or None
        if plugin in ("histograms", "pr_curves") and len(tensor.shape) == 2:
            import numpy as np

            array = np.array(tensor.values).reshape(tensor.shape)
            if plugin == "histograms":
                histogram = histogram_from_rows(array)
                return None if histogram is None else histogram.to_json(None)
            return self._curve(out, key, event.step, array)
        return None

    def _images(
        self, out: Output, key: str, step: int, encoded: list[bytes], width: int, height: int
    ) -> dict[str, Any] | None:
        if not encoded:
            return None
        ending = next((kind for head, kind in _IMAGE_TYPES.items() if encoded[0].startswith(head)), "png")
        files = [self._save(out, "media/images", key, step, data, f".{ending}") for data in encoded]
        size = {"width": width, "height": height, "format": ending}
        if len(files) == 1:
            return {"_type": "image-file", **files[0], **size}
        names = [file["path"] for file in files]
        return {"_type": "images/separated", "count": len(files), "filenames": names, **size}

    def _audio(self, out: Output, key: str, step: int, data: bytes, kind: str) -> dict[str, Any]:
        ending = ".wav" if data.startswith(b"RIFF") or kind == "audio/wav" else ".bin"
        return {"_type": "audio-file", **self._save(out, "media/audio", key, step, data, ending)}

    def _curve(self, out: Output, key: str, step: int, array: Any) -> dict[str, Any]:
        table = pr_curve(array)
        content = json.dumps({"columns": table.columns, "data": table.data}).encode()
        saved = self._save(out, "media/table", key, step, content, ".table.json")
        return {"_type": "table-file", **saved, "ncols": len(table.columns), "nrows": len(table.data)}

    def _save(
        self, out: Output, folder: str, key: str, step: int, data: bytes, ending: str
    ) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        path = file_name(folder, key, step, digest[:20], ending)
        out.file(path, data)
        return {"path": path, "sha256": digest, "size": len(data)}


def _plain(value: Message) -> Any:
    """Return the value of a message of type ``google.protobuf.Value``."""
    if 2 in value:
        number = value.double(2)
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    if 3 in value:
        return value.text(3)
    if 4 in value:
        return bool(value.integer(4))
    if 6 in value:
        return [_plain(each) for each in value.message(6).messages(1)]
    return None


def _host_of(name: str) -> str:
    """Return the host from the name of a file: ``events.out.tfevents.TIME.HOST.PID.NUMBER``."""
    _, _, rest = name.partition("tfevents.")
    _, _, rest = rest.partition(".")
    parts = rest.split(".")
    while len(parts) > 1 and (parts[-1].isdigit() or parts[-1] == "v2"):
        parts.pop()
    return ".".join(parts)
