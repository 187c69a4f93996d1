"""Export of a run as the folder of an offline run of the wandb client: ``wandb sync`` sends it.

``tracker.importing.wandb_log`` describes the framing of a ``.wandb`` file, and ``wandb_run`` next to it reads
the records.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from struct import pack
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec

from tracker.api.captured import output_lines, system_rows
from tracker.artifacts.download import download_entries
from tracker.errors import ArtifactError, NotFoundError, StoreError, UsageError
from tracker.exporting.protobuf import field, timestamp
from tracker.exporting.run_source import RunSource
from tracker.ground.names import check_run_id
from tracker.ground.parsed_types import RelativePath
from tracker.version import __version__

if TYPE_CHECKING:
    from tracker.artifacts.artifact import Artifact
    from tracker.ground.field_infos import MetricInfo

_HEADER = b":W&B\xe1\xbe\x00"
_BLOCK = 32 * 1024
_HEAD_SIZE = 7
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
# The version of the client whose records these are, and the oldest client that can read them.
_CLIENT, _OLDEST = "0.31.0", "0.70.0"

# Fields of a record of `wandb_internal.proto`.
_HISTORY, _SUMMARY, _FILES, _STATS, _ARTIFACT = 2, 3, 6, 7, 8
_ALERT, _METRIC, _OUTPUT, _RUN, _EXIT, _STARTED, _PREEMPTING, _ENVIRONMENT = 10, 12, 13, 17, 18, 21, 23, 26
_MEDIA = 2
_SUMMARIES = {"min": 1, "max": 2, "mean": 3, "best": 4, "last": 5, "first": 8}
_GOALS = {"minimize": 1, "maximize": 2}
# Files that the client generates when it sends the run.
_GENERATED = ("output.log", "config.yaml", "wandb-summary.json")
_UNREADABLE = (NotFoundError, ArtifactError, StoreError, OSError, msgspec.ValidationError)
_METADATA = {
    "os": 1, "python": 2, "docker": 4, "args": 5, "program": 6, "codePath": 7, "codePathLocal": 8,
    "email": 10, "root": 11, "host": 12, "username": 13, "executable": 14, "colab": 15, "cpu_count": 16,
    "cpu_count_logical": 17, "gpu": 18, "gpu_count": 19, "cudaVersion": 25,
}  # fmt: skip


def export_wandb(source: RunSource, folder: Path) -> Path:
    """Write a run into a folder; return its own folder there, ``offline-run-DATE_TIME-ID``.

    ``source.problems`` lists what is not exported.

    Raises:
        UsageError: The run's own folder exists. It may belong to the wandb client, so it is not replaced.
    """
    info = source.run._info
    started = datetime.fromtimestamp(info.created_at, timezone.utc).strftime("%Y%m%d_%H%M%S")
    target = folder / f"offline-run-{started}-{check_run_id(info.id)}"
    if target.exists():
        raise UsageError(f"{target} exists. Remove it, or use another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{os.urandom(8).hex()}.part"
    try:
        _Export(source, unfinished, target).write()
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def frame(records: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the content of a ``.wandb`` file with records."""
    yield _HEADER
    at = len(_HEADER)
    for record in records:
        begun = False
        while True:
            left = _BLOCK - at % _BLOCK
            if left < _HEAD_SIZE:
                yield bytes(left)
                at, left = at + left, _BLOCK
            piece, record = record[: left - _HEAD_SIZE], record[left - _HEAD_SIZE :]
            kind = (_MIDDLE if begun else _FIRST) if record else (_LAST if begun else _FULL)
            yield pack("<IHB", crc32(piece, crc32(bytes([kind]))), len(piece), kind) + piece
            at += _HEAD_SIZE + len(piece)
            begun = True
            if not record:
                break


class _Export:
    """Writes the folder of one run.

    Args:
        source: The run.
        folder: The folder.
        final: The name that the folder gets at the end. The records have the paths of artifacts in it.
    """

    def __init__(self, source: RunSource, folder: Path, final: Path) -> None:
        self._source = source
        self._run = source.run
        self._folder = folder
        self._final = final.absolute()
        self._metadata = self._run.metadata or {}

    def write(self) -> None:
        """Write all files of the folder."""
        (self._folder / "files").mkdir(parents=True)
        saved = self._save_files()
        for file in self._run.files(list(_GENERATED)):
            (self._folder / "files" / file.name).write_bytes(b"".join(file.chunks()))
        with (self._folder / f"run-{self._run.id}.wandb").open("wb") as log:
            log.writelines(frame(_numbered(self._records(saved))))
        used = [artifact.qualified_name for artifact in self._run.used_artifacts()]
        if used:
            self._source.problems.append(f"the use of artifacts is not exported: {', '.join(used)}")

    def _records(self, saved: list[str]) -> Iterator[tuple[int, bytes]]:
        info = self._run._info
        version = field(1, f"{_CLIENT}+tracker-{__version__}") + field(2, _OLDEST)
        yield _STARTED, field(1, version)
        yield _RUN, self._run_record()
        if self._metadata:
            yield _ENVIRONMENT, self._environment()
        for metric in self._metrics():
            yield _METRIC, metric
        for start in range(0, len(saved), 1000):
            yield _FILES, b"".join(_file(path) for path in saved[start : start + 1000])
        streams = (self._history(), self._stats(), self._output())
        for _, number, body in heapq.merge(*streams, key=lambda each: each[0]):
            yield number, body
        for alert in self._run._detail().alerts:
            yield _ALERT, field(1, alert.title) + field(2, alert.text) + field(3, alert.level)
        for artifact in reversed(list(self._run.logged_artifacts())):
            if (logged := self._artifact(artifact)) is not None:
                yield _ARTIFACT, logged
        yield _SUMMARY, _items(info.summary)
        derived = {key: value for key, value in self._run.summary_metrics.items() if key not in info.summary}
        yield _SUMMARY, _items(derived)
        if info.state == "preempted":
            yield _PREEMPTING, b""
        if info.state in ("finished", "failed", "preempted"):
            code = 0 if info.state == "finished" else _exit_code(info.reason)
            yield _EXIT, (field(1, code) if code else b"") + field(2, int(info.duration))

    def _run_record(self) -> bytes:
        info, git = self._run._info, self._metadata.get("git") or {}
        config = {
            key: _of_the_client(value) if key == "_wandb" else value
            for key, value in self._run.rawconfig.items()
        }
        texts = {
            1: info.id, 3: info.project, 6: info.group, 7: info.job_type, 8: info.name, 9: info.notes,
            13: info.host,
        }  # fmt: skip
        body = b"".join(field(number, text) for number, text in texts.items() if text)
        body += field(4, b"".join(field(1, field(1, key) + _json(value)) for key, value in config.items()))
        body += b"".join(field(10, tag) for tag in info.tags)
        client = field(5, _CLIENT)
        if python := self._metadata.get("python"):
            client += field(4, str(python).split()[-1])
        body += timestamp(17, info.created_at) + field(19, client)
        return body + (field(21, _git(git)) if git else b"")

    def _environment(self) -> bytes:
        found = self._metadata
        body = b""
        for name, number in _METADATA.items():
            value = found.get(name)
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, (str, int)):
                    body += field(number, each)
        with suppress(KeyError, TypeError, ValueError):
            started = datetime.fromisoformat(found["startedAt"].replace("Z", "+00:00"))
            body += timestamp(3, started.timestamp())
        if git := found.get("git"):
            body += field(9, _git(git))
        slurm = found.get("slurm")
        for key, value in slurm.items() if isinstance(slurm, dict) else ():
            body += field(27, field(1, str(key)) + field(2, str(value)))
        return body + field(199, hashlib.sha256("/".join(self._run.path).encode()).hexdigest()[:32])

    def _metrics(self) -> Iterator[bytes]:
        """Yield a definition for each metric that has one, as far as a reader can tell."""
        run = self._run
        metrics: list[MetricInfo] = run._reader.metrics(run.entity, run.project, [run.id]).metrics
        for metric in metrics:
            value = run._info.summary.get(metric.key)
            kinds = value if isinstance(value, dict) and value and set(value) <= set(_SUMMARIES) else {}
            if metric.x in (None, "_step") and not (metric.goal or metric.hidden or kinds):
                continue
            body = field(1, metric.key)
            if metric.x not in (None, "_step"):
                body += field(4, str(metric.x))
            body += field(6, (field(2, True) if metric.hidden else b"") + field(3, True))
            if kinds:
                body += field(7, b"".join(field(_SUMMARIES[kind], True) for kind in kinds))
            if metric.goal in _GOALS:
                body += field(8, _GOALS[metric.goal])
            yield body

    def _history(self) -> Iterator[tuple[float, int, bytes]]:
        for row in self._source.rows():
            step = row["_step"]
            yield row["_timestamp"], _HISTORY, _items(row) + field(2, field(1, step) if step else b"")

    def _stats(self) -> Iterator[tuple[float, int, bytes]]:
        for row in system_rows(self._run._reader, self._run._run_path):
            body = field(1, 0) + timestamp(2, row["_timestamp"])
            for name, value in row.items():
                if not name.startswith("_") and value is not None:
                    body += field(3, field(1, name.removeprefix("system.")) + _json(value))
            yield row["_timestamp"], _STATS, body

    def _output(self) -> Iterator[tuple[float, int, bytes]]:
        for line in output_lines(self._run._reader, self._run._run_path):
            stream = 1 if line.stream == "stdout" else 0
            body = field(1, stream) + timestamp(2, line.time) + field(3, f"{line.text}\n")
            yield line.time, _OUTPUT, body

    def _save_files(self) -> list[str]:
        """Write the saved files of the run; return their paths."""
        written = []
        for path in self._source.files:
            try:
                target = self._folder / "files" / msgspec.convert(path, RelativePath)
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    file.writelines(self._source.chunks(path))
            except _UNREADABLE as error:
                self._source.problems.append(f"{path} is not exported: {error}")
            else:
                written.append(path)
        return written

    def _artifact(self, artifact: Artifact) -> bytes | None:
        """Write the files of a version; return its record, or None if a content is missing."""
        detail = artifact.detail
        reader = self._run._reader
        try:
            # A server is not trusted to send names that are safe in a path.
            place = Path("artifacts", msgspec.convert(f"{detail.name}/{detail.version}", RelativePath))
            entries = reader.manifest(detail).entries
            stored = [entry for entry in entries if entry.ref is None]
            download_entries(reader, detail, stored, self._folder / place)
        except _UNREADABLE as error:
            self._source.problems.append(f"artifact {artifact.name} is not exported: {error}")
            return None
        contents = []
        for entry in entries:
            body = field(1, entry.path) + field(2, entry.digest) + field(4, entry.size)
            if entry.ref is None:
                body += field(6, str(self._final / place / entry.path))
            else:
                body += field(3, entry.ref)
            for key, value in entry.extra.items():
                body += field(16, field(1, key) + field(2, json.dumps(value)))
            contents.append(field(4, body))
        layout = field(1, "storageLayout") + field(2, '"V2"')
        manifest = field(1, 1) + field(2, "wandb-storage-policy-v1") + field(3, layout) + b"".join(contents)
        collection = f"{detail.entity}/{detail.project}/{detail.name}"
        texts = {
            1: self._run.id, 2: self._run.project, 4: detail.type, 5: detail.name, 6: detail.digest,
            7: detail.description or "", 8: json.dumps(detail.metadata) if detail.metadata else "",
            15: _client_id(f"{collection}:{detail.version}"), 16: _client_id(collection), 20: "MANIFEST_MD5",
        }  # fmt: skip
        body = b"".join(field(number, text) for number, text in texts.items() if text)
        body += b"".join(field(11, alias) for alias in detail.aliases)
        body += b"".join(field(19, tag) for tag in detail.tags)
        return body + field(9, True) + field(12, manifest) + field(14, True)


def _numbered(records: Iterable[tuple[int, bytes]]) -> Iterator[bytes]:
    return (field(1, count) + field(kind, body) for count, (kind, body) in enumerate(records, 1))


def _items(values: Mapping[str, Any]) -> bytes:
    """Return the items of a row or a summary: one for each value, with its nested keys."""
    return b"".join(
        field(1, b"".join(field(2, key) for key in keys) + _json(value)) for keys, value in _leaves(values)
    )


def _leaves(values: Mapping[str, Any], keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*keys, key))
        else:
            yield (*keys, key), value


def _json(value: Any) -> bytes:
    """Return the JSON text of a value as the client writes it: NaN and infinity have their names."""
    return field(16, json.dumps(value, separators=(",", ":")))


def _file(path: str) -> bytes:
    media = field(3, _MEDIA) if path.startswith("media/") else b""
    return field(1, field(1, path) + media)


def _git(git: Mapping[str, Any]) -> bytes:
    texts = {1: git.get("remote"), 2: git.get("commit")}
    return b"".join(field(number, text) for number, text in texts.items() if isinstance(text, str))


def _of_the_client(internal: Mapping[str, Any]) -> dict[str, Any]:
    """Return the internal config without the keys that only tracker has."""
    return {key: value for key, value in internal.items() if key != "imported"}


def _exit_code(reason: str | None) -> int:
    found = re.fullmatch(r"exit status (\d+)", reason or "")
    return int(found[1]) if found else 1


def _client_id(name: str) -> str:
    return hashlib.sha512(name.encode()).hexdigest()
