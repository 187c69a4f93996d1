"""Detection of missing published files, from the catalog and from the remaining files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tracker.errors import Error
from tracker.ground.parsed_types import RelativePath
from tracker.runstate.collection import parse_version_name
from tracker.store.catalog.sqlite import is_busy
from tracker.store.objects.layout import Layout
from tracker.store.published.models import (
    PublishedDeletion,
    PublishedName,
    PublishedRun,
    PublishedVersion,
    read_published_model,
)
from tracker.store.published.moves import is_covered


class KnownFile(NamedTuple):
    """A published file whose content a catalog has.

    Attributes:
        table: The table with the content.
        key: The primary key of the row in this table.
        digest: The digest of a version; empty for other files.
        revision: The revision of a run; 0 for other files.
    """

    table: str
    key: tuple[Any, ...]
    digest: str = ""
    revision: int = 0


class _File(msgspec.Struct):
    path: RelativePath


class _Segment(msgspec.Struct):
    sealed: bool = False
    parts: list[_File] = []
    captured: list[_File] = []


class _Run(PublishedName, kw_only=True):
    segments: list[_Segment] = []


_PLACE = "p.entity, p.name, c.name"
_COLLECTION = "collections c JOIN projects p ON p.id = c.project_id"
_RUNS = """
SELECT p.entity, p.name, r.run_id, r.created_at, r.revision, r.id
FROM runs r JOIN projects p ON p.id = r.project_id
"""
_VERSIONS = f"""
SELECT {_PLACE}, v."index", v.id, v.digest FROM {_COLLECTION} JOIN versions v ON v.collection_id = c.id
"""
_ALIASES = f"""
SELECT {_PLACE}, a.alias, a.collection_id FROM {_COLLECTION} JOIN aliases a ON a.collection_id = c.id
"""
_DESCRIBED = f"""
SELECT {_PLACE}, c.id FROM {_COLLECTION} WHERE c.description IS NOT NULL OR c.tags != '[]'
"""


def known_files(layout: Layout, catalog: sqlite3.Connection) -> dict[Path, KnownFile]:
    """Return the published files whose content a catalog has. Tables that cannot be read are ignored.

    Raises:
        sqlite3.OperationalError: Another program is using the catalog.
    """
    found: dict[Path, KnownFile] = {}

    def ask(query: str) -> list[tuple[Any, ...]]:
        try:
            return catalog.execute(query).fetchall()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and is_busy(error):
                raise  # the caller retries; a busy catalog must not look like an empty one
            return []

    for *run, created_at, revision, key in ask(_RUNS):
        deleted = False
        with suppress(ValueError, OSError):
            deletion = read_published_model(layout.tombstone(*run), PublishedDeletion)
            own = {name for (name,) in ask(f"SELECT segment FROM segments WHERE run_id = {int(key)}")}
            deleted = is_covered(deletion.segments, deletion.time, own, created_at)
        if not deleted:
            found[layout.run_file(*run)] = KnownFile("runs", (key,), revision=revision)
    for *version, key, digest in ask(_VERSIONS):
        found[layout.version(*version)] = KnownFile("versions", (key,), digest)
    for *alias, key in ask(_ALIASES):
        found[layout.alias(*alias)] = KnownFile("aliases", (key, alias[-1]))
    for *collection, key in ask(_DESCRIBED):
        found[layout.collection_file(*collection)] = KnownFile("collections", (key,))
    return found


def examine_files(layout: Layout, known: Mapping[Path, KnownFile]) -> Iterator[str]:
    """Yield a line for each published file that is missing or cannot be read. This function changes nothing.

    Args:
        layout: The store.
        known: The files whose content the catalog has.
    """
    runs: list[_Run] = []
    versions: dict[Path, PublishedVersion] = {}
    for path in layout.run_files():
        try:
            run = read_published_model(path, _Run)
        except (ValueError, OSError, Error) as error:
            yield f"{path} cannot be read: {error}"
            continue
        runs.append(run)
        for segment in run.segments:
            # Parts of an unsealed segment are not checked: they may be merged at this moment.
            for part in [*segment.parts, *segment.captured] if segment.sealed else []:
                if not (layout.root / part.path).exists():
                    yield f"{layout.root / part.path} is missing: its rows are lost"
    for path in layout.version_files():
        try:
            versions[path] = read_published_model(path, PublishedVersion)
        except (ValueError, OSError, Error) as error:
            yield f"{path} cannot be read: {error}"
    for path in known:
        if not path.exists():
            yield f"{path} is missing: `tracker rebuild` writes it again from the catalog"
    yield from find_missing(layout, runs, versions, known)


def find_missing(
    layout: Layout,
    runs: Iterable[PublishedName | PublishedRun],
    versions: Mapping[Path, PublishedVersion],
    known: Mapping[Path, KnownFile],
) -> Iterator[str]:
    """Yield a line for each run or version that has no file, but that remaining files refer to.

    Args:
        layout: The store.
        runs: The contents of the run files.
        versions: The contents of the version files, by path.
        known: The files whose content the catalog has.
    """
    logged = {(path, each.digest): "the catalog" for path, each in known.items() if each.table == "versions"}
    for run in runs:
        for each in run.versions:
            place = (each.entity or run.entity, each.project or run.project)
            path = layout.version(*place, each.name, each.version)
            logged[path, each.digest] = f"the file of run {run.entity}/{run.project}/{run.id}"
    for (path, digest), source in logged.items():
        if path in versions and versions[path].digest != digest:
            yield (
                f"{path} describes a different version than {source} (two stores may have been merged): "
                f"the version with digest {digest} is lost"
            )
    yield from _missing_versions(layout, {path for path, _ in logged}, known)
    journals = {journal.segment for journal in layout.list_journals()}
    for folder in layout.run_folders():
        if not any((folder / name).exists() for name in ("run.json", "deleted.json", "moved.json")):
            parts = sorted(folder.glob("*/*.parquet"))
            here = journals.issuperset(part.name.partition("-")[0] for part in parts)
            if not here and folder / "run.json" not in known:
                yield f"{folder} has no run.json: the run is lost, its rows are in {parts[0].parent}"
    makers = {
        run_of_version(version): version for version in versions.values() if version.segment not in journals
    }
    for maker, version in makers.items():
        if maker is None or layout.run(*maker).exists() or layout.run_file(*maker) in known:
            continue
        yield f"run {'/'.join(maker)} is lost: it logged {version.name}, and {layout.run(*maker)} is gone"


def _missing_versions(layout: Layout, logged: set[Path], known: Mapping[Path, KnownFile]) -> Iterator[str]:
    numbers: dict[Path, set[int]] = {}
    for path in (*layout.version_files(), *logged):
        if path.stem.isdigit():
            numbers.setdefault(path.parent, set()).add(int(path.stem))
    for folder, found in sorted(numbers.items()):
        paths = {number: folder / f"{number}.json" for number in found}
        there = sorted(number for number, path in paths.items() if path.exists() or path in known)
        before = -1
        for number in (*there, max(found) + 1):  # a deleted version keeps its file, so there are no gaps
            if number == before + 2:
                yield f"{folder}/{before + 1}.json is missing: the version is lost"
            elif number > before + 2:
                yield f"{folder}/{before + 1}.json to {number - 1}.json are missing: the versions are lost"
            before = number
        aliases = folder.parent / "aliases"
        if there and not aliases.is_dir() and all(path.parent != aliases for path in known):
            yield f"{aliases} is missing: the aliases of this collection are lost"


def run_of_version(version: PublishedVersion) -> tuple[str, str, str] | None:
    """Return the run that logged a version, or that logged the source of a link; None if no run did.

    Returns:
        The entity, the project and the id of the run.
    """
    place = (version.entity, version.project, version.name)
    if version.source is not None:
        place, _ = parse_version_name(version.source)
    return (place[0], place[1], version.logged_by) if version.logged_by is not None else None
