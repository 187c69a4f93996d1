"""What an artifact consists of: a draft's captured files, or a version's manifest."""

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
    """The files of one artifact, by path. Knows nothing of versions and aliases."""

    def __init__(self, manifest: Manifest | None = None) -> None:
        self._manifest = manifest
        self._by_path: dict[str, Entry] | None = None
        self._entries: dict[str, DraftEntry] = {}
        self._folders: set[str] = {""}
        self._draft: Draft | None = None

    def keep(self, manifest: Manifest) -> None:
        """Take over an earlier version's files, but for those of whose path the draft has one."""
        for entry in manifest.entries:
            if entry.path not in self._entries:
                self.add(DraftEntry(entry.path, stored=entry), overwrite=False)

    # Adding

    def capture(self, source: str | os.PathLike[str], *, immutable: bool) -> Captured:
        """Take a file's present content."""
        return self._open_draft().capture_file(source, immutable=immutable)

    def capture_bytes(self, data: bytes) -> Captured:
        """Take a content that is in memory."""
        return self._open_draft().capture_bytes(data)

    def new_file(self) -> Path:
        """Return where to write a new content that ``capture_new`` takes."""
        return self._open_draft().new_file()

    def capture_new(self, path: Path) -> Captured:
        """Take a content that was written where ``new_file`` said."""
        return self._open_draft().capture_new(path)

    def add(self, entry: DraftEntry, *, overwrite: bool) -> DraftEntry:
        """Give a content its place; return the entry.

        Raises:
            ValueError: The path is none, is taken by another content, or would be file and folder at once.
        """
        path = entry.path
        folder = path.rpartition("/")[0]
        if folder not in self._folders:
            self._add_folder(path, folder)
        if path in self._folders:
            raise ValueError(f"{path!r} cannot be a file: other files of the artifact are below it")
        known = self._entries.get(path)
        if known is not None and not overwrite and self.settled(known).digest != self.settled(entry).digest:
            raise ValueError(f"Cannot add the same path twice: {path!r}; pass overwrite=True to replace it")
        self._entries[path] = entry
        return entry

    def remove(self, path: str) -> int:
        """Take a file, or all files below a folder, out of a draft; return how many that were."""
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
        """Return all entries in path order."""
        if self._manifest is not None:
            return self._manifest.entries
        return [self._entries[path] for path in sorted(self._entries)]

    def find(self, path: str) -> Entry | DraftEntry | None:
        """Return one entry; None when there is no file of that path."""
        if self._manifest is None:
            return self._entries.get(path)
        if self._by_path is None:
            self._by_path = {entry.path: entry for entry in self._manifest.entries}
        return self._by_path.get(path)

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        if self._manifest is not None:
            return self._manifest.size
        return sum(entry.size for entry in self._entries.values())

    @property
    def manifest(self) -> Manifest:
        """The manifest; a draft's is computed, digests of large files included."""
        if self._manifest is not None:
            return self._manifest
        return make_manifest(self.settled(entry) for entry in self._entries.values())

    def settled(self, entry: DraftEntry) -> Entry:
        """Return a draft's entry with its digests; where its bytes will lie is not known yet."""
        if entry.captured is None:
            assert entry.stored is not None
            return entry.stored
        assert self._draft is not None
        digests = self._draft.digests(entry.captured)
        return Entry(entry.path, digests.md5, digests.size, digests.sha256)

    # Logging

    def finish(self, layout: Layout) -> str:
        """Write down what the draft consists of, in the store or outbox of the run; return its token.

        Raises:
            OSError: The store cannot be written.
        """
        draft = self._open_draft()
        if draft.layout.root != layout.root:
            draft.move(layout)
        draft.finish(list(self._entries.values()))
        return draft.token

    def _open_draft(self) -> Draft:
        if self._draft is None:
            self._draft = Draft(capture_layout())
        return self._draft

    def _add_folder(self, path: str, folder: str) -> None:
        while folder not in self._folders:
            if folder in self._entries:
                raise ValueError(f"{path!r} cannot stand beside {folder!r}: one is the folder of the other")
            self._folders.add(folder)
            folder = folder.rpartition("/")[0]


def check_entry_path(name: str | os.PathLike[str]) -> str:
    """Return a name as a path inside an artifact.

    Raises:
        ValueError: It is empty, or leads out of the artifact.
    """
    text = os.fspath(name)
    parts = [part for part in text.replace(os.sep, "/").split("/") if part not in ("", ".")]
    path = "/".join(parts)
    if not parts or ".." in parts or "\0" in path:
        raise ValueError(f"{text!r} is no name for a file inside an artifact")
    if not path.isascii():
        path = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return path


def files_below(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield every file below a folder, links to files and folders followed, with its path relative to it."""
    above: set[tuple[int, int]] = set()

    def walk(path: str, inside: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        found = os.stat(path)
        file_id = (found.st_dev, found.st_ino)
        if file_id in above:
            return  # a link to a folder that it lies in
        above.add(file_id)
        with os.scandir(path) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
        for entry in entries:
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError:
                continue  # a link to itself leads nowhere, as one to a file that is gone
            if is_folder:
                yield from walk(entry.path, f"{inside}{entry.name}/")
            elif is_file:
                yield inside + entry.name, entry
        above.discard(file_id)

    return walk(os.fspath(folder), "")


def as_plain_metadata(metadata: Any) -> dict[str, Any]:
    """Return an artifact's metadata as plain values.

    Raises:
        TypeError: It is no dict.
    """
    from tracker.ground.values import to_plain

    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise TypeError(f"metadata must be dict, not {type(metadata)}")
    plain: dict[str, Any] = to_plain(metadata)
    return plain
