"""A run that is handed over to a process (``ddp_spawn``), and that this one goes on with afterwards.

History shows one branch of a rank: each attempt from where it begins to where the next one does. So who
attaches is the next attempt of the rank that handed the run over, and the next row there begins one more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracker.reading.known import find_run
from tracker.sdk import active
from tracker.sdk.steps import Place, StepCounter
from tracker.sdk.writers import taking_over

if TYPE_CHECKING:
    from tracker.sdk.core import RunCore


def hand_over(run: RunCore) -> None:
    """Let the next row of a run stand behind what others log to it until then."""
    if run.layout is not None and type(run._steps) is StepCounter:
        run._steps = _Later(run, run._steps)


class _Later(StepCounter):
    """Finds out where the run has got to when the next row is to be placed."""

    def __init__(self, run: RunCore, before: StepCounter) -> None:
        self.state = before.state
        self._run = run

    def place(self, step: int | None = None, commit: bool | None = None) -> Place:
        before = StepCounter()
        before.state = self.state
        self._run._steps = before
        _go_on(self._run)
        return self._run._steps.place(step, commit)


def _go_on(run: RunCore) -> None:
    """Begin a further attempt, if somebody has gone on with the run."""
    from tracker.sdk.opening import find_and_open

    started, journal = run._started, run._journal
    assert journal.layout is not None
    place = (run.entity, run.project, run.id)
    known = find_run(journal.layout, *place, active.segments_of_this_process())
    attempts = (
        [each.attempt for each in known.segments.values() if each.rank == started.rank] if known else []
    )
    if max(attempts, default=0) <= started.attempt:
        return
    with taking_over(started.rank):
        next_one = find_and_open(journal.settings, journal.layout, run.id, {}, "allow")
    run._started, run._journal, run._steps = next_one._started, next_one._journal, next_one._steps
    run._journal.lock = run._lock
    journal.close()
