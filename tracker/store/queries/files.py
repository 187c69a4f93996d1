"""A query for the files of a run: media and other saved files."""

from __future__ import annotations

import sys
from contextlib import suppress

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tracker.ground.file_pages import FilePage
from tracker.ground.read_models import FileInfo
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.packs import pieces_of
from tracker.store.catalog.models import Run, RunFile
from tracker.store.queries.visible import EVERYTHING, Visible


def run_files(
    blobs: BlobStore,
    session: Session,
    run: Run,
    prefix: str = "",
    offset: int = 0,
    limit: int | None = None,
    visible: Visible = EVERYTHING,
) -> FilePage:
    """Return files of a run, sorted by path.

    Args:
        blobs: The content of the store.
        session: A transaction.
        run: The run.
        prefix: Return only files whose path begins with this text.
        offset: The number of files to skip.
        limit: The largest number of files. None: all.
        visible: The projects that the caller sees. Storing a content again changes the time of its blob, also
            for another project: unless the caller sees all projects, the time is the last change of the run.
    """
    chosen = [RunFile.run_id == run.id]
    if prefix:  # the range of texts with this prefix, so that the index is used
        chosen += [RunFile.path >= prefix, RunFile.path < prefix + chr(sys.maxunicode)]
    total, size = session.execute(
        select(func.count(RunFile.path), func.coalesce(func.sum(RunFile.size), 0)).where(*chosen)
    ).one()
    query = select(RunFile).where(*chosen).order_by(RunFile.path).offset(offset).limit(limit)
    files = session.scalars(query).all()
    found = []
    pieces = pieces_of(session, [file.sha256 for file in files])
    for file in files:
        stored = None
        with suppress(FileNotFoundError):
            path = blobs.path(file.sha256)
            if file.sha256 in pieces and not path.exists():
                path = blobs.path(pieces[file.sha256].pack)
            stored = path.stat().st_mtime
            stored = stored if visible.everything else run.updated_at
        found.append(FileInfo(file.path, file.size, file.mimetype, file.sha256, stored))
    return FilePage(total, size, found)
