"""Sweeps as files in the store. Agents on several hosts can work on a sweep if they share the folder."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tracker.errors import NotFoundError
from tracker.ground import values
from tracker.ground.names import check_entity, check_project, new_run_id
from tracker.ground.processes import host_name
from tracker.store.objects.atomic_files import claim, publish_json, read_json, write_new
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import require_writable

if TYPE_CHECKING:
    from tracker.reading.reader import RunReader

# States that a user can request for a sweep.
STATES = ("RUNNING", "PAUSED", "CANCELED", "FINISHED")


class Trial(NamedTuple):
    """One trial of a sweep.

    Attributes:
        number: Number of the trial in the sweep, from 0.
        run_id: Id of its run. The run may not have started.
        parameters: Values of the parameters, in nested dicts for nested parameters.
        prior: Whether the run is older than the sweep.
    """

    number: int
    run_id: str
    parameters: dict[str, Any]
    prior: bool = False


class Sweep:
    """A sweep in the store: its config and its trials.

    An agent claims a trial by creating the trial's file exclusively, so two agents never run the same trial.
    If an agent dies, its trial stays claimed, and the state of the trial's run shows the failure.

    Attributes:
        entity: Entity of the project.
        project: Project of the sweep.
        id: Id of the sweep.
        config: The checked config.
        created_at: Creation time in unix seconds.
    """

    def __init__(self, layout: Layout, entity: str, project: str, sweep_id: str) -> None:
        self.entity, self.project, self.id = entity, project, sweep_id
        self._layout = layout
        self._folder = layout.sweep(entity, project, sweep_id)
        self._trials: list[Trial] = []
        content = read_json(self._folder / "sweep.json")
        if content is None:
            raise NotFoundError(
                f"The store {layout.root} does not contain the sweep {self.path}. "
                "Make a sweep with `tracker sweep`."
            )
        self.config: dict[str, Any] = content["config"]
        self.created_at: float = content["created_at"]

    @classmethod
    def create(
        cls, layout: Layout, entity: str, project: str, config: dict[str, Any], prior: Iterable[Trial] = ()
    ) -> Sweep:
        """Make a sweep and return it.

        Args:
            layout: The store.
            entity: Entity of the project.
            project: Project of the sweep.
            config: Result of ``check_sweep``.
            prior: The first trials: runs that exist already.
        """
        sweep_id = new_run_id()
        content = {
            "format": 1,
            "entity": check_entity(entity),
            "project": check_project(project),
            "id": sweep_id,
            "created_at": time.time(),
            "config": config,
        }
        publish_json(layout.new_temporary(), layout.sweep(entity, project, sweep_id) / "sweep.json", content)
        sweep = cls(layout, entity, project, sweep_id)
        for trial in prior:
            sweep.claim(trial)
        return sweep

    def change_config(self, config: dict[str, Any]) -> None:
        """Replace the config. Trials that are claimed later use it.

        Args:
            config: Result of ``check_sweep``.
        """
        require_writable(self._layout)
        path = self._folder / "sweep.json"
        content = {**(read_json(path) or {}), "config": config}
        publish_json(self._layout.new_temporary(), path, content)
        self.config = config

    @property
    def path(self) -> str:
        """``ENTITY/PROJECT/ID``."""
        return f"{self.entity}/{self.project}/{self.id}"

    def trials(self) -> list[Trial]:
        """Return the claimed trials, in the order of their numbers."""
        while (content := read_json(self._trial_file(len(self._trials)))) is not None:
            self._trials.append(
                Trial(content["number"], content["run"], content["parameters"], content.get("prior", False))
            )
        return list(self._trials)

    def claim(self, trial: Trial) -> bool:
        """Claim a trial by its number. Return False if another agent has claimed the number before."""
        require_writable(self._layout)
        content = {
            "number": trial.number,
            "run": trial.run_id,
            "parameters": trial.parameters,
            "prior": trial.prior,
            "host": host_name(),
            "claimed_at": time.time(),
        }
        temporary = self._layout.new_temporary()
        write_new(temporary, values.dumps(content, indent=1).encode("utf-8", "replace"))
        if not claim(temporary, self._trial_file(trial.number)):
            return False
        path = self._layout.sweep_run(self.entity, self.project, self.id, trial.run_id)
        publish_json(self._layout.new_temporary(), path, {"trial": trial.number})
        return True

    @property
    def requested_state(self) -> str:
        """The state that a user requested; ``"RUNNING"`` by default."""
        state: str = (read_json(self._folder / "state.json") or {}).get("state", "RUNNING")
        return state

    def request_state(self, state: str) -> None:
        """Request a state. Agents read it before each trial and during a trial."""
        require_writable(self._layout)
        publish_json(self._layout.new_temporary(), self._folder / "state.json", {"state": state})

    def _trial_file(self, number: int) -> Any:
        return self._folder / "trials" / f"{number}.json"


def store_of(reader: RunReader) -> Layout:
    """Return the local store of a reader. It contains the sweeps, even if runs are sent to a server."""
    layout = reader.journals()
    outbox = layout.root.parent
    return Layout(outbox.parent) if outbox.name == "outbox" else layout


def sweep_ids(layout: Layout, entity: str, project: str) -> list[str]:
    """Return the ids of a project's sweeps, the newest first.

    Args:
        layout: The store.
        entity: Entity of the project.
        project: The project.
    """
    found = [read_json(path) for path in layout.sweeps(entity, project).glob("*/sweep.json")]
    return [each["id"] for each in sorted(filter(None, found), key=lambda each: -each["created_at"])]


def sweeps_of_run(layout: Layout, entity: str, project: str, run_id: str) -> Iterator[str]:
    """Yield the ids of the sweeps with a trial that has this run, the newest first.

    Args:
        layout: The store.
        entity: Entity of the project.
        project: The project.
        run_id: Id of the run.
    """
    if layout.sweeps(entity, project).exists():
        for sweep_id in sweep_ids(layout, entity, project):
            if layout.sweep_run(entity, project, sweep_id, run_id).exists():
                yield sweep_id


def text_of(parameters: Mapping[str, Any]) -> str:
    """Return parameters as a text. Equal parameters give equal texts."""
    return values.dumps(dict(parameters), sort_keys=True)
