"""The same store through each reader: its catalog, a server, and its files without a catalog."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serving import Server

from tracker.ground.settings import load_settings
from tracker.reading.local import LocalReader
from tracker.reading.open_reader import open_reader
from tracker.reading.remote import RemoteReader
from tracker.recorder.open_store import open_store
from tracker.recorder.outbox import Remote
from tracker.recorder.read_only import ReadOnlyStore
from tracker.store.objects.layout import Layout

READERS = ("local", "remote", "files", "folder")
# These files and folders are left out of a copy without a catalog.
_CATALOG = shutil.ignore_patterns("catalog.db*", "leases", "locks", "tmp")


@contextmanager
def reading_with(kind: str, server: Server) -> Iterator[Any]:
    """Yield a reader of a server's store.

    ``local`` opens the store, ``remote`` asks the server, and ``files`` reads a copy of the store that has no
    catalog and cannot be written. ``folder`` is the reader of another host, which sees only the folder.
    """
    found: Any
    with tempfile.TemporaryDirectory() as folder:
        if kind == "local":
            found = LocalReader(open_store(server.store), follows=False)
        elif kind == "files":
            copy = shutil.copytree(server.store, Path(folder, "store"), ignore=_CATALOG)
            found = LocalReader(ReadOnlyStore(copy))
        elif kind == "folder":
            found = open_reader(load_settings(store=server.store, journal_only=True, mode="offline"))
        else:
            found = RemoteReader(Remote(server.url, server.key), Layout(Path(folder, "no-outbox")))
        yield found
        found.close()
