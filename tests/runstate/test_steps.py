"""wandb's rules for steps, and the rows that tracker keeps and wandb drops."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import UsageError
from tracker.ground.records import ASIDE, COMMIT, Row
from tracker.runstate.fold import SegmentFold, SegmentState
from tracker.runstate.steps import LARGEST_STEP, StepCounter

Call = tuple[str, dict[str, Any]]


def rows(calls: list[Call], start: int = 0) -> list[tuple[int, list[str]]]:
    """Log each key with its options; return step and keys of the rows, in the order of their numbers."""
    counter, fold = StepCounter(start), SegmentFold(SegmentState())
    done = []
    for at, (key, options) in enumerate(calls):
        row, step, flags = counter.place(**options)
        done += fold.fold(Row(row, step, flags, float(at), {key: at}))
    done += fold.flush()
    return [(row.step, list(row.data)) for row in sorted(done, key=lambda row: row.row)]


def test_rows_that_were_observed_with_wandb() -> None:
    calls: list[Call] = [
        ("a", {}),
        ("b", {"commit": False}),
        ("c", {}),
        ("d", {"step": 10}),
        ("e", {"step": 10}),
        ("f", {"step": 5}),
        ("g", {}),
    ]
    # wandb drops f; tracker makes a separate row.
    assert rows(calls) == [(0, ["a"]), (1, ["b", "c"]), (10, ["d", "e", "g"]), (5, ["f"])]


CASES: dict[str, tuple[list[Call], list[tuple[int, list[str]]]]] = {
    "plain calls": ([("a", {}), ("b", {}), ("c", {})], [(0, ["a"]), (1, ["b"]), (2, ["c"])]),
    "commit=True is the default": ([("a", {"commit": True}), ("b", {})], [(0, ["a"]), (1, ["b"])]),
    "never committed": ([("a", {"commit": False}), ("b", {"commit": False})], [(0, ["a", "b"])]),
    "a larger step commits what is pending": (
        [("a", {"commit": False}), ("b", {"step": 3}), ("c", {"step": 4})],
        [(0, ["a"]), (3, ["b"]), (4, ["c"])],
    ),
    "the first step given is the current one": (
        [("a", {"step": 0}), ("b", {"step": 0}), ("c", {"step": 1})],
        [(0, ["a", "b"]), (1, ["c"])],
    ),
    "with a step commit is off, and a call without one commits": (
        [("a", {"step": 7}), ("b", {}), ("c", {})],
        [(7, ["a", "b"]), (8, ["c"])],
    ),
    "a step that is committed explicitly": (
        [("a", {"step": 7, "commit": True}), ("b", {}), ("c", {"step": 9, "commit": True})],
        [(7, ["a"]), (8, ["b"]), (9, ["c"])],
    ),
    "an equal step after its commit is a smaller one": (
        [("a", {"step": 7, "commit": True}), ("b", {"step": 7}), ("c", {})],
        [(7, ["a"]), (7, ["b"]), (8, ["c"])],
    ),
    "smaller steps leave the open row open": (
        [("a", {"step": 5}), ("b", {"step": 1}), ("c", {"step": 2}), ("d", {"step": 5}), ("e", {"step": 6})],
        [(5, ["a", "d"]), (1, ["b"]), (2, ["c"]), (6, ["e"])],
    ),
    "a row with a smaller step is complete at once, with any commit": (
        [("a", {"step": 5}), ("b", {"step": 1, "commit": False}), ("c", {"step": 1, "commit": False})],
        [(5, ["a"]), (1, ["b"]), (1, ["c"])],
    ),
    "negative": ([("a", {"step": -1}), ("b", {})], [(-1, ["a"]), (0, ["b"])]),
}


@pytest.mark.parametrize("name", CASES)
def test_rows(name: str) -> None:
    calls, expected = CASES[name]
    assert rows(calls) == expected


def test_a_resumed_run_continues_at_its_start_step() -> None:
    assert rows([("a", {}), ("b", {"step": 3}), ("c", {})], start=41) == [
        (41, ["a"]),
        (3, ["b"]),
        (42, ["c"]),
    ]


def test_positions_contain_the_flags_of_the_record() -> None:
    counter = StepCounter()
    assert counter.place() == (0, 0, COMMIT)
    assert counter.place(commit=False) == (1, 1, 0)
    assert counter.place(step=0) == (2, 0, COMMIT | ASIDE)
    assert counter.place(step=1) == (1, 1, 0)
    assert (counter.step, counter.place()[0], counter.step) == (1, 1, 2)


def test_the_first_call_of_a_resumed_run_sets_the_step() -> None:
    counter = StepCounter(1200)
    assert counter.place(step=900) == (0, 900, 0)
    assert counter.place(step=901) == (1, 901, 0)
    assert counter.place(step=100) == (2, 100, COMMIT | ASIDE)  # only the first call decides
    later = StepCounter(1200)
    assert later.place() == (0, 1200, COMMIT)
    assert later.place(step=900) == (1, 900, COMMIT | ASIDE)
    assert StepCounter(1200).place(step=-1) == (0, -1, COMMIT | ASIDE)


@pytest.mark.parametrize("step", [2**62 + 1, 2**63, -(2**63) - 1, 10**30])
def test_a_step_that_is_too_large_is_an_error_and_changes_nothing(step: int) -> None:
    counter = StepCounter()
    with pytest.raises(UsageError, match=f"Invalid step {step}. Use a step from"):
        counter.place(step=step)
    assert counter.place() == (0, 0, COMMIT)


@given(
    st.lists(
        st.fixed_dictionaries(
            {}, optional={"step": st.integers(-2, 6), "commit": st.sampled_from([None, True, False])}
        ),
        max_size=25,
    )
)
def test_no_call_is_lost_and_only_separate_rows_have_smaller_steps(calls: list[dict[str, Any]]) -> None:
    counter, fold = StepCounter(), SegmentFold(SegmentState())
    done, aside = [], set()
    for at, options in enumerate(calls):
        before = counter.step
        row, step, flags = counter.place(**options)
        asked = options.get("step")
        assert step == (before if asked is None else asked)
        assert counter.step >= before
        if flags & ASIDE:
            aside.add(row)
        done += fold.fold(Row(row, step, flags, 0.0, {f"call{at}": at}))
    done += fold.flush()
    assert sorted(key for row in done for key in row.data) == sorted(f"call{at}" for at in range(len(calls)))
    assert sorted(row.row for row in done) == list(range(len(done)))
    ordered = [row.step for row in sorted(done, key=lambda row: row.row) if row.row not in aside]
    assert ordered == sorted(set(ordered))


@pytest.mark.parametrize(("step", "placed"), [(0, (0, 0, 0)), (5, (0, 5, 0)), (-1, (0, -1, COMMIT | ASIDE))])
def test_the_row_of_the_first_call_of_a_resumed_run(step: int, placed: tuple[int, int, int]) -> None:
    assert StepCounter(5).place(step) == placed


def test_the_largest_steps_are_accepted() -> None:
    assert StepCounter().place(LARGEST_STEP) == (0, LARGEST_STEP, 0)
    assert StepCounter().place(-LARGEST_STEP) == (0, -LARGEST_STEP, COMMIT | ASIDE)
