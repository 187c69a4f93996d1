"""The histories of many runs: their visible pieces and their x axes, with a few queries for all runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from tracker.errors import NotFoundError, UsageError
from tracker.ground.curves import AbandonedBranch
from tracker.ground.records import MetricDefined, read_extension
from tracker.runstate.aggregates import Rules
from tracker.runstate.fold import KeyFacts, SegmentState, unpack_state
from tracker.runstate.merge import (
    Rank,
    SegmentView,
    define_metrics,
    describe_missing_rank,
    find_branches,
    newest_branch,
    order_segments,
)
from tracker.store.catalog.hot_rows import read_hot
from tracker.store.catalog.models import Part, Project, Run, Segment
from tracker.store.history.ladder import AXES
from tracker.store.history.part_file import PartFile
from tracker.store.history.sources import HistorySource

# The largest number of bound values in one query.
IDS_AT_ONCE = 500


class RunSource(NamedTuple):
    """The visible history of a run.

    Attributes:
        run_id: The id of the run.
        number: The run's number in the catalog.
        pieces: The visible pieces, oldest attempt first.
        version: A value that differs if the visible rows differ: the names of the parts, and the position up
            to which the journal of the hot rows is applied.
        rows: The number of rows of the pieces, including rows that a later attempt hides.
        rank: The rank, if the histories of all ranks were asked for.
    """

    run_id: str
    number: int
    pieces: list[HistorySource]
    version: tuple[Any, ...]
    rows: int
    rank: int | None = None

    @property
    def sealed(self) -> bool:
        """Whether all rows are in parts."""
        return all(piece.hot_count == 0 for piece in self.pieces)


class _Segment(NamedTuple):
    id: int
    run_id: int
    segment: str
    rank: int
    attempt: int
    started_at: float
    start_step: int
    ended: str | None
    hot_count: int
    hot_bytes: int
    journal_index: int
    offset: int


_COLUMNS: tuple[InstrumentedAttribute[Any], ...] = tuple(getattr(Segment, name) for name in _Segment._fields)


def find_numbers(session: Session, entity: str, project: str, run_ids: Sequence[str]) -> dict[str, int]:
    """Return the number of each run in the catalog by its id, without runs that do not exist.

    Args:
        session: A read transaction.
        entity: The entity of the project.
        project: The name of the project.
        run_ids: The ids of the runs, without duplicates.

    Raises:
        NotFoundError: None of the runs exists.
    """
    place = select(Project.id).where(Project.entity == entity, Project.name == project)
    project_id = session.scalar(place)
    numbers: dict[str, int] = {}
    for some in slices(run_ids):
        found = session.execute(
            select(Run.run_id, Run.id).where(Run.project_id == project_id, Run.run_id.in_(some))
        )
        numbers.update((run_id, number) for run_id, number in found)
    if run_ids and not numbers:
        more = f" and {len(run_ids) - 3} more" if len(run_ids) > 3 else ""
        named = ", ".join(map(repr, run_ids[:3]))
        raise NotFoundError(f"there is no run {named}{more} in {entity}/{project}")
    return numbers


def find_missing(session: Session, entity: str, project: str, run_ids: Iterable[str]) -> list[str]:
    """Return the distinct ids of runs that do not exist. See ``find_numbers``."""
    asked = list(dict.fromkeys(run_ids))
    numbers = find_numbers(session, entity, project, asked)
    return [run_id for run_id in asked if run_id not in numbers]


def count_sources(
    session: Session, entity: str, project: str, run_ids: Iterable[str], rank: Rank | None
) -> int:
    """Return the number of histories that ``find_sources`` returns.

    Args:
        session: A read transaction.
        entity: The entity of the project.
        project: The name of the project.
        run_ids: The ids of the runs.
        rank: See ``find_sources``.

    Raises:
        NotFoundError: None of the runs exists.
        UsageError: None of the runs has the rank.
    """
    numbers = find_numbers(session, entity, project, list(dict.fromkeys(run_ids)))
    if rank is None:
        return len(numbers)
    branches = [find_branches(each, "all") for each in _read_segments(session, numbers.values()).values()]
    if rank == "all":
        return sum(map(len, branches))
    if not any(rank in each for each in branches):
        known = describe_missing_rank(rank, {number for each in branches for number in each})
        raise UsageError(f"The {'run has' if len(branches) == 1 else 'runs have'} {known}")
    return len(numbers)


def find_sources(
    session: Session,
    entity: str,
    project: str,
    run_ids: Sequence[str],
    root: Path,
    rank: Rank | None = None,
) -> list[RunSource]:
    """Return the visible histories of runs, in the order of ``run_ids``, without runs that do not exist.

    Args:
        session: A read transaction.
        entity: The entity of the project.
        project: The name of the project.
        run_ids: The ids of the runs, without duplicates.
        root: The store's folder.
        rank: Return the histories of this rank; for ``"all"``, of each rank of each run. A run without the
            rank has no pieces. None: the history of the primary writer.

    Raises:
        NotFoundError: None of the runs exists.
    """
    numbers = find_numbers(session, entity, project, run_ids)
    segments = _read_segments(session, numbers.values())
    shown = [
        (run_id, label, branch)
        for run_id in run_ids
        if run_id in numbers
        for label, branch in _branches(segments[numbers[run_id]], rank)
    ]
    ids = {each.segment: each for of_run in segments.values() for each in of_run}
    parts = _parts(session, [ids[name].id for _, _, branch in shown for name, _ in branch], root)
    return [
        _source(
            session, run_id, numbers[run_id], [(ids[name], before) for name, before in branch], parts, label
        )
        for run_id, label, branch in shown
    ]


def _branches(
    segments: list[_Segment], rank: Rank | None
) -> Iterable[tuple[int | None, list[tuple[str, int | None]]]]:
    """Return the asked branches of a run, with their rank if all ranks were asked for."""
    if rank is None:
        return [(None, newest_branch(segments))]
    branches = find_branches(segments, "all")
    return branches.items() if rank == "all" else [(None, branches.get(rank, []))]


def _read_segments(session: Session, numbers: Iterable[int]) -> dict[int, list[_Segment]]:
    """Return the segments of runs by the number of the run."""
    segments: dict[int, list[_Segment]] = defaultdict(list)
    for some in slices(list(numbers)):
        query = select(*_COLUMNS).where(Segment.run_id.in_(some)).order_by(Segment.id)
        for row in session.execute(query):
            segments[row.run_id].append(_Segment(*row))
    return segments


def find_abandoned(
    session: Session, entity: str, project: str, run_ids: Sequence[str]
) -> list[AbandonedBranch]:
    """Return the rows of runs that a later attempt logged again. See ``find_sources``.

    Args:
        session: A read transaction.
        entity: The entity of the project.
        project: The name of the project.
        run_ids: The ids of the runs. Runs that do not exist are ignored.
    """
    numbers = find_numbers(session, entity, project, list(dict.fromkeys(run_ids)))
    names = {number: run_id for run_id, number in numbers.items()}
    cut: dict[str, tuple[str, int]] = {}  # the run and the first hidden step, by segment
    for number, segments in _read_segments(session, numbers.values()).items():
        starts = {each.segment: each.start_step for each in segments}
        for segment, before in newest_branch(segments):
            if before is not None:
                cut[segment] = (names[number], max(before, starts[segment]))
    found = []
    for some in slices(list(cut)):
        query = select(Segment.segment, Segment.state).where(Segment.segment.in_(some)).order_by(Segment.id)
        for segment, packed in session.execute(query):
            run_id, first = cut[segment]
            last = unpack_state(packed).last_step
            if last is not None and last >= first:
                found.append(AbandonedBranch(run_id, segment, first, last))
    return found


def _parts(session: Session, segment_ids: list[int], root: Path) -> dict[int, list[PartFile]]:
    found: dict[int, list[PartFile]] = defaultdict(list)
    for some in slices(segment_ids):
        query = (
            select(Part.segment_id, Part.id, Part.path, Part.rows)
            .where(Part.segment_id.in_(some))
            .order_by(Part.segment_id, Part.first_row, Part.id)
        )
        for segment_id, number, path, rows in session.execute(query):
            found[segment_id].append(PartFile(number, root / path, rows))
    return found


def _source(
    session: Session,
    run_id: str,
    number: int,
    shown: list[tuple[_Segment, int | None]],
    parts: dict[int, list[PartFile]],
    rank: int | None,
) -> RunSource:
    pieces, version, rows = [], [], 0
    for each, before in shown:
        of_segment = parts.get(each.id, [])
        read = partial(read_hot, session, each.id)
        pieces.append(HistorySource(of_segment, read, before, each.id, each.hot_count))
        rows += each.hot_count + sum(part.rows for part in of_segment)
        names = tuple(str(part.path) for part in of_segment)
        # The journal up to a position and the end of the writer determine the hot rows.
        hot_version = (
            each.segment,
            each.hot_count,
            each.hot_bytes,
            each.journal_index,
            each.offset,
            each.ended,
        )
        version.append((names, before, hot_version if each.hot_count else None))
    return RunSource(run_id, number, pieces, tuple(version), rows, rank)


class _Definitions(msgspec.Struct):
    """The fields of a segment's state that decide the x axes. The decoder skips the others."""

    metrics: dict[str, MetricDefined] = {}
    keys: msgspec.Raw = msgspec.Raw(b"\x80")


class DefinedKeys(NamedTuple):
    """A segment with the definitions of its metrics, and its history keys, packed."""

    view: SegmentView
    keys: msgspec.Raw


_STATE_COLUMNS: tuple[InstrumentedAttribute[Any], ...] = (
    *(Segment.run_id, Segment.segment, Segment.rank, Segment.attempt, Segment.started_at),
    Segment.state,
)
_decode = msgspec.msgpack.Decoder(_Definitions, ext_hook=read_extension).decode
decode_keys = msgspec.msgpack.Decoder(dict[str, KeyFacts]).decode


def read_definitions(session: Session, numbers: Sequence[int]) -> Iterator[tuple[int, list[DefinedKeys]]]:
    """Yield the segments of runs, with the number of the run in the catalog."""
    for some in slices(numbers):
        found: dict[int, list[DefinedKeys]] = {number: [] for number in some}
        query = select(*_STATE_COLUMNS).where(Segment.run_id.in_(some)).order_by(Segment.id)
        for number, segment, rank, attempt, started_at, packed in session.execute(query):
            definitions = _decode(packed)
            state = SegmentState(metrics=definitions.metrics)
            view = SegmentView(segment, rank, attempt, started_at, 0, None, state)
            found[number].append(DefinedKeys(view, definitions.keys))
        yield from found.items()


def find_axes(
    session: Session, sources: Sequence[RunSource], keys: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Return the x axis of each key, by run id and key, as ``define_metric`` named it (``step_metric``).

    The axis is ``_step`` for a key without a definition, and if the run has no numbers under the key that the
    definition names.

    Args:
        session: A read transaction.
        sources: The runs.
        keys: The keys.
    """
    names = {source.number: source.run_id for source in sources}
    return {names[at]: _axes(segments, keys) for at, segments in read_definitions(session, list(names))}


def _axes(segments: list[DefinedKeys], keys: Sequence[str]) -> dict[str, str]:
    definitions = merge_definitions_of(segments)
    if not any(each.step_metric for each in definitions.values()):
        return dict.fromkeys(keys, "_step")
    numeric = find_numeric_axes(definitions, [decode_keys(each.keys) for each in segments])
    rules = Rules(definitions)
    return {key: choose_axis(rules.find(key), numeric, key) for key in keys}


def merge_definitions_of(segments: Iterable[DefinedKeys]) -> dict[str, MetricDefined]:
    """Return the metric definitions of a run by name."""
    return define_metrics(order_segments(each.view for each in segments))


def find_numeric_axes(
    definitions: Mapping[str, MetricDefined], facts: Sequence[Mapping[str, KeyFacts]]
) -> frozenset[str]:
    """Return the axes that the definitions of a run name and that have numbers.

    Args:
        definitions: The metric definitions of the run.
        facts: The facts of the history keys, for each segment of the run.
    """
    wanted = {each.step_metric for each in definitions.values() if each.step_metric}
    return frozenset(
        axis for axis in wanted if axis in AXES or any(axis in each and each[axis].numbers for each in facts)
    )


def choose_axis(rule: MetricDefined | None, numeric: Collection[str], key: str) -> str:
    """Return the x axis of a key of one run: see ``find_axes``.

    Args:
        rule: The definition for the key, or None.
        numeric: The axes of the run that have numbers.
        key: The key.
    """
    axis = rule.step_metric if rule is not None else None
    return axis if axis and axis in numeric and axis != key else "_step"


def slices(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield the items in lists that are short enough for one query."""
    for first in range(0, len(items), IDS_AT_ONCE):
        yield items[first : first + IDS_AT_ONCE]
