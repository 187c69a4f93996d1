"""Opening a store for writing, or for reading if this process may not write to it."""

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
    """Return an open store. If its catalog is lost, rebuild it from the published files first.

    Args:
        root: The store's folder. It is created if it does not exist, unless ``create`` is False.
        create: Whether a new store may be created.
        takes_over: Whether to wait for another host that holds the catalog but may be dead, and then to take
            the catalog over.
        to_read: Whether to open the store for reading if this process may not write to it.

    Raises:
        HeldElsewhereError: Another host holds the catalog.
        ReadOnlyError: This process may only read the store, and ``to_read`` is False.
        StoreError: There is no store and ``create`` is False, or the folder cannot be used.
        StoreVersionError: A newer version of tracker wrote the store. Nothing was changed.
    """
    layout = Layout(root)
    if to_read and is_read_only(layout):
        from tracker.recorder.read_only import ReadOnlyStore  # rarely needed

        return ReadOnlyStore(root)
    if not create:
        require_store(layout)
    require_writable(layout)
    make_folders(layout)
    if logs.current_file() is None:  # a run's log file stays in its store when `Api` opens another store
        logs.use(layout.logs)
    logs.log(logs.DEBUG, f"opening the store {layout.root}")
    opened = open_catalog(layout, takes_over=takes_over)
    store = Store(layout, opened)
    if opened.forgotten:  # restore data that only parts contain; the catalog's lock is still exclusive
        try:
            for line in salvage(store, opened.forgotten):
                say(line)
        except BaseException:
            store.close()
            raise
        opened.lock.share()
    return store
