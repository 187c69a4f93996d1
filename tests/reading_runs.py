"""Reading back what a script logged, for tests that compare."""

from __future__ import annotations

from typing import Any

import tracker
from tracker.api.runs import PublicRun


def the_run(path: str) -> PublicRun:
    """Return the only run of ``ENTITY/PROJECT``."""
    (run,) = tracker.Api().runs(path)
    return run


def rows(run: PublicRun, *keys: str) -> list[dict[str, Any]]:
    """Return the rows that have all these keys, only these keys; without any, all rows as logged."""
    if keys:
        return list(run.scan_history(keys=list(keys)))
    return [{key: row[key] for key in row if not key.startswith("_")} for row in run.scan_history()]
