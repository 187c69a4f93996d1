"""``Artifact``: a draft while files are added, a version once it is logged."""

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
    """A named set of files, as ``wandb.Artifact``.

    A new one is a draft: add files, then log it with ``run.log_artifact``. One that came from
    ``use_artifact`` or ``Api().artifact`` is a version: read it and download it.

    Args:
        name: Letters, digits, ``-``, ``_`` and ``.``.
        type: What it is, such as ``"model"`` or ``"dataset"``.
        description: Free text.
        metadata: Plain values about it.
        incremental: As in wandb: begin with all files of the newest version when it is logged.
        use_as: Accepted for compatibility.
        storage_region: Likewise, None only: there is one store.
        digest_algorithm: ``"MD5"`` only.

    Raises:
        ValueError: The name or type is not allowed.
        UnsupportedError: Another region or algorithm is asked for.
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
            raise UnsupportedError("Artifact(storage_region=...)", "there is one store: leave it out")
        if digest_algorithm != "MD5":
            raise UnsupportedError(
                f"Artifact(digest_algorithm={digest_algorithm!r})",
                "leave it out: digests are MD5, as wandb's",
            )
        if not type or type == "job" or type.startswith("wandb-"):
            raise ValueError(
                f"Artifact type {type!r} is not allowed: give a word such as 'model' or 'dataset'"
            )
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
        """Return the artifact that a reader found."""
        artifact = cls("found", "unspecified")
        # A collection's name, and wandb's own types, are not allowed for a new artifact.
        artifact._name, artifact.type = version.name, version.type
        artifact._find_run = find_run
        artifact._set_version(version, reader)
        return artifact

    # What is said of it; ``save`` keeps what was changed of a version

    @property
    def metadata(self) -> dict[str, Any]:
        """Plain values about it."""
        return self._metadata

    @metadata.setter
    def metadata(self, metadata: dict[str, Any] | None) -> None:
        self._metadata = as_plain_metadata(metadata)

    @property
    def aliases(self) -> list[str]:
        """The aliases that named it when it was looked up. Change the list and ``save``."""
        self._require_version("aliases")
        return self._aliases

    @aliases.setter
    def aliases(self, aliases: Sequence[str]) -> None:
        self._require_version("aliases")
        self._aliases = list(aliases)

    @property
    def tags(self) -> list[str]:
        """Its tags."""
        return self._tags

    @tags.setter
    def tags(self, tags: Sequence[str]) -> None:
        self._tags = edits.check_tags(tags)

    @property
    def ttl(self) -> timedelta | None:
        """How long after it was logged it is kept; None: for ever."""
        return self._ttl

    @ttl.setter
    def ttl(self, ttl: timedelta | ArtifactTTL | None) -> None:
        self._ttl = ttl_of(ttl)

    # Reading

    @property
    def manifest(self) -> ArtifactManifest:
        """The list of its files."""
        return ArtifactManifest(self)

    @property
    def digest(self) -> str:
        """Digest over names and contents, equal to wandb's; a draft's is computed when asked for."""
        return self._version.digest if self._version else self.contents.manifest.digest

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return self._version.size if self._version else self.contents.size

    @property
    def file_count(self) -> int:
        """How many files there are."""
        return self._version.file_count if self._version else len(self.contents)

    def files(
        self, names: Iterable[str] | None = None, per_page: int = 50, start: str | None = None
    ) -> PaginatedList[ArtifactManifestEntry]:
        """Return the files in path order; only those called ``names``, if given. wandb refuses drafts."""
        wanted = None if names is None else set(names)
        found = self.files_now()
        return PaginatedList((each for each in found if wanted is None or each.path in wanted), per_page)

    def files_now(self) -> list[ArtifactManifestEntry]:
        """Return the files there are, of a draft too."""
        return [self._entry(entry) for entry in self.contents.entries()]

    def get(self, name: str) -> Any:
        """Return the media object that was added under ``name``; None when there is none."""
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
        """Write all files below ``root`` and return it; those that are there already and right are kept.

        Args:
            root: ``./artifacts/NAME:vN`` unless given (or below ``WANDB_ARTIFACT_DIR``).
            allow_missing_references: Whether a reference whose target is gone is passed over.
            skip_cache: Accepted for compatibility.
            path_prefix: Only files whose path begins so.
            multipart: Accepted for compatibility: large files come in parallel ranges anyway.
            link: Make read-only hard links to the store's own files where that can be. Never write to them:
                root can, and the stored content is then damaged.

        Raises:
            ArtifactError: A file's content is missing or wrong; says which file.
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
        """Download these of its files; see ``download``."""
        version, reader = self._require_version("download"), self._require_reader("download")
        folder = Path(root) if root is not None else load_settings().artifact_dir / self.name
        options = {"link": link, "allow_missing_references": allow_missing_references}
        try:
            download_entries(reader, version, entries, folder, **options)
        except (ArtifactError, NotFoundError):
            fresh = reader.artifact(version.entity, version.project, version.name, version.version)
            if fresh.manifest == version.manifest:
                raise
            # Its files have been packed anew since it was looked up, and the former packs are gone.
            self._version, self._contents = replace(version, manifest=fresh.manifest), None
            moved = {entry.path: entry for entry in self.contents.manifest.entries}
            download_entries(
                reader, self._version, [moved[entry.path] for entry in entries], folder, **options
            )
        return str(folder)

    def checkout(self, root: str | os.PathLike[str] | None = None) -> str:
        """Make ``root`` hold the artifact's files and no others; return it.

        Args:
            root: ``./artifacts/NAME`` unless given.

        Raises:
            ArtifactError: A file's content is missing or wrong; says which file.
        """
        self._require_version("checkout")
        folder = Path(root) if root is not None else load_settings().artifact_dir / self._name
        known = {path_on_disk(entry.path) for entry in self.contents.manifest.entries}
        remove_obstacles(known, folder)
        self.download(folder)  # before the rest goes: one that cannot be had leaves that alone
        remove_others(known, folder)
        return str(folder)

    def file(self, root: str | os.PathLike[str] | None = None) -> str:
        """Download an artifact of one file; return the file's path.

        Raises:
            ValueError: It has several files.
        """
        if self.file_count != 1:
            raise ValueError("This artifact contains more than one file, call `.download()` to get all files")
        return self.files()[0].download(root)

    def verify(self, root: str | os.PathLike[str] | None = None) -> None:
        """Check the downloaded files below ``root`` against the manifest; there may be no others.

        Raises:
            ArtifactError: A file is missing, differs, or is none of the artifact's; says which.
        """
        self._require_version("verify")
        folder = Path(root) if root is not None else load_settings().artifact_dir / self.name
        verify_entries(self.contents.manifest.entries, folder, self.name)

    # Changing

    def save(self, project: str | None = None, settings: Any = None) -> None:
        """Log a draft to the active run, or keep what was changed of a version.

        Args:
            project: Where a draft is logged when no run is active: by a run of its own, of job type ``auto``.
            settings: Of that run.
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
        """Delete this version. Its bytes go with ``tracker gc``, when nothing else has them.

        Args:
            delete_aliases: Whether it may go although aliases other than ``latest`` name it.

        Raises:
            ValueError: Aliases name it, and ``delete_aliases`` is False.
        """
        version = self._require_version("delete")
        reader = self._require_reader("delete")
        fresh = reader.artifact(version.entity, version.project, version.name, version.version)
        held = [alias for alias in fresh.aliases if alias != "latest"]
        if held and not delete_aliases:
            raise ValueError(
                f"artifact {self.name} has the aliases {', '.join(held)}: pass delete_aliases=True"
            )
        edits.apply(reader, version, edits.build_deletion(version))
        self._reader = None

    def link(self, target_path: str, aliases: Iterable[str] | None = None) -> Artifact:
        """Link this version into another collection, such as a registered model; return it as it is there.

        Args:
            target_path: ``[[entity/]project/]collection``; ``model-registry`` is the project of a registry.
            aliases: Moved to it in that collection; ``latest`` always is.

        Raises:
            ValueError: An alias or the collection's name is not allowed.
        """
        version = self._require_version("link")
        record = edits.build_link(version, target_path, list(aliases or ()))
        linked = edits.apply_link(self._require_reader("link"), record)
        assert self._find_run is not None
        return Artifact.from_version(linked, self._require_reader("link"), self._find_run)

    def unlink(self) -> None:
        """Take a link out of its collection; the version that it stands for stays.

        Raises:
            ValueError: It is no link.
        """
        if not self.is_link:
            raise ValueError(
                f"Artifact {self.qualified_name!r} is not a linked artifact and cannot be unlinked."
            )
        self.delete(delete_aliases=True)

    def new_draft(self) -> Artifact:
        """Return a draft with all of this version's files and what is said of it, to add to and log anew.

        Raises:
            UsageError: It was not logged.
        """
        self._require_version("new_draft")
        draft = Artifact(self.source_name.partition(":")[0], self.type, self.description, self._metadata)
        draft.contents.keep(self.contents.manifest)
        return draft

    def __deepcopy__(self, memo: object) -> Artifact:
        """Return another object for the same version, whose aliases, tags and metadata can be changed apart.

        Raises:
            TypeError: It was not logged: its files are not finished.
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
        """Pickle a logged artifact as its name and the place where it is found again.

        Raises:
            TypeError: It was not logged.
        """
        self._check_logged()
        return _find_again, (self._require_reader("pickle").api_overrides, self.qualified_name)

    def _check_logged(self) -> None:
        if self.is_draft():
            raise TypeError(
                f"artifact {self._name} cannot be copied or pickled before it is logged: "
                "call run.log_artifact(artifact) first"
            )

    # What ``log_artifact`` uses

    def logged_to(
        self,
        layout: Layout,
        resolve: Resolve,
        find_run: FindRun,
    ) -> str:
        """Seal the draft and hand its files to a run's store or outbox; return the draft's token.

        Args:
            layout: Where the run writes.
            resolve: Finds the version that the artifact became, and who can read it.
            find_run: Finds the runs that its lineage names.
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
