"""``store.json``: the format version and the id of a store."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tracker.errors import ReadOnlyError, StoreError, StoreVersionError
from tracker.ground.group_files import group_mode_of, make_shared
from tracker.store.objects.atomic_files import claim, publish, read_json, sync_folder, write_new
from tracker.store.objects.layout import FORMAT_VERSION, Layout


def check_description(layout: Layout) -> dict[str, Any] | None:
    """Refuse a store that a newer tracker wrote; return what it says, None when it is absent.

    Raises:
        StoreVersionError: Its format is newer than this code's.
        StoreError: The description is there but cannot be read.
    """
    try:
        described = read_json(layout.description)
    except (ValueError, OSError) as error:
        raise StoreError(f"cannot read {layout.description}: {error}") from error
    if described is None:
        return None
    if not isinstance(described, dict):
        raise StoreError(f"cannot read {layout.description}: it is no description of a store")
    found = described.get("format")
    if not isinstance(found, int) or found > FORMAT_VERSION:
        raise StoreVersionError(
            f"the store {layout.root} has format {found}, this tracker reads up to {FORMAT_VERSION}: "
            "upgrade airgap-tracker to open it. Nothing was changed."
        )
    return described


def require_store(layout: Layout) -> None:
    """Check that there is a store that this code can read.

    Raises:
        StoreError: There is none.
        StoreVersionError: A newer tracker wrote it.
    """
    if not layout.description.is_file():
        raise StoreError(f"there is no store at {layout.root}: log a run there first, or name another folder")
    check_description(layout)


def is_read_only(layout: Layout) -> bool:
    """Whether this process may read a store and not write to it: a read-only mount, or no write rights."""
    return not os.access(layout.root, os.W_OK | os.X_OK) and layout.description.is_file()


def require_writable(layout: Layout) -> None:
    """Check that this process may write to a store; an absent one is fine.

    Raises:
        ReadOnlyError: It may only read the store.
    """
    if is_read_only(layout):
        raise ReadOnlyError(
            f"the store {layout.root} is read-only for this user: run this as a user who may write to it, or "
            "copy the folder to one that you may write to, and name that with --store or TRACKER_STORE"
        )


def write_description(layout: Layout, store_id: str, group_mode: int = 0) -> None:
    """Write the description of a new store; another process may be first.

    Args:
        layout: The store.
        store_id: Its id.
        group_mode: The mode of its folders when a group shares it: see ``tracker.ground.group_files``.
    """
    temporary = layout.new_temporary()
    shared = f', "group_mode": "{group_mode:o}"' if group_mode else ""
    text = f'{{"format": {FORMAT_VERSION}, "id": "{store_id}", "created_at": {time.time():.3f}{shared}}}\n'
    write_new(temporary, text.encode())
    if group_mode:
        temporary.chmod(group_mode & 0o666)
    claim(temporary, layout.description)


def make_folders(layout: Layout) -> None:
    """Make a store's folders and description, or check those that are there. Needs no catalog.

    Raises:
        StoreError: The folder cannot be used.
        StoreVersionError: A newer tracker wrote it.
    """
    described = check_description(layout)
    try:
        if described is None:
            _make_new(layout)
        layout.make()
        if described is not None and described["format"] < FORMAT_VERSION:
            _raise_format(layout, described)
    except OSError as error:
        raise StoreError(f"cannot use {layout.root} as a store: {error.strerror or error}") from error


def _raise_format(layout: Layout, described: dict[str, Any]) -> None:
    """Let an older tracker refuse a store of its own format in which this one is about to write."""
    temporary = layout.new_temporary()
    write_new(temporary, json.dumps({**described, "format": FORMAT_VERSION}).encode() + b"\n")
    temporary.chmod(layout.description.stat().st_mode & 0o777)
    publish(temporary, layout.description)


def _make_new(layout: Layout) -> None:
    """Make a store's folder and description; for its owner alone, unless a group shares the folder."""
    _make_folder(layout.root, 0o700)
    mode = group_mode_of(layout.root)
    _make_folder(layout.temporary, 0o777)
    write_description(layout, os.urandom(16).hex(), mode)


def _make_folder(folder: Path, private: int) -> None:
    """Make a folder and those above it, where they are missing, with the mode of a shared one above."""
    if folder.is_dir():
        return
    _make_folder(folder.parent, 0o777)
    with suppress(FileExistsError):  # another process was first
        if mode := group_mode_of(folder.parent):
            make_shared(folder, folder.with_name(f".{folder.name}.{os.urandom(8).hex()}"), mode)
        else:
            folder.mkdir(private)
    with suppress(OSError):  # one that may be written and not read cannot be forced
        sync_folder(folder.parent)
