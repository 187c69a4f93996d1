"""Where an artifact comes from and what became of it: runs, collections, links."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from tracker.artifacts.collection import ArtifactCollection
from tracker.artifacts.draft import DraftMethods
from tracker.errors import NotFoundError, UnsupportedError
from tracker.ground.read_models import ArtifactDetail

if TYPE_CHECKING:
    from tracker.artifacts.artifact import Artifact
    from tracker.reading.reader import Reader

# Finds a run, by entity, project and id, as ``Api().run`` does.
FindRun = Callable[[str, str, str], Any]


class Lineage(DraftMethods):
    """The side of an artifact that leads to others."""

    _find_run: FindRun | None = None
    use_as: str | None = None

    def logged_by(self) -> Any:
        """Return the run that logged it, as ``Api().run``; None when it is not known."""
        run = self._require_version("logged_by").logged_by
        if run is None:
            return None
        try:
            return self._run(self.source_entity, self.source_project, run)
        except NotFoundError:
            return None  # it was deleted

    def used_by(self) -> list[Any]:
        """Return the runs that used it, as ``Api().run``."""
        version = self._require_version("used_by")
        fresh = self._require_reader("used_by").artifact(
            version.entity, version.project, version.name, version.version
        )
        return [self._run(run.entity, run.project, run.id) for run in fresh.used_by]

    @property
    def history_step(self) -> int | None:
        """The last step that the run had logged when it logged this; None when that is not known."""
        version, reader = self._require_version("history_step"), self._catalog()
        if version.logged_by is None or reader is None:
            return None
        run_path = (self.source_entity, self.source_project, version.logged_by)
        try:
            rows = reader.history(*run_path, ["_step", "_timestamp"], False, None)
        except NotFoundError:
            return None
        before = [row["_step"] for row in rows if row["_timestamp"] <= version.created_at]
        return max(before, default=None)

    @property
    def source_artifact(self) -> Artifact:
        """The version that a link stands for; itself, unless it is one.

        Raises:
            NotFoundError: It is not there any more.
        """
        if not self.is_link:
            return cast("Artifact", self)
        entity, project, name = self.source_qualified_name.split("/")
        reader = self._require_reader("source_artifact")
        return self._from_version(reader.artifact(entity, project, *name.split(":")))

    @property
    def linked_artifacts(self) -> list[Artifact]:
        """The links that stand for this version, in other collections; a link has none."""
        if self.is_link:
            return []
        version = self._require_version("linked_artifacts")
        return [self._from_version(each) for each in self._require_reader("linked_artifacts").links(version)]

    @property
    def collection(self) -> ArtifactCollection:
        """The collection that it was looked up in.

        Raises:
            NotFoundError: All its versions are deleted.
            UnsupportedError: This host only sees the store's folder.
        """
        version = self._require_version("collection")
        return self._collection(version.entity, version.project, version.name)

    @property
    def source_collection(self) -> ArtifactCollection:
        """The collection that it was logged to; see ``collection``."""
        entity, project, name = self.source_qualified_name.split("/")
        return self._collection(entity, project, name.split(":")[0])

    def _collection(self, entity: str, project: str, name: str) -> ArtifactCollection:
        reader = self._catalog()
        if reader is None:
            raise UnsupportedError(
                "Artifact.collection on a host that only sees the store's folder",
                "ask on the host that runs `tracker server`",
            )
        for info in reader.collections(entity, project, None):
            if info.name == name:
                return ArtifactCollection(reader, self._from_version, info)
        raise NotFoundError(f"there is no collection {entity}/{project}/{name}")

    def _catalog(self) -> Reader | None:
        """Return who can answer more than what an artifact is; None where only files can be seen."""
        reader = self._require_reader("lineage")
        return cast("Reader", reader) if hasattr(reader, "collections") else None

    def _from_version(self, version: ArtifactDetail) -> Artifact:
        assert self._find_run is not None
        kind = cast("type[Artifact]", type(self))
        return kind.from_version(version, self._require_reader("source_artifact"), self._find_run)

    def json_encode(self) -> dict[str, Any]:
        """Return what names this version, as wandb stores it in configs."""
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
