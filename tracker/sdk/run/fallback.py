"""Where a run is kept when a folder cannot be used: no training ends because a folder cannot be made."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from tracker.errors import StoreError, StoreVersionError
from tracker.ground.processes import host_name
from tracker.ground.settings import STORE_FOLDER, Settings
from tracker.ground.terminal import say
from tracker.reading.open_reader import layout_for
from tracker.store.objects.atomic_files import make_folder
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import make_folders


def usable_store(settings: Settings) -> tuple[Settings, Layout]:
    """Return where a run is written: the store or outbox of the settings, or a store in the temporary folder.

    The variable ``TRACKER_STORE`` names the latter from then on, for ``Api`` and child processes.

    Raises:
        StoreVersionError: A newer tracker made the store.
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
            "and name a folder that can be written (TRACKER_STORE)",
            silent=settings.silent,
        )
        return instead, layout
    return settings, layout


def _require_writable(layout: Layout) -> None:
    make_folders(layout)
    journals = layout.host_journals(host_name())
    try:
        make_folder(journals)
    except OSError as error:
        raise StoreError(f"cannot use {layout.root} as a store: {error.strerror or error}") from error
    if not os.access(journals, os.W_OK | os.X_OK):
        raise StoreError(f"cannot use {layout.root} as a store: no right to write to {journals}")


def private_folder() -> Path:
    """Return this user's own folder among the temporary ones; no other user can have made it."""
    import tempfile  # needed only when something is wrong

    folder = Path(tempfile.gettempdir(), f"tracker-{os.getuid()}")
    with suppress(FileExistsError):
        folder.mkdir(0o700)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
        return folder
    return Path(tempfile.mkdtemp(prefix="tracker-"))
