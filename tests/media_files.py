"""Functions that read the history of a run and the content of its files."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import tracker
from tracker.ground.settings import load_settings
from tracker.recorder.open_store import open_store
from tracker.sdk.run.run import Run


def logged(run: Run) -> list[dict[str, Any]]:
    """Return the rows of a run's history."""
    return list(tracker.Api().run(run.path).history(pandas=False))


def content(described: dict[str, Any]) -> bytes:
    """Return the content of the file that a history value describes."""
    with closing(open_store(load_settings().store)) as store:  # the store also finds files in packs
        return store.blobs.read(described["sha256"])
