"""Functions that read back the run of a script, for tests that compare."""

from __future__ import annotations

from typing import Any

import tracker
from tracker.api.runs import PublicRun


def the_run(path: str) -> PublicRun:
    """Return the only run of ``ENTITY/PROJECT``."""
    (run,) = tracker.Api().runs(path)
    return run


def rows(run: PublicRun, *keys: str) -> list[dict[str, Any]]:
    """Return the rows that have all ``keys``, with only these keys; without keys, all rows as logged."""
    if keys:
        return list(run.scan_history(keys=list(keys)))
    return [{key: row[key] for key in row if not key.startswith("_")} for row in run.scan_history()]
