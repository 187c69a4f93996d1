"""Content-addressed files: SHA-256 in, written once, never handed out writable."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from tracker.errors import ArtifactError, NotFoundError
from tracker.ground.group_files import protect
from tracker.store.objects.atomic_files import make_folder, open_regular, sync_named
from tracker.store.objects.digests import Digests, digests_of
from tracker.store.objects.layout import Layout

CHUNK = 1024 * 1024


class NewBlob:
    """A blob that is being written under a temporary name; gone unless ``keep`` is called.

    Not forced to the disk here, where training may wait: see ``BlobStore.sync``.
    """

    def __init__(self, blobs: BlobStore, temporary: Path) -> None:
        self._blobs = blobs
        self._temporary = temporary
        self._file = temporary.open("xb")
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._size = 0

    def write(self, chunk: bytes) -> None:
        """Add a piece."""
        self._sha256.update(chunk)
        self._md5.update(chunk)
        self._size += len(chunk)
        self._file.write(chunk)

    def keep(self, expect: str | None = None, *, as_pack: bool = False) -> Digests:
        """Give the content its name and return it.

        Args:
            expect: The SHA-256 that it must have, when known.
            as_pack: The content is a pack with an index.

        Raises:
            ArtifactError: It has another one; nothing is stored.
        """
        self._file.flush()
        digest = self._sha256.hexdigest()
        if expect is not None and digest != expect:
            raise ArtifactError(f"content was announced as SHA-256 {expect} but has {digest}: send it again")
        known = self._blobs.pack_path(digest) if as_pack else self._blobs.path(digest)
        if not (self._is_there(known) and self._blobs.touch(digest)):
            protect(self._temporary, self._file.fileno())
            target = known if as_pack else self._blobs.place(digest)
            make_folder(target.parent, durable=False)
            os.replace(self._temporary, target)
        return Digests(digest, base64.b64encode(self._md5.digest()).decode(), self._size)

    def _is_there(self, target: Path) -> bool:
        try:
            return target.stat().st_size == self._size  # else a power cut left a name without its content
        except FileNotFoundError:
            return False

    def __enter__(self) -> NewBlob:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._file.close()  # writes what is buffered, which a full disk refuses once more
        finally:
            self._temporary.unlink(missing_ok=True)


class Piece(NamedTuple):
    """Where a content is that has no blob of its own.

    Attributes:
        pack: SHA-256 of the blob.
        offset: Where it begins in the blob.
        size: Bytes.
    """

    pack: str
    offset: int
    size: int


class BlobStore:
    """The blobs of one store.

    Args:
        layout: The store or outbox.
        find: Says where a content is that has no blob of its own. Without a catalog nobody knows.
    """

    def __init__(self, layout: Layout, find: Callable[[str], Piece | None] = lambda _: None) -> None:
        self._layout = layout
        self._find = find

    @property
    def root(self) -> Path:
        """The folder of the store or outbox that holds the blobs."""
        return self._layout.root

    def path(self, sha256: str) -> Path:
        """Return the blob's file, or the name that it gets; open it for reading only."""
        places = self._layout.blob_places(sha256)
        return next((place for place in places if place.exists()), places[0])

    def place(self, sha256: str) -> Path:
        """Where a new blob goes."""
        return self._layout.blob(sha256)

    def pack_path(self, sha256: str) -> Path:
        """Return the name that a pack with an index gets."""
        return self._layout.pack(sha256)

    def has(self, sha256: str) -> bool:
        """Whether the content is there, as a blob or in a pack."""
        if self.path(sha256).is_file():
            return True
        piece = self._find(sha256)
        return piece is not None and self.path(piece.pack).is_file()

    def touch(self, sha256: str) -> bool:
        """Keep a blob from garbage collection for the grace period; return whether that could be done.

        Whoever is about to name a blob that is there already calls this first. Of another user's blob it
        cannot be done, unless a group shares the store: store the content again, in its place. One that has
        another name too (a draft's, or the user's own file, whose time must not change) is not collected
        anyway.
        """
        if self._layout.is_copy:  # its blobs are another's, which are not changed
            return self.path(sha256).is_file()
        path = self.path(sha256)
        try:
            if path.stat().st_nlink == 1:
                os.utime(path)
        except (FileNotFoundError, PermissionError):
            return False
        return True

    def adopt(self, file: Path, sha256: str) -> None:
        """Give a finished file of this file system its second name, as the blob that it is.

        The file itself stays; nobody may write to it any more.
        """
        found = file.stat()
        # One of another size is a name that a power cut left without its content.
        if self.touch(sha256) and self.path(sha256).stat().st_size == found.st_size:
            return
        target = self.place(sha256)
        make_folder(target.parent, durable=False)
        temporary = self._layout.new_temporary()
        if file.is_symlink():  # in a private copy: the file is in the store that is read
            temporary.symlink_to(file.readlink())
        else:
            if found.st_nlink == 1:
                protect(file)
            os.link(file, temporary)
        os.replace(temporary, target)
        temporary.unlink(missing_ok=True)  # rename leaves it when both are one file already

    def name(self, data: bytes) -> Digests:
        """Return what ``data`` would be called here, without storing it."""
        return digests_of(data)

    def add_bytes(self, data: bytes) -> Digests:
        """Store ``data``; return its name. When this returns, the bytes are safe."""
        return self.add_chunks((data,))

    def add_chunks(self, chunks: Iterable[bytes]) -> Digests:
        """Store content that arrives in pieces; return its name."""
        with self.open_new() as new:
            for chunk in chunks:
                new.write(chunk)
            return new.keep()

    def open_new(self) -> NewBlob:
        """Begin a blob whose content is written piece by piece."""
        make_folder(self._layout.temporary, durable=False)
        return NewBlob(self, self._layout.new_temporary())

    def sync(self, sha256: str) -> None:
        """Force a blob to the disk; done before a catalog commit names it. An absent one is passed over."""
        if not self._layout.is_copy:
            sync_named(self.path(sha256))  # one that did not come with its journal: readers say so

    def read(self, sha256: str) -> bytes:
        """Return a small blob's content.

        Raises:
            NotFoundError: It is not in the store.
        """
        return b"".join(self.chunks(sha256))

    def chunks(self, sha256: str, offset: int = 0, size: int | None = None) -> Iterator[bytes]:
        """Yield a blob's content in pieces, or ``size`` bytes of it from ``offset`` on.

        Raises:
            NotFoundError: It is not in the store.
        """
        try:
            file = self._open(sha256)
        except NotFoundError:
            piece = self._find(sha256)
            if piece is None or piece.pack == sha256:
                raise
            left = max(piece.size - offset, 0)
            size = left if size is None else min(size, left)
            yield from self.chunks(piece.pack, piece.offset + offset, size)
            return
        with file:
            file.seek(offset)
            left = size if size is not None else os.fstat(file.fileno()).st_size
            while left > 0 and (chunk := file.read(min(CHUNK, left))):
                left -= len(chunk)
                yield chunk

    def _open(self, sha256: str) -> IO[bytes]:
        places = self._layout.blob_places(sha256)
        # Garbage collection takes a blob away for a moment, and gives it back when somebody has touched it.
        for place in (*places, *(self._layout.trash / place.name for place in places), *places):
            with suppress(FileNotFoundError):
                return os.fdopen(open_regular(place), "rb")
        raise NotFoundError(f"content {sha256} is not in the store {self._layout.source}")
