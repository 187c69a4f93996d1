"""What is known of a run without the catalog: for ``init``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Set
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from tracker.errors import JournalError
from tracker.ground.processes import is_alive, this_process
from tracker.ground.records import Record, Row, RunStarted, decode, encode
from tracker.journal.reader import Record as Frame
from tracker.journal.reader import read_frames, read_header
from tracker.runstate.keyed import unedited
from tracker.store.objects.files import is_older, read_json
from tracker.store.objects.layout import JournalPath, Layout

if TYPE_CHECKING:
    from tracker.runstate.aggregates import Aggregate
    from tracker.runstate.fold import Folder, SegmentState

# How the payload of every row begins: the msgpack array's length, and the number of its kind.
_ROW = encode(Row(0, 0, 0, 0.0, {}))[:2]

# What a script says of a run beside its config.
SHOWN = ("name", "tags", "notes", "group", "job_type")
# A writer that cannot be looked at is taken for dead when its journal has been untouched for this long.
MISSED_SECONDS = 60.0


class KnownSegment(NamedTuple):
    """What a node can tell of what one writer wrote in one attempt.

    Attributes:
        rank: Which writer.
        attempt: Which attempt of that writer.
        start_step: First step that it gives.
        last_step: Largest step logged, or None.
        runtime_base: Seconds that the run had lasted before it.
        runtime: Seconds that the run had lasted with it.
        ended: Its writer has ended, or is known to be dead.
        here: Its writer is known to live: a process of this host.
    """

    rank: int
    attempt: int
    start_step: int
    last_step: int | None
    runtime_base: float
    runtime: float
    ended: bool
    here: bool = False


class KnownRun(NamedTuple):
    """What a node can tell of a run that exists.

    Attributes:
        segments: What its writers wrote, by segment: at least one.
        config: Its config.
        summary: Its summary.
        name: Its display name.
        shown: Its tags, notes, group and job type, as far as they are known.
        aggregates: Running extremes and means of its keys, of the primary writer's attempts.
    """

    segments: dict[str, KnownSegment]
    config: dict[str, Any]
    summary: dict[str, Any]
    name: str | None
    shown: dict[str, Any] = {}
    aggregates: dict[str, Any] = {}

    @property
    def last_step(self) -> int | None:
        """Largest step logged, or None."""
        steps = [each.last_step for each in self.segments.values() if each.last_step is not None]
        return max(steps, default=None)

    @property
    def attempts(self) -> int:
        """How many attempts there were."""
        return max(each.attempt for each in self.segments.values()) + 1

    @property
    def runtime(self) -> float:
        """Seconds that it lasted so far."""
        return max(each.runtime for each in self.segments.values())

    @property
    def primary(self) -> int:
        """Rank of the primary writer: 0, else the first."""
        return min(each.rank for each in self.segments.values())


def join_known(older: KnownRun | None, newer: KnownRun | None) -> KnownRun | None:
    """Return what two places know of a run; of one segment the newer answer holds."""
    if older is None or newer is None:
        return older or newer
    weak, strong = (older, newer) if newer.primary <= older.primary else (newer, older)
    return KnownRun(
        {**older.segments, **newer.segments},
        {**weak.config, **strong.config},
        {**weak.summary, **strong.summary},
        newer.name or older.name,
        {**older.shown, **{key: value for key, value in newer.shown.items() if value}},
        newer.aggregates or older.aggregates,
    )


def find_run(
    layout: Layout, entity: str, project: str, run_id: str, writing: Set[str] = frozenset()
) -> KnownRun | None:
    """Return what published files and unapplied journals say of a run; None when it is unknown.

    Args:
        layout: The store or outbox.
        entity: Whose project.
        project: The project.
        run_id: The run.
        writing: The segments that this very process writes. Others of its identity are of before ``exec``.
    """
    # Journals before the published file: what is sealed meanwhile is gone here, and stands there.
    unapplied = list(_unapplied(layout, (entity, project, run_id), writing))
    published = read_json(layout.run_file(entity, project, run_id)) or {}
    deleted = read_json(layout.tombstone(entity, project, run_id)) or {}
    described = published.get("segments", [])
    if deleted and all(each["started_at"] <= deleted["time"] for each in described):
        published, described = {}, []  # left by a deletion that a crash cut short
    segments = {each["segment"]: _published_segment(published, each) for each in described}
    sealed = {each["segment"] for each in described if each["sealed"]}
    config: dict[str, Any] = dict(published.get("config", {}))
    summary: dict[str, Any] = dict(published.get("summary", {}))
    shown = {field: published.get(field) for field in SHOWN}
    # An edit holds against whoever began before it, as in ``tracker.store.catalog.merged``.
    edits = published.get("edits", {})
    # One that was sealed meanwhile may have gone while it was read.
    unapplied = [each for each in unapplied if each[0] not in sealed]
    segments.update((segment, known) for segment, known, _started, _state in unapplied)
    primary = min((known.rank for known in segments.values()), default=0)
    # Later ones override earlier ones, and the primary writer all others: see ``tracker.runstate.view``.
    for _segment, known, started, state in sorted(
        unapplied, key=lambda each: (-each[1].rank, each[1].attempt, each[2].time)
    ):
        first = known.rank == primary
        own_config = unedited(state.config, edits.get("config"), started.time)
        own_summary = unedited(state.summary, edits.get("summary"), started.time)
        config = {**config, **own_config} if first else {**own_config, **config}
        summary = {**summary, **own_summary} if first else {**own_summary, **summary}
        for field in SHOWN:
            edited = edits.get(field, {}).get("time", -math.inf)
            value, said = getattr(started, field), started.time
            if (changed := state.changes.get(field)) is not None:
                value, said = changed.value, changed.time
            if (value or changed is not None) and said > edited and (first or not shown[field]):
                shown[field] = value
    if not segments:
        return None
    name = shown.pop("name")
    states = [
        (known.rank, known.attempt, state.aggregates) for _segment, known, _started, state in unapplied
    ] + [
        (each["rank"], each["attempt"], _aggregates(each["state"].get("aggregates", {})))
        for each in described
        if each["sealed"]
    ]
    return KnownRun(segments, config, summary, name, shown, _joined(states, primary))


def _aggregates(described: dict[str, Any]) -> dict[str, Aggregate]:
    if not described:
        return {}
    from tracker.runstate.aggregates import Aggregate

    return {key: Aggregate(*each) for key, each in described.items()}


def _joined(states: list[tuple[int, int, dict[str, Aggregate]]], primary: int) -> dict[str, Aggregate]:
    joined: dict[str, Aggregate] = {}
    for rank, _attempt, aggregates in sorted(states, key=lambda each: each[:2]):
        if rank == primary:
            for key, each in aggregates.items():
                joined[key] = joined[key].before(each) if key in joined else each
    return joined


def _published_segment(run: dict[str, Any], segment: dict[str, Any]) -> KnownSegment:
    # Only a sealed one's state stands in the file; the run's last step and duration are no less than others'.
    state = segment.get("state") or {"last_step": run.get("last_step"), "runtime": run.get("duration", 0.0)}
    return KnownSegment(
        segment["rank"],
        segment["attempt"],
        segment["start_step"],
        state["last_step"],
        0.0,
        float(state["runtime"]),
        segment["ended"] is not None,
    )


def _unapplied(
    layout: Layout, wanted: tuple[str, str, str], writing: Set[str]
) -> Iterator[tuple[str, KnownSegment, RunStarted, SegmentState]]:
    """Yield what the journals say of a run's segments."""
    for segment, group in groupby(layout.list_journals(), key=lambda journal: journal.segment):
        journals = list(group)
        folder: Folder | None = None
        for _sequence, record in _records(journals, True):
            if isinstance(record, RunStarted) and (record.entity, record.project, record.run_id) != wanted:
                break
            folder = folder or _new_folder()
            folder.fold(record)
        else:
            if folder is None:
                continue
            folder.flush()
            state, started = folder.state, folder.state.started
            if started is None:
                continue
            silent = _is_silent(layout, journals[-1])
            alive = is_alive(started.process, silent=silent) if state.finished is None else False
            if alive and started.process == this_process() and segment not in writing:
                alive = False
            yield (
                segment,
                KnownSegment(
                    started.rank,
                    started.attempt,
                    state.start_step,
                    state.last_step,
                    started.runtime_base,
                    state.runtime,
                    ended=not alive if alive is not None else silent,
                    here=bool(alive),
                ),
                started,
                state,
            )


def _new_folder() -> Folder:
    from tracker.runstate.fold import Folder, SegmentState  # only a resumed run needs it

    return Folder(SegmentState())


def _is_silent(layout: Layout, journal: JournalPath) -> bool:
    try:
        return is_older(journal.path.stat().st_mtime, MISSED_SECONDS, layout.new_temporary())
    except FileNotFoundError:
        return True  # sealed just now


def journal_records(
    layout: Layout, *, rows: bool = True
) -> Iterator[tuple[str, Iterator[tuple[int, Record]]]]:
    """Yield each segment that has journals, with its whole records and their numbers, over all its files.

    Args:
        layout: The store.
        rows: False leaves rows out, without decoding them: most of a journal.
    """
    for segment, journals in groupby(layout.list_journals(), key=lambda journal: journal.segment):
        yield segment, _records(list(journals), rows)


def _records(journals: list[JournalPath], rows: bool) -> Iterator[tuple[int, Record]]:
    """Yield the records of a segment's journals; one that cannot be read, or is just going, has none."""
    for journal in journals:
        try:
            if read_header(journal.path) is None:
                continue
            for outcome in read_frames(journal.path, journal.segment, final=True):
                if isinstance(outcome, Frame) and (rows or not outcome.payload.startswith(_ROW)):
                    yield outcome.sequence, decode(outcome.payload, str(journal.path), outcome.offset)
        except JournalError:
            continue
