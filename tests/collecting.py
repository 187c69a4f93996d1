"""Helpers that log artifacts to the store of the working folder and collect garbage there."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import scripts

import tracker
from tracker.recorder.follow import Follower
from tracker.recorder.open_store import open_store
from tracker.recorder.outbox import list_outboxes
from tracker.store.gc.collect import Report, collect
from tracker.store.objects.layout import blob_name
from tracker.store.store import Store

ROOT = Path("tracker-store")


def log(run: tracker.Run, name: str, ttl: timedelta | None = None, **files: bytes) -> tracker.Artifact:
    artifact = tracker.Artifact(name, "model")
    artifact.ttl = ttl
    for path, content in files.items():
        with artifact.new_file(path, "wb") as file:
            file.write(content)
    return run.log_artifact(artifact).wait()


def gc(*, look: bool = True, outboxes: bool = False, **options: Any) -> Report:
    store = open_store(ROOT)
    try:
        if look:
            Follower(store).poll(seal_ended=False)
        found = list_outboxes(ROOT.absolute()) if outboxes else []
        _next_tick(store)
        return collect(store, found, **{"grace": 0.0, **options})
    finally:
        store.close()


def _next_tick(store: Store) -> None:
    """Wait for the next tick of the file system's clock: until then, a new blob does not count as old."""
    probe = store.root / "tick"

    def now() -> int:
        probe.touch()
        return probe.stat().st_mtime_ns

    before = now()
    scripts.wait_for(lambda: now() > before, "the next tick of the file system's clock")
    probe.unlink()


def folder_size() -> int:
    """Return the size in bytes of all content in the store."""
    places = [ROOT / name for name in ("blobs", "drafts", "trash", "tmp", "outbox")]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files)


def blobs(root: Path = ROOT) -> set[str]:
    return {blob_name(str(path)) for path in (root / "blobs").rglob("*") if path.is_file()}
