"""``Run``, the object that a script logs to.

A call such as ``log`` writes a record to the journal. A recorder process does the rest of the work.
"""

from __future__ import annotations

from typing import Any

from tracker.sdk.process.handover import pickle_arguments, unpickle_run
from tracker.sdk.run.alerts import Alerts
from tracker.sdk.run.artifact_methods import ArtifactMethods
from tracker.sdk.run.files import Files
from tracker.sdk.run.finish import FinishMethods
from tracker.sdk.run.log import LogMethods
from tracker.sdk.run.notebook_repr import NotebookRepr
from tracker.sdk.run.watch import WatchMethods

# Other modules of this package use these members. They are not for scripts.
INTERNAL = {
    "announce_preemption",
    "before_end",
    "capturing",
    "copy_row",
    "end_at_signal",
    "finished",
    "is_busy_here",
    "journal",
    "layout",
    "leave_to_parent",
    "lock",
    "media_sink",
    "note",
    "preempted",
    "record",
    "resume_file",
    "save_file",
    "save_path",
    "set_next_step",
    "share_steps",
    "show",
    "started",
}


class Run(LogMethods, WatchMethods, ArtifactMethods, Files, Alerts, NotebookRepr, FinishMethods):
    """A run that this process writes. ``init`` creates it.

    Several threads may use it at the same time. A forked child adds rows to the run's history, at the run's
    next steps. A child never finishes the run of its parent.
    """

    def __dir__(self) -> list[str]:
        """Return the members for scripts, without those that only this package uses."""
        return sorted(set(super().__dir__()) - INTERNAL)

    def __deepcopy__(self, memo: object) -> Run:
        """Return the run itself. A copy would be a second writer of the same rows."""
        return self

    def __copy__(self) -> Run:
        """Return the run itself."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the run by name. In another process, the first use of the unpickled run attaches to it."""
        return unpickle_run, pickle_arguments(self)

    def _label(self, *args: object, **kwargs: object) -> None:
        """Accept the telemetry that libraries report to wandb about themselves, and discard it."""
