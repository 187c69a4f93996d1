"""Drafts: the files that an artifact has captured, on their way to becoming blobs.

drafts/TOKEN/owner.json     the process that makes it
drafts/TOKEN/0, 1, ...      files, captured one by one
drafts/TOKEN/pack           small files, one behind the other
drafts/TOKEN/draft.json     what the artifact consists of; written when it is logged
drafts/TOKEN/settled.json   the manifest that it became; written by ``tracker.store.blobs.finalize``
drafts/TOKEN.json           the same, until the segment is sealed; in an outbox for a day

A draft lies in the store's own folder, so what it captured becomes a blob without another copy. Capturing
computes no digest of a large file: whoever applies the journal does.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import IO

import msgspec

from tracker.errors import StoreError
from tracker.ground.group_files import create, is_shared_by_group, share
from tracker.ground.parsed_types import Count, DigestOrEmpty, FileNumber
from tracker.ground.processes import this_process
from tracker.ground.records import Process
from tracker.store.blobs.manifest import Entry
from tracker.store.objects.atomic_files import make_folder
from tracker.store.objects.cloning import clone
from tracker.store.objects.digests import Digests, digests_of, digests_of_file
from tracker.store.objects.layout import Layout

# Smaller files go into the draft's pack: one inode for many of them. Two digests of 256 KiB cost 0.7 ms on
# the caller's thread; a file of its own costs a create, a link, two fsyncs and an unlink.
PACKED_BELOW = 256 * 1024
PACK = "pack"
_PIECE = 1024 * 1024

# Inode, size, mtime and ctime (ns) of a hard link: whether somebody has written to it since.
Guard = tuple[int, int, int, int]


class Captured(msgspec.Struct, omit_defaults=True, gc=False):
    """One content that a draft has taken.

    Attributes:
        size: Bytes.
        file: Name of its own file in the draft's folder; None when it stands in the pack.
        offset: Where it begins in the pack.
        md5: Base64, once known.
        sha256: Hex, once known.
        guard: State of the file when it was linked; None for a copy that nobody else can reach.
    """

    size: Count
    file: FileNumber | None = None
    offset: Count = 0
    md5: str = ""
    sha256: DigestOrEmpty = ""
    guard: Guard | None = None


class DraftEntry(msgspec.Struct, omit_defaults=True, gc=False):
    """One file of a draft: a captured content, or an entry that has its place already."""

    path: str
    captured: Captured | None = None
    stored: Entry | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        if self.captured is not None:
            return self.captured.size
        return self.stored.size if self.stored is not None else 0


class DraftFile(msgspec.Struct):
    """``draft.json``."""

    entries: list[DraftEntry]
    format: int = 1


_decode = msgspec.json.Decoder(DraftFile).decode
_decode_owner = msgspec.json.Decoder(Process).decode


class Draft:
    """The capturing side of one artifact that is being made. Not for several threads at once.

    Args:
        layout: The store or outbox that it is made in; the folders are there.

    Raises:
        OSError: The folder cannot be made.
    """

    def __init__(self, layout: Layout) -> None:
        self.token = os.urandom(16).hex()
        self.layout = layout
        self.folder = layout.draft(self.token)
        make_folder(self.folder, durable=False)
        with open(self.folder / "owner.json", "xb", opener=create) as file:
            file.write(msgspec.json.encode(this_process()))
        self._pack: IO[bytes] | None = None
        self._pack_size = 0
        self._packed: dict[str, Captured] = {}
        self._files = 0

    def capture_file(self, source: str | os.PathLike[str], *, immutable: bool = False) -> Captured:
        """Take a file's present content. When this returns, the caller may change or delete the file.

        Args:
            source: A regular file.
            immutable: The caller promises never to write to the file again: a hard link will do.

        Raises:
            OSError: It cannot be read, or the store not written.
        """
        small = _read_small(source)
        if small is not None:
            return self.capture_bytes(small)
        name = self._next_name()
        target = self.folder / name
        how = clone(source, target, link=immutable and not is_shared_by_group(target))
        found = target.stat()
        return Captured(found.st_size, name, guard=guard_of(found) if how == "link" else None)

    def capture_bytes(self, data: bytes) -> Captured:
        """Take a content that is in memory."""
        digests = digests_of(data)
        known = self._packed.get(digests.sha256)
        if known is not None:
            return known
        if self._pack is None:
            self._pack = (self.folder / PACK).open("xb", buffering=_PIECE)
        self._pack.write(data)
        taken = Captured(len(data), None, self._pack_size, digests.md5, digests.sha256)
        self._pack_size += len(data)
        self._packed[digests.sha256] = taken
        return taken

    def new_file(self) -> Path:
        """Return where a new content can be written; ``capture_new`` takes it from there."""
        return self.folder / self._next_name()

    def capture_new(self, path: Path) -> Captured:
        """Take a file that was written at a path which ``new_file`` gave."""
        size = path.stat().st_size
        if size < PACKED_BELOW:
            taken = self.capture_bytes(path.read_bytes())
            path.unlink()
            return taken
        return Captured(size, path.name)

    def digests(self, taken: Captured) -> Digests:
        """Return the digests of a captured content; computed when first asked for."""
        if not taken.sha256:
            assert taken.file is not None
            taken.sha256, taken.md5, _ = digests_of_file(self.folder / taken.file)
        return Digests(taken.sha256, taken.md5, taken.size)

    def finish(self, entries: list[DraftEntry]) -> None:
        """Write down what the artifact consists of; a record may then name the draft."""
        if self._pack is not None:
            self._pack.close()
        data = msgspec.json.encode(DraftFile(entries))
        temporary = self.layout.new_temporary()
        temporary.write_bytes(data)
        os.replace(temporary, self.folder / "draft.json")
        if is_shared_by_group(self.folder):
            for path in self.folder.iterdir():
                if path.lstat().st_nlink == 1:  # else it is the user's own file too
                    share(path)

    def move(self, layout: Layout) -> None:
        """Move the draft to another store or outbox, before it is finished."""
        if self._pack is not None:
            self._pack.flush()
        target = layout.draft(self.token)
        make_folder(target, durable=False)
        for path in self.folder.iterdir():
            shutil.move(path, target)
        self.folder.rmdir()
        self.layout, self.folder = layout, target
        if self._pack is not None:
            self._pack.close()
            self._pack = (target / PACK).open("ab", buffering=_PIECE)

    def _next_name(self) -> str:
        self._files += 1
        return str(self._files - 1)


def _read_small(source: str | os.PathLike[str]) -> bytes | None:
    """Return a file's content if it goes into the pack."""
    # Not a file object: of very many files, making those is what takes longest.
    descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        if size >= PACKED_BELOW:
            return None
        data = os.read(descriptor, size + 1)
        while len(data) < PACKED_BELOW and (more := os.read(descriptor, PACKED_BELOW - len(data))):
            data += more  # somebody is writing to it
        return data if len(data) < PACKED_BELOW else None
    finally:
        os.close(descriptor)


def guard_of(found: os.stat_result) -> Guard:
    """Return what shows that a file was not written to."""
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def read_draft(layout: Layout, token: str) -> DraftFile:
    """Return what a logged draft consists of.

    Raises:
        StoreError: It is not here, or damaged.
    """
    path = layout.draft(token) / "draft.json"
    try:
        return _decode(path.read_bytes())
    except FileNotFoundError:
        raise StoreError(f"the files of a logged artifact are not here (yet): {path} is missing") from None
    except msgspec.DecodeError as error:
        raise StoreError(f"{path} is damaged: {error}") from error


def owner_of(folder: Path) -> Process | None:
    """Return which process makes, or made, the draft in ``folder``; None when it does not say."""
    try:
        return _decode_owner((folder / "owner.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
