"""Lists of projects and runs, the detail of one run, and changes."""

from __future__ import annotations

import math
from typing import Any

import pytest
from builders import ENTITY, PROJECT, START, Writer, apply_all, read_history, seal_all

from tracker.errors import NotFoundError, UsageError
from tracker.store.queries import changes, runs
from tracker.store.store import Store


def write_runs(store: Store, **by_id: dict[str, Any]) -> None:
    """Write a run for each keyword, a minute apart, with the given summary, and with ``name`` if given."""
    for at, (run_id, summary) in enumerate(by_id.items()):
        name = summary.pop("name", run_id)
        config = summary.pop("config", {})
        writer = Writer(
            store.layout, f"{at + 1:032x}", run_id, start=START + 60 * at, name=name, config=config
        )
        writer.log(summary)
    apply_all(store)


def listed(store: Store, **options: Any) -> list[str]:
    with store.reading() as session:
        return [run.id for run in runs.list_runs(session, ENTITY, PROJECT, **options).runs]


def test_newest_first_and_pages(store: Store) -> None:
    write_runs(store, a={}, b={}, c={}, d={}, e={})
    assert listed(store) == ["e", "d", "c", "b", "a"]
    assert listed(store, limit=2) == ["e", "d"]
    assert listed(store, limit=2, offset=4) == ["a"]
    assert listed(store, limit=2, offset=9) == []
    assert (
        listed(store, order="created_at") == listed(store, order="+created_at") == ["a", "b", "c", "d", "e"]
    )
    with store.reading() as session:
        page = runs.list_runs(session, ENTITY, PROJECT, limit=1)
        assert (page.total, len(page.runs)) == (5, 1)
        assert page.revision == runs.revision(session)
        assert runs.list_runs(session, ENTITY, "elsewhere").total == 0


def test_search_in_names_and_ids(store: Store) -> None:
    write_runs(
        store,
        abc={"name": "Calm-River"},
        calm={"name": "x"},
        other={"name": "100%_done\\"},
        zzz={"name": "100 done"},
    )
    assert listed(store, search="CALM") == ["calm", "abc"]
    assert listed(store, search="100%") == ["other"]
    assert listed(store, search="0%_d") == ["other"]
    assert listed(store, search="_") == ["other"]
    assert listed(store, search="\\") == ["other"]
    assert listed(store, search="nothing") == []
    with store.reading() as session:
        assert runs.list_runs(session, ENTITY, PROJECT, search="calm", limit=1).total == 2


KEYS = ["val/loss", 'say "x"', "it's", "a.b", "a[0]", "back\\slash", "größe", "two\nlines", "", "$", "`", "%"]


@pytest.mark.parametrize("key", KEYS)
def test_order_by_any_summary_key(store: Store, key: str) -> None:
    write_runs(store, a={key: 3}, b={key: 0.5}, c={"other": 1}, d={key: 10})
    assert listed(store, order=f"summary.{key}") == ["b", "a", "d", "c"]
    assert listed(store, order=f"-summary.{key}") == ["d", "a", "b", "c"]


def test_order_by_config(store: Store) -> None:
    write_runs(store, a={"config": {"net/lr": 2}}, b={"config": {"net/lr": 1}}, c={})
    assert listed(store, order="config.net/lr") == ["b", "a", "c"]


def test_runs_without_a_comparable_value_come_last_either_way(store: Store) -> None:
    write_runs(
        store, a={"x": math.nan}, b={"x": 2}, c={"x": {"min": 1}}, d={"x": None}, e={"x": 1}, f={"x": [1]}
    )
    assert listed(store, order="summary.x") == ["e", "b", "a", "f", "d", "c"]
    assert listed(store, order="-summary.x") == ["b", "e", "a", "f", "d", "c"]


@pytest.mark.parametrize("order", ["nonsense", "", "-", "summary", "id; DROP TABLE runs"])
def test_unknown_order(store: Store, order: str) -> None:
    with pytest.raises(UsageError, match="cannot order by"):
        listed(store, order=order)


@pytest.mark.parametrize("order", runs.ORDERS)
def test_every_order_can_be_asked_for(store: Store, order: str) -> None:
    write_runs(store, a={"x": 1}, b={})
    assert sorted(listed(store, order=order)) == sorted(listed(store, order=f"-{order}")) == ["a", "b"]
    assert listed(store, order=order) != listed(store, order=f"-{order}") or order in (
        "state",
        "last_step",
        "duration",
        "group",
        "job_type",
        "host",
    )


def test_projects_by_latest_change(store: Store) -> None:
    for at, project in enumerate(["old", "new", "old"]):
        Writer(store.layout, f"{at + 1:032x}", f"r{at}", project=project, start=START + at * 100)
        apply_all(store)
    with store.reading() as session:
        found = runs.list_projects(session)
    assert [(each.entity, each.name, each.runs, each.updated_at) for each in found] == [
        (ENTITY, "old", 2, START + 200),
        (ENTITY, "new", 1, START + 100),
    ]


def test_unknown_run(store: Store) -> None:
    with store.reading() as session:
        with pytest.raises(NotFoundError, match="there is no run team/demo/none in this store"):
            runs.run_detail(session, ENTITY, PROJECT, "none")


def test_detail_merges_all_writers(store: Store) -> None:
    first = Writer(store.layout, "1" * 32, config={"lr": 1})
    first.log({"x": 1, "maybe": None})
    first.finish("failed")
    second = Writer(store.layout, "2" * 32, attempt=1, start_step=1, start=START + 50)
    second.log({"x": 2, "maybe": "text", "y": True})
    apply_all(store)
    for _ in ("hot", "cold"):
        with store.reading() as session:
            detail = runs.run_detail(session, ENTITY, PROJECT, "run1")
        assert [(key.key, key.kind, key.count, key.last_step) for key in detail.keys] == [
            ("maybe", "text", 2, 1),
            ("x", "number", 2, 1),
            ("y", "number", 1, 1),
        ]
        assert (detail.attempts, detail.state, detail.config) == (2, "running", {"lr": 1})
        seal_all(store)


def test_changes_since_a_revision(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.reading() as session:
        assert (
            changes.change_batch(session, None) == changes.change_batch(session, 0) == changes.ChangeBatch(0)
        )
    write_runs(store, a={}, b={}, c={})
    with store.reading() as session:
        whole = changes.change_batch(session, 0)
        assert [run.id for run in whole.runs] == ["a", "b", "c"]
        assert changes.change_batch(session, whole.revision).runs == []
        # Changes that do not fit into one answer come with the next one.
        monkeypatch.setattr(changes, "LARGEST_BATCH", 2)
        first = changes.change_batch(session, 0)
        rest = changes.change_batch(session, first.revision)
        assert [run.id for run in first.runs + rest.runs] == ["a", "b", "c"]
        assert rest.revision == whole.revision


def test_history_of_some_keys(store: Store) -> None:
    writer = Writer(store.layout, "1" * 32)
    for data in ({"a": 1, "b": 1}, {"b": 2}, {"a": None}, {"c": 3}, {"a": 5}):
        writer.log(data)
    writer.log({"a": "aside"}, step=1)
    writer.finish()
    apply_all(store)
    for _ in ("hot", "cold"):

        def keys(*wanted: str, complete: bool = False) -> list[tuple[Any, ...]]:
            found = read_history(store, keys=list(wanted), complete=complete)
            assert all({"_step", "_runtime", "_timestamp"} <= set(row) for row in found)
            return [
                (row["_step"], {key: value for key, value in row.items() if not key.startswith("_")})
                for row in found
            ]

        assert keys("a") == [(0, {"a": 1}), (1, {"a": "aside"}), (2, {"a": None}), (4, {"a": 5})]
        assert keys("a", "b", complete=True) == [(0, {"a": 1, "b": 1})]
        assert keys("a", "_step") == keys("a")
        assert keys("nowhere") == []
        assert keys("_step") == [(0, {}), (1, {}), (1, {}), (2, {}), (3, {}), (4, {})]
        assert len(read_history(store)) == 6
        seal_all(store)


def test_step_of_a_row_wins_over_a_logged_one(store: Store) -> None:
    Writer(store.layout, "1" * 32).log({"_step": 77, "_runtime": "x", "a": 1})
    apply_all(store)
    (row,) = read_history(store)
    assert (row["_step"], row["_runtime"]) == (0, 1.0)
