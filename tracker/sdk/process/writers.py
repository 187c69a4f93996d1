"""Which of a run's writers a process is: its rank, its attempt, and where that begins."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tracker.ground.clock import now
from tracker.ground.records import CHILD, FORKED, writer_rank
from tracker.reading.resume_state import ResumeState
from tracker.store.catalog.locks import FileLock
from tracker.store.objects.layout import Layout

if TYPE_CHECKING:
    from tracker.runstate.merge import SegmentView

# What torchrun and accelerate, Open MPI, MPICH and Intel MPI, and srun call the global rank. MPI goes before
# SLURM: what mpirun starts on a node inherits the SLURM_PROCID of the one process that srun started there.
_RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
# Looking for a run and beginning it takes milliseconds; who waits longer begins without the lock.
PATIENCE = 5.0


class Launch(NamedTuple):
    """What the launcher says of this process.

    Attributes:
        rank: Its global rank, 0 without a launcher.
        distributed: It is known to be one of several that work on one thing. A task of ``srun`` or ``mpirun``
            may as well do something of its own.
    """

    rank: int
    distributed: bool


# The rank that this process takes over, while it does.
_taken: ContextVar[int | None] = ContextVar("taken", default=None)


@contextmanager
def taking_over(rank: int) -> Iterator[None]:
    """Make who begins to write a run meanwhile the next attempt of a rank, whether or not that one lives."""
    token = _taken.set(rank)
    try:
        yield
    finally:
        _taken.reset(token)


# The rank of the run that this process is handed, while it begins to write it.
_handed: ContextVar[int | None] = ContextVar("handed", default=None)


@contextmanager
def handed(rank: int) -> Iterator[None]:
    """Make who begins to write a run meanwhile a child of its writer, while that one writes."""
    token, outer = _handed.set(rank), _taken.set(rank)
    try:
        yield
    finally:
        _handed.reset(token)
        _taken.reset(outer)


class Writer(NamedTuple):
    """Which writer of a run a process is to be.

    Attributes:
        rank: Its rank.
        attempt: Its attempt.
        start_step: First step that it gives, when it continues the run.
        runtime_base: Seconds that the run has lasted before, when it continues the run.
        resumes: There is something that it continues: it does not only write beside others.
        beside: It is not what it was launched as, because that one still writes.
    """

    rank: int = 0
    attempt: int = 0
    start_step: int = 0
    runtime_base: float = 0.0
    resumes: bool = False
    beside: bool = False

    @property
    def place(self) -> dict[str, Any]:
        """The fields of ``RunStarted`` that say so."""
        return {name: getattr(self, name) for name in ("rank", "attempt", "start_step", "runtime_base")}


def find_launch(environment: Mapping[str, str]) -> Launch:
    """Return what the launcher of this process says of it."""
    if (taken := _taken.get()) is not None:
        return Launch(taken, True)
    for name in _RANKS:
        rank = _number(environment, name)
        if rank is None or (name == "SLURM_PROCID" and _slurm_tasks(environment) < 2):
            continue
        return Launch(rank, name == "RANK" and (_number(environment, "WORLD_SIZE") or 0) > 1)
    return Launch(0, False)


def find_writer(known: ResumeState, launch: Launch) -> Writer:
    """Return which writer of a run that exists this process is.

    A rank's next attempt, once its last has ended. While that still writes on this host, a further
    rank: between writers nothing hides anything. A run that has always had one writer goes on with
    the same rank, wherever a launcher put it this time.
    """
    segments = known.segments.values()
    ranks = {each.rank for each in segments if each.rank < FORKED}
    rank = launch.rank
    beside = _taken.get() is None and any(
        each.segment in known.here for each in segments if each.rank == rank
    )
    if beside:
        rank = max(ranks) + 1
    elif len(ranks) == 1 and not launch.distributed and all(each.ended for each in segments):
        rank = min(ranks)
    own = [each for each in segments if writer_rank(each.rank) == rank]
    primary = [each for each in segments if writer_rank(each.rank) == known.primary]
    newest = max(primary, key=lambda each: (each.rank == known.primary, each.attempt))
    if own:
        attempt = max(each.attempt for each in own) + 1
        family = [each for each in own if each.attempt == attempt - 1]
        # While the writer or one of its children lives: who hands the run over may be either.
        lives = any(each.ended is None or each.segment in known.here for each in family)
        if _handed.get() is not None and lives:
            parent = min(family, key=lambda each: each.rank)
            return Writer(CHILD + rank, parent.attempt, *_beside(parent, own), True)
        return Writer(rank, attempt, *_reached(own), True)
    if newest.ended:  # a rank that the older attempts did not have begins with the primary's next one
        return Writer(rank, 0, *_reached(primary), True)
    started = newest.state.started
    return Writer(rank, 0, newest.start_step, started.runtime_base if started else 0.0, False, beside)


@contextmanager
def one_at_a_time(layout: Layout, run: tuple[str, str, str]) -> Iterator[None]:
    """Keep this host's processes from looking for a run all at once and beginning one writer of it each."""
    lock = _lock(layout.starting_lock("/".join(run)))
    try:
        yield
    finally:
        if lock is not None:
            lock.close()


def _lock(path: Path) -> FileLock | None:
    try:
        lock = FileLock(path)
        until, pause = time.monotonic() + PATIENCE, 0.002
        while not lock.try_exclusive() and time.monotonic() < until:
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
    except OSError:
        return None  # a file system without locks
    return lock


def _beside(parent: SegmentView, own: list[SegmentView]) -> tuple[int, float]:
    """Return the step behind all that a live writer has logged, and how long the run has lasted now."""
    step, runtime = _reached(own)
    started = parent.state.started
    return step, runtime if started is None else started.runtime_base + max(0.0, now() - started.time)


def _reached(attempts: list[SegmentView]) -> tuple[int, float]:
    """Return the step behind all of a writer's attempts, and how long the run had lasted with them."""
    steps = [step for each in attempts if (step := each.state.reached) is not None]
    return max(steps, default=-1) + 1, max(each.state.runtime for each in attempts)


def _slurm_tasks(environment: Mapping[str, str]) -> int:
    return _number(environment, "SLURM_STEP_NUM_TASKS") or _number(environment, "SLURM_NTASKS") or 1


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and int(text) < FORKED else None
