"""``ArtifactCollection``: all versions of an artifact name."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from tracker.artifacts.edits import check_tags
from tracker.artifacts.paginators import PaginatedList
from tracker.artifacts.version import as_time
from tracker.errors import UnsupportedError
from tracker.ground.read_models import ArtifactDetail, ArtifactInfo, CollectionInfo

if TYPE_CHECKING:
    from tracker.artifacts.artifact import Artifact
    from tracker.reading.reader import CollectionReader


class ArtifactCollection:
    """All versions of an artifact name (wandb: ``apis/public/artifacts.py``).

    Description and tags can be changed; ``save`` stores the changes.

    Args:
        reader: The reader that lists the versions.
        make_version: Makes the ``Artifact`` of a version.
        info: The fields of the collection.

    Attributes:
        entity: The entity of the project.
        project: The project.
        description: Free text, or None.
    """

    def __init__(
        self,
        reader: CollectionReader,
        make_version: Callable[[ArtifactDetail], Artifact],
        info: CollectionInfo,
    ) -> None:
        self._reader = reader
        self._make_version = make_version
        self._set_info(info)

    def _set_info(self, info: CollectionInfo) -> None:
        self._info = info
        self.entity = info.entity
        self.project = info.project
        self.description = info.description
        self._tags = list(info.tags)

    @property
    def id(self) -> str:
        """``ENTITY/PROJECT/NAME``."""
        return f"{self.entity}/{self.project}/{self.name}"

    @property
    def name(self) -> str:
        """The name."""
        return self._info.name

    @name.setter
    def name(self, name: str) -> None:
        raise UnsupportedError(
            "renaming a collection", "link its versions into a new collection: artifact.link(NEW_NAME)"
        )

    @property
    def type(self) -> str:
        """The type of all versions."""
        return self._info.type

    @type.setter
    def type(self, type: str) -> None:
        self.change_type(type)

    @property
    def tags(self) -> list[str]:
        """The tags."""
        return self._tags

    @tags.setter
    def tags(self, tags: Collection[str]) -> None:
        self._tags = check_tags(list(tags) if not isinstance(tags, str) else [tags])

    @property
    def created_at(self) -> str:
        """The time when the first version was logged, such as ``2026-01-31T12:00:00Z``."""
        return as_time(self._info.created_at)

    @property
    def updated_at(self) -> str:
        """The time when the newest version was logged, in the same format."""
        return as_time(self._info.updated_at)

    @property
    def aliases(self) -> list[str]:
        """The aliases of all versions, sorted."""
        return sorted(alias for version in self.artifacts() for alias in version.aliases)

    def artifacts(self, per_page: int = 50, start: str | None = None) -> PaginatedList[Artifact]:
        """Return the versions, the newest first."""
        found = self._reader.artifacts(self.entity, self.project, None, self.name)
        return PaginatedList((self._make_version(as_detail(info)) for info in found), per_page)

    versions = artifacts  # wandb's former name

    def is_sequence(self) -> bool:
        """Return whether runs log to this collection. A registered model has only links and returns False."""
        return any(not version.is_link for version in self.artifacts())

    def change_type(self, new_type: str) -> None:
        """Raise UnsupportedError if ``new_type`` is not the current type, which cannot be changed."""
        if new_type != self.type:
            raise UnsupportedError(
                "changing a collection's type", "log the next version under another name with the new type"
            )

    def save(self) -> None:
        """Store the changes of the description and the tags.

        Raises:
            ValueError: A tag is not allowed.
        """
        now = {"description": self.description, "tags": check_tags(self._tags)}
        changed = {field: value for field, value in now.items() if value != getattr(self._info, field)}
        if changed:
            self._set_info(self._reader.change_collection(self.entity, self.project, self.name, changed))

    def delete(self) -> None:
        """Delete all versions."""
        for version in self.artifacts():
            version.delete(delete_aliases=True)

    def __repr__(self) -> str:
        return f"<ArtifactCollection {self.name} ({self.type})>"


def as_detail(info: ArtifactInfo) -> ArtifactDetail:
    """Return a version from a list as an ``ArtifactDetail``. ``used_by`` is empty: it is read when needed."""
    return ArtifactDetail(**{name: getattr(info, name) for name in ArtifactInfo.__dataclass_fields__})
