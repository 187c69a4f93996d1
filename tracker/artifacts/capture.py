"""Where the files of draft artifacts are kept: the store of the active run, else the settings' one."""

from __future__ import annotations

from tracker.settings import load_settings
from tracker.store.blobs import BlobStore
from tracker.store.description import make_folders
from tracker.store.layout import Layout

_active: Layout | None = None


def use_layout(layout: Layout | None) -> None:
    """Capture into this store from now on; None: into the one that the settings name."""
    global _active
    _active = layout


def capture_store() -> BlobStore:
    """Return where to put content now; the folders are there when this returns."""
    layout = _active or Layout(load_settings().store)
    make_folders(layout)
    return BlobStore(layout)
