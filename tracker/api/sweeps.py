"""``Sweep``: a sweep with its configuration, state and runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracker.api.attrs import Attrs, as_time
from tracker.api.run import ENDED, Run
from tracker.api.runs import Runs
from tracker.artifacts.paginators import PaginatedList
from tracker.errors import ApiNotFoundError, NotFoundError, UnsupportedError
from tracker.ground.terminal import say
from tracker.sweeps.config import expected_runs
from tracker.sweeps.files import Sweep as StoredSweep
from tracker.sweeps.files import store_of, sweep_ids

if TYPE_CHECKING:
    from tracker.api.api import Api
    from tracker.reading.reader import Reader


class Sweep(Attrs):
    """A sweep, like ``wandb.apis.public.Sweep`` (wandb: ``apis/public/sweeps.py``).

    Sweeps are always read from the local store, even if runs are read from a server.

    Attributes:
        id: The id.
        project: The project.
        runs: The started runs of the sweep, the oldest first.
    """

    def __init__(self, reader: Reader, entity: str, project: str, sweep_id: str) -> None:
        self._reader = reader
        self._entity = entity
        self.project = project
        self.id = sweep_id
        self.runs: Runs
        self.load()

    def load(self, force: bool = False) -> dict[str, Any]:
        """Read the sweep again; return its fields under wandb's names.

        Raises:
            ApiNotFoundError: The sweep does not exist.
        """
        try:
            self._stored = StoredSweep(store_of(self._reader), self._entity, self.project, self.id)
        except NotFoundError as error:
            raise ApiNotFoundError(error.message) from None
        self._trials = self._stored.trials()
        self.runs = self._runs("+created_at", 50)
        return self._fields()

    def _runs(self, order: str, per_page: int) -> Runs:
        names = [trial.run_id for trial in self._trials]
        return Runs(self._reader, self._entity, self.project, {"name": {"$in": names}}, order, per_page)

    @property
    def entity(self) -> str:
        """The entity of the project."""
        return self._entity

    @property
    def username(self) -> str:
        """The same as ``entity``."""
        return self._entity

    @property
    def config(self) -> dict[str, Any]:
        """The configuration of the sweep."""
        return self._stored.config

    @property
    def name(self) -> str:
        """The name, or the id of a sweep without a name."""
        return str(self.config.get("name") or self.id)

    @property
    def state(self) -> str:
        """``"RUNNING"``, ``"PENDING"`` (no trial yet), ``"PAUSED"``, ``"CANCELED"`` or ``"FINISHED"``."""
        requested = self._stored.requested_state
        if requested != "RUNNING":
            return requested
        if not self._trials:
            return "PENDING"
        expected = self.expected_run_count
        if expected is None or len(self._trials) < expected:
            return "RUNNING"
        return "FINISHED" if all(run.state in ENDED for run in self.runs) else "RUNNING"

    @property
    def order(self) -> str | None:
        """The order of runs by the sweep's metric, the best run first, such as ``"+summary_metrics.loss"``.

        None if the sweep does not have a metric.
        """
        metric = self.config.get("metric")
        if not metric:
            return None
        sign = "-" if metric.get("goal") == "maximize" else "+"
        return f"{sign}summary_metrics.{metric['name']}"

    def best_run(self, order: str | None = None) -> Run | None:
        """Return the run with the best last value of the sweep's metric, or None without runs.

        Args:
            order: An order of ``Api.runs`` to use instead of the metric. The first run is the best run.
        """
        wanted = order or self.order
        if wanted is None:
            say("WARNING No order specified and the sweep has no metric. Returning its newest run.")
        return next(iter(self._runs(wanted or "-created_at", 1)), None)

    @property
    def expected_run_count(self) -> int | None:
        """The number of runs of the finished sweep, or None if the sweep does not end."""
        return expected_runs(self.config)

    @property
    def path(self) -> list[str]:
        """Entity, project and id."""
        return [self._entity, self.project, self.id]

    @property
    def url(self) -> None:
        """Always None: sweeps do not have a page here."""

    @classmethod
    def get(
        cls,
        api: Api,
        entity: str | None = None,
        project: str | None = None,
        sid: str | None = None,
        order: str | None = None,
        query: str | None = None,
        **kwargs: Any,
    ) -> Sweep:
        """Return a sweep. See ``Api.sweep``.

        Args:
            api: The ``Api`` that reads the sweep.
            entity: The entity; by default that of the settings.
            project: The project; by default that of the settings.
            sid: The id of the sweep.
            order: The order of ``Sweep.runs``; by default the oldest first.
            query: Accepted for compatibility.
            kwargs: Accepted for compatibility.
        """
        found = api.sweep("/".join(each for each in (entity, project, sid) if each))
        if order is not None:
            found.runs = found._runs(order, 50)
        return found

    def agents(self) -> list[Any]:
        """Raise UnsupportedError: the store does not record agents."""
        raise UnsupportedError(
            "Sweep.agents", "the file of each trial in the store names its host; see docs/sweeps.md"
        )

    def agent(self, agent_id: str) -> Any:
        """Raise UnsupportedError: the store does not record agents."""
        raise UnsupportedError(
            "Sweep.agent", "the file of each trial in the store names its host; see docs/sweeps.md"
        )

    def enqueue_run(self, config: dict[str, Any], display_name: str | None = None) -> str:
        """Raise UnsupportedError: there is no queue of runs."""
        raise UnsupportedError("Sweep.enqueue_run", "start that run yourself: init(config=..., group=...)")

    def _fields(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "method": self.config["method"],
            "displayName": self.config.get("name"),
            "description": self.config.get("description"),
            "createdAt": as_time(self._stored.created_at),
            "runCount": len(self._trials),
            "runCountExpected": self.expected_run_count,
        }

    def __repr__(self) -> str:
        return f"<Sweep {'/'.join(self.path)} ({self.state})>"


class Sweeps(PaginatedList[Sweep]):
    """The sweeps of a project, the newest first."""


def find_sweeps(reader: Reader, entity: str, project: str, per_page: int) -> Sweeps:
    """Return the sweeps of a project.

    Args:
        reader: The reader of the sweeps' runs.
        entity: The entity.
        project: The project.
        per_page: Accepted for compatibility.
    """
    found = sweep_ids(store_of(reader), entity, project)
    return Sweeps((Sweep(reader, entity, project, each) for each in found), per_page)


Run._make_sweep = Sweep
