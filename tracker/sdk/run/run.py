"""``Run``: what a script logs to. Every call is a record; nothing else happens on its thread."""

from __future__ import annotations

from typing import Any

from tracker.sdk.process.handover import given, handed
from tracker.sdk.run.alerts import Alerts
from tracker.sdk.run.artifact_methods import ArtifactMethods
from tracker.sdk.run.files import Files
from tracker.sdk.run.finish import Life
from tracker.sdk.run.log import LogMethods
from tracker.sdk.run.notebook_repr import NotebookRepr
from tracker.sdk.run.watch import WatchMethods

# Used by other modules of this package, and of no use to a script.
INTERNAL = {
    "before_end",
    "capturing",
    "copy_row",
    "end_at_signal",
    "finished",
    "continue_at",
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
    "share_steps",
    "show",
    "started",
}


class Run(LogMethods, WatchMethods, ArtifactMethods, Files, Alerts, NotebookRepr, Life):
    """A run that is being written; made by ``init``.

    Safe to use from several threads. In a forked child, what is logged goes to a segment of the
    child's own, at the run's next step, and the parent's run is never finished from there.
    """

    def __dir__(self) -> list[str]:
        """Return what a script may use: the package's other modules use more."""
        return sorted(set(super().__dir__()) - INTERNAL)

    def __deepcopy__(self, memo: object) -> Run:
        """Return the run itself: a copy of it would be a second writer of the same rows."""
        return self

    def __copy__(self) -> Run:
        """Return the run itself."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the run as its name: in another process the first use of the copy attaches to the run."""
        return given, handed(self)

    def _label(self, *args: object, **kwargs: object) -> None:
        """Accept what libraries tell wandb's telemetry of themselves; nothing of it is kept."""
