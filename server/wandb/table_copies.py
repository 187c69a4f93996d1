"""The tables of runs whose cells have media.

The client writes only the names of media types into the table's file of the run. The media are in the
artifact that it logs with the table. The files of this artifact become files of the run too.
"""

from __future__ import annotations

import re
from mimetypes import guess_type

from sqlalchemy import select

from server.wandb.artifact_objects import entries_of
from tracker.ground.names import TABLE_SUFFIX, RunPath, table_copy_path
from tracker.ground.records import FileSaved
from tracker.store.catalog.models import RunFile
from tracker.store.queries.runs import get_run
from tracker.store.store import Store

_MEDIA = "media/"
# The types of the artifacts that the client makes of tables in rows. One of the second type has the parts of
# all steps, named by number, milliseconds and key.
_WHOLE, _INCREMENTAL = "run_table", "wandb-run-incremental-table"
_PART = re.compile(r"[^-]*-(\d+)\.")


def table_copies(
    store: Store, run: RunPath, artifact_type: str, client_id: str, manifest: str
) -> list[FileSaved]:
    """Return the files that a run gets from an artifact with a table of media; else none.

    Args:
        store: The store.
        run: The run that has logged the artifact.
        artifact_type: The type of the artifact.
        client_id: The client's id of the artifact.
        manifest: SHA-256 of the manifest of the version.
    """
    if artifact_type not in (_WHOLE, _INCREMENTAL):
        return []
    entries = {each.path: each for each in entries_of(store.blobs, manifest) if each.sha256}
    tables = sorted((path for path in entries if path.endswith(TABLE_SUFFIX)), key=_time)
    media = [path for path in entries if path.startswith(_MEDIA) and path not in tables]
    if not media:
        return []
    tables = tables[-1:] if artifact_type == _INCREMENTAL else tables
    targets = {path: path for path in media} | {path: table_copy_path(client_id, path) for path in tables}
    with store.reading() as session:
        query = select(RunFile.path, RunFile.sha256).where(RunFile.run_id == get_run(session, *run).id)
        known = {row.path: row.sha256 for row in session.execute(query)}
    found = []
    for path, target in targets.items():
        entry = entries[path]
        if known.get(target) == entry.sha256:
            continue
        if not store.blobs.touch(entry.sha256):  # the content is in a pack
            store.blobs.add_chunks(store.blobs.chunks(entry.sha256))
        store.blobs.sync(entry.sha256)
        mimetype = guess_type(path)[0] or "application/octet-stream"
        found.append(FileSaved(target, entry.sha256, entry.size, mimetype))
    return found


def _time(path: str) -> int:
    part = _PART.match(path)
    return int(part[1]) if part is not None else 0
