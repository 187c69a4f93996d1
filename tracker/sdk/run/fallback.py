"""The fallback for a store that cannot be written. Training must not end because of it."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from tracker.errors import StoreError, StoreVersionError, UsageError
from tracker.ground.processes import host_name
from tracker.ground.settings import STORE_FOLDER, Settings
from tracker.ground.terminal import say
from tracker.reading.open_reader import layout_for, use_spool
from tracker.store.objects.atomic_files import make_folder
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import is_read_only, make_folders


def usable_store(settings: Settings) -> tuple[Settings, Layout]:
    """Return the store, outbox or spool to write to. If the store is unusable, use a temporary store.

    The returned settings have a spool only if it is used.

    The temporary store is in the system's temporary folder. ``TRACKER_STORE`` is then set to it, for ``Api``
    and child processes.

    Raises:
        StoreVersionError: A newer tracker created the store.
        StoreError: The temporary folder cannot be used either.
    """
    layout = layout_for(settings)
    try:
        _require_writable(layout)
    except StoreVersionError:
        raise
    except StoreError as error:
        instead = replace(settings, store=private_folder() / STORE_FOLDER)
        layout = layout_for(instead)
        _require_writable(layout)
        os.environ["TRACKER_STORE"] = str(instead.store)
        say(
            f"{error.message}. The run is kept in {instead.store}: copy it before the machine deletes it, "
            "and set TRACKER_STORE to a folder that can be written",
            silent=settings.silent,
        )
        settings = instead
    return with_spool(settings, layout)


def with_spool(settings: Settings, layout: Layout) -> tuple[Settings, Layout]:
    """Return the settings with the spool to write to, if one is set. If it cannot be used, print one line.

    Args:
        settings: The settings.
        layout: The store or outbox, which is used without a spool.
    """
    if settings.spool is None:
        return settings, layout
    try:
        return settings, use_spool(settings)
    except (UsageError, StoreError) as error:
        say(
            f"TRACKER_SPOOL={settings.spool} is not used: {error.message}. The run is written to "
            f"{layout.root}",
            silent=settings.silent,
        )
        return replace(settings, spool=None), layout


def _require_writable(layout: Layout) -> None:
    make_folders(layout)
    journals = layout.host_journals(host_name())
    try:
        make_folder(journals)
    except OSError as error:
        raise StoreError(f"cannot use {layout.root} as a store: {error.strerror or error}") from error
    if not os.access(journals, os.W_OK | os.X_OK) or is_read_only(layout):
        raise StoreError(f"cannot use {layout.root} as a store: no permission to write to {journals}")


def private_folder() -> Path:
    """Return a private folder of this user in the temporary folder. Other users cannot have made it."""
    import tempfile  # needed only after an error

    folder = Path(tempfile.gettempdir(), f"tracker-{os.getuid()}")
    with suppress(FileExistsError):
        folder.mkdir(0o700)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
        return folder
    return Path(tempfile.mkdtemp(prefix="tracker-"))
