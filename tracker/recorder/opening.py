"""Opening a store to read it, whether or not this process may write to it."""

from __future__ import annotations

import os
from collections.abc import Callable

from tracker.store.description import is_read_only
from tracker.store.layout import Layout
from tracker.store.store import Store


def open_to_read(root: str | os.PathLike[str], open_store: Callable[[], Store]) -> Store:
    """Return an open store; if this process may not write to it, one that may only be read.

    Args:
        root: The store's folder.
        open_store: Opens a store that may be written.
    """
    if is_read_only(Layout(root)):
        from tracker.recorder.read_only import ReadOnlyStore  # few stores need it

        return ReadOnlyStore(root)
    return open_store()
