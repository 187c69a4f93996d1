"""``store.json``: the format version and the id of a store."""

from __future__ import annotations

import os
import time

from tracker.errors import StoreError, StoreVersionError
from tracker.store.files import claim, read_json, write_new
from tracker.store.layout import FORMAT_VERSION, Layout


def check_description(layout: Layout) -> None:
    """Refuse a store that a newer tracker wrote; an absent one is fine.

    Raises:
        StoreVersionError: Its format is newer than this code's.
        StoreError: The description is there but cannot be read.
    """
    try:
        described = read_json(layout.description)
    except (ValueError, OSError) as error:
        raise StoreError(f"cannot read {layout.description}: {error}") from error
    if described is None:
        return
    if not isinstance(described, dict):
        raise StoreError(f"cannot read {layout.description}: it is no description of a store")
    found = described.get("format")
    if not isinstance(found, int) or found > FORMAT_VERSION:
        raise StoreVersionError(
            f"the store {layout.root} has format {found}, this tracker reads up to {FORMAT_VERSION}: "
            "upgrade airgap-tracker to open it. Nothing was changed."
        )


def require_store(layout: Layout) -> None:
    """Check that there is a store that this code can read.

    Raises:
        StoreError: There is none.
        StoreVersionError: A newer tracker wrote it.
    """
    if not layout.description.is_file():
        raise StoreError(f"there is no store at {layout.root}: log a run there first, or name another folder")
    check_description(layout)


def write_description(layout: Layout, store_id: str) -> None:
    """Write the description of a new store; another process may be first."""
    temporary = layout.new_temporary()
    text = f'{{"format": {FORMAT_VERSION}, "id": "{store_id}", "created_at": {time.time():.3f}}}\n'
    write_new(temporary, text.encode())
    claim(temporary, layout.description)


def make_folders(layout: Layout) -> None:
    """Make a store's folders and description, or check those that are there. Needs no catalog.

    Raises:
        StoreError: The folder cannot be used.
        StoreVersionError: A newer tracker wrote it.
    """
    check_description(layout)
    try:
        layout.make()
        if not layout.description.is_file():
            write_description(layout, os.urandom(16).hex())
    except OSError as error:
        raise StoreError(f"cannot use {layout.root} as a store: {error.strerror or error}") from error
