"""The artifact operations of a run: log, use, link."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.artifacts import edits
from tracker.artifacts.artifact import Artifact
from tracker.artifacts.artifact_name import ArtifactReference, parse_reference
from tracker.errors import ArtifactError, NotFoundError, StoreError, UsageError
from tracker.ground.names import check_alias, check_collection_name
from tracker.ground.read_models import ArtifactDetail
from tracker.ground.records import ArtifactLogged, ArtifactUsed
from tracker.ground.settings import Settings
from tracker.ground.values import to_plain
from tracker.reading.open_reader import open_artifacts, open_reader
from tracker.reading.reader import ArtifactReader
from tracker.store.blobs.finalize import finalize_draft
from tracker.store.objects.atomic_files import read_json

if TYPE_CHECKING:
    from tracker.sdk.run.core import RunCore
    from tracker.store.objects.layout import Layout

REGISTRY = "model-registry"


class RunArtifacts:
    """The artifact operations of one run."""

    def __init__(self, run: RunCore, settings: Settings) -> None:
        self._run = run
        self._settings = settings

    def log(
        self,
        artifact_or_path: Artifact | str | os.PathLike[str],
        name: str | None,
        type: str | None,
        aliases: Sequence[str] | None,
        tags: Sequence[str] | None = None,
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
        labels = edits.check_tags(tags if tags is not None else artifact.tags)
        if not artifact.is_draft():
            raise UsageError(f"Artifact {artifact.name!r} is already logged. Create a new Artifact.")
        layout = run.journal.layout
        if run.disabled or layout is None:
            return artifact
        if artifact.incremental:
            self._include_newest_version(artifact)
        logged_name, size, count = artifact.name, artifact.size, artifact.file_count
        token = artifact.logged_to(layout, lambda: self._find_logged(logged_name, token), self._find_run)
        run.journal.sync_files(layout.draft(token).iterdir())
        ttl = artifact.ttl
        run.record(
            ArtifactLogged(
                logged_name,
                artifact.type,
                "",
                "",
                size,
                count,
                named,
                artifact.client_id,
                time.time(),
                artifact.description,
                to_plain(artifact.metadata),
                labels,
                None if ttl is None else ttl.total_seconds(),
                token,
            )
        )
        return artifact

    def use(self, artifact_or_name: Artifact | str, type: str | None) -> Artifact:
        """See ``Run.use_artifact``."""
        if isinstance(artifact_or_name, Artifact):
            if artifact_or_name.is_draft():
                self.log(artifact_or_name, None, None, None)
            artifact = artifact_or_name.wait()
        else:
            wanted = parse_reference(artifact_or_name, self._run.entity, self._run.project)
            artifact = Artifact.from_version(*find_artifact(self._settings, wanted), self._find_run)
        if type is not None and artifact.type != type:
            raise UsageError(f"Artifact {artifact.name!r} is of type {artifact.type!r}, not {type!r}.")
        entity, project, _name = artifact.qualified_name.split("/")
        name, _, version = artifact.name.partition(":")
        self._run.record(ArtifactUsed(entity, project, name, int(version[1:]), time.time(), artifact.digest))
        return artifact

    def link(self, artifact: Artifact, target_path: str, aliases: Sequence[str] | None) -> Artifact:
        """See ``Run.link_artifact``."""
        if artifact.is_draft():
            self.log(artifact, None, None, None)
        return artifact.wait().link(target_path, aliases)

    def log_model(
        self, path: str | os.PathLike[str], name: str | None, aliases: Sequence[str] | None
    ) -> Artifact:
        """See ``Run.log_model``."""
        return self.log(path, name or f"run-{self._run.id}-{Path(path).name}", "model", aliases)

    def use_model(self, name: str) -> str:
        """See ``Run.use_model``."""
        if ":" not in name:
            # wandb refuses such names too: names of registered models and collections need a version.
            raise ValueError(f"Model {name!r} has no version. Use name:version or name:alias.")
        artifact = self.use(name, None)
        if "model" not in artifact.type:
            raise UsageError(
                f"Artifact {artifact.name!r} is of type {artifact.type!r}. use_model() needs a model."
            )
        folder = artifact.download()
        files = artifact.files()
        return os.path.join(folder, *files[0].path.split("/")) if len(files) == 1 else folder

    def link_model(
        self,
        path: str | os.PathLike[str],
        registered_model_name: str,
        name: str | None,
        aliases: Sequence[str] | None,
    ) -> Artifact:
        """See ``Run.link_model``."""
        check_collection_name(registered_model_name)
        artifact = self.log_model(path, name, aliases).wait()
        return artifact.link(f"{artifact.entity}/{REGISTRY}/{registered_model_name}", aliases)

    def _find_logged(self, name: str, token: str) -> tuple[ArtifactDetail, ArtifactReader]:
        layout = self._run.journal.layout
        assert layout is not None
        reader = open_artifacts(self._settings)
        # catch_up() applies or sends pending records. This finalizes the draft as well.
        reader.catch_up()
        try:
            found = finalize_draft(layout, token)
        except StoreError:
            # The draft is deleted once the run is sealed. The digest is then only in the run's file.
            digest = self._digest_in_run_file(layout, token)
            if digest is None:
                raise
        else:
            if found.problem is not None:
                raise ArtifactError(f"Artifact {name!r} was not created: {found.problem}")
            digest = found.digest
        if not digest:
            raise ArtifactError(
                f"Artifact {name!r} was not created. The problems of run {self._run.id} contain the reason."
            )
        return reader.artifact(self._run.entity, self._run.project, name, digest), reader

    def _digest_in_run_file(self, layout: Layout, token: str) -> str | None:
        run = self._run
        published = read_json(layout.run_file(run.entity, run.project, run.id)) or {"segments": []}
        drafts = [(segment.get("state") or {}).get("drafts", {}) for segment in published["segments"]]
        return next((found[token] for found in drafts if token in found), None)

    def _include_newest_version(self, artifact: Artifact) -> None:
        try:
            found = find_artifact(
                self._settings,
                ArtifactReference(self._run.entity, self._run.project, artifact.name, "latest"),
            )
        except NotFoundError:
            return  # this is the first version
        newest = Artifact.from_version(*found, self._find_run)
        artifact.contents.keep(newest.contents.manifest, newest.qualified_name)

    def _find_run(self, entity: str, project: str, run_id: str) -> Any:
        from tracker.api.runs import PublicRun

        reader = open_reader(self._settings)
        return PublicRun(reader, reader.run(entity, project, run_id))


def _from_path(path: str | os.PathLike[str], name: str, type: str | None) -> Artifact:
    artifact = Artifact(name, type or "unspecified")
    if os.path.isdir(path):
        artifact.add_dir(path)
    elif "://" in os.fspath(path):
        artifact.add_reference(os.fspath(path))
    else:
        artifact.add_file(path)
    return artifact


def find_artifact(settings: Settings, wanted: ArtifactReference) -> tuple[ArtifactDetail, ArtifactReader]:
    """Return an artifact version and a reader of its content.

    Pending records are included. A server is asked if there is one. Without a server, the journals of this
    host are applied to its catalog first. Without a catalog, the published files and the visible journals
    are read together.

    Raises:
        NotFoundError: The artifact, version or alias does not exist.
    """
    reader = open_artifacts(settings)
    return reader.artifact(*wanted), reader
