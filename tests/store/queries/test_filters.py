"""Filters of runs: MongoDB's query language, which wandb's public API uses."""

from __future__ import annotations

import math
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import ENTITY, PROJECT, START, Writer, apply_all
from sqlalchemy import select

from tracker.errors import UsageError
from tracker.ground.records import ConfigChanged, SummaryChanged
from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import Run, RunField
from tracker.store.catalog.run_index import LONGEST_TEXT, fields_of
from tracker.store.queries import runs
from tracker.store.store import Store

FIXTURE = Path(__file__).resolve().parents[2] / "fixtures" / "format-1" / "sealed"
LONG = "x" * LONGEST_TEXT

RUNS: dict[str, dict[str, Any]] = {
    "a": {
        "config": {"lr": 0.1, "opt": "adam", "net": {"width": 64, "act": {"name": "relu"}}, "amp": True},
        "summary": {"loss": 0.5, "val/acc": 0.9},
        "tags": ["best", "a,b"],
        "group": "first",
        "name": "calm-river-1",
    },
    "b": {
        "config": {
            "lr": 0.01,
            "opt": "sgd",
            "net": {"width": 128},
            "amp": False,
            "note": None,
            "value_coef": 0.5,
            "value": 3,
            "critic": {"value_coef": 2},
        },
        "summary": {"loss": math.nan},
        "tags": ["best", 'say "x"'],
        "job_type": "train",
        "name": "Calm-river-2",
    },
    "c": {
        "config": {"lr": "auto", "opt": LONG + "1", "layers": [64, 64], "net.width": 256, "empty": {}},
        "summary": {"loss": math.inf, "step": 3},
        "name": "wild-sea",
    },
    "d": {"config": {"opt": LONG + "2", "seed": 2**70, "v": {"value": 7}}, "summary": {}, "name": "größe"},
}


def fill(store: Store) -> None:
    """Write the four runs, a minute apart, and a run of another project."""
    for at, (run_id, said) in enumerate(RUNS.items()):
        started = {key: value for key, value in said.items() if key != "summary"}
        writer = Writer(store.layout, f"{at + 1:032x}", run_id, start=START + 60 * at, **started)
        writer.put(SummaryChanged(said["summary"]))
    other = Writer(store.layout, "f" * 32, "other", project="elsewhere", config={"lr": 0.1}, tags=["best"])
    other.put(SummaryChanged({"loss": 0.5}))
    apply_all(store)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with the runs, for tests that do not change it."""
    store = open_store(tmp_path_factory.mktemp("filled") / "store")
    fill(store)
    yield store
    store.close()


def found(store: Store, filters: Any, **options: Any) -> str:
    """Return the ids of the matching runs, by default oldest first."""
    with store.reading() as session:
        page = runs.list_runs(session, ENTITY, PROJECT, filters=filters, **{"order": "created_at", **options})
    assert page.total == len(page.runs)
    return "".join(run.id for run in page.runs)


CASES: list[tuple[dict[str, Any], str]] = [
    ({}, "abcd"),
    ({"config.lr": 0.1}, "a"),
    ({"config.lr.value": 0.1}, "a"),
    ({"config.v.value": 7}, "d"),
    ({"config.net.value.width": 64}, "a"),
    ({"config.value_coef": 0.5}, "b"),
    ({"config.value_coef.value": 0.5}, "b"),
    ({"config.value_coef.value": {"$exists": True}}, "b"),
    ({"config.value": 3}, "b"),
    ({"config.value.value": 3}, "b"),
    ({"config.critic.value.value_coef": 2}, "b"),
    ({"config.lr": "auto"}, "c"),
    ({"config.lr": {"$lt": 0.1}}, "b"),
    ({"config.lr": {"$lte": 0.1, "$gt": 0.01}}, "a"),
    ({"config.lr": {"$gte": "a"}}, "c"),
    ({"config.lr": {"$lt": math.inf}}, "ab"),
    ({"config.lr": {"$lt": 10**400, "$gt": -(10**400)}}, "ab"),
    ({"config.lr": {"$ne": 0.1}}, "bcd"),
    ({"config.lr": {"$in": [0.1, "auto", 5]}}, "ac"),
    ({"config.lr": {"$in": []}}, ""),
    ({"config.lr": {"$in": [0.1, None]}}, "ad"),
    ({"config.lr": {"$nin": [0.1, "auto"]}}, "bd"),
    ({"config.lr": None}, "d"),
    ({"config.lr": {"$ne": None}}, "abc"),
    ({"config.note": {"$exists": True}}, ""),
    ({"config.layers": {"$exists": True}}, "c"),
    ({"config.empty": {"$exists": True}}, "c"),
    ({"config.seed": {"$exists": 1}}, "d"),
    ({"config.seed": {"$gt": 2**69}}, "d"),
    ({"config.net": {"$exists": False}}, "cd"),
    ({"config.net.width": {"$gt": 64}}, "bc"),
    ({"config.net.act.name": "relu"}, "a"),
    ({"config.amp": True}, "a"),
    ({"config.amp": 0}, "b"),
    ({"config.opt": LONG}, ""),
    ({"config.opt": LONG + "1"}, "c"),
    ({"config.opt": {"$ne": LONG + "2"}}, "abc"),
    ({"config.opt": {"$regex": "^(ad|sg)"}}, "ab"),
    ({"config.opt": {"$regex": "(x+x+)+y"}}, ""),
    ({"config.opt": {"$regex": "^x+$"}}, "cd"),
    ({"config.lr": {"$regex": "."}}, "c"),
    ({"config.opt": {"$not": {"$regex": "^x"}}}, "ab"),
    ({"summary.val/acc": {"$gt": 0.5}}, "a"),
    ({"summary_metrics.loss": {"$lt": 1}}, "a"),
    ({"summary_metrics.loss": math.nan}, "b"),
    ({"summary_metrics.loss": "NaN"}, "b"),
    ({"summary_metrics.loss": {"$in": [math.inf, math.nan]}}, "bc"),
    ({"summary_metrics._step": None}, "abcd"),
    ({"tags": "best"}, "ab"),
    ({"tags": {"$in": ["a,b", "nothing"]}}, "a"),
    ({"tags": {"$nin": ["a,b"]}}, "bcd"),
    ({"tags": {"$all": ["best", 'say "x"']}}, "b"),
    ({"tags": {"$ne": "best"}}, "cd"),
    ({"tags": None}, "cd"),
    ({"tags": {"$exists": True}}, "ab"),
    ({"tags": {"$regex": "^say"}}, "b"),
    ({"tags": ","}, ""),
    ({"name": "b"}, "b"),
    ({"id": {"$in": ["a", "d"]}}, "ad"),
    ({"display_name": "größe"}, "d"),
    ({"displayName": {"$regex": "(?i)^calm"}}, "ab"),
    ({"display_name": {"$regex": "^calm"}}, "a"),
    ({"group": "first"}, "a"),
    ({"group": {"$ne": "first"}}, "bcd"),
    ({"group": {"$nin": ["first", None]}}, ""),
    ({"group": None}, "bcd"),
    ({"jobType": {"$exists": True}}, "b"),
    ({"job_type": {"$in": ["train", None]}}, "abcd"),
    ({"job_type": {"$not": {"$gt": "a"}}}, "acd"),
    ({"state": "running"}, "abcd"),
    ({"state": {"$ne": "running"}}, ""),
    ({"created_at": {"$gte": START + 60}}, "bcd"),
    ({"createdAt": {"$lt": "2023-11-14T22:14:20Z"}}, "a"),
    ({"createdAt": {"$lt": "2023-11-14T23:14:20+01:00"}}, "a"),
    ({"createdAt": {"$lt": "2023-11-14T22:14:20"}}, "a"),
    ({"duration": {"$gte": 0}}, "abcd"),
    ({"$and": [{"config.lr": {"$exists": True}}, {"tags": "best"}]}, "ab"),
    ({"$or": [{"config.lr": "auto"}, {"config.lr": 0.1}]}, "ac"),
    ({"$nor": [{"config.lr": "auto"}, {"config.lr": 0.1}]}, "bd"),
    ({"$not": {"tags": "best", "config.lr": 0.1}}, "bcd"),
    ({"$or": [{"$and": [{"name": "a"}, {"name": "b"}]}, {"$not": {"name": {"$ne": "d"}}}]}, "d"),
    ({"config.lr": 0.1, "tags": "best", "state": "running", "summary.loss": {"$lt": 1}}, "a"),
    ({"config.'; DROP TABLE runs; --": {"$ne": "'; DROP TABLE runs; --"}}, "abcd"),
]


@pytest.mark.parametrize("at", range(len(CASES)), ids=lambda at: str(CASES[at][0])[:60])
def test_runs_that_match(filled: Store, at: int) -> None:
    filters, expected = CASES[at]
    assert found(filled, filters) == expected
    # Every order gives the same runs, and the negated filter gives all other runs.
    for order in ("config.lr", "-summary.loss", "config.opt", "-name", "last_step"):
        assert "".join(sorted(found(filled, filters, order=order))) == expected
    if filters:
        assert set(found(filled, {"$not": filters})) == set("abcd") - set(expected)
    assert found(filled, filters, search="calm") == "".join(sorted(set(expected) & set("ab")))


QUERIES = [
    ("calm", "ab"),
    ("-calm", "cd"),
    ("^CALM-river-[12]$", "ab"),
    ("GRÖSSE OR größe", "d"),
    ("tag:best config.lr>=0.1", "a"),
    ("tag:best -config.lr>=0.1", "b"),
    ("config.lr:auto OR config.lr:0.1", "ac"),
    ("(config.lr:auto OR config.lr:0.1) tag:best", "a"),
    ("-has:config.net", "cd"),
    ("config.lr:null", "d"),
    ("summary.loss:nan", "b"),
    ("summary.loss:inf,nan", "bc"),
    ("config.net.act.name:relu", "a"),
    ("config.amp:true", "a"),
    ("config.opt~^AD", "a"),
    ('tag:"a,b"', "a"),
    ("created:2023-11-14 group:first", "a"),
    ("created>2023-11-15", ""),
    ("id:b,c state:running", "bc"),
]


@pytest.mark.parametrize(("query", "expected"), QUERIES, ids=[query for query, _ in QUERIES])
def test_queries_that_match(filled: Store, query: str, expected: str) -> None:
    with filled.reading() as session:
        page = runs.list_runs(session, ENTITY, PROJECT, query=query, order="created_at")
        assert "".join(run.id for run in page.runs) == expected
        assert page.total == len(expected)
        both = runs.list_runs(session, ENTITY, PROJECT, query=query, search="calm", filters={"tags": "best"})
        assert {run.id for run in both.runs} == set(expected) & set("ab")


WRONG: list[tuple[Any, str]] = [
    ([1], r"a filter is a dict such as \{'config.lr': 0.1\}, not \[1\]"),
    (
        {"colour": 1},
        "cannot filter by 'colour': use config.KEY, summary_metrics.KEY or one of archived, created_at",
    ),
    ({"config": {"lr": 1}}, "cannot filter by 'config'"),
    ({1: 1}, "a filter's keys are names of fields, not 1"),
    ({"config.lr": {"$near": 1}}, r"config.lr: unknown operator '\$near': use \$eq, \$ne"),
    ({"config.lr": {"$gt": 1, "b": 2}}, "config.lr: unknown operator 'b'"),
    (
        {"config.lr": [1]},
        r"config.lr: can be compared with a number, a string, true or false, not with \[1\]",
    ),
    ({"config.lr": {"$gt": None}}, "config.lr: can be compared with"),
    ({"config.lr": {"$gt": math.nan}}, "config.lr: cannot compare with NaN: use"),
    ({"config.lr": {"$in": 1}}, r"config.lr: \$in takes a list, not 1"),
    ({"config.lr": {"$exists": "yes"}}, r"config.lr: \$exists takes true or false, not 'yes'"),
    ({"config.lr": {"$not": 1}}, r"config.lr: \$not takes a dict"),
    ({"config.lr": {"$regex": 1}}, r"config.lr: \$regex takes a string, not 1"),
    ({"config.lr": {"$regex": "(a"}}, r"config.lr: '\(a' is not a valid RE2 pattern: missing \)"),
    ({"config.lr": {"$regex": "(?=a)"}}, "config.lr: .* is not a valid RE2 pattern"),
    ({"config.\ud800": 1}, "half a surrogate pair"),
    ({"config.lr": "\ud800"}, "half a surrogate pair"),
    ({"tags": {"$regex": "\ud800"}}, "half a surrogate pair"),
    ({"tags": {"$gt": "a"}}, r"tags: tags are not compared by \$gt"),
    ({"tags": 1}, "tags: can be compared with a string, not with 1"),
    ({"tags": ["a"]}, "tags: can be compared with a string"),
    ({"state": 5}, "state: can be compared with a string, not with 5"),
    ({"state": {"$gt": None}}, "state: can be compared with a string, not with None"),
    ({"duration": "long"}, "duration: can be compared with a number, not with 'long'"),
    ({"duration": {"$gt": True}}, "duration: can be compared with a number, not with True"),
    ({"duration": {"$regex": "1"}}, r"duration: cannot use \$regex: the field is not a string"),
    (
        {"createdAt": {"$gt": "yesterday"}},
        "createdAt: 'yesterday' is not a time: use unix seconds or ISO 8601",
    ),
    ({"createdAt": {"$gt": []}}, "createdAt: can be compared with unix seconds or a time in ISO 8601"),
    ({"$and": {}}, r"\$and takes a list of filters, not \{\}"),
    ({"$or": []}, r"\$or takes a list of filters"),
    ({"$where": "1"}, r"unknown operator \$where: use \$and, \$or"),
    ({"$or": [{"name": "a"}] * 401}, "the filter has more than 400 conditions"),
    ({"tags": {"$all": ["a"] * 401}}, "the filter has more than 400 conditions"),
    ({"name": {"$in": ["a"] * 10_001}}, "the filter has more than 10000 values"),
]


@pytest.mark.parametrize("at", range(len(WRONG)), ids=lambda at: ascii(WRONG[at][0])[:60])
def test_wrong_filters_are_one_clear_line(filled: Store, at: int) -> None:
    filters, message = WRONG[at]
    with pytest.raises(UsageError, match=message) as caught:
        found(filled, filters)
    assert "\n" not in str(caught.value)


def test_the_largest_filters(filled: Store) -> None:
    deep: dict[str, Any] = {"config.lr": 0.1}
    for _ in range(20):
        deep = {"$or": [deep]}
    assert found(filled, deep) == "a"
    with pytest.raises(UsageError, match="nested more than 20 levels deep"):
        found(filled, {"$or": [deep]})
    assert found(filled, {"$or": [{"config.lr": each} for each in range(190)] + [{"name": "d"}]}) == "d"
    assert found(filled, {"name": {"$nin": [str(each) for each in range(10_000)]}}) == "abcd"


def test_pages_of_what_matches_in_every_order(store: Store) -> None:
    for at in range(60):
        config: dict[str, Any] = {
            "n": at,
            "mixed": at if at % 3 == 0 else f"s{at % 7}" if at % 3 == 1 else None,
        }
        Writer(store.layout, f"{at + 1:032x}", f"r{at:02}", start=START + at, config=config)
    apply_all(store)
    filters = {"config.n": {"$gte": 20}}
    for sign in ("", "-"):
        with store.reading() as session:
            whole = runs.list_runs(
                session, ENTITY, PROJECT, filters=filters, order=f"{sign}config.mixed"
            ).runs
            for limit in (1, 4, 9, 40):
                paged = [
                    run
                    for offset in range(0, 44, limit)
                    for run in runs.list_runs(
                        session, ENTITY, PROJECT, filters=filters, order=f"{sign}config.mixed",
                        limit=limit, offset=offset,
                    ).runs
                ]  # fmt: skip
                assert paged == whole
        places = [run.config["mixed"] for run in whole]
        numbers = sorted((n for n in range(20, 60) if n % 3 == 0), reverse=bool(sign))
        texts = sorted((f"s{n % 7}" for n in range(20, 60) if n % 3 == 1), reverse=bool(sign))
        assert places == [*numbers, *texts, *[None] * 14]
        assert [run.config["n"] for run in whole][-14:] == sorted(
            (n for n in range(20, 60) if n % 3 == 2), reverse=True
        )


def stored_fields(store: Store) -> dict[str, dict[str, tuple[Any, Any]]]:
    with store.reading() as session:
        kept: dict[str, dict[str, tuple[Any, Any]]] = {
            run_id: {} for run_id in session.scalars(select(Run.run_id))
        }
        for run_id, field, number, text in session.execute(
            select(Run.run_id, RunField.field, RunField.number, RunField.text).join(RunField)
        ):
            kept[run_id][field] = (number, text)
    return kept


def derived_fields(store: Store) -> dict[str, dict[str, tuple[Any, Any]]]:
    with store.reading() as session:
        return {
            run.run_id: {
                name: tuple(value) for name, value in fields_of(run.config, run.summary, run.tags).items()
            }
            for run in session.scalars(select(Run))
        }


def test_fields_follow_the_run(store: Store) -> None:
    fill(store)
    assert stored_fields(store) == derived_fields(store)
    writer = Writer(
        store.layout,
        "e" * 32,
        "a",
        attempt=1,
        start=START + 500,
        config={"lr": 0.1, "new": "x"},
        tags=["other"],
    )
    writer.put(ConfigChanged({"lr": "now text", "net": 5}, []))
    writer.put(SummaryChanged({"loss": 0.25}))
    apply_all(store)
    assert stored_fields(store) == derived_fields(store)
    assert found(store, {"config.lr": "now text", "tags": "other", "summary.loss": 0.25}) == "a"
    writer.put(ConfigChanged({}, ["lr"]))
    apply_all(store)
    assert stored_fields(store) == derived_fields(store)
    assert found(store, {"config.new": "x"}) == "a"


def test_a_key_with_dots_hides_a_nested_one_that_spells_the_same() -> None:
    for config in ({"a.b": 1, "a": {"b": 2, "c": 3}}, {"a": {"b": 2, "c": 3}, "a.b": 1}):
        fields = fields_of(config, {}, [])
        assert (fields["config.a.b"][0], fields["config.a.c"][0]) == (1.0, 3.0)


def test_only_what_changed_is_written(store: Store) -> None:
    fill(store)
    with sqlite3.connect(store.layout.catalog) as watch:
        watch.executescript(
            "CREATE TABLE written (field); "
            "CREATE TRIGGER a AFTER INSERT ON run_fields BEGIN INSERT INTO written VALUES (new.field); END; "
            "CREATE TRIGGER b AFTER UPDATE ON run_fields BEGIN INSERT INTO written VALUES (new.field); END; "
            "CREATE TRIGGER c AFTER DELETE ON run_fields BEGIN INSERT INTO written VALUES (old.field); END;"
        )
        Writer(store.layout, "e" * 32, "a", attempt=1, start=START + 500, config={"lr": 0.2}).put(
            SummaryChanged({"loss": 0.5, "more": 1})
        )
        apply_all(store)
        assert {field for (field,) in watch.execute("SELECT field FROM written")} == {
            "config.lr",
            "summary.more",
        }
    watch.close()


def test_an_older_catalog_gets_its_fields(tmp_path: Path) -> None:
    store = open_store(shutil.copytree(FIXTURE, tmp_path / "store"), create=False)
    kept = stored_fields(store)
    assert kept == derived_fields(store)
    assert any(fields for fields in kept.values())
    store.close()
