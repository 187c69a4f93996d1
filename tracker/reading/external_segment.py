"""Saying something of a run from outside: a segment of its own beside those of its writers, ended at once.

It goes the way of all journals: applied here, or sent to the server. A crash loses nothing that was written,
a rebuild finds it, and no writer of the run is disturbed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from tracker.errors import CommError
from tracker.ground.names import RunPath
from tracker.ground.processes import host_name, this_process
from tracker.ground.records import OUTSIDE, FileSaved, Record, RunFinished, RunStarted, pack
from tracker.journal.writer import JournalWriter
from tracker.reading.reader import Reader
from tracker.store.blobs.content import CHUNK, BlobStore
from tracker.store.catalog.locks import shared
from tracker.store.objects.atomic_files import make_folder
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import require_writable


def append_records(reader: Reader, run_path: RunPath, records: Sequence[Record]) -> None:
    """Record something of a run that exists; it can be read when this returns.

    Raises:
        ReadOnlyError: The store may only be read.
        CommError: A server did not take it now; it is kept here, and sent later.
    """
    _carry(reader, _write(reader.journals(), run_path, records, OUTSIDE, None))


def begin_run(reader: Reader, run_path: RunPath, name: str) -> None:
    """Make a run without rows that somebody may resume; until then it has finished.

    Raises:
        ReadOnlyError: The store may only be read.
        CommError: A server did not take it now; it is kept here, and sent later.
    """
    _carry(reader, _write(reader.journals(), run_path, (), 0, name))


def add_file(reader: Reader, run_path: RunPath, path: str, source: Path) -> None:
    """Add a file to a run that exists, or another content for one that it has.

    Args:
        reader: Where the run is.
        run_path: Entity, project and id of the run.
        path: The file's name in the run.
        source: Where its content is read from.

    Raises:
        OSError: It cannot be read.
        ReadOnlyError: The store may only be read.
        CommError: A server did not take it now; it is kept here, and sent later.
    """
    from mimetypes import guess_type

    layout = reader.journals()
    require_writable(layout)
    with source.open("rb") as file, shared(layout.naming_lock):
        blob = BlobStore(layout).add_chunks(iter(lambda: file.read(CHUNK), b""))
        mimetype = guess_type(path)[0] or "application/octet-stream"
        saved = FileSaved(path, blob.sha256, blob.size, mimetype)
        journal = _write(layout, run_path, (saved,), OUTSIDE, None)
    _carry(reader, journal)


def _write(layout: Layout, run_path: RunPath, records: Sequence[Record], rank: int, name: str | None) -> Path:
    require_writable(layout)
    segment = os.urandom(16).hex()
    path = layout.journal(host_name(), segment, 0)
    make_folder(path.parent)
    now = time.time()
    started = RunStarted(*run_path, now, this_process(), name=name, rank=rank)
    writer = JournalWriter(path, segment)
    try:
        for record in (started, *records, RunFinished(now, "finished")):
            writer.append(pack(record))
        writer.sync()
    finally:
        writer.close()
    return path


def _carry(reader: Reader, journal: Path) -> None:
    reader.catch_up()
    if reader.url is not None and journal.exists():
        raise CommError(
            f"{reader.url} has not taken it; it waits in {journal.parent}: `tracker sync` sends it"
        )
