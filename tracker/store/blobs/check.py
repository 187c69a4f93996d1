"""Reading stored content again: which files of a version are missing, or not what its manifest says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Literal, NamedTuple

from tracker.errors import ArtifactError, NotFoundError
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.manifest import Entry, read_manifest

State = Literal["whole", "missing", "damaged"]


class Fault(NamedTuple):
    """A file of a version that cannot be had as it was; an empty path stands for the list of its files."""

    path: str
    what: State
    blob: str


class Checker:
    """Checks versions of one store; a blob that several of them share is read once."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._known: dict[str, State] = {}
        self.bytes = 0

    def check(self, manifest: str) -> Iterator[Fault]:
        """Yield what is wrong with the version that has this manifest."""
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
                continue  # a reference: its bytes are not here
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
        """Return how one of the files is whose pack is damaged somewhere."""
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
            return "damaged"  # the disk refuses to read it
        return "whole" if digest.hexdigest() == expected else "damaged"
