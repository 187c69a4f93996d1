"""Frozen records about changes of a store, for clients that follow them."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracker.ground.read_models import RunName


@dataclass(frozen=True, slots=True)
class ChangeBatch:
    """The changes of runs between two revisions of a store.

    Attributes:
        revision: The revision up to which the changes are complete. The next batch starts from there.
        runs: Runs that are new or changed, in the order of their last change.
        removed: Runs that were deleted. An id that was used again is in both lists.
    """

    revision: int
    runs: list[RunName] = field(default_factory=list)
    removed: list[RunName] = field(default_factory=list)
