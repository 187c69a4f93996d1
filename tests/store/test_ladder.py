"""The overview ladder: no spike is lost on any rung or axis, from hot or cold rows, in any window."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import START, Writer, apply_all, end_segments, get_run, seal_all, segment_id
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from tracker.store.catalog.models import Part, Rung
from tracker.store.history import compaction, ladder
from tracker.store.ingest import apply
from tracker.store.queries.charts import Series, chart
from tracker.store.store import Store

A, B = "aa" * 16, "bb" * 16


@pytest.fixture(autouse=True)
def small_ladders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ladders for parts of 64 rows and more, with buckets of 4, 32, ... rows; make parts of 50 rows."""
    monkeypatch.setattr(ladder, "LADDER_ROWS", 64)
    monkeypatch.setattr("tracker.store.queries.charts.LADDER_ROWS", 64)
    monkeypatch.setattr(ladder, "FINEST", 4)
    monkeypatch.setattr("tracker.store.queries.charts.FINEST", 4)
    monkeypatch.setattr(ladder, "FEWEST_BUCKETS", 2)
    monkeypatch.setattr(apply, "HOT_ROWS", 50)
    monkeypatch.setattr(apply, "BATCH_BYTES", 5000)
    monkeypatch.setattr(compaction, "SMALLEST_CLASS", 50)


def one(store: Store, key: str = "y", **options: Any) -> Series:
    run = get_run(store)
    with store.reading() as session:
        (line,) = chart(store, session, run, [key], **options)
    return line


def compact_while_due(store: Store) -> None:
    while compaction.compact(store, segment_id(store, A)):
        pass


def count_rungs(store: Store) -> int:
    with store.reading() as session:
        return session.scalar(select(func.count()).select_from(Rung)) or 0


def log_values(store: Store, values: list[Any]) -> None:
    writer = Writer(store.layout, A)
    for at, value in enumerate(values):
        writer.log({"y": value, "epoch": at // 10, "name": "text"})
    writer.finish()
    apply_all(store)


@pytest.mark.parametrize("state", ["live", "compacted", "sealed"])
@pytest.mark.parametrize("axis", ["_step", "_runtime", "_timestamp", "epoch"])
def test_no_spike_disappears(store: Store, state: str, axis: str) -> None:
    source = random.Random(1)
    values = [source.gauss(0, 1) for _ in range(3000)]
    spikes = {17: 1e6, 1234: -1e6, 1700: 5e6, 2998: -2e6}
    for at, value in spikes.items():
        values[at] = value
    values[100], values[2000], values[2001] = math.nan, math.inf, -math.inf
    log_values(store, values)
    if state == "compacted":
        compact_while_due(store)
    if state == "sealed":
        seal_all(store)
    assert (count_rungs(store) > 0) == True  # noqa: E712
    finite = [value for value in values if math.isfinite(value)]
    for points in (1, 7, 40, 100):
        line = one(store, x=axis, points=points)
        columns = {name: column.tolist() for name, column in line.columns.items()}
        assert line.kind == "buckets"
        assert 0 < len(columns["x"]) <= points
        assert columns["x"] == sorted(columns["x"])
        assert sum(columns["count"]) == len(values)
        assert sum(columns["nonfinite"]) == 3
        highest = columns["max"].index(max(columns["max"]))
        lowest = columns["min"].index(min(columns["min"]))
        assert (columns["max"][highest], columns["max_step"][highest]) == (5e6, 1700)
        assert (columns["min"][lowest], columns["min_step"][lowest]) == (-2e6, 2998)
        assert columns["last"][-1] == values[-1]
        if points == 1:
            assert columns["mean"][0] == pytest.approx(math.fsum(finite) / len(finite))


# Sparse values of x for 3,000 rows; None: not logged in this row.
SPARSE: dict[str, Callable[[int], float | None]] = {
    "every 10th row": lambda at: at // 10 if at % 10 == 0 else None,
    "every 100th row": lambda at: at // 100 if at % 100 == 0 else None,
    "late": lambda at: at // 10 if at % 10 == 5 and at > 1000 else None,
    "at one row": lambda at: 5 if at == 1501 else None,
    "only at the beginning": lambda at: at if at < 30 else None,
    "infinite at times": lambda at: (math.inf if at % 20 else at // 10) if at % 10 == 0 else None,
    "going back": lambda at: -(at // 10) if at % 10 == 3 else None,
}


@pytest.mark.parametrize("state", ["live", "compacted", "sealed"])
@pytest.mark.parametrize("name", SPARSE)
def test_rows_without_a_sparse_x_take_the_previous_x(store: Store, state: str, name: str) -> None:
    source = random.Random(2)
    writer, at_x, expected = Writer(store.layout, A), math.nan, []
    for at in range(3000):
        y, x = 1e6 if at == 2503 else source.gauss(0, 1), SPARSE[name](at)
        writer.log({"y": y, **({} if x is None else {"x": x})})
        at_x = x if x is not None and math.isfinite(x) else at_x
        if not math.isnan(at_x):
            expected.append((at_x, y))
    writer.finish()
    apply_all(store)
    if state == "compacted":
        compact_while_due(store)
    if state == "sealed":
        seal_all(store)
    assert count_rungs(store) > 0
    expected.sort(key=lambda each: each[0])
    for points in (1, 7, 40, 100):
        columns = one(store, x="x", points=points).columns
        assert sum(columns["count"]) == len(expected)
        assert (max(columns["max"]), columns["max_step"][np.argmax(columns["max"])]) == (1e6, 2503)
        assert columns["x"].tolist() == sorted(columns["x"])
        assert columns["mean"] @ columns["count"] == pytest.approx(math.fsum(y for _, y in expected))
    whole = one(store, x="x", points=4000).columns
    assert list(zip(whole["x"].tolist(), whole["y"].tolist(), strict=True)) == expected
    low, high = expected[0][0], expected[len(expected) // 50][0]
    zoomed = one(store, x="x", points=4000, low=low, high=high).columns
    inside = [each for each in expected if low <= each[0] <= high]
    assert list(zip(zoomed["x"].tolist(), zoomed["y"].tolist(), strict=True)) == inside


@pytest.mark.parametrize("state", ["live", "compacted", "sealed"])
def test_axes_are_keys_too(store: Store, state: str) -> None:
    log_values(store, [1.0] * 3000)
    if state == "compacted":
        compact_while_due(store)
    if state == "sealed":
        seal_all(store)
    for axis, last in (("_step", 2999.0), ("_runtime", 3000.0), ("_timestamp", START + 3000)):
        columns = one(store, axis, points=10).columns
        assert sum(columns["count"]) == 3000
        assert columns["last"][-1] == last


def test_keys_named_like_an_axis_do_not_move_points(store: Store) -> None:
    writer = Writer(store.layout, A)
    for at in range(1000):
        own: dict[str, Any] = {"_step": at * 7, "_runtime": 5.0} if at < 100 else {}
        writer.log({"y": float(at), **own, **({"_timestamp": 1e9 + at} if at % 3 == 0 else {})})
    writer.finish()
    apply_all(store)
    for _ in ("live", "sealed"):
        for axis in ("_step", "_runtime", "_timestamp"):
            line = one(store, x=axis, points=10)
            assert (line.kind, sum(line.columns["count"])) == ("buckets", 1000)
        assert one(store, points=10).columns["x"][-1] == 999
        seal_all(store)


@pytest.mark.parametrize("sealed", [False, True])
def test_zooming_reads_finer_rungs_down_to_the_points(store: Store, sealed: bool) -> None:
    log_values(store, [float(at % 97) for at in range(3000)])
    if sealed:
        seal_all(store)
    whole = one(store, points=20)
    part = one(store, points=20, low=1000, high=1499)
    assert (whole.kind, part.kind) == ("buckets", "buckets")
    assert sum(whole.columns["count"]) == 3000
    assert 500 <= sum(part.columns["count"]) <= 500 + 2 * 16  # the buckets at the edges may have rows outside
    points = one(store, points=20, low=1000, high=1015)
    assert points.kind == "points"
    assert points.columns["x"].tolist() == list(range(1000, 1016))
    assert points.columns["y"].tolist() == [float(at % 97) for at in range(1000, 1016)]
    assert len(one(store, points=20, low=5000).columns["x"]) == 0
    late = one(store, points=20, low=10.0, high=10.5, x="epoch")
    assert late.columns["y"].tolist() == [float(at % 97) for at in range(100, 110)]


def test_rows_of_an_abandoned_branch_are_in_no_bucket(store: Store) -> None:
    first = Writer(store.layout, A)
    for at in range(1000):
        first.log({"y": 1.0 if at < 501 else 1000.0})
    second = Writer(store.layout, B, start=first.clock, attempt=1, start_step=501)
    for _ in range(1000):
        second.log({"y": 2.0})
    apply_all(store)
    for _ in ("live", "sealed"):
        line = one(store, points=9)
        assert line.kind == "buckets"
        assert max(line.columns["max"]) == 2.0
        assert sum(line.columns["count"]) == 1501
        old = one(store, points=9, segment=A)
        assert (max(old.columns["max"]), sum(old.columns["count"])) == (1000.0, 1000)
        end_segments(store)
        seal_all(store)


def test_a_sparse_key_keeps_its_points(store: Store) -> None:
    writer = Writer(store.layout, A)
    for at in range(2000):
        writer.log({"y": 1.0, "rare": float(at)} if at % 200 == 0 else {"y": 1.0})
    writer.finish()
    apply_all(store)
    seal_all(store)
    line = one(store, "rare", points=50)
    assert line.columns["min_step" if line.kind == "buckets" else "x"].tolist() == [
        at * 200.0 for at in range(10)
    ]


def test_a_chart_reads_the_nearest_rung(store: Store) -> None:
    """3,000 rows have rungs of 750, 94 and 12 buckets: 12 are nearer to 20 points than 94 are.

    The last of the 94 buckets is short, so it joins the one before it.
    """
    writer = Writer(store.layout, A)
    for at in range(3000):
        writer.log({"y": float(at), **({"rare": float(at)} if at % 100 == 7 else {})})
    writer.finish()
    apply_all(store)
    seal_all(store)
    assert [len(one(store, points=points).columns["x"]) for points in (100, 40, 20)] == [93, 40, 12]
    # 30 values of a rare key fill fewer buckets than a chart has points: none of them share one.
    assert one(store, "rare", points=40).columns["last"].tolist() == [100.0 * at + 7 for at in range(30)]
    assert one(store, "rare", points=12).columns["count"].sum() == 30


def test_parts_are_merged_while_a_run_continues(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    log_values(store, [float(at) for at in range(6000)])
    with store.reading() as session:
        before = len(session.scalars(select(Part)).all())
    compact_while_due(store)
    with store.reading() as session:
        parts = session.scalars(select(Part).order_by(Part.first_row)).all()
    assert len(parts) < before / 3
    assert [part.rows for part in parts] == sorted((part.rows for part in parts), reverse=True)
    assert [part.last_row + 1 for part in parts[:-1]] == [part.first_row for part in parts[1:]]
    folder: Path = store.layout.run("team", "demo", "run1") / "history"
    assert sorted(folder.iterdir()) == sorted(store.root / part.path for part in parts)
    assert one(store, points=5).columns["last"].tolist()[-1] == 5999.0


# Sums of these are exact in any order.
values = st.lists(
    st.one_of(st.integers(-1000, 1000).map(float), st.sampled_from([math.nan, math.inf, -math.inf])),
    min_size=1,
    max_size=60,
)


def same(one: ladder.Buckets, other: ladder.Buckets) -> bool:
    return all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(one.columns(), other.columns(), strict=True)
    )


@given(values=values, data=st.data())
def test_merging_in_steps_equals_merging_in_one_step(values: list[float], data: st.DataObject) -> None:
    cuts = data.draw(st.sets(st.integers(1, max(1, len(values) - 1)), max_size=8))
    starts = np.array([0, *sorted(cut for cut in cuts if cut < len(values))])
    points = ladder.single(np.arange(len(values)), np.array(values), np.arange(len(values)) * 3)
    nought = np.array([0])
    at_once = ladder.merge(points, nought, nought)
    assert same(at_once, ladder.merge(ladder.merge(points, starts, starts), nought, nought))
    finite = [value for value in values if math.isfinite(value)]
    assert repr([at_once.low[0], at_once.high[0]]) == repr(
        [np.float64(min(finite, default=math.nan)), np.float64(max(finite, default=math.nan))]
    )
    assert (at_once.count[0], at_once.nonfinite[0]) == (len(values), len(values) - len(finite))
    assert at_once.total[0] == sum(finite)
    if finite:
        assert at_once.last[0] == finite[-1]
        assert at_once.low_step[0] == 3 * values.index(min(finite))
        assert at_once.high_step[0] == 3 * values.index(max(finite))
    assert same(ladder.unpack(ladder.pack(points)), points)
