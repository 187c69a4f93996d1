"""``store.json``: the format version and the id of a store, and whether it has users."""

from __future__ import annotations

import errno
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tracker.errors import NoStoreError, ReadOnlyError, StoreError, StoreVersionError
from tracker.ground.filesystems import is_network
from tracker.ground.group_files import group_mode_of, group_mode_of_umask, make_shared
from tracker.store.objects.atomic_files import claim, publish, read_json, sync_folder, write_new
from tracker.store.objects.layout import FORMAT_VERSION, Layout


def check_description(layout: Layout) -> dict[str, Any] | None:
    """Return the content of ``store.json``, or None if the file is missing.

    Raises:
        StoreVersionError: A newer tracker wrote the store, in a format that this code does not know.
        StoreError: The file cannot be read or is not a description of a store.
    """
    try:
        described = read_json(layout.description)
    except (ValueError, OSError) as error:
        raise StoreError(f"cannot read {layout.description}: {error}") from error
    if described is None:
        return None
    if not isinstance(described, dict):
        raise StoreError(f"cannot read {layout.description}: it does not describe a store")
    found = described.get("format")
    if not isinstance(found, int) or found > FORMAT_VERSION:
        raise StoreVersionError(
            f"the store {layout.root} has format {found}, this tracker reads up to {FORMAT_VERSION}: "
            "upgrade airgap-tracker to open it. Nothing was changed."
        )
    return described


def require_store(layout: Layout) -> None:
    """Check that a store exists that this code can read.

    Raises:
        NoStoreError: There is no store at ``layout.root``.
        StoreVersionError: A newer tracker wrote the store.
    """
    if not layout.description.is_file():
        raise NoStoreError(
            f"there is no store at {layout.root}: log a run there first, or name another folder"
        )
    check_description(layout)


def is_read_only(layout: Layout) -> bool:
    """Return whether this process may not write to an existing store (permissions, or a read-only mount)."""
    if not layout.description.is_file():
        return False
    return not os.access(layout.root, os.W_OK | os.X_OK) or _is_root_squashed(layout)


def _is_root_squashed(layout: Layout) -> bool:
    """Return whether a file server refuses to let root write, although this host reports that root may."""
    if os.geteuid() != 0 or not is_network(layout.root):
        return False
    probe = layout.root / os.urandom(16).hex()
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        probe.unlink()
    except OSError as error:
        return error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    return False


def require_writable(layout: Layout) -> None:
    """Check that this process may write to a store. A store that does not exist passes the check.

    Raises:
        ReadOnlyError: The process may only read the store.
    """
    if is_read_only(layout):
        raise ReadOnlyError(
            f"the store {layout.root} is read-only for this user: run this as a user who may write to it, or "
            "copy the store to a writable folder and name that folder with --store or TRACKER_STORE"
        )


def write_description(layout: Layout, store_id: str, group_mode: int = 0) -> None:
    """Write the description of a new store, unless another process has written one.

    Args:
        layout: The paths of the store.
        store_id: Random id of the store.
        group_mode: Mode of its folders if a group shares the store, else 0. See
            ``tracker.ground.group_files``.
    """
    temporary = layout.new_temporary()
    shared = f', "group_mode": "{group_mode:o}"' if group_mode else ""
    text = f'{{"format": {FORMAT_VERSION}, "id": "{store_id}", "created_at": {time.time():.3f}{shared}}}\n'
    write_new(temporary, text.encode())
    if group_mode:
        temporary.chmod(group_mode & 0o666)
    claim(temporary, layout.description)


def make_folders(layout: Layout) -> None:
    """Make the folders and the description of a store, or check existing ones. The catalog is not needed.

    Raises:
        StoreError: The folder cannot be used.
        StoreVersionError: A newer tracker wrote the store.
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


def is_marked_with_people(layout: Layout) -> bool:
    """Return whether a store has users or private projects, so that it must not be opened without them."""
    return bool((check_description(layout) or {}).get("people"))


def mark_with_people(layout: Layout, has_people: bool) -> None:
    """Record in ``store.json`` whether a store has users or private projects."""
    described = check_description(layout) or {}
    if bool(described.get("people")) != has_people:
        _replace(layout, {**described, "people": has_people})


def _raise_format(layout: Layout, described: dict[str, Any]) -> None:
    """Raise the format of a store, so that an older tracker refuses the store after this one writes to it."""
    _replace(layout, {**described, "format": FORMAT_VERSION})


def _replace(layout: Layout, described: dict[str, Any]) -> None:
    temporary = layout.new_temporary()
    write_new(temporary, json.dumps(described).encode() + b"\n")
    temporary.chmod(layout.description.stat().st_mode & 0o777)
    publish(temporary, layout.description)


def _make_new(layout: Layout) -> None:
    """Make the folder and description of a store. Only the owner has access, unless a group shares it."""
    _make_folder(layout.root, 0o700, group_mode_of_umask())
    mode = group_mode_of(layout.root)
    _make_folder(layout.temporary, 0o777)
    write_description(layout, os.urandom(16).hex(), mode)


def _make_folder(folder: Path, private: int, shared: int = 0) -> None:
    """Make a folder and its missing parents.

    Args:
        folder: Path of the folder.
        private: Mode of the new folder, unless a group shares the folder above it. Then the new folder gets
            the mode of that one.
        shared: Mode of the new folder if a group shares it, but not the folder above it; else 0.
    """
    if folder.is_dir():
        return
    _make_folder(folder.parent, 0o777)
    with suppress(FileExistsError):  # another process has made the folder
        if mode := group_mode_of(folder.parent) or shared:
            make_shared(folder, folder.with_name(f".{folder.name}.{os.urandom(8).hex()}"), mode)
        else:
            folder.mkdir(private)
    with suppress(OSError):  # a folder without read permission cannot be opened for fsync
        sync_folder(folder.parent)
