"""Verification of stored content: finds missing and damaged files of versions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Literal, NamedTuple

from tracker.errors import ArtifactError, NotFoundError
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.manifest import Entry, read_manifest

State = Literal["whole", "missing", "damaged"]


class Fault(NamedTuple):
    """A missing or damaged file of a version.

    Attributes:
        path: Path of the file in the version; empty for the manifest of the version.
        state: ``missing`` or ``damaged``.
        blob: SHA-256 of the blob that contains the file.
    """

    path: str
    state: State
    blob: str


class Checker:
    """Checks versions of one store. Reads a blob once, even if several versions share the blob.

    Attributes:
        bytes: Bytes that were read so far.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._known: dict[str, State] = {}
        self.bytes = 0

    def check(self, manifest: str) -> Iterator[Fault]:
        """Yield the faults of a version.

        Args:
            manifest: SHA-256 of the manifest of the version.
        """
        try:
            entries = read_manifest(self._blobs, manifest).entries
        except NotFoundError:
            yield Fault("", "missing", manifest)
            return
        except ArtifactError:
            yield Fault("", "damaged", manifest)
            return
        for entry in entries:
            if entry.blob is None:
                continue  # a reference: its bytes are outside the store
            state = self._state(entry.blob)
            if state == "damaged" and entry.pack is not None:
                state = self._state_inside(entry)
            if state != "whole":
                yield Fault(entry.path, state, entry.blob)

    def _state(self, sha256: str) -> State:
        if sha256 not in self._known:
            self._known[sha256] = self._read(sha256, sha256, 0, None)
        return self._known[sha256]

    def _state_inside(self, entry: Entry) -> State:
        """Return the state of one file in a damaged pack. The damage may be in another file of the pack."""
        assert entry.pack is not None
        return self._read(entry.pack, entry.sha256, entry.offset, entry.size)

    def _read(self, blob: str, expected: str, offset: int, size: int | None) -> State:
        digest = hashlib.sha256()
        try:
            for chunk in self._blobs.chunks(blob, offset, size):
                digest.update(chunk)
                self.bytes += len(chunk)
        except NotFoundError:
            return "missing"
        except OSError:
            return "damaged"  # a read error of the disk
        return "whole" if digest.hexdigest() == expected else "damaged"
