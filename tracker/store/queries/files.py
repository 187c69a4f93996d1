"""Files of a run: media, and whatever else was saved with it."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy.orm import Session

from tracker.answers import FileInfo
from tracker.store.blobs import BlobStore
from tracker.store.models import Run
from tracker.store.queries.media import list_files


def run_files(blobs: BlobStore, session: Session, run: Run) -> list[FileInfo]:
    """Return a run's files by path."""
    found = []
    for file in list_files(session, run):
        stored = None
        with suppress(FileNotFoundError):
            stored = blobs.path(file.sha256).stat().st_mtime
        found.append(FileInfo(file.path, file.size, file.mimetype, file.sha256, stored))
    return found
