"""Pages of runs: queries and filters against an evaluation in Python, orders, cursors and selected fields."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterator
from functools import cmp_to_key
from typing import Any

import pytest
from builders import ENTITY, PROJECT, START, Writer, apply_all

from tracker.errors import UsageError
from tracker.ground import values
from tracker.ground.read_models import RunInfo
from tracker.ground.records import SummaryChanged
from tracker.recorder.open_store import open_store
from tracker.store.queries import run_pages, runs
from tracker.store.queries.run_pages import PageAsked
from tracker.store.queries.run_rows import page_json, parse_fields, select_values
from tracker.store.store import Store

COUNT = 90
MIXED: list[Any] = [0, 1, 1.5, -2, True, "a", "b", "B", "", math.nan, math.inf, None, [1], {"in": 1}]


def write_random(store: Store, count: int, seed: int, first: int = 0) -> None:
    some = random.Random(seed)
    for at in range(first, first + count):
        config = {key: some.choice(MIXED) for key in ("x", "y", "a,b") if some.random() < 0.9}
        config["n"] = some.randrange(20)
        writer = Writer(
            store.layout,
            f"{at + 1:032x}",
            f"r{at:03}",
            start=START + some.randrange(50),
            name=some.choice(("calm-river", "Wild-Sea", "deep-lake")),
            group=some.choice((None, "g1", "g2")),
            tags=some.sample(["best", "old", "t,x"], some.randrange(3)),
            config=config,
        )
        writer.put(SummaryChanged({"loss": some.choice((0.25, 0.5, 0.75, math.nan, "none"))}))
    apply_all(store)


@pytest.fixture(scope="module", params=["small", "large"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Return a store with runs. In a "large" one, pages are read as if it had thousands of runs."""
    store = open_store(tmp_path_factory.mktemp("pages") / "store")
    write_random(store, COUNT, 1)
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "large":
            for name, number in (("FEW", 3), ("LARGEST_SORT", 4), ("LARGEST_WALK", 40)):
                patch.setattr(run_pages, name, number)
        yield store
    store.close()


def page(store: Store, **options: Any) -> Any:
    with store.reading() as session:
        return runs.list_runs(session, ENTITY, PROJECT, **options)


def ids(store: Store, **options: Any) -> list[str]:
    return [run.id for run in page(store, **{"limit": 1000, **options}).runs]


Test = Callable[[RunInfo], bool]


def number(value: Any) -> float | None:
    finite = isinstance(value, (int, float)) and math.isfinite(value)
    return float(value) if finite else None


def random_test(some: random.Random) -> tuple[str, Any, Test]:
    """Return a test as a query, as a filter, and as a function."""
    kind = some.randrange(7)
    key = some.choice(("x", "y", "n"))
    if kind == 0:
        limit = some.choice((0, 1, 1.25, 5))
        return (
            f"config.{key}>{limit}",
            {f"config.{key}": {"$gt": limit}},
            lambda run: (found := number(run.config.get(key))) is not None and found > limit,
        )
    if kind == 1:
        wanted = some.choice((1, "a", "B"))
        return (
            f"config.{key}:{wanted}",
            {f"config.{key}": wanted},
            lambda run: type(run.config.get(key)) in (int, float, bool, str) and run.config[key] == wanted,
        )
    if kind == 2:
        return (
            f"has:config.{key}",
            {f"config.{key}": {"$exists": True}},
            lambda run: run.config.get(key) is not None,
        )
    if kind == 3:
        tag = some.choice(("best", "old", "t,x"))
        return f'tag:"{tag}"', {"tags": tag}, lambda run: tag in run.tags
    if kind == 4:
        pattern = some.choice(("CALM", "sea$", "^r0[0-4]", "d.*e"))
        test = {"$regex": f"(?i){pattern}"}
        return (
            f'"{pattern}"',
            {"$or": [{"display_name": test}, {"name": test}]},
            lambda run: any(re.search(pattern, text, re.I) for text in (run.name, run.id)),
        )
    if kind == 5:
        return "group!=g1", {"group": {"$ne": "g1"}}, lambda run: run.group != "g1"
    return (
        "summary.loss<=0.5",
        {"summary_metrics.loss": {"$lte": 0.5}},
        lambda run: run.summary["loss"] in (0.25, 0.5),
    )


def combined(some: random.Random, depth: int) -> tuple[str, Any, Test]:
    if depth == 0 or some.random() < 0.3:
        return random_test(some)
    parts = [combined(some, depth - 1) for _ in range(some.randrange(1, 4))]
    queries, filters, tests = zip(*parts, strict=True)
    kind = some.randrange(3)
    if kind == 0:
        return f"({' '.join(queries)})", {"$and": list(filters)}, lambda run: all(test(run) for test in tests)
    if kind == 1:
        return (
            f"({' OR '.join(queries)})",
            {"$or": list(filters)},
            lambda run: any(test(run) for test in tests),
        )
    return f"-{queries[0]}", {"$not": filters[0]}, lambda run: not tests[0](run)


@pytest.mark.parametrize("seed", range(60))
def test_query_and_filter_against_python(filled: Store, seed: int) -> None:
    query, filters, test = combined(random.Random(seed), 3)
    every = page(filled, limit=1000).runs
    expected = [run.id for run in every if test(run)]
    assert ids(filled, query=query) == expected
    assert ids(filled, filters=filters) == expected
    assert page(filled, query=query, limit=0).total == len(expected)
    limited = random.Random(seed).choice(("config.x,-config.y", "-summary.loss", "name"))
    assert sorted(ids(filled, query=query, order=limited)) == sorted(expected)


ORDERS = [
    "created_at",
    "-created_at",
    "name,-created_at",
    "-name,config.n",
    "-summary.loss,name",
    "config.x,config.y",
    "-config.x,-config.y,group",
    "group,-config.n",
    "-group,config.a,b,-id",
    "state,-config.x",
    "config.none,-config.n",
]


def ranked(value: Any) -> tuple[int, Any]:
    if isinstance(value, float) and not math.isfinite(value):
        return 1, {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, (int, float)):
        return 0, float(value)
    return (1, value) if isinstance(value, str) else (2, 0)


def compared(order: str) -> Callable[[RunInfo, RunInfo], int]:
    keys = order.replace("config.a,b", "config.a;b").split(",")

    def compare(left: RunInfo, right: RunInfo) -> int:
        for key in keys:
            name = key.lstrip("-").replace(";", ",")
            source, _, inner = name.partition(".")
            got = [getattr(run, source) for run in (left, right)]
            first, second = (ranked(each.get(inner) if inner else each) for each in got)
            if first != second:
                reverse = first[0] == second[0] and key.startswith("-")
                return 1 if (first > second) != reverse else -1
        return 0

    return compare


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("query", ["", "config.n>3", "tag:best OR calm"])
def test_orders_pages_and_cursors(filled: Store, order: str, query: str) -> None:
    whole = page(filled, limit=1000, order=order, query=query)
    newest_row_first = sorted(whole.runs, key=lambda run: run.id, reverse=True)
    assert whole.runs == sorted(newest_row_first, key=cmp_to_key(compared(order)))
    assert (whole.next, whole.total) == (None, len(whole.runs))
    for limit in (1, 7, 40):
        found: list[RunInfo] = []
        cursor: str | None = ""
        while cursor is not None:
            part = page(filled, limit=limit, order=order, query=query, cursor=cursor)
            assert part.total == whole.total
            found += part.runs
            cursor = part.next
        assert found == whole.runs
        for offset in (0, limit, 5 * limit):
            part = page(filled, limit=limit, order=order, query=query, offset=offset)
            assert part.runs == whole.runs[offset : offset + limit]
            assert (part.next is None) == (offset + limit >= whole.total)


@pytest.mark.parametrize("order", ["-created_at", "-config.x,config.n", "name,-summary.loss", "group"])
def test_a_cursor_continues_while_runs_arrive(store: Store, order: str) -> None:
    write_random(store, 30, 2)
    before = ids(store, order=order)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        part = page(store, limit=7, order=order, cursor=cursor)
        seen += [run.id for run in part.runs]
        cursor = part.next
        if len(seen) <= 28:
            write_random(store, 10, len(seen), first=30 + 2 * len(seen))
    assert [run for run in seen if run in before] == before
    assert len(set(seen)) == len(seen)
    assert len(ids(store, order=order)) > 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cursor": "?"}, "not a cursor"),
        ({"cursor": "AAAA"}, "not a cursor"),
        ({"cursor": "WzFd"}, "does not belong to the order"),
        ({"order": "name", "cursor": "WyJuYW1lIl0"}, "not a cursor"),
        ({"order": "name", "cursor": "WyJuYW1lIiwxLDEwMDAwMDAwMDAwMDAwMDAwMDAwXQ"}, "not a cursor"),
        ({"order": "name,colour"}, "cannot order by 'name,colour'"),
        ({"order": ",".join(["name"] * 11)}, "more than 10 keys"),
    ],
)
def test_wrong_pages(filled: Store, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        page(filled, **options)
    with pytest.raises(UsageError, match="leave out the offset"):
        page(filled, cursor=page(filled, limit=1).next, offset=1)


def test_the_json_of_a_page_is_the_page(filled: Store) -> None:
    for options in ({}, {"limit": 5, "order": "-config.x,name"}, {"query": "nothing"}):
        with filled.reading() as session:
            text = page_json(session, PageAsked(ENTITY, PROJECT, **options))
        expected = page(filled, **options)
        found = values.loads(text)
        assert [repr(RunInfo(**run)) for run in found.pop("runs")] == [repr(run) for run in expected.runs]
        assert found == {"total": expected.total, "revision": expected.revision, "next": expected.next}
        assert b"NaN" not in text.replace(b'{"_type":"number","value":"NaN"}', b"")


def test_selected_fields(filled: Store) -> None:
    names = ["name", "state", "config.x", "config.a,b", "summary.loss", "tags", "config.none"]
    assert parse_fields(",".join(names)) == names
    options: dict[str, Any] = {"limit": 30, "order": "-config.n"}
    with filled.reading() as session:
        found = select_values(session, ENTITY, PROJECT, names, **options)
        with pytest.raises(UsageError, match="unknown field 'colour'"):
            select_values(session, ENTITY, PROJECT, ["colour"])
    expected = page(filled, **options)
    assert (found.total, found.next) == (expected.total, expected.next)
    for row, run in zip(found.runs, expected.runs, strict=True):
        keys = {f"config.{key}": value for key, value in run.config.items()} | {
            "summary.loss": run.summary["loss"]
        }
        whole = {"name": run.name, "state": run.state, "tags": run.tags, **keys}
        assert repr(row) == repr({name: whole[name] for name in names if name in whole})
