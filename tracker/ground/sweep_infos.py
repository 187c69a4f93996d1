"""Frozen records about sweeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class TrialInfo:
    """A trial of a sweep.

    Attributes:
        number: Number of the trial in the sweep, from 0.
        run_id: Id of its run, which may not have started.
        parameters: Values of the parameters.
        prior: Whether the run is older than the sweep.
    """

    number: int
    run_id: str
    parameters: dict[str, Any]
    prior: bool = False


@dataclass(frozen=True, slots=True)
class SweepInfo:
    """A sweep.

    Attributes:
        entity: Entity of the project.
        project: Project of the sweep.
        id: Id of the sweep.
        name: The name in the config, or the id.
        created_at: Creation time in unix seconds.
        requested_state: The state that a person requested: RUNNING, PAUSED, CANCELED or FINISHED.
        config: The config of the sweep.
        trials: The trials, in the order of their numbers.
    """

    entity: str
    project: str
    id: str
    name: str
    created_at: float
    requested_state: str
    config: dict[str, Any]
    trials: list[TrialInfo] = field(default_factory=list)
