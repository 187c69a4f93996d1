"""Changes of published files since a private catalog was built from them.

While runs are active, their published files change all the time. A private catalog gets most of these changes
from the journals. It is built again only for a change that it lacks, such as an edit by a person.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.store.catalog.models import Alias, Project, Run, Segment, Version
from tracker.store.objects.layout import Layout
from tracker.store.published.models import (
    PublishedAlias,
    PublishedRun,
    PublishedVersion,
    read_published_model,
)
from tracker.store.published.versions import describe, find_collection, published

# The inode, the size and the modification time (ns) of each file.
FileStates = dict[Path, tuple[int, int, int]]


def list_states(layout: Layout) -> FileStates:
    """Return the states of the published files of a store from which a catalog is built."""
    found: FileStates = {}
    for path in (*layout.described_files(), *layout.root.glob("artifacts/*/*/*/aliases/*.json")):
        with suppress(FileNotFoundError):
            state = path.lstat()
            found[path] = (state.st_ino, state.st_size, state.st_mtime_ns)
    return found


def has_all_changes(session: Session, layout: Layout, before: FileStates, now: FileStates) -> bool:
    """Return whether a private catalog has all changes of a store's published files.

    Args:
        session: A transaction of the private catalog.
        layout: The store.
        before: The states of the files that the catalog has.
        now: The present states.
    """
    if before.keys() - now.keys():
        return False
    changed = [path for path, state in now.items() if before.get(path) != state]
    try:
        return all(_has_content(session, path, path.relative_to(layout.root).parts) for path in changed)
    except (ValueError, OSError):
        return False


def has_run(session: Session, run: PublishedRun) -> bool:
    """Return whether a catalog has everything that a run's published file has. It may have more.

    Args:
        session: A transaction of the catalog.
        run: The content of the file.
    """
    row = session.scalar(
        select(Run)
        .join(Project)
        .where(Project.entity == run.entity, Project.name == run.project, Run.run_id == run.id)
    )
    if row is None or msgspec.to_builtins(run.edits) != row.edits:
        return False
    found = session.scalars(select(Segment).where(Segment.run_id == row.id))
    segments = {each.segment: each for each in found}
    return all(
        (known := segments.get(each.segment)) is not None
        and max(known.sequence, known.adopted) >= each.sequence
        and each.ended in (None, known.ended)
        for each in run.segments
    )


def _has_content(session: Session, path: Path, parts: tuple[str, ...]) -> bool:
    if parts[0] == "runs":
        return parts[-1] == "run.json" and has_run(session, read_published_model(path, PublishedRun))
    if parts[0] != "artifacts":
        return True  # documents and users are not in a private catalog of files
    if parts[4] == "versions":
        found = read_published_model(path, PublishedVersion)
        row = _find_version(session, path, found)
        return (
            row is not None and msgspec.convert(published(describe(session, row)), PublishedVersion) == found
        )
    if parts[4] == "aliases":
        alias = read_published_model(path, PublishedAlias)
        version = path.parent.parent / "versions" / f"{alias.version}.json"
        row = _find_version(session, version, read_published_model(version, PublishedVersion))
        held = session.get(Alias, (row.collection_id, alias.alias)) if row is not None else None
        return row is not None and held is not None and held.version_id == row.id
    return False


def _find_version(session: Session, path: Path, published: PublishedVersion) -> Version | None:
    collection = find_collection(session, published.entity, published.project, published.name)
    if collection is None:
        return None
    return session.scalar(
        select(Version).where(Version.collection_id == collection.id, Version.index == int(path.stem))
    )
