"""The outcome of the real client, read from its ``.wandb`` file and the files next to it."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

from differential.outcomes import normal
from differential.script import plain

_BLOCK = 32768
_HEADER = 7


def collect(folder: Path, key: str) -> dict[str, Any]:
    """Return the runs of a script that ran in a folder in ``folder``, in the order of their start."""
    found = (folder / key).glob("**/offline-run-*/run-*.wandb")
    logs = sorted(found, key=lambda path: (_began(path), path.name))
    return {"runs": [_Run(path).normal() for path in logs]}


def records(path: Path) -> Iterator[Any]:
    """Yield the records of a ``.wandb`` file. It has blocks of chunks; a record has one or more chunks."""
    data = path.read_bytes()
    at, begun = _HEADER, b""
    while at + _HEADER <= len(data):
        left = _BLOCK - at % _BLOCK
        if left < _HEADER:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        begun += data[at + _HEADER : at + _HEADER + length]
        at += _HEADER + length
        if kind in (1, 4):  # the only or the last chunk of a record
            record = wandb_internal_pb2.Record()
            record.ParseFromString(begun)
            begun = b""
            yield record


def _began(path: Path) -> float:
    for record in records(path):
        if record.HasField("run"):
            return record.run.start_time.ToNanoseconds()
    return 0


class _Run:
    """One run, computed from its records."""

    def __init__(self, log: Path) -> None:
        folder = log.parent / "files"
        found = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        self.files = normal.Files(found)
        self.head: dict[str, Any] = {}
        self.config: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        self.artifacts: list[dict[str, Any]] = []
        self.used: list[dict[str, Any]] = []
        self.alerts: list[dict[str, Any]] = []
        self.metrics: dict[str, dict[str, Any]] = {}
        self.exit_code: int | str = "<no end>"
        self.id = ""
        for record in records(log):
            kind = record.WhichOneof("record_type")
            getattr(self, f"_{kind}", lambda _: None)(getattr(record, kind))

    def normal(self) -> dict[str, Any]:
        fields = {
            **self.head,
            "exit_code": self.exit_code,
            "config": normal.config(self.config),
            "history": [self.files.value(row) for row in self.history],
            "summary": self.files.value(normal.summary(self.summary)),
            "metrics": dict(sorted(self.metrics.items())),
            "files": self.files.normal(),
            "artifacts": [normal.manifest(one) for one in normal.artifacts(self.artifacts)],
            "used": self.used,
            "alerts": self.alerts,
        }
        return normal.run(fields)

    def _run(self, run: Any) -> None:
        self.id = run.run_id
        self.head = {
            "id": normal.run_id(run.run_id),
            "entity": run.entity or None,
            "project": run.project or "uncategorized",
            "name": run.display_name or "<generated>",
            "group": run.run_group or None,
            "job_type": run.job_type or None,
            "notes": run.notes or None,
            "tags": list(run.tags),
        }
        self._config(run.config)

    def _config(self, record: Any) -> None:
        _fold(self.config, record)

    def _summary(self, record: Any) -> None:
        _fold(self.summary, record)

    def _history(self, record: Any) -> None:
        values: dict[str, Any] = {}
        for item in record.item:
            _put(values, item)
        self.history.append(normal.row(record.step.num, values))

    def _metric(self, metric: Any) -> None:
        summary = [field.name for field, value in metric.summary.ListFields() if value is True]
        name = metric.name or metric.glob_name
        if metric.expanded_from_glob:
            return
        self.metrics[name] = {
            "step_metric": metric.step_metric or None,
            "step_sync": metric.options.step_sync,
            "hidden": metric.options.hidden,
            "summary": sorted(summary),
        }

    def _artifact(self, artifact: Any) -> None:
        entries = {}
        for entry in _contents(artifact.manifest):
            entries[self._own(entry.path)] = {"digest": entry.digest} | (
                {"ref": entry.ref} if entry.ref else {}
            )
        one = {
            "name": normal.artifact_name(self._own(artifact.name), artifact.type),
            "type": artifact.type,
            "digest": artifact.digest,
            "aliases": list(artifact.aliases),
            "description": artifact.description or None,
            "metadata": plain(json.loads(artifact.metadata or "{}")),
            "tags": sorted(artifact.tags),
            "manifest": dict(sorted(entries.items())),
        }
        (self.used if artifact.user_created and artifact.use_after_commit else self.artifacts).append(one)

    def _own(self, text: str) -> str:
        return text.replace(self.id, "<id>") if normal.run_id(self.id) == "<generated>" else text

    def _alert(self, alert: Any) -> None:
        self.alerts.append({"title": alert.title, "text": alert.text, "level": alert.level})

    def _exit(self, end: Any) -> None:
        self.exit_code = end.exit_code


def _contents(manifest: Any) -> list[Any]:
    if manifest.manifest_file_path:
        raise NotImplementedError(
            "the manifest is in a separate file, which is not supported: scripts log few files"
        )
    return list(manifest.contents)


def _fold(values: dict[str, Any], record: Any) -> None:
    for item in record.update:
        _put(values, item)
    for item in record.remove:
        *path, last = list(item.nested_key) or [item.key]
        inner = values
        for part in path:
            inner = inner.get(part, {})
        inner.pop(last, None)


def _put(values: dict[str, Any], item: Any) -> None:
    *path, last = list(item.nested_key) or [item.key]
    for part in path:
        inner = values.get(part)
        if not isinstance(inner, dict):
            inner = values[part] = {}
        values = inner
    values[last] = json.loads(item.value_json)
