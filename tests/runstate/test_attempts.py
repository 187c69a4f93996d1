"""The description of a run does not depend on how its rows are divided into attempts, nor on their order."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.ground.read_models import RunDetail
from tracker.ground.records import (
    COMMIT,
    ConsoleLines,
    InvalidRecord,
    MetricDefined,
    Process,
    Record,
    Row,
    RunChanged,
    RunFinished,
    RunStarted,
    SummaryChanged,
    SystemSample,
)
from tracker.runstate.fold import MOST_PROBLEMS, FinishedRow, Gone, SegmentFold, SegmentState, kind_of
from tracker.runstate.merge import SegmentView, describe_run, merge_segments
from tracker.runstate.missing_aggregates import fill_aggregates

IMAGE = {"_type": "image-file", "path": "a", "caption": "c"}
SOUND = {"_type": "audio-file", "path": "b"}
values = st.sampled_from([1, 2.5, None, "text", IMAGE, SOUND, [IMAGE, SOUND], [], [1]])
logged = st.lists(st.dictionaries(st.sampled_from("abc"), values, max_size=3), max_size=6)


def row(step: int, data: dict[str, Any], at: float | None = None) -> Row:
    return Row(step, step, COMMIT, 100.0 + step if at is None else at, data)


def segment(attempt: int, *records: Record, **started: Any) -> SegmentView:
    fold = SegmentFold(SegmentState())
    first = RunStarted("e", "p", "r", 100.0 * attempt, Process("h", "b", 0, 1, 2), attempt=attempt, **started)
    for record in (first, *records):
        fold.fold(record)
    state = fold.state
    ended = state.finished.state if state.finished else None
    return SegmentView(f"{9 - attempt}", first.rank, attempt, first.time, state.start_step, ended, state)


def headless(*records: Record) -> SegmentView:
    """Return a segment whose first record is lost."""
    fold = SegmentFold(SegmentState())
    for record in records:
        fold.fold(record)
    return SegmentView("h", 0, 0, 0.0, 0, "crashed", fold.state)


def describe(*segments: SegmentView) -> RunDetail:
    return describe_run("e", "p", "r", segments, {})


@settings(deadline=None)
@given(logged, st.lists(st.integers(0, 6), max_size=2), st.permutations(range(3)))
def test_keys_of_all_rows_are_described(
    logged: list[dict[str, Any]], cuts: list[int], order: list[int]
) -> None:
    rows = [row(step, data) for step, data in enumerate(logged)]
    ends = [*sorted(cuts), len(rows)]
    parts = [segment(at, *rows[slice(*part)]) for at, part in enumerate(pairwise([0, *ends]))]
    found = describe(*(parts[at] for at in order if at < len(parts)))
    assert found.keys == describe(segment(0, *rows)).keys
    assert [each.attempt for each in found.segments] == [each.attempt for each in parts]


def test_kinds_of_lists_and_of_values_that_change() -> None:
    assert kind_of([IMAGE]) == kind_of([IMAGE, SOUND]) == "media"
    assert {kind_of(each) for each in ([], [1], [{}], [IMAGE, 1], [{"_type": "table-file"}])} == {"other"}
    for first, second, numbers in (
        (IMAGE, {"_type": "table-file"}, False),
        ([IMAGE], [1], False),
        (1, "text", True),
    ):
        rows = [row(step, {"x": value}) for step, value in enumerate((first, second, second, None))]
        for segments in ([segment(0, *rows)], [segment(0, row(0, {"x": [1]})), segment(1, *rows)]):
            (found,) = describe(*segments).keys
            assert (found.kind, found.numbers) == ("other", numbers)


def test_samples_and_lines_are_counted() -> None:
    lines = [ConsoleLines(1, [(4, 1, "five")]), ConsoleLines(2, [(1, 1, "again")])]
    found = describe(segment(0, *lines, SystemSample(1, {}), SystemSample(2, {}))).segments[0]
    assert (found.samples, found.console_lines) == (2, 5)
    assert describe(segment(0, ConsoleLines(1, []))).segments[0].console_lines == 0


def test_number_of_problems_is_limited() -> None:
    records = [InvalidRecord("Row", str(number)) for number in range(MOST_PROBLEMS + 1)]
    assert len(describe(segment(0, *records)).problems) == MOST_PROBLEMS


def test_start_step_is_that_of_a_smaller_first_row() -> None:
    assert segment(1, row(1, {}), row(5, {}), start_step=3).start_step == 1


def test_a_run_of_less_than_a_second() -> None:
    assert merge_segments("r", [segment(0, row(0, {}, at=0.5))], {}).duration == 0.5


def test_why_a_run_ended() -> None:
    preempted = segment(0, row(0, {}, at=90.0), RunFinished(80.0, "preempted", 1, "SIGTERM", "signal 15"))
    preempted.state.gone = Gone("process gone", 70.0)  # detected before the last record was read
    merged = merge_segments("r", [preempted], {})
    assert (merged.reason, merged.last_seen, merged.finished_at) == ("signal 15", None, 80.0)
    crashed = segment(0)._replace(ended="crashed")
    crashed.state.gone = Gone("host silent", 70.0)
    merged = merge_segments("r", [crashed], {})
    assert (merged.reason, merged.last_seen) == ("host silent", 70.0)


def test_an_edit_is_valid_until_a_later_script_sets_the_field() -> None:
    renamed = segment(0, RunChanged(10.0, {"name": "by its script"}))
    for edited_at, name in ((9.0, "by its script"), (11.0, "edited")):
        assert merge_segments("r", [renamed], {"name": {"value": "edited", "time": edited_at}}).name == name


def test_a_segment_without_its_first_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        lost = headless(row(0, {"x": 1}))
        lost.state.silent_since = 86400.0
        found = describe(lost)
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert found.error == (
        "no sign of life from its host since 1970-01-02 00:00 UTC; that host may have more rows"
    )
    assert (found.name, found.segments[0].host) == ("r", None)
    assert SegmentFold(SegmentState()).fold(row(0, {}))[0].runtime == 0.0


def summary(*segments: SegmentView, rows: dict[str, list[Any]] | None = None) -> dict[str, Any]:
    """Return a run's summary; ``rows`` has the values of ``x``, from step 0 on, of incomplete segments."""

    def read_rows(each: SegmentView, keys: list[str]) -> list[FinishedRow]:
        assert keys == ["x"]
        return [FinishedRow(at, at, 0.0, 0.0, {"x": x}) for at, x in enumerate((rows or {})[each.segment])]

    fill_aggregates(segments, read_rows)
    return merge_segments("r", segments, {}).summary


MOST = MetricDefined("x", summary=["max"])
NONE = MetricDefined("x", summary=["none"])
NOTHING = MetricDefined("x", overwrite=True)


def test_a_logged_value_replaces_a_value_that_a_script_set() -> None:
    later = segment(1, SummaryChanged({"x": 0}, []), row(1, {"x": 2}), start_step=1)
    assert summary(segment(0, MOST, row(0, {"x": 3})), later, rows={"8": [2]}) == {"x": {"max": 3}}


def test_a_key_that_is_logged_without_a_value_keeps_its_aggregate() -> None:
    later = segment(1, row(1, {"x": None}), start_step=1)
    assert summary(segment(0, MOST, row(0, {"x": 3})), later, rows={"8": [None]}) == {"x": {"max": 3}}


def test_a_key_without_values_has_no_summary() -> None:
    defined = segment(1, MOST, start_step=1)
    assert summary(segment(0, row(0, {"x": None})), defined, rows={"9": [None]}) == {}
    assert summary(segment(0, SummaryChanged({"x": 1}, []), NONE, row(0, {"x": 2}))) == {}
    later = segment(1, NONE, start_step=1)
    assert summary(segment(0, NONE, row(0, {"x": 2})), later, rows={"9": [2]}) == {}


def test_after_a_definition_is_withdrawn_the_last_value_is_shown() -> None:
    first = segment(0, MOST, row(0, {"x": 3}), row(1, {"x": 2}))
    assert summary(first, segment(1, NOTHING, start_step=2)) == {"x": 2}
    media = segment(0, MOST, row(0, {"x": 3}))
    shown = segment(1, NOTHING, row(1, {"x": IMAGE}), start_step=1)
    assert summary(media, shown, rows={"8": [IMAGE]}) == {"x": IMAGE}
    again = segment(0, MOST, row(0, {"x": 5}), NOTHING, row(1, {"x": 9}), MOST, row(2, {"x": 1}))
    assert summary(again) == {"x": {"max": 9}}


def test_rows_are_read_only_if_an_aggregate_is_missing() -> None:
    plain = [segment(0, row(0, {"x": 1}), row(1, {"x": 2})), segment(1, row(1, {"x": 3}), start_step=1)]
    assert fill_aggregates(plain, lambda each, keys: pytest.fail("nothing is defined")) == []
    only_set = segment(0, SummaryChanged({"x": 1}, []))
    assert summary(only_set, segment(1, MOST, start_step=0)) == {"x": 1}


@pytest.mark.parametrize("key", ["x", "l.b", "d.a", "d.e.f"])
def test_rows_from_before_a_definition_count_in_later_attempts(key: str) -> None:
    data = [{"x": at, "l.b": at, "d": {"a": at, "e": {"f": at}}} for at in (1, 2)]
    late = segment(0, row(0, data[0]), MetricDefined(key, summary=["min"]), row(1, data[1]))
    read = [FinishedRow(at, at, 0.0, 0.0, each) for at, each in enumerate(data)]
    assert len(fill_aggregates([late, segment(1, start_step=2)], lambda each, keys: read)) == 1
    assert late.state.counted[key].low == 1


def test_rows_that_were_logged_again_do_not_count() -> None:
    older = segment(0, MOST, row(0, {"x": 1}), row(1, {"x": 9}))
    summary(older, segment(1, row(1, {"x": 2}), start_step=1), rows={"9": [1, 9], "8": [2]})
    fold = SegmentFold(older.state)
    fold.fold(row(1, {"x": 8}))
    assert fold.state.counted["x"].high == 1


def test_media_are_not_merged_as_dicts() -> None:
    plain = {"_type": "image-file", "path": "b"}
    for first, second in ((IMAGE, plain), (IMAGE, {"a": 1}), ({"a": 1}, plain)):
        assert summary(segment(0, row(0, {"x": first}), row(1, {"x": second}))) == {"x": second}
        open_row = Row(0, 0, 0, 100.0, {"x": first})
        assert summary(segment(0, open_row, row(0, {"x": second}))) == {"x": second}
