"""``store.json``: the format version and the id of a store."""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from tracker.errors import StoreError, StoreVersionError
from tracker.store.files import claim, make_folder, read_json, write_new
from tracker.store.layout import FORMAT_VERSION, Layout

# A folder that a group shares: its members may write, and what they make there gets the folder's group.
GROUP_FOLDER = stat.S_ISGID | stat.S_IWGRP


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


def _make_root(root: Path) -> None:
    """Make the folder of a new store, for its owner alone unless it is made in a folder of a group."""
    if root.is_dir():
        return
    make_folder(root.parent)
    of_a_group = root.parent.stat().st_mode & GROUP_FOLDER == GROUP_FOLDER
    with suppress(FileExistsError):  # another process was first
        root.mkdir(0o777 if of_a_group else 0o700)


def make_folders(layout: Layout) -> None:
    """Make a store's folders and description, or check those that are there. Needs no catalog.

    Raises:
        StoreError: The folder cannot be used.
        StoreVersionError: A newer tracker wrote it.
    """
    check_description(layout)
    try:
        _make_root(layout.root)
        layout.make()
        if not layout.description.is_file():
            write_description(layout, os.urandom(16).hex())
    except OSError as error:
        raise StoreError(f"cannot use {layout.root} as a store: {error.strerror or error}") from error
