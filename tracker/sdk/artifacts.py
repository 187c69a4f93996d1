"""What a run does with artifacts: log them, use them."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.answers import ArtifactDetail
from tracker.artifacts.artifact import Artifact
from tracker.artifacts.reference import ArtifactReference, parse_reference
from tracker.errors import UsageError
from tracker.names import check_alias
from tracker.reading.open import can_apply, is_journal_only, open_reader, remote_for
from tracker.reading.reader import ArtifactReader
from tracker.records import ArtifactLogged, ArtifactUsed
from tracker.settings import Settings
from tracker.store.manifest import write_manifest
from tracker.values import to_plain

if TYPE_CHECKING:
    from tracker.sdk.run import Run


class RunArtifacts:
    """The artifact side of one run."""

    def __init__(self, run: Run, settings: Settings) -> None:
        self._run = run
        self._settings = settings

    def log(
        self,
        artifact_or_path: Artifact | str | os.PathLike[str],
        name: str | None,
        type: str | None,
        aliases: Sequence[str] | None,
    ) -> Artifact:
        """See ``Run.log_artifact``."""
        run = self._run
        artifact = (
            artifact_or_path
            if isinstance(artifact_or_path, Artifact)
            else _from_path(artifact_or_path, name or f"run-{run.id}-{Path(artifact_or_path).name}", type)
        )
        named = [
            check_alias(alias) for alias in ([aliases] if isinstance(aliases, str) else aliases or ["latest"])
        ]
        if not artifact.is_draft():
            raise UsageError(f"artifact {artifact.name} was logged already: make a new Artifact")
        if run.disabled:
            return artifact
        blobs = run.journal.blobs
        manifest = artifact.logged_to(blobs, lambda: self._find_logged(artifact.name, artifact.digest))
        written = write_manifest(blobs, manifest)
        run.journal.sync_blobs([*(entry.sha256 for entry in manifest.entries), written.sha256])
        run.record(
            ArtifactLogged(
                artifact.name,
                artifact.type,
                manifest.digest,
                written.sha256,
                manifest.size,
                len(manifest.entries),
                named,
                os.urandom(16).hex(),
                time.time(),
                artifact.description,
                to_plain(artifact.metadata),
            )
        )
        return artifact

    def use(self, artifact_or_name: Artifact | str, type: str | None) -> Artifact:
        """See ``Run.use_artifact``."""
        if isinstance(artifact_or_name, Artifact):
            artifact = artifact_or_name.wait()
        else:
            wanted = parse_reference(artifact_or_name, self._run.entity, self._run.project)
            artifact = Artifact.from_version(*find_artifact(self._settings, wanted))
        if type is not None and artifact.type != type:
            raise UsageError(f"artifact {artifact.name} is of type {artifact.type!r}, not {type!r}")
        entity, project, _name = artifact.qualified_name.split("/")
        name, _, version = artifact.name.partition(":")
        self._run.record(ArtifactUsed(entity, project, name, int(version[1:]), time.time()))
        return artifact

    def _find_logged(self, name: str, digest: str) -> tuple[ArtifactDetail, ArtifactReader]:
        return find_artifact(
            self._settings, ArtifactReference(self._run.entity, self._run.project, name, digest)
        )


def _from_path(path: str | os.PathLike[str], name: str, type: str | None) -> Artifact:
    artifact = Artifact(name, type or "unspecified")
    if os.path.isdir(path):
        artifact.add_dir(path)
    else:
        artifact.add_file(path)
    return artifact


def find_artifact(settings: Settings, wanted: ArtifactReference) -> tuple[ArtifactDetail, ArtifactReader]:
    """Return an artifact version and a reader of its content.

    With a server: asked there. With a catalog on this host: what waits in its journals is applied
    first. Without one: published files, laid over with the journals that can be seen.

    Raises:
        NotFoundError: There is no such artifact, version or alias.
    """
    if remote_for(settings) is None and (is_journal_only(settings) or not can_apply()):
        from tracker.reading.files import FilesReader
        from tracker.store.layout import Layout

        reader: ArtifactReader = FilesReader(Layout(settings.store))
    else:
        reader = open_reader(settings)
    return reader.artifact(*wanted), reader
