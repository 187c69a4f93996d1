"""The journal of a file that is shown in place, and links to files that are not copied."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from tracker.errors import NotFoundError
from tracker.ground.processes import host_name
from tracker.ground.records import ArtifactLogged, ConfigChanged
from tracker.importing.output import Output
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.manifest import Entry
from tracker.store.objects.atomic_files import make_folder, open_regular
from tracker.store.objects.digests import Digests, sha256_of_file
from tracker.store.objects.layout import JournalPath, Layout


class GrowingOutput(Output):
    """An output whose journal is applied while it grows. Files of the source are linked, not copied.

    Attributes:
        journal: The journal.
    """

    journal: JournalPath
    _buffer: BytesIO
    _internal_written: dict[str, Any]

    def _open(self, layout: Layout) -> IO[bytes]:
        path = layout.journal(host_name(), self.segment, 0)
        make_folder(path.parent, durable=False)
        self.journal = JournalPath(path, self.segment, 0)
        self._buffer, self._internal_written = BytesIO(), {}
        return self._buffer

    @property
    def waiting(self) -> int:
        """Number of bytes that ``flush`` would write."""
        return self._buffer.tell()

    def flush(self) -> None:
        """Append the records so far to the journal."""
        if data := self._buffer.getvalue():
            with self.journal.path.open("ab", buffering=0) as file:
                size = file.tell()
                try:
                    if file.write(data) != len(data):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                except OSError:
                    file.truncate(size)
                    raise
            self._buffer.seek(0)
            self._buffer.truncate()

    def rest(self) -> None:
        """Write data that waits for more: the program has written nothing for a moment."""
        if self.muted or (self.continues and self.is_empty):
            return
        self._flush_lines(last=True)
        if self.internal != self._internal_written:
            self._internal_written = dict(self.internal)
            self.put(ConfigChanged({"_wandb": dict(self.internal)}))

    def end(self, imported: dict[str, Any]) -> None:
        """Write the last records. For the argument, see ``Output.publish``."""
        self._write_end(imported)
        self.flush()

    def artifact(self, record: ArtifactLogged, entries: Mapping[str, Path | Any]) -> None:
        """Write an artifact whose entries are references to the files in place. Their content is not read."""
        found: dict[str, Any] = {}
        for path, each in entries.items():
            if isinstance(each, Path) and each.is_file():
                uri = each.resolve().as_uri()
                found[path] = Entry(path, hashlib.md5(uri.encode()).hexdigest(), each.stat().st_size, ref=uri)
            else:
                found[path] = each  # a missing file is reported below
        super().artifact(record, found)

    def _add_file(self, path: Path) -> Digests:
        target = path.resolve()
        digest = sha256_of_file(target)
        place = self._blobs.place(digest)
        if not os.path.lexists(place):
            make_folder(place.parent, durable=False)
            place.symlink_to(target)
        return Digests(digest, "", target.stat().st_size)


class LinkedBlobs(BlobStore):
    """Blobs that can be links to files outside the store. Those files are only read."""

    @classmethod
    def of(cls, blobs: BlobStore) -> LinkedBlobs:
        """Return the blobs of an open store."""
        return cls(blobs._layout, blobs._find)

    def path(self, sha256: str) -> Path:
        """Return the path of a blob, or of the file that it links to."""
        path = super().path(sha256)
        return path.readlink() if path.is_symlink() else path

    def touch(self, sha256: str) -> bool:
        """Return whether the blob is there. Blobs of this store are not collected."""
        return self.path(sha256).is_file()

    def sync(self, sha256: str) -> None:
        """Do nothing: the store can be made again."""

    def open(self, sha256: str) -> IO[bytes]:
        """Open a blob for reading.

        Raises:
            NotFoundError: The store does not have the content as a blob, or the linked file is gone.
        """
        try:
            return os.fdopen(open_regular(self.path(sha256)), "rb")
        except FileNotFoundError:
            raise NotFoundError(f"content {sha256} is not in the folder any more") from None
