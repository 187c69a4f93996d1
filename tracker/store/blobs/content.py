"""Blobs: files that are named by the SHA-256 of their content and never change."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from tracker.errors import ArtifactError, NotFoundError
from tracker.ground.group_files import protect
from tracker.store.objects.atomic_files import force, make_folder, open_regular, sync_named
from tracker.store.objects.digests import SMALL, Digests, Hashing, digests_of
from tracker.store.objects.layout import Layout

CHUNK = 1024 * 1024


class NewBlob:
    """A blob that is being written to a temporary file. ``keep`` gives the blob its name.

    Use it as a context manager, which removes the temporary file at the end. The content is not forced to the
    disk, because training may wait for this call: see ``BlobStore.sync``.
    """

    def __init__(self, blobs: BlobStore, temporary: Path, *, small: bool) -> None:
        self._blobs = blobs
        self._temporary = temporary
        self._file = temporary.open("xb")
        self._hashing = Hashing(small=small)

    def write(self, chunk: bytes) -> None:
        """Append bytes."""
        self._hashing.update(chunk)
        self._file.write(chunk)

    def force(self) -> None:
        """Force the content so far to the disk."""
        self._file.flush()
        force(self._file.fileno())

    def keep(self, expect: str | None = None, *, as_pack: bool = False) -> Digests:
        """Give the content its name in the store and return its digests.

        Args:
            expect: The SHA-256 that the content must have, if the caller knows it.
            as_pack: Whether the content is a pack with an index.

        Raises:
            ArtifactError: The content has another SHA-256. Nothing is stored.
        """
        self._file.flush()
        found = self._hashing.digests()
        digest = found.sha256
        if expect is not None and digest != expect:
            raise ArtifactError(
                f"the received content has SHA-256 {digest}, but {expect} was announced: send it again"
            )
        known = self._blobs.pack_path(digest) if as_pack else self._blobs.path(digest)
        if not (self._is_there(known, found.size) and self._blobs.touch(digest)):
            protect(self._temporary, self._file.fileno())
            target = known if as_pack else self._blobs.place(digest)
            make_folder(target.parent, durable=False)
            os.replace(self._temporary, target)
        return found

    def _is_there(self, target: Path, size: int) -> bool:
        try:
            # A file of another size was left by a power loss: its name survived, its content did not.
            return target.stat().st_size == size
        except FileNotFoundError:
            return False

    def __enter__(self) -> NewBlob:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._file.close()  # writes the buffer, which fails again on a full disk
        finally:
            self._temporary.unlink(missing_ok=True)


class Piece(NamedTuple):
    """The place of a content inside a pack.

    Attributes:
        pack: SHA-256 of the pack.
        offset: Offset of the content in the pack, in bytes.
        size: Size of the content in bytes.
    """

    pack: str
    offset: int
    size: int


class BlobStore:
    """The blobs of one store or outbox.

    Args:
        layout: The paths of the store or outbox.
        find: Returns the place of a content in a pack, given its SHA-256. The default, for use without a
            catalog, finds none.
    """

    def __init__(self, layout: Layout, find: Callable[[str], Piece | None] = lambda _: None) -> None:
        self._layout = layout
        self._find = find

    @property
    def root(self) -> Path:
        """The folder of the store or outbox."""
        return self._layout.root

    def path(self, sha256: str) -> Path:
        """Return the path of an existing or future blob. Open the file only for reading."""
        places = self._layout.blob_places(sha256)
        return next((place for place in places if place.exists()), places[0])

    def place(self, sha256: str) -> Path:
        """Return the path for a new blob."""
        return self._layout.blob(sha256)

    def pack_path(self, sha256: str) -> Path:
        """Return the path for a new pack with an index."""
        return self._layout.pack(sha256)

    def has(self, sha256: str) -> bool:
        """Return whether the store has the content, as a blob or in a pack."""
        if self.path(sha256).is_file():
            return True
        piece = self._find(sha256)
        return piece is not None and self.path(piece.pack).is_file()

    def touch(self, sha256: str) -> bool:
        """Protect a blob from garbage collection for the grace period, by setting its mtime.

        Call this before a new record or file names an existing blob. A blob with other hard links (a file of
        a draft, or the user's own file, whose mtime must not change) is not touched, because garbage
        collection does not delete such a blob.

        Returns:
            False if the blob is missing, or if it belongs to another user and no group shares the store. Then
            store the content again.
        """
        if self._layout.is_copy:  # the blobs of a private copy belong to its source, which must not change
            return self.path(sha256).is_file()
        path = self.path(sha256)
        try:
            if path.stat().st_nlink == 1:
                os.utime(path)
        except (FileNotFoundError, PermissionError):
            return False
        return True

    def adopt(self, file: Path, sha256: str) -> None:
        """Make a blob from a finished file of this file system, as a hard link.

        The file keeps its name. It must not be written to any more.

        Args:
            file: The file.
            sha256: SHA-256 of its content.
        """
        found = file.stat()
        # A blob of another size was left by a power loss: its name survived, its content did not.
        if self.touch(sha256) and self.path(sha256).stat().st_size == found.st_size:
            return
        target = self.place(sha256)
        make_folder(target.parent, durable=False)
        temporary = self._layout.new_temporary()
        if file.is_symlink():  # in a private copy, a file of a draft is a link to the source store
            temporary.symlink_to(file.readlink())
        else:
            if found.st_nlink == 1:
                protect(file)
            os.link(file, temporary)
        os.replace(temporary, target)
        temporary.unlink(missing_ok=True)  # os.replace does nothing if both are links to the same file

    def name(self, data: bytes) -> Digests:
        """Return the digests of ``data`` without storing it."""
        return digests_of(data)

    def add_bytes(self, data: bytes) -> Digests:
        """Store ``data`` as a blob and return its digests.

        The blob survives a kill of the process, and a power loss after ``sync``.
        """
        return self.add_chunks((data,), small=len(data) <= SMALL)

    def add_chunks(self, chunks: Iterable[bytes], *, small: bool = False) -> Digests:
        """Store the joined ``chunks`` as a blob and return its digests. See ``Hashing`` for ``small``."""
        with self.open_new(small=small) as new:
            for chunk in chunks:
                new.write(chunk)
            return new.keep()

    def open_new(self, *, small: bool = False) -> NewBlob:
        """Return a new blob for writing in pieces. See ``Hashing`` for ``small``."""
        make_folder(self._layout.temporary, durable=False)
        return NewBlob(self, self._layout.new_temporary(), small=small)

    def sync(self, sha256: str) -> None:
        """Force a blob to the disk. Call this before a commit to the catalog names the blob.

        A missing blob is ignored, because readers report it.
        """
        if not self._layout.is_copy:
            sync_named(self.path(sha256))

    def read(self, sha256: str) -> bytes:
        """Return a content as one bytes object. Use ``chunks`` for a large content.

        Raises:
            NotFoundError: The content is not in the store.
        """
        return b"".join(self.chunks(sha256))

    def chunks(self, sha256: str, offset: int = 0, size: int | None = None) -> Iterator[bytes]:
        """Yield a content, or a range of it, in pieces of at most ``CHUNK`` bytes.

        Args:
            sha256: SHA-256 of the content, which may be a blob or in a pack.
            offset: First byte to yield.
            size: Number of bytes to yield. None: up to the end.

        Raises:
            NotFoundError: The content is not in the store.
        """
        try:
            file = self.open(sha256)
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

    def open(self, sha256: str) -> IO[bytes]:
        """Open a blob for reading.

        Raises:
            NotFoundError: The store does not have the content as a blob.
        """
        places = self._layout.blob_places(sha256)
        # Garbage collection moves a blob to the trash, and moves it back if the blob was touched meanwhile.
        for place in (*places, *(self._layout.trash / place.name for place in places), *places):
            with suppress(FileNotFoundError):
                return os.fdopen(open_regular(place), "rb")
        raise NotFoundError(f"content {sha256} is not in the store {self._layout.source}")
