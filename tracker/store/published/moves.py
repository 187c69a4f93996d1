"""``moved.json``: where the runs with an id were moved from a project. Records of a run follow its moves.

A run is in the project of the newest ``run.json`` that has its segments. During a move, the run's file exists
in both projects; then the one in the target is valid.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING

from tracker.ground.names import RunPath
from tracker.ground.records import RunStarted
from tracker.store.objects.layout import Layout

if TYPE_CHECKING:
    from tracker.store.published.models import PublishedDeletion, PublishedMove, PublishedRun


def find_place(layout: Layout, started: RunStarted, segment: str) -> RunPath | None:
    """Return the entity, the project and the id of the run of a segment; None if the run was deleted.

    The run is the one with the recorded name at the time when the segment began, wherever it was moved since.

    Args:
        layout: The paths of the store.
        started: The first record of the segment.
        segment: Id of the segment.
    """
    return _follow(layout, (started.entity, started.project, started.run_id), started.time, segment)


def is_of_run(layout: Layout, started: RunStarted, segment: str, run: RunPath) -> bool:
    """Return whether a segment belongs to a run. For a deleted run, the recorded name decides.

    Args:
        layout: The paths of the store.
        started: The first record of the segment.
        segment: Id of the segment.
        run: Entity, project and id of the run.
    """
    if started.run_id != run[2]:
        return False
    named = (started.entity, started.project, started.run_id)
    return (find_place(layout, started, segment) or named) == run


def place_at(layout: Layout, run: RunPath, time: float, segment: str) -> RunPath | None:
    """Return where a run is that had a name at a time; None if it was deleted.

    Args:
        layout: The paths of the store.
        run: Entity, project and id that the run had.
        time: A time when the run had this name, in unix seconds.
        segment: A segment of the run.
    """
    return _follow(layout, run, time, segment)


def moved_place(layout: Layout, run: RunPath) -> RunPath | None:
    """Return where the run is that was moved last from a project; None without such a run.

    Args:
        layout: The paths of the store.
        run: Entity, project and id that the run had before the move.
    """
    moves = read_moves(layout, run)
    if not moves:
        return None
    newest = moves[-1]
    deletion = _read_deletion(layout, run)
    if deletion is not None and deletion.time > newest.time:
        return None  # a newer run with this id was deleted
    return _follow(layout, (newest.entity, newest.project, run[2]), newest.time, arrived=True)


def _follow(
    layout: Layout, run: RunPath, time: float, segment: str | None = None, *, arrived: bool = False
) -> RunPath | None:
    """Follow the moves of a run. The time grows with each move, so a run that was moved back is found.

    Args:
        layout: The paths of the store.
        run: Entity, project and id of the run at the time.
        time: The time in unix seconds.
        segment: A segment of the run. It names the run's move more exactly than the time.
        arrived: Whether the run was moved here at exactly this time.
    """
    while True:
        moves, deletion = read_moves(layout, run), _read_deletion(layout, run)
        named = [each for each in moves if segment in each.segments]
        later = [each for each in moves if each.time > time or (each.time == time and not arrived)]
        move = next(iter(named or later), None)
        if deletion is not None and (move is None or deletion.time < move.time):
            later_deleted = deletion.time > time or (deletion.time == time and not arrived)
            if later_deleted or segment in deletion.segments:
                return None
        if move is None:
            return run
        run, time, segment, arrived = (move.entity, move.project, run[2]), move.time, None, True


def read_moves(layout: Layout, run: RunPath) -> list[PublishedMove]:
    """Return the moves of the runs with a name, the oldest first; none if the file is missing or damaged."""
    path = layout.moves(*run)
    if path.exists():  # most runs are never moved, and need no import
        from tracker.store.published.models import PublishedMoves, read_published_model

        with suppress(FileNotFoundError, ValueError):
            return read_published_model(path, PublishedMoves).moves
    return []


def is_superseded(layout: Layout, run: PublishedRun) -> bool:
    """Return whether the file of a run is left over from an interrupted move: the target has the run."""
    own = {each.segment for each in run.segments}
    for move in read_moves(layout, (run.entity, run.project, run.id)):
        if own.intersection(move.segments) and has_run(layout, (move.entity, move.project, run.id), own):
            return True
    return False


def has_run(layout: Layout, run: RunPath, segments: set[str]) -> bool:
    """Return whether the published file of a run has one of the segments.

    Args:
        layout: The paths of the store.
        run: Entity, project and id of the run.
        segments: Ids of segments.
    """
    from tracker.store.published.models import PublishedRun, read_published_model

    with suppress(FileNotFoundError, ValueError):
        published = read_published_model(layout.run_file(*run), PublishedRun)
        return any(each.segment in segments for each in published.segments)
    return False


def is_covered(named: Collection[str], deleted_at: float, segments: set[str], started_at: float) -> bool:
    """Return whether a tombstone is that of a run, and not of another run with the same id.

    Args:
        named: The segments in the tombstone.
        deleted_at: The time in the tombstone.
        segments: The segments of the run.
        started_at: The start of the run's newest segment, in unix seconds. It decides if the tombstone does
            not name segments, as those of older trackers.
    """
    return segments <= set(named) if named else started_at <= deleted_at


def _read_deletion(layout: Layout, run: RunPath) -> PublishedDeletion | None:
    path = layout.tombstone(*run)
    if path.exists():
        from tracker.store.published.models import PublishedDeletion, read_published_model

        with suppress(FileNotFoundError, ValueError):
            return read_published_model(path, PublishedDeletion)
    return None
