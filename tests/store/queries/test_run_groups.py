"""Groups of runs: their statistics against exact ones, their keys, orders and pages."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from builders import ENTITY, PROJECT, START, Writer, apply_all

from tracker.errors import UsageError
from tracker.ground.records import SummaryChanged
from tracker.ground.run_groups import MetricStatistics, RunGroups
from tracker.recorder.open_store import open_store
from tracker.runstate.statistics import group_statistics, student_t
from tracker.store.queries.run_groups import GroupsAsked, group_runs, parse_keys
from tracker.store.store import Store

RUNS: list[dict[str, Any]] = []
VALUES: list[Any] = [1.5, -3, True, math.nan, math.inf, -math.inf, "text", None, {"a": 1}, 0.1]


def make_runs(count: int) -> None:
    some = random.Random(5)
    for at in range(count):
        config = {"seed": at, "lr": some.choice((0.1, 0.01, 1)), "opt": some.choice(("adam", "sgd"))}
        config["net"] = {"width": some.choice((64, 64.0, 128)), "deep": at % 2 == 0}
        if some.random() < 0.5:
            config["layers"] = some.choice(([1, 2], [1, 3], {"x": 1}, "none"))
        summary = {"loss": some.gauss(1e9, 1e-3), "mixed": some.choice(VALUES), "rare": some.random()}
        if at % 17:
            del summary["rare"]
        tags = some.choice((["a"], ["a", "b"], ["b", "a"], []))
        RUNS.append({"config": config, "summary": summary, "tags": tags, "group": some.choice((None, "g"))})


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = open_store(tmp_path_factory.mktemp("groups") / "store")
    make_runs(80)
    for at, run in enumerate(RUNS):
        started = {key: value for key, value in run.items() if key != "summary"}
        writer = Writer(store.layout, f"{at + 1:032x}", f"r{at:02}", start=START + at, **started)
        writer.put(SummaryChanged(run["summary"]))
    apply_all(store)
    yield store
    store.close()


def grouped(store: Store, **options: Any) -> RunGroups:
    with store.reading() as session:
        return group_runs(session, GroupsAsked(ENTITY, PROJECT, **options))


def check(found: MetricStatistics, given: list[Any]) -> None:
    """Compare the statistics with those of rational numbers, which are exact."""
    numbers = [float(value) for value in given if isinstance(value, (int, float)) and math.isfinite(value)]
    nonfinite = sum(isinstance(value, float) and not math.isfinite(value) for value in given)
    assert (found.n, found.nonfinite, found.missing) == (
        len(numbers),
        nonfinite,
        len(given) - len(numbers) - nonfinite,
    )
    if not numbers:
        assert found.mean is found.min is found.max is found.std is found.ci_low is None
        return
    assert (found.min, found.max) == (min(numbers), max(numbers))
    # The sum of numbers that cancel has errors in proportion to the largest number.
    assert found.mean == pytest.approx(
        statistics.mean(numbers), rel=1e-15, abs=1e-15 * max(map(abs, numbers))
    )
    if len(numbers) == 1:
        assert found.std is found.sem is found.ci_low is found.ci_high is None
        return
    std = statistics.stdev(numbers)
    assert found.std == pytest.approx(std, rel=1e-12, abs=1e-300)
    assert found.sem == pytest.approx(std / math.sqrt(len(numbers)), rel=1e-12)
    assert found.mean is not None and found.ci_low is not None and found.ci_high is not None
    half = QUANTILES.get(len(numbers) - 1, student_t(len(numbers) - 1)) * std / math.sqrt(len(numbers))
    assert found.ci_high == pytest.approx(found.mean + half, rel=1e-15, abs=1e-12 * half)
    assert found.ci_low == pytest.approx(found.mean - half, rel=1e-15, abs=1e-12 * half)


# scipy.stats.t.ppf(0.975, degrees)
QUANTILES = {
    1: 12.706204736174698,
    2: 4.302652729749464,
    3: 3.182446305283708,
    4: 2.776445105197793,
    5: 2.570581835636314,
    10: 2.2281388519649385,
    29: 2.045229642132703,
    30: 2.0422724563012373,
    100: 1.983971518523552,
    200: 1.9718962236316091,
    201: 1.971836506779859,
    1000: 1.9623390808264083,
    10000: 1.960201239890626,
}


@pytest.mark.parametrize("degrees", QUANTILES)
def test_quantiles_of_the_t_distribution(degrees: int) -> None:
    assert student_t(degrees) == pytest.approx(QUANTILES[degrees], rel=1e-11)


@pytest.mark.parametrize("seed", range(20))
def test_statistics_against_exact_ones(seed: int) -> None:
    some = np.random.default_rng(seed)
    centre, spread = (
        float(some.choice([0, 1e-300, 1.0, 1e12, 1e160])),
        float(some.choice([1e-300, 1e-3, 1, 1e158])),
    )
    count = int(some.integers(1, 400))
    groups = some.integers(0, 7, count)
    numbers = some.normal(centre, spread, count)
    sizes = np.bincount(groups, minlength=8) + 2
    found = group_statistics(groups, numbers, sizes, np.ones(8, np.int64))
    for at, row in enumerate(found):
        check(row, [*numbers[groups == at].tolist(), math.nan, None])


def test_the_largest_numbers_do_not_overflow() -> None:
    numbers = np.array([1.7e308, 1.7e308, 1.7e308, 1e-200, 3e-200])
    big, small = group_statistics(np.array([0, 0, 0, 1, 1]), numbers, np.array([3, 2]), np.array([0, 0]))
    assert (big.mean, big.std, small.mean) == (1.7e308, 0.0, 2e-200)
    assert small.std == pytest.approx(math.sqrt(2) * 1e-200)


def test_two_keys_and_all_their_metrics(filled: Store) -> None:
    found = grouped(
        filled, by=("config.opt", "config.net.width"), metrics=("loss", "mixed", "summary.rare", "no")
    )
    assert (found.total, found.runs, found.by) == (4, 80, ["config.opt", "config.net.width"])
    assert [list(group.values.values()) for group in found.groups] == [
        ["adam", 64], ["adam", 128], ["sgd", 64], ["sgd", 128],
    ]  # fmt: skip
    for group in found.groups:
        opt, width = group.values.values()
        members = [
            at
            for at, run in enumerate(RUNS)
            if (run["config"]["opt"], run["config"]["net"]["width"]) == (opt, width)
        ]
        assert (group.runs, group.newest) == (len(members), f"r{max(members):02}")
        for metric, key in (("loss", "loss"), ("mixed", "mixed"), ("summary.rare", "rare"), ("no", "no")):
            check(group.metrics[metric], [RUNS[at]["summary"].get(key) for at in members])


def test_every_kind_of_key(filled: Store) -> None:
    def sizes(**options: Any) -> list[tuple[Any, int]]:
        return [
            (next(iter(group.values.values())), group.runs) for group in grouped(filled, **options).groups
        ]

    def count(values: list[Any]) -> list[tuple[Any, int]]:
        return [(value, values.count(value)) for at, value in enumerate(values) if value not in values[:at]]

    def unordered(found: list[tuple[Any, int]]) -> list[str]:
        return sorted(map(repr, found))

    for key in ("lr", "layers"):
        assert unordered(sizes(by=(f"config.{key}",))) == unordered(
            count([run["config"].get(key) for run in RUNS])
        )
    assert unordered(sizes(by=("tags",))) == unordered(count([sorted(run["tags"]) for run in RUNS]))
    assert unordered(sizes(by=("group",))) == unordered(count([run["group"] for run in RUNS]))
    assert sizes(by=("state",)) == [("running", 80)]
    assert sizes(by=("config.nowhere",)) == [(None, 80)]
    assert sizes(by=("config.seed",), order="-config.seed", limit=2, offset=1) == [(78, 1), (77, 1)]
    assert sizes(by=("config.lr",), query="config.lr>0.05 -tag:b", order="-runs,config.lr") == sorted(
        count([run["config"]["lr"] for run in RUNS if run["config"]["lr"] > 0.05 and "b" not in run["tags"]]),
        key=lambda pair: (-pair[1], pair[0]),
    )
    assert grouped(filled, by=("state",), query="nothing").groups == []


def test_a_run_is_in_the_group_of_each_of_its_tags(filled: Store) -> None:
    found = grouped(filled, by=("tag", "config.opt"), metrics=("loss", "mixed"))
    assert found.runs == 80
    assert [tuple(group.values.values()) for group in found.groups] == [
        (tag, opt) for tag in ("a", "b", None) for opt in ("adam", "sgd")
    ]
    for group in found.groups:
        tag, opt = group.values.values()
        members = [
            at
            for at, run in enumerate(RUNS)
            if run["config"]["opt"] == opt and (tag in run["tags"] or (tag is None and not run["tags"]))
        ]
        assert (group.runs, group.newest) == (len(members), f"r{max(members):02}")
        for metric in ("loss", "mixed"):
            check(group.metrics[metric], [RUNS[at]["summary"].get(metric) for at in members])
    assert sum(group.runs for group in found.groups) > 80
    assert grouped(filled, by=("tag",), query="tag:a").groups[0].values == {"tag": "a"}
    assert grouped(filled, by=("tag",), query="nothing").groups == []


def test_all_but_some_keys(filled: Store) -> None:
    found = grouped(filled, all_but=("config.seed", "layers"), limit=1000)
    rest = [(run["config"]["lr"], run["config"]["opt"], *run["config"]["net"].values()) for run in RUNS]
    assert found.by == ["config.lr", "config.net.deep", "config.net.width", "config.opt"]
    assert {
        tuple(group.values[f"config.{key}"] for key in ("lr", "opt", "net.width", "net.deep")): group.runs
        for group in found.groups
    } == {each: rest.count(each) for each in rest}
    assert grouped(filled, all_but=("seed", "layers", "net"), limit=1000).by == ["config.lr", "config.opt"]
    assert grouped(filled, all_but=()).total == 80
    assert grouped(filled, all_but=("seed", "layers", "net", "lr", "opt")).groups[0].values == {}


def test_orders_by_statistics_and_pages(filled: Store) -> None:
    options: dict[str, Any] = {"by": ("config.lr", "config.opt"), "metrics": ("mixed", "rare")}
    for order in ("-mixed:mean", "rare:std,-runs", "-rare:n,config.opt,config.lr", "-config.lr,config.opt"):
        whole = grouped(filled, order=order, **options).groups
        paged = [
            group
            for at in range(0, 6, 2)
            for group in grouped(filled, order=order, limit=2, offset=at, **options).groups
        ]
        assert paged == whole
    means = [group.metrics["mixed"].mean for group in grouped(filled, order="-mixed:mean", **options).groups]
    known = [mean for mean in means if mean is not None]
    assert means == [*sorted(known, reverse=True), *[None] * (len(means) - len(known))]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "name either the keys of the groups, or"),
        ({"by": ("state",), "all_but": ()}, "name either the keys of the groups, or"),
        ({"by": ("colour",)}, "cannot group by 'colour': use created_at"),
        ({"by": ("state",), "order": "loss:mean"}, "cannot order by 'loss:mean': use runs, a key"),
        ({"by": ("state",), "metrics": ("loss",), "order": "loss:median"}, "cannot order by 'loss:median'"),
        ({"by": tuple(f"config.{at}" for at in range(21))}, "more than 20 keys"),
        ({"by": ("config.\ud800",)}, "half a surrogate pair"),
        ({"by": ("state",), "query": "(a"}, "query, character 1"),
    ],
)  # fmt: skip
def test_wrong_groups(filled: Store, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        grouped(filled, **options)


def test_lists_of_keys() -> None:
    assert parse_keys(["state,config.a,b", "", "config.lr", "state"]) == ["state", "config.a,b", "config.lr"]
