"""The merge of segments into a run: which writer decides, and how long an edit is valid."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tracker.ground.records import (
    ASIDE,
    CHILD,
    COMMIT,
    FORKED,
    OUTSIDE,
    AlertRaised,
    ConfigChanged,
    ConsoleLines,
    MetricDefined,
    Process,
    Record,
    Row,
    RowsLost,
    RunChanged,
    RunFinished,
    RunStarted,
    SegmentRestored,
    SummaryChanged,
    SystemSample,
)
from tracker.runstate.aggregates import Aggregate
from tracker.runstate.fold import FinishedRow, SegmentFold, SegmentState
from tracker.runstate.merge import (
    SegmentView,
    describe_run,
    merge_segments,
    newest_branch,
    pack_segments,
    unpack_segments,
)
from tracker.runstate.missing_aggregates import fill_aggregates

START = 1000.0


def segment(
    segment_id: str,
    /,
    *records: Record,
    rank: int = 0,
    attempt: int = 0,
    began: float = START,
    **started: Any,
) -> SegmentView:
    """Return the segment of a writer."""
    process = Process(f"host of {segment_id}", "boot", 0, 1, 2)
    first = RunStarted("e", "p", "r", began, process, rank=rank, attempt=attempt, **started)
    fold = SegmentFold(SegmentState())
    for record in (first, *records):
        fold.fold(record)
    state = fold.state
    ended = state.finished.state if state.finished is not None else None
    return SegmentView(segment_id, rank, attempt, began, state.start_step, ended, state)


def row(step: int, time: float = START + 1, **data: Any) -> Row:
    return Row(step, step, COMMIT, time, data)


def test_the_newest_attempt_of_the_primary_writer_decides() -> None:
    merged = merge_segments(
        "r",
        [
            segment("new", row(5, 1305, x=3), attempt=1, began=1300, config={"lr": 3}, program="b.py"),
            segment("old", row(0, x=1), RunFinished(1200, "failed", 2, "boom"), config={"lr": 1, "d": 1}),
            segment(
                "second rank", row(9, x=2, y=2), rank=1, config={"of rank 1": 1, "lr": 2}, program="c.py"
            ),
        ],
        {},
    )
    assert merged.config == {"lr": 3, "d": 1, "of rank 1": 1}
    assert merged.summary == {"x": 3, "y": 2}
    assert (merged.name, merged.tags, merged.notes) == ("r", [], None)
    assert (merged.host, merged.program) == ("host of new", "b.py")
    assert (merged.state, merged.exit_code, merged.error, merged.finished_at) == ("running", None, None, None)
    assert (merged.created_at, merged.updated_at, merged.duration, merged.last_step) == (1000, 1305, 200, 9)


def test_how_a_run_ended() -> None:
    merged = merge_segments("r", [segment("a", RunFinished(1200, "failed", 2, "boom"))], {})
    assert (merged.state, merged.exit_code, merged.error, merged.finished_at) == ("failed", 2, "boom", 1200)
    killed = segment("a", row(0))._replace(ended="crashed")
    merged = merge_segments("r", [killed], {})
    assert (merged.state, merged.exit_code, merged.error, merged.finished_at) == ("crashed", None, None, 1001)
    killed.state.silent_since = 86400.0
    assert merge_segments("r", [killed], {}).error == (
        "no sign of life from host of a since 1970-01-02 00:00 UTC; that host may have more rows"
    )


EDIT = {"value": "edited", "time": 1100.0}


@pytest.mark.parametrize(
    ("attempts", "name"),
    [
        ([segment("a", name="given")], "edited"),
        ([segment("a")], "edited"),
        ([segment("a", name="given", began=1100.0)], "edited"),
        ([segment("a", name="given", began=1101.0)], "given"),
        ([segment("a", name="given"), segment("b", attempt=1, began=1101.0)], "edited"),
        ([segment("a", name="given"), segment("b", attempt=1, began=1101.0, name="")], "edited"),
        ([segment("a", RunChanged(1099.0, {"name": "renamed"}))], "edited"),
        ([segment("a", RunChanged(1101.0, {"name": "renamed"}))], "renamed"),
    ],
)
def test_an_edit_is_valid_until_a_later_writer_sets_the_field(attempts: list[SegmentView], name: str) -> None:
    assert merge_segments("r", attempts, {"name": EDIT}).name == name


def test_edits_of_single_keys_are_valid_until_a_later_writer_sets_the_key() -> None:
    attempts = [
        segment("a", row(0, x=1, y=1, z=1), config={"lr": 1, "gone": 1}),
        segment("b", row(1, 1201, y=2), ConfigChanged({"depth": 2}), attempt=1, began=1200.0),
    ]
    edited, removed = {"value": 9, "time": 1100.0}, {"removed": True, "time": 1100.0}
    edits = {
        "summary": {"x": edited, "y": edited, "z": removed, "new": edited},
        "config": {"lr": edited, "depth": edited, "gone": removed},
    }
    merged = merge_segments("r", attempts, edits)
    assert merged.summary == {"x": 9, "y": 2, "new": 9}
    assert merged.config == {"lr": 9, "depth": 2}


def test_an_empty_list_of_tags_is_a_value() -> None:
    attempts = [segment("a", tags=["a"], notes="n"), segment("b", attempt=1, began=1100.0, tags=[])]
    assert (merge_segments("r", attempts, {}).tags, merge_segments("r", attempts, {}).notes) == ([], "n")


def test_which_rows_show() -> None:
    attempts = [
        segment("a"),
        segment("b", attempt=1, start_step=8),
        segment("c", attempt=2, start_step=3),
        segment("d", attempt=3, start_step=5),
        segment("other", rank=1, attempt=7, start_step=1),
    ]
    assert newest_branch(attempts[::-1]) == [("a", 3), ("b", 3), ("c", 5), ("d", None)]
    assert newest_branch([]) == []


def test_describing_a_run() -> None:
    attempts = [
        segment(
            "b",
            row(3, x=1, text="t"),
            SystemSample(1, {"cpu": 2.0}),
            AlertRaised(7.0, "late", ""),
            attempt=1,
            began=1100.0,
            start_step=2,
        ),
        segment(
            "a",
            row(0, x=1),
            row(1, x=None),
            SystemSample(1, {"cpu": 1.0, "gpu": 5.0}),
            AlertRaised(5.0, "early", ""),
            ConsoleLines(1, [(4, 1, "five lines")]),
            RowsLost(7, "full", 1234.0),
        ),
        segment("rank", row(0, y=1), SystemSample(1, {"cpu": 9.0}), rank=1),
        segment("outside", row(0, z=1), rank=OUTSIDE),
    ]
    attempts[2] = attempts[2]._replace(fault="disk full")
    found = describe_run("e", "p", "r", attempts, {})
    assert [(each.key, each.kind, each.count, each.last_step, each.numbers) for each in found.keys] == [
        ("text", "text", 1, 3, False),
        ("x", "number", 3, 3, True),
        ("y", "number", 1, 0, True),
    ]
    assert [(each.id, each.shown, each.shown_before, each.rows) for each in found.segments] == [
        ("a", True, 2, 2),
        ("b", True, None, 1),
        ("rank", False, None, 1),
    ]
    assert (found.segments[0].samples, found.segments[0].console_lines) == (1, 5)
    assert found.system_metrics == {"system.cpu": 2.0, "system.gpu": 5.0}
    assert [(each.time, each.title, each.text, each.level) for each in found.alerts] == [
        (5.0, "early", "", "INFO"),
        (7.0, "late", "", "INFO"),
    ]
    assert [(each.rank, each.attempt, each.host, each.started_at) for each in found.segments] == [
        (0, 0, "host of a", 1000.0),
        (0, 1, "host of b", 1100.0),
        (1, 0, "host of rank", 1000.0),
    ]
    assert [(each.start_step, each.last_step, each.state) for each in found.segments] == [
        (0, 1, "running"),
        (2, 3, "running"),
        (0, 0, "running"),
    ]
    assert (found.entity, found.project, found.id, found.summary["x"]) == ("e", "p", "r", 1)
    assert found.problems == [
        "7 records were lost at 1234: full",
        "records wait to be applied: disk full",
    ]
    assert found.attempts == 2
    assert describe_run("e", "p", "r", [attempts[3]], {}).segments[0].id == "outside"


def test_ranks_have_aggregates_of_their_own() -> None:
    least = MetricDefined("x", summary=["min"])
    attempts = [
        segment("rank 1", least, row(0, x=1), rank=1),
        segment("child", least, row(0, x=0), rank=FORKED),
        segment("a", least, row(0, x=3, text="t")),
        segment("b", row(1, 1201, x=4, y=1), attempt=1, began=1200.0, start_step=1),
    ]
    rows = {"b": [FinishedRow(1, 1, 1201, 201, {"x": 4})]}
    assert fill_aggregates(attempts, lambda each, keys: rows[each.segment]) == [attempts[3]]
    assert merge_segments("r", attempts, {}).summary == {"x": {"min": 3}, "text": "t", "y": 1}


def with_rows(*segments: SegmentView) -> dict[str, Any]:
    """Return a run's summary. The name of a segment gives its rows: step, then the value of ``x``."""

    def read_rows(each: SegmentView, keys: list[str]) -> list[FinishedRow]:
        assert keys == ["x"]
        found = [part.split(":") for part in each.segment.split()]
        return [FinishedRow(int(step), int(step), 0.0, 0.0, {"x": int(x)}) for step, x in found]

    fill_aggregates(segments, read_rows)
    return merge_segments("r", segments, {}).summary


EXTREMES = MetricDefined("x", summary=["min", "max"])


def test_after_going_back_only_visible_rows_count() -> None:
    first = [row(step, x=x) for step, x in ((0, 5), (1, 7), (2, 1), (3, 9))]
    older = segment("0:5 1:7 2:1 3:9", EXTREMES, *first)
    nothing = segment("", attempt=1, began=1100.0, start_step=2)
    assert with_rows(older, nothing)["x"] == {"min": 1, "max": 9}, "it was not logged again"
    assert (older.state.hidden_from, older.state.counted["x"].high) == (2, 7)
    fold = SegmentFold(older.state)  # it continues to log after the later attempt has started
    fold.fold(row(4, x=100))
    fold.fold(Row(5, 1, COMMIT | ASIDE, 1002.0, {"x": 6}))
    assert older.state.counted["x"].count == 3
    newer = segment("2:6", EXTREMES, row(2, 1101, x=6), attempt=1, began=1100.0, start_step=2)
    assert with_rows(older, newer)["x"] == {"min": 5, "max": 7}
    newest = segment("1:6", row(1, 1201, x=6), attempt=2, began=1200.0, start_step=1)
    assert with_rows(older, newer, newest)["x"] == {"min": 5, "max": 6}
    assert (older.state.hidden_from, newer.state.hidden_from, newest.state.hidden_from) == (1, 1, None)


def test_an_attempt_that_starts_at_the_last_step_hides_this_step() -> None:
    older = segment("0:5 1:7", EXTREMES, row(0, x=5), row(1, x=7))
    newer = segment("1:6", EXTREMES, row(1, 1101, x=6), attempt=1, began=1100.0, start_step=1)
    assert with_rows(older, newer)["x"] == {"min": 5, "max": 6}
    behind = segment("2:1", EXTREMES, row(2, 1201, x=1), attempt=2, began=1200.0, start_step=2)
    assert with_rows(older, newer, behind)["x"] == {"min": 1, "max": 6}
    assert newer.state.hidden_from is None


def test_a_key_that_was_logged_before_it_was_defined() -> None:
    late = segment("0:1 1:2", row(0, x=1), EXTREMES, row(1, x=2))
    assert merge_segments("r", [late], {}).summary == {"x": {"min": 2, "max": 2}}, "as in wandb"
    assert with_rows(late, segment("", attempt=1, began=1100.0, start_step=2)) == {"x": {"min": 1, "max": 2}}


def test_keys_of_dicts_have_their_own_definitions() -> None:
    data = [{"a": 3, "b": 1, "c": 1, "e": {"f": 2}}, {"a": 4, "b": 2, "c": 2, "e": {"f": 1}}]
    attempts = [
        segment("a", *(row(at, d=each, x=at, y=at, z=at, u=at) for at, each in enumerate(data))),
        segment(
            "b",
            MetricDefined("d.a", summary=["min", "last"]),
            MetricDefined("d.b", summary=["none"]),
            MetricDefined("d.e.f", summary=["max"]),
            MetricDefined("x", summary=["copy"]),
            MetricDefined("y", summary=["none"]),
            MetricDefined("z", summary=["first"]),
            attempt=1,
            began=1100.0,
            start_step=2,
        ),
    ]
    rows = [
        FinishedRow(at, at, 0.0, 0.0, {"d": each, "x": at, "y": at, "z": at, "u": at})
        for at, each in enumerate(data)
    ]
    assert fill_aggregates(attempts, lambda each, keys: rows) == [attempts[0]]
    assert merge_segments("r", attempts, {}).summary == {
        "d": {"a": {"min": 3, "last": 4}, "c": 2, "e": {"f": {"max": 2}}},
        "x": 1,
        "z": {"first": 0},
        "u": 1,
    }


def test_a_value_of_the_script_is_valid_until_a_later_attempt_logs_the_key() -> None:
    most = MetricDefined("*", summary=["max"])
    attempts = [
        segment("a", most, row(0, x=3, y=1, d={"a": 3, "b": 3})),
        segment(
            "b", SummaryChanged({"x": 0, "d": {"a": 0, "b": 0}}, ["y"]), attempt=1, began=1100.0, start_step=1
        ),
    ]
    assert merge_segments("r", attempts, {}).summary == {"x": 0, "d": {"a": 0, "b": 0}}
    attempts.append(segment("c", most, row(1, x=2, d={"a": 2}), attempt=2, began=1200.0, start_step=1))
    assert merge_segments("r", attempts, {}).summary == {"x": {"max": 3}, "d": {"a": {"max": 3}, "b": 0}}


def test_the_merge_includes_a_segment_without_its_first_record() -> None:
    headless = SegmentView("a", 0, 0, START, 0, "crashed", SegmentState(summary={"x": 1}))
    merged = merge_segments("r", [headless, segment("b", attempt=1, began=1100.0, name="n")], {})
    assert (merged.name, merged.summary, merged.host) == ("n", {"x": 1}, "host of b")
    alone = merge_segments("r", [headless], {})
    assert (alone.name, alone.host, alone.program) == ("r", None, None)


def test_media_under_a_defined_key() -> None:
    image = {"_type": "image-file", "path": "a"}
    attempts = [
        segment("a", row(0, x=image)),
        segment("b", MetricDefined("x", summary=["last"]), attempt=1, start_step=1),
    ]
    rows = [FinishedRow(0, 0, 0.0, 0.0, {"x": image})]
    assert len(fill_aggregates(attempts, lambda each, keys: rows)) == 1
    assert merge_segments("r", attempts, {}).summary == {"x": {"last": image}}


def test_a_segment_with_unreadable_rows_stays_unchanged() -> None:
    attempts = [segment("a", row(0, x=1)), segment("b", MetricDefined("x", summary=["max"]), attempt=1)]

    def read_rows(each: SegmentView, keys: list[str]) -> list[FinishedRow]:
        raise FileNotFoundError("part")

    assert fill_aggregates(attempts, read_rows) == []
    assert merge_segments("r", attempts, {}).summary == {"x": 1}


def test_an_aggregate_of_an_older_tracker() -> None:
    least = MetricDefined("x", summary=["min", "last"])
    older = segment("a", least, row(0, x=3))
    older.state.aggregates = {"x": Aggregate(1, 3.0, 3, 3, 3)}
    later = segment("b", least, attempt=1, began=1100.0, start_step=1)
    assert merge_segments("r", [older, later], {}).summary == {"x": {"min": 3, "last": 3}}
    older.state.summary = {"x": "set by its script"}
    assert merge_segments("r", [older, later], {}).summary == {"x": "set by its script"}


def test_the_state_of_a_sealed_segment_is_restored() -> None:
    state = segment("a", MetricDefined("x", summary=["max"]), row(0, x=3), SummaryChanged({"y": 1})).state
    restored = segment(
        "b", row(0, x=3), RowsLost(1, "r", 1.0), SegmentRestored(msgspec.to_builtins(state))
    ).state
    given = SegmentRestored(msgspec.to_builtins(state))
    assert segment("b", given, row(1, x=9)).state.summary == {"x": {"max": 9}, "y": 1}
    assert (restored.summary, restored.metrics, restored.aggregates) == (
        state.summary,
        state.metrics,
        state.aggregates,
    )
    fold = SegmentFold(restored)
    fold.fold(row(9, x=4))
    assert fold.state.summary["x"] == {"max": 4}
    assert restored.started is not None and restored.started.process.host == "host of b"
    assert restored.problems == ["1 records were lost at 1: r"]
    bad = {**msgspec.to_builtins(state), "aggregates": {"x": [1, 1.0, "low", 3, 3]}}
    refused = segment("c", row(0, x=4), SegmentRestored(bad)).state
    assert refused.summary == {"x": 4}
    (problem,) = refused.problems
    assert problem.startswith("an invalid SegmentRestored record was ignored: a minimum or maximum is not")


def family(parent: list[Record], child: list[Record], **more: Any) -> list[SegmentView]:
    """Return the segments of an attempt and of a child of it."""
    return [
        segment("child", *child, rank=CHILD, began=START + 5, config={"had": 1, "both": 1}, **more),
        segment("parent", *parent, config={"had": 1, "both": 1}, **more),
    ]


def test_only_values_that_a_child_changed_override_its_parent() -> None:
    found = merge_segments(
        "r",
        family(
            [ConfigChanged({"had": 2, "own": 2}), RunFinished(START + 9, "finished")],
            [ConfigChanged({"both": 3, "new": 3}), RunFinished(START + 20, "failed", 1)],
            name="named",
        ),
        {},
    )
    assert found.config == {"had": 2, "own": 2, "both": 3, "new": 3}
    assert (found.state, found.name, found.host) == ("finished", "named", "host of parent")


def test_of_a_parent_and_its_child_the_larger_step_is_the_later_one() -> None:
    parent = [row(0, x=0, y=0, z={"a": 0}), row(3, x=3), SummaryChanged({"set": "by parent"})]
    child = [row(1, x=1, y=1, z={"b": 1}, set=1), row(2, x=2), SummaryChanged({"y": "by child"})]
    assert merge_segments("r", family(parent, child), {}).summary == {
        "x": 3, "y": "by child", "z": {"a": 0, "b": 1}, "set": "by parent"
    }  # fmt: skip
    ruled = MetricDefined("x", summary=["min", "mean", "first", "last"])
    assert merge_segments("r", family([ruled, *parent], [ruled, *child]), {}).summary["x"] == {
        "min": 0, "mean": 1.5, "first": 0, "last": 3
    }  # fmt: skip
    assert merge_segments("r", family([ruled, row(0, x=0)], [ruled, row(1, x=9)]), {}).summary["x"] == {
        "min": 0, "mean": 4.5, "first": 0, "last": 9
    }  # fmt: skip


def test_children_follow_their_attempt_and_are_hidden_with_it() -> None:
    segments = [
        segment("second's child", rank=CHILD, attempt=1, began=START + 30),
        segment("other's child", rank=CHILD + 1, start_step=4),
        segment("second", attempt=1, began=START + 20, start_step=7),
        segment("b", rank=CHILD, began=START + 5),
        segment("a", rank=CHILD, began=START + 5),
        segment("first"),
        segment("other", rank=1),
        segment("other again", rank=1, attempt=1, began=START + 9, start_step=2),
    ]
    shown = [("first", 7), ("a", 7), ("b", 7), ("second", None), ("second's child", None)]
    assert newest_branch(segments) == shown
    assert newest_branch([each for each in segments if "other" in each.segment]) == [
        ("other", 2), ("other's child", 2), ("other again", None)
    ]  # fmt: skip
    assert [
        (each.id, each.rank, each.child) for each in describe_run("e", "p", "r", segments, {}).segments
    ] == [
        *((name, 0, name not in ("first", "second")) for name, _ in shown),
        ("other", 1, False),
        ("other's child", 1, True),
        ("other again", 1, False),
    ]


def test_segments_from_another_host_are_checked() -> None:
    known = segment("a", MetricDefined("x", summary=["min"]), row(0, x=1))
    (found,), edits = unpack_segments(pack_segments([known], {"name": {"value": "n", "time": 1.0}}))
    assert (found, edits) == (known, {"name": {"value": "n", "time": 1.0}})
    known.state.aggregates["x"].low = "no number"
    for data in (pack_segments([known], {}), b"", pack_segments([found], {})[:-1]):
        with pytest.raises(ValueError, match=r"not a finite number|truncated"):
            unpack_segments(data)
