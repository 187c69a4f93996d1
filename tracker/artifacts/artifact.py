"""``Artifact``: a draft while files are added, a version once it is logged."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tracker.answers import ArtifactDetail, ArtifactEntry
from tracker.artifacts.capture import capture_store
from tracker.artifacts.download import download_entries, verify_entries
from tracker.errors import ArtifactError, UsageError
from tracker.names import check_artifact_name
from tracker.reading.reader import ArtifactReader
from tracker.settings import load_settings
from tracker.store.blobs import Blob, BlobStore
from tracker.store.manifest import Entry, Manifest, make_manifest
from tracker.values import to_plain


class Artifact:
    """A named set of files, as ``wandb.Artifact``.

    A new one is a draft: add files, then log it with ``run.log_artifact``. One that came from
    ``use_artifact`` or ``Api().artifact`` is a version: read it and download it.

    Args:
        name: Letters, digits, ``-``, ``_`` and ``.``.
        type: What it is, such as ``"model"`` or ``"dataset"``.
        description: Free text.
        metadata: Plain values about it.

    Raises:
        ValueError: The name or type is not allowed.
    """

    def __init__(
        self, name: str, type: str, description: str | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        check_artifact_name(name)
        if not type or type.startswith("wandb-"):
            raise ValueError(
                f"Artifact type {type!r} is not allowed: give a word such as 'model' or 'dataset'"
            )
        self._name = name
        self.type = type
        self.description = description
        self.metadata: dict[str, Any] = to_plain(metadata or {})
        self._entries: dict[str, Entry] = {}
        self._version: ArtifactDetail | None = None
        self._reader: ArtifactReader | None = None
        self._logged = False
        self._resolve: Callable[[], tuple[ArtifactDetail, ArtifactReader]] | None = None
        self._blobs: BlobStore | None = None

    @classmethod
    def from_version(cls, version: ArtifactDetail, reader: ArtifactReader) -> Artifact:
        """Return the artifact that a reader found."""
        artifact = cls(version.name, version.type, version.description, version.metadata)
        artifact._became(version, reader)
        return artifact

    @property
    def name(self) -> str:
        """``NAME:vN`` of a version, ``NAME`` of a draft."""
        return f"{self._name}:{self._version.version}" if self._version else self._name

    @property
    def qualified_name(self) -> str:
        """``ENTITY/PROJECT/NAME:vN``."""
        version = self._known("qualified_name")
        return f"{version.entity}/{version.project}/{self.name}"

    @property
    def version(self) -> str:
        """``v0``, ``v1``, ..."""
        return self._known("version").version

    @property
    def aliases(self) -> list[str]:
        """The aliases that named it when it was looked up."""
        return list(self._known("aliases").aliases)

    @property
    def digest(self) -> str:
        """Digest over names and contents, equal to wandb's."""
        return self._version.digest if self._version else self.to_manifest().digest

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self._entries.values())

    @property
    def state(self) -> str:
        """``"PENDING"`` until it is logged, then ``"COMMITTED"``."""
        return "COMMITTED" if self._version else "PENDING"

    def is_draft(self) -> bool:
        """Whether files can still be added."""
        return not self._logged and self._version is None

    def files(self) -> list[ArtifactEntry]:
        """Return the entries: path, size, digests."""
        ordered = sorted(self._entries.values(), key=lambda entry: entry.path)
        return [ArtifactEntry(entry.path, entry.digest, entry.size, entry.sha256) for entry in ordered]

    def add_file(
        self,
        local_path: str | os.PathLike[str],
        name: str | None = None,
        policy: str | None = "mutable",
        overwrite: bool = False,
    ) -> ArtifactEntry:
        """Add one file. When this returns, the caller may change or delete it.

        Args:
            local_path: The file.
            name: Its name inside the artifact; the file's own name unless given.
            policy: Accepted for compatibility: the content is captured either way.
            overwrite: Whether another content may take an existing name's place.

        Raises:
            ValueError: There is no such file, or the name is taken by another content.
        """
        if not os.path.isfile(local_path):
            raise ValueError(f"Path is not a file: {os.fspath(local_path)!r}")
        self._check_draft()
        return self._add(name or os.path.basename(local_path), self._store().add_file(local_path), overwrite)

    def add_dir(self, local_path: str | os.PathLike[str], name: str | None = None) -> None:
        """Add all files below a folder, under ``name`` if given.

        Raises:
            ValueError: There is no such folder.
        """
        folder = Path(local_path)
        if not folder.is_dir():
            raise ValueError(f"Path is not a directory: {os.fspath(local_path)!r}")
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            inside = path.relative_to(folder).as_posix()
            self.add_file(path, f"{name}/{inside}" if name else inside)

    @contextmanager
    def new_file(self, name: str, mode: str = "x", encoding: str | None = None) -> Iterator[IO[Any]]:
        """Open a new file of the artifact for writing; it is added when the block ends well.

        Raises:
            ValueError: The name is taken, and ``mode`` is not ``"w"`` or ``"wb"``.
        """
        self._check_draft()
        if name in self._entries and "w" not in mode:
            raise ValueError(f"File with name {name!r} already exists in the artifact")
        buffer = io.BytesIO()
        file: IO[Any] = (
            buffer if "b" in mode else io.TextIOWrapper(buffer, encoding or "utf-8", write_through=True)
        )
        yield file
        file.flush()
        self._add(name, self._store().add_bytes(buffer.getvalue()), True)

    def get_entry(self, name: str) -> ArtifactEntry:
        """Return one entry.

        Raises:
            KeyError: There is no file of that name.
        """
        entry = self._entries.get(os.fspath(name))
        if entry is None:
            raise KeyError(f"Path not contained in artifact: {name}")
        return ArtifactEntry(entry.path, entry.digest, entry.size, entry.sha256)

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

    def download(self, root: str | os.PathLike[str] | None = None) -> str:
        """Write all files below ``root`` and return it.

        Args:
            root: ``./artifacts/NAME:vN`` unless given (or below ``WANDB_ARTIFACT_DIR``).

        Raises:
            ArtifactError: A file's content is missing or wrong; says which file.
        """
        version = self._known("download")
        assert self._reader is not None
        folder = Path(root) if root is not None else load_settings().artifact_dir / self.name
        download_entries(self._reader, version, folder)
        return str(folder)

    def verify(self, root: str | os.PathLike[str] | None = None) -> None:
        """Check the downloaded files below ``root`` against the manifest.

        Raises:
            ArtifactError: A file is missing or differs; says which.
        """
        folder = Path(root) if root is not None else load_settings().artifact_dir / self.name
        verify_entries(self._known("verify"), folder)

    def to_manifest(self) -> Manifest:
        """Return the manifest of what was added."""
        return make_manifest(self._entries.values())

    def logged_to(
        self, blobs: BlobStore, resolve: Callable[[], tuple[ArtifactDetail, ArtifactReader]]
    ) -> Manifest:
        """Seal the draft and make sure that ``blobs`` has its content; called by ``log_artifact``.

        Args:
            blobs: Where the run keeps content.
            resolve: Finds the version that the artifact became, and who can read it.
        """
        self._logged, self._resolve = True, resolve
        if self._blobs is not None and self._blobs.root != blobs.root:
            for entry in self._entries.values():
                blobs.add_file(self._blobs.path(entry.sha256))
        return self.to_manifest()

    def _became(self, version: ArtifactDetail, reader: ArtifactReader) -> None:
        self._version, self._reader, self._logged = version, reader, True
        self.description, self.metadata = version.description, version.metadata
        self._entries = {
            entry.path: Entry(entry.path, entry.digest, entry.size, entry.sha256) for entry in version.files
        }

    def _known(self, what: str) -> ArtifactDetail:
        self.wait()
        if self._version is None:
            raise ArtifactError(f"{what} of artifact {self._name} is known once it is logged")
        return self._version

    def _check_draft(self) -> None:
        if not self.is_draft():
            raise UsageError(f"Can't add files to finalized artifact {self._name}: make a new Artifact")

    def _store(self) -> BlobStore:
        if self._blobs is None:
            self._blobs = capture_store()
        return self._blobs

    def _add(self, name: str, blob: Blob, overwrite: bool) -> ArtifactEntry:
        path = name.replace(os.sep, "/").lstrip("/")
        parts = path.split("/")
        if not path or {"", ".", ".."} & set(parts):
            raise ValueError(f"{name!r} is no name for a file inside an artifact")
        above = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        if clash := above & set(self._entries) or {
            each for each in self._entries if each.startswith(path + "/")
        }:
            raise ValueError(f"{path!r} cannot stand beside {min(clash)!r}: one is the folder of the other")
        known = self._entries.get(path)
        if known is not None and known.sha256 != blob.sha256 and not overwrite:
            raise ValueError(f"Cannot add the same path twice: {path!r}; pass overwrite=True to replace it")
        self._entries[path] = Entry(path, blob.md5, blob.size, blob.sha256)
        return self.get_entry(path)
