"""An artifact's manifest: the list of its entries, kept as a blob of JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from tracker.errors import ArtifactError
from tracker.store.blobs import Blob, BlobStore


class Entry(msgspec.Struct, frozen=True):
    """One file of an artifact.

    Attributes:
        path: Its name inside the artifact, with ``/``.
        digest: Base64 of the MD5 of its bytes, as in wandb's manifests.
        size: Bytes.
        sha256: The blob that holds its bytes.
    """

    path: str
    digest: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """The entries of an artifact version, ordered by path."""

    entries: list[Entry]
    format: int = 1

    @property
    def digest(self) -> str:
        """The artifact's digest, equal to wandb's for the same files."""
        digest = hashlib.md5(b"wandb-artifact-manifest-v1\n", usedforsecurity=False)
        for entry in self.entries:
            digest.update(f"{entry.path}:{entry.digest}\n".encode())
        return digest.hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all entries together."""
        return sum(entry.size for entry in self.entries)


def make_manifest(entries: Iterable[Entry]) -> Manifest:
    """Return a manifest with ``entries`` in path order."""
    return Manifest(sorted(entries, key=lambda entry: entry.path))


def write_manifest(blobs: BlobStore, manifest: Manifest) -> Blob:
    """Store a manifest; return the blob that a record names."""
    return blobs.add_bytes(msgspec.json.encode(manifest))


def read_manifest(blobs: BlobStore, sha256: str) -> Manifest:
    """Return the manifest kept as blob ``sha256``.

    Raises:
        NotFoundError: The blob is not in the store.
        ArtifactError: It is damaged.
    """
    data = blobs.read(sha256)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ArtifactError(f"the manifest {sha256} is damaged: its bytes have another digest")
    try:
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise ArtifactError(f"the manifest {sha256} cannot be read: {error}") from error
