"""Frozen records about changes of many runs at once."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of a change for one run. ``error`` is None if the run was changed."""

    id: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class BulkResult:
    """The result of a change of many runs.

    Attributes:
        total: Number of runs that the change is for.
        changed: Number of runs that were changed; 0 for a dry run.
        dry_run: Whether nothing was changed.
        results: The result for each run, in the order of the request. Without a list of ids in the request,
            the newest run comes first. Empty for a dry run.
    """

    total: int
    changed: int
    dry_run: bool
    results: list[RunResult] = field(default_factory=list)
