"""Manifests: the list of the entries of an artifact version, stored as a JSON blob."""

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
    """A blob with the right digest does not contain a manifest. Another copy of the blob cannot help."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One file of an artifact.

    Attributes:
        path: Path inside the artifact, with ``/``.
        digest: MD5 of the content in Base64. For a reference, the digest that its scheme provides.
        size: Size in bytes.
        sha256: SHA-256 of the content, and name of its blob if ``pack`` is None; empty for a reference.
        pack: SHA-256 of the pack that contains the content; None if the content is a separate blob.
        offset: Offset of the content in the pack, in bytes.
        ref: URI of a reference. The store does not have the content of a reference.
        extra: Data for finding the same content of a reference again (``etag``, ``versionID``).
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
        """SHA-256 of the blob with the content of this entry; None for a reference."""
        return self.pack or self.sha256 or None


class Manifest(msgspec.Struct, frozen=True):
    """The entries of an artifact version, ordered by path."""

    entries: list[Entry]
    format: int = 1

    @property
    def digest(self) -> str:
        """Digest of the artifact, equal to that of wandb for the same files.

        (wandb: ``sdk/artifacts/artifact_manifests/artifact_manifest_v1.py``)
        """
        lines = "".join([f"{entry.path}:{entry.digest}\n" for entry in self.entries])
        return hashlib.md5(f"wandb-artifact-manifest-v1\n{lines}".encode(), usedforsecurity=False).hexdigest()

    @property
    def size(self) -> int:
        """Size of all entries in bytes."""
        return sum(entry.size for entry in self.entries)

    @property
    def blobs(self) -> list[str]:
        """SHA-256s of the blobs with the contents of the entries, without duplicates."""
        return list(dict.fromkeys(blob for entry in self.entries if (blob := entry.pack or entry.sha256)))


_decode = msgspec.json.Decoder(Manifest).decode


def make_manifest(entries: Iterable[Entry]) -> Manifest:
    """Return a manifest with ``entries`` in path order."""
    return Manifest(sorted(entries, key=lambda entry: entry.path))


def write_manifest(blobs: BlobStore, manifest: Manifest) -> Digests:
    """Store a manifest as a blob and return the digests of the blob."""
    return blobs.add_bytes(msgspec.json.encode(manifest))


def read_manifest(blobs: BlobStore, sha256: str) -> Manifest:
    """Return the manifest in the blob ``sha256``.

    Raises:
        NotFoundError: The blob is not in the store.
        ArtifactError: The blob is damaged.
        InvalidManifestError: The blob does not contain a manifest.
    """
    return parse_manifest(blobs.read(sha256), sha256)


def parse_manifest(data: bytes, sha256: str) -> Manifest:
    """Return the manifest in ``data``.

    Raises:
        InvalidManifestError: ``data`` is not a manifest.
        ArtifactError: ``data`` does not have the digest ``sha256``.
    """
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ArtifactError(f"the manifest {sha256} is damaged: its content has another SHA-256")
    try:
        return _decode(data)
    except msgspec.DecodeError as error:
        raise InvalidManifestError(f"the manifest {sha256} is not valid: {error}") from error
