"""Chart data: no spike is lost, no value is counted twice, hot and cold rows give the same lines."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from builders import START, Writer, apply_all, end_segments, get_run, seal_all
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.ground.curves import AbandonedBranch
from tracker.store.queries.charts import chart
from tracker.store.queries.line_reduction import Line, Series, reduce_lines
from tracker.store.queries.run_sources import find_abandoned
from tracker.store.store import Store

A, B = "aa" * 16, "bb" * 16


def lines(store: Store, keys: list[str], **options: Any) -> list[Series]:
    run = get_run(store)
    with store.reading() as session:
        return chart(store, session, run, keys, **options)


def points(series: Series) -> list[tuple[float, float]]:
    assert series.kind == "points"
    return list(zip(series.columns["x"].tolist(), series.columns["y"].tolist(), strict=True))


def test_points_over_each_axis_hot_and_cold(store: Store) -> None:
    writer = Writer(store.layout, A)
    for at in range(4):
        writer.log({"loss": at / 2, "epoch": at * 10, "name": "text"})
    writer.log({"other": 1})
    writer.finish()
    apply_all(store)
    for _ in ("hot", "cold"):
        (loss,) = lines(store, ["loss"])
        assert points(loss) == [(0, 0), (1, 0.5), (2, 1), (3, 1.5)]
        assert points(lines(store, ["loss"], x="epoch")[0]) == [(0, 0), (10, 0.5), (20, 1), (30, 1.5)]
        assert points(lines(store, ["loss"], x="_runtime")[0])[0] == (1.0, 0.0)
        assert points(lines(store, ["loss"], x="_timestamp")[0])[3] == (START + 4, 1.5)
        assert points(lines(store, ["other"], x="epoch")[0]) == [(30, 1)]
        assert points(lines(store, ["loss"], x="nowhere")[0]) == []
        assert points(lines(store, ["loss"], x="name")[0]) == []
        assert [(each.key, points(each)) for each in lines(store, ["name", "nowhere"])] == [
            ("name", []),
            ("nowhere", []),
        ]
        seal_all(store)


@pytest.mark.parametrize("key", ['say "a"', "a\\b", "a\nb", "\0", "", "k0", "_row", "~exact:y", "é/✓"])
def test_keys_of_any_name(store: Store, key: str) -> None:
    writer = Writer(store.layout, A)
    for at in range(3):
        writer.log({key: at, "y": 2 * at} if at else {"y": 0})
    writer.finish()
    apply_all(store)
    for _ in ("hot", "cold"):
        assert [points(each) for each in lines(store, [key, "y"])] == [
            [(1, 1), (2, 2)],
            [(0, 0), (1, 2), (2, 4)],
        ]
        assert points(lines(store, ["y"], x=key)[0]) == [(1, 2), (2, 4)]
        seal_all(store)


def test_only_numbers_are_drawn(store: Store) -> None:
    writer = Writer(store.layout, A)
    for value in (1, True, None, "2", 2.5, [3], math.nan, 2**70, 10**400, -(10**400)):
        writer.log({"y": value})
    writer.finish()
    apply_all(store)
    for _ in ("hot", "cold"):
        assert repr(points(lines(store, ["y"])[0])) == repr(
            [(0.0, 1.0), (4.0, 2.5), (6.0, math.nan), (7.0, float(2**70)), (8.0, math.inf), (9.0, -math.inf)]
        )
        seal_all(store)


def test_window(store: Store) -> None:
    writer = Writer(store.layout, A)
    for at in range(10):
        writer.log({"y": at * 1.0})
    apply_all(store)
    assert [x for x, _ in points(lines(store, ["y"], low=3, high=5)[0])] == [3, 4, 5]
    assert [x for x, _ in points(lines(store, ["y"], low=8)[0])] == [8, 9]
    assert [x for x, _ in points(lines(store, ["y"], high=1)[0])] == [0, 1]
    assert points(lines(store, ["y"], low=20)[0]) == []
    (windowed,) = lines(store, ["y"], low=2, high=7, points=3)
    assert windowed.kind == "buckets"
    assert list(windowed.columns["count"]) == [2, 2, 2]
    assert (windowed.columns["min"][0], windowed.columns["max"][-1]) == (2, 7)


def test_no_spike_is_lost(store: Store) -> None:
    chance = random.Random(7)
    values = [chance.gauss(0, 1) for _ in range(5000)]
    for at, value in ((17, 1e9), (2500, -1e9), (4999, 1e8), (0, -1e8)):
        values[at] = value
    values[100], values[101], values[102] = math.nan, math.inf, -math.inf
    writer = Writer(store.layout, A)
    for value in values:
        writer.log({"y": value})
    writer.finish()
    apply_all(store)
    for _ in ("hot", "cold"):
        (series,) = lines(store, ["y"], points=100)
        columns = series.columns
        assert series.kind == "buckets"
        assert {len(column) for column in columns.values()} == {100}
        assert sum(columns["count"]) == 5000
        assert sum(columns["nonfinite"]) == 3
        assert columns["nonfinite"][2] == 3
        for bucket in range(100):
            held = [value for value in values[bucket * 50 : bucket * 50 + 50] if math.isfinite(value)]
            assert (columns["min"][bucket], columns["max"][bucket]) == (min(held), max(held))
            assert columns["last"][bucket] == held[-1]
            assert columns["x"][bucket] == bucket * 50 + 49
        seal_all(store)


def test_bucket_without_a_finite_value(store: Store) -> None:
    writer = Writer(store.layout, A)
    for value in (math.nan, math.inf, 1.0, 2.0):
        writer.log({"y": value})
    apply_all(store)
    columns = lines(store, ["y"], points=2)[0].columns
    assert [math.isnan(columns[name][0]) for name in ("last", "min", "max")] == [True] * 3
    assert (list(columns["count"]), list(columns["nonfinite"])) == ([2, 2], [2, 0])
    assert (columns["last"][1], columns["min"][1], columns["max"][1]) == (2, 1, 2)


def test_as_many_values_as_points_are_points(store: Store) -> None:
    writer = Writer(store.layout, A)
    for at in range(5):
        writer.log({"y": at})
    apply_all(store)
    assert lines(store, ["y"], points=5)[0].kind == "points"
    assert lines(store, ["y"], points=4)[0].kind == "buckets"


def test_decreasing_x_is_sorted(store: Store) -> None:
    writer = Writer(store.layout, A)
    for epoch in (3, 1, 2):
        writer.log({"y": epoch * 10, "epoch": epoch})
    writer.log({"y": 5, "epoch": 0}, step=1)
    apply_all(store)
    assert points(lines(store, ["y"], x="epoch")[0]) == [(0, 5), (1, 10), (2, 20), (3, 30)]
    assert points(lines(store, ["y"])[0]) == [(0, 30), (1, 10), (1, 5), (2, 20)]


def test_rows_without_an_x_take_the_previous_x(store: Store) -> None:
    writer = Writer(store.layout, A)
    for at, x in enumerate((math.inf, 3.0, math.nan, 1.0, None, "2", True, 10**400, 2.0, -math.inf)):
        writer.log({"y": at, "at": x})
    writer.log({"y": 10})
    writer.finish()
    apply_all(store)
    for _ in ("hot", "cold"):
        assert points(lines(store, ["y"], x="at")[0]) == [
            *((1, 3), (1, 4), (1, 5), (1, 6), (1, 7), (2, 8), (2, 9), (2, 10), (3, 1), (3, 2))
        ]
        assert points(lines(store, ["y"], x="at", low=1.5, high=2.5)[0]) == [(2, 8), (2, 9), (2, 10)]
        seal_all(store)


@pytest.mark.parametrize("state", ["hot", "cold"])
def test_a_spike_between_two_values_of_a_sparse_x(store: Store, state: str) -> None:
    writer = Writer(store.layout, A)
    for at in range(1000):
        writer.log({"y": 1e6 if at == 503 else 0.0, **({"epoch": at // 10} if at % 10 == 0 else {})})
    writer.finish()
    apply_all(store)
    if state == "cold":
        seal_all(store)
    columns = lines(store, ["y"], x="epoch", points=100)[0].columns
    assert (sum(columns["count"]), max(columns["max"])) == (1000, 1e6)
    assert columns["x"][list(columns["max"]).index(1e6)] == 50


def test_an_attempt_takes_no_x_from_the_one_before(store: Store) -> None:
    first = Writer(store.layout, A)
    first.log({"y": 0, "epoch": 7})
    first.log({"y": 1})
    second = Writer(store.layout, B, attempt=1, start_step=2, start=START + 100)
    second.log({"y": 2})
    second.log({"y": 3, "epoch": 9})
    apply_all(store)
    for _ in ("hot", "cold"):
        assert points(lines(store, ["y"], x="epoch")[0]) == [(7, 0), (7, 1), (9, 3)]
        end_segments(store)
        seal_all(store)


def test_axes_are_keys_too(store: Store) -> None:
    writer = Writer(store.layout, A)
    for at in range(3):
        writer.log({"y": at, "_step": 7, "epoch": 2 * at})
    writer.finish()
    apply_all(store)
    for _ in ("hot", "cold"):
        drawn = [points(each) for each in lines(store, ["_step", "_runtime", "_timestamp"], x="epoch")]
        assert drawn[0] == [(0, 0), (2, 1), (4, 2)]
        assert drawn[1] == [(0, 1), (2, 2), (4, 3)]
        assert drawn[2] == [(0, START + 1), (2, START + 2), (4, START + 3)]
        assert points(lines(store, ["_step"])[0]) == [(0, 0), (1, 1), (2, 2)]
        seal_all(store)


@pytest.mark.parametrize("cold", [False, True])
def test_newest_branch_only(store: Store, cold: bool) -> None:
    first = Writer(store.layout, A)
    for at in range(5):
        first.log({"y": at})
    second = Writer(store.layout, B, attempt=1, start_step=2, start=START + 100)
    second.log({"y": 20})
    other = Writer(store.layout, "cc" * 16, rank=1, start=START + 1)
    other.log({"y": -1})
    apply_all(store)
    if cold:
        end_segments(store)
        seal_all(store)
    assert points(lines(store, ["y"])[0]) == [(0, 0), (1, 1), (2, 20)]
    run = get_run(store)
    with store.reading() as session:
        found = find_abandoned(session, run.project.entity, run.project.name, ["gone", run.run_id])
    assert found == [AbandonedBranch(run.run_id, A, 2, 4)]


@settings(max_examples=60)
@given(values=st.lists(st.floats(), max_size=60), points=st.integers(1, 70))
def test_buckets_of_any_values(values: list[float], points: int) -> None:
    xs = np.arange(len(values), dtype=float)
    series = reduce_lines({"y": [Line(xs, np.array(values), xs.astype(int), None)]}, points)[0]
    if len(values) <= points:
        assert (series.kind, repr(series.columns["y"].tolist())) == ("points", repr(values))
        return
    columns = {name: column.tolist() for name, column in series.columns.items()}
    finite = [value for value in values if math.isfinite(value)]
    assert len(columns["x"]) == points
    assert sum(columns["count"]) == len(values)
    assert all(count >= 1 for count in columns["count"])
    assert sum(columns["nonfinite"]) == len(values) - len(finite)
    assert columns["x"][-1] == len(values) - 1
    lows = [low for low in columns["min"] if not math.isnan(low)]
    highs = [high for high in columns["max"] if not math.isnan(high)]
    assert (min(lows, default=None), max(highs, default=None)) == (
        min(finite, default=None),
        max(finite, default=None),
    )
