"""Writing an artifact's files to a folder, each checked against the manifest."""

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
    """Write files of a version below ``folder``; those that are there already and right are kept.

    A file gets its name when its content has been checked; who wrote to the file of that name keeps an open
    descriptor of what was there.

    Args:
        reader: Where their content is.
        artifact: The version.
        entries: Which files.
        folder: Where to.
        link: Make read-only hard links to the store's files where that can be.
        allow_missing_references: Whether a reference whose target is gone is passed over.

    Raises:
        ArtifactError: A file's content is missing or wrong, or its place leads out of the folder; says which.
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
            f"{artifact.name} cannot be downloaded: its content is not in the store ({error.filename})"
        ) from error
    finally:
        packs.close()
    for owner, missing in remote.values():
        try:
            reader.fetch(owner, missing)
        except NotFoundError as error:
            raise ArtifactError(f"{artifact.name} cannot be downloaded: {error.message}") from error


def verify_entries(entries: Sequence[Entry], folder: Path, name: str) -> None:
    """Check the files of a version below ``folder``; there may be no others.

    Raises:
        ArtifactError: A file is missing, differs, or is none of the artifact's; says which.
    """
    known = {path_on_disk(entry.path) for entry in entries}
    for path in _files_below(folder):
        if path not in known:
            raise ArtifactError(f"{path} in {folder} is not a file of artifact {name}")
    for entry in entries:
        target = folder / path_on_disk(entry.path)
        if entry.ref is not None and not target.exists():
            continue  # references need not be fetched
        if not target.is_file():
            raise ArtifactError(f"{entry.path} is missing in {folder}")
        if entry.sha256 and sha256_of_file(target) != entry.sha256:
            raise ArtifactError(f"{entry.path} in {folder} differs from artifact {name}")


def remove_obstacles(known: set[str], folder: Path) -> None:
    """Delete what stands below ``folder`` where a file of ``known`` or a folder of one is to be."""
    folders = {above for path in known for above in _folders_of(path)}
    gone = False
    for path in list(_files_below(folder)):
        if path in folders or not known.isdisjoint(_folders_of(path)):
            (folder / path).unlink()
            gone = True
    if gone:
        _remove_empty(folder)


def remove_others(known: set[str], folder: Path) -> None:
    """Delete every file and link below ``folder`` whose path is not in ``known``, and empty folders."""
    for path in list(_files_below(folder)):
        if path not in known:
            (folder / path).unlink()
    _remove_empty(folder)


def _remove_empty(folder: Path) -> None:
    for above, _, _ in os.walk(folder, topdown=False):
        if above != os.fspath(folder):
            with suppress(OSError):  # it is not empty
                os.rmdir(above)


def _folders_of(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


class _Writer:
    """Writes files below one folder and nowhere else."""

    def __init__(self, artifact: ArtifactDetail, folder: Path) -> None:
        self._artifact = artifact
        _make_folder(folder)
        self._folder = os.fspath(folder)
        self._base = os.path.realpath(folder)
        self._created: set[str] = set()

    def prepare_target(self, path: str) -> str:
        """Return where the file ``path`` goes; its folder is there then.

        Raises:
            ArtifactError: The path, or a link that lies there, leads out of the folder.
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
        """Copy a blob, or link to it."""
        temporary = Path(temporary_path(target))
        try:
            if clone(blob, temporary, link=link) != "link":
                os.chmod(temporary, 0o666 & ~_umask())
            if sha256_of_file(temporary) != entry.sha256:
                raise checksum_error(self._artifact, entry)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)  # also what rename leaves when both are one file already

    def _refusal(self, path: str) -> ArtifactError:
        return ArtifactError(f"artifact {self._artifact.name} names a file outside its folder: {path!r}")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ArtifactError(
            f"{error.filename} is a file, and a folder is needed there: remove it, or download elsewhere"
        ) from error


class _Packs:
    """Open packs, read from at any place."""

    def __init__(self, reader: ArtifactReader) -> None:
        self._open: dict[str, int] = {}

    def read(self, blob: Path, entry: Entry) -> bytes:
        """Return the bytes of one entry."""
        assert entry.pack is not None
        descriptor = self._open.get(entry.pack)
        if descriptor is None:
            descriptor = self._open[entry.pack] = os.open(blob, os.O_RDONLY | os.O_CLOEXEC)
        return os.pread(descriptor, entry.size, entry.offset)

    def close(self) -> None:
        """Close them."""
        for descriptor in self._open.values():
            os.close(descriptor)


def _is_current(target: str, entry: Entry, reader: ArtifactReader | None = None) -> bool:
    """Whether a file is there already, and is no link to the store's own, which nobody may write to.

    Args:
        target: The file.
        entry: What it is to be.
        reader: Who knows the store's own; None: a link will do.
    """
    try:
        found = os.lstat(target)
    except FileNotFoundError:
        return False
    if os.path.islink(target) or not os.path.isfile(target):
        if os.path.isdir(target) and not os.path.islink(target):
            raise ArtifactError(f"{target} is a folder: remove it, or download elsewhere")
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
    """Refuse names that differ only in case where the file system takes them for the same."""
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
                f"artifact {artifact.name} has the files {other!r} and {entry.path!r}, which are one file in "
                f"{folder}: download it to a file system that tells them apart"
            )


def _fetch_references(
    reader: ArtifactReader, artifact: ArtifactDetail, wanted: Sequence[tuple[Entry, str]], allow_missing: bool
) -> list[tuple[ArtifactDetail, Entry, str]]:
    """Fetch what lies elsewhere; return what lies in other artifacts: version, entry and target."""
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
    """Let errors name the file; of one that is gone only say so, where that is allowed."""
    try:
        yield
    except MissingError as error:
        if not allow_missing:
            raise ArtifactError(f"{artifact.name}/{entry.path}: {error}") from error
        say(f"{artifact.name}/{entry.path} is left out: {error}")
    except (ArtifactError, OSError) as error:
        raise ArtifactError(f"{artifact.name}/{entry.path}: {error}") from error


def _files_below(folder: Path) -> Iterator[str]:
    for above, folders, names in os.walk(folder):
        # A link to a folder is one thing: what lies behind it is elsewhere.
        links = [name for name in folders if os.path.islink(os.path.join(above, name))]
        for name in (*names, *links):
            yield os.path.relpath(os.path.join(above, name), folder).replace(os.sep, "/")


def _umask() -> int:
    with suppress(OSError, ValueError, StopIteration):  # asking by setting it would race with other threads
        with open("/proc/self/status") as status:
            return int(next(line for line in status if line.startswith("Umask:")).split()[1], 8)
    return 0o022
