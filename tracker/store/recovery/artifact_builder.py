"""Adding artifacts to a new catalog: versions, packs, aliases and uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy.orm import Session

from tracker.errors import ArtifactError, NotFoundError
from tracker.ground.names import RunPath
from tracker.runstate.collection import CollectionPath, version_name
from tracker.store.blobs.content import BlobStore, Piece
from tracker.store.blobs.manifest import read_manifest
from tracker.store.blobs.packs import note_pieces, note_version, read_index
from tracker.store.catalog.models import Alias, ArtifactUse, Collection, Project, Run
from tracker.store.objects.layout import Layout
from tracker.store.published.models import PublishedAlias, PublishedCollection, PublishedRun, PublishedVersion
from tracker.store.published.versions import new_row, path_of
from tracker.store.recovery.missing_files import run_of_version
from tracker.store.recovery.published_files import PublishedFiles
from tracker.store.recovery.restore_files import Restorer


class ArtifactBuilder:
    """Adds artifacts to a catalog that has the runs.

    Args:
        layout: The store.
        session: The catalog, inside a transaction.
        files: The published files.
        restorer: Writes missing and damaged files again.
        project: Returns the project of an entity and a name; makes it with the time of its first item.
        run_ids: Number of each run.
        run_of_segment: Number of the run of each segment.

    Attributes:
        versions: Number in the catalog of each version that was not deleted.
    """

    def __init__(
        self,
        layout: Layout,
        session: Session,
        files: PublishedFiles,
        restorer: Restorer,
        project: Callable[[str, str, float], Project],
        run_ids: Mapping[RunPath, int],
        run_of_segment: Mapping[str, int],
    ) -> None:
        self._layout = layout
        self._session = session
        self._files = files
        self._restorer = restorer
        self._project = project
        self._run_ids = run_ids
        self._run_of_segment = run_of_segment
        self._blobs = BlobStore(layout)
        self._collections: dict[Path, Collection] = {}
        self.versions: dict[tuple[str, str, str, int], int] = {}
        self._version_ids: dict[tuple[str, str, str, int], int] = {}  # with the deleted versions

    def add_packs(self) -> None:
        """Add the places of small contents in packs."""
        for path in self._layout.list_packs():
            try:
                self._files.check_file(path)
                found = {each.sha256: Piece(path.stem, each.offset, each.size) for each in read_index(path)}
            except (ValueError, OSError) as error:
                self._files.broken.append(
                    f"{path} cannot be read: the run files in this pack are lost: {error}"
                )
            else:
                note_pieces(self._session, found)

    def add_versions(self, runs: list[PublishedRun]) -> dict[Path, PublishedVersion]:
        """Add the versions that have files, and those that only the runs name; return them by their file."""
        layout = self._layout
        found = self._files.read_all(layout.version_files(), PublishedVersion)
        seen = {path for path, _ in found}
        for run in runs:
            for logged in run.versions:
                owner = (logged.entity or run.entity, logged.project or run.project)
                path = layout.version(*owner, logged.name, logged.version)
                if path not in seen and not path.exists():
                    seen.add(path)
                    found.append((path, self._restorer.restore_logged(path, run, logged)))
        found.sort(key=lambda each: (each[1].created_at, each[0].parent, int(each[0].stem)))
        makers = self._makers(found)
        records: set[tuple[str, int]] = set()
        for path, described in found:
            index = int(path.stem)
            place = layout.version(described.entity, described.project, described.name, index)
            if path != place or (described.segment, described.sequence) in records:
                self._files.broken.append(f"{path} was left out: it is a copy of another version")
                continue
            records.add((described.segment, described.sequence))
            folder = path.parent.parent
            collection = self._collections.get(folder)
            if collection is None:
                collection = self._collections[folder] = self._add_collection(described)
            run_id = makers.get(described.source or version_name(path_of(collection), index))
            if run_id is None and described.source is not None:
                run_id = self._run_ids.get(run_of_version(described) or ("", "", ""))
            version = new_row(collection, index, described, run_id if described.logged_by else None)
            version.id = len(self._version_ids) + 1
            self._session.add(version)
            self._version_ids[described.entity, described.project, described.name, index] = version.id
            if described.deleted_at is None:
                self.versions[described.entity, described.project, described.name, index] = version.id
                self._add_packed(described)
        self._session.flush()
        return dict(found)

    def add_aliases(self) -> None:
        """Add the aliases of all collections. A collection without any gets ``latest``."""
        for folder, collection in self._collections.items():
            self._add_aliases(folder, collection)

    def add_uses(self, described: PublishedRun, run: Run) -> None:
        """Add the versions that a run used."""
        added = set()
        for use in described.uses or []:
            version = self._version_ids.get((use.entity, use.project, use.name, use.version))
            if version is None:
                self._files.broken.append(
                    f"run {described.entity}/{described.project}/{described.id} used "
                    f"{use.entity}/{use.project}/{use.name}:v{use.version}, which does not exist"
                )
            elif version not in added:
                added.add(version)
                self._session.add(ArtifactUse(run_id=run.id, version_id=version, used_at=use.used_at))

    def _makers(self, found: list[tuple[Path, PublishedVersion]]) -> dict[str, int]:
        """Return the number of the run that logged each version, by the name of the version."""
        makers: dict[str, int] = {}
        for path, each in found:
            if each.source is None and each.logged_by is not None:
                named = (each.entity, each.project, each.logged_by)
                run = self._run_of_segment.get(each.segment) or self._run_ids.get(named)
                if run is not None:
                    makers[version_name((each.entity, each.project, each.name), int(path.stem))] = run
        return makers

    def _add_packed(self, described: PublishedVersion) -> None:
        try:
            entries = read_manifest(self._blobs, described.manifest).entries
            note_version(self._session, described.manifest, entries)
        except (NotFoundError, ArtifactError) as error:
            self._files.broken.append(
                f"the files of artifact {described.entity}/{described.project}/{described.name} "
                f"are lost: {error}"
            )

    def _add_collection(self, described: PublishedVersion) -> Collection:
        project = self._project(described.entity, described.project, described.created_at)
        collection = Collection(
            project_id=project.id, project=project, name=described.name, type=described.type, tags=[]
        )
        self._session.add(collection)
        self._session.flush()
        path = self._layout.collection_file(described.entity, described.project, described.name)
        found = self._files.read(path, PublishedCollection) if path.exists() else None
        if found is not None:
            collection.description, collection.tags = found.description, found.tags
            self._session.flush()
        return collection

    def _add_aliases(self, folder: Path, collection: Collection) -> None:
        place = path_of(collection)
        if not (folder / "aliases").is_dir():
            newest = max((number for *each, number in self.versions if tuple(each) == place), default=None)
            if newest is not None:
                self._restorer.restore_latest(place, newest)
                version = self.versions[(*place, newest)]
                self._session.add(Alias(collection_id=collection.id, alias="latest", version_id=version))
        else:
            self._read_aliases(place, collection)
        self._session.flush()

    def _read_aliases(self, place: CollectionPath, collection: Collection) -> None:
        for path in self._layout.alias_files(*place):
            described = self._files.read(path, PublishedAlias)
            if described is None:
                continue
            version = self.versions.get((*place, described.version))
            if version is None or path != self._layout.alias(*place, described.alias):
                self._files.broken.append(
                    f"{path} was left out: the collection has no version {described.version}, "
                    "or the alias has another name than its file"
                )
                continue
            self._session.add(Alias(collection_id=collection.id, alias=described.alias, version_id=version))
