"""Effects of records on an artifact collection: versions, aliases, links, edits and deletions.

``tracker.store.ingest.artifacts`` loads the part of a collection that one record can change, applies the
record and stores the outcome. ``tracker.reading.pending_artifacts`` loads the whole collection from
published files and applies the records of all journals.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from tracker.ground.parsed_types import DigestOrEmpty, Integer, Time, Token
from tracker.ground.records import ArtifactChanged, ArtifactLinked, ArtifactLogged

# Entity, project and name of a collection.
CollectionPath = tuple[str, str, str]
# Fields of a version that an edit may set.
_EDITABLE = ("description", "metadata", "tags", "expires_at")


class RecordId(NamedTuple):
    """The permanent id of a record: its segment and its sequence number there."""

    segment: str
    sequence: int


class VersionState(msgspec.Struct, kw_only=True):
    """A version of an artifact, with the fields of ``versions/N.json``."""

    entity: str
    project: str
    name: str
    type: str
    digest: str
    size: Integer
    file_count: Integer
    description: str | None
    metadata: dict[str, Any]
    tags: list[str] = []
    created_at: Time
    updated_at: Time = 0.0
    expires_at: Time | None = None
    deleted_at: Time | None = None
    logged_by: str | None
    source: str | None = None
    segment: Token
    sequence: Integer
    manifest: DigestOrEmpty


class Outcome(msgspec.Struct):
    """The effect of a record on a collection.

    Attributes:
        number: Number of the version that the record refers to.
        added: Whether the version is new.
        changed: Whether a field of the version changed.
        aliases: For each changed alias, the number of its version now; None if the alias was removed.
    """

    number: int
    added: bool = False
    changed: bool = False
    aliases: dict[str, int | None] = {}


class CollectionState:
    """The versions and aliases of a collection, or the part of them that one record can change.

    Attributes:
        place: Entity, project and name.
        type: Artifact type of its versions; empty without versions.
        versions: Versions by number. A deleted version stays, because its number is never used again.
        aliases: Number of each alias's version.
        moved_at: Time of the record that last moved each alias, in unix seconds.
    """

    def __init__(self, place: CollectionPath) -> None:
        self.place = place
        self.type = ""
        self.versions: dict[int, VersionState] = {}
        self.aliases: dict[str, int] = {}
        self.moved_at: dict[str, float] = {}

    @property
    def live(self) -> dict[int, VersionState]:
        """The versions that are not deleted, by number."""
        return {number: each for number, each in self.versions.items() if each.deleted_at is None}

    def newest(self, digest: str | None = None) -> int | None:
        """Return the number of the newest version, or of the newest one with a digest; None without one."""
        found = self.live.items()
        return max((at for at, each in found if digest is None or each.digest == digest), default=None)

    def find(self, number: int, digest: str) -> int | None:
        """Return the number of the version that a record with ``number`` and ``digest`` refers to, or None.

        When the record was written, its writer did not know the versions that other writers logged at that
        time. If the version ``number`` has another digest, the record refers to the newest version with its
        digest.
        """
        seen = self.live.get(number)
        if seen is not None and digest in ("", seen.digest):
            return number
        return self.newest(digest)

    def claim(self, version: VersionState, wanted: int | None = None) -> tuple[int, bool]:
        """Return a number for a new version, and whether its record had claimed the number before a crash.

        Args:
            version: The version.
            wanted: The number that the version gets if no version has it.
        """
        if wanted is not None and wanted not in self.versions:
            return wanted, False
        return max(self.versions, default=-1) + 1, False

    def needs_version(self, record: ArtifactLogged, made_by: RecordId) -> bool:
        """Return whether a logged artifact becomes a new version: no version has the same content."""
        return self._made_by(made_by) is None and self._same_content(record) is None

    def log(self, record: ArtifactLogged, run_id: str, made_by: RecordId) -> Outcome:
        """Apply a record of a logged artifact: add a version or find the existing one, and move the aliases.

        Args:
            record: The record.
            run_id: Id of the run that logged the artifact.
            made_by: Id of the record.
        """
        expires_at = None if record.ttl is None else record.time + record.ttl
        if self.needs_version(record, made_by):
            entity, project, name = self.place
            version = VersionState(
                entity=entity,
                project=project,
                name=name,
                type=self.type or record.artifact_type,
                digest=record.digest,
                size=record.size,
                file_count=record.file_count,
                description=record.description,
                metadata=record.metadata,
                tags=record.tags,
                created_at=record.time,
                updated_at=record.time,
                expires_at=expires_at,
                logged_by=run_id,
                segment=made_by.segment,
                sequence=made_by.sequence,
                manifest=record.manifest,
            )
            return self._add(version, record.aliases, record)
        own = self._made_by(made_by)
        number, again = self._same_content(record) if own is None else own, own is not None
        assert number is not None
        outcome, version = Outcome(number), self.versions[number]
        if not again and version.expires_at is not None and version.expires_at <= record.time:
            # The version had expired. Its new time protects the content that was logged again now.
            version.expires_at, outcome.changed = expires_at, True
        again = again or record.number is not None
        self._name(outcome, _names(record.aliases, number, record), record.time, again=again)
        return outcome

    def link(self, record: ArtifactLinked, source: CollectionState, made_by: RecordId) -> Outcome | None:
        """Apply a record of a link: add a version that links to a version of another collection.

        Args:
            record: The record.
            source: The other collection.
            made_by: Id of the record.

        Returns:
            The outcome, or None if the source version does not exist.
        """
        found = source.find(record.version, record.digest)
        if found is None:
            return None
        original = source.versions[found]
        named = original.source or version_name(source.place, found)
        number, newest = self._made_by(made_by), self.newest()
        if number is None and newest is not None and self.versions[newest].source == named:
            number = newest
        if number is None:
            entity, project, name = self.place
            version = msgspec.structs.replace(
                original,
                entity=entity,
                project=project,
                name=name,
                type=self.type or original.type,
                tags=[],
                created_at=record.time,
                updated_at=record.time,
                expires_at=None,
                source=named,
                segment=made_by.segment,
                sequence=made_by.sequence,
            )
            return self._add(version, record.aliases)
        outcome = Outcome(number)
        self._name(outcome, record.aliases, record.time, again=True)
        return outcome

    def change(self, record: ArtifactChanged) -> Outcome | None:
        """Apply an edit or a deletion of a version; return None if the version does not exist."""
        number = self.find(record.version, record.digest)
        if number is None:
            return None
        outcome, version = Outcome(number), self.versions[number]
        for alias in record.aliases_added:
            self._move(outcome, alias, number, record.time, again=True)
        for alias in record.aliases_removed:
            if not self._has_moved_on(alias, record.time):
                self._drop(outcome, alias)
        # Of two edits, the later one takes precedence, in either order of application. A deletion is final.
        if record.deleted or (record.values and record.time >= version.updated_at):
            outcome.changed = True
            version.updated_at = max(record.time, version.updated_at)
            for field, value in record.values.items():
                if field in _EDITABLE:
                    setattr(version, field, value)
        if record.deleted:
            self._delete(outcome, record.time)
        return outcome

    def restore(self, number: int, aliases: Iterable[str], time: float) -> Outcome:
        """Undo the deletion of a version. An alias that another version has by now stays there.

        Args:
            number: The number of the version.
            aliases: The aliases that the version had.
            time: The time of this edit in unix seconds.
        """
        outcome = Outcome(number, changed=True)
        self.versions[number].deleted_at = None
        for alias in aliases:
            holder = self.aliases.get(alias)
            if holder is None or (alias == "latest" and holder < number):
                self._move(outcome, alias, number, time, again=False)
        return outcome

    def _made_by(self, made_by: RecordId) -> int | None:
        """Return the number of the version that this record made when it was applied before, or None."""
        found = self.versions.items()
        return next((at for at, each in found if (each.segment, each.sequence) == made_by), None)

    def _same_content(self, record: ArtifactLogged) -> int | None:
        """Return the number of the version that a logged artifact repeats, or None if it is a new version.

        This is the newest version, if it has the same content. A copy from another store repeats the version
        with its number. If that number has other content here, the copy repeats any version with its content.
        """
        if record.number is None:
            newest = self.newest()
            return newest if newest is not None and self.versions[newest].digest == record.digest else None
        if record.number not in self.versions:
            return None
        return self.find(record.number, record.digest)

    def _add(
        self, version: VersionState, aliases: Iterable[str], record: ArtifactLogged | None = None
    ) -> Outcome:
        wanted = record.number if record is not None else None
        number, claimed_before = self.claim(version, wanted)
        self.versions[number], self.type = version, version.type
        outcome = Outcome(number, added=True)
        again = claimed_before or version.source is not None or wanted is not None
        self._name(outcome, _names(aliases, number, record), version.created_at, again=again)
        return outcome

    def _delete(self, outcome: Outcome, time: float) -> None:
        """Delete a version. Its number stays in use. ``latest`` moves to the newest remaining version."""
        held = [alias for alias, number in self.aliases.items() if number == outcome.number]
        for alias in held:
            self._drop(outcome, alias)
        self.versions[outcome.number].deleted_at = time
        newest = self.newest()
        if "latest" in held and newest is not None:
            self._move(outcome, "latest", newest, time, again=False)

    def _name(self, outcome: Outcome, aliases: Iterable[str], time: float, *, again: bool) -> None:
        """Move the aliases of a logged or linked version to it.

        The newest version always gets ``latest``, and no other version gets it, even if the script names it.
        A version that was deleted in the meantime gets no alias.
        """
        if self.versions[outcome.number].deleted_at is not None:
            return
        names = [alias for alias in aliases if alias != "latest"]
        if outcome.number == self.newest():
            names.append("latest")
        for alias in dict.fromkeys(names):
            self._move(outcome, alias, outcome.number, time, again=again)

    def _move(self, outcome: Outcome, alias: str, number: int, time: float, *, again: bool) -> None:
        """Move an alias to a version, unless this record is applied ``again`` and a later one moved it."""
        if not (again and self._has_moved_on(alias, time)):
            self.aliases[alias] = outcome.aliases[alias] = number
            self.moved_at[alias] = time

    def _drop(self, outcome: Outcome, alias: str) -> None:
        """Remove an alias from the outcome's version. An alias of another version stays."""
        if self.aliases.get(alias) == outcome.number:
            del self.aliases[alias]
            self.moved_at.pop(alias, None)
            outcome.aliases[alias] = None

    def _has_moved_on(self, alias: str, time: float) -> bool:
        return self.moved_at.get(alias, 0.0) > time


def _names(aliases: Iterable[str], number: int, record: ArtifactLogged | None) -> list[str]:
    """Return the aliases of a logged version. A copy with another number keeps its old one as an alias."""
    if record is None or record.number is None or record.origin is None or record.number == number:
        return [*aliases]
    return [*aliases, f"{record.origin}-v{record.number}"]


def version_name(place: CollectionPath, number: int) -> str:
    """Return a version's full name: ``ENTITY/PROJECT/NAME:vN``."""
    return f"{'/'.join(place)}:v{number}"


def parse_version_name(name: str) -> tuple[CollectionPath, int]:
    """Return the collection and the number in a version's full name."""
    path, _, number = name.rpartition(":v")
    entity, project, collection = path.split("/")
    return (entity, project, collection), int(number)
