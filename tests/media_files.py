"""Reading back what a run logged: its history, and the content of its files."""

from __future__ import annotations

from typing import Any

import tracker
from tracker.ground.settings import load_settings
from tracker.sdk.run.run import Run
from tracker.store.blobs.content import BlobStore
from tracker.store.objects.layout import Layout


def logged(run: Run) -> list[dict[str, Any]]:
    """Return the rows of a run's history."""
    return list(tracker.Api().run(run.path).history(pandas=False))


def content(described: dict[str, Any]) -> bytes:
    """Return the content of a file, by what the history says of it."""
    return BlobStore(Layout(load_settings().store)).read(described["sha256"])
