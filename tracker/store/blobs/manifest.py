"""An artifact's manifest: the list of its entries, kept as a blob of JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from tracker.errors import ArtifactError
from tracker.ground.parsed_types import Count, Digest, DigestOrEmpty
from tracker.store.blobs.content import BlobStore
from tracker.store.objects.digests import Digests


class InvalidManifestError(ArtifactError):
    """The bytes are those that the digest names, and they are no manifest: no other copy will be one."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One file of an artifact.

    Attributes:
        path: Its name inside the artifact, with ``/``.
        digest: Base64 of the MD5 of its bytes, as in wandb's manifests; of a reference what its scheme gives.
        size: Bytes.
        sha256: SHA-256 of its bytes, and the blob that holds them; empty for a reference.
        pack: SHA-256 of the blob that holds its bytes among others; None when they are a blob of their own.
        offset: Where they begin in the pack.
        ref: URI of a reference, whose bytes are not here.
        extra: What its scheme needs to find the same bytes again (``etag``, ``versionID``).
    """

    path: str
    digest: str
    size: Count
    sha256: DigestOrEmpty = ""
    pack: Digest | None = None
    offset: Count = 0
    ref: str | None = None
    extra: dict[str, Any] = {}

    @property
    def blob(self) -> str | None:
        """The blob that must be in the store for this entry; None for a reference."""
        return self.pack or self.sha256 or None


class Manifest(msgspec.Struct, frozen=True):
    """The entries of an artifact version, ordered by path."""

    entries: list[Entry]
    format: int = 1

    @property
    def digest(self) -> str:
        """The artifact's digest, equal to wandb's for the same files."""
        lines = "".join([f"{entry.path}:{entry.digest}\n" for entry in self.entries])
        return hashlib.md5(f"wandb-artifact-manifest-v1\n{lines}".encode(), usedforsecurity=False).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all entries together."""
        return sum(entry.size for entry in self.entries)

    @property
    def blobs(self) -> list[str]:
        """The blobs that hold the entries' bytes, each once."""
        return list(dict.fromkeys(blob for entry in self.entries if (blob := entry.pack or entry.sha256)))


_decode = msgspec.json.Decoder(Manifest).decode


def make_manifest(entries: Iterable[Entry]) -> Manifest:
    """Return a manifest with ``entries`` in path order."""
    return Manifest(sorted(entries, key=lambda entry: entry.path))


def write_manifest(blobs: BlobStore, manifest: Manifest) -> Digests:
    """Store a manifest; return the blob that a record names."""
    return blobs.add_bytes(msgspec.json.encode(manifest))


def read_manifest(blobs: BlobStore, sha256: str) -> Manifest:
    """Return the manifest kept as blob ``sha256``.

    Raises:
        NotFoundError: The blob is not in the store.
        ArtifactError: It is damaged.
    """
    return parse_manifest(blobs.read(sha256), sha256)


def parse_manifest(data: bytes, sha256: str) -> Manifest:
    """Return the manifest that has these bytes.

    Raises:
        InvalidManifestError: They are no manifest.
        ArtifactError: They are not those that ``sha256`` names.
    """
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ArtifactError(f"the manifest {sha256} is damaged: its bytes have another digest")
    try:
        return _decode(data)
    except msgspec.DecodeError as error:
        raise InvalidManifestError(f"the manifest {sha256} is not valid: {error}") from error
