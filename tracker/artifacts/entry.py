"""``ArtifactManifestEntry``: one file of an artifact, as scripts see it."""

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
    """One file of an artifact, as ``wandb``'s class of this name.

    Equal to another entry of the same path and content.

    Attributes:
        path: Its name inside the artifact, with ``/``.
        size: Bytes; 0 for a reference whose size is not known.
        ref: URI of a reference; None for a file.
        extra: What a reference's scheme needs (``etag``, ``versionID``).
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
        """Base64 of the MD5 of its bytes; of a draft's large file it is computed when first asked for."""
        return self._stored_entry().digest

    @property
    def sha256(self) -> str:
        """SHA-256 of its bytes, by which the store knows them; empty for a reference."""
        return self._stored_entry().sha256

    def parent_artifact(self) -> Artifact:
        """Return the artifact that it belongs to."""
        return self._artifact

    @property
    def mimetype(self) -> str:
        """What its name says it is."""
        from mimetypes import guess_type

        return guess_type(self.path)[0] or "application/octet-stream"

    @property
    def birth_artifact_id(self) -> str | None:
        """wandb's id of the version that first had it: not kept here."""
        return None

    @property
    def local_path(self) -> None:
        """Where it was added from: not kept, as its content was captured then."""

    def digest_algorithm(self) -> str:
        """Return how its digest was computed: wandb's name of MD5."""
        return "MANIFEST_MD5"

    def to_json(self) -> dict[str, Any]:
        """Return its fields as plain values."""
        fields = {"path": self.path, "digest": self.digest, "ref": self.ref, "size": self.size}
        return {**{key: value for key, value in fields.items() if value is not None}, "extra": self.extra}

    def download(
        self,
        root: str | os.PathLike[str] | None = None,
        skip_cache: bool | None = None,
        executor: Any = None,
    ) -> str:
        """Write this file alone below ``root`` (``./artifacts/NAME:vN`` unless given); return its path.

        Args:
            root: The folder.
            skip_cache: Accepted for compatibility.
            executor: Likewise.

        Raises:
            ArtifactError: Its content is missing or wrong.
        """
        folder = self._artifact.download_some([self._stored_entry()], root)
        return os.path.join(folder, *path_on_disk(self.path).split("/"))

    def ref_target(self) -> str:
        """Return the URI that a reference points to.

        Raises:
            ValueError: It is a file.
        """
        if self.ref is None:
            raise ValueError("Only reference entries support ref_target().")
        return self.ref

    def ref_url(self) -> str:
        """Return an address of this entry that another artifact's ``add_reference`` takes.

        Raises:
            UsageError: The artifact was not logged.
        """
        if self._artifact.is_draft():
            raise UsageError("an entry has an address once its artifact is logged")
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
