"""Spools: outboxes on a disk of this host, for a store on a network file system (``TRACKER_SPOOL``).

A process writes its run to the spool, and the recorder moves it to the store: ``tracker.recorder.send`` with
``folder_target``. The spool of a store is ``DIR/tracker-UID/STORE``. Only its user can open it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tracker.errors import StoreError, UsageError
from tracker.ground.filesystems import is_network
from tracker.ground.processes import host_name
from tracker.ground.terminal import say
from tracker.recorder.folder_target import read_moved, reserve_room
from tracker.recorder.outbox import Remote, remote_of, write_remote
from tracker.store.objects.atomic_files import make_folder
from tracker.store.objects.layout import JournalPath, Layout, path_component
from tracker.store.objects.store_file import make_folders


def spool_of(folder: Path, store: Path) -> Layout:
    """Return the spool in a folder for a store. It may be missing.

    Args:
        folder: The value of ``TRACKER_SPOOL``.
        store: The folder of the store.
    """
    return Layout(_own_folder(folder) / path_component(str(Layout(store).root)))


def make_spool(folder: Path, store: Path) -> Layout:
    """Return the spool in a folder for a store, which exists. The spool is created.

    Raises:
        UsageError: The folder is missing, on a network file system, or others may write to the spool.
        StoreError: The spool cannot be written.
    """
    if not folder.is_dir():
        raise UsageError("the folder does not exist")
    if is_network(folder):
        raise UsageError("it is on a network file system")
    layout, own = spool_of(folder, store), _own_folder(folder)
    try:
        own.mkdir(mode=0o700, exist_ok=True)
        if not _is_private(own):
            raise UsageError(f"other users may change {own}")
        make_folders(layout)
        make_folder(layout.host_journals(host_name()))
        write_remote(layout, Remote(str(Layout(store).root), None))
        reserve_room(layout)
    except OSError as error:
        raise StoreError(error.strerror or str(error)) from error
    if not os.access(layout.journals, os.W_OK | os.X_OK):
        raise StoreError(f"no permission to write to {layout.root}")
    return layout


def list_spools(folder: Path) -> list[Layout]:
    """Return the spools that a folder is or has: the folder of ``TRACKER_SPOOL``, or a single spool."""
    if _is_spool(folder):
        return [Layout(folder)]
    own = _own_folder(folder)
    return [Layout(path) for path in sorted(own.iterdir()) if _is_spool(path)] if _is_private(own) else []


def mover(layout: Layout, silent: bool) -> Callable[[], None]:
    """Return a function that moves to the store what its spool has, so that readers see it.

    The function raises UnreachableError if the store cannot be reached. For a run that cannot be moved, it
    prints one line.

    Args:
        layout: The spool. The function does nothing while the spool is missing, or others may change it.
        silent: Print nothing.
    """
    said: set[str] = set()

    def move() -> None:
        if not _is_private(layout.root.parent) or not any(map(_waits, layout.list_journals(host_name()))):
            return
        from tracker.recorder.send import Sender  # rarely needed: the recorder has moved everything

        remote = remote_of(layout)
        if remote is None:
            return
        sender = Sender(layout, remote, host_name())
        try:
            sender.poll(patient=False)
        finally:
            sender.close()
        for fault in {*sender.faults.values()} - said:
            said.add(fault)
            say(f"a run in {layout.root} is not in {remote.url} yet: {fault}", silent=silent)

    return move


def _waits(journal: JournalPath) -> bool:
    with suppress(FileNotFoundError):  # the recorder has just moved it
        return journal.path.stat().st_size > read_moved(journal.path)
    return False


def _own_folder(folder: Path) -> Path:
    return folder / f"tracker-{os.getuid()}"


def _is_private(own: Path) -> bool:
    """Return whether a folder of spools exists that no other user can change: others may write next to it."""
    try:
        found = own.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def _is_spool(folder: Path) -> bool:
    layout = Layout(folder)
    remote = remote_of(layout) if os.access(layout.remote, os.R_OK) else None
    return remote is not None and remote.folder is not None
