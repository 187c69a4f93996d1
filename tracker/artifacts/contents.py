"""``Contents``: the files of an artifact, from a draft's captured files or from a version's manifest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tracker.artifacts.active_run import capture_layout
from tracker.store.blobs.drafts import Captured, Draft, DraftEntry
from tracker.store.blobs.manifest import Entry, Manifest, make_manifest
from tracker.store.objects.layout import Layout


class Contents:
    """The files of one artifact, by path.

    Args:
        manifest: The manifest of a version; None for a draft.
    """

    def __init__(self, manifest: Manifest | None = None) -> None:
        self._manifest = manifest
        self._by_path: dict[str, Entry] | None = None
        self._entries: dict[str, DraftEntry] = {}
        self._folders: set[str] = {""}
        self._versions: list[str] = []  # versions from which the draft took files
        self._draft: Draft | None = None

    def keep(self, manifest: Manifest, version: str) -> None:
        """Add the files of an earlier version to a draft, except paths that the draft has already.

        Args:
            manifest: The manifest of the version.
            version: Full name of the version.
        """
        self._versions.append(version)
        for entry in manifest.entries:
            if entry.path not in self._entries:
                self.add(DraftEntry(entry.path, stored=entry), overwrite=False)

    # Adding

    def capture(self, source: str | os.PathLike[str], *, immutable: bool) -> Captured:
        """Capture the current content of a file. See ``Draft.capture_file``."""
        return self._open_draft().capture_file(source, immutable=immutable)

    def capture_bytes(self, data: bytes) -> Captured:
        """Capture a content in memory. See ``Draft.capture_bytes``."""
        return self._open_draft().capture_bytes(data)

    def new_file(self) -> Path:
        """Return the path of a new file, for ``capture_new``."""
        return self._open_draft().new_file()

    def capture_new(self, path: Path) -> Captured:
        """Capture the content that was written to a path from ``new_file``."""
        return self._open_draft().capture_new(path)

    def add(self, entry: DraftEntry, *, overwrite: bool) -> DraftEntry:
        """Add an entry; return the entry.

        Raises:
            ValueError: The path exists with another content and ``overwrite`` is False, or the path would be
                both a file and a folder.
        """
        path = entry.path
        folder = path.rpartition("/")[0]
        if folder not in self._folders:
            self._add_folder(path, folder)
        if path in self._folders:
            raise ValueError(f"Cannot add the file {path!r}: the artifact has a folder of this name.")
        known = self._entries.get(path)
        if known is not None and not overwrite and self.settled(known).digest != self.settled(entry).digest:
            raise ValueError(f"Cannot add the same path twice: {path!r}. Pass overwrite=True to replace it.")
        self._entries[path] = entry
        return entry

    def remove(self, path: str) -> int:
        """Remove a file, or all files in a folder, from a draft; return the number of removed files."""
        gone = [each for each in self._entries if each == path or each.startswith(path.rstrip("/") + "/")]
        for each in gone:
            del self._entries[each]
        if gone:
            self._folders = {""}
            for each in self._entries:
                self._add_folder(each, each.rpartition("/")[0])
        return len(gone)

    # Reading

    def __len__(self) -> int:
        return len(self._manifest.entries if self._manifest is not None else self._entries)

    def entries(self) -> list[Entry] | list[DraftEntry]:
        """Return all entries, sorted by path."""
        if self._manifest is not None:
            return self._manifest.entries
        return [self._entries[path] for path in sorted(self._entries)]

    def find(self, path: str) -> Entry | DraftEntry | None:
        """Return the entry of a path, or None."""
        if self._manifest is None:
            return self._entries.get(path)
        if self._by_path is None:
            self._by_path = {entry.path: entry for entry in self._manifest.entries}
        return self._by_path.get(path)

    @property
    def size(self) -> int:
        """The size of all files in bytes."""
        if self._manifest is not None:
            return self._manifest.size
        return sum(entry.size for entry in self._entries.values())

    @property
    def manifest(self) -> Manifest:
        """The manifest. A draft computes it, with the digests of large files, at each access."""
        if self._manifest is not None:
            return self._manifest
        return make_manifest(self.settled(entry) for entry in self._entries.values())

    def settled(self, entry: DraftEntry) -> Entry:
        """Return a draft's entry with its digests. The entry does not name a blob yet."""
        if entry.captured is None:
            assert entry.stored is not None
            return entry.stored
        assert self._draft is not None
        digests = self._draft.digests(entry.captured)
        return Entry(entry.path, digests.md5, digests.size, digests.sha256)

    # Logging

    def finish(self, layout: Layout) -> str:
        """Write the list of the draft's files to the store or outbox of the run; return the draft's token.

        Raises:
            OSError: The store cannot be written.
        """
        draft = self._open_draft()
        if draft.layout.root != layout.root:
            draft.move(layout)
        draft.finish(list(self._entries.values()), self._versions)
        return draft.token

    def _open_draft(self) -> Draft:
        if self._draft is None:
            self._draft = Draft(capture_layout())
        return self._draft

    def _add_folder(self, path: str, folder: str) -> None:
        while folder not in self._folders:
            if folder in self._entries:
                raise ValueError(f"Cannot add the file {path!r}: the artifact has a file {folder!r}.")
            self._folders.add(folder)
            folder = folder.rpartition("/")[0]


def check_entry_path(name: str | os.PathLike[str]) -> str:
    """Return a normalised path inside an artifact.

    Raises:
        ValueError: The path is empty, contains ``..`` or contains a null character.
    """
    text = os.fspath(name)
    parts = [part for part in text.replace(os.sep, "/").split("/") if part not in ("", ".")]
    path = "/".join(parts)
    if not parts or ".." in parts or "\0" in path:
        raise ValueError(f"Invalid path inside an artifact: {text!r}. Use a relative path without '..'.")
    if not path.isascii():
        path = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return path


def files_below(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the relative path and the directory entry of every file in a folder and its subfolders.

    Links to files and folders are followed.
    """
    above: set[tuple[int, int]] = set()

    def walk(path: str, inside: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        found = os.stat(path)
        file_id = (found.st_dev, found.st_ino)
        if file_id in above:
            return  # a link to a parent folder
        above.add(file_id)
        with os.scandir(path) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
        for entry in entries:
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError:
                continue  # a link to itself; skipped, as a link to a missing file is
            if is_folder:
                yield from walk(entry.path, f"{inside}{entry.name}/")
            elif is_file:
                yield inside + entry.name, entry
        above.discard(file_id)

    return walk(os.fspath(folder), "")


def as_plain_metadata(metadata: Any) -> dict[str, Any]:
    """Return an artifact's metadata as plain values.

    Raises:
        TypeError: The metadata is not a dict, or has a value without a plain form.
    """
    from tracker.ground.values import to_plain

    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise TypeError(f"metadata must be dict, not {type(metadata)}")
    plain: dict[str, Any] = to_plain(metadata)
    return plain
