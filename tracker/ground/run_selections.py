"""Frozen records of lists of runs that contain only some fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RunValues:
    """Some fields of a page of runs.

    Attributes:
        total: The number of all matching runs.
        revision: The store's revision at the time of the query.
        runs: For each run, the values of the fields by the names in the question. A missing key of config or
            summary is left out.
        next: The cursor of the next page; None if there are no more runs.
    """

    total: int
    revision: int
    runs: list[dict[str, Any]]
    next: str | None = None
