"""What journals say of artifacts and nobody has applied yet, laid over published files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tracker.errors import StoreError
from tracker.ground.records import ArtifactChanged, ArtifactLinked, ArtifactLogged, RunStarted
from tracker.reading.known import journal_records
from tracker.store.blobs.settle import settle
from tracker.store.objects.files import read_json
from tracker.store.objects.layout import Layout

Place = tuple[str, str, str]
# Fields of a version's file that a change may set.
_CHANGEABLE = ("description", "metadata", "tags", "expires_at")


class Said(NamedTuple):
    """A record about artifacts that is not applied yet."""

    segment: str
    sequence: int
    run: RunStarted
    record: ArtifactLogged | ArtifactChanged | ArtifactLinked

    @property
    def about(self) -> Place:
        """The collection that it changes: entity, project and name."""
        record = self.record
        if isinstance(record, ArtifactLogged):
            return self.run.entity, self.run.project, record.name
        if isinstance(record, ArtifactLinked):
            return record.target_entity, record.target_project, record.target_name
        return record.entity, record.project, record.name


class CollectionFiles:
    """One collection as its published files and the journals have it.

    Attributes:
        versions: By number: what ``versions/N.json`` says, or will say. Deleted ones are not among them.
        aliases: The number that each alias names.
    """

    def __init__(self, layout: Layout, place: Place, said: list[Said] | None = None) -> None:
        self._layout = layout
        self._place = place
        self._said = list(_all_said(layout)) if said is None else said
        self.versions: dict[int, dict[str, Any]] = {}
        self._numbers = layout.list_versions(*place)
        self._known: set[tuple[str, int]] = set()
        for index in self._numbers:
            described = read_json(layout.version(*place, index))
            if described is not None:
                self._known.add((described.get("segment", ""), described.get("sequence", -1)))
                if described.get("deleted_at") is None:
                    self.versions[index] = described
        published = [read_json(path) for path in layout.alias_files(*place)]
        self.aliases: dict[str, int] = {
            held["alias"]: held["version"] for held in published if held is not None
        }
        self._taken = max(self._numbers, default=-1)
        for at, each in enumerate(self._said):
            if each.about == place and (each.segment, each.sequence) not in self._known:
                self._lay_over(each, self._said[:at])

    def find(self, index: int, digest: str) -> int | None:
        """Return the number of the version that somebody saw as ``index``; see ``versions.find_version``."""
        if index in self.versions and self.versions[index]["digest"] == digest:
            return index
        return max((at for at, found in self.versions.items() if found["digest"] == digest), default=None)

    def _lay_over(self, said: Said, before: list[Said]) -> None:
        record = said.record
        if isinstance(record, ArtifactLogged):
            self._log(said.run, record)
        elif isinstance(record, ArtifactLinked):
            self._link(record, before)
        else:
            self._change(record)

    def _log(self, run: RunStarted, record: ArtifactLogged) -> None:
        digest, manifest, size, count = record.digest, record.manifest, record.size, record.file_count
        if record.draft is not None:
            try:
                settled = settle(self._layout, record.draft)
            except StoreError:
                return  # another host's, which has not come here yet
            if settled.problem is not None:
                return
            digest, manifest = settled.digest, settled.manifest
            size, count = settled.size, settled.file_count
        newest = max(self.versions, default=-1)
        if newest < 0 or self.versions[newest]["digest"] != digest:
            newest = self._add(
                {
                    "type": record.artifact_type,
                    "digest": digest,
                    "manifest": manifest,
                    "size": size,
                    "file_count": count,
                    "description": record.description,
                    "metadata": record.metadata,
                    "tags": record.tags,
                    "created_at": record.time,
                    "expires_at": None if record.ttl is None else record.time + record.ttl,
                    "logged_by": run.run_id,
                }
            )
        for alias in [*record.aliases, "latest"]:
            self.aliases[alias] = newest

    def _link(self, record: ArtifactLinked, before: list[Said]) -> None:
        place = (record.entity, record.project, record.name)
        source = CollectionFiles(self._layout, place, before)
        found = source.find(record.version, record.digest)
        if found is None:
            return
        described = source.versions[found]
        named = described.get("source") or f"{'/'.join(place)}:v{found}"
        newest = max(self.versions, default=-1)
        if newest < 0 or self.versions[newest].get("source") != named:
            fresh = {"created_at": record.time, "updated_at": record.time, "source": named}
            newest = self._add({**described, "tags": [], "expires_at": None, **fresh})
        for alias in [*record.aliases, "latest"]:
            self.aliases[alias] = newest

    def _change(self, record: ArtifactChanged) -> None:
        found = self.find(record.version, record.digest)
        if found is None:
            return
        for alias in record.aliases_added:
            self.aliases[alias] = found
        for alias in record.aliases_removed:
            if self.aliases.get(alias) == found:
                del self.aliases[alias]
        if record.deleted:
            held = [alias for alias, at in self.aliases.items() if at == found]
            for alias in held:
                del self.aliases[alias]
            del self.versions[found]
            if "latest" in held and self.versions:
                self.aliases["latest"] = max(self.versions)
        elif record.values:
            values = {name: value for name, value in record.values.items() if name in _CHANGEABLE}
            self.versions[found] = {**self.versions[found], **values, "updated_at": record.time}

    def _add(self, described: dict[str, Any]) -> int:
        self._taken += 1
        self.versions[self._taken] = described
        return self._taken


def _all_said(layout: Layout) -> Iterator[Said]:
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
                found.append(Said(segment, sequence, started, record))
    yield from sorted(found, key=lambda each: each.record.time)


def _applied(layout: Layout, started: RunStarted, segment: str) -> int:
    """Return the number of the first record of a segment that its run's file does not know."""
    published = read_json(layout.run_file(started.entity, started.project, started.run_id)) or {}
    numbers = [
        each.get("sequence", 0) for each in published.get("segments", []) if each["segment"] == segment
    ]
    return max(numbers, default=0)
