"""``_attach``: go on, in another process, with a run that this one's parent began (``ddp_spawn``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracker.capture.children import has_spool
from tracker.errors import UsageError
from tracker.sdk.process import active
from tracker.sdk.process.writers import taking_over
from tracker.sdk.start.init import init

if TYPE_CHECKING:
    from tracker.sdk.run.run import Run


def attach(attach_id: str | None = None, run_id: str | None = None, *, run: Run | None = None) -> Run:
    """Continue a run in this process, as its writer's next attempt, and make it the active one.

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
    if not at or len(place) != 4 or not place[3].isdecimal():
        raise UsageError(f"Unable to attach to run {found}: give the _attach_id of a run")
    entity, project, name, rank = place
    here = active.current_of_this_process()
    if here is not None and here.path == "/".join(place[:3]):
        return here
    settings = {"store": store}
    if has_spool():  # who began the run has started this process, and keeps what it prints
        settings["console"] = "off"
    with taking_over(int(rank)):
        return init(entity, project, id=name, resume="allow", reinit="create_new", settings=settings)
