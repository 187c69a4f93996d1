"""The trash: deletes an unreferenced blob while writers may be about to reference the blob.

A writer *touches* an existing blob before it references the blob (``BlobStore.touch``). If the blob is gone,
the touch fails and the writer stores the content again. Garbage collection *renames* a blob into ``trash/``,
checks it again, and only then unlinks it. A touch and a rename are atomic, so these are the possible cases:

* The touch precedes the rename. The file in the trash has a new mtime, so the file is moved back.
* The touch follows the rename. The touch fails, and the writer stores the content again as a new file. The
  file in the trash is deleted.
* A writer replaces the file between the check and the rename. (A user who may not touch the file of another
  user stores the content again. A hard link can have an old mtime, that of its source.) Then the inode in the
  trash is not the one that was checked, so the file is moved back. For the same reason the check uses the
  later of mtime and ctime: linking a file sets its ctime.
* The blob has other hard links: a file of a draft, or a user's file that was added as immutable. Deleting
  the blob would free no space, so the blob stays while other links exist. A touch does not change its mtime.
* A reader opens the blob during the deletion. Only unreferenced blobs are renamed, so the reader found the
  blob in a deleted version, or in a version that was created after the references were read. In the first
  case the read may fail. In the second case the writer of the version has touched the blob, and ``BlobStore``
  reads the blob in the trash until it is moved back. A reader with an open file is not affected.
* The process is killed between the rename and the unlink, so the blob stays in the trash. The next collection
  moves the blob back if it is referenced or was touched, and deletes it otherwise. By then the same content
  may have been stored again under its name.

On a network file system another host may use a cached name for a minute, and touch the file in the trash.
There the file stays in the trash until a later collection checks it again.

``tracker.store.gc.collect`` explains why a touch is always early enough, for any grace period.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from tracker.ground.filesystems import is_network
from tracker.store.objects.atomic_files import make_folder
from tracker.store.objects.layout import Layout, blob_name

# An NFS client checks a cached name after at most 60 s.
STALE_NAME_NS = 120 * 1_000_000_000


class Trash:
    """The trash of one store or outbox. Only one process at a time may use the trash.

    Attributes:
        delays_unlink: Whether deleted blobs stay in the trash until a later collection, because the store is
            on a network file system.

    Args:
        layout: The paths of the store or outbox.
        limit: Time in ns since 1970. Blobs that were created or touched at this time or later stay.
        check: Raises if another host has taken over the catalog, which contains the references.
    """

    def __init__(self, layout: Layout, limit: int, check: Callable[[], None]) -> None:
        self._layout = layout
        self._check = check
        self._limit = limit
        self.delays_unlink = is_network(layout.root)

    def take(self, path: Path, judged: os.stat_result) -> bool:
        """Delete a blob unless it was touched; return whether it was deleted.

        Args:
            path: An unreferenced blob.
            judged: State of the file when the collection chose it for deletion.

        Raises:
            HeldElsewhereError: Another host has taken over the catalog.
            OSError: The blob cannot be deleted.
        """
        trash = self._layout.trash / (blob_name(os.fspath(path)) + path.suffix)
        make_folder(self._layout.trash, durable=False)
        try:
            if is_young(path.stat(), self._limit):
                return False  # touched since it was chosen: do not move it even for a moment
            os.rename(path, trash)
        except FileNotFoundError:
            return False
        found = trash.stat()
        if not os.path.samestat(found, judged) or found.st_mtime_ns >= self._limit or found.st_nlink > 1:
            self.give_back(trash)
            return False
        if not self.delays_unlink:
            self._check()
            trash.unlink()
        return True

    def leftovers(self, named: set[str], now: int) -> Iterator[tuple[Path, os.stat_result, bool]]:
        """Yield the blobs that earlier collections have left in the trash, if this one can decide about them.

        Args:
            named: The blobs that are referenced.
            now: Current time in ns since 1970.

        Yields:
            The file, its state, and whether to delete it (otherwise it must be moved back).
        """
        for trash in self._layout.list_trash():
            found = trash.stat()
            if trash.stem in named or found.st_mtime_ns >= self._limit:
                yield trash, found, False
            elif not self.delays_unlink or found.st_ctime_ns < now - STALE_NAME_NS:
                yield trash, found, True

    def give_back(self, trash: Path) -> None:
        """Move a blob back to its name, unless the same content has been stored again under that name."""
        path = self._layout.blobs / trash.name
        make_folder(path.parent, durable=False)
        with suppress(FileExistsError):
            os.link(trash, path)
        trash.unlink()


def is_young(found: os.stat_result, limit: int) -> bool:
    """Return whether a file was created, linked or touched at ``limit`` (ns) or later, or has other links."""
    return max(found.st_mtime_ns, found.st_ctime_ns) >= limit or found.st_nlink > 1
