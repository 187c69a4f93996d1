"""``ResumeState``: the state of an existing run, without the catalog. ``init`` uses it to resume a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from functools import cached_property, partial
from itertools import groupby, islice
from typing import TYPE_CHECKING

from tracker.errors import JournalError
from tracker.ground.names import RunPath
from tracker.ground.processes import is_alive, this_process
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
from tracker.journal.reader import Frame, read_journal
from tracker.store.objects.atomic_files import is_older, read_json
from tracker.store.objects.layout import JournalPath, Layout
from tracker.store.published.moves import is_covered, is_of_run, is_superseded

if TYPE_CHECKING:
    from tracker.runstate.edits import Edits
    from tracker.runstate.fold import FinishedRow, SegmentFold, SegmentState
    from tracker.runstate.merge import RunView, SegmentView
    from tracker.store.published.models import PublishedRun

# The first bytes of the payload of every row: the length of the msgpack array and the kind of the record.
_ROW = encode(Row(0, 0, 0, 0.0, {}))[:2]

# Fields of a run, except the config, that a script can set.
SHOWN = ("name", "tags", "notes", "group", "job_type")


class ResumeState:
    """The state of an existing run as far as this node can read it.

    Args:
        run_path: Entity, project and id of the run.
        segments: The segments by id; at least one.
        edits: Edits by users, by field.
        here: The segments whose writer is a running process of this host.
        rest: The whole run as one segment. Needed if the states of some segments are unknown; otherwise None.
        layout: The store or outbox with the rows that are on this node.
    """

    def __init__(
        self,
        run_path: RunPath,
        segments: dict[str, SegmentView],
        edits: Edits,
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
        """All segments to merge, ``rest`` included."""
        return [*([self.rest] if self.rest is not None else []), *self.segments.values()]

    @property
    def definitions(self) -> dict[str, MetricDefined]:
        """The metric definitions by key."""
        from tracker.runstate.merge import define_metrics, order_segments

        return define_metrics(order_segments(self.views))

    @cached_property
    def merged(self) -> RunView:
        """The merged state of all segments."""
        from tracker.runstate.merge import merge_segments
        from tracker.runstate.missing_aggregates import fill_aggregates

        fill_aggregates(self.views, partial(read_rows, self.layout, self.run_path))
        return merge_segments(self.run_path[2], self.views, self.edits)

    @property
    def primary(self) -> int:
        """The rank of the primary writer, which is the smallest rank."""
        return min(writer_rank(each.rank) for each in self.segments.values())


def join_resume_states(older: ResumeState | None, newer: ResumeState | None) -> ResumeState | None:
    """Return the combined state from two sources. If both have a segment, the state in ``newer`` is used."""
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
    """Return the state of a run from published files and unapplied journals, or None if the run is unknown.

    Args:
        layout: The store or outbox.
        entity: The entity of the project.
        project: The project.
        run_id: The id of the run.
        writing: The segments that this process writes now. Other segments with the identity of this process
            were written before a call of ``exec``.
    """
    run_path = (entity, project, run_id)
    # Read journals before the published file: a journal that is deleted in between has been sealed into it.
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
            # Sealed meanwhile. Its journals may have been deleted during the read: use the published state.
            unapplied.pop(each.segment, None)
        elif each.segment not in unapplied:
            partly = True
        elif each.ended is not None:
            unapplied[each.segment] = _set_end(*unapplied[each.segment], each.ended)
        segments[each.segment] = known
    rest = None
    if published is not None and partly:
        rest = as_one_segment(run_path, published, segments.values())
    segments.update((segment, view) for segment, (view, _) in unapplied.items())
    if not segments:
        return None
    edits = published.edits if published is not None else {}
    here = {segment for segment, (_, lives) in unapplied.items() if lives}
    return ResumeState(run_path, segments, edits, here, rest, layout)


def as_one_segment(run_path: RunPath, run: PublishedRun, segments: Iterable[SegmentView]) -> SegmentView:
    """Return the state of a whole run as one segment, as if the primary writer had logged it last.

    Args:
        run_path: Entity, project and id of the run.
        run: The published file of the run.
        segments: The segments of the run.
    """
    from tracker.runstate.merge import order_segments

    newest = order_segments(segments)[-1]
    shown = {field: getattr(run, field) for field in SHOWN}
    started = RunStarted(*run_path, newest.started_at, Process("", "", 0, 0, 0), **shown)
    state = _state_at(run.last_step, run.duration)
    state.started, state.config, state.summary = started, dict(run.config), dict(run.summary)
    return newest._replace(segment="", state=state)


def _state_at(last_step: int | None, runtime: float) -> SegmentState:
    from tracker.runstate.fold import SegmentState

    return SegmentState(last_step=last_step, runtime=runtime)


def _published(layout: Layout, run_path: RunPath) -> PublishedRun | None:
    """Return the published file of a run, or None.

    A file that an interrupted deletion or an interrupted move left is ignored.
    """
    path = layout.run_file(*run_path)
    if not path.exists():
        return None
    from tracker.store.published.models import PublishedRun, read_published_model

    try:
        published = read_published_model(path, PublishedRun)
    except FileNotFoundError:
        return None
    deleted = read_json(layout.tombstone(*run_path))
    if deleted:
        own = {each.segment for each in published.segments}
        newest = max((each.started_at for each in published.segments), default=0.0)
        if is_covered(deleted.get("segments", ()), deleted["time"], own, newest):
            return None
    return None if is_superseded(layout, published) else published


def _unapplied(layout: Layout, run_path: RunPath, writing: Set[str]) -> Iterator[tuple[SegmentView, bool]]:
    """Yield the segments of a run that have journals, each with whether its writer is known to be running."""
    for segment, group in groupby(layout.list_journals(), key=lambda journal: journal.segment):
        journals = list(group)
        fold: SegmentFold | None = None
        for _sequence, record in _records(journals, True):
            if isinstance(record, RunStarted) and not is_of_run(layout, record, segment, run_path):
                break
            fold = fold or _new_fold()
            fold.fold(record)
        else:
            if fold is None:
                continue
            state, started = fold.state, fold.state.started
            if started is None:
                continue
            silent = _is_silent(layout, journals[-1])
            alive = is_alive(started.process, silent=silent) if state.finished is None else False
            if alive and started.process == this_process() and segment not in writing:
                alive = False
            ended = state.finished.state if state.finished is not None else None
            if ended is None and (not alive if alive is not None else silent):
                fold.flush()
                ended = "crashed"
            yield _view(segment, started, ended, fold.state), bool(alive)


def _view(segment: str, started: RunStarted, ended: str | None, state: SegmentState) -> SegmentView:
    from tracker.runstate.merge import SegmentView

    return SegmentView(segment, started.rank, started.attempt, started.time, state.start_step, ended, state)


def _set_end(view: SegmentView, here: bool, ended: str) -> tuple[SegmentView, bool]:
    """Set the end of a segment that the catalog records as ended, unless its writer runs on this host."""
    if view.ended is None and not here:
        from tracker.runstate.fold import SegmentFold

        fold = SegmentFold(view.state)
        fold.flush()
        view = view._replace(ended=ended, state=fold.state)
    return view, here


def _new_fold() -> SegmentFold:
    from tracker.runstate.fold import (
        SegmentFold,
        SegmentState,
    )  # imported here because only a resumed run needs it

    return SegmentFold(SegmentState())


def read_rows(
    layout: Layout, run_path: RunPath, segment: SegmentView, keys: list[str]
) -> Iterator[FinishedRow]:
    """Yield the rows of a segment that have at least one of the keys.

    For a segment with journals, only the rows that ``segment.state`` counts are returned.

    Args:
        layout: The store or outbox.
        run_path: Entity, project and id of the run.
        segment: The segment.
        keys: The keys.

    Raises:
        OSError: The rows are not on this node, or the segment was sealed during the read.
        ImportError: The packages for Parquet are not installed.
    """
    journals = [each for each in layout.list_journals() if each.segment == segment.segment]
    if journals:
        folded = islice(_fold_rows(journals), segment.state.rows)
        yield from (row for row in folded if not row.data.keys().isdisjoint(keys))
        if not all(each.path.exists() for each in journals):
            raise FileNotFoundError(f"Segment {segment.segment} was sealed during the read.")
        return
    from tracker.store.history.parquet import read_part_rows
    from tracker.store.published.models import PublishedRun, read_published_model

    for each in read_published_model(layout.run_file(*run_path), PublishedRun).segments:
        for part in each.parts if each.segment == segment.segment else ():
            yield from read_part_rows(layout.root / part.path, keys)


def _fold_rows(journals: list[JournalPath]) -> Iterator[FinishedRow]:
    fold = _new_fold()
    for _sequence, record in _records(journals, True):
        yield from fold.fold(record)
    yield from fold.flush()


def _is_silent(layout: Layout, journal: JournalPath) -> bool:
    try:
        return is_older(journal.path.stat().st_mtime, journal.missed_after, layout.new_temporary())
    except FileNotFoundError:
        return True  # sealed just now


def journal_records(
    layout: Layout, *, rows: bool = True
) -> Iterator[tuple[str, Iterator[tuple[int, Record]]]]:
    """Yield each segment that has journals, with the numbers and records of all its journal files.

    Args:
        layout: The store.
        rows: Whether to include rows. Without rows, the read is faster, because most records are rows.
    """
    for segment, journals in groupby(layout.list_journals(), key=lambda journal: journal.segment):
        yield segment, _records(list(journals), rows)


def _records(journals: list[JournalPath], rows: bool) -> Iterator[tuple[int, Record]]:
    """Yield the records of a segment's journals. A journal that cannot be read or was deleted is skipped."""
    for journal in journals:
        try:
            for outcome in read_journal(journal.path, journal.segment, final=True):
                if isinstance(outcome, Frame) and (rows or not outcome.payload.startswith(_ROW)):
                    yield outcome.sequence, decode(outcome.payload, str(journal.path), outcome.offset)
        except JournalError:
            continue
