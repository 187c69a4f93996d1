"""``Artifact``: a draft while files are added, a version once it is logged."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import IO, Any, Literal

from tracker.answers import ArtifactDetail
from tracker.artifacts import changing, following, objects
from tracker.artifacts.capture import active_run
from tracker.artifacts.contents import Contents, as_plain_metadata, check_entry_path, files_below
from tracker.artifacts.download import download_entries, remove_others, verify_entries
from tracker.artifacts.entry import ArtifactManifestEntry
from tracker.artifacts.references import add_reference
from tracker.artifacts.ttl import ArtifactTTL, ttl_of
from tracker.errors import ArtifactError, UsageError
from tracker.names import check_artifact_name
from tracker.reading.open import open_artifacts
from tracker.reading.reader import ArtifactReader
from tracker.settings import load_settings
from tracker.store.drafts import DraftEntry
from tracker.store.layout import Layout
from tracker.store.manifest import Entry, Manifest

Policy = Literal["mutable", "immutable"]
# Finds a run, by entity, project and id, as ``Api().run`` does.
FindRun = Callable[[str, str, str], Any]


class Artifact:
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

    Raises:
        ValueError: The name or type is not allowed.
    """

    def __init__(
        self,
        name: str,
        type: str,
        description: str | None = None,
        metadata: dict[str, Any] | None = None,
        incremental: bool = False,
        use_as: str | None = None,
    ) -> None:
        check_artifact_name(name)
        if not type or type.startswith("wandb-"):
            raise ValueError(
                f"Artifact type {type!r} is not allowed: give a word such as 'model' or 'dataset'"
            )
        self._name = name
        self.type = type
        self.description = description
        self.incremental = incremental
        self.use_as = use_as
        self._metadata = as_plain_metadata(metadata)
        self._aliases: list[str] = []
        self._tags: list[str] = []
        self._ttl: timedelta | None = None
        self._contents: Contents | None = Contents()
        self._objects: dict[str, Any] = {}
        self._added: dict[str, str] = {}
        self._version: ArtifactDetail | None = None
        self._reader: ArtifactReader | None = None
        self._find_run: FindRun | None = None
        self._logged = False
        self._resolve: Callable[[], tuple[ArtifactDetail, ArtifactReader]] | None = None

    @classmethod
    def from_version(cls, version: ArtifactDetail, reader: ArtifactReader, find_run: FindRun) -> Artifact:
        """Return the artifact that a reader found."""
        artifact = cls(version.name, version.type)
        artifact._find_run = find_run
        artifact._became(version, reader)
        return artifact

    # Identity

    @property
    def name(self) -> str:
        """``NAME:vN`` of a version, ``NAME`` of a draft."""
        return f"{self._name}:{self._version.version}" if self._version else self._name

    @property
    def entity(self) -> str:
        """Whose project it is in."""
        return self._known("entity").entity

    @property
    def project(self) -> str:
        """The project."""
        return self._known("project").project

    @property
    def qualified_name(self) -> str:
        """``ENTITY/PROJECT/NAME:vN``."""
        version = self._known("qualified_name")
        return f"{version.entity}/{version.project}/{self.name}"

    @property
    def id(self) -> str | None:
        """The same as ``qualified_name``; None for a draft."""
        return self.qualified_name if self._version else None

    @property
    def version(self) -> str:
        """``v0``, ``v1``, ..."""
        return self._known("version").version

    @property
    def state(self) -> str:
        """``"PENDING"`` until it is logged, then ``"COMMITTED"``; ``"DELETED"`` after ``delete``."""
        if self._version is None:
            return "PENDING"
        return "COMMITTED" if self._reader is not None else "DELETED"

    def is_draft(self) -> bool:
        """Whether files can still be added."""
        return not self._logged and self._version is None

    @property
    def is_link(self) -> bool:
        """Whether it stands for a version of another collection, such as in a model registry."""
        return self._known("is_link").source is not None

    @property
    def source_qualified_name(self) -> str:
        """``ENTITY/PROJECT/NAME:vN`` of the version that a link stands for; its own, unless it is one."""
        return self._known("source_qualified_name").source or self.qualified_name

    @property
    def source_entity(self) -> str:
        """Entity of ``source_qualified_name``."""
        return self.source_qualified_name.split("/")[0]

    @property
    def source_project(self) -> str:
        """Project of ``source_qualified_name``."""
        return self.source_qualified_name.split("/")[1]

    @property
    def source_name(self) -> str:
        """``NAME:vN`` of ``source_qualified_name``."""
        return self.source_qualified_name.split("/")[2]

    @property
    def source_version(self) -> str:
        """``vN`` of ``source_qualified_name``."""
        return self.source_qualified_name.rpartition(":")[2]

    @property
    def created_at(self) -> str:
        """When it was logged, as ``2026-01-31T12:00:00Z``."""
        return _as_time(self._known("created_at").created_at)

    @property
    def updated_at(self) -> str:
        """When something was last said of it, in the same form."""
        return _as_time(self._known("updated_at").updated_at)

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
        self._known("aliases")
        return self._aliases

    @aliases.setter
    def aliases(self, aliases: Sequence[str]) -> None:
        self._known("aliases")
        self._aliases = list(aliases)

    @property
    def tags(self) -> list[str]:
        """Its tags."""
        return self._tags

    @tags.setter
    def tags(self, tags: Sequence[str]) -> None:
        self._tags = changing.check_tags(tags)

    @property
    def ttl(self) -> timedelta | None:
        """How long after it was logged it is kept; None: for ever."""
        return self._ttl

    @ttl.setter
    def ttl(self, ttl: timedelta | ArtifactTTL | None) -> None:
        self._ttl = ttl_of(ttl)

    # Adding

    def add_file(
        self,
        local_path: str | os.PathLike[str],
        name: str | None = None,
        is_tmp: bool | None = False,
        skip_cache: bool | None = False,
        policy: Policy | None = "mutable",
        overwrite: bool = False,
    ) -> ArtifactManifestEntry:
        """Add one file. When this returns, the caller may change or delete it.

        Args:
            local_path: The file.
            name: Its name inside the artifact; the file's own name unless given.
            is_tmp: Accepted for compatibility.
            skip_cache: Accepted for compatibility: there is no cache that could be skipped.
            policy: ``"immutable"`` promises that nobody ever writes to the file again: where the file
                system cannot share blocks, a hard link then takes the place of a copy.
            overwrite: Whether another content may take an existing name's place.

        Raises:
            ValueError: There is no such file, or the name is taken by another content.
            OSError: The file cannot be read, or the store not written.
        """
        self._check_draft()
        _check_policy(policy)
        if not os.path.isfile(local_path):
            raise ValueError(f"Path is not a file: {os.fspath(local_path)!r}")
        path = check_entry_path(name or os.path.basename(local_path))
        taken = self.contents.capture(local_path, immutable=policy == "immutable")
        self._added[os.path.abspath(local_path)] = path
        return self._add(DraftEntry(path, taken), overwrite)

    def add_dir(
        self,
        local_path: str | os.PathLike[str],
        name: str | None = None,
        skip_cache: bool | None = False,
        policy: Policy | None = "mutable",
        merge: bool = False,
    ) -> None:
        """Add all files below a folder, under ``name`` if given.

        Args:
            local_path: The folder; links to files and folders are followed.
            name: Folder inside the artifact.
            skip_cache: Accepted for compatibility.
            policy: As for ``add_file``.
            merge: Whether files that are in the artifact already may be replaced.

        Raises:
            ValueError: There is no such folder, or a name is taken by another content.
        """
        self._check_draft()
        _check_policy(policy)
        folder = Path(local_path)
        if not folder.is_dir():
            raise ValueError(f"Path is not a directory: {os.fspath(local_path)!r}")
        contents, immutable = self.contents, policy == "immutable"
        above = f"{check_entry_path(name).rstrip('/')}/" if name and name.strip("./") else ""
        for inside, found in files_below(folder):
            taken = contents.capture(found.path, immutable=immutable)
            contents.add(DraftEntry(check_entry_path(above + inside), taken), overwrite=merge)

    @contextmanager
    def new_file(
        self, name: str, mode: str = "x", encoding: str | None = None, policy: Policy = "mutable"
    ) -> Iterator[IO[Any]]:
        """Open a new file of the artifact for writing; it is added when the block ends well.

        Args:
            name: Its name inside the artifact.
            mode: ``"x"`` or ``"w"``, with ``"b"`` for bytes; only ``"w"`` may replace a file.
            encoding: Of text; UTF-8 unless given.
            policy: Accepted for compatibility.

        Raises:
            ValueError: The name is taken, and ``mode`` is not ``"w"`` or ``"wb"``.
        """
        self._check_draft()
        path = check_entry_path(name)
        if self.contents.find(path) is not None and "w" not in mode:
            raise ValueError(f"File with name {name!r} already exists in the artifact")
        target = self.contents.new_file()
        try:
            with target.open("xb") as raw:
                file: IO[Any] = raw if "b" in mode else io.TextIOWrapper(raw, encoding or "utf-8")
                yield file
                file.flush()
                if file is not raw:
                    file.detach()  # type: ignore[attr-defined]
            self._add(DraftEntry(path, self.contents.capture_new(target)), True)
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    def add(self, obj: Any, name: str, overwrite: bool = False) -> ArtifactManifestEntry:
        """Add a media object, such as a ``Table``; ``get`` gives it back.

        Args:
            obj: ``Table`` or ``Image``.
            name: Its name inside the artifact; the type's ending (``.table.json``) is added.
            overwrite: Whether it may take an existing name's place.

        Raises:
            ValueError: It is no media object, or the name is taken.
        """
        self._check_draft()
        path, files = objects.to_files(obj, check_entry_path(name))
        for inside, data in files.items():
            entry = self._add(
                DraftEntry(inside, self.contents.capture_bytes(data)), overwrite or inside != path
            )
        self._objects[path] = obj
        return entry if entry.path == path else self.get_entry(path)

    def add_reference(
        self,
        uri: ArtifactManifestEntry | str,
        name: str | os.PathLike[str] | None = None,
        checksum: bool = True,
        max_objects: int | None = None,
    ) -> list[ArtifactManifestEntry]:
        """Add what lies elsewhere, by address: its checksum is kept, its bytes are not.

        Args:
            uri: ``file://``, ``http(s)://``, ``s3://``, ``gs://``, or an entry of a logged artifact.
                One of another scheme is kept as it is, without a checksum.
            name: Its name inside the artifact, or the folder of several.
            checksum: Whether to look at it: without, its digest is that of the address.
            max_objects: Most objects that a folder or prefix may have; 10,000,000 unless given.

        Raises:
            ValueError: It is not there, cannot be looked at, or has too many objects.
        """
        self._check_draft()
        address = uri.ref_url() if isinstance(uri, ArtifactManifestEntry) else os.fspath(uri)
        path = check_entry_path(name) if name is not None else None
        if address.startswith(following.SCHEME):
            other = uri.parent_artifact() if isinstance(uri, ArtifactManifestEntry) else None
            reader = open_artifacts(load_settings()) if other is None else other._reading("add_reference")
            found = [following.Follower(reader).entry_for(address, path)]
        else:
            found = add_reference(address, path, checksum, max_objects)
        return [self._add(DraftEntry(entry.path, stored=entry), False) for entry in found]

    def remove(self, item: str | os.PathLike[str] | ArtifactManifestEntry) -> None:
        """Take a file, or all files below a folder, out of a draft.

        Raises:
            FileNotFoundError: There is none of that name.
        """
        self._check_draft()
        path = item.path if isinstance(item, ArtifactManifestEntry) else check_entry_path(item)
        if not self.contents.remove(path):
            raise FileNotFoundError(f"No such file or directory: {path}")

    def finalize(self) -> None:
        """Accept no more files. ``log_artifact`` does this by itself."""
        self._logged = True

    # Reading

    @property
    def contents(self) -> Contents:
        """Its files; those of a version are read when first asked for."""
        if self._contents is None:
            assert self._version is not None
            self._contents = Contents(self._reading("files").manifest(self._version))
        return self._contents

    @property
    def manifest(self) -> Manifest:
        """The list of its files."""
        return self.contents.manifest

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
    ) -> list[ArtifactManifestEntry]:
        """Return the files in path order; only those called ``names``, if given."""
        wanted = None if names is None else set(names)
        return [
            ArtifactManifestEntry(self, entry)
            for entry in self.contents.entries()
            if wanted is None or entry.path in wanted
        ]

    def get_entry(self, name: str | os.PathLike[str]) -> ArtifactManifestEntry:
        """Return one entry.

        Raises:
            KeyError: There is no file of that name.
        """
        entry = self.contents.find(os.fspath(name))
        if entry is None:
            raise KeyError(f"Path not contained in artifact: {name}")
        return ArtifactManifestEntry(self, entry)

    get_path = get_entry  # its former name

    def get(self, name: str) -> Any:
        """Return the media object that was added under ``name``; None when there is none."""
        return objects.find(self, name)

    def get_added_local_path_name(self, local_path: str) -> str | None:
        """Return the name inside the artifact of a file that was added from ``local_path``."""
        return self._added.get(os.path.abspath(local_path))

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
        self._known("download")
        prefix = "" if path_prefix is None else os.fspath(path_prefix)
        wanted = [entry for entry in self.manifest.entries if entry.path.startswith(prefix)]
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
        version, reader = self._known("download"), self._reading("download")
        folder = Path(root) if root is not None else load_settings().artifact_dir / self.name
        download_entries(
            reader, version, entries, folder, link=link, allow_missing_references=allow_missing_references
        )
        return str(folder)

    def checkout(self, root: str | os.PathLike[str] | None = None) -> str:
        """Make ``root`` hold the artifact's files and no others; return it.

        Args:
            root: ``./artifacts/NAME`` unless given.

        Raises:
            ArtifactError: A file's content is missing or wrong; says which file.
        """
        self._known("checkout")
        folder = Path(root) if root is not None else load_settings().artifact_dir / self._name
        remove_others({entry.path for entry in self.manifest.entries}, folder)
        return self.download(folder)

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
        self._known("verify")
        folder = Path(root) if root is not None else load_settings().artifact_dir / self.name
        verify_entries(self.manifest.entries, folder, self.name)

    def wait(self, timeout: float | None = None) -> Artifact:
        """Wait until the artifact has a version; return it.

        Raises:
            UsageError: It was not logged.
        """
        if self._version is None:
            if self._resolve is None:
                raise UsageError(
                    f"artifact {self._name} was not logged: call run.log_artifact(artifact) first"
                )
            self._became(*self._resolve())
        return self

    # Lineage

    def logged_by(self) -> Any:
        """Return the run that logged it, as ``Api().run``; None when it is not known."""
        run = self._known("logged_by").logged_by
        return None if run is None else self._run(self.source_entity, self.source_project, run)

    def used_by(self) -> list[Any]:
        """Return the runs that used it, as ``Api().run``."""
        version = self._known("used_by")
        fresh = self._reading("used_by").artifact(
            version.entity, version.project, version.name, version.version
        )
        return [self._run(run.entity, run.project, run.id) for run in fresh.used_by]

    # Changing

    def save(self, project: str | None = None, settings: Any = None) -> None:
        """Log a draft to the active run, or keep what was changed of a version.

        Args:
            project: Accepted for compatibility.
            settings: Likewise.

        Raises:
            UsageError: A draft is to be logged, and no run is active.
        """
        if self._version is None and not self._logged:
            run = active_run()
            if run is None:
                raise UsageError("there is no run to log the artifact to: call init first")
            run.log_artifact(self)
            return
        version, reader = self._known("save"), self._reading("save")
        change = changing.change_of(
            version, self._aliases, self._tags, self.description, self._metadata, self._ttl
        )
        if change is not None:
            self._became(changing.apply(reader, version, change), reader)

    def delete(self, delete_aliases: bool = False) -> None:
        """Delete this version. Its bytes go with ``tracker gc``, when nothing else has them.

        Args:
            delete_aliases: Whether it may go although aliases other than ``latest`` name it.

        Raises:
            ValueError: Aliases name it, and ``delete_aliases`` is False.
        """
        version = self._known("delete")
        reader = self._reading("delete")
        fresh = reader.artifact(version.entity, version.project, version.name, version.version)
        held = [alias for alias in fresh.aliases if alias != "latest"]
        if held and not delete_aliases:
            raise ValueError(
                f"artifact {self.name} has the aliases {', '.join(held)}: pass delete_aliases=True"
            )
        changing.apply(reader, version, changing.deletion_of(version))
        self._reader = None

    def link(self, target_path: str, aliases: Iterable[str] | None = None) -> Artifact:
        """Link this version into another collection, such as a registered model; return it as it is there.

        Args:
            target_path: ``[[entity/]project/]collection``; ``model-registry`` is the project of a registry.
            aliases: Moved to it in that collection; ``latest`` always is.

        Raises:
            ValueError: An alias or the collection's name is not allowed.
        """
        version = self._known("link")
        record = changing.link_of(version, target_path, list(aliases or ()))
        linked = changing.apply_link(self._reading("link"), record)
        assert self._find_run is not None
        return Artifact.from_version(linked, self._reading("link"), self._find_run)

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
        self._known("new_draft")
        draft = Artifact(self._name, self.type, self.description, self._metadata)
        draft.contents.start_from(self.manifest)
        return draft

    # What ``log_artifact`` uses

    def logged_to(
        self,
        layout: Layout,
        resolve: Callable[[], tuple[ArtifactDetail, ArtifactReader]],
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

    def _add(self, entry: DraftEntry, overwrite: bool) -> ArtifactManifestEntry:
        return ArtifactManifestEntry(self, self.contents.add(entry, overwrite=overwrite))

    def _became(self, version: ArtifactDetail, reader: ArtifactReader) -> None:
        if self._version is None or self._version.manifest != version.manifest:
            self._contents = None
        self._version, self._reader, self._logged = replace(version), reader, True
        self.description = version.description
        self._metadata = as_plain_metadata(version.metadata)
        self._aliases, self._tags = list(version.aliases), list(version.tags)
        self._ttl = (
            None if version.expires_at is None else timedelta(seconds=version.expires_at - version.created_at)
        )

    def _known(self, what: str) -> ArtifactDetail:
        self.wait()
        if self._version is None:
            raise ArtifactError(f"{what} of artifact {self._name} is known once it is logged")
        return self._version

    def _reading(self, what: str) -> ArtifactReader:
        self._known(what)
        if self._reader is None:
            raise ArtifactError(f"artifact {self.name} was deleted")
        return self._reader

    def _run(self, entity: str, project: str, run_id: str) -> Any:
        assert self._find_run is not None
        return self._find_run(entity, project, run_id)

    def _check_draft(self) -> None:
        if not self.is_draft():
            raise UsageError(f"Can't add files to finalized artifact {self._name}: make a new Artifact")


def _as_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _check_policy(policy: str | None) -> None:
    if policy not in (None, "mutable", "immutable"):
        raise ValueError(f'Invalid policy {policy!r}. Policy may only be "mutable" or "immutable".')
