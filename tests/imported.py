"""Helpers of the tests of importers: import into the store of the test, and read the runs back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tracker
from tracker.ground.settings import load_settings
from tracker.importing.importer import Imported, Importer
from tracker.importing.kinds import find_sources
from tracker.importing.source import Found
from tracker.recorder.open_store import open_store


def import_all(kind: str, *paths: Path, **options: Any) -> tuple[list[Imported], Found]:
    """Import into the store of the test; return the results, and what was found."""
    found = find_sources(kind, list(paths))
    store = open_store(load_settings().store)
    try:
        return list(
            Importer(store, "local", "uncategorized", **options).run(found.sources, silent=True)
        ), found
    finally:
        store.close()


def statuses(results: list[Imported]) -> list[tuple[str, str, int]]:
    return [(each.run, each.status, each.rows) for each in results]


def rows(path: str) -> list[dict[str, Any]]:
    """Return the whole history of a run without time and duration."""
    found = tracker.Api().run(path).scan_history()
    return [{k: v for k, v in row.items() if k not in ("_timestamp", "_runtime")} for row in found]
