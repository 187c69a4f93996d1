"""Drafts: the captured files of an artifact before they become blobs.

drafts/TOKEN/owner.json     the process that creates the draft
drafts/TOKEN/0, 1, ...      captured files
drafts/TOKEN/pack           small files, one after another
drafts/TOKEN/draft.json     the list of files, written when the artifact is logged
drafts/TOKEN/settled.json   the resulting manifest, written by ``tracker.store.blobs.finalize``
drafts/TOKEN.json           the same content, kept until the segment is sealed, in an outbox for a day

A draft is in the folder of the store, so its files become blobs without another copy. Capturing a large file
does not compute its digests. The process that applies the journal computes them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

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

# Smaller files are stored in the pack of the draft: one inode for many files. Two digests of 256 KiB take
# 0.7 ms on the caller's thread. A separate file needs a create, a link, two fsyncs and an unlink.
PACKED_BELOW = 256 * 1024
PACK = "pack"
_PIECE = 1024 * 1024

# Inode, size, mtime and ctime (ns) of a hard link, to detect a later write to the file.
Guard = tuple[int, int, int, int]


class Captured(msgspec.Struct, omit_defaults=True, gc=False):
    """One content that a draft has captured.

    Attributes:
        size: Size in bytes.
        file: Name of its file in the folder of the draft; None for a content in the pack.
        offset: Offset in the pack, in bytes.
        md5: MD5 in Base64; empty until it is computed.
        sha256: SHA-256 in hex; empty until it is computed.
        guard: State of the file when it was linked; None for a copy, which only the draft uses.
    """

    size: Count
    file: FileNumber | None = None
    offset: Count = 0
    md5: str = ""
    sha256: DigestOrEmpty = ""
    guard: Guard | None = None


class DraftEntry(msgspec.Struct, omit_defaults=True, gc=False):
    """One file of a draft: a captured content, or an entry whose content is in the store already.

    Attributes:
        path: Path inside the artifact.
        captured: The captured content.
        stored: The entry.
        extra: More data of the entry of a captured content.
    """

    path: str
    captured: Captured | None = None
    stored: Entry | None = None
    extra: dict[str, Any] = {}

    @property
    def size(self) -> int:
        """Size in bytes."""
        if self.captured is not None:
            return self.captured.size
        return self.stored.size if self.stored is not None else 0


class DraftFile(msgspec.Struct):
    """``draft.json``.

    Attributes:
        entries: The files.
        format: Version of the file's format.
        versions: Full names of the versions from which the draft took files.
    """

    entries: list[DraftEntry]
    format: int = 1
    versions: list[str] = []


_decode = msgspec.json.Decoder(DraftFile).decode
_decode_owner = msgspec.json.Decoder(Process).decode


class Draft:
    """The draft of one artifact that this process creates. Only one thread at a time may use a draft.

    Args:
        layout: The paths of the store or outbox for the draft. Its folders must exist.

    Raises:
        OSError: The folder of the draft cannot be created.
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
        """Capture the current content of a file. The caller may change or delete the file afterwards.

        Args:
            source: A regular file.
            immutable: Whether the caller promises never to write to the file again. Then a hard link may
                replace the copy.

        Raises:
            OSError: The file cannot be read, or the store cannot be written.
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
        """Capture a content in memory. It is stored in the pack, each content once."""
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
        """Return a path where the caller can write a file, to capture it with ``capture_new``."""
        return self.folder / self._next_name()

    def capture_new(self, path: Path) -> Captured:
        """Capture a file at a path that ``new_file`` has returned."""
        size = path.stat().st_size
        if size < PACKED_BELOW:
            taken = self.capture_bytes(path.read_bytes())
            path.unlink()
            return taken
        return Captured(size, path.name)

    def digests(self, taken: Captured) -> Digests:
        """Return the digests of a captured content. The first call computes them."""
        if not taken.sha256:
            assert taken.file is not None
            taken.sha256, taken.md5, _ = digests_of_file(self.folder / taken.file)
        return Digests(taken.sha256, taken.md5, taken.size)

    def finish(self, entries: list[DraftEntry], versions: Sequence[str] = ()) -> None:
        """Write ``draft.json``. After that a record may name the draft.

        Args:
            entries: The files.
            versions: Full names of the versions from which the draft took files.
        """
        if self._pack is not None:
            self._pack.close()
        data = msgspec.json.encode(DraftFile(entries, versions=[*versions]))
        temporary = self.layout.new_temporary()
        temporary.write_bytes(data)
        os.replace(temporary, self.folder / "draft.json")
        if is_shared_by_group(self.folder):
            for path in self.folder.iterdir():
                if path.lstat().st_nlink == 1:  # a file with more links is also the user's own file
                    share(path)

    def move(self, layout: Layout) -> None:
        """Move the draft to another store or outbox. Call this before ``finish``."""
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
    """Return the content of a file that is small enough for the pack, else None."""
    # A file descriptor, because creating file objects takes most of the time for many files.
    descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        if size >= PACKED_BELOW:
            return None
        data = os.read(descriptor, size + 1)
        while len(data) < PACKED_BELOW and (more := os.read(descriptor, PACKED_BELOW - len(data))):
            data += more  # another process is writing to the file
        return data if len(data) < PACKED_BELOW else None
    finally:
        os.close(descriptor)


def guard_of(found: os.stat_result) -> Guard:
    """Return the state of a file that changes when the file is written to."""
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def read_draft(layout: Layout, token: str) -> DraftFile:
    """Return the content of ``draft.json`` of a logged draft.

    Raises:
        StoreError: The file is missing or damaged.
    """
    path = layout.draft(token) / "draft.json"
    try:
        return _decode(path.read_bytes())
    except FileNotFoundError:
        raise StoreError(f"{path} is missing: the files of a logged artifact have not arrived yet") from None
    except msgspec.DecodeError as error:
        raise StoreError(f"{path} is damaged: {error}") from error


def owner_of(folder: Path) -> Process | None:
    """Return the process that created the draft in ``folder``, or None if ``owner.json`` is unreadable."""
    try:
        return _decode_owner((folder / "owner.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
