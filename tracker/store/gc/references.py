"""What still names a blob: versions, files of runs, records that wait in journals, drafts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import select

from tracker.errors import ArtifactError, NotFoundError, StoreError
from tracker.ground.records import ArtifactLogged, FileSaved, decode
from tracker.journal.format import HEADER
from tracker.journal.reader import Frame, read_frames, read_header
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.manifest import read_manifest
from tracker.store.blobs.packs import pieces_of
from tracker.store.catalog.models import Collection, Project, RunFile, Segment, Version
from tracker.store.objects.layout import JournalPath, Layout
from tracker.store.store import Store


class Applied(NamedTuple):
    """How far a segment's journals are in the catalog."""

    number: int
    offset: int
    sealed: bool


class PendingReferences(NamedTuple):
    """What records that wait in journals name."""

    blobs: set[str]
    manifests: set[str]
    drafts: set[str]


def applied_to(store: Store) -> dict[str, Applied]:
    """Return how far each segment is applied; asked before journals are read, as more may be meanwhile."""
    query = select(Segment.segment, Segment.journal_index, Segment.offset, Segment.sealed)
    with store.reading() as session:
        found = session.execute(query)
        return {name: Applied(number, offset, sealed) for name, number, offset, sealed in found}


def said_in_journals(layout: Layout, applied: dict[str, Applied]) -> PendingReferences:
    """Return what the journals of all hosts name, as far as they are not applied.

    Raises:
        StoreError: One cannot be read: what it names is not known, so nothing may be deleted.
    """
    said = PendingReferences(set(), set(), set())
    for journal in layout.list_journals():
        try:
            _read_journal(journal, applied.get(journal.segment), said)
        except (StoreError, OSError) as error:
            # One that is gone was sealed: the catalog, which is read later, says what it said.
            if journal.path.exists():
                raise StoreError(
                    f"nothing was deleted, as what a journal names is not known: {error}"
                ) from error
    return said


def _read_journal(journal: JournalPath, applied: Applied | None, said: PendingReferences) -> None:
    if applied is not None and (applied.sealed or journal.number < applied.number):
        return
    if read_header(journal.path) is None:
        return
    begun = applied is not None and applied.number == journal.number
    start = max(applied.offset, HEADER.size) if applied is not None and begun else HEADER.size
    # Read to its end, past bad regions, as whoever applies it does one day.
    for outcome in read_frames(journal.path, journal.segment, start, final=True):
        if not isinstance(outcome, Frame):
            continue
        record = decode(outcome.payload, str(journal.path), outcome.offset)
        if isinstance(record, FileSaved):
            said.blobs.add(record.sha256)
        elif isinstance(record, ArtifactLogged):
            if record.draft is not None:
                said.drafts.add(record.draft)
            if record.manifest:
                said.manifests.add(record.manifest)


def files_of_runs(store: Store, waiting: set[str]) -> set[str]:
    """Return the blobs that runs' files are in.

    Args:
        store: Where.
        waiting: Contents that records in journals name as files of runs.
    """
    with store.reading() as session:
        names = waiting.union(session.scalars(select(RunFile.sha256).distinct()))
        return names.union(piece.pack for piece in pieces_of(session, names).values())


class NamedManifest(NamedTuple):
    """A version's manifest, and the version's name."""

    sha256: str
    version: str


def manifests_of_versions(store: Store, going: set[int]) -> tuple[list[NamedManifest], list[NamedManifest]]:
    """Return the manifests of the versions that stay, and of those that are deleted or ``going``."""
    columns = (Version.id, Version.manifest, Version.deleted_at, Version.index)
    query = select(*columns, Collection.name, Project.name, Project.entity)
    stay: list[NamedManifest] = []
    gone: list[NamedManifest] = []
    with store.reading() as session:
        found = session.execute(query.join(Collection, Collection.id == Version.collection_id).join(Project))
        for version_id, sha256, deleted_at, index, name, project, entity in found:
            named = NamedManifest(sha256, f"{entity}/{project}/{name}:v{index}")
            (stay if deleted_at is None and version_id not in going else gone).append(named)
    return stay, gone


def blobs_of(blobs: BlobStore, manifests: Iterable[NamedManifest], *, strict: bool) -> dict[str, str]:
    """Return the blobs that manifests name, themselves included, each with a version that does.

    Args:
        blobs: Where the manifests are.
        manifests: Which.
        strict: Whether one that is not here, or damaged, is an error; it is passed over otherwise.

    Raises:
        StoreError: What one of them names cannot be known, so nothing may be deleted.
    """
    found: dict[str, str] = {}
    read: set[str] = set()
    for sha256, version in manifests:
        if sha256 in read or not sha256:
            continue
        read.add(sha256)
        found[sha256] = version
        try:
            manifest = read_manifest(blobs, sha256)
        except (NotFoundError, ArtifactError) as error:
            if strict:
                raise StoreError(
                    f"nothing was deleted, as the files of {version} are not known: {error.message}; "
                    "bring the blob back from a backup, or remove what names it"
                ) from error
            continue
        found.update(dict.fromkeys(manifest.blobs, version))
    return found
