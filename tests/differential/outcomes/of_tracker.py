"""The outcome of tracker, read with its ``Api`` and from the published files of the store."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import scripts

from differential.outcomes import normal
from differential.script import entity_of, plain
from tracker import Api
from tracker.api.runs import PublicRun
from tracker.ground.records import MetricDefined


def collect(folder: Path, key: str) -> dict[str, Any]:
    """Return the runs of a script in the store in ``folder``, in the order of their start."""
    store = folder / "store"
    published = [run for run in _published(store) if unquote(run["entity"]) == entity_of(key)]
    return {
        "runs": [_Run(store, run).normal() for run in sorted(published, key=lambda run: run["created_at"])]
    }


@lru_cache
def _api(store: Path) -> Api:
    return Api({"store": store, "mode": "offline"})


@lru_cache
def _published(store: Path) -> list[dict[str, Any]]:
    _api(store).artifact_exists("none")  # applies the records that are still in journals
    # The file of a run lists the defined metrics only after the run is sealed.
    scripts.wait_for(lambda: not list(store.rglob("*.journal")), "all runs to be sealed", seconds=60)
    return [json.loads(path.read_bytes()) for path in store.glob("runs/*/*/*/run.json")]


class _Run:
    """One run."""

    def __init__(self, store: Path, published: dict[str, Any]) -> None:
        self.published = published
        self.run: PublicRun = _api(store).run(
            "/".join(published[part] for part in ("entity", "project", "id"))
        )
        names = [file["path"] for file in published["files"]]
        contents = {name: b"".join(self.run.file(name).chunks()) for name in names}
        self.files = normal.Files(contents)

    def normal(self) -> dict[str, Any]:
        run, published = self.run, self.published
        rows = [normal.row(row["_step"], row) for row in run.history(pandas=False)]
        entity = unquote(run.entity)
        fields = {
            "id": normal.run_id(run.id),
            "entity": None if entity.startswith("of-") else entity,
            "project": run.project,
            "name": run.name if self._named() else "<generated>",
            "group": run.group,
            "job_type": run.job_type,
            "notes": run.notes,
            "tags": list(run.tags),
            "exit_code": published["exit_code"] if published["state"] != "running" else "<no end>",
            "config": normal.config(run.config),
            "history": [self.files.value(row) for row in rows],
            "summary": self.files.value(normal.summary(run.summary)),
            "metrics": self._metrics(),
            "files": self.files.normal(),
            "artifacts": [
                normal.manifest(self._artifact(artifact)) for artifact in run.logged_artifacts()[::-1]
            ],
            "used": [],
            "alerts": [
                {"title": one.title, "text": one.text, "level": one.level} for one in run._info.alerts
            ],
        }
        return normal.run(fields)

    def _metrics(self) -> dict[str, Any]:
        found = {}
        for segment in self.published["segments"]:
            for record in (segment["state"] or {}).get("metrics", {}).values():
                metric = msgspec.convert(record, MetricDefined)
                found[metric.name] = {
                    "step_metric": metric.step_metric,
                    "step_sync": metric.step_sync,
                    "hidden": metric.hidden,
                    "summary": sorted(metric.summary),
                }
        return dict(sorted(found.items()))

    def _named(self) -> bool:
        return not re.fullmatch(r"[a-z]+-[a-z]+-\d+", self.run.name or "")

    def _artifact(self, artifact: Any) -> dict[str, Any]:
        entries = {}
        for path, entry in artifact.manifest.entries.items():
            entries[self._own(path)] = {"digest": entry.digest} | ({"ref": entry.ref} if entry.ref else {})
        return {
            "name": normal.artifact_name(self._own(artifact.name.rsplit(":", 1)[0]), artifact.type),
            "type": artifact.type,
            "digest": artifact.digest,
            "aliases": sorted(artifact.aliases),
            "description": artifact.description or None,
            "metadata": plain(dict(artifact.metadata)),
            "tags": sorted(artifact.tags),
            "manifest": dict(sorted(entries.items())),
        }

    def _own(self, text: str) -> str:
        run = self.run
        return text.replace(run.id, "<id>") if normal.run_id(run.id) == "<generated>" else text
