"""``_attach``: go on, in another process, with a run that another one writes (``ddp_spawn``)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tracker.capture.child_output import has_spool
from tracker.errors import UsageError
from tracker.ground.records import is_child
from tracker.sdk.process import active_runs
from tracker.sdk.process.shared_steps import StepFile
from tracker.sdk.process.writers import handed
from tracker.sdk.start.init import init

if TYPE_CHECKING:
    from tracker.sdk.run.run import Run


# Of an ``_attach_id``: the rank, and of which process and descriptor the run's steps are.
_WRITER = re.compile(r"\d{1,10}(-\d{1,10}-\d{1,10})?", re.ASCII)


def attach(attach_id: str | None = None, run_id: str | None = None, *, run: Run | None = None) -> Run:
    """Go on with a run in this process, beside the one that handed it over, and make it the active one.

    What either logs takes the run's next step. Where the other writes no more, this is its next attempt.

    Args:
        attach_id: A run's ``_attach_id``.
        run_id: The same.
        run: Or the run itself.

    Raises:
        UsageError: Neither is given, or the text is no such id.
    """
    found = attach_id or run_id or (run._attach_id if run is not None else None)
    if not found:
        raise UsageError("Either `attach_id` or `run_id` or `run` must be specified")
    path, at, store = found.partition("@")
    place = path.split("/")
    if not at or len(place) != 4 or _WRITER.fullmatch(place[3]) is None:
        raise UsageError(f"Unable to attach to run {found}: give the _attach_id of a run")
    entity, project, name, writer = place
    rank, *holder = map(int, writer.split("-"))
    for here in active_runs.open_runs():
        if here.path == "/".join(place[:3]):
            return here
    settings = {"store": store}
    if has_spool():  # who began the run has started this process, and keeps what it prints
        settings["console"] = "off"
    with handed(rank):
        handed_run = init(entity, project, id=name, resume="allow", reinit="create_new", settings=settings)
    if holder and is_child(handed_run.started.rank):
        file = StepFile.open(handed_run.path, *holder)
        if file is not None:
            handed_run.share_steps(file)
    return handed_run
