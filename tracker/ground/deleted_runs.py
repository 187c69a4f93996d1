"""Frozen records about deleted runs."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DeletedRunInfo:
    """A deleted run that can be restored.

    Attributes:
        entity: Entity of the project.
        project: Project of the run.
        id: Id of the run. Several deleted runs can have the same id.
        name: Name of the run.
        token: Identifies the run among the deleted runs with the same id.
        deleted_at: Time of the deletion in unix seconds.
        keep_until: Garbage collection deletes the run after this time (unix seconds).
    """

    entity: str
    project: str
    id: str
    name: str
    token: str
    deleted_at: float
    keep_until: float


@dataclass(frozen=True, slots=True)
class DeletedRunPage:
    """A page of a project's deleted runs, the last deleted first. ``total`` is the number of all of them."""

    total: int
    runs: list[DeletedRunInfo] = field(default_factory=list)
