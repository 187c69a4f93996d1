"""References to blobs from versions, files of runs, and records in journals that are not applied yet."""

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
from tracker.store.catalog.models import Collection, DeletedRun, Project, RunFile, Segment, Version
from tracker.store.objects.layout import JournalPath, Layout
from tracker.store.published.models import KeptRun, read_published_model
from tracker.store.store import Store


class Applied(NamedTuple):
    """The position in the journals of a segment up to which records are applied to the catalog.

    Attributes:
        number: Number of the journal.
        offset: Offset in that journal, in bytes.
        sealed: Whether the segment is sealed.
    """

    number: int
    offset: int
    sealed: bool


class PendingReferences(NamedTuple):
    """References from records that are not applied yet.

    Attributes:
        blobs: SHA-256s of files of runs.
        manifests: SHA-256s of manifests.
        drafts: Tokens of drafts.
    """

    blobs: set[str]
    manifests: set[str]
    drafts: set[str]


def applied_positions(store: Store) -> dict[str, Applied]:
    """Return the applied position of each segment, by segment id.

    Call this before ``pending_references``, because other processes continue to apply journals.
    """
    query = select(Segment.segment, Segment.journal_index, Segment.offset, Segment.sealed)
    with store.reading() as session:
        found = session.execute(query)
        return {name: Applied(number, offset, sealed) for name, number, offset, sealed in found}


def pending_references(layout: Layout, applied: dict[str, Applied]) -> PendingReferences:
    """Return the references in the journals of all hosts, from records that are not applied.

    Args:
        layout: The paths of the store or outbox.
        applied: The applied position of each segment.

    Raises:
        StoreError: A journal cannot be read. Nothing may be deleted, because its references are unknown.
    """
    pending = PendingReferences(set(), set(), set())
    for journal in layout.list_journals():
        try:
            _read_journal(journal, applied.get(journal.segment), pending)
        except (StoreError, OSError) as error:
            # Sealing a segment deletes its journals. The catalog, which is read later, has the references.
            if journal.path.exists():
                raise StoreError(
                    f"no content was deleted, because the references in a journal are unknown: {error}"
                ) from error
    return pending


def _read_journal(journal: JournalPath, applied: Applied | None, pending: PendingReferences) -> None:
    if applied is not None and (applied.sealed or journal.number < applied.number):
        return
    if read_header(journal.path) is None:
        return
    begun = applied is not None and applied.number == journal.number
    start = max(applied.offset, HEADER.size) if applied is not None and begun else HEADER.size
    # Read to the end and skip damaged regions, because applying the journal will do the same.
    for outcome in read_frames(journal.path, journal.segment, start, final=True):
        if not isinstance(outcome, Frame):
            continue
        record = decode(outcome.payload, str(journal.path), outcome.offset)
        if isinstance(record, FileSaved):
            pending.blobs.add(record.sha256)
        elif isinstance(record, ArtifactLogged):
            if record.draft is not None:
                pending.drafts.add(record.draft)
            if record.manifest:
                pending.manifests.add(record.manifest)


def files_of_runs(store: Store, waiting: set[str]) -> set[str]:
    """Return the SHA-256s of the blobs and packs with the files of runs.

    Args:
        store: The store.
        waiting: SHA-256s of files of runs in records that are not applied yet.
    """
    with store.reading() as session:
        names = waiting.union(session.scalars(select(RunFile.sha256).distinct()))
        return names.union(piece.pack for piece in pieces_of(session, names).values())


class KeptReferences(NamedTuple):
    """References from deleted runs that can be restored: files of runs, and manifests of deleted versions."""

    blobs: set[str]
    manifests: dict[str, str]


def kept_references(store: Store) -> KeptReferences:
    """Return the references from deleted runs that can be restored.

    References move between these runs and the catalog at any time, in both directions. So call this function
    before and after reading the references in the catalog.

    Raises:
        StoreError: The description of a deleted run cannot be read. Nothing may be deleted.
    """
    found = KeptReferences(set(), {})
    query = select(DeletedRun).where(DeletedRun.keep_until.is_not(None))
    with store.reading() as session:
        rows = session.scalars(query).all()
    for row in rows:
        path = store.layout.kept_run(row.entity, row.project, row.run_id, row.token)
        try:
            kept = read_published_model(path, KeptRun)
        except (ValueError, OSError) as error:
            with store.reading() as session:
                if session.scalar(query.where(DeletedRun.id == row.id)) is None:
                    continue  # the run was restored in the meantime
            raise StoreError(
                f"no content was deleted, because the files of a deleted run are unknown: {path}: {error}; "
                "restore the file from a backup, or delete the run permanently"
            ) from error
        found.blobs.update(file.sha256 for file in kept.run.files)
        for each in kept.versions:
            found.manifests[each.manifest] = f"{each.entity}/{each.project}/{each.name}:v{each.version}"
    return found


class NamedManifest(NamedTuple):
    """The SHA-256 of a manifest, and the name of its version for messages."""

    sha256: str
    version: str


def manifests_of_versions(store: Store, going: set[int]) -> tuple[list[NamedManifest], list[NamedManifest]]:
    """Return the manifests of the versions that stay, and those of deleted versions.

    Args:
        store: The store.
        going: ``Version.id`` of versions that count as deleted, for a dry run.
    """
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


def blobs_of(
    blobs: BlobStore, manifests: Iterable[NamedManifest], *, strict: bool, moved: bool = False
) -> dict[str, str]:
    """Return the blobs that manifests reference, including the manifests.

    Args:
        blobs: The blobs of the store.
        manifests: The manifests.
        strict: Whether a missing or damaged manifest is an error. Otherwise it is ignored.
        moved: Whether a missing manifest is allowed: it was moved together with its files.

    Returns:
        The name of a version that references the blob, by SHA-256 of the blob.

    Raises:
        StoreError: A manifest is missing or damaged. Nothing may be deleted, because its references are
            unknown.
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
            if strict and not (moved and isinstance(error, NotFoundError)):
                raise StoreError(
                    f"no content was deleted, because the files of {version} are unknown: {error.message}; "
                    f"restore the blob from a backup, or delete {version}"
                ) from error
            continue
        found.update(dict.fromkeys(manifest.blobs, version))
    return found
