"""Moves of runs to other projects.

A run that has ended is moved. Its artifact versions stay in the project where it logged them. The Parquet
files stay in their folder: ``run.json`` and the catalog name them by their paths in the store.

The steps of a move are:

1. All segments are sealed: the description of the run is then complete.
2. ``locks/moving.json`` is published, so that other processes complete an interrupted move.
3. The move is added to ``moved.json`` of the former project.
4. ``run.json`` is published in the target. From here on, the run is in the target.
5. The transaction commits.
6. ``run.json`` of the former project and ``locks/moving.json`` are deleted.

After a crash before step 4, the next process that applies journals, or a rebuild, removes the move from
``moved.json``. After a later crash, it completes the move. Records of the run that come later follow
``moved.json``: see ``tracker.store.published.moves``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tracker.errors import ConflictError, UsageError
from tracker.ground.names import RunPath, check_entity, check_project
from tracker.store.catalog.locks import FileLock
from tracker.store.catalog.models import DeletedRun, Project, Run, RunField, Segment
from tracker.store.ingest.deletion import ended_segments, seal_segments
from tracker.store.ingest.run_row import count_change, find_or_make_project, note_change
from tracker.store.objects.checksummed_json import publish_checksummed
from tracker.store.objects.layout import Layout
from tracker.store.published.models import FORMAT, PublishedMove, PublishedMoves, read_published_model
from tracker.store.published.moves import has_run, read_moves
from tracker.store.published.runs import publish_run
from tracker.store.queries.runs import get_run
from tracker.store.store import Store

# A process that starts a writer of the run holds the lock for a moment.
PATIENCE_SECONDS = 10.0
_LOOK_SECONDS = 0.01


def move_run(
    store: Store, entity: str, project: str, run_id: str, to_entity: str | None, to_project: str
) -> None:
    """Move a run that has ended to another project. The project is created if it does not exist.

    Args:
        store: The store.
        entity: The entity of the run's project.
        project: The name of the run's project.
        run_id: The id of the run.
        to_entity: The entity of the target; None for the entity of the run's project.
        to_project: The name of the target.

    Raises:
        NotFoundError: The run does not exist.
        UsageError: A writer of the run has not ended, or records of the run wait to be applied. Or the
            target is invalid.
        ConflictError: The target has a run with this id.
    """
    place = (entity, project, run_id)
    target = (check_entity(entity if to_entity is None else to_entity), check_project(to_project), run_id)
    if target == place:
        raise UsageError(f"run {'/'.join(place)} is already in this project: name another project")
    finish_move(store)
    seal_segments(store, *place)
    with _lock_start(store.layout, place), store.writing() as session:
        run = get_run(session, *place)
        segments = ended_segments(session, run)
        if not all(segment.sealed for segment in segments):
            raise UsageError(
                f"records of run {'/'.join(place)} wait to be applied: apply them with `tracker sync`, then "
                "move the run"
            )
        if _find(session, target) is not None:
            raise ConflictError(
                f"run {'/'.join(target)} exists: delete it or move it away before you move "
                f"{'/'.join(place)} there"
            )
        # Later than the run's former moves, whatever the clock shows: ``find_place`` follows them in order.
        former = session.scalar(select(func.max(DeletedRun.deleted_at)).where(DeletedRun.run_id == run_id))
        moved_at = max(time.time(), math.nextafter(former or 0.0, math.inf))
        move = PublishedMove(moved_at, target[0], target[1], [each.segment for each in segments])
        store.check_lease()
        _publish(store.layout, store.layout.moving, place, [move])
        moves = [*read_moves(store.layout, place), move]
        _publish(store.layout, store.layout.moves(*place), place, moves)
        _relocate(store, session, run, move)
    finish_move(store)


def finish_move(store: Store) -> None:
    """Complete or undo a move whose process has ended before it was complete. Usually there is none."""
    while store.layout.moving.exists():
        with store.writing() as session:
            _finish(store, session)


def _finish(store: Store, session: Session) -> None:
    """Do the next step of the move that ``locks/moving.json`` describes."""
    layout = store.layout
    try:
        found = read_published_model(layout.moving, PublishedMoves)
    except FileNotFoundError:
        return  # another process has completed the move
    except ValueError:
        layout.moving.unlink(missing_ok=True)  # damaged, as after a power failure: nothing followed it
        return
    place, move = (found.entity, found.project, found.id), found.moves[0]
    run = session.scalar(
        select(Run).join(Segment, Segment.run_id == Run.id).where(Segment.segment.in_(move.segments)).limit(1)
    )
    if run is not None and (run.project.entity, run.project.name, run.run_id) == place:
        if has_run(layout, (move.entity, move.project, found.id), set(move.segments)):
            _relocate(store, session, run, move)
            return  # the next call deletes the files, after the commit
        undo_move(layout, place, move)
    elif _find(session, place) is None:
        store.check_lease()
        layout.run_file(*place).unlink(missing_ok=True)
    layout.moving.unlink(missing_ok=True)


def undo_move(layout: Layout, place: RunPath, move: PublishedMove) -> None:
    """Remove a move that did not happen from ``moved.json``.

    Args:
        layout: The paths of the store.
        place: Entity, project and id of the run.
        move: The move.
    """
    moves = [each for each in read_moves(layout, place) if each != move]
    if moves:
        _publish(layout, layout.moves(*place), place, moves)
    else:
        layout.moves(*place).unlink(missing_ok=True)


def _relocate(store: Store, session: Session, run: Run, move: PublishedMove) -> None:
    """Give a run its new project in the catalog, and publish the run there."""
    former = run.project
    project = find_or_make_project(session, move.entity, move.project, run.created_at)
    project.created_at = min(project.created_at, run.created_at)
    # Clients that follow the former project learn that the run is gone there.
    session.add(
        DeletedRun(
            entity=former.entity,
            project=former.name,
            run_id=run.run_id,
            name=run.name,
            deleted_at=move.time,
            keep_until=None,
            token="",
            revision=count_change(session),
        )
    )
    run.project = project
    session.flush()
    session.execute(update(RunField).where(RunField.run_id == run.id).values(project_id=project.id))
    note_change(session, run)
    publish_run(store.layout, session, run)


def _find(session: Session, place: RunPath) -> Run | None:
    entity, project, run_id = place
    query = select(Run).join(Project, Project.id == Run.project_id)
    return session.scalar(
        query.where(Project.entity == entity, Project.name == project, Run.run_id == run_id)
    )


def _publish(layout: Layout, path: Path, place: RunPath, moves: list[PublishedMove]) -> None:
    publish_checksummed(layout.new_temporary(), path, PublishedMoves(FORMAT, *place, moves))


@contextmanager
def _lock_start(layout: Layout, place: RunPath) -> Iterator[None]:
    """Lock a run while it is moved, so that no process on this host resumes it from its former project."""
    lock: FileLock | None = None
    with suppress(OSError):  # the file system does not support locks
        lock = FileLock(layout.starting_lock("/".join(place)))
        until = time.monotonic() + PATIENCE_SECONDS
        while not lock.try_exclusive() and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
    try:
        yield
    finally:
        if lock is not None:
            lock.close()
