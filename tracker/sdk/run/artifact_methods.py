"""What a run does with artifacts and models, as its methods; the work is in ``tracker.sdk.run.artifacts``."""

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
    """The artifact side of a ``Run``."""

    def log_artifact(
        self,
        artifact_or_path: Artifact | str | os.PathLike[str],
        name: str | None = None,
        type: str | None = None,
        aliases: Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
    ) -> Artifact:
        """Log an artifact, or a file or folder as one. Returns at once; ``wait()`` on it gives the version.

        Args:
            artifact_or_path: A draft, or the path of a file or folder.
            name: Name of an artifact made from a path; ``run-ID-FILE`` unless given.
            type: Its type; ``"unspecified"`` unless given.
            aliases: Moved to this version; ``latest`` always is.
            tags: Of this version; those of the draft unless given.

        Raises:
            ValueError: An alias, a tag or a name is not allowed.
        """
        return self._artifacts().log(artifact_or_path, name, type, aliases, tags)

    def use_artifact(
        self,
        artifact_or_name: Artifact | str,
        type: str | None = None,
        aliases: Sequence[str] | None = None,
        use_as: str | None = None,
    ) -> Artifact:
        """Find an artifact version and note that this run uses it. Needs neither server nor network.

        Args:
            artifact_or_name: ``[[entity/]project/]name[:version|alias|digest]``.
            type: When given, the artifact must be of this type.
            aliases: Accepted for compatibility.
            use_as: Likewise.

        Raises:
            NotFoundError: There is no such artifact, version or alias; says which there are.
        """
        return self._artifacts().use(artifact_or_name, type)

    def link_artifact(
        self, artifact: Artifact, target_path: str, aliases: Sequence[str] | None = None
    ) -> Artifact:
        """Link an artifact, logged first if need be, into another collection; return it as it is there.

        Args:
            artifact: A draft or a version.
            target_path: ``[[entity/]project/]collection``.
            aliases: Moved to it in that collection.
        """
        return self._artifacts().link(artifact, target_path, aliases)

    def log_model(
        self, path: str | os.PathLike[str], name: str | None = None, aliases: Sequence[str] | None = None
    ) -> None:
        """Log a file or folder as an artifact of type ``model``.

        Args:
            path: The file or folder.
            name: ``run-ID-FILE`` unless given.
            aliases: Moved to this version; ``latest`` always is.
        """
        self._artifacts().log_model(path, name, aliases)

    def use_model(self, name: str) -> str:
        """Download a model and note that this run uses it; return the path of its file, or of the folder.

        Args:
            name: ``[[entity/]project/]name:version`` or ``:alias``.

        Raises:
            ValueError: The name has no version.
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
        """Log a model and link it to a registered model, in the project ``model-registry`` of the entity.

        Args:
            path: The file or folder.
            registered_model_name: The registered model, made if there is none.
            name: Of the artifact; ``run-ID-FILE`` unless given.
            aliases: Moved to it, in both collections.

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
            root: The folder that is searched; None for none.
            name: ``source-PROJECT-SCRIPT`` unless given.
            include_fn: Of a path (and ``root``, if it takes two): whether it is code. Python files,
                ``requirements.txt`` and Dockerfiles unless given.
            exclude_fn: Likewise: whether it is left out all the same. What lies in folders of wandb's and
                of the store unless given.

        Returns:
            The artifact; None, with a line that says so, when there is no such file.
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
        """Name the config keys that a page is to show first; a further call replaces them."""
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
        """Add to an artifact that several processes make together: not possible here.

        Raises:
            TypeError: The run has no group, and ``distributed_id`` is not given.
            UnsupportedError: In any other case.
        """
        self._check_distributed("upsert", distributed_id)
        raise UnsupportedError(
            "Run.upsert_artifact()",
            "let each process write its files to a shared folder and one of them log that with log_artifact, "
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
        """Log an artifact that is complete with this call; see ``log_artifact``.

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
        from tracker.sdk.run.artifacts import RunArtifacts  # many runs log none

        return RunArtifacts(self, self._journal.settings)
