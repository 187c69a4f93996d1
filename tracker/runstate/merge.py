"""A run as its segments tell it: the one merge that the catalog, and readers without one, share. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import groupby
from typing import Any, NamedTuple, Protocol

import msgspec

from tracker.ground.read_models import AlertInfo, KeyInfo, RunDetail, RunInfo, SegmentInfo
from tracker.ground.records import (
    OUTSIDE,
    MetricDefined,
    encode,
    is_child,
    packable,
    read_extension,
    writer_rank,
)
from tracker.runstate.aggregates import Aggregate, Rules, merge_definitions
from tracker.runstate.fold import (
    KeyFacts,
    SegmentState,
    is_replaced,
    mark_replaced,
    merge_dicts,
    pack_state,
    unpack_state,
)
from tracker.runstate.key_edits import apply_key_edits

# What a person may change of a run, besides keys of its config and summary (``tracker.runstate.key_edits``).
EDITABLE = ("name", "tags", "notes", "group", "job_type")

# The time of a file may be anything; a calendar has dates for seconds up to here.
_LATEST = 250_000_000_000.0


class Attempt(Protocol):
    """What decides which of a run's segments show: a ``SegmentView``, or the catalog's own row."""

    @property
    def segment(self) -> str:
        """Its id."""

    @property
    def rank(self) -> int:
        """0 for the primary writer."""

    @property
    def attempt(self) -> int:
        """One more per resume."""

    @property
    def started_at(self) -> float:
        """Unix seconds."""

    @property
    def start_step(self) -> int:
        """First step that it gives."""


class SegmentView(NamedTuple):
    """What one writer said in one attempt; the fields are those of the catalog's segments.

    ``fault`` says why its journals cannot be applied at present, None when they can.
    """

    segment: str
    rank: int
    attempt: int
    started_at: float
    start_step: int
    ended: str | None
    state: SegmentState
    fault: str | None = None


_Packed = tuple[list[tuple[str, int, int, float, int, str | None, bytes]], dict[str, Any]]
_decode = msgspec.msgpack.Decoder(_Packed, ext_hook=read_extension).decode


def pack_segments(segments: Iterable[SegmentView], edits: dict[str, Any]) -> bytes:
    """Return the states of a run's segments and its edits, for a process on another host that resumes it."""
    return encode(packable([[[*each[:6], pack_state(each.state)] for each in segments], edits]))


def unpack_segments(data: bytes) -> tuple[list[SegmentView], dict[str, Any]]:
    """Return the segments and edits that ``pack_segments`` was given.

    Raises:
        ValueError: They are not whole, or of a newer tracker.
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
    """What all writers of a run said, with people's edits laid over; see ``RunInfo``."""

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


def order_segments(segments: Iterable[SegmentView]) -> list[SegmentView]:
    """Return segments so that later ones override earlier ones: other ranks, then the primary's attempts.

    Behind each attempt come the processes that were forked from it, or handed the run.
    """
    return sorted(segments, key=lambda each: (-writer_rank(each.rank), *_place(each)))


def _place(attempt: Attempt) -> tuple[int, bool, float, str]:
    """Return what orders the segments of one writer."""
    return attempt.attempt, is_child(attempt.rank), attempt.started_at, attempt.segment


def merge_segments(run_id: str, segments: Sequence[SegmentView], edits: dict[str, Any]) -> RunView:
    """Return the merged view of a run's segments (at least one); the primary writer's newest wins.

    A person's edit of a field holds against what the writers say of it, those of before and those
    of a later attempt that says nothing. Only a segment that began after the edit and gave the field
    explicitly (``init(name=...)``) has the word again: its user meant that, and knew of the edit. The same
    goes for single keys of config and summary. Aggregates must be known: see
    ``tracker.runstate.missing_aggregates``.
    """
    ordered = order_segments(segments)
    config: dict[str, Any] = {}
    given: dict[str, tuple[Any, float]] = {}  # field: the last writer's value, and when that writer began
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
        for field, change in each.state.changes.items():
            # A child and its parent are of one host: the later one holds.
            if field in EDITABLE and not (
                is_child(each.rank) and field in given and change.time < given[field][1]
            ):
                given[field] = (change.value, change.time)
        if not is_child(each.rank):
            host, program = started.process.host, started.program or program
    named: dict[str, Any] = {"name": run_id, "tags": [], "notes": None, "group": None, "job_type": None}
    named.update({field: value for field, (value, _time) in given.items()})
    for field, edit in edits.items():
        if field in EDITABLE and (field not in given or given[field][1] <= edit["time"]):
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
        state=newest.ended or "running",
        exit_code=finished.exit_code if finished else None,
        error=finished.error if finished else _silence(newest.state),
        reason=finished.reason if finished else (gone.reason if gone else None),
        last_seen=gone.last_seen if gone and not finished else None,
    )


def _own_config(segment: SegmentView) -> dict[str, Any]:
    """Return what a writer said of the config; of a child, what it did not have from its parent."""
    config, started = segment.state.config, segment.state.started
    if started is None or not is_child(segment.rank):
        return config
    had = started.config
    return {key: value for key, value in config.items() if key not in had or had[key] != value}


def _merge_summaries(ordered: Sequence[SegmentView]) -> dict[str, Any]:
    """Return what the summary holds after all segments, as if one writer had written them in this order.

    Of a key that the run's definitions rule, it holds the aggregate over all attempts of the writer that
    gave its last value, unless a script has set the key itself since. After going back, a key keeps what it
    had until it is logged again. Between a writer and its children the row with the larger step is the later
    one, and what one of them set itself holds against the rows of the others.
    """
    if len(ordered) == 1:
        return dict(ordered[0].state.summary)
    summary: dict[str, Any] = {}
    joined: dict[str, Aggregate] = {}
    attempts: dict[str, Aggregate] = {}  # of one writer
    cut: dict[str, bool] = {}  # whether nobody logged a key again after going back
    marks: dict[str, bool] = {}  # see ``is_replaced``
    rank = None
    have_children = any(is_child(each.rank) for each in ordered)
    latest: dict[str, float] = {}  # the last step of each key of an attempt and its children
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
        # An older tracker did not note it, but the values that it kept of ruled keys are dicts.
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
            place[name] = aggregate.last  # a dict of results, of before the definition was taken back
    return summary


def _last_steps(state: SegmentState) -> dict[str, float]:
    """Return where each key was logged last; infinity for one that the script set or removed itself."""
    steps: dict[str, float] = {key: facts.last_step for key, facts in state.keys.items()}
    return steps | {key: math.inf for key, holds in state.replaced.items() if holds}


def define_metrics(ordered: Sequence[SegmentView]) -> dict[str, MetricDefined]:
    """Return the definitions of a run: of each name the one of the last attempt that has any.

    Those of an attempt and of its children add up.
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
    """Return where a key stands: at the top, or down the dicts that its dots name."""
    if key in summary:
        return summary, key
    *path, name = key.split(".")
    place = summary
    for each in path:
        below = place.get(each)
        if not isinstance(below, dict):
            return {}, name
        place[each] = place = dict(below)  # a copy: the state that it came from stays as it is
    return place, name


def _silence(state: SegmentState) -> str | None:
    """Return why a writer is taken for dead, if that is only because nothing was heard of it."""
    if state.silent_since is None:
        return None
    host = state.started.process.host if state.started is not None else "its host"
    since = datetime.fromtimestamp(min(max(state.silent_since, 0.0), _LATEST), timezone.utc)
    return f"no news from {host} since {since:%Y-%m-%d %H:%M} UTC; rows may still wait there"


def describe_run(
    entity: str, project: str, run_id: str, segments: Sequence[SegmentView], edits: dict[str, Any]
) -> RunDetail:
    """Return a run (of at least one segment) with its keys, problems and segments."""
    merged = merge_segments(run_id, segments, edits)
    shown = {name: getattr(merged, name) for name in RunInfo.__dataclass_fields__ if hasattr(merged, name)}
    return RunDetail(entity=entity, project=project, id=run_id, **shown, **describe_segments(segments))


def describe_segments(segments: Sequence[SegmentView]) -> dict[str, Any]:
    """Return the fields of a ``RunDetail`` that a ``RunInfo`` has not; primary writer and oldest first."""
    segments = sorted(segments, key=lambda each: (writer_rank(each.rank), *_place(each)))
    segments = [each for each in segments if each.rank < OUTSIDE] or segments
    shown = dict(newest_branch(segments))
    keys: dict[str, KeyFacts] = {}
    for each in segments:
        for key, facts in each.state.keys.items():
            known = keys.get(key)
            if known is None:
                keys[key] = KeyFacts(facts.kind, facts.count, facts.last_step, facts.mixed_numbers)
                continue
            known.note_kind(facts.kind, facts.mixed_numbers)
            known.count += facts.count
            known.last_step = max(known.last_step, facts.last_step)
    return {
        "keys": [
            KeyInfo(key, facts.kind, facts.count, facts.last_step, facts.numbers)
            for key, facts in sorted(keys.items())
        ],
        "problems": [problem for each in segments for problem in _problems(each)],
        "alerts": [
            AlertInfo(alert.time, alert.title, alert.text, alert.level)
            for alert in sorted((a for each in segments for a in each.state.alerts), key=lambda a: a.time)
        ],
        "attempts": max((each.attempt + 1 for each in segments), default=0),
        "segments": [
            SegmentInfo(
                id=each.segment,
                rank=writer_rank(each.rank),
                attempt=each.attempt,
                host=each.state.started.process.host if each.state.started else None,
                started_at=each.started_at,
                start_step=each.start_step,
                last_step=each.state.last_step,
                rows=each.state.rows,
                state=each.ended or "running",
                shown=each.segment in shown,
                shown_before=shown.get(each.segment),
                samples=each.state.samples,
                console_lines=each.state.console_lines,
                child=is_child(each.rank),
            )
            for each in segments
        ],
        "system_metrics": _system_metrics(segments, shown),
    }


def _system_metrics(segments: Sequence[SegmentView], shown: Collection[str]) -> dict[str, float]:
    """Return the latest value of each system metric of the primary writer; names as wandb's ``Api`` has."""
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
    """Return, for each segment, the step from which on a later attempt logged its rows again, if one did."""
    writers: dict[int, list[Attempt]] = defaultdict(list)
    for each in segments:
        writers[writer_rank(each.rank)].append(each)
    return {segment: step for each in writers.values() for segment, step in shown_attempts(each)}


def newest_branch(segments: Sequence[Attempt]) -> list[tuple[str, int | None]]:
    """Return the segments whose history shows by default, oldest attempt first.

    They are the attempts of the primary writer (rank 0, else the first), each with its children behind it.
    Rows of an attempt at or beyond the step given with it were logged again by a later one (None: all of
    them show).
    """
    if not segments:
        return []
    primary = min(writer_rank(each.rank) for each in segments)
    return shown_attempts([each for each in segments if writer_rank(each.rank) == primary])


def shown_attempts(attempts: Iterable[Attempt]) -> list[tuple[str, int | None]]:
    """Return the attempts of one writer, oldest first, each with the step from which on it shows no more."""
    found: list[tuple[str, int | None]] = []
    before: int | None = None
    for each in sorted(attempts, key=_place, reverse=True):
        found.append((each.segment, before))
        if not is_child(each.rank):
            before = each.start_step if before is None else min(before, each.start_step)
    return found[::-1]
