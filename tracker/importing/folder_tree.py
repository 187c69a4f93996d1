"""The files below folders that ``tracker open`` can show: found bit by bit, and again when folders change.

Nothing reports the changes of other hosts in a shared folder, so the folders are polled: a folder is listed
again when its modification time has changed. Links to folders are not followed, so no loop is possible.
"""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import NamedTuple

# Folders that are looked at. A tree with more folders than this is not a folder of logs.
MOST_FOLDERS = 100_000
# A change may come within the resolution of file times after a listing.
_UNSURE_SECONDS = 3.0
# Looking at all known folders takes at most this share of the time.
_SHARE = 0.05
# Folders with many files that no program for training writes.
_IGNORED = frozenset((".git", "__pycache__", "node_modules", ".venv"))

# Folders in the folder of a run of wandb. Their files belong to the run, also copies of tfevents files.
_OF_WANDB = frozenset(("files", "logs", "tmp"))


class Candidate(NamedTuple):
    """A file that looks like the file of a run.

    Attributes:
        kind: ``"wandb"``, ``"tensorboard"`` or ``"csv"``.
        path: The file.
        given: The folder that the user has named.
    """

    kind: str
    path: Path
    given: Path


class _Folder(NamedTuple):
    given: Path
    changed_at: int
    listed_at: float


class FolderTree:
    """The files below folders.

    Args:
        given: Folders, or files.
        kinds: The kinds of files to look for.

    Attributes:
        problems: Why folders cannot be read, by path.
        stores: Stores of tracker below the folders. They are not looked into.
        links: Number of links to folders, which are not followed.
        is_whole: Whether all folders were looked at, at least once.
    """

    def __init__(self, given: list[Path], kinds: tuple[str, ...]) -> None:
        self._given = given
        self._kinds = kinds
        self._folders: dict[Path, _Folder] = {}
        self._waiting: list[tuple[Path, Path]] = []
        self._files: set[tuple[int, int]] = set()
        self._due = 0.0
        self.problems: dict[Path, str] = {}
        self.stores: list[Path] = []
        self.links = 0
        self.is_whole = False
        self._found: list[Candidate] = []
        for path in reversed(given):
            if path.is_dir():
                self._waiting.append((path, path))
            else:
                self._add_file(_kind_of_file(path, kinds), path, path.parent)

    def look(self, seconds: float) -> list[Candidate]:
        """Return the files that are new since the last call.

        Args:
            seconds: The time after which the next call continues the search.
        """
        end = time.monotonic() + seconds
        if self.is_whole and time.monotonic() >= self._due:
            self._find_changed()
        while self._waiting and time.monotonic() < end:
            folder, given = self._waiting.pop()
            self._list(folder, given)
        if not self._waiting:
            self.is_whole = True
        found, self._found = self._found, []
        return found

    def _find_changed(self) -> None:
        began, now = time.monotonic(), time.time()
        for path, known in self._folders.items():
            try:
                changed_at = path.stat().st_mtime_ns
            except OSError:
                continue  # it is gone, or its file server is down: the files tell
            unsure = known.listed_at - changed_at / 1e9 < _UNSURE_SECONDS < now - known.listed_at
            if changed_at != known.changed_at or unsure:
                self._waiting.append((path, known.given))
        took = time.monotonic() - began
        self._due = time.monotonic() + max(0.5, took / _SHARE)

    def _list(self, folder: Path, given: Path) -> None:
        if folder not in self._folders and len(self._folders) >= MOST_FOLDERS:
            self.problems[given] = f"it has more than {MOST_FOLDERS} folders: name a folder inside it"
            return
        try:
            changed_at, listed_at = folder.stat().st_mtime_ns, time.time()
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.problems[folder] = error.strerror or str(error)
            return
        self.problems.pop(folder, None)
        self._folders[folder] = _Folder(given, changed_at, listed_at)
        names = {entry.name for entry in found}
        if {"store.json", "journals"} <= names:
            if folder not in self.stores:
                self.stores.append(folder)
            return
        inner = []
        is_run = any(name.endswith(".wandb") for name in names)
        for entry in found:
            if kind := _kind_of(entry.name, self._kinds):
                self._add_file(kind, Path(entry.path), given)
            elif entry.name in _IGNORED or (is_run and entry.name in _OF_WANDB):
                continue
            elif entry.is_dir(follow_symlinks=False):
                if Path(entry.path) not in self._folders:
                    inner.append((Path(entry.path), given))
            elif entry.is_symlink() and entry.name != "latest-run" and os.path.isdir(entry.path):
                self.links += 1
        self._waiting += reversed(inner)

    def _add_file(self, kind: str | None, path: Path, given: Path) -> None:
        if kind is None:
            self.problems[path] = "it is not a file of wandb, TensorBoard or Lightning's CSVLogger"
            return
        try:
            found = path.stat()
        except OSError as error:
            self.problems[path] = error.strerror or str(error)
            return
        name = (found.st_dev, found.st_ino)
        if stat.S_ISREG(found.st_mode) and name not in self._files:
            self._files.add(name)
            self._found.append(Candidate(kind, path, given))


def _kind_of(name: str, kinds: tuple[str, ...]) -> str | None:
    found = None
    if name.endswith(".wandb"):
        found = "wandb"
    elif "tfevents" in name:
        found = "tensorboard"
    elif name == "metrics.csv":
        found = "csv"
    return found if found in kinds else None


def _kind_of_file(path: Path, kinds: tuple[str, ...]) -> str | None:
    """Return the kind of a file that the user has named: also a CSV file with another name."""
    found = _kind_of(path.name, kinds)
    return found or ("csv" if path.suffix == ".csv" and "csv" in kinds else None)
