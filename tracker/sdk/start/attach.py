"""``_attach``: logs to a run that another process has started, as with ``ddp_spawn``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tracker.capture.child_output import has_spool
from tracker.errors import UsageError
from tracker.ground.records import is_child
from tracker.sdk.process import active_runs
from tracker.sdk.process.shared_steps import StepFile
from tracker.sdk.process.writers import join_as_child
from tracker.sdk.start.init import init

if TYPE_CHECKING:
    from tracker.sdk.run.run import Run


# Last part of an ``_attach_id``: the rank, and the pid and file descriptor of the run's step counter.
_WRITER = re.compile(r"\d{1,10}(-\d{1,10}-\d{1,10})?", re.ASCII)


def attach(attach_id: str | None = None, run_id: str | None = None, *, run: Run | None = None) -> Run:
    """Attach this process to a run of another process, make it the active run, and return it.

    While the other process still writes, each row of either process takes the run's next step. Otherwise this
    process continues the run as its next attempt.

    Args:
        attach_id: The run's ``_attach_id``.
        run_id: Another name of ``attach_id``.
        run: The run itself, instead of its id.

    Raises:
        UsageError: No argument is given, or the id is not an ``_attach_id``.
    """
    found = attach_id or run_id or (run._attach_id if run is not None else None)
    if not found:
        raise UsageError("Either `attach_id` or `run_id` or `run` must be specified")
    path, at, store = found.partition("@")
    place = path.split("/")
    if not at or len(place) != 4 or _WRITER.fullmatch(place[3]) is None:
        raise UsageError(f"Unable to attach to run {found!r}. Use the _attach_id of a run.")
    entity, project, name, writer = place
    rank, *holder = map(int, writer.split("-"))
    for here in active_runs.open_runs():
        if here.path == "/".join(place[:3]):
            return here
    settings = {"store": store}
    if has_spool():  # the run's first process started this one and already captures its output
        settings["console"] = "off"
    with join_as_child(rank):
        handed_run = init(entity, project, id=name, resume="allow", reinit="create_new", settings=settings)
    if holder and is_child(handed_run.started.rank):
        file = StepFile.open(handed_run.path, *holder)
        if file is not None:
            handed_run.share_steps(file)
    return handed_run
