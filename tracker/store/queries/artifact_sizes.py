"""Sizes of artifact versions, and the number of bytes that sharing of contents saves."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tracker.errors import NotFoundError
from tracker.ground.artifact_views import ArtifactSizes
from tracker.ground.parsed_types import Count, is_digest
from tracker.store.blobs.content import BlobStore
from tracker.store.catalog.models import Collection, Project, Version
from tracker.store.published.versions import find_collection
from tracker.store.queries.visible import EVERYTHING, Visible


class _Content(msgspec.Struct, frozen=True, gc=False):
    """The fields of a manifest entry that determine its size on disk. Skipping the others saves time.

    Names are checked once for all versions, before they become paths.
    """

    size: Count
    sha256: str = ""
    pack: str | None = None


class _Contents(msgspec.Struct, frozen=True):
    entries: list[_Content]


_decode = msgspec.json.Decoder(_Contents).decode


def list_manifests(session: Session, entity: str, project: str, name: str | None) -> Counter[str]:
    """Return the number of versions with each manifest, by SHA-256 of the manifest.

    Args:
        session: A read transaction.
        entity: The entity of the project.
        project: The name of the project.
        name: The name of a collection; None for all collections of the project.

    Raises:
        NotFoundError: The collection does not exist.
    """
    query = select(Version.manifest, func.count()).join(Collection).join(Project)
    query = query.where(Project.entity == entity, Project.name == project, Version.deleted_at.is_(None))
    if name is not None:
        if find_collection(session, entity, project, name) is None:
            raise NotFoundError(f"There is no collection {entity}/{project}/{name} in this store.")
        query = query.where(Collection.name == name)
    rows = session.execute(query.group_by(Version.manifest))
    return Counter({row[0]: row[1] for row in rows})


def measure(blobs: BlobStore, manifests: Counter[str], visible: Visible = EVERYTHING) -> ArtifactSizes:
    """Return the sizes of versions. Do not call this in a transaction: it reads every manifest.

    Args:
        blobs: The blobs of the store.
        manifests: The number of versions with each manifest.
        visible: The projects that the caller sees. A pack can have contents of other projects: unless the
            caller sees all projects, only the sizes of these versions' contents count.
    """
    contents: dict[str, int] = {}
    read: set[str] = set()
    on_disk: set[str] = set()
    files = logical = referenced = unreadable = 0
    for manifest, count in manifests.items():
        try:
            entries = _decode(blobs.read(manifest)).entries
        except (NotFoundError, msgspec.DecodeError):
            unreadable += count
            continue
        read.add(manifest)
        files += count * len(entries)
        for entry in entries:
            if entry.sha256:
                logical += count * entry.size
                contents[entry.sha256] = entry.size
                on_disk.add(entry.pack or entry.sha256)
            else:
                referenced += count * entry.size
    stored, disk = sum(contents.values()), 0
    if not visible.everything:
        on_disk, disk = set(), stored
    for name in filter(is_digest, read | on_disk):
        with suppress(FileNotFoundError):
            disk += blobs.path(name).stat().st_size
    return ArtifactSizes(
        manifests.total(), files, logical, stored, logical - stored, disk, referenced, unreadable
    )
