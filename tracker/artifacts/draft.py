"""``DraftMethods``: the methods of ``Artifact`` that add files to a draft."""

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
    """The files of an artifact, and the methods that add files.

    Args:
        name: The name of the collection.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._contents: Contents | None = Contents()
        self._objects: dict[str, Any] = {}
        # Ids of wandb's client. Values in a history use them to name an artifact that is not logged yet.
        self.client_id = os.urandom(16).hex()
        self.sequence_client_id = hashlib.sha256(name.encode()).hexdigest()[:32]
        self._added: dict[str, str] = {}

    @property
    def contents(self) -> Contents:
        """The files. The manifest of a version is read at the first access."""
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
        """Add one file. After the call, the caller may change or delete the file.

        Args:
            local_path: The file.
            name: The path inside the artifact; by default the name of the file.
            is_tmp: Accepted for compatibility.
            skip_cache: Accepted for compatibility.
            policy: ``"mutable"``, or ``"immutable"`` as a promise that no process writes to the file again.
                For an immutable file, a file system that cannot share blocks needs only a hard link instead
                of a copy.
            overwrite: Whether to replace an entry of the same path.

        Raises:
            ValueError: The file does not exist, or the path exists with another content.
            OSError: The file cannot be read, or the store cannot be written.
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
        """Add all files in a folder and its subfolders.

        Args:
            local_path: The folder. Links to files and folders are followed.
            name: The folder inside the artifact; by default the root.
            skip_cache: Accepted for compatibility.
            policy: See ``add_file``.
            merge: Whether to replace entries of the same path.

        Raises:
            ValueError: The folder does not exist, or a path exists with another content.
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
            # Paths of a folder are valid entry paths, except names that are not valid UTF-8.
            path = above + inside
            contents.add(
                DraftEntry(path if path.isascii() else check_entry_path(path), taken), overwrite=merge
            )

    @contextmanager
    def new_file(
        self, name: str, mode: str = "x", encoding: str | None = None, policy: Policy = "mutable"
    ) -> Iterator[IO[Any]]:
        """Open a new file for writing. The file is added when the ``with`` block ends without an error.

        Args:
            name: The path inside the artifact.
            mode: ``"x"`` or ``"w"`` for text, ``"xb"`` or ``"wb"`` for bytes. ``"w"`` replaces an entry of
                the same path.
            encoding: The encoding of text; by default UTF-8.
            policy: Accepted for compatibility.

        Raises:
            ValueError: The path exists, and ``mode`` is ``"x"`` or ``"xb"``.
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
        """Add an object such as a ``Table`` with the files that it needs. ``get`` returns the object again.

        Args:
            obj: A table, image, audio, video, HTML page, point cloud, molecule, or classes, masks or boxes.
            name: The path inside the artifact, without the suffix of the type, such as ``.table.json``.
            overwrite: Whether to replace an entry of the same path. Otherwise the existing entry is returned
                (wandb: ``sdk/artifacts/artifact.py``).

        Raises:
            TypeError: The object has another type.
        """
        self._check_draft()
        return stored_objects.add(self, obj, check_entry_path(name), overwrite)

    def add_content(self, path: str, data: bytes, overwrite: bool = True) -> str:
        """Add a file with the given content; return its path.

        Args:
            path: The path inside the artifact.
            data: The content.
            overwrite: Whether to replace an entry of the same path.

        Raises:
            ValueError: The path exists with another content, and ``overwrite`` is False.
        """
        self._check_draft()
        return self._add(
            DraftEntry(check_entry_path(path), self.contents.capture_bytes(data)), overwrite
        ).path

    def content_paths(self) -> list[str]:
        """Return the paths of all files."""
        return [entry.path for entry in self.contents.entries()]

    def find_content(self, path: str) -> ArtifactManifestEntry | None:
        """Return the entry of a path, or None."""
        found = self.contents.find(path)
        return None if found is None else self._entry(found)

    def add_reference(
        self,
        uri: ArtifactManifestEntry | str,
        name: str | os.PathLike[str] | None = None,
        checksum: bool = True,
        max_objects: int | None = None,
    ) -> list[ArtifactManifestEntry]:
        """Add a reference to files outside the store. The artifact keeps their checksums, not their contents.

        Args:
            uri: A URI with the scheme ``file``, ``http``, ``https``, ``s3`` or ``gs``, or an entry of a
                logged artifact. A URI with another scheme is stored unchanged and without a checksum.
            name: The path inside the artifact; for a folder or prefix, the folder inside the artifact.
            checksum: Whether to read the checksum of the target. Otherwise the digest is computed from the
                address.
            max_objects: The maximum number of files of a folder or prefix; by default 10,000,000.

        Raises:
            ValueError: The target does not exist, cannot be read, or has too many files.
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
        """Remove a file, or all files in a folder, from a draft.

        Raises:
            FileNotFoundError: The path does not exist.
        """
        self._check_draft()
        path = item.path if isinstance(item, ArtifactManifestEntry) else check_entry_path(item)
        if not self.contents.remove(path):
            raise FileNotFoundError(f"No such file or directory: {path}")

    def finalize(self) -> None:
        """Refuse further files. ``log_artifact`` calls this automatically."""
        self._finalized = True

    def get_added_local_path_name(self, local_path: str) -> str | None:
        """Return the path inside the artifact of a file that was added from ``local_path``, or None."""
        return self._added.get(os.path.abspath(local_path))

    def get_entry(self, name: str | os.PathLike[str]) -> ArtifactManifestEntry:
        """Return the entry of a path.

        Raises:
            KeyError: The path does not exist.
        """
        entry = self.contents.find(os.fspath(name))
        if entry is None:
            raise KeyError(f"Path not contained in artifact: {name}")
        return self._entry(entry)

    get_path = get_entry  # wandb's former name

    def _entry(self, entry: Entry | DraftEntry) -> ArtifactManifestEntry:
        return ArtifactManifestEntry(cast("Artifact", self), entry)

    def _add(self, entry: DraftEntry, overwrite: bool) -> ArtifactManifestEntry:
        return self._entry(self.contents.add(entry, overwrite=overwrite))

    def _check_draft(self) -> None:
        if self._finalized or not self.is_draft():
            raise ArtifactFinalizedError(
                f"Can't add files to finalized artifact {self._name}. Create a new Artifact."
            )


def _check_policy(policy: str | None) -> None:
    if policy not in (None, "mutable", "immutable"):
        raise ValueError(f'Invalid policy {policy!r}. Policy may only be "mutable" or "immutable".')
