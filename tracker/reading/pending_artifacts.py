"""What journals say of artifacts and nobody has applied yet, laid over published files."""

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


class PendingRecord(NamedTuple):
    """A record about artifacts that is not applied yet."""

    segment: str
    sequence: int
    run: RunStarted
    record: ArtifactLogged | ArtifactChanged | ArtifactLinked

    @property
    def about(self) -> CollectionPath:
        """The collection that it changes: entity, project and name."""
        record = self.record
        if isinstance(record, ArtifactLogged):
            return self.run.entity, self.run.project, record.name
        if isinstance(record, ArtifactLinked):
            return record.target_entity, record.target_project, record.target_name
        return record.entity, record.project, record.name


class CollectionFiles(CollectionState):
    """One collection as its published files and the journals have it."""

    def __init__(
        self, layout: Layout, place: CollectionPath, said: list[PendingRecord] | None = None
    ) -> None:
        super().__init__(place)
        self._layout = layout
        said = list(_all_said(layout)) if said is None else said
        for number in layout.list_versions(*place):
            with suppress(FileNotFoundError):
                self.versions[number] = read_published_model(layout.version(*place, number), PublishedVersion)
                self.type = self.versions[number].type
        for path in layout.alias_files(*place):
            with suppress(FileNotFoundError):
                alias = read_published_model(path, PublishedAlias)
                self.aliases[alias.alias], self.moved_at[alias.alias] = alias.version, alias.moved_at
        for at, each in enumerate(said):
            if each.about == place:
                self._apply(each, said[:at])

    def _apply(self, said: PendingRecord, before: list[PendingRecord]) -> None:
        record, made_by = said.record, RecordId(said.segment, said.sequence)
        if isinstance(record, ArtifactChanged):
            self.change(record)
        elif isinstance(record, ArtifactLinked):
            place = (record.entity, record.project, record.name)
            self.link(record, CollectionFiles(self._layout, place, before), made_by)
        elif (settled := _with_content(self._layout, record)) is not None:
            self.log(settled, said.run.run_id, made_by)


def _with_content(layout: Layout, record: ArtifactLogged) -> ArtifactLogged | None:
    """Return the record of a logged artifact with its digest; None when there is no such artifact here."""
    if record.draft is None:
        return record
    try:
        settled = finalize_draft(layout, record.draft)
    except StoreError:
        return None  # another host's, which has not come here yet
    return with_content(record, settled) if settled.problem is None else None


def _all_said(layout: Layout) -> Iterator[PendingRecord]:
    """Yield what no run's file knows yet, oldest first."""
    found = []
    for segment, records in journal_records(layout, rows=False):
        started: RunStarted | None = None
        applied = 0
        for sequence, record in records:
            if isinstance(record, RunStarted):
                started = record
                applied = _applied(layout, started, segment)
            elif sequence < applied or started is None:
                continue  # it has been applied: a version may have been given to an older one's content
            elif isinstance(record, (ArtifactLogged, ArtifactChanged, ArtifactLinked)):
                found.append(PendingRecord(segment, sequence, started, record))
    yield from sorted(found, key=lambda each: each.record.time)


def _applied(layout: Layout, started: RunStarted, segment: str) -> int:
    """Return the number of the first record of a segment that its run's file does not know."""
    published = read_json(layout.run_file(started.entity, started.project, started.run_id)) or {}
    numbers = [
        each.get("sequence", 0) for each in published.get("segments", []) if each["segment"] == segment
    ]
    return max(numbers, default=0)
