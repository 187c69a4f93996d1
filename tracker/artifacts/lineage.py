"""``Lineage``: the runs, collections and links of an artifact."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from tracker.artifacts.collection import ArtifactCollection
from tracker.artifacts.draft import DraftMethods
from tracker.errors import NotFoundError
from tracker.ground.names import RunPath
from tracker.ground.read_models import ArtifactDetail
from tracker.reading.catalog_free import CatalogFreeReader

if TYPE_CHECKING:
    from tracker.artifacts.artifact import Artifact
    from tracker.reading.reader import Reader

# Returns a run of ``Api`` for an entity, project and run id.
FindRun = Callable[[str, str, str], Any]


class Lineage(DraftMethods):
    """The methods of ``Artifact`` that return runs, collections and other artifacts."""

    _find_run: FindRun | None = None
    use_as: str | None = None

    def logged_by(self) -> Any:
        """Return the run that logged the artifact, or None if it is unknown or deleted."""
        run = self._logging_run(self._require_version("logged_by"))
        if run is None:
            return None
        try:
            return self._run(*run)
        except NotFoundError:
            return None  # the run was deleted

    def _logging_run(self, version: ArtifactDetail) -> RunPath | None:
        """Return the entity, the project and the id of the run that logged the version, or None."""
        if version.logged_by is None:
            return None
        if version.logged_in is not None:
            entity, project = version.logged_in.split("/")
            return entity, project, version.logged_by
        return self.source_entity, self.source_project, version.logged_by

    def used_by(self) -> list[Any]:
        """Return the runs that used the artifact."""
        version = self._require_version("used_by")
        place = (version.entity, version.project, version.name, version.version)
        fresh = self._complete_reader().artifact(*place)
        return [self._run(run.entity, run.project, run.id) for run in fresh.used_by]

    @property
    def history_step(self) -> int | None:
        """The last step that the run had logged before it logged the artifact, or None if it is unknown."""
        version = self._require_version("history_step")
        run_path = self._logging_run(version)
        if run_path is None:
            return None
        try:
            rows = self._complete_reader().history(*run_path, ["_step", "_timestamp"], False, None)
        except NotFoundError:
            return None
        before = [row["_step"] for row in rows if row["_timestamp"] <= version.created_at]
        return max(before, default=None)

    @property
    def source_artifact(self) -> Artifact:
        """The source version of a link. For other versions, the artifact itself.

        Raises:
            NotFoundError: The source version does not exist any more.
        """
        if not self.is_link:
            return cast("Artifact", self)
        entity, project, name = self.source_qualified_name.split("/")
        reader = self._require_reader("source_artifact")
        return self._from_version(reader.artifact(entity, project, *name.split(":")))

    @property
    def linked_artifacts(self) -> list[Artifact]:
        """The links to this version in other collections. Empty for a link."""
        if self.is_link:
            return []
        version = self._require_version("linked_artifacts")
        return [self._from_version(each) for each in self._require_reader("linked_artifacts").links(version)]

    @property
    def collection(self) -> ArtifactCollection:
        """The collection of this version; for a link, the collection of the link.

        Raises:
            NotFoundError: All versions of the collection are deleted.
        """
        version = self._require_version("collection")
        return self._collection(version.entity, version.project, version.name)

    @property
    def source_collection(self) -> ArtifactCollection:
        """The collection to which the artifact was logged. Raises the errors of ``collection``."""
        entity, project, name = self.source_qualified_name.split("/")
        return self._collection(entity, project, name.split(":")[0])

    def _collection(self, entity: str, project: str, name: str) -> ArtifactCollection:
        reader = self._complete_reader()
        for info in reader.collections(entity, project, None):
            if info.name == name:
                return ArtifactCollection(reader, self._from_version, info)
        raise NotFoundError(f"There is no collection {entity}/{project}/{name}.")

    def _complete_reader(self) -> Reader:
        """Return a reader that also lists runs and collections."""
        reader = self._require_reader("lineage")
        return reader.complete if isinstance(reader, CatalogFreeReader) else cast("Reader", reader)

    def _from_version(self, version: ArtifactDetail) -> Artifact:
        assert self._find_run is not None
        kind = cast("type[Artifact]", type(self))
        return kind.from_version(version, self._require_reader("source_artifact"), self._find_run)

    def json_encode(self) -> dict[str, Any]:
        """Return the dict that names this version in a config (wandb: ``sdk/artifacts/artifact.py``)."""
        return {
            "_type": "artifactVersion",
            "_version": "v0",
            "id": self.id,
            "version": self.source_version,
            "sequenceName": self.source_name.split(":")[0],
            "usedAs": self.use_as,
        }

    def _run(self, entity: str, project: str, run_id: str) -> Any:
        assert self._find_run is not None
        return self._find_run(entity, project, run_id)
