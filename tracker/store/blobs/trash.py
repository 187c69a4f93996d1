"""Deleting a blob that nobody names, beside writers that may be about to name it.

Whoever is about to name a blob that is there already *touches* it first (``BlobStore.touch``); when that
fails because it is gone, it is stored again. Here a blob is *renamed* into ``trash/``, then looked at, and
only then unlinked. A touch and a rename are each one step of the file system, so there are these cases:

* The touch comes before the rename. The file in the trash then has a new mtime: it gets its name back.
* The touch comes after the rename. It fails, and the content is stored again, under its name; what lies in
  the trash is another file, and goes.
* Somebody exchanges the file between the look before the rename and the rename (another user's, who may not
  touch it, stores it again; its mtime may be old, as that of a hard link is the source's). The trash then
  holds another inode than the one that was judged: it gets its name back. For the same reason a blob is
  judged by the later of mtime and ctime, which linking a file sets.
* The blob has other names: a draft's, or that of a user's file that was added as immutable. Deleting it
  would free nothing, so it stays until it is the last name; a touch leaves its time alone.
* A reader opens the blob in between. Only a blob that nobody names is renamed, so a reader has it from a
  version that was deleted, or from one that was made since the names were read. In the first case it may miss
  it; in the second the version's writer has touched it, and for the moment until it has its name back
  ``BlobStore`` reads it in the trash. Who has it open reads on.
* A kill between rename and unlink: the blob lies in the trash. The next collection gives it back when it is
  named by then, or was touched, and deletes it otherwise. Its name may have been taken by the same content
  meanwhile.

On a network file system another node may go on for a minute with the name that it has seen, and touch what
lies in the trash. There the file stays in it, and a later collection looks at it once more.

Why a touch is early enough to be seen, whatever the grace period, is said in ``tracker.store.gc.collect``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from tracker.ground.filesystems import is_network
from tracker.store.objects.atomic_files import make_folder
from tracker.store.objects.layout import Layout, blob_name

# NFS asks again after 60 s at the latest whether a name still stands for the file that it stood for.
STALE_NAME_NS = 120 * 1_000_000_000


class Trash:
    """The trash of one store or outbox; for one process at a time.

    Args:
        layout: The store or outbox.
        limit: Blobs that were touched or made then or later stay (ns since 1970).
        check: Raises when the catalog, which says what is named, is another host's by now.
    """

    def __init__(self, layout: Layout, limit: int, check: Callable[[], None]) -> None:
        self._layout = layout
        self._check = check
        self._limit = limit
        self.holds = is_network(layout.root)

    def take(self, path: Path, judged: os.stat_result) -> bool:
        """Delete a blob unless somebody has touched it; return whether it went.

        Args:
            path: A blob that nobody names.
            judged: What it was like when that was found.

        Raises:
            HeldElsewhereError: Another host has taken the catalog over.
            OSError: It cannot be deleted.
        """
        trash = self._layout.trash / (blob_name(os.fspath(path)) + path.suffix)
        make_folder(self._layout.trash, durable=False)
        try:
            if is_young(path.stat(), self._limit):
                return False  # touched since it was judged: no need to take it away even for a moment
            os.rename(path, trash)
        except FileNotFoundError:
            return False
        found = trash.stat()
        if not os.path.samestat(found, judged) or found.st_mtime_ns >= self._limit or found.st_nlink > 1:
            self.give_back(trash)
            return False
        if not self.holds:
            self._check()
            trash.unlink()
        return True

    def left(self, named: set[str], now: int) -> Iterator[tuple[Path, os.stat_result, bool]]:
        """Yield what a collection before this one left: the file, its state, and whether it may go.

        Args:
            named: The blobs that somebody names.
            now: ns since 1970.
        """
        for trash in self._layout.list_trash():
            found = trash.stat()
            if trash.stem in named or found.st_mtime_ns >= self._limit:
                yield trash, found, False
            elif not self.holds or found.st_ctime_ns < now - STALE_NAME_NS:
                yield trash, found, True

    def give_back(self, trash: Path) -> None:
        """Give a blob its name back; when the same content has been stored again since, that one stays."""
        path = self._layout.blobs / trash.name
        make_folder(path.parent, durable=False)
        with suppress(FileExistsError):
            os.link(trash, path)
        trash.unlink()


def is_young(found: os.stat_result, limit: int) -> bool:
    """Whether a file was made, linked or touched at ``limit`` (ns) or later, or has other names."""
    return max(found.st_mtime_ns, found.st_ctime_ns) >= limit or found.st_nlink > 1
