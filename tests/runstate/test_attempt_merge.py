"""A run of several attempts has the same result as a run in which one writer wrote all the records."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tracker.ground.records import COMMIT, MetricDefined, Process, Record, Row, RunStarted, SummaryChanged
from tracker.runstate.aggregates import Aggregate
from tracker.runstate.fold import FinishedRow, SegmentFold, SegmentState, pack_state, unpack_state
from tracker.runstate.merge import SegmentView, merge_segments
from tracker.runstate.missing_aggregates import fill_aggregates

numbers = st.integers(-3, 3).map(lambda number: number / 2)
leaves = numbers | st.none() | st.just("text")
# A key has either only dicts or never a dict: the summary of a key with both is not defined.
rows = st.fixed_dictionaries(
    {}, optional={"x": leaves, "y": leaves, "d": st.dictionaries(st.sampled_from("ab"), leaves, max_size=2)}
)
definitions = st.dictionaries(
    st.sampled_from(["x", "y", "*", "d.a", "d.*"]),
    st.lists(st.sampled_from(["min", "max", "mean", "last", "first", "best", "copy", "none"]), max_size=2),
    max_size=3,
)
changes = st.builds(
    SummaryChanged,
    st.fixed_dictionaries({}, optional={"x": numbers, "d": st.just({"a": 7})}),
    st.lists(st.sampled_from("xyd"), max_size=1),
)


class Written:
    """Segments of one writer and their rows."""

    def __init__(self) -> None:
        self.segments: list[SegmentView] = []
        self.rows: dict[str, list[FinishedRow]] = {}

    def add(self, records: list[Record], **started: Any) -> SegmentState:
        at = len(self.segments)
        fold = SegmentFold(SegmentState())
        first = RunStarted("e", "p", "r", 100.0 * at, Process("h", "b", 0, 1, 2), attempt=at, **started)
        found = [row for record in [first, *records] for row in fold.fold(record)]
        state = unpack_state(pack_state(fold.state))
        name = str(at)
        self.rows[name] = found
        view = SegmentView(name, first.rank, at, first.time, state.start_step, "finished", state)
        self.segments.append(view)
        return state

    def read_rows(self, segment: SegmentView, keys: list[str]) -> list[FinishedRow]:
        return [row for row in self.rows[segment.segment] if not row.data.keys().isdisjoint(keys)]

    @property
    def summary(self) -> dict[str, Any]:
        fill_aggregates(self.segments, self.read_rows)
        assert not fill_aggregates(self.segments, self.read_rows), "it is known by now"
        return merge_segments("r", self.segments, {}).summary


def aggregate(values: list[Any]) -> Aggregate:
    found = Aggregate()
    for value in values:
        found.add(value)
    return found


@given(st.lists(leaves, max_size=4), st.lists(leaves, max_size=4))
def test_joined_aggregates_equal_the_aggregate_of_all_values(earlier: list[Any], later: list[Any]) -> None:
    both = aggregate(earlier).joined_with(aggregate(later))
    assert both == aggregate(earlier + later)
    assert both.empty == all(value is None for value in earlier + later)


def without_empty(summary: dict[str, Any]) -> dict[str, Any]:
    """Remove empty dicts: a row can log one, and the keys of a dict can be removed."""
    return {
        key: value
        for key, each in summary.items()
        if (value := without_empty(each) if isinstance(each, dict) else each) != {}
    }


@settings(max_examples=200)
@example({"*": ["min"]}, [{"d": {"b": 0.0}}, SummaryChanged({"d": {"a": 7}}, []), {"d": {"b": 1.0}}], [0, 2])
@example({"*": ["min"]}, [{"d": {"a": None}}, SummaryChanged({"d": {"a": 7}}, []), {"d": {"a": 0.0}}], [0])
@given(definitions, st.lists(rows | changes, max_size=8), st.lists(st.integers(0, 8), max_size=3))
def test_division_into_attempts_has_no_effect(
    defined: dict[str, list[str]], logged: list[Any], cuts: list[int]
) -> None:
    said = [MetricDefined(name, summary=words) for name, words in defined.items()]
    records = [
        each if isinstance(each, SummaryChanged) else Row(at, at, COMMIT, 100.0 + at, each)
        for at, each in enumerate(logged)
    ]
    whole = Written()
    whole.add([*said, *records])
    parts = Written()
    ends = sorted(min(cut, len(records)) for cut in cuts)
    for at, (start, end) in enumerate(zip([0, *ends], [*ends, len(records)], strict=True)):
        parts.add([*(said if at == 0 else []), *records[start:end]], start_step=start)
    assert without_empty(parts.summary) == without_empty(whole.summary)
