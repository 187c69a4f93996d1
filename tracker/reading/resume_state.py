"""What is known of a run without the catalog: for ``init``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from functools import cached_property, partial
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

import msgspec

from tracker.errors import JournalError
from tracker.ground.names import RunPath
from tracker.ground.processes import MISSED_SECONDS, is_alive, this_process
from tracker.ground.records import (
    MetricDefined,
    Process,
    Record,
    Row,
    RunStarted,
    decode,
    encode,
    writer_rank,
)
from tracker.journal.reader import Frame, read_frames, read_header
from tracker.store.objects.atomic_files import is_older, read_json
from tracker.store.objects.layout import JournalPath, Layout

if TYPE_CHECKING:
    from tracker.runstate.fold import FinishedRow, SegmentFold, SegmentState
    from tracker.runstate.merge import RunView, SegmentView
    from tracker.store.published.models import PublishedRun

# How the payload of every row begins: the msgpack array's length, and the number of its kind.
_ROW = encode(Row(0, 0, 0, 0.0, {}))[:2]

# What a script says of a run beside its config.
SHOWN = ("name", "tags", "notes", "group", "job_type")

# Entity, project and id of a run.


class ResumeState:
    """What a node can tell of a run that exists.

    Args:
        run_path: Which run.
        segments: What its writers wrote, by segment: at least one.
        edits: What people changed.
        here: The segments whose writer is known to live: a process of this host.
        rest: The run as a whole, as one segment, where the states of some of its segments are not known.
        layout: Where those of its rows lie that are here.
    """

    def __init__(
        self,
        run_path: RunPath,
        segments: dict[str, SegmentView],
        edits: dict[str, Any],
        here: Set[str],
        rest: SegmentView | None,
        layout: Layout,
    ) -> None:
        self.run_path = run_path
        self.segments = segments
        self.edits = edits
        self.here = here
        self.rest = rest
        self.layout = layout

    @property
    def views(self) -> list[SegmentView]:
        """All that is known, to be merged."""
        return [*([self.rest] if self.rest is not None else []), *self.segments.values()]

    @property
    def definitions(self) -> dict[str, MetricDefined]:
        """What is defined of its metrics."""
        from tracker.runstate.merge import define_metrics, order_segments

        return define_metrics(order_segments(self.views))

    @cached_property
    def merged(self) -> RunView:
        """What all of it adds up to."""
        from tracker.runstate.merge import merge_segments
        from tracker.runstate.missing_aggregates import fill_aggregates

        fill_aggregates(self.views, partial(read_rows, self.layout, self.run_path))
        return merge_segments(self.run_path[2], self.views, self.edits)

    @property
    def primary(self) -> int:
        """Rank of the primary writer: 0, else the first."""
        return min(writer_rank(each.rank) for each in self.segments.values())


def join_resume_states(older: ResumeState | None, newer: ResumeState | None) -> ResumeState | None:
    """Return what two places know of a run; of one segment the newer answer holds."""
    if older is None or newer is None:
        return older or newer
    return ResumeState(
        newer.run_path,
        {**older.segments, **newer.segments},
        {**older.edits, **newer.edits},
        {*older.here, *newer.here},
        older.rest or newer.rest,
        newer.layout,
    )


def find_run(
    layout: Layout, entity: str, project: str, run_id: str, writing: Set[str] = frozenset()
) -> ResumeState | None:
    """Return what published files and unapplied journals say of a run; None when it is unknown.

    Args:
        layout: The store or outbox.
        entity: Whose project.
        project: The project.
        run_id: The run.
        writing: The segments that this very process writes. Others of its identity are of before ``exec``.
    """
    run_path = (entity, project, run_id)
    # Journals before the published file: what is sealed meanwhile is gone here, and stands there.
    unapplied = {view.segment: (view, here) for view, here in _unapplied(layout, run_path, writing)}
    published = _published(layout, run_path)
    if published is None and not unapplied:
        return None
    from tracker.runstate.merge import SegmentView

    segments: dict[str, SegmentView] = {}
    partly = False
    for each in published.segments if published is not None else []:
        assert published is not None
        state = each.state if each.sealed else None
        known = SegmentView(
            each.segment,
            each.rank,
            each.attempt,
            each.started_at,
            each.start_step,
            each.ended,
            state or _state_at(published.last_step, published.duration),
        )
        if state is not None:
            unapplied.pop(each.segment, None)  # sealed meanwhile: it may have gone while it was read
        elif each.segment not in unapplied:
            partly = True
        elif each.ended is not None:
            unapplied[each.segment] = _ended(*unapplied[each.segment], each.ended)
        segments[each.segment] = known
    rest = None
    if published is not None and partly:
        rest = as_one_segment(run_path, msgspec.structs.asdict(published), segments.values())
    segments.update((segment, view) for segment, (view, _) in unapplied.items())
    if not segments:
        return None
    edits = published.edits if published is not None else {}
    here = {segment for segment, (_, lives) in unapplied.items() if lives}
    return ResumeState(run_path, segments, edits, here, rest, layout)


def as_one_segment(run_path: RunPath, run: Mapping[str, Any], segments: Iterable[SegmentView]) -> SegmentView:
    """Return what is known of a run as a whole as if its primary writer had said it at last.

    Args:
        run_path: Which run.
        run: Its fields, by name.
        segments: Its segments.
    """
    from tracker.runstate.merge import order_segments

    newest = order_segments(segments)[-1]
    shown = {field: run[field] for field in SHOWN}
    started = RunStarted(*run_path, newest.started_at, Process("", "", 0, 0, 0), **shown)
    state = _state_at(run["last_step"], run["duration"])
    state.started, state.config, state.summary = started, dict(run["config"]), dict(run["summary"])
    return newest._replace(segment="", state=state)


def _state_at(last_step: int | None, runtime: float) -> SegmentState:
    from tracker.runstate.fold import SegmentState

    return SegmentState(last_step=last_step, runtime=runtime)


def _published(layout: Layout, run_path: RunPath) -> PublishedRun | None:
    """Return what is published of a run, unless a deletion that a crash cut short left it."""
    path = layout.run_file(*run_path)
    if not path.exists():
        return None
    from tracker.store.published.models import PublishedRun, read_published_model

    try:
        published = read_published_model(path, PublishedRun)
    except FileNotFoundError:
        return None
    deleted = read_json(layout.tombstone(*run_path))
    if deleted and all(each.started_at <= deleted["time"] for each in published.segments):
        return None
    return published


def _unapplied(layout: Layout, run_path: RunPath, writing: Set[str]) -> Iterator[tuple[SegmentView, bool]]:
    """Yield what the journals say of a run's segments, and whether the writer is known to live."""
    for segment, group in groupby(layout.list_journals(), key=lambda journal: journal.segment):
        journals = list(group)
        folder: SegmentFold | None = None
        for _sequence, record in _records(journals, True):
            if isinstance(record, RunStarted) and (record.entity, record.project, record.run_id) != run_path:
                break
            folder = folder or _new_folder()
            folder.fold(record)
        else:
            if folder is None:
                continue
            state, started = folder.state, folder.state.started
            if started is None:
                continue
            silent = _is_silent(layout, journals[-1])
            alive = is_alive(started.process, silent=silent) if state.finished is None else False
            if alive and started.process == this_process() and segment not in writing:
                alive = False
            ended = state.finished.state if state.finished is not None else None
            if ended is None and (not alive if alive is not None else silent):
                folder.flush()
                ended = "crashed"
            yield _view(segment, started, ended, folder.state), bool(alive)


def _view(segment: str, started: RunStarted, ended: str | None, state: SegmentState) -> SegmentView:
    from tracker.runstate.merge import SegmentView

    return SegmentView(segment, started.rank, started.attempt, started.time, state.start_step, ended, state)


def _ended(view: SegmentView, here: bool, ended: str) -> tuple[SegmentView, bool]:
    """Return a segment of which the catalog knows that its writer has ended, unless that is known to live."""
    if view.ended is None and not here:
        from tracker.runstate.fold import SegmentFold

        folder = SegmentFold(view.state)
        folder.flush()
        view = view._replace(ended=ended, state=folder.state)
    return view, here


def _new_folder() -> SegmentFold:
    from tracker.runstate.fold import SegmentFold, SegmentState  # only a resumed run needs it

    return SegmentFold(SegmentState())


def read_rows(
    layout: Layout, run_path: RunPath, segment: SegmentView, keys: list[str]
) -> Iterator[FinishedRow]:
    """Yield the rows of a segment that have some of the keys: of a live one those that its state has.

    Raises:
        OSError: It is not there, or is being sealed.
        ImportError: This node reads no Parquet.
    """
    journals = [each for each in layout.list_journals() if each.segment == segment.segment]
    if journals:
        folded = islice(_fold_rows(journals), segment.state.rows)
        yield from (row for row in folded if not row.data.keys().isdisjoint(keys))
        if not all(each.path.exists() for each in journals):
            raise FileNotFoundError(f"segment {segment.segment} was sealed while it was read")
        return
    from tracker.store.history.parquet import read_rows as read_part
    from tracker.store.published.models import PublishedRun, read_published_model

    for each in read_published_model(layout.run_file(*run_path), PublishedRun).segments:
        for part in each.parts if each.segment == segment.segment else ():
            yield from read_part(layout.root / part.path, keys)


def _fold_rows(journals: list[JournalPath]) -> Iterator[FinishedRow]:
    folder = _new_folder()
    for _sequence, record in _records(journals, True):
        yield from folder.fold(record)
    yield from folder.flush()


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
