"""Records about a run from a process that does not write the run, such as ``Api``.

The process writes an additional segment that ends immediately. The journal of this segment is applied or sent
like every other journal. Therefore a crash does not lose the records, a rebuild finds them, and the writers
of the run are not affected.
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
    """Write records about an existing run. After the call, readers see them.

    Args:
        reader: The reader of the run.
        run_path: Entity, project and id of the run.
        records: The records.

    Raises:
        ReadOnlyError: This process may not write to the store.
        CommError: The server did not accept the records. They stay in the outbox and are sent later.
    """
    _deliver(reader, _write_segment(reader.journals(), run_path, records, OUTSIDE, None))


def begin_run(reader: Reader, run_path: RunPath, name: str) -> None:
    """Create a run without rows. Its state is finished until a process resumes the run.

    Args:
        reader: The reader of the store or server.
        run_path: Entity, project and id of the run.
        name: The display name.

    Raises:
        ReadOnlyError: This process may not write to the store.
        CommError: The server did not accept the run. The run stays in the outbox and is sent later.
    """
    _deliver(reader, _write_segment(reader.journals(), run_path, (), 0, name))


def add_file(reader: Reader, run_path: RunPath, path: str, source: Path) -> None:
    """Add a file to an existing run, or replace a file of the run.

    Args:
        reader: The reader of the run.
        run_path: Entity, project and id of the run.
        path: The path of the file in the run.
        source: The local file.

    Raises:
        OSError: The local file cannot be read.
        ReadOnlyError: This process may not write to the store.
        CommError: The server did not accept the file. The file stays in the outbox and is sent later.
    """
    from mimetypes import guess_type

    layout = reader.journals()
    require_writable(layout)
    with source.open("rb") as file, shared(layout.naming_lock):
        blob = BlobStore(layout).add_chunks(iter(lambda: file.read(CHUNK), b""))
        mimetype = guess_type(path)[0] or "application/octet-stream"
        saved = FileSaved(path, blob.sha256, blob.size, mimetype)
        journal = _write_segment(layout, run_path, (saved,), OUTSIDE, None)
    _deliver(reader, journal)


def _write_segment(
    layout: Layout, run_path: RunPath, records: Sequence[Record], rank: int, name: str | None
) -> Path:
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


def _deliver(reader: Reader, journal: Path) -> None:
    reader.catch_up()
    if reader.url is not None and journal.exists():
        raise CommError(
            f"The server {reader.url} did not accept the records. They are kept in {journal.parent}. "
            "Run `tracker sync` to send them."
        )
