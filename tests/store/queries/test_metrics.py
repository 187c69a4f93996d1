"""The history keys of many runs: they equal the descriptions of the runs, read one by one."""

from __future__ import annotations

import random
from typing import Any

import pytest
from builders import ENTITY, PROJECT, START, Writer, apply_all, seal_all

from tracker.errors import NotFoundError, UsageError
from tracker.ground.field_infos import MetricInfo, MetricList
from tracker.ground.records import MetricDefined
from tracker.reading.local import LocalReader
from tracker.store.queries import metrics
from tracker.store.store import Store

DEFINITIONS = (
    MetricDefined("*", "epoch"),
    MetricDefined("loss", "epoch", goal="minimize"),
    MetricDefined("loss", goal="maximize"),
    MetricDefined("acc*", "never logged", hidden=True),
    MetricDefined("epoch", hidden=True),
    MetricDefined("other", "_runtime", summary=["min"]),
)
VALUES: tuple[Any, ...] = (1, 0.5, True, "text", None, [1], {"inner": 2})


def start(store: Store, run_id: str, attempt: int = 0, **started: Any) -> Writer:
    number = int.from_bytes(run_id.encode(), "big")
    begin = START + 1000.0 * attempt
    return Writer(
        store.layout, f"{attempt:08x}{number:024x}", run_id, attempt=attempt, start=begin, **started
    )


@pytest.fixture
def runs(store: Store) -> list[str]:
    """Return the ids of runs with random keys and definitions; some have several writers and attempts."""
    some = random.Random(11)
    ids = [f"r{at}" for at in range(30)]
    for run_id in ids:
        for attempt in range(some.choice((1, 1, 2))):
            writer = start(store, run_id, attempt, start_step=10 * attempt, rank=some.choice((0, 0, 1)))
            for definition in some.sample(DEFINITIONS, some.randrange(3)):
                writer.put(definition)
            for _ in range(some.randrange(4)):
                keys = some.sample(("loss", "epoch", "acc", "acc/val", "other"), 3)
                writer.log({key: some.choice(VALUES) for key in keys})
            writer.finish()
    apply_all(store)
    seal_all(store)
    return ids


def expected(reader: LocalReader, ids: list[str]) -> dict[str, dict[str, Any]]:
    """Return the answer as far as the descriptions of single runs and their lines have it."""
    found: dict[str, dict[str, Any]] = {}
    axes: dict[str, set[str]] = {}
    for run_id in ids:
        keys = {each.key: each for each in reader.run(ENTITY, PROJECT, run_id).keys}
        for line in reader.run_lines(ENTITY, PROJECT, [run_id], list(keys)) if keys else ():
            axes.setdefault(line.key, set()).add(line.x)
        for key, info in keys.items():
            known = found.setdefault(key, {"runs": 0, "numbers": False, "last_step": 0, "kinds": set()})
            known["runs"] += 1
            known["numbers"] |= info.numbers
            known["last_step"] = max(known["last_step"], info.last_step or 0)
            known["kinds"].add(info.kind)
    for key, known in found.items():
        known["x"] = axes[key].pop() if len(axes[key]) == 1 else None
        kinds = known.pop("kinds")
        kinds = kinds - {"null"} or kinds
        known["kind"] = kinds.pop() if len(kinds) == 1 else "other"
    return dict(sorted(found.items()))


def test_metrics_equal_the_descriptions_of_the_runs(store: Store, runs: list[str]) -> None:
    reader = LocalReader(store, follows=False)
    some = random.Random(1)
    axes = set()
    for size in (*range(1, 6), *range(1, 6), 30):
        chosen = some.sample(runs, size)
        found = reader.metrics(ENTITY, PROJECT, chosen)
        assert found.runs == size
        shown = {
            each.key: {name: getattr(each, name) for name in ("runs", "numbers", "last_step", "x", "kind")}
            for each in found.metrics
        }
        assert shown == expected(reader, chosen)
        assert list(shown) == sorted(shown)
        axes |= {each.x for each in found.metrics}
        assert reader.metrics(ENTITY, PROJECT, [*chosen, *chosen]) == found
    assert axes >= {"_step", "epoch", None}
    assert reader.metrics(ENTITY, PROJECT) == reader.metrics(ENTITY, PROJECT, runs)


def test_axes_goals_and_hidden_keys(store: Store) -> None:
    for run_id, definitions in {
        "a": [MetricDefined("loss", "epoch", goal="minimize"), MetricDefined("acc", hidden=True)],
        "b": [MetricDefined("lo*", "epoch", goal="minimize"), MetricDefined("acc", goal="maximize")],
        "c": [MetricDefined("loss", goal="maximize"), MetricDefined("acc", hidden=True)],
    }.items():
        writer = start(store, run_id)
        for definition in definitions:
            writer.put(definition)
        writer.log({"loss": 1.0, "acc": 0.5, "epoch": 1}, commit=True)
        writer.finish()
    apply_all(store)
    reader = LocalReader(store, follows=False)

    def of(*ids: str) -> dict[str, tuple[str | None, str | None, bool]]:
        found = reader.metrics(ENTITY, PROJECT, ids).metrics
        return {each.key: (each.x, each.goal, each.hidden) for each in found}

    assert of("a") == {
        "acc": ("_step", None, True),
        "epoch": ("_step", None, False),
        "loss": ("epoch", "minimize", False),
    }
    assert of("a", "b")["loss"] == ("epoch", "minimize", False)
    assert of("a", "b")["acc"] == ("_step", None, False)  # one run has no goal, and one does not hide it
    assert of("a", "c") == {
        "acc": ("_step", None, True),
        "epoch": ("_step", None, False),
        "loss": (None, None, False),
    }


def test_runs_of_a_selection(store: Store) -> None:
    for run_id, key in (("a", "loss"), ("b", "acc"), ("archived", "old")):
        writer = start(store, run_id, config={"name": run_id})
        writer.log({key: 1}, commit=True)
        writer.finish()
    apply_all(store)
    reader = LocalReader(store, follows=False)
    reader.edit(ENTITY, PROJECT, "archived", {"archived": True})

    def keys(runs: list[str] | None = None, **selection: Any) -> list[str]:
        return [each.key for each in reader.metrics(ENTITY, PROJECT, runs, **selection).metrics]

    assert keys() == ["acc", "loss"]  # like a list of runs, it leaves archived runs out
    assert keys(["archived"]) == ["old"]
    assert keys(query="config.name:b") == ["acc"]
    assert keys(filters={"archived": True}) == ["old"]
    assert keys(search="A", filters={"config.name": {"$ne": "b"}}) == ["loss"]
    assert reader.metrics(ENTITY, PROJECT, []) == MetricList(0, [])
    assert reader.metrics(ENTITY, "unknown") == MetricList(0, [])


def test_a_live_run_and_a_run_without_rows(store: Store) -> None:
    writer = start(store, "live")
    apply_all(store)
    reader = LocalReader(store, follows=False)
    assert reader.metrics(ENTITY, PROJECT, ["live"]) == MetricList(1, [])
    writer.log({"loss": 1.0}, step=7, commit=True)
    apply_all(store)
    loss = MetricInfo("loss", "number", True, 1, "_step", None, False, 7)
    assert reader.metrics(ENTITY, PROJECT, ["live"]) == MetricList(1, [loss])


def test_wrong_questions(store: Store, runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    reader = LocalReader(store, follows=False)
    with pytest.raises(NotFoundError, match="there is no run 'gone' in team/demo"):
        reader.metrics(ENTITY, PROJECT, ["gone"])
    assert reader.metrics(ENTITY, PROJECT, ["r1", "gone"]) == reader.metrics(ENTITY, PROJECT, ["r1"])
    with pytest.raises(UsageError, match="not both"):
        reader.metrics(ENTITY, PROJECT, ["r1"], query="state:finished")
    with pytest.raises(UsageError, match="character 2"):
        reader.metrics(ENTITY, PROJECT, query="(")
    monkeypatch.setattr(metrics, "MOST_RUNS", 29)
    with pytest.raises(UsageError, match="30 runs are too many for one request: choose at most 29 runs"):
        reader.metrics(ENTITY, PROJECT)
