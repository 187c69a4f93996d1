"""Restoring missing or damaged published files, from an undamaged catalog or from other published files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from tracker.errors import ArtifactError, NotFoundError
from tracker.runstate.collection import CollectionPath, VersionState
from tracker.runstate.fold import SegmentState, unpack_state
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.manifest import read_manifest
from tracker.store.catalog import database
from tracker.store.catalog.models import Alias, Collection, ConsoleLine, HotRow, Run, Sample, Segment, Version
from tracker.store.catalog.sqlite import find_damage, fold, open_engine
from tracker.store.objects.checksummed_json import publish_checksummed
from tracker.store.objects.layout import Layout
from tracker.store.published.models import (
    FORMAT,
    PublishedAlias,
    PublishedCollection,
    PublishedLogged,
    PublishedRun,
    PublishedVersion,
)
from tracker.store.published.runs import describe_run
from tracker.store.published.versions import describe, path_of, published
from tracker.store.recovery.missing_files import KnownFile


class Restorer(ExitStack):
    """Writer of missing and damaged published files. It opens the catalog when a file is first needed.

    Attributes:
        known: The files whose content the catalog has.
        restored: The files that were written.
        found_damage: Whether the catalog is damaged. Then no file is written from it.
        broken: One line of text for each file that is lost or could not be written completely.

    Args:
        layout: The store.
        catalog: The catalog that will be replaced. It is migrated to this tracker's revision.
        known: The files whose content the catalog has.
        check: Raises an error if this process may not publish files any more.
        requested: Whether a user requested the rebuild. If not, a file that the catalog does not have is not
            written: the store may be a copy that is not complete yet, and the file may still come.
    """

    def __init__(
        self,
        layout: Layout,
        catalog: Path,
        known: Mapping[Path, KnownFile],
        check: Callable[[], None],
        requested: bool,
    ) -> None:
        super().__init__()
        self._layout, self._catalog, self._check, self._requested = layout, catalog, check, requested
        self.known = dict(known)
        self._session: Session | None = None
        self.restored: list[Path] = []
        self.found_damage = False
        self.broken: list[str] = []

    def restore_missing(self) -> None:
        """Write all missing files whose content the catalog has."""
        for path in self.known:
            if not path.exists():
                self.restore(path)

    def restore(self, path: Path, revision: int = 0) -> bool:
        """Write a file from the catalog.

        Args:
            path: The file.
            revision: The revision of the run in the file. A run that is older in the catalog is not written.

        Returns:
            False if the catalog does not have the file or is damaged, or if the file cannot be written.
        """
        known = self.known.get(path)
        session = self._open() if known is not None and known.revision >= revision else None
        if known is None or session is None:
            return False
        try:
            self._publish(path, _describe(session, known))
        except OSError as error:
            self.broken.append(f"{path} cannot be written again: {error.strerror or error}")
            return False
        self.restored.append(path)
        return True

    def _open(self) -> Session | None:
        """Open the catalog; return None if it is damaged, or has none of the files."""
        if self._session is None and self.known:
            if find_damage(self._catalog) is not None:
                self.known, self.found_damage = {}, True
                return None
            engine = open_engine(self._catalog)
            self.callback(fold, self._catalog)
            self.callback(engine.dispose)
            database.migrate(engine, self._layout.locks / "catalog.lock")
            self._session = self.enter_context(database.transaction(engine, write=False))
        return self._session

    def copy_segment(self, target: Session, added: Segment) -> SegmentState:
        """Copy the rows and fields that only the catalog has of a segment; return the segment's state.

        Args:
            target: A write transaction of the new catalog.
            added: The segment in the new catalog. Its run's file was restored from the old catalog.
        """
        session = self._open()
        assert session is not None
        segment = session.scalars(select(Segment).where(Segment.segment == added.segment)).one()
        for table in (HotRow, Sample, ConsoleLine):
            columns = [column.key for column in table.__mapper__.column_attrs]
            rows = session.scalars(select(table).where(table.segment_id == segment.id))
            values = [
                {**{name: getattr(row, name) for name in columns}, "segment_id": added.id} for row in rows
            ]
            if values:
                target.execute(insert(table), values)
        for name in ("process", "journal_index", "offset", "sequence", "hot_count", "hot_bytes"):
            setattr(added, name, getattr(segment, name))
        return unpack_state(segment.state)

    def restore_logged(self, path: Path, run: PublishedRun, logged: PublishedLogged) -> PublishedVersion:
        """Write the missing file of a version from the list of versions in its run's file.

        Args:
            path: The file.
            run: The content of the run's file.
            logged: The version in the run's file.

        Returns:
            The content of the version's file.
        """
        size = count = 0
        with suppress(NotFoundError, ArtifactError):  # the rebuild reports a missing manifest later
            manifest = read_manifest(BlobStore(self._layout), logged.manifest)
            size, count = manifest.size, len(manifest.entries)
        version = VersionState(
            entity=logged.entity or run.entity,
            project=logged.project or run.project,
            name=logged.name,
            type=logged.type,
            digest=logged.digest,
            size=size,
            file_count=count,
            description=None,
            metadata={},
            created_at=logged.created_at,
            logged_by=run.id,
            segment=logged.segment,
            sequence=logged.sequence,
            manifest=logged.manifest,
        )
        described = published(version)
        self.known[path] = KnownFile("versions", (), logged.digest)
        lost = "its description, metadata, tags and aliases are lost"
        if not self._requested:
            self.broken.append(
                f"{path} is missing: the version was rebuilt from the file of run {run.id}; "
                f"{lost} unless the missing file comes back"
            )
            return msgspec.convert(described, PublishedVersion)
        try:
            self._publish(path, described)
        except OSError as error:
            self.broken.append(f"{path} cannot be written again: {error.strerror or error}")
        else:
            self.broken.append(f"{path} was missing and was written from the file of run {run.id}: {lost}")
        return msgspec.convert(described, PublishedVersion)

    def restore_latest(self, place: CollectionPath, newest: int) -> None:
        """Write the alias ``latest`` for the newest version of a collection that has lost all its aliases."""
        path = self._layout.alias(*place, "latest")
        if self._requested:
            with suppress(OSError):  # the new catalog has the alias anyway
                self._publish(path, PublishedAlias("latest", newest, 0.0))

    def _publish(self, path: Path, described: msgspec.Struct | dict[str, Any]) -> None:
        self._check()
        publish_checksummed(self._layout.new_temporary(), path, described)


def _describe(session: Session, known: KnownFile) -> msgspec.Struct | dict[str, Any]:
    if known.table == "runs":
        return describe_run(session, session.get_one(Run, known.key)).to_json()
    if known.table == "versions":
        return published(describe(session, session.get_one(Version, known.key)))
    if known.table == "aliases":
        alias = session.get_one(Alias, known.key)
        version = session.get_one(Version, alias.version_id)
        # The time of the alias is not known. This one is not later than that of any unapplied record.
        return PublishedAlias(alias.alias, version.index, version.created_at)
    collection = session.get_one(Collection, known.key)
    described = (collection.description, collection.tags)
    return PublishedCollection(FORMAT, *path_of(collection), *described)
