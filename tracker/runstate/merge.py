"""Merge of a run's segments into one run, for the catalog and for readers without a catalog.

This module uses no database and no files.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import groupby
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from tracker.errors import NotFoundError, UsageError
from tracker.ground.read_models import AlertInfo, KeyInfo, RunDetail, RunInfo, SegmentInfo
from tracker.ground.records import (
    CHILD,
    FORKED,
    OUTSIDE,
    MetricDefined,
    Preemption,
    encode,
    is_child,
    packable,
    read_extension,
    writer_rank,
)
from tracker.runstate.aggregates import Aggregate, Rules, merge_definitions
from tracker.runstate.edits import EDITABLE, Edits, apply_key_edits, is_archived
from tracker.runstate.fold import (
    KeyFacts,
    SegmentState,
    is_replaced,
    mark_replaced,
    merge_dicts,
    pack_state,
    unpack_state,
)

# A writer touches its journal at least once in this time, with a margin (``tracker.sdk.process``).
TOUCH_SECONDS = 20.0
# A rank of a distributed run, or "all" for all its ranks.
Rank = int | Literal["all"]
# Largest time in unix seconds that `datetime` can show. The modification time of a file can be larger.
_LATEST = 250_000_000_000.0


class Attempt(Protocol):
    """The fields of a segment that decide its place in the history.

    ``SegmentView`` and the catalog's ``Segment`` have these fields.
    """

    @property
    def segment(self) -> str:
        """Id of the segment."""

    @property
    def rank(self) -> int:
        """Rank of the writer, as in ``RunStarted``."""

    @property
    def attempt(self) -> int:
        """Number of the attempt, from 0."""

    @property
    def started_at(self) -> float:
        """Start time in unix seconds."""

    @property
    def start_step(self) -> int:
        """First step of the segment."""


class SegmentView(NamedTuple):
    """The records of one writer in one attempt. The fields are those of the catalog's segments.

    ``fault`` is the reason if the segment's journals cannot be applied now; otherwise it is None.
    """

    segment: str
    rank: int
    attempt: int
    started_at: float
    start_step: int
    ended: str | None
    state: SegmentState
    fault: str | None = None


_Packed = tuple[list[tuple[str, int, int, float, int, str | None, bytes]], Edits]
_decode = msgspec.msgpack.Decoder(_Packed, ext_hook=read_extension).decode


def pack_segments(segments: Iterable[SegmentView], edits: Edits) -> bytes:
    """Return the states of a run's segments and its edits as bytes, for another host that resumes the run."""
    return encode(packable([[[*each[:6], pack_state(each.state)] for each in segments], edits]))


def unpack_segments(data: bytes) -> tuple[list[SegmentView], Edits]:
    """Return the segments and edits from the bytes of ``pack_segments``.

    Raises:
        ValueError: The bytes are incomplete or invalid, or a newer tracker wrote them.
    """
    segments, edits = _decode(data)
    found = [
        SegmentView(segment, rank, attempt, began, start, ended, unpack_state(state))
        for segment, rank, attempt, began, start, ended, state in segments
    ]
    for each in found:
        each.state.check()
    return found, edits


@dataclass(frozen=True, slots=True)
class RunView:
    """A run after the merge of all its segments and users' edits; see ``RunInfo``."""

    name: str
    tags: list[str]
    notes: str | None
    group: str | None
    job_type: str | None
    host: str | None
    program: str | None
    config: dict[str, Any]
    summary: dict[str, Any]
    created_at: float
    updated_at: float
    finished_at: float | None
    duration: float
    last_step: int | None
    state: str
    exit_code: int | None
    error: str | None
    reason: str | None
    last_seen: float | None
    archived: bool


def order_segments(segments: Iterable[SegmentView]) -> list[SegmentView]:
    """Return segments in the order of the merge, in which later segments override earlier ones.

    The segments of the primary writer (the smallest rank) come last. Within a writer, attempts are in
    ascending order, and each attempt is followed by its children.
    """
    return sorted(segments, key=lambda each: (-writer_rank(each.rank), *_place(each)))


def _place(attempt: Attempt) -> tuple[int, bool, float, str]:
    """Return the sort key for segments of one writer."""
    return attempt.attempt, is_child(attempt.rank), attempt.started_at, attempt.segment


def merge_segments(run_id: str, segments: Sequence[SegmentView], edits: Edits) -> RunView:
    """Return the merged view of a run's segments. The newest segment of the primary writer decides the state.

    A user's edit of a field overrides a value that a script set before the edit. A value that a script sets
    after the edit overrides the edit. Such a value comes from ``init(name=...)`` of a
    later segment, or a later assignment. An edit of a key of config or summary is overridden only by a
    segment that started after the edit and set the key.

    Args:
        run_id: Id of the run; also its name if no segment sets one.
        segments: All segments of the run, at least one, with their missing aggregates: see
            ``tracker.runstate.missing_aggregates``.
        edits: Users' edits.
    """
    ordered = order_segments(segments)
    config: dict[str, Any] = {}
    given: dict[str, tuple[Any, float]] = {}  # for each field its last value and the time of that value
    host = program = None
    for each in ordered:
        config = merge_dicts(config, _own_config(each)) if is_child(each.rank) else config | each.state.config
        started = each.state.started
        if started is None:
            continue
        for field in EDITABLE if not is_child(each.rank) else ():
            value = getattr(started, field)
            if value is not None and (value or field != "name"):
                given[field] = (value, started.time)
        for name, change in each.state.changes.items():
            # A child and its parent are on the same host, so their times can be compared: the later one wins.
            if name in EDITABLE and not (
                is_child(each.rank) and name in given and change.time < given[name][1]
            ):
                given[name] = (change.value, change.time)
        if not is_child(each.rank):
            host, program = started.process.host, started.program or program
    named: dict[str, Any] = {"name": run_id, "tags": [], "notes": None, "group": None, "job_type": None}
    named.update({field: value for field, (value, _time) in given.items()})
    for field in EDITABLE:
        edit = edits.get(field)
        if edit is not None and (field not in given or given[field][1] <= edit["time"]):
            named[field] = edit["value"]
    summary = _merge_summaries(ordered)
    apply_key_edits(config, edits.get("config"), ((each.started_at, _own_config(each)) for each in ordered))
    apply_key_edits(
        summary, edits.get("summary"), ((each.started_at, each.state.summary) for each in ordered)
    )
    newest = ([each for each in ordered if not is_child(each.rank)] or ordered)[-1]
    states = [each.state for each in ordered]
    updated_at = max(state.last_time for state in states)
    finished, gone = newest.state.finished, newest.state.gone
    return RunView(
        **named,
        host=host,
        program=program,
        config=config,
        summary=summary,
        created_at=min(each.started_at for each in segments),
        updated_at=updated_at,
        finished_at=finished.time if finished else (updated_at if newest.ended else None),
        duration=max(state.runtime for state in states),
        last_step=max((state.last_step for state in states if state.last_step is not None), default=None),
        state=_state_of(newest),
        exit_code=finished.exit_code if finished else None,
        error=finished.error if finished else _describe_silence(newest.state),
        reason=_reason_of(newest),
        last_seen=gone.last_seen if gone and not finished else None,
        archived=is_archived(edits),
    )


def _own_config(segment: SegmentView) -> dict[str, Any]:
    """Return the config of a writer; for a child, only the values that differ from its parent's."""
    config, started = segment.state.config, segment.state.started
    if started is None or not is_child(segment.rank):
        return config
    inherited = started.config
    return {key: each for key, each in config.items() if key not in inherited or inherited[key] != each}


def _merge_summaries(ordered: Sequence[SegmentView]) -> dict[str, Any]:
    """Return the summary after all segments, as if one writer had written them in this order.

    * A key with an aggregate gets the aggregate over all attempts of one writer, the last writer with the
      key. A value that a script set in the summary later takes precedence.
    * If an attempt goes back to an earlier step, a key keeps its value until it is logged again.
    * Among a writer and its children, the row with the larger step is the later one. A value that one of
      these processes set in the summary overrides the logged values of the other processes.
    """
    if len(ordered) == 1:
        return dict(ordered[0].state.summary)
    summary: dict[str, Any] = {}
    joined: dict[str, Aggregate] = {}
    attempts: dict[str, Aggregate] = {}  # aggregates of the current writer's attempts so far
    # True: an attempt went back to an earlier step, and the key was not logged since.
    cut: dict[str, bool] = {}
    marks: dict[str, bool] = {}  # see ``is_replaced``
    rank = None
    have_children = any(is_child(each.rank) for each in ordered)
    latest: dict[str, float] = {}  # the last step of each key in the current attempt and its children
    for each in ordered:
        state = each.state
        if writer_rank(each.rank) != rank:
            rank, attempts, latest = writer_rank(each.rank), {}, {}
        if not is_child(each.rank):
            latest = {}
        steps = _last_steps(state) if have_children else {}
        stale = {key for key, step in steps.items() if step < latest.get(key, step)}
        latest.update((key, step) for key, step in steps.items() if key not in stale)
        for key, here in state.counted.items():
            had = attempts.get(key)
            joined[key] = attempts[key] = had.joined_with(here) if had is not None else here
            if had is not None and (key in stale or key.partition(".")[0] in stale):
                if had.last is not None:
                    joined[key].last = had.last
                continue
            if not here.empty:
                cut[key] = state.hidden_from is not None
                if is_replaced(marks, key):
                    marks[key] = False
        for key, holds in state.replaced.items():
            if key in stale:
                continue
            place, name = _find_place(summary, key)
            place.pop(name, None)
            if holds:
                mark_replaced(marks, key)
            else:
                marks[key] = False
        older = {key: value for key, value in state.summary.items() if key in stale}
        newer = {key: value for key, value in state.summary.items() if key not in stale}
        summary = merge_dicts(merge_dicts(older, summary), newer)
        # Older trackers did not record `replaced`. In their states, a value that is not a dict was set by the
        # script, if its key has an aggregate.
        for key, here in state.aggregates.items():
            if here.last is None and here.count and not isinstance(state.summary.get(key, {}), dict):
                mark_replaced(marks, key)
    rules = Rules(define_metrics(ordered))
    for key, aggregate in joined.items():
        place, name = _find_place(summary, key)
        if cut.get(key, True) or is_replaced(marks, key):
            continue
        rule, shown = rules.find(key), place.get(name)
        if rule is not None and "none" in rule.summary:
            place.pop(name, None)
        elif rule is not None and rule.summary not in ([], ["copy"]):
            place[name] = aggregate.results(rule, shown.get("last") if isinstance(shown, dict) else shown)
        elif isinstance(shown, dict) and "_type" not in shown and aggregate.last is not None:
            place[name] = aggregate.last  # replaces the results of an earlier definition
    return summary


def _last_steps(state: SegmentState) -> dict[str, float]:
    """Return the last step of each key; infinity for a key that the script set or removed itself."""
    steps: dict[str, float] = {key: facts.last_step for key, facts in state.keys.items()}
    return steps | {key: math.inf for key, holds in state.replaced.items() if holds}


def define_metrics(ordered: Sequence[SegmentView]) -> dict[str, MetricDefined]:
    """Return the metric definitions of a run by name. Later attempts override earlier ones.

    The definitions of an attempt and its children are merged.
    """
    found: dict[str, MetricDefined] = {}
    for _, group in groupby(ordered, key=lambda each: (writer_rank(each.rank), each.attempt)):
        family: dict[str, MetricDefined] = {}
        for each in sorted(group, key=lambda each: not is_child(each.rank)):
            for name, definition in each.state.metrics.items():
                family[name] = merge_definitions(family.get(name), definition)
        found |= family
    return found


def _find_place(summary: dict[str, Any], key: str) -> tuple[dict[str, Any], str]:
    """Return the dict that contains a dotted key, and the key's name in it: the summary, or a dict in it."""
    if key in summary:
        return summary, key
    *path, name = key.split(".")
    place = summary
    for each in path:
        below = place.get(each)
        if not isinstance(below, dict):
            return {}, name
        place[each] = place = dict(below)  # a copy, because the dict belongs to a segment's state
    return place, name


def _describe_silence(state: SegmentState) -> str | None:
    """Return a message if a writer counts as dead only because it gave no sign of life; otherwise None."""
    if state.silent_since is None:
        return None
    host = state.started.process.host if state.started is not None else "its host"
    since = datetime.fromtimestamp(min(max(state.silent_since, 0.0), _LATEST), timezone.utc)
    return f"no sign of life from {host} since {since:%Y-%m-%d %H:%M} UTC; that host may have more rows"


def describe_run(
    entity: str, project: str, run_id: str, segments: Sequence[SegmentView], edits: Edits
) -> RunDetail:
    """Return a run with its keys, problems and segments.

    Args:
        entity: Entity of the run.
        project: Project of the run.
        run_id: Id of the run.
        segments: All segments of the run, at least one.
        edits: Users' edits.
    """
    merged = merge_segments(run_id, segments, edits)
    shown = {name: getattr(merged, name) for name in RunInfo.__dataclass_fields__ if hasattr(merged, name)}
    return add_segments(RunInfo(entity=entity, project=project, id=run_id, **shown), segments)


def add_segments(run: RunInfo, segments: Sequence[SegmentView]) -> RunDetail:
    """Return a run with its keys, problems and segments.

    Lists of segments start with the oldest segment of the primary writer.

    Args:
        run: The run.
        segments: All segments of the run.
    """
    segments = sorted(segments, key=lambda each: (writer_rank(each.rank), *_place(each)))
    segments = [each for each in segments if each.rank < OUTSIDE] or segments
    shown = dict(newest_branch(segments))
    keys: dict[str, KeyFacts] = {}
    others = count_other_ranks(
        (each.rank, (key for key, facts in each.state.keys.items() if facts.numbers)) for each in segments
    )
    for each in segments:
        for key, facts in each.state.keys.items():
            known = keys.get(key)
            if known is None:
                keys[key] = KeyFacts(facts.kind, facts.count, facts.last_step, facts.mixed_numbers)
                continue
            known.add_kind(facts.kind, facts.mixed_numbers)
            known.count += facts.count
            known.last_step = max(known.last_step, facts.last_step)
    return RunDetail(
        **{name: getattr(run, name) for name in RunInfo.__dataclass_fields__},
        keys=[
            KeyInfo(key, facts.kind, facts.count, facts.last_step, facts.numbers, others.get(key, 0))
            for key, facts in sorted(keys.items())
        ],
        problems=[problem for each in segments for problem in _problems(each)],
        alerts=[
            AlertInfo(alert.time, alert.title, alert.text, alert.level)
            for alert in sorted((a for each in segments for a in each.state.alerts), key=lambda a: a.time)
        ],
        attempts=max((each.attempt + 1 for each in segments), default=0),
        segments=[
            SegmentInfo(
                id=each.segment,
                rank=writer_rank(each.rank),
                attempt=each.attempt,
                host=each.state.started.process.host if each.state.started else None,
                started_at=each.started_at,
                start_step=each.start_step,
                last_step=each.state.last_step,
                rows=each.state.rows,
                state=_state_of(each),
                shown=each.segment in shown,
                shown_before=shown.get(each.segment),
                samples=each.state.samples,
                console_lines=each.state.console_lines,
                child=is_child(each.rank),
                **_end(each),
            )
            for each in segments
        ],
        system_metrics=_system_metrics(segments, shown),
    )


def _end(segment: SegmentView) -> dict[str, Any]:
    if segment.ended is None:
        return {}
    finished, gone = segment.state.finished, segment.state.gone
    last = segment.state.last_time or segment.started_at
    return {
        "ended_at": finished.time if finished else (gone.last_seen if gone else None) or last,
        "reason": _reason_of(segment),
    }


def _preemption_of(segment: SegmentView) -> Preemption | None:
    """Return the announcement that the writer's machine will be taken away, if there is one."""
    change = segment.state.changes.get("preempting")
    return change.value if change is not None else None


def _state_of(segment: SegmentView) -> str:
    """Return the state of a writer. A writer that died after its preemption was announced is preempted."""
    announced = _preemption_of(segment) is not None
    if segment.ended is None:
        return "preempting" if announced else "running"
    return "preempted" if announced and segment.ended == "crashed" else segment.ended


def _reason_of(segment: SegmentView) -> str | None:
    """Return why a writer did not finish, or why it will be preempted."""
    finished, gone, announced = segment.state.finished, segment.state.gone, _preemption_of(segment)
    if finished is not None:
        return finished.reason
    if segment.ended is None or gone is None:
        return announced["reason"] if announced is not None and segment.ended is None else None
    end = announced["job_end"] if announced is not None else None
    return "time limit" if end is not None and gone.last_seen > end - TOUCH_SECONDS else gone.reason


def _system_metrics(segments: Sequence[SegmentView], shown: Collection[str]) -> dict[str, float]:
    """Return the latest value of each system metric of the primary writer, with names like ``system.cpu``."""
    latest: dict[str, float] = {}
    for each in segments:
        if each.segment in shown and not is_child(each.rank):
            latest.update(each.state.system)
    return {f"system.{name}": value for name, value in latest.items()}


def _problems(segment: SegmentView) -> list[str]:
    if segment.fault is None:
        return segment.state.problems
    return [*segment.state.problems, f"records wait to be applied: {segment.fault}"]


def find_hidden(segments: Iterable[Attempt]) -> dict[str, int | None]:
    """Return, for each segment, the first step that a later attempt logged again, or None."""
    writers: dict[int, list[Attempt]] = defaultdict(list)
    for each in segments:
        writers[writer_rank(each.rank)].append(each)
    return {segment: step for each in writers.values() for segment, step in shown_attempts(each)}


def newest_branch(segments: Sequence[Attempt]) -> list[tuple[str, int | None]]:
    """Return the segments of the default history, the oldest attempt first, each with a limit.

    They are the attempts of the primary writer (the smallest rank), each followed by its children. The limit
    is a step: a later attempt logged the rows from this step on again. None: all rows are shown.
    """
    if not segments:
        return []
    primary = min(writer_rank(each.rank) for each in segments)
    return shown_attempts([each for each in segments if writer_rank(each.rank) == primary])


def find_branches(segments: Iterable[Attempt], rank: Rank) -> dict[int, list[tuple[str, int | None]]]:
    """Return the newest branch of one rank, or of each rank, by rank. See ``newest_branch``.

    Args:
        segments: All segments of a run.
        rank: The rank, or ``"all"``.

    Raises:
        UsageError: The run does not have the rank.
    """
    segments = list(segments)
    writers: dict[int, list[Attempt]] = defaultdict(list)
    for each in [each for each in segments if each.rank < OUTSIDE] or segments:
        writers[writer_rank(each.rank)].append(each)
    if rank != "all" and rank not in writers:
        raise UsageError(f"The run has {describe_missing_rank(rank, writers)}")
    return {each: shown_attempts(writers[each]) for each in (sorted(writers) if rank == "all" else [rank])}


def describe_missing_rank(rank: object, ranks: Iterable[int]) -> str:
    """Return the end of the message that a run does not have a rank."""
    return f"no rank {rank!r}. Its ranks are {', '.join(map(str, sorted(ranks)))}. Use one, or 'all'."


class ChosenSegment(NamedTuple):
    """A segment whose rows were asked for.

    Attributes:
        segment: The id of the segment.
        before: Only rows before this step. None: all rows.
        label: The rank that each row names, if the rows of all ranks were asked for.
    """

    segment: str
    before: int | None
    label: int | None = None


def choose_segments(
    run_id: str, segments: Sequence[Attempt], segment: str | None = None, rank: Rank | None = None
) -> list[ChosenSegment]:
    """Return the segments whose rows were asked for: by rank, then the oldest attempt first.

    Args:
        run_id: The id of the run, for messages.
        segments: All segments of the run.
        segment: Choose all rows of this segment. None: the newest branch of the primary writer.
        rank: Choose the newest branch of this rank, or of each rank for ``"all"``.

    Raises:
        NotFoundError: The run does not have the segment.
        UsageError: The run does not have the rank, or both a segment and a rank are given.
    """
    if segment is not None and rank is not None:
        raise UsageError("A segment belongs to one rank. Pass segment or rank, not both.")
    if rank is not None:
        return [
            ChosenSegment(name, before, number if rank == "all" else None)
            for number, branch in find_branches(segments, rank).items()
            for name, before in branch
        ]
    if segment is None:
        return [ChosenSegment(name, before) for name, before in newest_branch(segments)]
    if all(each.segment != segment for each in segments):
        raise NotFoundError(f"run {run_id} has no segment {segment!r}: its detail lists them")
    return [ChosenSegment(segment, None)]


def count_other_ranks(logged: Iterable[tuple[int, Iterable[str]]]) -> dict[str, int]:
    """Return the number of ranks, other than that of the primary writer, that logged each key.

    Args:
        logged: The rank of each segment, as in ``RunStarted``, and the keys that it logged.
    """
    keys_of: dict[int, set[str]] = defaultdict(set)
    for rank, keys in logged:
        # A forked child of an older tracker is not a rank of a launcher.
        if not FORKED <= rank < CHILD:
            keys_of[writer_rank(rank)].update(keys)
    primary = min(keys_of, default=0)
    return Counter(key for rank, keys in keys_of.items() if rank != primary for key in keys)


def shown_attempts(attempts: Iterable[Attempt]) -> list[tuple[str, int | None]]:
    """Return the segments of one writer, the oldest first, each with its limit as in ``newest_branch``."""
    found: list[tuple[str, int | None]] = []
    before: int | None = None
    for each in sorted(attempts, key=_place, reverse=True):
        found.append((each.segment, before))
        if not is_child(each.rank):
            before = each.start_step if before is None else min(before, each.start_step)
    return found[::-1]
