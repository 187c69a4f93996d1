"""The private stores of ``tracker open``: one for each set of folders, on a disk of this host.

A store is kept after the end, so that the next ``tracker open`` of the same folders starts at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tracker.ground.filesystems import local_state_folder
from tracker.store.catalog.locks import FileLock
from tracker.store.objects.layout import FORMAT_VERSION, Layout
from tracker.version import __version__

# A store that was not used for this long is removed, and so are the oldest ones if all are larger than this.
_KEPT_SECONDS = 7 * 24 * 3600.0
_KEPT_BYTES = 5 * 1024**3


class OpenedCache:
    """The private store for folders. Only one process uses it at a time.

    Args:
        folders: The folders.
        options: Options that change what is in the store.

    Attributes:
        layout: The paths of the store.
    """

    def __init__(self, folders: list[Path], options: list[str]) -> None:
        parts = [__version__, str(FORMAT_VERSION), *options, *sorted(str(each.resolve()) for each in folders)]
        name = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self._all = local_state_folder() / "opened"
        self._home = self._all / name
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.layout = Layout(self._home / "store")
        self._index = self._home / "files.json"
        self._lock = FileLock(self._home / "lock")

    def take(self) -> bool:
        """Reserve the store for this process; return False if another process uses it."""
        return self._lock.try_exclusive()

    def load(self) -> dict[str, Any]:
        """Return what ``save`` has stored. If files are gone or replaced since, remove the store first."""
        try:
            known: dict[str, Any] = json.loads(self._index.read_text())
            is_current = all(_is_still_there(path, each["stamp"]) for path, each in known.items())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            known, is_current = {}, False
        # Without this file, another start does not trust the store: this process may be killed.
        self._index.unlink(missing_ok=True)
        if not is_current:
            known = {}
            shutil.rmtree(self.layout.root, ignore_errors=True)
        return known

    def save(self, known: dict[str, Any] | None) -> None:
        """Keep the store for the next start with these files, or remove it."""
        if known is None:
            shutil.rmtree(self._home, ignore_errors=True)
        else:
            self._index.write_text(json.dumps(known))
        self._lock.close()

    def remove_old(self) -> None:
        """Remove stores that were not used for long, and the oldest ones if all are too large."""
        found = []
        for home in self._all.iterdir():
            with suppress(OSError):
                found.append((home.stat().st_mtime, home))
        left = _KEPT_BYTES
        for used_at, home in sorted(found, reverse=True):
            left -= _size_of(home)
            if home == self._home or (time.time() - used_at < _KEPT_SECONDS and left > 0):
                continue
            with suppress(OSError):
                lock = FileLock(home / "lock")
                if lock.try_exclusive():
                    shutil.rmtree(home, ignore_errors=True)
                lock.close()


def _is_still_there(path: str, stamp: list[int]) -> bool:
    with suppress(OSError):
        found = os.stat(path)
        return found.st_ino == stamp[2] and found.st_size >= stamp[0]
    return False


def _size_of(folder: Path) -> int:
    total = 0
    for top, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(top, name)).st_size
    return total
