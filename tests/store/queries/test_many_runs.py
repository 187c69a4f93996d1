"""Charts of many runs: grouped curves and distributions equal NumPy over the logged values of random runs."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from builders import ENTITY, PROJECT, START, Writer, apply_all, get_run, seal_all, segment_id

from tracker.errors import NotFoundError, UsageError
from tracker.ground.curves import Curve
from tracker.ground.records import MetricDefined
from tracker.reading.local import LocalReader
from tracker.store.ingest.seal import spill
from tracker.store.queries import chart_format, grouped_curves, many_runs
from tracker.store.queries.charts import chart, draw
from tracker.store.queries.line_cache import LineCache
from tracker.store.queries.sized_cache import SizedCache
from tracker.store.store import Store

Line = list[tuple[float, float]]
NUMBERS = ("mean", "std", "stderr", "min", "max")
VALUES = (math.nan, math.inf, -math.inf, 3, "text", None, True)


class LoggedRun:
    """A run with random rows in one or two attempts, and its visible rows for comparison."""

    def __init__(self, store: Store, run_id: str, chance: random.Random) -> None:
        self.run_id, self.chance = run_id, chance
        self.segments: list[list[tuple[int, dict[str, Any]]]] = []
        self.store, self.number = store, chance.getrandbits(96)
        self.log_attempt(0, 40)

    def log_attempt(self, start: int, rows: int, *, end: bool = True) -> Writer:
        self.segments = [[row for row in rows if row[0] < start] for rows in self.segments]
        attempt = len(self.segments)
        writer = Writer(
            self.store.layout,
            f"{attempt:08x}{self.number:024x}",
            self.run_id,
            attempt=attempt,
            start_step=start,
            start=START + 1000.0 * attempt,
        )
        self.segments.append([])
        step = start
        for _ in range(rows):
            self.log(writer, step)
            step += self.chance.choice((1, 1, 1, 2, 7))
        if end:
            writer.finish()
        return writer

    def log(self, writer: Writer, step: int, **more: float) -> None:
        data: dict[str, Any] = {"other": step / 3}
        if self.chance.random() < 0.8:
            data["loss"] = self.chance.choice((*VALUES, *(self.chance.gauss(0, 1) for _ in range(20))))
        if self.chance.random() < 0.4:
            data["epoch"] = step // 10
        if self.chance.random() < 0.4:
            data["share"] = self.chance.choice((self.chance.random(), math.nan))
        data.update(more)
        writer.log(data, step, commit=True)
        self.segments[-1].append((step, data))

    def line(self, key: str, x: str) -> Line:
        """Return the numbers of a key with their positions, in the definition of the documents."""
        found: Line = []
        for rows in self.segments:
            at = math.nan
            for step, data in rows:
                here = step if x == "_step" else data.get(x)
                at = float(here) if is_number(here) and math.isfinite(here) else at
                if is_number(data.get(key)) and not math.isnan(at):
                    found.append((at, float(data[key])))
        return found


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@pytest.fixture(params=range(3))
def runs(request: pytest.FixtureRequest, store: Store) -> list[LoggedRun]:
    """Return runs: one resumed at an earlier step, some only in the catalog, some in Parquet, one in both."""
    chance = random.Random(request.param)
    made = [LoggedRun(store, f"run{at}", chance) for at in range(5)]
    made[0].log_attempt(chance.randrange(10, 60), 30)
    apply_all(store)
    seal_all(store)
    made[1].log_attempt(chance.randrange(10, 60), 30)
    made.append(LoggedRun(store, "hot", chance))
    apply_all(store)
    return made


def reference(groups: list[list[Line]], points: int, whole: bool) -> Iterator[dict[str, np.ndarray]]:
    """Yield the columns of each group's curve, computed value by value."""
    places = sorted({x for lines in groups for line in lines for x, _ in line})
    exact = whole and len(places) <= points
    size: float = (places[-1] - places[0]) / points
    if whole:
        size = -(-int(places[-1] - places[0] + 1) // points)
    for lines in groups:
        values: dict[float, list[list[float]]] = {}
        for line in lines:
            own: dict[float, list[float]] = {}
            for x, y in line:
                at = x if exact else min(math.floor((x - places[0]) / size), points - 1)
                own.setdefault(at, []).append(y)
            for at, ys in own.items():
                values.setdefault(at, []).append(ys)
        columns: dict[str, list[float]] = {}
        for at in sorted(values):
            kept = [[y for y in ys if math.isfinite(y)] for ys in values[at]]
            means = np.array([np.mean(ys) for ys in kept if ys])
            finite = [y for ys in kept for y in ys]
            n = len(means)
            std = np.std(means, ddof=1) if n > 1 else math.nan
            left = places[0] + at * size
            point = {
                "x": at if exact else left + ((size - 1) / 2 if whole else size / 2),
                "n": n,
                "mean": np.mean(means) if n else math.nan,
                "std": std,
                "stderr": std / math.sqrt(n) if n else math.nan,
                "min": min(finite, default=math.nan),
                "max": max(finite, default=math.nan),
                "values": len(finite),
                "nonfinite": sum(len(ys) for ys in values[at]) - len(finite),
            }
            for name, value in point.items():
                columns.setdefault(name, []).append(float(value))
        yield {name: np.array(column) for name, column in columns.items()}


def same(curve: Curve, expected: dict[str, np.ndarray]) -> None:
    assert list(curve.columns) == list(expected)
    for name, column in curve.columns.items():
        np.testing.assert_allclose(column, expected[name], rtol=1e-12, atol=1e-12, err_msg=name)


def test_curves_equal_numpy(store: Store, runs: list[LoggedRun]) -> None:
    groups = {"a": runs[:3], "b": runs[3:], "all": runs}
    asked = {label: [run.run_id for run in members] for label, members in groups.items()}
    reader = LocalReader(store, follows=False)
    for x, points in product(("_step", "epoch", "share", "other"), (1, 7, 1000)):
        curves = reader.grouped_curves(ENTITY, PROJECT, asked, ["loss"], x=x, points=points)
        lines = [[run.line("loss", x) for run in members] for members in groups.values()]
        whole = x in ("_step", "epoch")
        for curve, label, expected in zip(curves, groups, reference(lines, points, whole), strict=True):
            assert (curve.group, curve.key, curve.x, curve.runs) == (label, "loss", x, len(groups[label]))
            same(curve, expected)


def test_curve_of_a_window_and_of_times(store: Store, runs: list[LoggedRun]) -> None:
    reader = LocalReader(store, follows=False)
    ids = [run.run_id for run in runs]
    (curve,) = reader.grouped_curves(ENTITY, PROJECT, {"": ids}, ["loss"], low=10, high=25)
    lines = [[(x, y) for x, y in run.line("loss", "_step") if 10 <= x <= 25] for run in runs]
    (expected,) = reference([lines], 1000, True)
    same(curve, expected)
    # The clock of a writer counts whole seconds, but times are buckets all the same.
    (curve,) = reader.grouped_curves(ENTITY, PROJECT, {"": ids}, ["other"], x="_runtime", points=10)
    times = [
        [(row["_runtime"], row["other"]) for row in reader.history(ENTITY, PROJECT, run_id, ["other"], False)]
        for run_id in ids
    ]
    (expected,) = reference([times], 10, False)
    same(curve, expected)
    assert curve.width == (max(x for line in times for x, _ in line) - 1.0) / 10


def test_curves_follow_the_rows_of_a_live_run(store: Store) -> None:
    """The kept arrays are never older than the catalog: new rows, a merge of parts, a resume."""
    run = LoggedRun(store, "live", random.Random(5))
    reader = LocalReader(store, follows=False)

    def check() -> None:
        apply_all(store)
        (curve,) = reader.grouped_curves(ENTITY, PROJECT, {"": ["live"]}, ["loss"])
        (expected,) = reference([[run.line("loss", "_step")]], 1000, True)
        same(curve, expected)

    check()
    writer = run.log_attempt(20, 10, end=False)
    check()
    for step in (300, 301):
        run.log(writer, step, loss=step / 7)
        check()
        spill(store, segment_id(store, writer.segment))
        check()
    writer.finish()
    check()
    seal_all(store)
    check()
    run.log_attempt(15, 3)
    check()


def test_the_cache_is_bounded(store: Store, runs: list[LoggedRun], monkeypatch: pytest.MonkeyPatch) -> None:
    reader = LocalReader(store, follows=False)
    ids = [run.run_id for run in runs]
    before = reader.grouped_curves(ENTITY, PROJECT, {"": ids}, ["loss", "other"])
    for size in (0, 5_000):
        cache = LineCache(size)
        monkeypatch.setattr(grouped_curves, "_cache", cache)
        again = reader.grouped_curves(ENTITY, PROJECT, {"": ids}, ["loss", "other"])
        assert repr(again) == repr(before)
        assert cache.size_bytes <= size
        assert (cache.size_bytes > 0) == (size > 0)


@pytest.mark.parametrize("span", [(-1e308, 1e308), (5e-324, 1.5e-323), (2.0**60, 2.0**61), (-0.5, -0.5)])
@pytest.mark.parametrize("points", [1, 3])
def test_extreme_positions(store: Store, span: tuple[float, float], points: int) -> None:
    writer = Writer(store.layout, "aa" * 16)
    for x in (span[0], span[0] / 2 + span[1] / 2, span[1]):
        writer.log({"y": 1e308, "at": x})
    apply_all(store)
    (curve,) = LocalReader(store, follows=False).grouped_curves(
        ENTITY, PROJECT, {"": ["run1"]}, ["y"], x="at", points=points
    )
    assert sum(curve.columns["values"]) == 3
    assert len(curve.columns["x"]) <= points
    assert math.isfinite(curve.width)
    assert all(np.isfinite(curve.columns["x"]))


def test_lines_of_many_runs_are_the_lines_of_each_run(store: Store, runs: list[LoggedRun]) -> None:
    ids, keys = [run.run_id for run in runs][::-1], ["loss", "other", "nowhere"]
    for points in (10, 1000):
        found = LocalReader(store, follows=False).run_lines(
            ENTITY, PROJECT, ids, keys, x="epoch", points=points, steps=True
        )
        assert [(each.run, each.key, each.x) for each in found] == [
            (run_id, key, "epoch") for run_id in ids for key in keys
        ]
        for at, run_id in enumerate(ids):
            with store.reading() as session:
                single = chart(store, session, get_run(store, run_id), keys, x="epoch", points=points)
            assert repr([each.columns for each in single]) == repr(
                [each.columns for each in found[at * len(keys) :][: len(keys)]]
            )
        assert repr(
            chart_format.unpack_columns(chart_format.pack_columns("epoch", found), type(found[0]))
        ) == repr(found)


def test_each_key_has_the_axis_that_its_run_defines(store: Store) -> None:
    defined = {"one": ("loss", "epoch"), "two": ("lo*", "epoch"), "three": ("loss", "never logged")}
    for run_id, (name, axis) in defined.items():
        writer = Writer(store.layout, f"{len(run_id):032x}" if run_id != "two" else "bb" * 16, run_id)
        writer.put(MetricDefined(name, axis))
        for at in range(6):
            writer.log({"loss": at, "acc": at, "epoch": at // 2})
        writer.finish()
    apply_all(store)
    reader = LocalReader(store, follows=False)
    lines = reader.run_lines(ENTITY, PROJECT, list(defined), ["loss", "acc", "epoch"])
    assert [each.x for each in lines] == ["epoch", *["_step"] * 2] * 2 + ["_step"] * 3
    assert list(lines[0].columns["x"]) == [0, 0, 1, 1, 2, 2]
    agreed, mixed = (
        reader.grouped_curves(ENTITY, PROJECT, {"": ids}, ["loss"])[0]
        for ids in (["one", "two"], ["one", "two", "three"])
    )
    assert (agreed.x, list(agreed.columns["mean"])) == ("epoch", [0.5, 2.5, 4.5])
    assert (mixed.x, list(mixed.columns["n"])) == ("_step", [3] * 6)


def test_distribution_equals_numpy(store: Store, runs: list[LoggedRun]) -> None:
    reader = LocalReader(store, follows=False)
    ids = [run.run_id for run in runs]
    logged = [y for run in runs for _, y in run.line("loss", "_step")]
    values = np.array([y for y in logged if math.isfinite(y)])
    found = reader.distribution(ENTITY, PROJECT, ids, "loss", bins=8)
    assert (found.count, found.nonfinite, found.runs) == (len(values), len(logged) - len(values), len(runs))
    assert found.counts == np.histogram(values, found.edges)[0].tolist()
    np.testing.assert_allclose(found.edges, np.linspace(values.min(), values.max(), 9))
    np.testing.assert_allclose(found.quantiles, np.quantile(values, found.probabilities))
    np.testing.assert_allclose([found.mean, found.std], [values.mean(), values.std(ddof=1)])
    found = reader.distribution(ENTITY, PROJECT, ids, "loss", edges=[-1, 0, 1], probabilities=[0.5])
    assert found.counts == np.histogram(values, [-1, 0, 1])[0].tolist()
    assert (found.below, found.above) == ((values < -1).sum(), (values > 1).sum())
    assert found.quantiles == [np.median(values)]
    last = [reader.run(ENTITY, PROJECT, run_id).summary.get("other") for run_id in ids]
    found = reader.distribution(ENTITY, PROJECT, ids, "other", source="summary")
    assert (found.count, sum(found.counts)) == (len(ids), len(ids))
    assert (found.quantiles[0], found.quantiles[-1]) == (min(last), max(last))


def test_distribution_of_few_and_of_extreme_values(store: Store) -> None:
    writer = Writer(store.layout, "aa" * 16)
    writer.log({"one": 5, "wide": -1e308, "deep": {"a": 1}, "big": 10**400})
    writer.log({"wide": 1e308})
    apply_all(store)
    reader = LocalReader(store, follows=False)

    def ask(key: str, source: str = "history") -> Any:
        return reader.distribution(ENTITY, PROJECT, ["run1"], key, source=source, bins=4)

    one, none, wide = ask("one"), ask("nowhere"), ask("wide")
    assert (one.edges, one.counts, one.mean, one.std) == ([5.0, 5.0], [1], 5.0, None)
    assert (none.runs, none.count, none.mean, none.quantiles) == (0, 0, None, [])
    assert (wide.edges, wide.counts) == ([-1e308, -5e307, 0.0, 5e307, 1e308], [1, 0, 0, 1])
    assert ask("deep.a", "summary").count == 1
    assert (ask("big").nonfinite, ask("big", "summary").nonfinite) == (1, 1)


def test_unknown_runs_and_limits(
    store: Store, runs: list[LoggedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = LocalReader(store, follows=False)
    place = (ENTITY, PROJECT)
    for ask in (
        lambda ids: reader.run_lines(*place, ids, ["loss"]),
        lambda ids: reader.grouped_curves(*place, {"a": ids}, ["loss"]),
        lambda ids: reader.distribution(*place, ids, "loss"),
    ):
        with pytest.raises(NotFoundError, match="'gone1', 'gone2', 'gone3' and 1 more in team/demo"):
            ask([f"gone{at}" for at in range(1, 5)])
        assert repr(ask(["run1", "gone1"])) == repr(ask(["run1"]))
    with pytest.raises(NotFoundError):
        reader.run_lines(ENTITY, "another", ["run1"], ["loss"])
    with pytest.raises(UsageError, match="12,000,000 points, more than 2,000,000"):
        reader.run_lines(*place, [str(at) for at in range(600)], ["loss"], points=20_000)
    with pytest.raises(UsageError, match="5001 runs and 1 keys are too many"):
        reader.distribution(*place, [str(at) for at in range(5001)], "loss")
    with pytest.raises(UsageError, match="4,000 runs x 20,000 points"):
        reader.grouped_curves(*place, {"": [str(at) for at in range(4000)]}, ["loss"], points=20_000)
    for wrong in (
        {"edges": [1, 1]},
        {"edges": [0, math.nan]},
        {"bins": 0},
        {"probabilities": [2]},
        {"source": "x"},
    ):
        with pytest.raises(UsageError):
            reader.distribution(*place, ["run1"], "loss", **wrong)
    assert [each.columns["x"].tolist() for each in reader.run_lines(*place, ["run1"], ["nowhere"])] == [[]]
    (empty,) = reader.grouped_curves(*place, {"": ["run1"]}, ["nowhere"])
    assert (empty.runs, empty.columns["n"].tolist()) == (0, [])
    monkeypatch.setattr(grouped_curves, "MOST_ROWS", 50)
    with pytest.raises(UsageError, match="can read at most 50"):
        reader.grouped_curves(*place, {"": ["run0", "run1"]}, ["loss"])


def test_lines_of_sealed_runs_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line is drawn again only after its run has new rows, or for another window."""
    run = LoggedRun(store, "run", random.Random(1))
    apply_all(store)
    drawn: list[list[str]] = []

    def note(*given: Any, **options: Any) -> Any:
        drawn.append(list(given[2]))
        return draw(*given, **options)

    monkeypatch.setattr(many_runs, "draw", note)
    reader = LocalReader(store, follows=False)

    def ask(**options: Any) -> list[np.ndarray]:
        lines = reader.run_lines(ENTITY, PROJECT, ["run"], ["loss", "other"], x="_step", **options)
        return [column for line in lines for column in line.columns.values()]

    ask()
    ask()
    assert drawn == [["loss", "other"]] * 2, "rows that are not in parts can change"
    seal_all(store)
    first = ask()
    assert all(a is b for a, b in zip(first, ask(), strict=True))
    assert not any(column.flags.writeable for column in first)
    ask(low=3.0)
    assert len(drawn) == 4
    run.log_attempt(run.segments[-1][20][0], 30)
    apply_all(store)
    seal_all(store)
    again = ask()
    assert len(drawn) == 5
    assert len(again[0]) != len(first[0])


def test_a_cache_drops_what_was_used_least_recently() -> None:
    cache: SizedCache[str] = SizedCache(10)
    for name in "abc":
        cache.keep((name,), name, 3)
    assert cache.get(("a",)) == "a"
    cache.keep(("d",), "d", 4)
    cache.keep(("large",), "large", 11)
    assert [cache.get((name,)) for name in ("a", "b", "c", "d", "large")] == ["a", None, "c", "d", None]
    assert cache.size_bytes == 10
