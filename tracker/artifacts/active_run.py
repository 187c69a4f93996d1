"""The active run of this process, which stores the files and writes the records of artifacts."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from tracker.errors import StoreError, UsageError
from tracker.ground.settings import load_settings
from tracker.reading.open_reader import use_spool
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
    """Return the store, outbox or spool for new contents. Its folders are created."""
    layout = _active.layout if _active is not None else None
    if layout is None:
        settings = load_settings()
        layout = Layout(settings.store)
        make_folders(layout)
        if settings.spool is not None:
            with suppress(StoreError, UsageError):  # `init` reports it
                return use_spool(settings)
    make_folders(layout)
    return layout
