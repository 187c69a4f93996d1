"""The run that artifacts belong to while one is active: where their files go, who writes their records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tracker.ground.settings import load_settings
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import make_folders

if TYPE_CHECKING:
    from tracker.artifacts.artifact import Artifact
    from tracker.ground.records import Record


class ActiveRun(Protocol):
    """What artifacts need of a run that is being written."""

    @property
    def layout(self) -> Layout | None:
        """The store or outbox that it writes to; None when nothing is kept."""

    def log_artifact(self, artifact_or_path: Artifact) -> Artifact:
        """Log a draft."""

    def record(self, record: Record) -> None:
        """Write a record to its journal."""


_active: ActiveRun | None = None


def use_run(run: ActiveRun | None) -> None:
    """Let this run be the active one; None: there is none any more."""
    global _active
    _active = run


def active_run() -> ActiveRun | None:
    """Return the active run."""
    return _active


def capture_layout() -> Layout:
    """Return where to put content now; the folders are there when this returns."""
    layout = (_active.layout if _active is not None else None) or Layout(load_settings().store)
    make_folders(layout)
    return layout
