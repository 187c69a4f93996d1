"""The files of a version by folder, and the difference between the files of two versions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tracker.errors import NotFoundError, UsageError
from tracker.ground import values
from tracker.ground.artifact_views import (
    ArtifactDifference,
    ArtifactFolder,
    DifferenceTotal,
    FileDifference,
    FolderItem,
    MetadataDifference,
)
from tracker.ground.read_models import ArtifactInfo
from tracker.store.blobs.manifest import Entry, Manifest

# Largest number of files on one page.
LARGEST_PAGE = 1000
# Largest number of differences of the metadata in one answer.
LARGEST_METADATA = 1000
STATES = ("added", "removed", "changed", "same")


def list_folder(
    manifest: Manifest, path: str, *, search: str = "", offset: int = 0, limit: int = LARGEST_PAGE
) -> ArtifactFolder:
    """Return a page of the content of one folder.

    Args:
        manifest: The files of the version.
        path: Path of the folder in the version; empty for the root.
        search: Return the files at all levels below the folder whose path contains this text, ignoring case.
            If it is empty, return the files and folders directly in the folder.
        offset: Number of items to skip.
        limit: Maximum number of items.

    Raises:
        NotFoundError: The folder does not exist.
    """
    above = f"{path}/" if (path := path.strip("/")) else ""
    below = [entry for entry in manifest.entries if entry.path.startswith(above)]
    if above and not below:
        raise NotFoundError(f"The artifact has no folder {path!r}.")
    inside: dict[str, list[int]] = {}
    files: list[Entry] = []
    for entry in below:
        name, is_nested, _ = entry.path[len(above) :].partition("/")
        if search:
            if search.casefold() in entry.path.casefold():
                files.append(entry)
        elif is_nested:
            inside.setdefault(name, []).append(entry.size)
        else:
            files.append(entry)
    folders = [
        FolderItem(name, above + name, "folder", sum(sizes), len(sizes))
        for name, sizes in sorted(inside.items())
    ]
    total = sum(entry.size for entry in below)
    start, end = max(offset, 0), max(offset, 0) + max(limit, 0)
    rest = files[max(start - len(folders), 0) : max(end - len(folders), 0)]
    items = [*folders[start:end], *map(_file_item, rest)]
    return ArtifactFolder(path, total, len(below), len(folders) + len(files), items)


def _file_item(entry: Entry) -> FolderItem:
    name = entry.path.rpartition("/")[2]
    sha256 = entry.sha256 or None
    return FolderItem(name, entry.path, "file", entry.size, 1, entry.digest, sha256, entry.ref)


def compare_versions(
    before: tuple[ArtifactInfo, Manifest],
    after: tuple[ArtifactInfo, Manifest],
    *,
    states: Sequence[str] = STATES[:3],
    search: str = "",
    offset: int = 0,
    limit: int = LARGEST_PAGE,
) -> ArtifactDifference:
    """Return the difference between two versions. References are compared by their digests.

    Args:
        before: The first version and its files.
        after: The second version and its files.
        states: List only files in these states.
        search: List only files whose path contains this text, ignoring case.
        offset: Number of files to skip.
        limit: Maximum number of files.

    Raises:
        UsageError: A state is unknown.
    """
    if unknown := set(states) - set(STATES):
        raise UsageError(f"Unknown state {min(unknown)!r}. Use {', '.join(STATES)}.")
    totals = {state: [0, 0, 0] for state in STATES}
    found: list[tuple[str, str, Entry | None, Entry | None]] = []
    searched = search.casefold()
    for path, old, new in _pairs(before[1], after[1]):
        state = _state(old, new)
        total = totals[state]
        total[0] += 1
        total[1] += old.size if old is not None else 0
        total[2] += new.size if new is not None else 0
        if state in states and searched in path.casefold():
            found.append((path, state, old, new))
    metadata = sorted(_compare_values("", before[0].metadata, after[0].metadata), key=lambda each: each.key)
    return ArtifactDifference(
        _name(before[0]),
        _name(after[0]),
        **{state: DifferenceTotal(*total) for state, total in totals.items()},
        metadata_total=len(metadata),
        metadata=metadata[:LARGEST_METADATA],
        total=len(found),
        files=[_describe(*each) for each in found[max(offset, 0) : max(offset, 0) + max(limit, 0)]],
    )


def _name(version: ArtifactInfo) -> str:
    return f"{version.entity}/{version.project}/{version.name}:{version.version}"


def _pairs(before: Manifest, after: Manifest) -> Iterator[tuple[str, Entry | None, Entry | None]]:
    old = {entry.path: entry for entry in before.entries}
    new = {entry.path: entry for entry in after.entries}
    for path in sorted(old.keys() | new.keys()):
        yield path, old.get(path), new.get(path)


def _state(old: Entry | None, new: Entry | None) -> str:
    if old is None:
        return "added"
    if new is None:
        return "removed"
    if old.sha256 and new.sha256:
        return "same" if old.sha256 == new.sha256 else "changed"
    return "same" if old.digest == new.digest else "changed"


def _describe(path: str, state: str, old: Entry | None, new: Entry | None) -> FileDifference:
    return FileDifference(
        path,
        state,
        old.size if old is not None else None,
        new.size if new is not None else None,
        old.digest if old is not None else None,
        new.digest if new is not None else None,
        old.ref if old is not None else None,
        new.ref if new is not None else None,
    )


def _compare_values(key: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[MetadataDifference]:
    for name in before.keys() | after.keys():
        at = f"{key}.{name}" if key else name
        old, new = before.get(name), after.get(name)
        if name not in before:
            yield MetadataDifference(at, "added", None, new)
        elif name not in after:
            yield MetadataDifference(at, "removed", old, None)
        elif isinstance(old, dict) and isinstance(new, dict):
            yield from _compare_values(at, old, new)
        elif values.dumps(old, sort_keys=True) != values.dumps(new, sort_keys=True):  # NaN equals NaN
            yield MetadataDifference(at, "changed", old, new)
