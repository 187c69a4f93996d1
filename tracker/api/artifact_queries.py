"""``ArtifactQueries``: the methods of ``Api`` that find artifacts, collections and artifact types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from tracker.api.collections import ArtifactCollection, ArtifactType
from tracker.api.run import as_artifact
from tracker.artifacts.artifact import Artifact
from tracker.artifacts.artifact_name import ArtifactReference, parse_reference
from tracker.artifacts.collection import as_detail
from tracker.artifacts.paginators import PaginatedList
from tracker.errors import ApiNotFoundError, ApiUsageError, NotFoundError, UsageError
from tracker.ground.read_models import ArtifactDetail, CollectionInfo

if TYPE_CHECKING:
    from tracker.api.run import Run
    from tracker.ground.settings import Settings
    from tracker.reading.reader import ArtifactReader, Reader

T = TypeVar("T")

# Names of orders, lower case and without underscores, and the attribute to sort by.
_ORDERS = {"createdat": "created_at", "updatedat": "updated_at", "name": "name", "size": "size"}
_FILTERS = ("name", "type", "description")


class ArtifactQueries:
    """The methods of ``Api`` that find artifacts."""

    _settings: Settings
    _artifacts: ArtifactReader
    _reader: Reader

    def run(self, path: str = "") -> Run:
        """See ``Api.run``."""
        raise NotImplementedError

    def _find_run(self, entity: str, project: str, run_id: str) -> Run:
        return self.run(f"{entity}/{project}/{run_id}")

    def _project(self, path: str | None) -> tuple[str, str]:
        raise NotImplementedError

    def artifact(self, name: str, type: str | None = None) -> Artifact:
        """Return an artifact version.

        Args:
            name: ``[[entity/]project/]name[:version|alias|digest]``.
            type: The expected type.

        Raises:
            ApiNotFoundError: The artifact, version or alias does not exist. The error is also a CommError,
                which wandb raises.
            ApiUsageError: The name is invalid, or the artifact has another type.
        """
        wanted = self._parse_name(name)
        try:
            found = self._artifacts.artifact(*wanted)
        except NotFoundError as error:
            raise ApiNotFoundError(error.message) from None
        artifact = Artifact.from_version(found, self._artifacts, self._find_run)
        if type is not None and artifact.type != type:
            raise ApiUsageError(
                f"type {type!r} specified but artifact {artifact.name} is of type {artifact.type!r}"
            )
        return artifact

    def artifact_exists(self, name: str, type: str | None = None) -> bool:
        """Return whether an artifact version exists and, if ``type`` is given, has that type."""
        try:
            self.artifact(name, type)
        except (ApiNotFoundError, ApiUsageError):
            return False
        return True

    def artifacts(
        self,
        type_name: str,
        name: str,
        order: str | None = None,
        per_page: int = 50,
        tags: str | list[str] | None = None,
        start: str | None = None,
    ) -> PaginatedList[Artifact]:
        """Return all versions of a collection, by default the newest first.

        Args:
            type_name: The type of the artifacts.
            name: ``[[entity/]project/]name``.
            order: ``created_at``, ``updated_at`` or ``size``. A leading ``-`` reverses the order.
            per_page: Accepted for compatibility.
            tags: Return only versions that have all these tags.
            start: Accepted for compatibility.

        Raises:
            ApiUsageError: The name is invalid, or the order is unknown.
        """
        wanted = self._parse_name(name)
        needed = {tags} if isinstance(tags, str) else set(tags or ())
        infos = [
            info
            for info in self._reader.artifacts(wanted.entity, wanted.project, None, wanted.name)
            if info.type == type_name and needed <= set(info.tags)
        ]
        found = sort_by_order(infos, order)
        return PaginatedList((as_artifact(as_detail(info), self._reader) for info in found), per_page)

    def artifact_versions(self, type_name: str, name: str, per_page: int = 50) -> PaginatedList[Artifact]:
        """Return all versions of a collection. Former name. See ``Api.artifacts``."""
        return self.artifacts(type_name, name, per_page=per_page)

    def artifact_types(
        self, project: str | None = None, start: str | None = None
    ) -> PaginatedList[ArtifactType]:
        """Return the types of a project's artifacts, sorted by name."""
        entity, name = self._project(project)
        types = {found.type for found in self._reader.collections(entity, name, None)}
        return PaginatedList(ArtifactType(self, entity, name, each) for each in sorted(types))

    def artifact_type(self, type_name: str, project: str | None = None) -> ArtifactType:
        """Return an artifact type of a project, even if the project has no artifact of this type."""
        return ArtifactType(self, *self._project(project), type_name)

    def artifact_collections(
        self,
        project_name: str,
        type_name: str,
        order: str | None = None,
        per_page: int = 50,
        start: str | None = None,
    ) -> PaginatedList[ArtifactCollection]:
        """Return a project's collections of a type, by default sorted by name.

        Args:
            project_name: ``[entity/]project``.
            type_name: The type of the artifacts.
            order: ``name``, ``created_at`` or ``updated_at``. A leading ``-`` reverses the order.
            per_page: Accepted for compatibility.
            start: Accepted for compatibility.
        """
        return self._collections(*self._project(project_name), type_name, None, order, per_page)

    def artifact_collection(self, type_name: str, name: str) -> ArtifactCollection:
        """Return one collection.

        Args:
            type_name: The type of its artifacts.
            name: ``[[entity/]project/]name``.

        Raises:
            ApiNotFoundError: There is no collection of that name and type. The error is also a CommError,
                which wandb raises.
        """
        wanted = self._parse_name(name)
        for found in self._reader.collections(wanted.entity, wanted.project, type_name):
            if found.name == wanted.name:
                return ArtifactCollection(self._reader, self._version, found)
        raise ApiNotFoundError(
            f"There is no collection {wanted.entity}/{wanted.project}/{wanted.name} of type {type_name!r}."
        )

    def artifact_collection_exists(self, name: str, type: str) -> bool:
        """Return whether a collection of that name and type exists."""
        try:
            self.artifact_collection(type, name)
        except (ApiNotFoundError, ApiUsageError):
            return False
        return True

    def _collections(
        self,
        entity: str,
        project: str,
        type_name: str | None,
        filters: Mapping[str, Any] | None,
        order: str | None,
        per_page: int,
    ) -> PaginatedList[ArtifactCollection]:
        """Return the collections that match ``filters``, by default sorted by name."""
        asked = dict(filters or {})
        if unknown := sorted(set(asked) - set(_FILTERS)):
            raise ApiUsageError(f"Invalid filter {unknown[0]!r} of collections. Use {', '.join(_FILTERS)}.")
        found: list[CollectionInfo] = [
            each
            for each in self._reader.collections(entity, project, type_name)
            if all(getattr(each, key) == value for key, value in asked.items())
        ]
        return PaginatedList(
            (ArtifactCollection(self._reader, self._version, each) for each in sort_by_order(found, order)),
            per_page,
        )

    def _version(self, found: ArtifactDetail) -> Artifact:
        return Artifact.from_version(found, self._reader, self._find_run)

    def _parse_name(self, name: str) -> ArtifactReference:
        try:
            return parse_reference(name, self._settings.entity, self._settings.project)
        except (UsageError, AttributeError, TypeError) as error:
            raise ApiUsageError(getattr(error, "message", f"Invalid artifact name {name!r}.")) from None


def sort_by_order(found: Iterable[T], order: str | None) -> list[T]:
    """Return the items in a given order. Without an order, keep the order of ``found``.

    Raises:
        ApiUsageError: The order is unknown.
    """
    items = list(found)
    if not order:
        return items
    name = order.lstrip("+-").replace("_", "").lower()
    if name not in _ORDERS or (items and not hasattr(items[0], _ORDERS[name])):
        raise ApiUsageError(f"Invalid order {order!r}. Use created_at, updated_at, name or size.")
    return sorted(items, key=lambda item: getattr(item, _ORDERS[name]), reverse=order.startswith("-"))
