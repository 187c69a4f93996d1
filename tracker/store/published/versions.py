"""Artifact versions and aliases as published files and catalog rows.

``tracker.runstate.collection`` computes the outcome of a record. A ``StoredCollection`` provides the state of
the catalog for that, and stores the outcome.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.runstate.collection import CollectionPath, CollectionState, Outcome, RecordId, VersionState
from tracker.store.catalog.database import check_lease
from tracker.store.catalog.models import Alias, Collection, Project, Run, Version
from tracker.store.objects.atomic_files import claim, read_json, write_new
from tracker.store.objects.checksummed_json import encode, publish_checksummed
from tracker.store.objects.layout import Layout
from tracker.store.published.models import PublishedAlias

# Fields with the same name in a row and in the file of a version.
_COLUMNS = (
    *("digest", "manifest", "size", "file_count", "created_at", "updated_at", "expires_at", "deleted_at"),
    *("description", "tags", "source", "segment", "sequence"),
)


def path_of(collection: Collection) -> CollectionPath:
    """Return the entity, the project and the name of a collection."""
    return collection.project.entity, collection.project.name, collection.name


def find_collection(session: Session, entity: str, project: str, name: str) -> Collection | None:
    """Return a collection by name, or None.

    Args:
        session: A transaction of the catalog.
        entity: Entity of the collection.
        project: Project of the collection.
        name: Name of the collection.
    """
    return session.scalar(
        select(Collection)
        .join(Project)
        .where(Project.entity == entity, Project.name == project, Collection.name == name)
    )


def newest_version(session: Session, collection: Collection) -> Version | None:
    """Return the newest version of a collection that is not deleted, or None."""
    return session.scalar(
        select(Version)
        .where(Version.collection_id == collection.id, Version.deleted_at.is_(None))
        .order_by(Version.index.desc())
        .limit(1)
    )


def describe(session: Session, row: Version) -> VersionState:
    """Return the state of a version from the catalog."""
    run = session.get(Run, row.run_id) if row.run_id is not None else None
    entity, project, name = path_of(row.collection)
    return VersionState(
        entity=entity,
        project=project,
        name=name,
        type=row.collection.type,
        metadata=row.attributes,
        logged_by=run.run_id if run is not None else None,
        **{field: getattr(row, field) for field in _COLUMNS},
    )


def new_row(collection: Collection, number: int, version: VersionState, run_id: int | None) -> Version:
    """Return a new row for a version.

    Args:
        collection: The collection of the version.
        number: Number of the version.
        version: State of the version.
        run_id: ``Run.id`` of the run that logged the version, if a run did.
    """
    return Version(
        collection_id=collection.id,
        collection=collection,
        index=number,
        run_id=run_id,
        attributes=version.metadata,
        **{field: getattr(version, field) for field in _COLUMNS},
    )


def publish_version(layout: Layout, session: Session, row: Version) -> None:
    """Publish a version again after a change.

    Args:
        layout: The paths of the store.
        session: The transaction with the change.
        row: The version.
    """
    described = published(describe(session, row))
    check_lease(session)
    publish_checksummed(
        layout.new_temporary(), layout.version(*path_of(row.collection), row.index), described
    )


def published(version: VersionState) -> dict[str, Any]:
    """Return the content of ``versions/N.json``."""
    return {"format": 1, **msgspec.structs.asdict(version)}


class StoredCollection(CollectionState):
    """A collection of the catalog. Only the rows that one record can change are loaded.

    Args:
        layout: The paths of the store.
        session: The write transaction.
        row: The collection.
        aliases: The aliases that the record names.
        made_by: Id of the record, if the record may add a version.
        number: Number of the version that the record changes, as its writer saw the version.
        digest: Digest of that version.
    """

    def __init__(
        self,
        layout: Layout,
        session: Session,
        row: Collection,
        aliases: Iterable[str] = (),
        made_by: RecordId | None = None,
        number: int | None = None,
        digest: str = "",
    ) -> None:
        super().__init__(path_of(row))
        self.type = row.type
        self._layout, self._session, self._row = layout, session, row
        self.rows: dict[int, Version] = {}
        own = select(Version).where(Version.collection_id == row.id)
        newest = own.where(Version.deleted_at.is_(None)).order_by(Version.index.desc())
        wanted = [newest.limit(2)]  # the second version becomes the latest when the first is deleted
        if made_by is not None:
            wanted.append(own.where(Version.segment == made_by.segment, Version.sequence == made_by.sequence))
        if number is not None:
            wanted += [own.where(Version.index == number), newest.where(Version.digest == digest).limit(1)]
        for query in wanted:
            for version in session.scalars(query):
                self.rows[version.index] = version
        self.versions = {number: describe(session, version) for number, version in self.rows.items()}
        if number is not None:  # only a record about an existing version can remove aliases
            named = select(Alias.alias, Version.index).join(Version, Version.id == Alias.version_id)
            for alias, index in session.execute(named.where(Alias.collection_id == row.id)):
                self.aliases[alias] = index
        for alias in {"latest", *aliases}:
            moved_at = alias_moved_at(layout, self.place, alias)
            if moved_at is not None:
                self.moved_at[alias] = moved_at

    def claim(self, version: VersionState, wanted: int | None = None) -> tuple[int, bool]:
        """Create the file of a new version under the next free number.

        If an earlier attempt to apply the same record has created a file, adopt that file.

        Args:
            version: The version.
            wanted: The number that the version gets if no version has it.

        Returns:
            The number, and whether the file existed.
        """
        numbers = select(Version.index).where(Version.collection_id == self._row.id)
        committed = set(self._session.scalars(numbers))
        made_by = (version.segment, version.sequence)
        for number in self._layout.list_versions(*self.place):
            if number not in committed:
                found = _read_published(self._layout.version(*self.place, number))
                if (found.get("segment"), found.get("sequence")) == made_by:
                    return number, True
        data = encode(published(version))
        following = max(committed, default=-1) + 1
        number = following if wanted is None or wanted in committed else wanted
        check_lease(self._session)
        while True:
            temporary = self._layout.new_temporary()
            write_new(temporary, data)
            if claim(temporary, self._layout.version(*self.place, number)):
                return number, False
            number = max(number + 1, following)

    def store(self, outcome: Outcome, run_id: int | None = None) -> Version:
        """Store the outcome of a record and return the row of its version.

        Args:
            outcome: The outcome of the record.
            run_id: ``Run.id`` of the run that logged the version, if a run did.
        """
        version = self.versions[outcome.number]
        if outcome.added:
            self.rows[outcome.number] = new_row(self._row, outcome.number, version, run_id)
            self._session.add(self.rows[outcome.number])
            self._session.flush()
        check_lease(self._session)
        for alias, number in outcome.aliases.items():
            self._store_alias(alias, number)
        row = self.rows[outcome.number]
        if outcome.changed:
            row.attributes = version.metadata
            for field in ("description", "tags", "expires_at", "updated_at", "deleted_at"):
                setattr(row, field, getattr(version, field))
            publish_version(self._layout, self._session, row)
        self._session.flush()
        return row

    def _store_alias(self, alias: str, number: int | None) -> None:
        path = self._layout.alias(*self.place, alias)
        held = self._session.get(Alias, (self._row.id, alias))
        if number is None:
            path.unlink(missing_ok=True)
            if held is not None:  # one record can add and remove an alias
                self._session.delete(held)
            return
        described = PublishedAlias(alias, number, self.moved_at[alias])
        publish_checksummed(self._layout.new_temporary(), path, described)
        if held is None:
            held = Alias(collection_id=self._row.id, alias=alias)
            self._session.add(held)
        held.version_id = self.rows[number].id


def find_version(
    layout: Layout, session: Session, place: CollectionPath, number: int, digest: str = ""
) -> Version | None:
    """Return the row of a version that is not deleted, or None. See ``CollectionState.find``."""
    row = find_collection(session, *place)
    if row is None:
        return None
    collection = StoredCollection(layout, session, row, number=number, digest=digest)
    found = collection.find(number, digest)
    return None if found is None else collection.rows[found]


def aliases_of(session: Session, version: Version) -> list[str]:
    """Return the aliases of a version, sorted."""
    return list(
        session.scalars(select(Alias.alias).where(Alias.version_id == version.id).order_by(Alias.alias))
    )


def alias_moved_at(layout: Layout, place: CollectionPath, alias: str) -> float | None:
    """Return when an alias was moved to its version, in unix seconds; None if that is unknown.

    Args:
        layout: The paths of the store.
        place: Entity, project and name of the collection.
        alias: The alias.
    """
    moved_at = _read_published(layout.alias(*place, alias)).get("moved_at")
    return moved_at if isinstance(moved_at, (int, float)) else None


def _read_published(path: Path) -> dict[str, Any]:
    """Return the content of a published file, or an empty dict if the file is missing or damaged.

    A damaged file must not prevent a new version or alias.
    """
    try:
        found = read_json(path)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
