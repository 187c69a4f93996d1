"""The artifact and model methods of a run. ``tracker.sdk.run.artifacts`` implements them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tracker.errors import UnsupportedError
from tracker.sdk.run.identity import Identity

if TYPE_CHECKING:
    from tracker.artifacts.artifact import Artifact
    from tracker.sdk.run.artifacts import RunArtifacts


class ArtifactMethods(Identity):
    """The methods of a ``Run`` for artifacts and models."""

    def log_artifact(
        self,
        artifact_or_path: Artifact | str | os.PathLike[str],
        name: str | None = None,
        type: str | None = None,
        aliases: Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
    ) -> Artifact:
        """Log an artifact, or a file or folder as one.

        The call does not wait for the upload. Call ``wait()`` on the result to get the version.

        Args:
            artifact_or_path: A draft, or the path of a file or folder.
            name: The name of an artifact that is made from a path. The default is ``run-ID-FILE``.
            type: The type of such an artifact. The default is ``"unspecified"``.
            aliases: Aliases to move to this version. ``latest`` always moves.
            tags: The version's tags. The default is the tags of the draft.

        Raises:
            ValueError: An alias, a tag or a name is not allowed.
            UsageError: The artifact is already logged.
        """
        return self._artifacts().log(artifact_or_path, name, type, aliases, tags)

    def use_artifact(
        self,
        artifact_or_name: Artifact | str,
        type: str | None = None,
        aliases: Sequence[str] | None = None,
        use_as: str | None = None,
    ) -> Artifact:
        """Find an artifact version and record that this run uses it. Works without a server or a network.

        Args:
            artifact_or_name: An artifact, or ``[[entity/]project/]name[:version|alias|digest]``. A draft is
                logged first.
            type: The required type of the artifact.
            aliases: Accepted for compatibility and ignored.
            use_as: Accepted for compatibility and ignored.

        Raises:
            NotFoundError: The artifact, version or alias does not exist. The message lists those that exist.
            UsageError: The artifact has another type.
        """
        return self._artifacts().use(artifact_or_name, type)

    def link_artifact(
        self, artifact: Artifact, target_path: str, aliases: Sequence[str] | None = None
    ) -> Artifact:
        """Link an artifact into another collection. A draft is logged first.

        Args:
            artifact: A draft or a version.
            target_path: ``[[entity/]project/]collection``.
            aliases: Aliases of that collection to move to the linked version.

        Returns:
            The linked version in that collection.
        """
        return self._artifacts().link(artifact, target_path, aliases)

    def log_model(
        self, path: str | os.PathLike[str], name: str | None = None, aliases: Sequence[str] | None = None
    ) -> None:
        """Log a file or folder as an artifact of type ``model``.

        Args:
            path: The file or folder.
            name: The artifact's name. The default is ``run-ID-FILE``.
            aliases: Aliases to move to this version. ``latest`` always moves.
        """
        self._artifacts().log_model(path, name, aliases)

    def use_model(self, name: str) -> str:
        """Download a model and record that this run uses it.

        Args:
            name: ``[[entity/]project/]name:version`` or ``:alias``.

        Returns:
            The path of the model's file, or of its folder if it has several files.

        Raises:
            ValueError: The name has no version or alias.
            UsageError: The artifact's type does not contain ``model``.
        """
        return self._artifacts().use_model(name)

    def link_model(
        self,
        path: str | os.PathLike[str],
        registered_model_name: str,
        name: str | None = None,
        aliases: Sequence[str] | None = None,
    ) -> Artifact:
        """Log a model and link it to a registered model, in the entity's project ``model-registry``.

        Args:
            path: The file or folder.
            registered_model_name: The registered model. It is created if it does not exist.
            name: The artifact's name. The default is ``run-ID-FILE``.
            aliases: Aliases to move to the version, in both collections.

        Returns:
            The version of the registered model.
        """
        return self._artifacts().link_model(path, registered_model_name, name, aliases)

    def log_code(
        self,
        root: str | None = ".",
        name: str | None = None,
        include_fn: Callable[[str, str], bool] | Callable[[str], bool] | None = None,
        exclude_fn: Callable[[str, str], bool] | Callable[[str], bool] | None = None,
    ) -> Artifact | None:
        """Log source files as an artifact of type ``code``.

        Args:
            root: The folder to search. With None, nothing is logged.
            name: The artifact's name. The default is ``source-PROJECT-SCRIPT``.
            include_fn: Returns whether a file is code, given its path, or its path and ``root``. The default
                accepts Python files, ``requirements.txt`` and Dockerfiles.
            exclude_fn: Returns whether to leave a file out, with the same arguments. The default leaves out
                the folders of wandb and of the store.

        Returns:
            The artifact, or None with a warning if no file was found.
        """
        from tracker.sdk.run.code import is_code, is_own, log_code

        self._check_open("log_code")
        artifact = log_code(self, root, name, include_fn or is_code, exclude_fn or is_own)
        if artifact is None:
            self._warn("No relevant files were detected in the specified directory. No code will be logged.")
        else:
            self.note(("code_path",), artifact.name)
        return artifact

    def pin_config_keys(self, keys: Sequence[str] = ()) -> None:
        """Set the config keys that the dashboard shows first. A later call replaces them."""
        self._check_open("pin_config_keys")
        self.note(("pinned_keys",), [str(key) for key in keys])

    def upsert_artifact(
        self,
        artifact_or_path: Artifact | str,
        name: str | None = None,
        type: str | None = None,
        aliases: Sequence[str] | None = None,
        distributed_id: str | None = None,
    ) -> Artifact:
        """Refuse to add to an artifact that several processes create together: this is not supported.

        Args:
            artifact_or_path: Ignored.
            name: Ignored.
            type: Ignored.
            aliases: Ignored.
            distributed_id: The id that the processes share.

        Raises:
            TypeError: The run has no group, and ``distributed_id`` is not given.
            UnsupportedError: In all other cases.
        """
        self._check_distributed("upsert", distributed_id)
        raise UnsupportedError(
            "Run.upsert_artifact()",
            "let all processes write to a shared folder and log it from one process with log_artifact, "
            "or log one artifact for each process",
        )

    def finish_artifact(
        self,
        artifact_or_path: Artifact | str,
        name: str | None = None,
        type: str | None = None,
        aliases: Sequence[str] | None = None,
        distributed_id: str | None = None,
    ) -> Artifact:
        """Log an artifact that is complete with this call. See ``Run.log_artifact``.

        Raises:
            TypeError: The run has no group, and ``distributed_id`` is not given.
        """
        self._check_distributed("finish", distributed_id)
        return self.log_artifact(artifact_or_path, name, type, aliases)

    def _use(self, artifact: Artifact) -> dict[str, Any]:
        self._artifacts().use(artifact, None)
        entity, project, name = artifact.qualified_name.split("/")
        return {
            "_type": "artifactVersion",
            "_version": "v0",
            "id": f"{entity}/{project}/{name}",
            "version": artifact.version,
            "sequenceName": name.partition(":")[0],
        }

    def _check_distributed(self, what: str, distributed_id: str | None) -> None:
        if not self.group and distributed_id is None:
            raise TypeError(f"Cannot {what} artifact unless run is in a group or distributed_id is provided")

    def _artifacts(self) -> RunArtifacts:
        from tracker.sdk.run.artifacts import RunArtifacts  # imported late: many runs log no artifact

        return RunArtifacts(self, self._journal.settings)
