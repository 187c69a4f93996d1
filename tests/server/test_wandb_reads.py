"""Questions of ``wandb.Api`` to the server, without the client: filters, pages, number of queries."""

from __future__ import annotations

import json
from typing import Any

import pytest
from api_callers import ACTOR
from builders import Writer, apply_all
from sqlalchemy import event

from server.accounts.callers import Caller
from server.known_projects import KnownProjects
from server.wandb.addresses import Addresses
from server.wandb.artifact_drafts import ArtifactDrafts
from server.wandb.context import Context
from server.wandb.filtering import holds
from server.wandb.operations import make_executor
from server.wandb.run_filters import read_filters, read_order
from server.wandb.segments import Segments
from server.wandb.stops import forget_stop, is_stopped
from tracker.errors import UsageError
from tracker.ground.people import Rights
from tracker.ground.records import ConfigChanged
from tracker.reading.local import LocalReader
from tracker.store.store import Store
from tracker.sweeps.config import check_sweep
from tracker.sweeps.files import Sweep, Trial

GRID = {"method": "grid", "parameters": {"x": {"values": [1, 2]}}}
# The fragment of a list of runs of wandb 0.31.
LIGHT = """query Runs($filters: JSONString, $cursor: String, $first: Int) {
  project(name: "demo", entityName: "team") { runCount(filters: $filters)
    runs(filters: $filters, after: $cursor, first: $first, order: "+created_at") {
      edges { node { projectId ...Light } cursor } pageInfo { endCursor hasNextPage } } } }
fragment Light on Run { id tags name displayName sweepName state group jobType commit readOnly createdAt
  heartbeatAt description notes historyLineCount user { name username } }"""


def context_of(store: Store) -> Context:
    return Context(
        store=store,
        reader=LocalReader(store, follows=False),
        caller=Caller("ann", Rights(everything=True)),
        segments=Segments(store),
        drafts=ArtifactDrafts(store.layout),
        addresses=Addresses(store),
        base="http://localhost",
        client="",
        known=KnownProjects(store),
        is_core=False,
        actor=ACTOR,
    )


@pytest.fixture
def context(store: Store) -> Context:
    """Return a request to a store with 30 runs of one project and a sweep with the first two runs."""
    for number in range(30):
        writer = Writer(
            store.layout,
            f"{number:032x}",
            f"run{number:02}",
            start=1e9 + number,
            entity="team",
            project="demo",
        )
        writer.put(ConfigChanged({"x": number}))
        for _ in range(number % 3):
            writer.log({"loss": number})
        if number != 29:
            writer.finish()
    apply_all(store)
    sweep = Sweep.create(store.layout, "team", "demo", check_sweep(GRID))
    for number in range(2):
        sweep.claim(Trial(number, f"run{number:02}", {"x": number}))
    return context_of(store)


def ask(context: Context, query: str, **variables: Any) -> Any:
    return make_executor().run(query, variables, context)


def ids(context: Context, filters: Any) -> list[str]:
    runs = ask(context, LIGHT, filters=json.dumps(filters), first=50)["project"]["runs"]
    return [edge["node"]["name"] for edge in runs["edges"]]


def test_a_page_of_runs_needs_the_same_queries_for_any_number_of_runs(context: Context) -> None:
    counted: list[str] = []
    engine = context.store._engine

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        counted.append(statement)

    event.listen(engine, "before_cursor_execute", count)
    sizes = []
    for first in (2, 30):
        counted.clear()
        found = ask(context, LIGHT, first=first)["project"]
        assert len(found["runs"]["edges"]) == first
        sizes.append(len(counted))
    assert sizes[0] >= sizes[1]
    nodes = [edge["node"] for edge in found["runs"]["edges"]]
    assert [node["historyLineCount"] for node in nodes] == [number % 3 for number in range(30)]
    assert [node["sweepName"] is not None for node in nodes] == [number < 2 for number in range(30)]


def test_pages(context: Context) -> None:
    found: list[str] = []
    cursor = None
    while True:
        page = ask(context, LIGHT, first=7, cursor=cursor)["project"]
        assert page["runCount"] == 30
        found += [edge["node"]["name"] for edge in page["runs"]["edges"]]
        if not page["runs"]["pageInfo"]["hasNextPage"]:
            break
        cursor = page["runs"]["edges"][-1]["cursor"]
    assert found == [f"run{number:02}" for number in range(30)]


def test_filters_of_fields_that_the_catalog_does_not_have(context: Context) -> None:
    sweep = ask(
        context, 'query { project(name: "demo", entityName: "team") { sweeps { edges { node { name } } } } }'
    )
    name = sweep["project"]["sweeps"]["edges"][0]["node"]["name"]
    every = [f"run{number:02}" for number in range(30)]
    for test, expected in (
        (name, every[:2]),
        ({"$in": [name, "other"]}, every[:2]),
        ({"$ne": name}, every[2:]),
        ({"$nin": [name]}, every[2:]),
        ({"$exists": True}, every[:2]),
        ({"$regex": "^" + name[:3]}, every[:2]),
        ({"$not": {"$eq": name}}, every[2:]),
        ({"$gt": 1}, []),
        (None, every[2:]),
        ("other", []),
    ):
        assert ids(context, {"sweep": test}) == expected, test
    assert ids(context, {"$and": [{"sweep": name}, {"config.x": 1}]}) == ["run01"]
    assert ids(context, {"username": "ann", "config.x.value": {"$lt": 2}}) == every[:2]
    assert ids(context, {"user": {"$ne": "ann"}}) == []
    assert ids(context, {"state": "running"}) == ["run29"]
    assert ids(context, {"state": {"$nin": ["running"]}}) == every[:29]
    assert ids(context, {"keys_info.keys.loss": {"$exists": True}}) == [
        run for run in every if int(run[3:]) % 3
    ]
    assert ids(context, {"$and": []}) == every


@pytest.mark.parametrize(
    "wrong",
    [
        "[1]",
        "{",
        '{"$or": 3}',
        '{"sweep": {"$near": 1}}',
        '{"sweep": {"$in": 1}}',
        '{"sweep": {"$regex": "("}}',
    ],
)
def test_a_wrong_filter(context: Context, wrong: str) -> None:
    with pytest.raises(UsageError):
        ask(context, LIGHT, filters=wrong)


def test_a_test_of_the_state_also_finds_runs_that_will_be_preempted(context: Context) -> None:
    both = ["running", "preempting"]
    for test, expected in (
        ("running", {"$in": both}),
        ("finished", "finished"),
        ({"$ne": "running"}, {"$nin": both}),
        ({"$in": ["running", "failed"]}, {"$in": ["running", "failed", "preempting"]}),
        ({"$not": {"$eq": "running"}}, {"$not": {"$in": both}}),
    ):
        assert read_filters(context, "team", "demo", {"state": test}) == {"state": expected}


@pytest.mark.parametrize(
    "begin", ["", "# a comment\n", "fragment F on Run { id }\n", "query Q { viewer { id } }\n"]
)
def test_a_mutation_is_found_wherever_it_begins(begin: str) -> None:
    executor = make_executor()
    assert executor.changes(f"{begin}mutation M {{ stopRun {{ success }} }}")
    assert not executor.changes("# mutation\nquery mutation { viewer { id } }")


def test_orders() -> None:
    assert read_order(None) == "created_at"
    assert read_order("+created_at") == "created_at"
    assert read_order("-summary_metrics.loss") == "-summary_metrics.loss"
    assert read_order("-name,+config.x.value") == "-id,config.x.value"


def test_a_request_to_stop_outlives_the_server_and_ends_with_the_attempt(context: Context) -> None:
    run = ask(
        context, 'query { project(name: "demo", entityName: "team") { run(name: "run29") { id stopped } } }'
    )
    assert run["project"]["run"]["stopped"] is False
    stopping = "mutation StopRun($id: ID!) { stopRun(input: {id: $id}) { success } }"
    answer = ask(context, stopping, id=run["project"]["run"]["id"])
    assert answer == {"stopRun": {"success": True}}
    place = ("team", "demo", "run29")
    assert is_stopped(context_of(context.store), place)
    assert not is_stopped(context, ("team", "demo", "run28"))
    forget_stop(context, place)  # the run starts again
    assert not is_stopped(context, place)


def test_a_pattern_that_needs_exponential_time_elsewhere() -> None:
    assert not holds("a" * 100 + "!", {"$regex": "(a+)+$"})
    assert holds(["x", "a" * 100], {"$regex": "(a+)+$"})
    assert holds("a.b", {"$contains": ".b"})
    assert not holds(None, {"$contains": "None"})


@pytest.mark.parametrize("wrong", [{"$regex": "("}, {"$regex": "\ud800"}, {"$nin": 3}])
def test_a_wrong_condition(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        holds("a", wrong)
