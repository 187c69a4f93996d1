"""A sweep as files of the store: any number of agents, on any nodes, that see the same folder."""

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

# What a person may say of a sweep.
STATES = ("RUNNING", "PAUSED", "CANCELED", "FINISHED")


class Trial(NamedTuple):
    """One trial of a sweep.

    Attributes:
        number: Its place in the sweep.
        run_id: Its run, which may not have begun.
        parameters: Its parameters, nested where they are.
        prior: Whether the run was there before the sweep.
    """

    number: int
    run_id: str
    parameters: dict[str, Any]
    prior: bool = False


class Sweep:
    """A sweep of the store: what it was told to do, and its trials.

    A trial is claimed by making its file exclusively, so two agents never do the same one. That of an agent
    which died stays claimed; its run's state says what became of it.

    Attributes:
        entity: Whose project.
        project: The project.
        id: Its id.
        config: As it was given, checked.
        created_at: When it was made, in unix seconds.
    """

    def __init__(self, layout: Layout, entity: str, project: str, sweep_id: str) -> None:
        self.entity, self.project, self.id = entity, project, sweep_id
        self._layout = layout
        self._folder = layout.sweep(entity, project, sweep_id)
        self._trials: list[Trial] = []
        said = read_json(self._folder / "sweep.json")
        if said is None:
            raise NotFoundError(f"there is no sweep {self.path} in {layout.root}: `tracker sweep` makes one")
        self.config: dict[str, Any] = said["config"]
        self.created_at: float = said["created_at"]

    @classmethod
    def create(
        cls, layout: Layout, entity: str, project: str, config: dict[str, Any], prior: Iterable[Trial] = ()
    ) -> Sweep:
        """Make a sweep.

        Args:
            layout: The store.
            entity: Whose project.
            project: The project.
            config: What ``check_sweep`` returned.
            prior: Its first trials: runs that are there.
        """
        sweep_id = new_run_id()
        said = {
            "format": 1,
            "entity": check_entity(entity),
            "project": check_project(project),
            "id": sweep_id,
            "created_at": time.time(),
            "config": config,
        }
        publish_json(layout.new_temporary(), layout.sweep(entity, project, sweep_id) / "sweep.json", said)
        sweep = cls(layout, entity, project, sweep_id)
        for trial in prior:
            sweep.claim(trial)
        return sweep

    @property
    def path(self) -> str:
        """``ENTITY/PROJECT/ID``."""
        return f"{self.entity}/{self.project}/{self.id}"

    def trials(self) -> list[Trial]:
        """Return the trials that are claimed, by number."""
        while (said := read_json(self._trial_file(len(self._trials)))) is not None:
            self._trials.append(
                Trial(said["number"], said["run"], said["parameters"], said.get("prior", False))
            )
        return list(self._trials)

    def claim(self, trial: Trial) -> bool:
        """Claim a trial by its number; return whether nobody else had."""
        require_writable(self._layout)
        said = {
            "number": trial.number,
            "run": trial.run_id,
            "parameters": trial.parameters,
            "prior": trial.prior,
            "host": host_name(),
            "claimed_at": time.time(),
        }
        temporary = self._layout.new_temporary()
        write_new(temporary, values.dumps(said, indent=1).encode("utf-8", "replace"))
        if not claim(temporary, self._trial_file(trial.number)):
            return False
        path = self._layout.sweep_run(self.entity, self.project, self.id, trial.run_id)
        publish_json(self._layout.new_temporary(), path, {"trial": trial.number})
        return True

    @property
    def said_state(self) -> str:
        """What a person said that it is to be; ``"RUNNING"`` unless somebody did."""
        state: str = (read_json(self._folder / "state.json") or {}).get("state", "RUNNING")
        return state

    def say_state(self, state: str) -> None:
        """Say what it is to be: agents look before each trial, and while one runs."""
        require_writable(self._layout)
        publish_json(self._layout.new_temporary(), self._folder / "state.json", {"state": state})

    def _trial_file(self, number: int) -> Any:
        return self._folder / "trials" / f"{number}.json"


def store_of(reader: RunReader) -> Layout:
    """Return the local store beside a reader: where sweeps are, whatever server runs are sent to."""
    layout = reader.journals()
    outbox = layout.root.parent
    return Layout(outbox.parent) if outbox.name == "outbox" else layout


def sweep_ids(layout: Layout, entity: str, project: str) -> list[str]:
    """Return the ids of a project's sweeps, the newest first."""
    said = [read_json(path) for path in layout.sweeps(entity, project).glob("*/sweep.json")]
    return [each["id"] for each in sorted(filter(None, said), key=lambda each: -each["created_at"])]


def sweeps_of_run(layout: Layout, entity: str, project: str, run_id: str) -> Iterator[str]:
    """Yield the ids of the sweeps that have a run among their trials, the newest first."""
    if layout.sweeps(entity, project).exists():
        for sweep_id in sweep_ids(layout, entity, project):
            if layout.sweep_run(entity, project, sweep_id, run_id).exists():
                yield sweep_id


def text_of(parameters: Mapping[str, Any]) -> str:
    """Return parameters as one text, the same for the same values."""
    return values.dumps(dict(parameters), sort_keys=True)
