"""Import of runs from the ``.wandb`` files of the wandb client, offline and online ones, without wandb."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from tracker.ground.names import check_alias, check_artifact_name
from tracker.ground.records import (
    AlertRaised,
    ArtifactLogged,
    ConfigChanged,
    MetricDefined,
    Process,
    RunChanged,
    RunStarted,
    SummaryChanged,
    SystemSample,
)
from tracker.importing.output import Output
from tracker.importing.source import Found, GrowingSource, Origin, Parent, UnreadableError
from tracker.importing.wandb_log import WandbLog
from tracker.importing.wire import Message, WireError, as_text, body, fields, zigzag
from tracker.store.blobs.manifest import Entry

# Fields of a record of `wandb_internal.proto`.
_HISTORY, _SUMMARY, _OUTPUT, _CONFIG, _FILES, _STATS, _ARTIFACT = 2, 3, 4, 5, 6, 7, 8
_ALERT, _METRIC, _OUTPUT_RAW, _RUN, _EXIT, _PREEMPTING = 10, 12, 13, 17, 18, 23
_USE_ARTIFACT, _ENVIRONMENT = 25, 26

# An item of a history record in the usual form: short, with an ASCII key and a plain value. Groups: the keys
# with their tags and lengths, and the JSON text of the value.
_ITEM = re.compile(
    rb"\n[\x00-\x7f]((?:[\n\x12][\x00-\x7f][ -~]+)+)\x82\x01[\x00-\x7f]"
    rb'([-+.0-9eE]+|true|false|null|NaN|-?Infinity|"[^"\\\x00-\x1f\x7f-\xff]*")'
)
# Bytes of an item besides the groups: its tag and length, and the tag and length of the value.
_ITEM_EXTRA = 5
# Files that tracker makes itself from the records.
_GENERATED = ("output.log", "config.yaml", "wandb-summary.json")
_METADATA = "wandb-metadata.json"
# Keys that tracker computes.
_DERIVED = ("_step", "_runtime", "_timestamp", "_wandb")
_SUMMARIES = {1: "min", 2: "max", 3: "mean", 4: "best", 5: "last", 6: "none", 7: "copy", 8: "first"}
_GOALS = {1: "minimize", 2: "maximize"}
# Limit of the cache of shapes, for a run whose rows have ever new keys.
_MOST_SHAPES = 1000
# A run record is among the first records of a file.
_MOST_BEFORE_RUN = 100

_decode_values = msgspec.json.Decoder(list[Any]).decode
_decode_value = msgspec.json.Decoder().decode


def find_wandb(paths: list[Path]) -> Found:
    """Return the runs in ``.wandb`` files, which may be in subfolders."""
    found = Found()
    for path in _find_files(paths):
        try:
            found.sources.append(WandbSource(path))
        except (UnreadableError, WireError) as error:
            found.problems.append((path, str(error)))
        except OSError as error:
            found.problems.append((path, error.strerror or str(error)))
    return found


def _find_files(paths: list[Path]) -> Iterator[Path]:
    seen = set()
    for given in paths:
        if given.is_file():
            listed = [given]
        else:  # links such as `latest-run` are not followed
            walked = os.walk(given)
            listed = [
                Path(top, name) for top, _, names in walked for name in names if name.endswith(".wandb")
            ]
        for path in sorted(listed):
            real = path.resolve()
            if real not in seen:
                seen.add(real)
                yield path


class WandbSource(GrowingSource):
    """One ``.wandb`` file.

    Args:
        path: The file. Its folder has the run's files in ``files``.

    Raises:
        UnreadableError: The file is not a ``.wandb`` file, or contains no run yet.
    """

    UNIT = "records"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._log = WandbLog(path)
        self.problems = self._log.problems
        self._folder = path.parent / "files"
        run = self._find_run()
        self._run = run
        self._started_at = run.time(17)
        run_id = run.text(1)
        branch = run.message(23)
        self.parent = Parent(branch.text(1), int(branch.double(2))) if branch.text(1) else None
        self.origin = Origin(
            "wandb",
            path,
            f"{run_id}\0{run.data(17).hex()}",
            run.text(3) or None,
            run_id,
            self._started_at,
            path.stat().st_size,
        )

    def _find_run(self) -> Message:
        for count, (record, _) in enumerate(self._log.records()):
            message = Message(record)
            if _RUN in message:
                return message.message(_RUN)
            if count > _MOST_BEFORE_RUN:
                break
        raise UnreadableError("it contains no run: the process was killed before it wrote the run's start")

    def read_more(self, out: Output, *, last: bool) -> Iterator[int]:
        """See ``GrowingSource.read_more``."""
        history, other = self._history, self._other
        for record, end in self._log.records(self._offset, last=last):
            # Most records are of the first two kinds. Both begin with their number, which is a varint.
            at = 2
            while record[at - 1 : at] >= b"\x80":
                at += 1
            tag = record[at : at + 1]
            if tag == b"\x12" and record[0] == 8:
                history(out, body(record, at + 1))
            elif tag == b"\x1a" and record[0] == 8:
                self._summarise(out, body(record, at + 1))
            else:
                other(out, Message(record))
            self._counted(out)
            self._offset = end
            yield end

    def _begin(self, out: Output) -> None:
        run = self._run
        self._config: dict[str, Any] = {}
        self._summary: dict[str, Any] = {}
        self._internal = out.internal
        self._environment: dict[str, Any] = {}
        self._files: dict[str, tuple[int, int] | None] = {}  # size and time of those that were taken
        self._shapes: dict[tuple[bytes, ...], _Shape] = {}
        self._ignored = b""
        self._preempting = False
        self._exit: int | None = None
        self._shown = _fields_of(run)
        goes_back = self.parent is not None and self.parent.run_id == self.origin.run_id
        resumes = bool(run.integer(24) or run.integer(18))
        # The offline client cannot know the last step of a run that it resumes, and begins at 0 again.
        self._next = out.run_step + 1 if resumes and out.run_step is not None else None
        self._shift = 0
        start_step = run.integer(14)
        if goes_back and self.parent is not None:
            start_step = self.parent.step + 1
        elif self._next is not None:
            start_step = start_step or self._next
        self._change_config(run.message(4))
        host = run.text(13)
        out.begin(
            RunStarted(
                "",
                "",
                self.origin.run_id,
                self._started_at,
                Process(host, "", 0, 0, 0),
                start_step=start_step,
                config=dict(self._config),
                runtime_base=out.run_seconds if resumes or goes_back else 0.0,
                **self._shown,
            )
        )

    def _history(self, out: Output, body: bytes) -> None:
        row: dict[str, Any] | None = None
        found = _ITEM.findall(body)
        if found:
            found.sort()  # the client writes the items in random order
            keys, texts = zip(*found, strict=True)
            shape = self._shapes.get(keys)
            if shape is None:
                shape = self._shapes[keys] = _Shape(keys)
                if len(self._shapes) > _MOST_SHAPES:
                    self._shapes.clear()
            if _is_step(body, shape.size + sum(map(len, texts))):
                text = b"[" + b",".join(texts) + b"]"
                try:
                    values = _decode_values(text)
                except msgspec.DecodeError:  # NaN and Infinity
                    values = json.loads(text)
                row = shape.row(values)
        if row is None:
            row = _read_items(body)
        step = row.pop("_step", None)
        when = row.pop("_timestamp", None)
        row.pop("_runtime", None)
        row.pop("_wandb", None)
        if type(step) is not int:
            step = _step_of(body)
        if self._next is not None:
            if step == 0:
                self._shift = self._next
            self._next = None
        out.row(step + self._shift, when if isinstance(when, (int, float)) else out.last_time, row)

    def _summarise(self, out: Output, body: bytes) -> None:
        """Read values that the script itself has set in the summary, or removed from it.

        The client also writes the values of each row to the summary. Those records contain ``_step`` and are
        ignored, because tracker computes the same.
        """
        if body == self._ignored or b"\x05_step\x82" in body:
            return
        record = Message(body)
        values, removed = {}, []
        for item in record.messages(1):
            path = _keys(item)
            if path and path[0] not in _DERIVED:
                _set(self._summary, path, _value(item.text(16)))
                values[path[0]] = self._summary[path[0]]
        for item in record.messages(2):
            path = _keys(item)
            if not path or path[0] in _DERIVED:
                continue
            _remove(self._summary, path)
            if len(path) == 1:
                removed.append(path[0])
                values.pop(path[0], None)
            elif path[0] in self._summary:
                values[path[0]] = self._summary[path[0]]
        if values or removed:
            out.put(SummaryChanged(values, removed))
        else:
            self._ignored = body  # the duration: most rows follow a record with the same one

    def _other(self, out: Output, record: Message) -> None:
        if _HISTORY in record:
            self._history(out, record.data(_HISTORY))
        elif _SUMMARY in record:
            self._summarise(out, record.data(_SUMMARY))
        elif _OUTPUT_RAW in record or _OUTPUT in record:
            self._print(out, record.message(_OUTPUT_RAW if _OUTPUT_RAW in record else _OUTPUT))
        elif _STATS in record:
            stats = record.message(_STATS)
            values = {item.text(1): _value(item.text(16)) for item in stats.messages(3)}
            numbers = {
                key: float(value)
                for key, value in values.items()
                if isinstance(value, (int, float)) and not key.startswith("_")
            }
            if numbers:
                out.put(SystemSample(stats.time(2), numbers))
        elif _CONFIG in record:
            values, removed = self._change_config(record.message(_CONFIG))
            if values or removed:
                out.put(ConfigChanged(values, removed))
        elif _FILES in record:
            if not out.muted:
                named = [item.text(1) for item in record.message(_FILES).messages(1)]
                self._files.update((path, None) for path in named if _is_taken(path))
        elif _METRIC in record:
            self._define(out, record.message(_METRIC))
        elif _ARTIFACT in record:
            self._log_artifact(out, record.message(_ARTIFACT))
        elif _ALERT in record:
            alert = record.message(_ALERT)
            level = alert.text(3) if alert.text(3) in ("INFO", "WARN", "ERROR") else "INFO"
            out.put(AlertRaised(out.last_time, alert.text(1), alert.text(2), level))
        elif _RUN in record:
            shown = _fields_of(record.message(_RUN))
            changed = {
                name: value
                for name, value in shown.items()
                if value != self._shown[name] and value is not None
            }
            self._shown |= changed
            if changed:
                out.put(RunChanged(out.last_time, changed))  # type: ignore[arg-type]
        elif _ENVIRONMENT in record:
            self._environment |= _environment(record.message(_ENVIRONMENT))
        elif _PREEMPTING in record:
            self._preempting = True
        elif _EXIT in record:
            self._exit = record.message(_EXIT).integer(1)
            self.complete = True
        elif _USE_ARTIFACT in record and not out.muted:
            used = record.message(_USE_ARTIFACT)
            out.problems.append(f"the use of artifact {used.text(3) or used.text(1)} is not imported")

    def _print(self, out: Output, output: Message) -> None:
        out.print(1 if output.integer(1) else 2, output.time(2), output.text(3))

    def _change_config(self, record: Message) -> tuple[dict[str, Any], list[str]]:
        """Apply a config record; return the changed and the removed top-level keys."""
        values, removed = {}, []
        for item in record.messages(1):
            path = _keys(item)
            if not path:
                continue
            if path[0] == "_wandb":
                value = _value(item.text(16))
                if len(path) > 1:
                    _set(self._internal, path[1:], value)
                elif isinstance(value, dict):
                    self._internal.update(value)
                continue
            _set(self._config, path, _value(item.text(16)))
            values[path[0]] = self._config[path[0]]
        for item in record.messages(2):
            path = _keys(item)
            if path and path[0] != "_wandb":
                _remove(self._config, path)
                if len(path) == 1:
                    removed.append(path[0])
                    values.pop(path[0], None)
                elif path[0] in self._config:
                    values[path[0]] = self._config[path[0]]
        return values, removed

    def _define(self, out: Output, metric: Message) -> None:
        if metric.integer(10):
            return  # the client has applied a definition for a prefix to this metric
        options, summary = metric.message(6), metric.message(7)
        name = metric.text(1) or metric.text(2)
        if name:
            out.put(
                MetricDefined(
                    name,
                    metric.text(4) or None,
                    bool(options.integer(1)),
                    bool(options.integer(2)),
                    [word for number, word in _SUMMARIES.items() if summary.integer(number)],
                    _GOALS.get(metric.integer(8)),
                    bool(metric.message(9).integer(1)),
                )
            )

    def _log_artifact(self, out: Output, artifact: Message) -> None:
        manifest = artifact.message(12)
        name = artifact.text(5)
        try:
            check_artifact_name(name)
            listed = _manifest_file(Path(manifest.text(5))) if manifest.text(5) else None
        except (ValueError, OSError) as error:
            out.problems.append(f"artifact {name} is not imported: {error}")
            return
        entries: dict[str, Path | Entry] = {}
        for path, digest, ref, size, local, extra in listed or map(_entry, manifest.messages(4)):
            if ref:
                entries[path] = Entry(path, digest, size, ref=ref, extra=extra)
            else:
                entries[path] = Path(local) if local else self._folder / "-"
        aliases = []
        for alias in artifact.texts(11):
            with suppress(ValueError):
                aliases.append(check_alias(alias))
        metadata = _value(artifact.text(8)) if artifact.text(8) else {}
        out.artifact(
            ArtifactLogged(
                name,
                artifact.text(4),
                "",
                "",
                0,
                0,
                aliases,
                artifact.text(15),
                out.last_time,
                artifact.text(7) or None,
                metadata if isinstance(metadata, dict) else {},
                artifact.texts(19),
                float(artifact.integer(18)) if artifact.integer(18) > 0 else None,
            ),
            entries,
        )

    def rest(self, out: Output) -> None:
        """Take the files that were named and are there."""
        for path, taken in self._files.items():
            with suppress(OSError):
                found = (self._folder / path).stat()
                if taken != (found.st_size, found.st_mtime_ns):
                    self._files[path] = (found.st_size, found.st_mtime_ns)
                    out.file(path, self._folder / path)
        if self._environment and _METADATA not in self._files and not out.continues:
            content = json.dumps(self._environment, indent=2).encode()
            out.file(_METADATA, content, "application/json")
            self._environment = {}

    def _end(self, out: Output) -> None:
        out.problems += [
            f"the file {path} is missing" for path, taken in self._files.items() if taken is None
        ]
        if self._exit is None:
            return
        if self._exit == 0:
            out.finish("finished")
        else:
            state = "preempted" if self._preempting else "failed"
            out.finish(state, exit_code=self._exit, reason=f"exit status {self._exit}")


def _is_taken(path: str) -> bool:
    """Return whether a file that the client names is a file of the run."""
    return path not in _GENERATED and not Path(path).is_absolute() and ".." not in Path(path).parts


class _Shape:
    """The keys of rows whose items have the usual form.

    Args:
        keys: The first groups of ``_ITEM``, one for each item.

    Attributes:
        size: Number of bytes of the items without their values.
    """

    __slots__ = ("_is_flat", "_names", "_paths", "size")

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        self.size = sum(map(len, keys)) + _ITEM_EXTRA * len(keys)
        self._paths = [[as_text(value) for _, value in fields(key)] for key in keys]
        self._names = [path[0] for path in self._paths]
        self._is_flat = all(len(path) == 1 for path in self._paths)

    def row(self, values: list[Any]) -> dict[str, Any]:
        """Return the row with the given values."""
        if self._is_flat:
            return dict(zip(self._names, values, strict=True))
        row: dict[str, Any] = {}
        for path, value in zip(self._paths, values, strict=True):
            _set(row, path, value)
        return row


def _is_step(body: bytes, length: int) -> bool:
    """Return whether only the step follows the items, which have the given length."""
    rest = body[length:]
    return not rest or (rest[:1] == b"\x12" and len(rest) > 1 and rest[1] == len(rest) - 2)


def _step_of(body: bytes) -> int:
    return Message(body).message(2).integer(1)


def _read_items(body: bytes) -> dict[str, Any]:
    """Return the values of a history record in any form."""
    row: dict[str, Any] = {}
    for item in Message(body).messages(1):
        path = _keys(item)
        if path:
            _set(row, path, _value(item.text(16)) if 16 in item else _typed(item))
    return row


def _typed(item: Message) -> Any:
    """Return the value of a history item without JSON text."""
    if 4 in item:
        return bool(item.integer(4))
    if 5 in item:
        return zigzag(item.all(5)[-1])
    if 6 in item:
        return item.double(6)
    if 7 in item:
        return item.text(7)
    return _value(item.text(8)) if 8 in item else None


def _keys(item: Message) -> list[str]:
    """Return the nested key of an item of config, summary or history."""
    return item.texts(2) or ([item.text(1)] if 1 in item else [])


def _value(text: str) -> Any:
    """Return the value of JSON text, which may contain NaN and Infinity."""
    try:
        return _decode_value(text.encode())
    except msgspec.DecodeError:
        try:
            return json.loads(text)
        except ValueError:
            return text


def _set(place: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        inner = place.get(name)
        # A copy, because a record that is not written yet may contain the dict.
        place[name] = inner = dict(inner) if isinstance(inner, dict) else {}
        place = inner
    place[path[-1]] = value


def _remove(place: dict[str, Any], path: list[str]) -> None:
    for name in path[:-1]:
        inner = place.get(name)
        if not isinstance(inner, dict):
            return
        place[name] = inner = dict(inner)
        place = inner
    place.pop(path[-1], None)


def _fields_of(run: Message) -> dict[str, Any]:
    """Return the fields of a run that a script can set; None if a field is not set."""
    return {
        "name": run.text(8) or None,
        "group": run.text(6) or None,
        "job_type": run.text(7) or None,
        "tags": run.texts(10) or None,
        "notes": run.text(9) or None,
    }


_Listed = tuple[str, str, str, int, str, dict[str, Any]]


def _entry(entry: Message) -> _Listed:
    extra = {item.text(1): _value(item.text(2)) for item in entry.messages(16)}
    size = max(entry.integer(4), 0)
    return entry.text(1), entry.text(2), entry.text(3), size, entry.text(6), extra


def _manifest_file(path: Path) -> Iterator[_Listed]:
    """Yield the entries of a manifest that the client has written to a file, because it is large."""
    if not path.is_file():
        raise FileNotFoundError(f"its manifest {path} is missing")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            each = json.loads(line)
            yield (
                each["path"],
                each.get("digest") or "",
                each.get("ref") or "",
                each.get("size") or 0,
                each.get("local_path") or "",
                each.get("extra") or {},
            )


def _environment(record: Message) -> dict[str, Any]:
    """Return the facts of an environment record, with the keys of ``wandb-metadata.json``."""
    texts = {
        1: "os", 2: "python", 4: "docker", 6: "program", 7: "codePath", 8: "codePathLocal", 10: "email",
        11: "root", 12: "host", 13: "username", 14: "executable", 15: "colab", 18: "gpu", 25: "cudaVersion",
        199: "writerId",
    }  # fmt: skip
    found: dict[str, Any] = {name: record.text(number) for number, name in texts.items() if number in record}
    numbers = {16: "cpu_count", 17: "cpu_count_logical", 19: "gpu_count"}
    found.update((name, record.integer(number)) for number, name in numbers.items() if number in record)
    if 3 in record:
        started = datetime.fromtimestamp(record.time(3), timezone.utc)
        found["startedAt"] = started.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if 5 in record:
        found["args"] = record.texts(5)
    if 9 in record:
        git = record.message(9)
        found["git"] = {"remote": git.text(1), "commit": git.text(2)}
    if 20 in record:
        found["disk"] = {
            each.text(1): {
                "total": str(each.message(2).integer(1)),
                "used": str(each.message(2).integer(2)),
            }
            for each in record.messages(20)
        }
    if 21 in record:
        found["memory"] = {"total": str(record.message(21).integer(1))}
    if 24 in record:
        found["gpu_nvidia"] = [
            {
                "name": each.text(1),
                "memoryTotal": str(each.integer(2)),
                "cudaCores": each.integer(3),
                "architecture": each.text(4),
                "uuid": each.text(5),
            }
            for each in record.messages(24)
        ]
    if 27 in record:
        found["slurm"] = {each.text(1): each.text(2) for each in record.messages(27)}
    return found
