"""``Artifact``: a draft until it is logged, then a version."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from tracker.artifacts import edits, stored_objects
from tracker.artifacts.active_run import active_run
from tracker.artifacts.artifact_manifest import ArtifactManifest
from tracker.artifacts.contents import as_plain_metadata
from tracker.artifacts.download import download_entries, remove_obstacles, remove_others, verify_entries
from tracker.artifacts.entry import ArtifactManifestEntry
from tracker.artifacts.lineage import FindRun, Lineage
from tracker.artifacts.paginators import PaginatedList
from tracker.artifacts.ttl import ArtifactTTL, ttl_of
from tracker.artifacts.version import Resolve
from tracker.errors import ArtifactError, NotFoundError, UnsupportedError
from tracker.ground import public_package
from tracker.ground.names import check_artifact_name, path_on_disk
from tracker.ground.read_models import ArtifactDetail
from tracker.ground.settings import load_settings
from tracker.reading.reader import ArtifactReader
from tracker.store.blobs.manifest import Entry
from tracker.store.objects.layout import Layout


class Artifact(Lineage):
    """A named set of files, like ``wandb.Artifact`` (wandb: ``sdk/artifacts/artifact.py``).

    A new artifact is a draft: add files, then log the artifact with ``run.log_artifact``. An artifact from
    ``use_artifact`` or ``Api().artifact`` is a version: its files can be read and downloaded.

    Args:
        name: The name of the collection: letters, digits, ``-``, ``_`` and ``.``.
        type: The type, such as ``"model"`` or ``"dataset"``.
        description: Free text.
        metadata: A dict of plain values.
        incremental: Whether the logged version also contains the files of the previous ``latest`` version.
        use_as: Accepted for compatibility.
        storage_region: Must be None.
        digest_algorithm: Must be ``"MD5"``.

    Raises:
        ValueError: The name or type is not allowed.
        UnsupportedError: The region is not None, or the algorithm is not MD5.
    """

    def __init__(
        self,
        name: str,
        type: str,
        description: str | None = None,
        metadata: dict[str, Any] | None = None,
        incremental: bool = False,
        use_as: str | None = None,
        storage_region: str | None = None,
        digest_algorithm: str = "MD5",
    ) -> None:
        super().__init__(check_artifact_name(name))
        if storage_region is not None:
            raise UnsupportedError("Artifact(storage_region=...)", "omit it, because there is only one store")
        if digest_algorithm != "MD5":
            raise UnsupportedError(
                f"Artifact(digest_algorithm={digest_algorithm!r})",
                "omit it, because digests are always MD5",
            )
        if not type or type == "job" or type.startswith("wandb-"):
            raise ValueError(f"Invalid artifact type {type!r}. Use a word except 'job' and 'wandb-*'.")
        self.type = type
        self.description = description
        self.incremental = incremental
        self.use_as = use_as
        self.distributed_id: str | None = None
        self._metadata = as_plain_metadata(metadata)
        self._aliases: list[str] = []
        self._tags: list[str] = []
        self._ttl: timedelta | None = None
        self._find_run: FindRun | None = None

    @classmethod
    def from_version(cls, version: ArtifactDetail, reader: ArtifactReader, find_run: FindRun) -> Artifact:
        """Return the artifact of an existing version.

        Args:
            version: The version.
            reader: The reader of its files.
            find_run: Finds the runs that logged or used the version.
        """
        # Set name and type afterwards: names of linked collections and wandb's own types are not allowed for
        # a new artifact.
        artifact = cls("found", "unspecified")
        artifact._name, artifact.type = version.name, version.type
        artifact._find_run = find_run
        artifact._set_version(version, reader)
        return artifact

    # Editable fields. ``save`` stores the changes of a version.

    @property
    def metadata(self) -> dict[str, Any]:
        """A dict of plain values."""
        return self._metadata

    @metadata.setter
    def metadata(self, metadata: dict[str, Any] | None) -> None:
        self._metadata = as_plain_metadata(metadata)

    @property
    def aliases(self) -> list[str]:
        """The aliases of the version when it was read. Change the list, then call ``save``."""
        self._require_version("aliases")
        return self._aliases

    @aliases.setter
    def aliases(self, aliases: Sequence[str]) -> None:
        self._require_version("aliases")
        self._aliases = list(aliases)

    @property
    def tags(self) -> list[str]:
        """The tags."""
        return self._tags

    @tags.setter
    def tags(self, tags: Sequence[str]) -> None:
        self._tags = edits.check_tags(tags)

    @property
    def ttl(self) -> timedelta | None:
        """The lifetime from the time of logging; None for an unlimited lifetime."""
        return self._ttl

    @ttl.setter
    def ttl(self, ttl: timedelta | ArtifactTTL | None) -> None:
        self._ttl = ttl_of(ttl)

    # Reading

    @property
    def manifest(self) -> ArtifactManifest:
        """The list of the files."""
        return ArtifactManifest(self)

    @property
    def digest(self) -> str:
        """The digest over names and contents, equal to wandb's. A draft computes it at each access."""
        return self._version.digest if self._version else self.contents.manifest.digest

    @property
    def size(self) -> int:
        """The size of all files in bytes."""
        return self._version.size if self._version else self.contents.size

    @property
    def file_count(self) -> int:
        """The number of files."""
        return self._version.file_count if self._version else len(self.contents)

    def files(
        self, names: Iterable[str] | None = None, per_page: int = 50, start: str | None = None
    ) -> PaginatedList[ArtifactManifestEntry]:
        """Return the files, sorted by path. In wandb, this method does not work for drafts.

        Args:
            names: Return only the files of these names.
            per_page: Accepted for compatibility.
            start: Accepted for compatibility.
        """
        wanted = None if names is None else set(names)
        found = self.files_now()
        return PaginatedList((each for each in found if wanted is None or each.path in wanted), per_page)

    def files_now(self) -> list[ArtifactManifestEntry]:
        """Return the current files of a draft or a version."""
        return [self._entry(entry) for entry in self.contents.entries()]

    def get(self, name: str) -> Any:
        """Return the media object that was added under ``name``, or None."""
        return stored_objects.find(self, name)

    def download(
        self,
        root: str | os.PathLike[str] | None = None,
        allow_missing_references: bool = False,
        skip_cache: bool | None = None,
        path_prefix: str | os.PathLike[str] | None = None,
        multipart: bool | None = None,
        link: bool = False,
    ) -> str:
        """Write all files into the folder ``root``; return ``root``. Files that are already correct are kept.

        Args:
            root: The folder; by default ``./artifacts/NAME:vN``, or ``NAME:vN`` in ``WANDB_ARTIFACT_DIR``.
            allow_missing_references: Whether to skip references whose target does not exist any more.
            skip_cache: Accepted for compatibility.
            path_prefix: Download only files whose path starts with this prefix.
            multipart: Accepted for compatibility. Large files are always downloaded in parallel ranges.
            link: Whether to make hard links to the store's own files, not copies, where this is possible.
                Never write to these files: that damages the store. They are read-only, but this does not stop
                the superuser. In a store that a group shares, they are not read-only.

        Raises:
            ArtifactError: The content of a file is missing or does not match its checksum. The message names
                the file.
        """
        self._require_version("download")
        prefix = "" if path_prefix is None else os.fspath(path_prefix)
        wanted = [entry for entry in self.contents.manifest.entries if entry.path.startswith(prefix)]
        return self.download_some(wanted, root, link=link, allow_missing_references=allow_missing_references)

    def download_some(
        self,
        entries: Sequence[Entry],
        root: str | os.PathLike[str] | None = None,
        *,
        link: bool = False,
        allow_missing_references: bool = False,
    ) -> str:
        """Download the files of some entries; return the folder.

        Args:
            entries: The entries of the files.
            root: See ``download``.
            link: See ``download``.
            allow_missing_references: See ``download``.

        Raises:
            ArtifactError: See ``download``.
        """
        version, reader = self._require_version("download"), self._require_reader("download")
        folder = Path(root) if root is not None else load_settings().artifact_dir / self.name
        options = {"link": link, "allow_missing_references": allow_missing_references}
        try:
            download_entries(reader, version, entries, folder, **options)
        except (ArtifactError, NotFoundError):
            fresh = reader.artifact(version.entity, version.project, version.name, version.version)
            if fresh.manifest == version.manifest:
                raise
            # After this version was read, its files were packed again and the former packs were deleted.
            self._version, self._contents = replace(version, manifest=fresh.manifest), None
            moved = {entry.path: entry for entry in self.contents.manifest.entries}
            download_entries(
                reader, self._version, [moved[entry.path] for entry in entries], folder, **options
            )
        return str(folder)

    def checkout(self, root: str | os.PathLike[str] | None = None) -> str:
        """Write all files into the folder ``root`` and delete all other files there; return ``root``.

        Args:
            root: The folder; by default ``./artifacts/NAME``, or ``NAME`` in ``WANDB_ARTIFACT_DIR``.

        Raises:
            ArtifactError: The content of a file is missing or does not match its checksum. The message names
                the file.
        """
        self._require_version("checkout")
        folder = Path(root) if root is not None else load_settings().artifact_dir / self._name
        known = {path_on_disk(entry.path) for entry in self.contents.manifest.entries}
        remove_obstacles(known, folder)
        self.download(folder)  # a download that fails must not delete other files, so download first
        remove_others(known, folder)
        return str(folder)

    def file(self, root: str | os.PathLike[str] | None = None) -> str:
        """Download the only file of the artifact; return its path.

        Raises:
            ValueError: The number of files is not 1.
        """
        if self.file_count != 1:
            raise ValueError(
                f"This artifact contains {self.file_count} files. Call `.download()` to get all files."
            )
        return self.files()[0].download(root)

    def verify(self, root: str | os.PathLike[str] | None = None) -> None:
        """Check that the folder ``root`` contains the artifact's files, unchanged, and no other files.

        Raises:
            ArtifactError: A file is missing, has another content, or does not belong to the artifact. The
                message names the file.
        """
        self._require_version("verify")
        folder = Path(root) if root is not None else load_settings().artifact_dir / self.name
        verify_entries(self.contents.manifest.entries, folder, self.name)

    # Changing

    def save(self, project: str | None = None, settings: Any = None) -> None:
        """Log a draft, or store the changes of a version.

        A draft is logged to the active run. Without an active run, a new run of job type ``auto`` logs it.

        Args:
            project: The project of the new run.
            settings: The settings of the new run.
        """
        if self._version is None and not self._logged:
            run = active_run()
            if run is not None:
                run.log_artifact(self)
                return
            with public_package.package.init(
                project=project, job_type="auto", settings=settings or {"silent": True}
            ) as own:
                own.log_artifact(self)
            return
        version, reader = self._require_version("save"), self._require_reader("save")
        change = edits.build_change(
            version, self._aliases, self._tags, self.description, self._metadata, self._ttl
        )
        if change is not None:
            self._set_version(edits.apply(reader, version, change), reader)

    def delete(self, delete_aliases: bool = False) -> None:
        """Delete this version. ``tracker gc`` frees the space of contents that nothing else uses.

        Args:
            delete_aliases: Whether to delete a version that has aliases other than ``latest``.

        Raises:
            ValueError: The version has aliases other than ``latest``, and ``delete_aliases`` is False.
        """
        version = self._require_version("delete")
        reader = self._require_reader("delete")
        fresh = reader.artifact(version.entity, version.project, version.name, version.version)
        held = [alias for alias in fresh.aliases if alias != "latest"]
        if held and not delete_aliases:
            raise ValueError(
                f"Artifact {self.name} has the aliases {', '.join(held)}. "
                "Pass delete_aliases=True to delete it."
            )
        edits.apply(reader, version, edits.build_deletion(version))
        self._reader = None

    def link(self, target_path: str, aliases: Iterable[str] | None = None) -> Artifact:
        """Link this version into another collection, such as a registered model; return the linked version.

        Args:
            target_path: ``[[entity/]project/]collection``. The project of a registry is ``model-registry``.
            aliases: Aliases of the linked version in that collection, in addition to ``latest``. An alias of
                another version there moves to the linked version.

        Raises:
            ValueError: An alias or the collection's name is not allowed.
        """
        version = self._require_version("link")
        record = edits.build_link(version, target_path, list(aliases or ()))
        linked = edits.apply_link(self._require_reader("link"), record)
        assert self._find_run is not None
        return Artifact.from_version(linked, self._require_reader("link"), self._find_run)

    def unlink(self) -> None:
        """Remove a linked version from its collection. The source version is not deleted.

        Raises:
            ValueError: This version is not a link.
        """
        if not self.is_link:
            raise ValueError(
                f"Artifact {self.qualified_name!r} is not a linked artifact and cannot be unlinked."
            )
        self.delete(delete_aliases=True)

    def new_draft(self) -> Artifact:
        """Return a draft with the files, description and metadata of this version.

        Raises:
            UsageError: This artifact is a draft.
        """
        self._require_version("new_draft")
        draft = Artifact(self.source_name.partition(":")[0], self.type, self.description, self._metadata)
        draft.contents.keep(self.contents.manifest, self.qualified_name)
        return draft

    def __deepcopy__(self, memo: object) -> Artifact:
        """Return a second object for the same version. Its editable fields change independently.

        Raises:
            TypeError: The artifact is a draft.
        """
        self._check_logged()
        twin = Artifact.__new__(Artifact)
        twin.__dict__.update(
            {
                name: deepcopy(value) if isinstance(value, (dict, list)) else value
                for name, value in self.__dict__.items()
            }
        )
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a version as its name and the store or server that has it.

        Raises:
            TypeError: The artifact is a draft.
        """
        self._check_logged()
        return _find_again, (self._require_reader("pickle").api_overrides, self.qualified_name)

    def _check_logged(self) -> None:
        if self.is_draft():
            raise TypeError(
                f"Artifact {self._name} cannot be copied or pickled before it is logged. "
                "Call run.log_artifact(artifact) first."
            )

    # For ``log_artifact``

    def logged_to(
        self,
        layout: Layout,
        resolve: Resolve,
        find_run: FindRun,
    ) -> str:
        """Finish the draft and move its files to a run's store or outbox; return the draft's token.

        Args:
            layout: The store or outbox of the run.
            resolve: Finds the version that the draft became, and the reader of that version.
            find_run: Finds the runs that logged or used the version.
        """
        token = self.contents.finish(layout)
        self._logged, self._resolve, self._find_run = True, resolve, find_run
        return token

    def _set_version(self, version: ArtifactDetail, reader: ArtifactReader) -> None:
        if self._version is None or self._version.manifest != version.manifest:
            self._contents = None
        super()._set_version(version, reader)
        self.description = version.description
        self._metadata = as_plain_metadata(version.metadata)
        self._aliases, self._tags = list(version.aliases), list(version.tags)
        self._ttl = (
            None if version.expires_at is None else timedelta(seconds=version.expires_at - version.created_at)
        )


def _find_again(api_overrides: dict[str, str], name: str) -> Artifact:
    found: Artifact = public_package.package.Api(api_overrides).artifact(name)
    return found
