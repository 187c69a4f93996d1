"""Rewinding a run (``resume_from``), and starting a new run from a copy of another (``fork_from``)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from tracker.errors import SettingsError, UsageError
from tracker.ground.records import COMMIT, FileSaved, Row, SummaryChanged
from tracker.ground.values import to_plain

if TYPE_CHECKING:
    from tracker.ground.settings import Settings
    from tracker.sdk.run.run import Run

_MOMENT = re.compile(r"([^?/]+)\?_step=(\d+)(?:\.0*)?")


class RewindPoint(NamedTuple):
    """A step of a run: ``ID?_step=N``."""

    run_id: str
    step: int


def parse_rewind_point(text: object, argument: str) -> RewindPoint:
    """Return the value of ``resume_from`` or ``fork_from`` as a run id and a step.

    Args:
        text: The value.
        argument: Name of the argument, for the message.

    Raises:
        UsageError: The value does not have the form ``ID?_step=N``.
    """
    found = _MOMENT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise SettingsError(
            f"{argument} is {text!r}: Could not parse passed run moment string, expected format "
            "'<run>?_step=<number>', such as 'ans3bsax?_step=123'. Only the metric '_step' is supported."
        )
    return RewindPoint(found[1], int(found[2]))


def check_rewind_arguments(
    run_id: str | None, resume: object, resume_from: object, fork_from: object
) -> tuple[RewindPoint | None, RewindPoint | None]:
    """Return the points of ``resume_from`` and ``fork_from``; None for an argument that is not given.

    Args:
        run_id: The argument ``id`` of ``init``.
        resume: The argument ``resume`` of ``init``.
        resume_from: The run and step to continue from.
        fork_from: The run and step at which to start a copy.

    Raises:
        UsageError: A value does not have the form ``ID?_step=N``, or the arguments exclude each other.
    """
    if sum(each not in (None, False) for each in (resume, resume_from, fork_from)) > 1:
        raise SettingsError(
            "`fork_from`, `resume`, or `resume_from` are mutually exclusive. Please specify only one of them."
        )
    back = None if resume_from is None else parse_rewind_point(resume_from, "resume_from")
    fork = None if fork_from is None else parse_rewind_point(fork_from, "fork_from")
    if back is not None and run_id not in (None, back.run_id):
        raise SettingsError("Both `run_id` and `resume_from` have been specified with different ids.")
    if fork is not None and run_id == fork.run_id:
        raise SettingsError(
            "Provided `run_id` is the same as the run to `fork_from`. Please provide a different `run_id` or "
            "remove the `run_id` argument. If you want to rewind the current run, please use `resume_from`."
        )
    return back, fork


class RewoundHistory(NamedTuple):
    """The history and config of a run up to a step.

    Attributes:
        rows: Its history rows, oldest first.
        config: Its config.
    """

    rows: list[dict[str, Any]]
    config: dict[str, Any]

    @property
    def runtime(self) -> float:
        """Duration of the run up to the step, in seconds."""
        return max((row.get("_runtime") or 0.0 for row in self.rows), default=0.0)


def read_rewound_history(settings: Settings, moment: RewindPoint) -> RewoundHistory:
    """Return the history and config of a run up to a step.

    Raises:
        UsageError: The run does not exist, or has not reached the step.
    """
    from tracker.errors import NotFoundError
    from tracker.reading.open_reader import open_reader

    reader = open_reader(settings)
    place = (settings.entity, settings.project, moment.run_id)
    try:
        found = reader.run(*place)
    except NotFoundError:
        raise UsageError(f"Run {'/'.join(place)} does not exist. Check the id.") from None
    last = -1 if found.last_step is None else found.last_step
    if moment.step > last:
        raise UsageError(f"Run {'/'.join(place)} has no step {moment.step}. Its last step is {last}.")
    history = reader.history(*place, None, False)
    rows = [row for row in history if row["_step"] <= moment.step]
    return RewoundHistory(rows, found.config)


def rewind_run(run: Run, past: RewoundHistory) -> None:
    """Reset the run's summary to its values at the step where ``past`` ends."""
    from tracker.runstate.fold import SegmentFold, SegmentState

    assert run.journal.known is not None
    fold = SegmentFold(SegmentState(metrics=run.journal.known.definitions))
    for at, row in enumerate(past.rows):
        data = {key: value for key, value in row.items() if not key.startswith("_")}
        fold.fold(Row(at, row["_step"], COMMIT, 0.0, data))
    now = run.summary._as_dict()
    before = {key: value for key, value in fold.state.summary.items() if now.get(key) != value}
    if before:
        run.record(SummaryChanged(to_plain(before)))


def copy_rows_before(run: Run, settings: Settings, moment: RewindPoint, past: RewoundHistory) -> None:
    """Copy the rows of another run, and their media, to the beginning of a new run.

    Args:
        run: The new run.
        settings: Settings with the entity and project of the other run.
        moment: The other run, and its last step to copy.
        past: History of the other run up to that step.
    """
    from tracker.reading.open_reader import open_reader

    for file in open_reader(settings).files(settings.entity, settings.project, moment.run_id):
        if file.path.startswith("media/"):
            run.record(FileSaved(file.path, file.sha256, file.size, file.mimetype))
    for row in past.rows:
        run.copy_row(row, past.runtime)
