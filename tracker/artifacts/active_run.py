"""The active run of this process, which stores the files and writes the records of artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tracker.ground.settings import load_settings
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import make_folders

if TYPE_CHECKING:
    from tracker.artifacts.artifact import Artifact
    from tracker.ground.records import Record


class ActiveRun(Protocol):
    """The part of a run that artifacts use."""

    @property
    def layout(self) -> Layout | None:
        """The store or outbox of the run; None for a disabled run."""

    def log_artifact(self, artifact_or_path: Artifact) -> Artifact:
        """Log a draft; return the artifact."""

    def record(self, record: Record) -> None:
        """Write a record to the journal of the run."""


_active: ActiveRun | None = None


def use_run(run: ActiveRun | None) -> None:
    """Set the active run; None to unset it."""
    global _active
    _active = run


def active_run() -> ActiveRun | None:
    """Return the active run, or None."""
    return _active


def capture_layout() -> Layout:
    """Return the store or outbox for new contents. Its folders are created."""
    layout = (_active.layout if _active is not None else None) or Layout(load_settings().store)
    make_folders(layout)
    return layout
