"""Artifact collections without the catalog: published files with unapplied records applied on top."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from tracker.errors import StoreError
from tracker.ground.records import ArtifactChanged, ArtifactLinked, ArtifactLogged, RunStarted
from tracker.reading.resume_state import journal_records
from tracker.runstate.collection import CollectionPath, CollectionState, RecordId
from tracker.store.blobs.finalize import finalize_draft, with_content
from tracker.store.objects.atomic_files import read_json
from tracker.store.objects.layout import Layout
from tracker.store.published.models import PublishedAlias, PublishedVersion, read_published_model
from tracker.store.published.moves import find_place


class PendingRecord(NamedTuple):
    """A record about artifacts that is not applied yet.

    Attributes:
        segment: The segment of the record.
        sequence: The number of the record in its segment.
        run: The first record of the segment, which names the run.
        record: The record.
    """

    segment: str
    sequence: int
    run: RunStarted
    record: ArtifactLogged | ArtifactChanged | ArtifactLinked

    @property
    def collection(self) -> CollectionPath:
        """The collection that the record changes: entity, project and name."""
        record = self.record
        if isinstance(record, ArtifactLogged):
            return *record.place(self.run), record.name
        if isinstance(record, ArtifactLinked):
            return record.target_entity, record.target_project, record.target_name
        return record.entity, record.project, record.name


class CollectionFiles(CollectionState):
    """The state of one collection according to its published files and the unapplied records.

    Args:
        layout: The store.
        collection_path: Entity, project and name of the collection.
        pending: The unapplied records, the oldest first; by default those of the store's journals.
    """

    def __init__(
        self, layout: Layout, collection_path: CollectionPath, pending: list[PendingRecord] | None = None
    ) -> None:
        super().__init__(collection_path)
        self._layout = layout
        pending = list(_pending_records(layout)) if pending is None else pending
        for number in layout.list_versions(*collection_path):
            with suppress(FileNotFoundError):
                self.versions[number] = read_published_model(
                    layout.version(*collection_path, number), PublishedVersion
                )
                self.type = self.versions[number].type
        for path in layout.alias_files(*collection_path):
            with suppress(FileNotFoundError):
                alias = read_published_model(path, PublishedAlias)
                self.aliases[alias.alias], self.moved_at[alias.alias] = alias.version, alias.moved_at
        for at, each in enumerate(pending):
            if each.collection == collection_path:
                self._apply(each, pending[:at])

    def _apply(self, pending: PendingRecord, before: list[PendingRecord]) -> None:
        record, made_by = pending.record, RecordId(pending.segment, pending.sequence)
        if isinstance(record, ArtifactChanged):
            self.change(record)
        elif isinstance(record, ArtifactLinked):
            collection_path = (record.entity, record.project, record.name)
            self.link(record, CollectionFiles(self._layout, collection_path, before), made_by)
        elif (settled := _with_content(self._layout, record)) is not None:
            self.log(settled, pending.run.run_id, made_by)


def _with_content(layout: Layout, record: ArtifactLogged) -> ArtifactLogged | None:
    """Return the record of a logged artifact with its digest, or None if its files are not here."""
    if record.draft is None:
        return record
    try:
        settled = finalize_draft(layout, record.draft)
    except StoreError:
        return None  # an artifact of another host whose files are not visible here yet
    return with_content(record, settled) if settled.problem is None else None


def _pending_records(layout: Layout) -> Iterator[PendingRecord]:
    """Yield the records that are not in the published file of their run yet, the oldest first."""
    found = []
    for segment, records in journal_records(layout, rows=False):
        started: RunStarted | None = None
        applied = 0
        for sequence, record in records:
            if isinstance(record, RunStarted):
                started = record
                applied = _first_unapplied(layout, started, segment)
            elif sequence < applied or started is None:
                # Applied already. Applying the record twice could assign a version to an older content.
                continue
            elif isinstance(record, (ArtifactLogged, ArtifactChanged, ArtifactLinked)):
                found.append(PendingRecord(segment, sequence, started, record))
    yield from sorted(found, key=lambda each: each.record.time)


def _first_unapplied(layout: Layout, started: RunStarted, segment: str) -> int:
    """Return the number of the first record of a segment that the published file of its run lacks."""
    named = (started.entity, started.project, started.run_id)
    published = read_json(layout.run_file(*(find_place(layout, started, segment) or named))) or {}
    numbers = [
        each.get("sequence", 0) for each in published.get("segments", []) if each["segment"] == segment
    ]
    return max(numbers, default=0)
