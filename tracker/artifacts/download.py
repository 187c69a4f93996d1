"""Writing an artifact's files to a folder, each checked against the manifest."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tracker.answers import ArtifactDetail
from tracker.errors import ArtifactError, NotFoundError
from tracker.reading.reader import ArtifactReader
from tracker.store.blobs import CHUNK, copy_verified


def download_entries(reader: ArtifactReader, artifact: ArtifactDetail, folder: Path) -> None:
    """Write all files of a version below ``folder``; those that are there already and right are kept.

    Raises:
        ArtifactError: A file's content is missing or wrong; says which file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    base = folder.resolve()
    for entry in artifact.files:
        target = folder / entry.path
        if base not in target.resolve().parents:
            raise ArtifactError(f"artifact {artifact.name} names a file outside its folder: {entry.path!r}")
        if target.is_file() and target.stat().st_size == entry.size and _sha256(target) == entry.sha256:
            continue
        try:
            copy_verified(
                reader.chunks(artifact, entry), target, entry.sha256, f"{artifact.name}/{entry.path}"
            )
        except NotFoundError as error:
            raise ArtifactError(
                f"{artifact.name}/{entry.path} cannot be downloaded: {error.message}"
            ) from error


def verify_entries(artifact: ArtifactDetail, folder: Path) -> None:
    """Check the files of a version below ``folder``.

    Raises:
        ArtifactError: A file is missing or differs; says which.
    """
    for entry in artifact.files:
        path = folder / entry.path
        if not path.is_file():
            raise ArtifactError(f"{entry.path} is missing in {folder}")
        if _sha256(path) != entry.sha256:
            raise ArtifactError(
                f"{entry.path} in {folder} differs from artifact {artifact.name}:{artifact.version}"
            )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()
