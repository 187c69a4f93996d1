"""Sweeps for the wandb client: the same files and the same choice of trials as those of ``tracker sweep``."""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
import time
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from server.wandb.context import Context
from server.wandb.executor import Fields
from server.wandb.ids import make_id, read_id
from server.wandb.pages import connection
from server.wandb.run_object import ProjectObject, RunObject, RunsOfPage
from server.wandb.sweep_runs import layout_of
from server.wandb.texts import read_json, time_text
from tracker.errors import NotFoundError, UsageError
from tracker.ground.names import check_entity, check_project, new_run_id
from tracker.ground.read_models import RunDetail
from tracker.ground.values import dumps, to_plain
from tracker.store.objects.atomic_files import publish_json
from tracker.store.objects.atomic_files import read_json as read_file
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import require_writable
from tracker.sweeps.config import check_sweep, expected_runs, parameters_of, sign_of
from tracker.sweeps.early_stop import EarlyStopper
from tracker.sweeps.files import STATES, Sweep, Trial, sweep_ids
from tracker.sweeps.hyperband import read_brackets
from tracker.sweeps.results import ReaderResults, number_of, outcome_of
from tracker.sweeps.search import next_trial
from tracker.sweeps.space import nested, pick

# An agent sends a sign of life every 5 seconds. One that is silent for longer has ended.
_SILENT_SECONDS = 120.0
_MOST_RUNS = 1000
# The largest config: PyYAML needs some seconds for it.
_LONGEST_CONFIG = 100_000
_MOST_VALUES = 100_000
_AGENT = re.compile("[0-9a-f]{16}")
_random = Random()


class SweepObject(Fields):
    """A sweep as the client asks for it."""

    typename = "Sweep"

    def __init__(self, context: Context, sweep: Sweep) -> None:
        self._context = context
        self._sweep = sweep
        config = sweep.config
        self.id = make_id("Sweep", sweep.entity, sweep.project, sweep.id)
        self.name = sweep.id
        self.display_name = config.get("name")
        self.method = config["method"]
        self.description = config.get("description")
        self.config = _as_yaml(config)
        self.created_at = self.updated_at = time_text(sweep.created_at)
        self.heartbeat_at = None
        self.run_count_expected = expected_runs(config)
        self.early_stop_job_running = False
        self.controller = self.scheduler = None
        self.controller_run_name = f"{sweep.id}-scheduler"
        self.user = None
        self.project = ProjectObject(context, sweep.entity, sweep.project)

    @cached_property
    def _trials(self) -> list[Trial]:
        return self._sweep.trials()

    @property
    def run_count(self) -> int:
        """Number of trials."""
        return len(self._trials)

    @property
    def state(self) -> str:
        """State as in ``tracker.Api``: that which a person requested, or how far the trials are."""
        requested = self._sweep.requested_state
        if requested != "RUNNING":
            return requested
        if not self._trials:
            return "PENDING"
        if self._sweep.config.get("scheduler"):
            return "RUNNING"  # the scheduler finishes the sweep
        if self.run_count_expected is None or len(self._trials) < self.run_count_expected:
            return "RUNNING"
        return "RUNNING" if self._select({"state": {"$in": ["running", "preempting"]}}, 1) else "FINISHED"

    @property
    def best_loss(self) -> float | None:
        """The best last value of the metric."""
        metric = self._sweep.config.get("metric")
        if not metric:
            return None
        order = f"{'-' if sign_of(self._sweep.config) < 0 else ''}summary.{metric['name']}"
        found = self._select({f"summary.{metric['name']}": {"$exists": True}}, 1, order)
        return number_of(found[0].summary, metric["name"]) if found else None

    def runs(self, first: int | None = None, **_: Any) -> dict[str, Any]:
        """Return the started runs."""
        return self.page_of([trial.run_id for trial in self._trials], None, first)

    def page_of(self, names: list[str], after: str | None, first: int | None) -> dict[str, Any]:
        """Return a page of some runs of the sweep.

        Args:
            names: Ids of the runs.
            after: Cursor of the page before; None for the first page.
            first: The largest number; None for all.
        """
        found = self._context.reader.runs(
            self._sweep.entity,
            self._sweep.project,
            filters={"name": {"$in": names}},
            order="created_at",
            limit=_MOST_RUNS,
        )
        page = RunsOfPage(self._context, found.runs)
        nodes: list[RunObject] = [TrialObject(self._context, page, info) for info in found.runs]
        started = {info.id for info in found.runs}
        nodes += pending_runs(self._context, self._sweep, [name for name in names if name not in started])
        return connection(nodes, after, first)

    def agents(self, **_: Any) -> dict[str, Any]:
        """Return the agents that use the wandb client."""
        found = [
            AgentObject(self, Agent(self._sweep, path.stem, layout_of(self._context))) for path in self._files
        ]
        return connection(sorted(found, key=lambda each: each.created_at or ""), None, None)

    def agent(self, agent_name: str) -> AgentObject | None:
        """Return an agent by its name or its id."""
        for path in self._files:
            found = AgentObject(self, Agent(self._sweep, path.stem, layout_of(self._context)))
            if agent_name in (found.id, found.name):
                return found
        return None

    @property
    def _files(self) -> list[Path]:
        sweep = self._sweep
        return list(
            layout_of(self._context).sweep_agents(sweep.entity, sweep.project, sweep.id).glob("*.json")
        )

    def _select(self, filters: dict[str, Any], limit: int, order: str = "created_at") -> list[Any]:
        names = {"name": {"$in": [trial.run_id for trial in self._trials]}}
        return self._context.reader.runs(
            self._sweep.entity,
            self._sweep.project,
            filters={"$and": [names, filters]},
            order=order,
            limit=limit,
        ).runs


class TrialObject(RunObject):
    """A run of a sweep, with the fields that agents and controllers ask for."""

    def __init__(self, context: Context, page: RunsOfPage, info: Any) -> None:
        super().__init__(context, (info.entity, info.project, info.id), info, page)
        self.running = self.state == "running"
        self.failed = self.state in ("failed", "crashed", "killed")
        self.should_stop = False
        self.exitcode = None if self.running else int(self.failed)


class PendingRun(RunObject):
    """A trial of a scheduler of the user that no agent has started yet."""

    def __init__(self, context: Context, sweep: Sweep, trial: Trial) -> None:
        info = RunDetail(
            entity=sweep.entity,
            project=sweep.project,
            id=trial.run_id,
            name=trial.run_id,
            state="pending",
            created_at=sweep.created_at,
            updated_at=sweep.created_at,
            finished_at=None,
            duration=0.0,
            last_step=None,
            tags=[],
            group=None,
            job_type=None,
            notes=None,
            config=trial.parameters,
            summary={},
            error=None,
        )
        super().__init__(context, (sweep.entity, sweep.project, trial.run_id), info)

    def sampled_history(self, specs: Any, **_: Any) -> list[list[dict[str, Any]]]:
        """Return no rows for each specification."""
        return [[] for _each in specs] if isinstance(specs, list) else [[]]


def pending_runs(context: Context, sweep: Sweep, names: list[str]) -> list[PendingRun]:
    """Return those of some runs that wait for an agent. Only a sweep with a scheduler has such runs.

    Args:
        context: The request.
        sweep: The sweep.
        names: Ids of trials without a run.
    """
    if not names or not sweep.config.get("scheduler"):
        return []
    layout = layout_of(context)
    folder = layout.sweep_agents(sweep.entity, sweep.project, sweep.id)
    agents = [Agent(sweep, path.stem, layout) for path in folder.glob("*.json")]
    # An agent that got a trial and did not start a run has failed, unless it just got the trial.
    taken = {run for agent in agents for run in agent.content["runs"]}
    fresh = {agent.waiting for agent in agents if time.time() - agent.seen_at < _SILENT_SECONDS}
    waiting = [trial for trial in sweep.trials() if trial.run_id not in taken - fresh]
    return [PendingRun(context, sweep, trial) for trial in waiting if trial.run_id in names]


class Agent:
    """An agent of the wandb client: a file in the folder of its sweep.

    Its modification time is that of the last sign of life.

    Args:
        sweep: The sweep.
        name: Name of the agent.
        layout: The store.
    """

    def __init__(self, sweep: Sweep, name: str, layout: Layout) -> None:
        self.sweep = sweep
        self.name = name
        self._layout = layout
        self.path = layout.sweep_agents(sweep.entity, sweep.project, sweep.id) / f"{name}.json"
        # The name comes from an id that a client has sent.
        content = read_file(self.path) if _AGENT.fullmatch(name) else None
        if content is None:
            raise NotFoundError(f"the sweep {sweep.path} has no agent {name}")
        self.content: dict[str, Any] = content

    @classmethod
    def create(cls, sweep: Sweep, host: str, layout: Layout) -> Agent:
        """Make an agent.

        Args:
            sweep: The sweep.
            host: Name of the agent's host.
            layout: The store.
        """
        name = secrets.token_hex(8)
        path = layout.sweep_agents(sweep.entity, sweep.project, sweep.id) / f"{name}.json"
        content = {"host": host, "created_at": time.time(), "runs": [], "reported": True, "passed": {}}
        publish_json(layout.new_temporary(), path, content)
        return cls(sweep, name, layout)

    def keep(self, **values: Any) -> None:
        """Change the file."""
        self.content.update(values)
        publish_json(self._layout.new_temporary(), self.path, self.content)

    @property
    def id(self) -> str:
        """The id that the client gets."""
        return make_id("Agent", self.sweep.entity, self.sweep.project, self.sweep.id, self.name)

    @property
    def seen_at(self) -> float:
        """Time of the last sign of life, in unix seconds."""
        return self.path.stat().st_mtime

    @property
    def waiting(self) -> str | None:
        """The run that the agent got and has not reported: its answer may have been lost."""
        return None if self.content["reported"] else self.content["runs"][-1]


class AgentObject(Fields):
    """An agent as the client asks for it."""

    typename = "Agent"

    def __init__(self, sweep: SweepObject, agent: Agent) -> None:
        self._sweep, self._agent = sweep, agent
        self.id = agent.id
        self.name = agent.name
        self.host = agent.content["host"]
        self.total_runs = len(agent.content["runs"])
        self.created_at = time_text(agent.content["created_at"])
        self.heartbeat_at = time_text(agent.seen_at)
        self.state = "RUNNING" if time.time() - agent.seen_at < _SILENT_SECONDS else "FINISHED"

    def runs(self, after: str | None = None, first: int | None = None, **_: Any) -> dict[str, Any]:
        """Return the runs of the agent."""
        return self._sweep.page_of(self._agent.content["runs"], after, first)


def find_sweep(context: Context, entity: str, project: str, name: str) -> Sweep | None:
    """Return a sweep; None if there is none.

    Args:
        context: The request.
        entity: Entity of the project.
        project: Name of the project.
        name: Id of the sweep.
    """
    try:
        return Sweep(layout_of(context), entity, project, name)
    except NotFoundError:
        return None


def list_sweeps(context: Context, entity: str, project: str) -> list[SweepObject]:
    """Return the sweeps of a project, the newest first.

    Args:
        context: The request.
        entity: Entity of the project.
        project: Name of the project.
    """
    layout = layout_of(context)
    ids = sweep_ids(layout, entity, project)
    return [SweepObject(context, Sweep(layout, entity, project, each)) for each in ids]


def upsert_sweep(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Make a sweep, or change its state or config."""
    sweep = _change(context, input) if input.get("id") else _create(context, input)
    return {"sweep": SweepObject(context, sweep), "configValidationWarnings": []}


def _create(context: Context, given: dict[str, Any]) -> Sweep:
    config = _read_config(given)
    entity = check_entity(str(given.get("entityName") or config.get("entity") or context.default_entity))
    project = check_project(str(given.get("projectName") or config.get("project") or "uncategorized"))
    context.require("writer", (entity, project, ""))
    layout = layout_of(context)
    require_writable(layout)
    prior: list[Trial] = []
    if given.get("priorRunsFilters"):
        filters = read_json(given["priorRunsFilters"])
        parameters = parameters_of(config)
        for info in context.reader.runs(entity, project, filters=filters, limit=_MOST_RUNS).runs:
            values = pick(parameters, info.config)
            known = {} if values is None else nested(parameters, values)
            prior.append(Trial(len(prior), info.id, known, prior=True))
    return Sweep.create(layout, entity, project, config, prior)


def _change(context: Context, given: dict[str, Any]) -> Sweep:
    entity, project, name = read_id("Sweep", given["id"], 3)
    context.require("writer", (entity, project, ""))
    sweep = find_sweep(context, entity, project, name)
    if sweep is None:
        raise NotFoundError(f"there is no sweep {entity}/{project}/{name}")
    if given.get("config"):
        sweep.change_config(_read_config(given))
    if given.get("state"):
        state = str(given["state"]).upper()
        if state not in STATES:
            raise UsageError(f"Invalid state {state!r:.80} of a sweep. Use one of: {', '.join(STATES)}.")
        sweep.request_state(state)
    return sweep


def _read_config(given: dict[str, Any]) -> dict[str, Any]:
    config = _from_yaml(str(given.get("config") or ""))
    for key, name in (("name", "displayName"), ("description", "description")):
        if given.get(name):
            config[key] = given[name]
    if (config.get("controller") or {}).get("type") == "local":
        raise UsageError("This server chooses the trials of sweeps itself. Leave out `controller`.")
    scheduler = config.pop("scheduler", None)
    if not isinstance(scheduler, dict) or not scheduler.get("engine"):
        return check_sweep(config | ({"scheduler": scheduler} if scheduler else {}))
    # A program of the user, `wandb sweep-scheduler`, chooses the trials. Agents wait for them.
    checked = check_sweep({"method": "random", "parameters": {"_": {"value": 0}}, **config})
    if "parameters" not in config:
        checked["parameters"] = {}
    return {**checked, "scheduler": to_plain(scheduler)}


def enqueue_sweep_run(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Add a trial that a scheduler of the user has chosen. An agent runs it."""
    entity, project, name = read_id("Sweep", input.get("id"), 3)
    context.require("writer", (entity, project, ""))
    sweep = find_sweep(context, entity, project, name)
    if sweep is None or not sweep.config.get("scheduler"):
        raise NotFoundError(f"there is no sweep {entity}/{project}/{name} with a scheduler")
    given = read_json(str(input.get("config") or "{}"))
    parameters = {
        key: item["value"] if isinstance(item, dict) and "value" in item else item
        for key, item in given.items()
    }
    run = new_run_id()
    while not sweep.claim(Trial(len(sweep.trials()), run, parameters)):
        pass
    return {"id": run, "runQueueItemId": make_id("QueueItem", run)}


def create_agent(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Make an agent of a sweep."""
    entity, project, _ = context.place(input.get("entityName"), input.get("projectName"), "-")
    context.require("writer", (entity, project, ""))
    name = str(input.get("sweep") or "").rpartition("/")[2]
    sweep = find_sweep(context, entity, project, name)
    if sweep is None:
        raise NotFoundError(f"there is no sweep {entity}/{project}/{name}")
    layout = layout_of(context)
    require_writable(layout)
    agent = Agent.create(sweep, str(input.get("host") or ""), layout)
    return {"agent": AgentObject(SweepObject(context, sweep), agent)}


def agent_heartbeat(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Return what an agent must do next, as JSON text."""
    entity, project, name, agent_name = read_id("Agent", input.get("id"), 4)
    context.require("writer", (entity, project, ""))
    sweep = find_sweep(context, entity, project, name)
    if sweep is None:
        raise NotFoundError(f"there is no sweep {entity}/{project}/{name}")
    agent = Agent(sweep, agent_name, layout_of(context))
    os.utime(agent.path)
    states = read_json(input.get("runState") or "{}")
    running = [str(run) for run, alive in states.items() if alive]
    if agent.waiting in running:
        agent.keep(reported=True)
    return {"agent": {"id": agent.id}, "commands": json.dumps(_commands(context, agent, running))}


def _commands(context: Context, agent: Agent, running: list[str]) -> list[dict[str, Any]]:
    state = agent.sweep.requested_state
    if running:
        ends = state == "CANCELED"
        can_end = ends or read_brackets(agent.sweep.config) is not None
        stopped = [run for run in running if can_end and (ends or _must_stop(context, agent, run))]
        return [{"type": "stop", "run_id": run} for run in stopped]
    if state == "PAUSED":
        return []
    trial = _next_trial(context, agent) if state == "RUNNING" else None
    if trial is None and state == "RUNNING" and agent.sweep.config.get("scheduler"):
        return []
    if trial is None:
        return [{"type": "exit"}]
    arguments = {key: {"value": value} for key, value in trial.parameters.items()}
    program = agent.sweep.config.get("program")
    return [{"type": "run", "run_id": trial.run_id, "args": arguments, "program": program}]


def _must_stop(context: Context, agent: Agent, run_id: str) -> bool:
    sweep = agent.sweep
    trial = next((each for each in sweep.trials() if each.run_id == run_id), None)
    if trial is None:
        return False
    passed = agent.content["passed"].get(run_id, 0)
    stopper = EarlyStopper(sweep, trial, ReaderResults(context.reader, sweep.entity, sweep.project), passed)
    reason = stopper.reason_to_stop()
    if stopper.passed != passed:
        agent.keep(passed={run_id: stopper.passed})
    return reason is not None


def _next_trial(context: Context, agent: Agent) -> Trial | None:
    sweep = agent.sweep
    waiting = agent.waiting
    if waiting is not None and context.find((sweep.entity, sweep.project, waiting)) is None:
        # The answer with the trial may have been lost. It is sent again only once: a program that ends
        # before it starts a run does not report the trial either.
        agent.keep(reported=True)
        return next((each for each in sweep.trials() if each.run_id == waiting), None)
    if sweep.config.get("scheduler"):
        with _choosing:
            return _queued(context, agent)
    results = ReaderResults(context.reader, sweep.entity, sweep.project)
    with _choosing:  # two agents that ask at the same time would draw for one number
        trial = next_trial(sweep, lambda each: outcome_of(sweep.config, results.read(each.run_id)), _random)
    trial = trial or _left(context, agent)
    if trial is not None:
        agent.keep(runs=[*agent.content["runs"], trial.run_id], reported=False)
    return trial


def _queued(context: Context, agent: Agent) -> Trial | None:
    """Give an agent the first trial of a scheduler that no agent has got."""
    others = (Agent(agent.sweep, path.stem, layout_of(context)) for path in agent.path.parent.glob("*.json"))
    taken = {run for other in others for run in other.content["runs"]}
    trial = next((each for each in agent.sweep.trials() if each.run_id not in taken), None)
    if trial is not None:
        agent.keep(runs=[*agent.content["runs"], trial.run_id], reported=False)
    return trial


def _left(context: Context, agent: Agent) -> Trial | None:
    """Return a trial of an agent that ended before it got the trial."""
    sweep = agent.sweep
    for path in agent.path.parent.glob("*.json"):
        other = Agent(sweep, path.stem, layout_of(context))
        run_id = other.waiting
        if run_id is None or time.time() - other.seen_at < _SILENT_SECONDS:
            continue
        if context.find((sweep.entity, sweep.project, run_id)) is None:
            other.keep(reported=True)
            return next((each for each in sweep.trials() if each.run_id == run_id), None)
    return None


_choosing = threading.Lock()


def _from_yaml(text: str) -> dict[str, Any]:
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise UsageError(
            "This server cannot read the sweep, which wandb sends as YAML. On the server: pip install PyYAML"
        ) from None
    if len(text) > _LONGEST_CONFIG:
        raise UsageError(f"The sweep has more than {_LONGEST_CONFIG} characters.")
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"The sweep is not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise UsageError("The sweep is nested too deeply.") from None
    _check_size(found)
    if not isinstance(found, dict):
        raise UsageError("The sweep is not a dict. Write keys such as method and parameters.")
    return found


def _check_size(found: Any) -> None:
    """Refuse YAML whose aliases stand for very many values, or for themselves."""
    waiting, count = [found], 0
    while waiting:
        each = waiting.pop()
        count += 1
        if isinstance(each, dict | list):
            waiting += each.values() if isinstance(each, dict) else each
        if count + len(waiting) > _MOST_VALUES:
            raise UsageError(f"The sweep has more than {_MOST_VALUES} values.")


def _as_yaml(config: dict[str, Any]) -> str:
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        return dumps(config)  # JSON is valid YAML
    text: str = yaml.safe_dump(config, sort_keys=False)
    return text
