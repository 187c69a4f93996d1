"""The side of an artifact that takes files, until it is logged."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, cast

from tracker.artifacts import artifact_references, stored_objects
from tracker.artifacts.contents import Contents, check_entry_path, files_below
from tracker.artifacts.entry import ArtifactManifestEntry
from tracker.artifacts.references import add_reference
from tracker.artifacts.version import VersionFields
from tracker.errors import ArtifactFinalizedError
from tracker.ground.settings import load_settings
from tracker.reading.open_reader import open_artifacts
from tracker.store.blobs.drafts import DraftEntry
from tracker.store.blobs.manifest import Entry

if TYPE_CHECKING:
    from tracker.artifacts.artifact import Artifact

Policy = Literal["mutable", "immutable"]


class DraftMethods(VersionFields):
    """An artifact's files, and adding to them.

    Args:
        name: Of its collection.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._contents: Contents | None = Contents()
        self._objects: dict[str, Any] = {}
        # As in wandb, others name it by these before it is logged.
        self.client_id = os.urandom(16).hex()
        self.sequence_client_id = hashlib.sha256(name.encode()).hexdigest()[:32]
        self._added: dict[str, str] = {}

    @property
    def contents(self) -> Contents:
        """Its files; those of a version are read when first asked for."""
        if self._contents is None:
            assert self._version is not None
            self._contents = Contents(self._require_reader("files").manifest(self._version))
        return self._contents

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
            path = above + inside  # names from a folder are good, but for bytes that are no text
            contents.add(
                DraftEntry(path if path.isascii() else check_entry_path(path), taken), overwrite=merge
            )

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

    def add(self, obj: Any, name: str | os.PathLike[str], overwrite: bool = False) -> ArtifactManifestEntry:
        """Add an object such as a ``Table``, with the files that it needs; ``get`` gives it back.

        Args:
            obj: A table, image, audio, video, page, point cloud, molecule, or classes, masks and boxes.
            name: Its name inside the artifact; the type's ending (``.table.json``) is added.
            overwrite: Whether it may take an existing name's place. As in wandb, without it the entry that
                has the name stays, and is returned.

        Raises:
            TypeError: It is no such object.
        """
        self._check_draft()
        return stored_objects.add(self, obj, check_entry_path(name), overwrite)

    def add_content(self, path: str, data: bytes, overwrite: bool = True) -> str:
        """Add a file with this content; return its path."""
        self._check_draft()
        return self._add(
            DraftEntry(check_entry_path(path), self.contents.capture_bytes(data)), overwrite
        ).path

    def content_paths(self) -> list[str]:
        """Return the paths of all files."""
        return [entry.path for entry in self.contents.entries()]

    def find_content(self, path: str) -> ArtifactManifestEntry | None:
        """Return the entry of a file, or None."""
        found = self.contents.find(path)
        return None if found is None else self._entry(found)

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
        if address.startswith(artifact_references.SCHEME):
            other = uri.parent_artifact() if isinstance(uri, ArtifactManifestEntry) else None
            reader = (
                open_artifacts(load_settings()) if other is None else other._require_reader("add_reference")
            )
            found = [artifact_references.ArtifactReferences(reader).entry_for(address, path)]
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
        self._finalized = True

    def get_added_local_path_name(self, local_path: str) -> str | None:
        """Return the name inside the artifact of a file that was added from ``local_path``."""
        return self._added.get(os.path.abspath(local_path))

    def get_entry(self, name: str | os.PathLike[str]) -> ArtifactManifestEntry:
        """Return one entry.

        Raises:
            KeyError: There is no file of that name.
        """
        entry = self.contents.find(os.fspath(name))
        if entry is None:
            raise KeyError(f"Path not contained in artifact: {name}")
        return self._entry(entry)

    get_path = get_entry  # its former name

    def _entry(self, entry: Entry | DraftEntry) -> ArtifactManifestEntry:
        return ArtifactManifestEntry(cast("Artifact", self), entry)

    def _add(self, entry: DraftEntry, overwrite: bool) -> ArtifactManifestEntry:
        return self._entry(self.contents.add(entry, overwrite=overwrite))

    def _check_draft(self) -> None:
        if self._finalized or not self.is_draft():
            raise ArtifactFinalizedError(
                f"Can't add files to finalized artifact {self._name}: make a new Artifact"
            )


def _check_policy(policy: str | None) -> None:
    if policy not in (None, "mutable", "immutable"):
        raise ValueError(f'Invalid policy {policy!r}. Policy may only be "mutable" or "immutable".')
