"""Download of an artifact's files into a folder. Each file is checked against the manifest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from tracker.artifacts import references
from tracker.artifacts.artifact_references import SCHEME, ArtifactReferences
from tracker.artifacts.reference_errors import PARALLEL_REQUESTS, MissingError
from tracker.errors import ArtifactError, NotFoundError
from tracker.ground.group_files import umask
from tracker.ground.names import path_on_disk
from tracker.ground.read_models import ArtifactDetail
from tracker.ground.terminal import say
from tracker.reading.reader import ArtifactReader
from tracker.reading.transfer.place_file import checksum_error, temporary_path, write_small_file
from tracker.store.blobs.manifest import Entry
from tracker.store.objects.cloning import clone
from tracker.store.objects.digests import sha256_of_file


def download_entries(
    reader: ArtifactReader,
    artifact: ArtifactDetail,
    entries: Sequence[Entry],
    folder: Path,
    *,
    link: bool = False,
    allow_missing_references: bool = False,
) -> None:
    """Write files of a version into a folder. Files that are already correct are kept.

    A file gets its final name after its content was checked. An existing file is replaced, not overwritten:
    a process that has the existing file open keeps its content.

    Args:
        reader: The reader of the contents.
        artifact: The version.
        entries: The entries of the files.
        folder: The target folder; created if it does not exist.
        link: Whether to make hard links to the store's own files. See ``Artifact.download``.
        allow_missing_references: Whether to skip references whose target does not exist any more.

    Raises:
        ArtifactError: The content of a file is missing or does not match its checksum, or its path points
            outside the folder. The message names the file.
    """
    writer = _Writer(artifact, folder)
    _check_case(artifact, entries, folder)
    wanted: list[tuple[ArtifactDetail, Entry, str]] = []
    elsewhere: list[tuple[Entry, str]] = []
    for entry in entries:
        target = writer.prepare_target(entry.path)
        if entry.ref is not None:
            elsewhere.append((entry, target))
        elif not _is_current(target, entry, None if link else reader):
            wanted.append((artifact, entry, target))
    wanted += _fetch_references(reader, artifact, elsewhere, allow_missing_references)
    remote: dict[str, tuple[ArtifactDetail, list[tuple[Entry, str]]]] = {}
    packs = _Packs(reader)
    try:
        for owner, entry, target in wanted:
            blob = reader.blob(entry.blob or "")
            if blob is None:
                remote.setdefault(owner.manifest, (owner, []))[1].append((entry, target))
            elif entry.pack is not None:
                writer.write(entry, target, packs.read(blob, entry))
            else:
                writer.clone(entry, target, blob, link=link)
    except FileNotFoundError as error:
        raise ArtifactError(
            f"Cannot download {artifact.name}: its content is not in the store ({error.filename})."
        ) from error
    finally:
        packs.close()
    for owner, missing in remote.values():
        try:
            reader.fetch(owner, missing)
        except NotFoundError as error:
            raise ArtifactError(f"Cannot download {artifact.name}: {error.message}") from error


def verify_entries(entries: Sequence[Entry], folder: Path, name: str) -> None:
    """Check that a folder contains the files of a version, unchanged, and no other files.

    References may be missing: a download can skip them.

    Args:
        entries: The entries of all files.
        folder: The folder.
        name: The name of the version, for messages.

    Raises:
        ArtifactError: A file is missing, has another content, or does not belong to the artifact. The message
            names the file.
    """
    known = {path_on_disk(entry.path) for entry in entries}
    for path in _files_below(folder):
        if path not in known:
            raise ArtifactError(f"{path} in {folder} is not a file of artifact {name}.")
    for entry in entries:
        target = folder / path_on_disk(entry.path)
        if entry.ref is not None and not target.exists():
            continue  # a download can skip references
        if not target.is_file():
            raise ArtifactError(f"{entry.path} is missing in {folder}.")
        if entry.sha256 and sha256_of_file(target) != entry.sha256:
            raise ArtifactError(f"{entry.path} in {folder} differs from the file in artifact {name}.")


def remove_obstacles(known: set[str], folder: Path) -> None:
    """Delete files that are in the way of the files in ``known``.

    A file is in the way if it has the path of a folder of a known file, or is inside a folder that has the
    path of a known file.
    """
    folders = {above for path in known for above in _folders_of(path)}
    gone = False
    for path in list(_files_below(folder)):
        if path in folders or not known.isdisjoint(_folders_of(path)):
            (folder / path).unlink()
            gone = True
    if gone:
        _remove_empty(folder)


def remove_others(known: set[str], folder: Path) -> None:
    """Delete every file and link in ``folder`` whose path is not in ``known``, and empty folders."""
    for path in list(_files_below(folder)):
        if path not in known:
            (folder / path).unlink()
    _remove_empty(folder)


def _remove_empty(folder: Path) -> None:
    for above, _, _ in os.walk(folder, topdown=False):
        if above != os.fspath(folder):
            with suppress(OSError):  # the folder is not empty
                os.rmdir(above)


def _folders_of(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


class _Writer:
    """Writes files into one folder. Refuses paths outside the folder."""

    def __init__(self, artifact: ArtifactDetail, folder: Path) -> None:
        self._artifact = artifact
        _make_folder(folder)
        self._folder = os.fspath(folder)
        self._base = os.path.realpath(folder)
        self._created: set[str] = set()

    def prepare_target(self, path: str) -> str:
        """Return the target path of the file ``path``, after creating the folder of the target.

        Raises:
            ArtifactError: The path points outside the folder, directly or through a link.
        """
        path = path_on_disk(path)
        above, _, name = path.rpartition("/")
        if above not in self._created:
            parts = above.split("/") if above else []
            outside = path.startswith("/") or not {"", ".", ".."}.isdisjoint(parts) or "\0" in path
            there = os.path.realpath(os.path.join(self._base, above))
            if outside or not (there + "/").startswith(self._base.rstrip("/") + "/"):
                raise self._refusal(path)
            _make_folder(Path(there))
            self._created.add(above)
        if name in ("", ".", ".."):
            raise self._refusal(path)
        return f"{self._folder}/{path}"

    def write(self, entry: Entry, target: str, data: bytes) -> None:
        """Write a small file."""
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise checksum_error(self._artifact, entry)
        write_small_file(target, data)

    def clone(self, entry: Entry, target: str, blob: Path, *, link: bool) -> None:
        """Copy a blob or create a hard link to the blob."""
        temporary = Path(temporary_path(target))
        try:
            if clone(blob, temporary, link=link) != "link":
                os.chmod(temporary, 0o666 & ~umask())
            if sha256_of_file(temporary) != entry.sha256:
                raise checksum_error(self._artifact, entry)
            os.replace(temporary, target)
        finally:
            # Also needed after os.replace, which keeps both names if they are links to the same file.
            temporary.unlink(missing_ok=True)

    def _refusal(self, path: str) -> ArtifactError:
        return ArtifactError(f"Artifact {self._artifact.name} names a file outside its folder: {path!r}.")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ArtifactError(
            f"{error.filename} is a file, but a folder is needed there. Remove it or use another folder."
        ) from error


class _Packs:
    """Packs that stay open during a download."""

    def __init__(self, reader: ArtifactReader) -> None:
        self._open: dict[str, int] = {}

    def read(self, blob: Path, entry: Entry) -> bytes:
        """Return the content of one entry."""
        assert entry.pack is not None
        descriptor = self._open.get(entry.pack)
        if descriptor is None:
            descriptor = self._open[entry.pack] = os.open(blob, os.O_RDONLY | os.O_CLOEXEC)
        return os.pread(descriptor, entry.size, entry.offset)

    def close(self) -> None:
        """Close all packs."""
        for descriptor in self._open.values():
            os.close(descriptor)


def _is_current(target: str, entry: Entry, reader: ArtifactReader | None = None) -> bool:
    """Return whether a file has the content of an entry already.

    Args:
        target: The file.
        entry: The entry.
        reader: The reader of the store. With a reader, a hard link to the store's own file does not count,
            because scripts must not write to it.

    Raises:
        ArtifactError: The target is a folder.
    """
    try:
        found = os.lstat(target)
    except FileNotFoundError:
        return False
    if os.path.islink(target) or not os.path.isfile(target):
        if os.path.isdir(target) and not os.path.islink(target):
            raise ArtifactError(
                f"{target} is a folder, but a file is needed. Remove it or use another folder."
            )
        return False
    if found.st_nlink > 1 and reader is not None and _is_link_to(found, reader.blob(entry.blob or "")):
        return False
    return found.st_size == entry.size and sha256_of_file(target) == entry.sha256


def _is_link_to(found: os.stat_result, blob: Path | None) -> bool:
    try:
        return blob is not None and os.path.samestat(found, blob.stat())
    except FileNotFoundError:
        return False


def _check_case(artifact: ArtifactDetail, entries: Sequence[Entry], folder: Path) -> None:
    """Raise ArtifactError for paths that differ only in case if the file system ignores case."""
    if len({entry.path.casefold() for entry in entries}) == len(entries):
        return
    probe = Path(temporary_path(f"{folder}/case"))
    probe.touch()
    try:
        if not probe.with_name(probe.name.upper()).exists():
            return
    finally:
        probe.unlink()
    seen: dict[str, str] = {}
    for entry in entries:
        other = seen.setdefault(entry.path.casefold(), entry.path)
        if other != entry.path:
            raise ArtifactError(
                f"Artifact {artifact.name} has the files {other!r} and {entry.path!r}, but the file system "
                f"of {folder} ignores case. Download the artifact to another file system."
            )


def _fetch_references(
    reader: ArtifactReader, artifact: ArtifactDetail, wanted: Sequence[tuple[Entry, str]], allow_missing: bool
) -> list[tuple[ArtifactDetail, Entry, str]]:
    """Fetch references to targets outside the store.

    Returns:
        The references to files of other artifacts: version, entry and target path.
    """
    follower = ArtifactReferences(reader)
    others: list[tuple[ArtifactDetail, Entry, str]] = []
    outside: list[tuple[Entry, Entry, str]] = []
    for entry, target in wanted:
        with _name_file_in_errors(artifact, entry, allow_missing):
            if not (entry.ref or "").startswith(SCHEME):
                outside.append((entry, entry, target))
                continue
            version, found = follower.resolve(entry)
            if found.ref is not None:
                outside.append((entry, found, target))
            elif not _is_current(target, found):
                others.append((version, found, target))

    def fetch(entry: Entry, found: Entry, target: str) -> None:
        with _name_file_in_errors(artifact, entry, allow_missing):
            references.fetch(found, Path(target))

    if len(outside) == 1:
        fetch(*outside[0])
    elif outside:
        with ThreadPoolExecutor(PARALLEL_REQUESTS) as threads:
            for done in [threads.submit(fetch, *each) for each in outside]:
                done.result()
    return others


@contextmanager
def _name_file_in_errors(artifact: ArtifactDetail, entry: Entry, allow_missing: bool) -> Iterator[None]:
    """Add the name of the file to errors. With ``allow_missing``, only print that a target is missing."""
    try:
        yield
    except MissingError as error:
        if not allow_missing:
            raise ArtifactError(f"{artifact.name}/{entry.path}: {error}") from error
        say(f"Skipping {artifact.name}/{entry.path}: {error}")
    except (ArtifactError, OSError) as error:
        raise ArtifactError(f"{artifact.name}/{entry.path}: {error}") from error


def _files_below(folder: Path) -> Iterator[str]:
    for above, folders, names in os.walk(folder):
        # A link to a folder counts as one file. The files in the linked folder are outside this folder.
        links = [name for name in folders if os.path.islink(os.path.join(above, name))]
        for name in (*names, *links):
            yield os.path.relpath(os.path.join(above, name), folder).replace(os.sep, "/")
