"""``ArtifactManifest``: the list of an artifact's files, for scripts."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from tracker.artifacts.entry import ArtifactManifestEntry

if TYPE_CHECKING:
    from tracker.artifacts.artifact import Artifact


class ArtifactManifest:
    """The current files of an artifact (wandb: ``sdk/artifacts/artifact_manifest.py``)."""

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact

    @classmethod
    def version(cls) -> int:
        """Return the version of wandb's format."""
        return 1

    @cached_property
    def entries(self) -> dict[str, ArtifactManifestEntry]:
        """The entries by path. The first access reads them."""
        return {entry.path: entry for entry in self._artifact.files_now()}

    def digest(self) -> str:
        """Return the digest over names and contents, equal to wandb's."""
        return self._artifact.digest

    def size(self) -> int:
        """Return the size of all files in bytes."""
        return self._artifact.size

    def get_entry_by_path(self, path: str) -> ArtifactManifestEntry | None:
        """Return the entry of a path, or None."""
        return self.entries.get(path)

    def get_entries_in_directory(self, directory: str) -> list[ArtifactManifestEntry]:
        """Return the entries in a folder and its subfolders."""
        return [entry for path, entry in self.entries.items() if path.startswith(f"{directory}/")]

    def to_manifest_json(self) -> dict[str, Any]:
        """Return the manifest in wandb's JSON format.

        The format is version 1 (wandb: ``sdk/artifacts/artifact_manifests/artifact_manifest_v1.py``).
        """
        contents = {}
        for path, entry in sorted(self.entries.items()):
            fields = {"digest": entry.digest, "ref": entry.ref, "size": entry.size, "extra": entry.extra}
            contents[path] = {key: value for key, value in fields.items() if value not in (None, {})}
        return {
            "version": 1,
            "storagePolicy": "wandb-storage-policy-v1",
            "storagePolicyConfig": {"storageLayout": "V2"},
            "contents": contents,
        }

    def __len__(self) -> int:
        return self._artifact.file_count

    def __repr__(self) -> str:
        return f"ArtifactManifest({len(self)} entries, digest={self.digest()!r})"
