"""A query for the files of a run: media and other saved files."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy.orm import Session

from tracker.ground.read_models import FileInfo
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.packs import pieces_of
from tracker.store.catalog.models import Run
from tracker.store.queries.media import list_files


def run_files(blobs: BlobStore, session: Session, run: Run) -> list[FileInfo]:
    """Return the files of a run, sorted by path.

    Args:
        blobs: The content of the store.
        session: A transaction.
        run: The run.
    """
    found = []
    files = list_files(session, run)
    pieces = pieces_of(session, [file.sha256 for file in files])
    for file in files:
        stored = None
        with suppress(FileNotFoundError):
            path = blobs.path(file.sha256)
            if file.sha256 in pieces and not path.exists():
                path = blobs.path(pieces[file.sha256].pack)
            stored = path.stat().st_mtime
        found.append(FileInfo(file.path, file.size, file.mimetype, file.sha256, stored))
    return found
