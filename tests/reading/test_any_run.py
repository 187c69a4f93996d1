"""For any run, three readers agree: the catalog, the published files, and a process that resumes the run."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec
import pytest
from builders import (
    ENTITY,
    PROJECT,
    START,
    Writer,
    apply_all,
    end_segments,
    get_run,
    read_history,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from tracker.ground.processes import this_process
from tracker.ground.records import (
    CHILD,
    ConfigChanged,
    MetricDefined,
    RunChanged,
    RunFinished,
    RunStarted,
    SummaryChanged,
    is_child,
    pack,
    writer_rank,
)
from tracker.ground.settings import load_settings
from tracker.reading.catalog_free_run import find_catalog_free_run
from tracker.reading.resume_state import ResumeState, find_run
from tracker.runstate.merge import RunView, merge_segments
from tracker.runstate.missing_aggregates import fill_aggregates
from tracker.runstate.steps import StepCounter
from tracker.sdk.process.run_journal import RunJournal
from tracker.store.catalog.models import Segment
from tracker.store.history.sources import rows_of
from tracker.store.ingest.run_edits import RunEdit, apply_edit
from tracker.store.ingest.seal import seal
from tracker.store.store import Store

numbers = st.integers(-3, 3).map(lambda number: number / 2)
leaves = numbers | st.none() | st.just("text")
data = st.fixed_dictionaries(
    {}, optional={"x": leaves, "y": numbers, "d": st.dictionaries(st.sampled_from("ab"), leaves, max_size=2)}
)
words = st.lists(
    st.sampled_from(["min", "max", "mean", "last", "first", "best", "copy", "none"]), max_size=2, unique=True
)
Action = Callable[[Any], None]
actions: st.SearchStrategy[Action] = st.one_of(
    st.builds(lambda row, step: lambda to: to.log(row, step, True), data, st.none() | st.integers(0, 9)),
    st.builds(
        lambda name, said, more: lambda to: to.put(MetricDefined(name, summary=said, **more)),
        st.sampled_from(["x", "y", "*", "d.a", "d.*"]),
        words,
        st.sampled_from([{}, {"overwrite": True}, {"goal": "maximize"}]),
    ),
    st.builds(
        lambda values, removed: lambda to: to.put(SummaryChanged(values, removed)),
        st.fixed_dictionaries({}, optional={"x": numbers, "d": st.just({"a": 7})}),
        st.lists(st.sampled_from("xyd"), max_size=1),
    ),
    st.builds(lambda value: lambda to: to.put(ConfigChanged({"lr": value})), numbers),
    st.builds(
        lambda values: lambda to: to.put(RunChanged(to.tick(), values)),
        st.fixed_dictionaries(
            {}, optional={"name": st.just("renamed"), "tags": st.lists(st.just("t"), max_size=1)}
        ),
    ),
)


class Drawn(msgspec.Struct):
    """One attempt of one writer.

    Attributes:
        rank: The rank of the writer, or of a child.
        back: The number of steps by which the attempt starts before the last step of its rank.
        tags: The tags at the start.
        config: The config at the start.
        actions: The records of the attempt.
        ends: The end: ``"finished"``, ``"failed"``, ``""`` for none, ``"open"`` for none and an open row.
        then: The action after the attempt: apply journals, seal ended segments, or edit the run.
    """

    rank: int
    back: int
    tags: list[str] | None
    config: dict[str, Any]
    actions: list[Action]
    ends: str
    then: str


segments = st.builds(
    Drawn,
    st.sampled_from([0, 0, 0, 1, 2, CHILD, CHILD + 1]),
    st.sampled_from([0, 0, 0, 1, 3]),
    st.none() | st.lists(st.sampled_from("ab"), max_size=2, unique=True),
    st.dictionaries(st.sampled_from(["lr", "depth"]), numbers, max_size=2),
    st.lists(actions, max_size=6),
    st.sampled_from(["finished", "failed", "", "open"]),
    st.sampled_from(["", "", "applied", "sealed", "edited"]),
)
ids = count()


def seal_ended(store: Store) -> None:
    with store.reading() as session:
        ended = select(Segment.id).where(Segment.ended.is_not(None), Segment.sealed.is_(False))
        found = session.scalars(ended).all()
    for segment_id in found:
        seal(store, segment_id)


class Process:
    """A process that resumes a run and writes to its own journal."""

    def __init__(self, store: Store, run_id: str, start: float, known: ResumeState, segment: Drawn) -> None:
        rank = CHILD if is_child(segment.rank) else 0
        step, attempt = next_place(known, rank, segment.back)
        self.clock = start
        self.steps = StepCounter(step)
        started = RunStarted(
            ENTITY, PROJECT, run_id, start, this_process(), rank=rank, attempt=attempt, start_step=step,
            tags=segment.tags, config={**known.merged.config, **segment.config},
        )  # fmt: skip
        self.journal = RunJournal(store.layout, started, load_settings(), recorder=False, known=known)

    def put(self, record: Any) -> None:
        self.journal.put(pack(record))

    log = Writer.log
    tick = Writer.tick


def next_place(known: ResumeState | None, rank: int, back: int) -> tuple[int, int]:
    """Return the first step and the number of a rank's next attempt."""
    segments = known.segments.values() if known is not None else ()
    own = [each for each in segments if writer_rank(each.rank) == writer_rank(rank)]
    last = max((each.state.reached for each in own if each.state.reached is not None), default=-1)
    attempts = sum(not is_child(each.rank) for each in own)
    if is_child(rank):
        return last + 1, max(0, attempts - 1)
    return max(0, last + 1 - back), attempts


def answer(view: RunView) -> dict[str, Any]:
    names = ("config", "summary", "name", "tags", "state", "last_step")
    return {name: getattr(view, name) for name in names}


def catalog(store: Store, run_id: str) -> dict[str, Any]:
    return answer(get_run(store, run_id))  # type: ignore[arg-type]


def files(store: Store, run_id: str, *writing: str) -> dict[str, Any]:
    found = find_run(store.layout, ENTITY, PROJECT, run_id, {*writing})
    assert found is not None
    return answer(found.merged)


def check(store: Store, written: list[Drawn], last: Drawn) -> None:
    run_id = f"run{next(ids)}"
    for at, segment in enumerate(written):
        known = find_run(store.layout, ENTITY, PROJECT, run_id)
        step, attempt = next_place(known, segment.rank, segment.back)
        writer = Writer(
            store.layout, f"{next(ids):032x}", run_id, start=START + 100 * at, rank=segment.rank,
            attempt=attempt, start_step=step, tags=segment.tags, config=segment.config, name=f"n{at}",
        )  # fmt: skip
        for act in segment.actions:
            act(writer)
        if segment.ends == "open":
            writer.log({"x": 1.5, "y": 1}, commit=False)
        elif segment.ends:
            writer.finish(segment.ends)
        before = files(store, run_id)
        if segment.then:
            apply_all(store)
            assert catalog(store, run_id) == before == files(store, run_id)
        if segment.then == "sealed":
            seal_ended(store)
            assert catalog(store, run_id) == before == files(store, run_id)
        elif segment.then == "edited":
            values = {"name": "edited", "config": {"lr": "edited"}, "summary": {"x": "edited"}}
            apply_edit(store, RunEdit(ENTITY, PROJECT, run_id, START + 100 * at + 50, values))
            assert catalog(store, run_id) == files(store, run_id)
    apply_all(store)
    end_segments(store)
    known = find_run(store.layout, ENTITY, PROJECT, run_id)
    assert known is not None
    process = Process(store, run_id, START + 100 * len(written), known, last)
    own = process.journal.segment
    assert own is not None
    for act in last.actions:
        act(process)
        said = process.journal.read_summary()
    process.log({"x": 1.5}, None, last.ends != "open")
    said = process.journal.read_summary()
    assert {key: said[key] for key in said if not key.startswith("_")} == files(store, run_id, own)["summary"]
    process.put(RunFinished(process.tick(), "finished"))
    said = process.journal.read_summary()
    process.journal.close()
    apply_all(store)
    found = catalog(store, run_id)
    assert found == files(store, run_id, own)
    assert said == {
        **found["summary"], "_step": said["_step"], "_runtime": said["_runtime"],
        "_timestamp": process.clock,
    }  # fmt: skip
    history = read_history(store, run_id)
    seal_ended(store)
    quick = find_catalog_free_run(store.layout, (ENTITY, PROJECT, run_id))
    assert quick is not None
    fill_aggregates(quick.segments, quick.read_rows)
    assert (
        found
        == catalog(store, run_id)
        == files(store, run_id)
        == answer(merge_segments(run_id, quick.segments, quick.edits))
    )
    assert history == read_history(store, run_id) == rows_of(quick.history_sources(run_id, None))


@pytest.mark.slow
@settings(max_examples=12)
@given(st.lists(segments, min_size=1, max_size=3), segments)
def test_all_readers_agree(store: Store, written: list[Drawn], last: Drawn) -> None:
    check(store, written, last)


def defined(name: str, *said: str) -> Action:
    return lambda to: to.put(MetricDefined(name, summary=[*said]))


def logged(**row: float) -> Action:
    return lambda to: to.log(row, None, True)


def drawn(*actions: Action, back: int = 0) -> Drawn:
    return Drawn(0, back, None, {}, [*actions], "finished", "")


@pytest.mark.parametrize(
    "written",
    [
        [drawn(), drawn(logged(x=0.5), defined("x", "min"))],
        [drawn(defined("x", "min"), logged(x=0.0)), drawn(back=1)],
    ],
)
def test_a_removed_definition_leaves_the_last_value(store: Store, written: list[Drawn]) -> None:
    check(store, written, drawn(defined("x")))
    check(store, written, drawn(defined("x"), logged(x=0.0)))


def test_a_removed_definition_leaves_the_last_value_of_another_writer(store: Store) -> None:
    left_open = [Drawn(0, 0, None, {}, [defined("*", "min", "max")], "open", "")]
    other = Drawn(2, 0, None, {}, [], "open", "")
    check(store, [drawn(), drawn(), *left_open, other], drawn(defined("*"), back=3))


def test_aggregates_do_not_depend_on_when_an_attempt_was_superseded(store: Store) -> None:
    none = [logged(y=1), defined("x", "none"), logged(x=None)]  # type: ignore[arg-type]
    check(store, [drawn(logged(x=7))], drawn(*none, back=1))
    left_open = Drawn(0, 0, None, {}, [logged(y=-1), defined("y", "min")], "open", "")
    check(store, [drawn(), left_open, drawn(back=3)], drawn())


@pytest.mark.nightly
@settings(max_examples=400)
@given(st.lists(segments, min_size=1, max_size=5), segments)
def test_all_readers_agree_on_many_runs(store: Store, written: list[Drawn], last: Drawn) -> None:
    check(store, written, last)
