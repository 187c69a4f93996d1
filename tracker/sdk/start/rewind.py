"""Going back in a run (``resume_from``), and branching off from it (``fork_from``)."""

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
    """Return what ``resume_from`` or ``fork_from`` says.

    Raises:
        UsageError: It is of another form.
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
    """Return where to go back to, and where to branch off.

    Raises:
        UsageError: They are of another form, or do not go together with one another or with the id.
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
    """What a run had up to a step.

    Attributes:
        rows: Its history rows, oldest first.
        config: Its config.
    """

    rows: list[dict[str, Any]]
    config: dict[str, Any]

    @property
    def runtime(self) -> float:
        """Seconds that the run had lasted by then."""
        return max((row.get("_runtime") or 0.0 for row in self.rows), default=0.0)


def read_rewound_history(settings: Settings, moment: RewindPoint) -> RewoundHistory:
    """Return what a run had up to a step.

    Raises:
        UsageError: There is no such run, or it has not come so far.
    """
    from tracker.errors import NotFoundError
    from tracker.reading.open_reader import open_reader

    reader = open_reader(settings)
    place = (settings.entity, settings.project, moment.run_id)
    try:
        found = reader.run(*place)
    except NotFoundError:
        raise UsageError(f"there is no run {'/'.join(place)} to go on from") from None
    last = -1 if found.last_step is None else found.last_step
    if moment.step > last:
        raise UsageError(f"run {'/'.join(place)} has no step {moment.step}: its last one is {last}")
    history = reader.history(*place, None, False)
    rows = [row for row in history if row["_step"] <= moment.step]
    return RewoundHistory(rows, found.config)


def rewind_run(run: Run, past: RewoundHistory) -> None:
    """Have the summary say again what it said at that step."""
    from tracker.runstate.fold import SegmentFold, SegmentState

    assert run.journal.known is not None
    folder = SegmentFold(SegmentState(metrics=run.journal.known.definitions))
    for at, row in enumerate(past.rows):
        data = {key: value for key, value in row.items() if not key.startswith("_")}
        folder.fold(Row(at, row["_step"], COMMIT, 0.0, data))
    now = run.summary._as_dict()
    before = {key: value for key, value in folder.state.summary.items() if now.get(key) != value}
    if before:
        run.record(SummaryChanged(to_plain(before)))


def copy_rows_before(run: Run, settings: Settings, moment: RewindPoint, past: RewoundHistory) -> None:
    """Begin a run with the rows of another one, and the media in them."""
    from tracker.reading.open_reader import open_reader

    for file in open_reader(settings).files(settings.entity, settings.project, moment.run_id):
        if file.path.startswith("media/"):
            run.record(FileSaved(file.path, file.sha256, file.size, file.mimetype))
    for row in past.rows:
        run.copy_row(row, past.runtime)
