"""Choosing which writer of a run a process becomes: its rank, its attempt, and its first step."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tracker.ground.clock import now
from tracker.ground.records import CHILD, FORKED, writer_rank
from tracker.reading.resume_state import ResumeState
from tracker.store.catalog.locks import FileLock
from tracker.store.objects.layout import Layout

if TYPE_CHECKING:
    from tracker.runstate.merge import SegmentView

# Variables with the global rank: of torchrun and accelerate, Open MPI, MPICH and Intel MPI, and srun. MPI
# comes before SLURM: processes that mpirun starts on a node inherit SLURM_PROCID from srun's single process.
_RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
# Looking for a run and opening it takes milliseconds. After this many seconds, continue without the lock.
LOCK_TIMEOUT_SECONDS = 5.0


class Launch(NamedTuple):
    """This process as its launcher describes it.

    Attributes:
        rank: Global rank; 0 without a launcher.
        distributed: Whether the process is known to be one of several that do one job together. Tasks of
            ``srun`` or ``mpirun`` may be independent of each other.
    """

    rank: int
    distributed: bool


# The rank that this process continues; set inside `continue_rank` and `join_as_child`.
_continued_rank: ContextVar[int | None] = ContextVar("continued_rank", default=None)


@contextmanager
def continue_rank(rank: int) -> Iterator[None]:
    """Make a run that is opened in this context the next attempt of a rank, even if that rank still writes.

    Args:
        rank: The rank.
    """
    token = _continued_rank.set(rank)
    try:
        yield
    finally:
        _continued_rank.reset(token)


# The rank of the writer whose run this process was handed; set inside `join_as_child`.
_parent_rank: ContextVar[int | None] = ContextVar("parent_rank", default=None)


@contextmanager
def join_as_child(rank: int) -> Iterator[None]:
    """Make a run that is opened in this context a child of a writer, if that writer still writes.

    Args:
        rank: Rank of the writer.
    """
    token, outer = _parent_rank.set(rank), _continued_rank.set(rank)
    try:
        yield
    finally:
        _parent_rank.reset(token)
        _continued_rank.reset(outer)


class Writer(NamedTuple):
    """The writer of a run that a process becomes.

    Attributes:
        rank: Its rank.
        attempt: Its attempt.
        start_step: Its first step; 0 unless it continues the run.
        runtime_base: Duration of the run so far, in seconds; 0 unless it continues the run.
        resumes: Whether it continues earlier rows, instead of only writing next to other writers.
        additional: Whether it has another rank than the launcher gave, because that rank still writes.
    """

    rank: int = 0
    attempt: int = 0
    start_step: int = 0
    runtime_base: float = 0.0
    resumes: bool = False
    additional: bool = False


def find_launch(environment: Mapping[str, str]) -> Launch:
    """Return the launcher's description of this process from the environment variables."""
    if (rank := _continued_rank.get()) is not None:
        return Launch(rank, True)
    for name in _RANKS:
        rank = _number(environment, name)
        if rank is None or (name == "SLURM_PROCID" and _slurm_tasks(environment) < 2):
            continue
        return Launch(rank, name == "RANK" and (_number(environment, "WORLD_SIZE") or 0) > 1)
    return Launch(0, False)


def find_writer(known: ResumeState, launch: Launch) -> Writer:
    """Return the writer that this process becomes in an existing run.

    If the process's rank does not write any more, this is the next attempt of the rank. If it still writes on
    this host, this is a new rank, because rows of one rank never hide rows of another. A run that has always
    had one writer keeps its rank, even if the launcher gives another rank this time.

    Args:
        known: State of the run.
        launch: This process as its launcher describes it.
    """
    segments = known.segments.values()
    ranks = {each.rank for each in segments if each.rank < FORKED}
    rank = launch.rank
    additional = _continued_rank.get() is None and any(
        each.segment in known.here for each in segments if each.rank == rank
    )
    if additional:
        rank = max(ranks) + 1
    elif len(ranks) == 1 and not launch.distributed and all(each.ended for each in segments):
        rank = min(ranks)
    own = [each for each in segments if writer_rank(each.rank) == rank]
    primary = [each for each in segments if writer_rank(each.rank) == known.primary]
    newest = max(primary, key=lambda each: (each.rank == known.primary, each.attempt))
    if own:
        attempt = max(each.attempt for each in own) + 1
        family = [each for each in own if each.attempt == attempt - 1]
        # The run may have been handed over by the writer or by one of its children.
        lives = any(each.ended is None or each.segment in known.here for each in family)
        if _parent_rank.get() is not None and lives:
            parent = min(family, key=lambda each: each.rank)
            return Writer(CHILD + rank, parent.attempt, *_after_live_writer(parent, own), True)
        return Writer(rank, attempt, *_after_attempts(own), True)
    if newest.ended:  # a new rank starts together with the next attempt of the primary writer
        return Writer(rank, 0, *_after_attempts(primary), True)
    started = newest.state.started
    return Writer(rank, 0, newest.start_step, started.runtime_base if started else 0.0, False, additional)


@contextmanager
def lock_run_start(layout: Layout, run: tuple[str, str, str]) -> Iterator[None]:
    """Lock a run on this host while a process looks for it and opens it as a writer.

    Without the lock, several processes might choose the same rank.

    Args:
        layout: The store or outbox.
        run: Entity, project and id of the run.
    """
    lock = _lock(layout.starting_lock("/".join(run)))
    try:
        yield
    finally:
        if lock is not None:
            lock.close()


def _lock(path: Path) -> FileLock | None:
    try:
        lock = FileLock(path)
        until, pause = time.monotonic() + LOCK_TIMEOUT_SECONDS, 0.002
        while not lock.try_exclusive() and time.monotonic() < until:
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
    except OSError:
        return None  # the file system does not support locks
    return lock


def _after_live_writer(parent: SegmentView, own: list[SegmentView]) -> tuple[int, float]:
    """Return the step after all steps of a live writer, and the current duration of the run in seconds."""
    step, runtime = _after_attempts(own)
    started = parent.state.started
    return step, runtime if started is None else started.runtime_base + max(0.0, now() - started.time)


def _after_attempts(attempts: list[SegmentView]) -> tuple[int, float]:
    """Return the step after all of a writer's attempts, and the duration of the run with them in seconds."""
    steps = [step for each in attempts if (step := each.state.reached) is not None]
    return max(steps, default=-1) + 1, max(each.state.runtime for each in attempts)


def _slurm_tasks(environment: Mapping[str, str]) -> int:
    return _number(environment, "SLURM_STEP_NUM_TASKS") or _number(environment, "SLURM_NTASKS") or 1


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and int(text) < FORKED else None
