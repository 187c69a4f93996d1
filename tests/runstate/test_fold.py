"""Computation of rows and summary from records: all at once, or in batches with a stored state."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.ground.records import (
    ASIDE,
    COMMIT,
    ConfigChanged,
    MetricDefined,
    Process,
    Record,
    Row,
    RowsLost,
    RunFinished,
    RunStarted,
    SummaryChanged,
    decode,
    pack,
)
from tracker.runstate.fold import FinishedRow, SegmentFold, SegmentState, kind_of, pack_state, unpack_state
from tracker.runstate.merge import SegmentView, describe_run

STARTED = RunStarted("e", "p", "r", 100.0, Process("h", "b", 0, 1, 2), runtime_base=5.0, config={"lr": 1})


def fold(*records: Record, started: bool = True) -> tuple[list[FinishedRow], SegmentState]:
    fold = SegmentFold(SegmentState())
    rows = [row for record in ([STARTED] if started else []) + list(records) for row in fold.fold(record)]
    return rows, fold.state


def row(number: int, data: dict[str, Any], step: int | None = None, flags: int = COMMIT) -> Row:
    return Row(number, number if step is None else step, flags, 101.0 + number, data)


def logged(key: str, values: list[Any], *definitions: MetricDefined) -> Any:
    """Return the summary of ``key`` after ``values`` were logged one by one; "absent" without a summary."""
    _, state = fold(*definitions, *(row(at, {key: value}) for at, value in enumerate(values)))
    return state.summary.get(key, "absent")


# Rows


def test_partial_rows_merge_until_the_commit() -> None:
    rows, state = fold(row(0, {"a": 1, "b": 1}, flags=0), row(0, {"b": 2, "c": 3}, flags=0), row(0, {"d": 4}))
    assert rows == [FinishedRow(0, 0, 101.0, 6.0, {"a": 1, "b": 2, "c": 3, "d": 4})]
    assert (state.open, state.rows, state.last_step) == (None, 1, 0)


def test_another_row_closes_the_open_one() -> None:
    rows, state = fold(row(0, {"a": 1}, flags=0), row(1, {"b": 2}, step=10, flags=0))
    assert [(each.row, each.step, each.data) for each in rows] == [(0, 0, {"a": 1})]
    assert state.open is not None
    assert (state.open.row, state.open.step, state.open.data) == (1, 10, {"b": 2})


def test_a_row_with_a_smaller_step_does_not_close_the_open_row() -> None:
    rows, state = fold(
        row(0, {"a": 1}, step=10, flags=0),
        row(1, {"f": 1}, step=5, flags=COMMIT | ASIDE),
        row(0, {"g": 1}, step=10),
    )
    assert [(each.row, each.step, each.data) for each in rows] == [
        (1, 5, {"f": 1}),
        (0, 10, {"a": 1, "g": 1}),
    ]
    assert state.last_step == 10


def test_a_smaller_step_is_not_the_last_one() -> None:
    _, state = fold(row(0, {"a": 1}, step=10), row(1, {"a": 2}, step=5, flags=COMMIT | ASIDE))
    assert (state.last_step, state.reached, state.first_step) == (10, 10, 10)
    _, state = fold(row(0, {"a": 1}, step=3), row(1, {"a": 2}, step=7, flags=0))
    assert (state.last_step, state.reached) == (3, 7)


def test_the_end_completes_the_open_row() -> None:
    rows, state = fold(row(0, {"a": 1}, flags=0), RunFinished(200.0, "failed", 3, "boom"))
    assert [each.data for each in rows] == [{"a": 1}]
    assert state.finished == RunFinished(200.0, "failed", 3, "boom")
    assert (state.last_time, state.runtime) == (200.0, 105.0)


def test_a_committed_row_without_keys_is_a_row() -> None:
    aside = row(2, {}, step=-1, flags=COMMIT | ASIDE)
    rows, state = fold(row(0, {}), row(1, {}, flags=0), aside, RunFinished(102.0, "finished"))
    assert [(each.step, each.data) for each in rows] == [(0, {})]
    assert (state.rows, state.last_step) == (1, 0)


def test_row_takes_the_time_of_its_last_part() -> None:
    rows, _ = fold(Row(0, 0, 0, 110.0, {"a": 1}), Row(0, 0, COMMIT, 130.0, {"b": 1}))
    assert [(each.time, each.runtime) for each in rows] == [(130.0, 35.0)]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (50.5, 50.5),
        (50, 50),
        ("now", 101.0),
        (None, 101.0),
        (math.nan, 101.0),
        (math.inf, 101.0),
        pytest.param(10**400, 101.0, id="huge"),
    ],
)
def test_a_valid_time_stamp_of_the_script_is_used(given: Any, kept: float) -> None:
    rows, _ = fold(row(0, {"_timestamp": given, "a": 1}))
    assert rows[0].time == kept
    assert math.isfinite(float(rows[0].time))


def test_lost_rows_are_reported_as_a_problem() -> None:
    _, state = fold(RowsLost(7, "No space left on device", 1234.0))
    assert state.problems == ["7 records were lost at 1234: No space left on device"]


def test_config_and_summary_changes() -> None:
    _, state = fold(
        ConfigChanged({"lr": 2, "seed": 1}),
        ConfigChanged({"lr": 3}, ["seed", "never there"]),
        row(0, {"loss": 1}),
        SummaryChanged({"loss": "mine", "best": 9}),
        SummaryChanged({}, ["best"]),
    )
    assert (state.config, state.summary) == ({"lr": 3}, {"loss": "mine"})


def test_a_summary_value_of_the_script_is_valid_until_the_key_is_logged() -> None:
    _, state = fold(row(0, {"loss": 1}), SummaryChanged({"loss": 0}), row(1, {"other": 1}))
    assert state.summary["loss"] == 0
    _, state = fold(SummaryChanged({"loss": 0}), row(0, {"loss": 1}))
    assert state.summary["loss"] == 1


def test_key_facts() -> None:
    _, state = fold(row(0, {"a": None}), row(1, {"a": 1, "b": "x"}), row(2, {"a": 2}), row(3, {"b": 2}))
    assert {key: (facts.kind, facts.count, facts.last_step) for key, facts in state.keys.items()} == {
        "a": ("number", 3, 2),
        "b": ("other", 2, 3),
    }
    assert [facts.numbers for facts in state.keys.values()] == [True, True]


LOGGED: dict[str, tuple[list[list[Any]], str, bool]] = {
    "numbers": ([[1, 2.5], [3]], "number", True),
    "a text among numbers": ([[1.0, 2.0, "diverged"]], "other", True),
    "a text in a second attempt": ([[1.0, 2.0], ["diverged"]], "other", True),
    "numbers in a second attempt": ([["warming up"], [1.0]], "other", True),
    "numbers in a third attempt": ([["a", [1]], [None], [1.0]], "other", True),
    "None, then numbers": ([[None], [1]], "number", True),
    "text alone": ([["a"], [None], ["b"]], "text", False),
    "text and lists": ([["a"], [[1]]], "other", False),
    "images and lists": ([[{"_type": "image-file"}, None, []]], "other", False),
    "nothing but None": ([[None], [None]], "null", False),
}


@pytest.mark.parametrize("name", LOGGED)
def test_key_facts_are_equal_over_rows_and_over_attempts(name: str) -> None:
    attempts, kind, numbers = LOGGED[name]
    flat = [value for values in attempts for value in values]
    for split in (attempts, [flat], [[value] for value in flat]):
        views = []
        for attempt, values in enumerate(split):
            _, state = fold(*(row(at, {"k": value}) for at, value in enumerate(values)))
            state = unpack_state(pack_state(state))
            views.append(SegmentView(f"{attempt:032x}", 0, attempt, float(attempt), 0, "finished", state))
        (key,) = describe_run("e", "p", "r", views, {}).keys
        assert (key.kind, key.count, key.numbers) == (kind, len(flat), numbers)


def test_key_facts_of_an_older_state() -> None:
    older = msgspec.msgpack.encode({"keys": {"n": ["number", 3, 2], "t": ["text", 1, 0]}})
    facts = unpack_state(older).keys
    assert (facts["n"].numbers, facts["t"].numbers) == (True, False)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, "number"),
        (True, "number"),
        (math.nan, "number"),
        ("x", "text"),
        (None, "null"),
        ({"_type": "image-file"}, "image"),
        ({"_type": "images/separated"}, "image"),
        ({"_type": "table-file"}, "table"),
        ({"_type": "histogram"}, "histogram"),
        ({"_type": "videos"}, "media"),
        ({"_type": "molecule-file"}, "media"),
        ({"_type": "graph-file"}, "other"),
        ({"_type": "artifactVersion"}, "other"),
        ({"_type": ["odd"]}, "other"),
        ({}, "other"),
        ([1], "other"),
    ],
)
def test_kinds(value: Any, kind: str) -> None:
    assert kind_of(value) == kind


# define_metric

VALUES = [3, 1, math.nan, 4, 2]
SUMMARIES: dict[str, tuple[MetricDefined, Any]] = {
    "min": (MetricDefined("k", summary=["min"]), {"min": 1}),
    "max": (MetricDefined("k", summary=["max"]), {"max": 4}),
    "mean": (MetricDefined("k", summary=["mean"]), {"mean": 2.5}),
    "first": (MetricDefined("k", summary=["first"]), {"first": 3}),
    "last": (MetricDefined("k", summary=["last"]), {"last": 2}),
    "several": (MetricDefined("k", summary=["min", "max", "last"]), {"min": 1, "max": 4, "last": 2}),
    "best is the smallest": (MetricDefined("k", summary=["best"]), {"best": 1}),
    "best of what to maximize": (MetricDefined("k", summary=["best"], goal="maximize"), {"best": 4}),
    "best of what to minimize": (MetricDefined("k", summary=["best"], goal="minimize"), {"best": 1}),
    "copy": (MetricDefined("k", summary=["copy"]), 2),
    "none": (MetricDefined("k", summary=["none"]), "absent"),
    "no summary given": (MetricDefined("k"), 2),
}


@pytest.mark.parametrize("name", SUMMARIES)
def test_summary_aggregates(name: str) -> None:
    definition, expected = SUMMARIES[name]
    assert repr(logged("k", VALUES, definition)) == repr(expected)


def test_summary_aggregates_of_values_that_are_not_numbers() -> None:
    definition = MetricDefined("k", summary=["min", "max", "mean", "last", "first"])
    assert logged("k", ["a", True, None, "b"], definition) == {"last": "b", "first": "a"}
    assert logged("k", [math.nan, math.inf], MetricDefined("k", summary=["min", "mean"])) == {}


def test_summary_of_integers_is_exact() -> None:
    definition = MetricDefined("k", summary=["min", "max"])
    assert repr(logged("k", [2**60 + 1, 2**70], definition)) == repr({"min": 2**60 + 1, "max": 2**70})


def test_summary_of_integers_beyond_the_range_of_a_double() -> None:
    definition = MetricDefined("k", summary=["max", "mean", "last"])
    assert logged("k", [1, 10**400], definition) == {"max": 1, "mean": 1.0, "last": 10**400}


def test_an_exact_name_wins_over_globs_and_a_longer_glob_over_shorter_ones() -> None:
    definitions = [
        MetricDefined("*", summary=["last"]),
        MetricDefined("val/*", summary=["min"]),
        MetricDefined("val/acc*", summary=["max"]),
        MetricDefined("val/acc_top5", summary=["mean"]),
    ]
    expected = {
        "loss": {"last": 3},
        "val/loss": {"min": 1},
        "val/acc": {"max": 3},
        "val/acc_top1": {"max": 3},
        "val/acc_top5": {"mean": 2.0},
    }
    for order in (definitions, definitions[::-1]):
        assert {key: logged(key, [1, 3], *order) for key in expected} == expected


def test_globs_do_not_match_system_keys() -> None:
    assert logged("_step_time", [1], MetricDefined("*", summary=["none"])) == 1
    assert logged("_step_time", [1], MetricDefined("_step_time", summary=["none"])) == "absent"


def test_a_later_definition_adds_to_the_earlier_or_replaces_it() -> None:
    first, later = MetricDefined("k", summary=["min"]), MetricDefined("k", summary=["max"])
    _, state = fold(first, row(0, {"k": 1}), later, row(1, {"k": 5}))
    assert state.summary["k"] == {"min": 1, "max": 5}
    _, state = fold(
        first, row(0, {"k": 1}), MetricDefined("k", summary=["max"], overwrite=True), row(1, {"k": 5})
    )
    assert state.summary["k"] == {"max": 5}


def test_nested_keys_are_merged_and_defined_by_their_dotted_names() -> None:
    defined = MetricDefined("d.e", summary=["max"])
    _, state = fold(defined, row(0, {"d": {"e": 3, "f": {"g": 1}}}), row(1, {"d": {"e": 1, "f": {"h": 2}}}))
    assert state.summary["d"] == {"e": {"max": 3}, "f": {"g": 1, "h": 2}}


# step_sync

SYNC = MetricDefined("*", step_metric="global_step", step_sync=True)


def test_a_row_without_the_step_metric_gets_its_last_value() -> None:
    rows, state = fold(
        SYNC,
        row(0, {"x": 1}),
        row(1, {"global_step": 5, "x": 1}),
        row(2, {"y": 2}),
        row(3, {"global_step": 6}),
    )
    assert [each.data for each in rows] == [
        {"x": 1},  # the step metric was not logged yet
        {"global_step": 5, "x": 1},
        {"y": 2, "global_step": 5},
        {"global_step": 6},
    ]
    assert state.keys["global_step"].count == 3


def test_step_sync_only_if_it_is_requested() -> None:
    rows, _ = fold(
        MetricDefined("a", step_metric="s", step_sync=True),
        MetricDefined("b", step_metric="s", step_sync=False),
        row(0, {"s": 1}),
        row(1, {"b": 1, "c": 1}),
        row(2, {"a": 1}),
    )
    assert [each.data for each in rows[1:]] == [{"b": 1, "c": 1}, {"a": 1, "s": 1}]


def test_two_step_metrics_in_one_row() -> None:
    rows, _ = fold(
        MetricDefined("t/*", step_metric="batch", step_sync=True),
        MetricDefined("v/*", step_metric="epoch", step_sync=True),
        row(0, {"batch": 7}),
        row(1, {"epoch": 2}),
        row(2, {"t/loss": 1, "v/loss": 2}),
    )
    assert rows[-1].data == {"t/loss": 1, "v/loss": 2, "batch": 7, "epoch": 2}


def test_step_sync_sees_the_whole_merged_row() -> None:
    rows, _ = fold(SYNC, row(0, {"global_step": 1}), row(1, {"y": 1}, flags=0), row(1, {"global_step": 2}))
    assert rows[-1].data == {"y": 1, "global_step": 2}


# Batches

text = st.sampled_from(["loss", "val/acc", "val/loss", "s", "_timestamp", "größe"])
values = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([2**53 + 1, 2**70, -(2**80), 10**400]),
    st.floats(),
    st.none(),
    st.booleans(),
    st.sampled_from(["word", {"x": {"y": 2**65}}, [1, None]]),
)
data = st.dictionaries(text, values, max_size=4)
words = st.lists(
    st.sampled_from(["min", "max", "mean", "last", "first", "best", "copy", "none"]), max_size=3, unique=True
)
row_records = st.builds(
    Row,
    st.integers(0, 4),
    st.integers(0, 9),
    st.sampled_from([0, COMMIT, COMMIT | ASIDE]),
    st.floats(90, 200),
    data,
)
records = st.lists(
    st.one_of(
        row_records,
        row_records,
        st.builds(
            MetricDefined,
            st.sampled_from(["*", "val/*", "loss"]),
            st.sampled_from([None, "s"]),
            st.booleans(),
            st.just(False),
            words,
            st.sampled_from([None, "maximize"]),
        ),
        st.builds(ConfigChanged, data, st.lists(text, max_size=2)),
        st.builds(SummaryChanged, data, st.lists(text, max_size=2)),
        st.builds(RowsLost, st.integers(1, 9), st.just("disk"), st.floats(90, 200)),
    ),
    max_size=12,
)


@settings(max_examples=100)
@given(records, st.booleans())
def test_division_into_batches_has_no_effect(logged: list[Record], ended: bool) -> None:
    whole: list[Record] = [STARTED, *logged, *([RunFinished(300.0, "finished")] if ended else [])]
    whole = [decode(pack(record)) for record in whole]
    fold = SegmentFold(SegmentState())
    expected = [row for record in whole for row in fold.fold(record)]
    left = [row.data for row in fold.flush()]
    for cut in range(len(whole) + 1):
        first = SegmentFold(SegmentState())
        found = [row for record in whole[:cut] for row in first.fold(record)]
        second = SegmentFold(unpack_state(pack_state(first.state)))
        found += [row for record in whole[cut:] for row in second.fold(record)]
        assert repr(found) == repr(expected)
        assert repr([row.data for row in second.flush()]) == repr(left)
        assert repr(second.state) == repr(fold.state)


@settings(max_examples=100)
@given(records)
def test_a_state_is_equal_after_packing_and_unpacking(logged: list[Record]) -> None:
    fold = SegmentFold(SegmentState())
    for record in [STARTED, *logged]:
        fold.fold(record)
        assert repr(unpack_state(pack_state(fold.state))) == repr(fold.state)
