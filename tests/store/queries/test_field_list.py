"""The fields of a project's runs: names, extremes and strings equal those of all runs, read one by one."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from builders import ENTITY, PROJECT, START, Writer, apply_all
from sqlalchemy import select

from tracker.ground.field_infos import FieldInfo, FieldList
from tracker.ground.records import SummaryChanged
from tracker.reading.local import LocalReader
from tracker.store.catalog.models import RunField
from tracker.store.catalog.run_index import refresh_all_fields
from tracker.store.queries import field_list
from tracker.store.queries.field_list import list_fields
from tracker.store.store import Store

VALUES: list[Any] = [
    1.5,
    -3,
    True,
    2**70,
    10**400,
    math.nan,
    math.inf,
    "text",
    "Infinity",
    "",
    None,
    [1],
    {"a": 1},
]
COLUMNS = ("group", "host", "job_type", "state", "tag")


def add_run(store: Store, run_id: str, summary: dict[str, Any] | None = None, **started: Any) -> None:
    """Log a run that has ended."""
    number = int.from_bytes(run_id.encode(), "big")
    writer = Writer(store.layout, f"{number:032x}", run_id, start=START + len(run_id), **started)
    writer.put(SummaryChanged(summary or {}))
    writer.finish()
    apply_all(store)


def fields(store: Store, **options: Any) -> FieldList:
    with store.reading() as session:
        return list_fields(session, ENTITY, PROJECT, **options)


def by_name(store: Store, **options: Any) -> dict[str, FieldInfo]:
    return {each.field: each for each in fields(store, **options).fields}


def test_fields_equal_the_values_of_all_runs(store: Store) -> None:
    some = random.Random(3)
    numbers: dict[str, list[float]] = {}
    texts: dict[str, set[str]] = {}
    names: set[str] = set()
    for at in range(40):
        config = {f"key{key}": some.choice(VALUES) for key in some.sample(range(12), 6)}
        config |= {"choice": f"text {some.randrange(8)}", "list": [1], "dict": {"inner": 1}}
        add_run(store, f"r{at}", {"loss": some.choice(VALUES)}, config=config)
        with store.reading() as session:
            rows = session.execute(select(RunField.field, RunField.number, RunField.text))
            for name, number, text in rows:
                names.add(name)
                numbers.setdefault(name, []).extend([] if number is None else [number])
                texts.setdefault(name, set()).update([] if text is None else [text])
    found = {name: each for name, each in by_name(store).items() if name not in COLUMNS}
    assert list(found) == sorted(names)
    for name, each in found.items():
        nonfinite = texts[name] & {"NaN", "Infinity", "-Infinity"}
        assert each == FieldInfo(
            name,
            numbers=bool(numbers[name] or nonfinite),
            texts=bool(texts[name] - nonfinite),
            min=min(numbers[name], default=None),
            max=max(numbers[name], default=None),
            values=sorted(texts[name] - nonfinite),
            more=False,
        ), name
    assert any(each.numbers and each.texts for each in found.values())
    neither = {name for name, each in found.items() if not each.numbers and not each.texts}
    assert neither >= {"config.list", "config.dict"}


def test_columns_and_tags(store: Store) -> None:
    add_run(store, "a", tags=["best", "a.b"], group="g1", job_type="train")
    add_run(store, "b", tags=["best"], group="g0", config={"group": "of the config"})
    found = by_name(store)
    assert list(found) == ["config.group", "group", "host", "job_type", "state", "tag"]
    assert {name: each.values for name, each in found.items()} == {
        "config.group": ["of the config"],
        "group": ["g0", "g1"],
        "host": ["node1"],
        "job_type": ["train"],
        "state": ["finished"],
        "tag": ["a.b", "best"],
    }
    assert all(each.texts and not each.numbers and not each.more for each in found.values())


def test_a_media_object_is_one_field(store: Store) -> None:
    image = {"_type": "image-file", "path": "media/x.png", "width": 3, "boxes": {"size": 1}}
    summary = {"loss": {"min": 0.5}, "sample": image, "nested": {"image": image, "count": 2}, "samples": 1}
    add_run(store, "a", summary, config={"model": {"_type": "vit", "depth": 3}})
    found = by_name(store)
    keys = ["loss", "loss.min", "nested", "nested.count", "nested.image", "sample", "samples"]
    assert [name for name in found if name.startswith("summary.")] == [f"summary.{key}" for key in keys]
    assert [name for name, each in found.items() if each.media == "image-file"] == [
        "summary.nested.image",
        "summary.sample",
    ]
    assert {"config.model._type", "config.model.depth"} <= found.keys()
    assert not by_name(store, search="width")


def test_limits_of_values_and_fields(store: Store) -> None:
    for at in range(5):
        add_run(store, f"r{at}", config={"opt": f"o{at}", "long": "x" * 300 if at else "short", "_b": 1})
    for most in range(7):
        opt = by_name(store, values=most)["config.opt"]
        assert (opt.texts, opt.values, opt.more) == (True, [f"o{at}" for at in range(5)][:most], most < 5)
    long = by_name(store)["config.long"]
    assert (long.texts, long.values, long.more) == (True, ["short"], True)
    every = fields(store)
    for limit in range(1, len(every.fields) + 2):
        part = fields(store, limit=limit)
        assert part == FieldList(every.fields[:limit], limit < len(every.fields))


def test_names_that_were_not_read_are_not_hidden(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    add_run(store, "a", config={f"key{at}": at for at in range(5)})
    monkeypatch.setattr(field_list, "MOST_NAMES", 3)
    found = fields(store, search="key")
    assert [each.field for each in found.fields] == ["config.key0", "config.key1", "config.key2"]
    assert found.more


def test_search_ignores_case_and_means_the_name(store: Store) -> None:
    add_run(store, "a", {"Loss": 1, "loss/val": 2}, config={"100%": "loss", "x_y": 1, "xzy": 2})
    assert list(by_name(store, search="LOSS")) == ["summary.Loss", "summary.loss/val"]
    assert list(by_name(store, search="0%")) == ["config.100%"]
    assert list(by_name(store, search="x_y")) == ["config.x_y"]
    assert fields(store, search="nothing") == FieldList([], more=False)


def test_internal_keys_are_left_out(store: Store) -> None:
    config = {
        "_wandb": {"visualize": {"a": "b"}, "t": 1},
        "_wandb_mine": 1,
        "_wandb/x": 2,
        "net": {"_wandb": 3},
    }
    add_run(
        store, "a", {"_wandb": {"runtime": 3}, "_step": 5, "_runtime": 1.0, "_timestamp": 2.0}, config=config
    )
    names = [name for name in by_name(store) if name not in COLUMNS]
    assert names == [
        "config._wandb/x",
        "config._wandb_mine",
        "config.net",
        "config.net._wandb",
        "summary._runtime",
        "summary._step",
        "summary._timestamp",
    ]


def test_odd_names(store: Store) -> None:
    config = {"": 1, "a\0b": "c\0d", "ключ": "да", ".": {"/": 2}, 'it\'s "x" ?': 3}
    add_run(store, "a", config=config)
    found = {name: each for name, each in by_name(store).items() if name not in COLUMNS}
    assert list(found) == sorted(
        ["config.", "config.a\0b", "config.ключ", "config..", "config.../", 'config.it\'s "x" ?']
    )
    assert found["config.a\0b"].values == ["c\0d"]
    assert found["config.ключ"].values == ["да"]
    assert found["config."].min == 1


def test_archived_deleted_and_moved_runs(store: Store) -> None:
    for name in ("archived", "deleted", "moved", "edited"):
        add_run(store, name, config={name: name}, group=name)
    reader = LocalReader(store, follows=False)
    reader.edit(ENTITY, PROJECT, "archived", {"archived": True})
    reader.delete_run(ENTITY, PROJECT, "deleted", False)
    reader.move_run(ENTITY, PROJECT, "moved", "other")
    reader.edit(
        ENTITY, PROJECT, "edited", {"config": {"new": 1}, "config_removed": ["edited"], "group": None}
    )
    found = by_name(store)
    assert [name for name in found if name.startswith("config.")] == ["config.archived", "config.new"]
    assert found["group"].values == ["archived"]
    other = reader.fields(ENTITY, "other")
    assert [each.field for each in other.fields] == ["config.moved", "group", "host", "state"]
    reader.restore_run(ENTITY, PROJECT, "deleted")
    assert by_name(store)["config.deleted"].values == ["deleted"]


def test_a_project_without_runs_has_no_fields(store: Store) -> None:
    assert fields(store) == FieldList([], more=False)


def test_no_query_reads_the_rows_of_all_runs(store: Store) -> None:
    """Each query of ``run_fields`` is a seek in a covering index, never a scan."""
    add_run(store, "a", {"loss": 1}, config={"opt": "adam"}, tags=["t"])
    asked: list[str] = []
    with store.reading() as session:
        driver: Any = session.connection().connection.driver_connection
        driver.set_trace_callback(asked.append)
        list_fields(session, ENTITY, PROJECT)
        driver.set_trace_callback(None)
        queries = [sql for sql in asked if "run_fields" in sql]
        assert queries
        for sql in queries:
            plan = [step for *_, step in driver.execute(f"EXPLAIN QUERY PLAN {sql}")]
            used = [step for step in plan if "run_fields" in step]
            assert used, plan
            assert all(step.startswith("SEARCH run_fields USING COVERING INDEX") for step in used), plan


def test_an_old_index_has_all_fields_after_it_is_refreshed(store: Store) -> None:
    """A catalog from before the index gets its rows from the runs: see the migrations."""
    add_run(store, "a", {"loss": 1}, config={"opt": "adam"}, tags=["t"])
    before = fields(store)
    with store.writing() as session:
        session.query(RunField).delete()
    with store.writing() as session:
        refresh_all_fields(session)
    assert fields(store) == before
