"""The same run through each reader: a local store and a server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serving import Server

from tracker.reading.local import LocalReader
from tracker.reading.remote import RemoteReader
from tracker.recorder.open_store import open_store
from tracker.recorder.outbox import Remote
from tracker.store.objects.layout import Layout

READERS = ("local", "remote")


@contextmanager
def reading_with(kind: str, server: Server) -> Iterator[Any]:
    """Yield a reader of a server's store: ``local`` opens the store, ``remote`` asks the server."""
    found: Any
    if kind == "local":
        found = LocalReader(open_store(server.store), follows=False)
    else:
        found = RemoteReader(Remote(server.url, None), Layout(Path(server.store.parent, "no-outbox")))
    yield found
    found.close()
