"""Writing published files again that are gone or damaged, from a sound catalog or from other files."""

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
    PublishedCollection,
    PublishedLogged,
    PublishedRun,
    PublishedVersion,
)
from tracker.store.published.runs import describe_run
from tracker.store.published.versions import describe, path_of, published
from tracker.store.recovery.missing_files import KnownFile


class Restorer(ExitStack):
    """Writes published files again; the catalog is opened when the first one is wanted.

    Attributes:
        restored: The files that were written.
        found_damage: The catalog is damaged: no file was written.
        broken: What could not be written, for people.

    Args:
        layout: The store.
        catalog: The catalog that is about to be replaced. It is brought to this tracker's revision.
        known: The files that it can describe.
        check: Raises when nothing may be published.
        asked: Whether a person asked for the rebuild. Otherwise no file is written that only other files
            know of: the store may be a copy that is under way, and the file still come.
    """

    def __init__(
        self,
        layout: Layout,
        catalog: Path,
        known: Mapping[Path, KnownFile],
        check: Callable[[], None],
        asked: bool,
    ) -> None:
        super().__init__()
        self._layout, self._catalog, self._check, self._asked = layout, catalog, check, asked
        self.known = dict(known)
        self._session: Session | None = None
        self.restored: list[Path] = []
        self.found_damage = False
        self.broken: list[str] = []

    def restore_missing(self) -> None:
        """Write all files that are gone."""
        for path in self.known:
            if not path.exists():
                self.restore(path)

    def restore(self, path: Path, revision: int = 0) -> bool:
        """Write a file again; return False when the catalog does not know it, or is damaged.

        Args:
            path: The file.
            revision: Of a run that the file describes: what is older in the catalog is not written.
        """
        known = self.known.get(path)
        session = self._open() if known is not None and known.revision >= revision else None
        if known is None or session is None:
            return False
        try:
            self._publish(path, _describe(session, known))
        except OSError as error:
            self.broken.append(f"{path} is gone and cannot be written again: {error.strerror or error}")
            return False
        self.restored.append(path)
        return True

    def _open(self) -> Session | None:
        """Open the catalog; return None when there is none that is sound."""
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
        """Copy what only the catalog has of a segment whose run was restored; return the segment's state."""
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
        """Write the file of a version that is gone, as its run's file knows it; return what it says."""
        size = count = 0
        with suppress(NotFoundError, ArtifactError):  # named when the files of all versions are looked for
            manifest = read_manifest(BlobStore(self._layout), logged.manifest)
            size, count = manifest.size, len(manifest.entries)
        version = VersionState(
            entity=run.entity,
            project=run.project,
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
        lost = f"as far as run {run.id} knows it: its description, metadata, tags and aliases are lost"
        if not self._asked:
            self.broken.append(f"{path} is missing; the version is there {lost} unless the file comes")
            return msgspec.convert(described, PublishedVersion)
        try:
            self._publish(path, described)
        except OSError as error:
            self.broken.append(f"{path} is gone and cannot be written again: {error.strerror or error}")
        else:
            self.broken.append(f"{path} was gone and is written again {lost}")
        return msgspec.convert(described, PublishedVersion)

    def restore_latest(self, place: CollectionPath, newest: int) -> None:
        """Let ``latest`` name the newest version of a collection whose aliases are all gone."""
        path = self._layout.alias(*place, "latest")
        if self._asked:
            with suppress(OSError):  # the catalog has it
                self._publish(path, {"alias": "latest", "version": newest, "moved_at": 0.0})

    def _publish(self, path: Path, described: dict[str, Any]) -> None:
        self._check()
        publish_checksummed(self._layout.new_temporary(), path, described)


def _describe(session: Session, known: KnownFile) -> dict[str, Any]:
    if known.table == "runs":
        return describe_run(session, session.get_one(Run, known.key))
    if known.table == "versions":
        return published(describe(session, session.get_one(Version, known.key)))
    if known.table == "aliases":
        alias = session.get_one(Alias, known.key)
        version = session.get_one(Version, alias.version_id)
        # When it was moved is not known: no later than a record that was not applied yet.
        return {"alias": alias.alias, "version": version.index, "moved_at": version.created_at}
    collection = session.get_one(Collection, known.key)
    said = (collection.description, collection.tags)
    return msgspec.structs.asdict(PublishedCollection(1, *path_of(collection), *said))
