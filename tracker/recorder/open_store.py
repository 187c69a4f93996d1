"""Opening a store: to write, or to read where this process may not write."""

from __future__ import annotations

import os

from tracker.capture import logs
from tracker.ground.terminal import say
from tracker.store.ingest.salvage import salvage
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import is_read_only, make_folders, require_store, require_writable
from tracker.store.recovery.open_catalog import open_catalog
from tracker.store.store import Store


def open_store(
    root: str | os.PathLike[str], *, create: bool = True, takes_over: bool = True, to_read: bool = False
) -> Store:
    """Return an open store. A catalog that is gone, with published files left, is made anew from them first.

    Args:
        root: The store's folder; made when absent, unless ``create`` is False.
        create: Whether a new store may be made.
        takes_over: Whether to wait for a host that holds the catalog and may be dead, and then to take over.
        to_read: Whether a store that this process may not write to is opened for reading.

    Raises:
        HeldElsewhereError: Another host holds the catalog.
        ReadOnlyError: This process may only read the store.
        StoreError: There is no store and ``create`` is False, or the folder cannot be used.
        StoreVersionError: A newer tracker wrote it; nothing was changed.
    """
    layout = Layout(root)
    if to_read and is_read_only(layout):
        from tracker.recorder.read_only import ReadOnlyStore  # few stores need it

        return ReadOnlyStore(root)
    if not create:
        require_store(layout)
    require_writable(layout)
    make_folders(layout)
    if logs.current_file() is None:  # what a run logs does not go to another store that `Api` opens
        logs.use(layout.logs)
    logs.log(logs.DEBUG, f"opening the store {layout.root}")
    opened = open_catalog(layout, takes_over=takes_over)
    store = Store(layout, opened)
    if opened.forgotten:  # keep what only parts have that a rebuild forgot; nobody else gets in before
        try:
            for line in salvage(store, opened.forgotten):
                say(line)
        except BaseException:
            store.close()
            raise
        opened.lock.share()
    return store
