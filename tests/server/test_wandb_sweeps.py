"""Answers to agents of the wandb client, without the client."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest
from api_callers import ACTOR
from builders import Writer, apply_all

from server.accounts.callers import Caller
from server.known_projects import KnownProjects
from server.wandb.addresses import Addresses
from server.wandb.artifact_drafts import ArtifactDrafts
from server.wandb.context import Context
from server.wandb.ids import make_id
from server.wandb.operations import make_executor
from server.wandb.segments import Segments
from tracker.errors import ForbiddenError, NotFoundError, UnsupportedError, UsageError
from tracker.ground.people import Rights
from tracker.reading.local import LocalReader
from tracker.store.queries.visible import Visible
from tracker.store.store import Store
from tracker.sweeps.files import Sweep

GRID = "method: grid\nprogram: train.py\nparameters:\n  x: {values: [1, 2]}\n"
UPSERT = (
    "mutation UpsertSweep($input: UpsertSweepInput!) { upsertSweep(input: $input) { sweep { id name } } }"
)
AGENT = "mutation CreateAgent($input: CreateAgentInput!) { createAgent(input: $input) { agent { id name } } }"
BEAT = "mutation Heartbeat($input: HeartbeatInput!) { agentHeartbeat(input: $input) { commands } }"


class Door:
    """Sends operations to the functions of the protocol, as the user ``ann``."""

    def __init__(self, store: Store, rights: Rights) -> None:
        self.context = Context(
            store=store,
            reader=LocalReader(store, follows=False, visible=Visible(rights)),
            caller=Caller("ann", rights),
            segments=Segments(store),
            drafts=ArtifactDrafts(store.layout),
            addresses=Addresses(store),
            base="http://localhost",
            client="",
            known=KnownProjects(store),
            is_core=False,
            actor=ACTOR,
        )

    def ask(self, query: str, **given: Any) -> Any:
        (answer,) = make_executor().run(query, {"input": given}, self.context).values()
        return answer

    def sweep(self, config: str = GRID, **given: Any) -> Any:
        answer = self.ask(UPSERT, config=config, entityName="team", projectName="demo", **given)
        return answer["sweep"]

    def agent(self, sweep: str) -> Any:
        return self.ask(AGENT, host="node", entityName="team", projectName="demo", sweep=sweep)["agent"]

    def beat(self, agent: Any, *running: str) -> Any:
        states = json.dumps(dict.fromkeys(running, True))
        return json.loads(self.ask(BEAT, id=agent["id"], metrics="{}", runState=states)["commands"])


@pytest.fixture
def door(store: Store) -> Door:
    return Door(store, Rights(everything=True))


def log(store: Store, number: int, run_id: str) -> None:
    """Log a run that has ended."""
    Writer(store.layout, f"{number:032x}", run_id, entity="team", project="demo").finish()
    apply_all(store)


def test_agents_get_different_trials_until_none_is_left(store: Store, door: Door) -> None:
    sweep = door.sweep()
    one, two = door.agent(sweep["name"]), door.agent(sweep["name"])
    (first,), (second,) = door.beat(one), door.beat(two)
    assert (first["type"], first["program"], first["args"]) == ("run", "train.py", {"x": {"value": 1}})
    assert second["args"] == {"x": {"value": 2}}
    assert door.beat(one, first["run_id"]) == []
    log(store, 1, first["run_id"])
    assert door.beat(one) == [{"type": "exit"}]
    again = Sweep(store.layout, "team", "demo", sweep["name"])
    assert [trial.run_id for trial in again.trials()] == [first["run_id"], second["run_id"]]


def test_an_answer_that_was_lost_is_sent_once_more(door: Door) -> None:
    agent = door.agent(door.sweep()["name"])
    lost = door.beat(agent)
    assert door.beat(agent) == lost
    assert door.beat(agent)[0]["args"] == {"x": {"value": 2}}  # the program ended before it started a run


def test_a_run_that_ended_before_the_next_sign_of_life_is_not_repeated(store: Store, door: Door) -> None:
    agent = door.agent(door.sweep()["name"])
    (first,) = door.beat(agent)
    log(store, 1, first["run_id"])
    assert door.beat(agent)[0]["args"] == {"x": {"value": 2}}


def test_the_trial_of_an_agent_that_ended_goes_to_another(store: Store, door: Door) -> None:
    sweep = door.sweep()
    gone, other = door.agent(sweep["name"]), door.agent(sweep["name"])
    (left,) = door.beat(gone)
    (own,) = door.beat(other)
    log(store, 1, own["run_id"])
    assert door.beat(other) == [{"type": "exit"}]  # the first agent may still start its trial
    file = store.layout.sweep_agents("team", "demo", sweep["name"]) / f"{gone['name']}.json"
    os.utime(file, (time.time() - 1000,) * 2)
    assert door.beat(other) == [left]


def test_states(door: Door) -> None:
    sweep = door.sweep()
    agent = door.agent(sweep["name"])
    found = []
    for state in ("PAUSED", "RUNNING", "FINISHED", "CANCELED"):
        door.ask(UPSERT, id=sweep["id"], state=state)
        found.append([door.beat(agent, "other"), [each["type"] for each in door.beat(agent)]])
    stop = [{"type": "stop", "run_id": "other"}]
    assert found == [[[], []], [[], ["run"]], [[], ["exit"]], [stop, ["exit"]]]
    with pytest.raises(UsageError, match="Invalid state 'ODD' of a sweep"):
        door.ask(UPSERT, id=sweep["id"], state="odd")


def test_prior_runs_and_a_changed_config(store: Store, door: Door) -> None:
    log(store, 1, "before")
    sweep = door.sweep(priorRunsFilters='{"$or": [{"name": "before"}]}', displayName="shown")
    door.ask(UPSERT, id=sweep["id"], config=GRID.replace("2", "7"))
    found = Sweep(store.layout, "team", "demo", sweep["name"])
    assert [(trial.run_id, trial.prior) for trial in found.trials()] == [("before", True)]
    assert found.config["parameters"] == {"x": {"values": [1, 7]}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("method: [", "The sweep is not valid YAML"),
        ("- a", "The sweep is not a dict"),
        ("method: odd\nparameters: {x: {value: 1}}", "Invalid method 'odd' of the sweep"),
        ("method: grid\nparameters: {x: {min: 0.0, max: 1.0}}", "has too many values for a grid"),
        (f"{GRID}controller: {{type: local}}", "This server chooses the trials of sweeps itself"),
    ],
)
def test_a_wrong_config(door: Door, config: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        door.sweep(config)


def test_what_this_server_does_not_do(door: Door) -> None:
    with pytest.raises(UnsupportedError, match="scheduler"):
        door.sweep(f"{GRID}scheduler: {{job: some/job}}")


WATCH = """query SweepWatchedRuns($filters: JSONString!, $specs: [JSONString!]!) {
  project(name: "demo", entityName: "team") { runs(filters: $filters, first: 200) { ...PollRuns } } }
fragment PollRuns on RunConnection { pageInfo { hasNextPage endCursor }
  edges { node { name state config sampledHistory(specs: $specs) } } }"""
ENQUEUE = "mutation EnqueueSweepRun($input: EnqueueInput!) { enqueueSweepRun(input: $input) { id } }"


def test_a_scheduler_of_the_user_chooses_the_trials(store: Store, door: Door) -> None:
    sweep = door.sweep("method: bayes\nmetric: {name: loss}\nscheduler: {engine: optuna}\nprogram: train.py")
    agent = door.agent(sweep["name"])
    assert door.beat(agent) == []  # the agent waits for the scheduler
    runs = [door.ask(ENQUEUE, id=sweep["id"], config=f'{{"x": {{"value": {x}}}}}')["id"] for x in (1, 2)]

    def watched() -> list[tuple[str, Any, Any]]:
        variables = {"filters": json.dumps({"name": {"$in": runs}}), "specs": ['{"keys": ["loss"]}']}
        page = make_executor().run(WATCH, variables, door.context)["project"]["runs"]
        assert page["pageInfo"]["hasNextPage"] is False
        nodes = [edge["node"] for edge in page["edges"]]
        return [(node["state"], json.loads(node["config"])["x"], node["sampledHistory"]) for node in nodes]

    assert watched() == [("pending", {"value": 1}, [[]]), ("pending", {"value": 2}, [[]])]
    (first,) = door.beat(agent)
    assert (first["run_id"], first["args"]) == (runs[0], {"x": {"value": 1}})
    writer = Writer(store.layout, "1" * 32, runs[0], entity="team", project="demo", config={"x": 1})
    writer.log({"loss": 3})
    writer.finish()
    apply_all(store)
    assert sorted(watched()) == [
        ("finished", {"value": 1}, [[{"loss": 3}]]),
        ("pending", {"value": 2}, [[]]),
    ]
    assert door.beat(agent)[0]["run_id"] == runs[1]
    log(store, 2, runs[1])
    assert door.beat(agent) == []
    door.ask(UPSERT, id=sweep["id"], state="FINISHED")
    assert door.beat(agent) == [{"type": "exit"}]
    assert Sweep(store.layout, "team", "demo", sweep["name"]).trials()[1].parameters == {"x": 2}
    with pytest.raises(NotFoundError):
        door.ask(ENQUEUE, id=door.sweep()["id"], config="{}")


def test_rights(store: Store, door: Door) -> None:
    sweep = door.sweep()
    agent = door.agent(sweep["name"])
    viewer = Door(store, Rights(roles={("team", "demo"): "viewer"}))
    stranger = Door(store, Rights(roles={("team", "other"): "admin"}))
    for other, error in ((viewer, ForbiddenError), (stranger, NotFoundError)):
        for call in (
            other.sweep,
            lambda other=other: other.agent(sweep["name"]),
            lambda other=other: other.beat(agent),
            lambda other=other: other.ask(UPSERT, id=sweep["id"], state="PAUSED"),
            lambda other=other: other.ask(ENQUEUE, id=sweep["id"], config="{}"),
        ):
            with pytest.raises(error):
                call()
    query = 'query { project(name: "demo", entityName: "team") { sweeps { edges { node { name } } } } }'
    assert stranger.ask(query) is None
    assert viewer.ask(query)["sweeps"]["edges"] == [{"node": {"name": sweep["name"]}}]
    for name in ("0" * 16, "../sweep"):
        with pytest.raises(NotFoundError):
            door.beat({"id": make_id("Agent", "team", "demo", sweep["name"], name)})
