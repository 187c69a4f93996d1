"""``ArtifactManifestEntry``: one file or reference of an artifact, for scripts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from tracker.artifacts.artifact_references import address_of
from tracker.errors import UsageError
from tracker.ground.names import path_on_disk
from tracker.store.blobs.drafts import DraftEntry
from tracker.store.blobs.manifest import Entry

if TYPE_CHECKING:
    from tracker.artifacts.artifact import Artifact


class ArtifactManifestEntry:
    """One file or reference of an artifact (wandb: ``sdk/artifacts/artifact_manifest_entry.py``).

    Two entries are equal if they have the same path and content.

    Attributes:
        path: The path inside the artifact, with ``/``.
        size: The size in bytes; 0 for a reference of unknown size.
        ref: The URI of a reference; None for a file.
        extra: Further values of a reference, such as ``etag`` and ``versionID``.
    """

    def __init__(self, artifact: Artifact, entry: Entry | DraftEntry) -> None:
        stored = entry if isinstance(entry, Entry) else entry.stored
        self._artifact = artifact
        self._entry = entry
        self.path = entry.path
        self.size = entry.size
        self.ref = stored.ref if stored is not None else None
        self.extra: dict[str, Any] = dict(stored.extra) if stored is not None else {}

    @property
    def name(self) -> str:
        """The same as ``path``."""
        return self.path

    @property
    def digest(self) -> str:
        """The MD5 of the content in Base64. For a large file of a draft, the first access computes it."""
        return self._stored_entry().digest

    @property
    def sha256(self) -> str:
        """The SHA-256 of the content, which names the content in the store; empty for a reference."""
        return self._stored_entry().sha256

    def parent_artifact(self) -> Artifact:
        """Return the artifact of this entry."""
        return self._artifact

    @property
    def mimetype(self) -> str:
        """The MIME type, guessed from the path."""
        from mimetypes import guess_type

        return guess_type(self.path)[0] or "application/octet-stream"

    @property
    def birth_artifact_id(self) -> str | None:
        """Always None. In wandb, the id of the first version with this entry."""
        return None

    @property
    def local_path(self) -> None:
        """Always None. In wandb, the local file that was added."""

    def digest_algorithm(self) -> str:
        """Return the algorithm of the digest: wandb's name for MD5."""
        return "MANIFEST_MD5"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        fields = {"path": self.path, "digest": self.digest, "ref": self.ref, "size": self.size}
        return {**{key: value for key, value in fields.items() if value is not None}, "extra": self.extra}

    def download(
        self,
        root: str | os.PathLike[str] | None = None,
        skip_cache: bool | None = None,
        executor: Any = None,
    ) -> str:
        """Write this file into the folder ``root``; return the path of the written file.

        Args:
            root: The folder; by default ``./artifacts/NAME:vN``.
            skip_cache: Accepted for compatibility.
            executor: Accepted for compatibility.

        Raises:
            ArtifactError: The content is missing or does not match its checksum.
        """
        folder = self._artifact.download_some([self._stored_entry()], root)
        return os.path.join(folder, *path_on_disk(self.path).split("/"))

    def ref_target(self) -> str:
        """Return the URI of a reference.

        Raises:
            ValueError: The entry is a file.
        """
        if self.ref is None:
            raise ValueError("Only reference entries support ref_target().")
        return self.ref

    def ref_url(self) -> str:
        """Return the address of this entry, for ``add_reference`` of another artifact.

        Raises:
            UsageError: The artifact was not logged.
        """
        if self._artifact.is_draft():
            raise UsageError(
                f"Entry {self.path!r} has no address yet. Call run.log_artifact(artifact) first."
            )
        return address_of(self._artifact.source_qualified_name, self.path)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ArtifactManifestEntry):
            return NotImplemented
        return (self.path, self.digest) == (other.path, other.digest)

    def __hash__(self) -> int:
        return hash((self.path, self.digest))

    def __repr__(self) -> str:
        return f"ArtifactManifestEntry(path={self.path!r}, size={self.size}, ref={self.ref!r})"

    def _stored_entry(self) -> Entry:
        if isinstance(self._entry, Entry):
            return self._entry
        return self._artifact.contents.settled(self._entry)
