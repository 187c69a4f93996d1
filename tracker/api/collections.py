"""Artifact collections and types, as ``Api`` returns them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracker.answers import CollectionInfo

if TYPE_CHECKING:
    from tracker.api.api import Api
    from tracker.artifacts.artifact import Artifact


class ArtifactCollection:
    """The versions of one thing under one name, as ``wandb``'s class of this name.

    Attributes:
        entity: Whose project it is in.
        project: The project.
        name: Its name.
        type: Type of all its versions.
        description: Free text, or None.
        tags: Its tags.
    """

    def __init__(self, api: Api, info: CollectionInfo) -> None:
        self._api = api
        self._info = info
        self.entity = info.entity
        self.project = info.project
        self.name = info.name
        self.type = info.type
        self.description = info.description
        self.tags = list(info.tags)

    @property
    def id(self) -> str:
        """``ENTITY/PROJECT/NAME``."""
        return f"{self.entity}/{self.project}/{self.name}"

    @property
    def aliases(self) -> list[str]:
        """The aliases of all its versions, sorted."""
        return sorted(alias for version in self.artifacts() for alias in version.aliases)

    def artifacts(self, per_page: int = 50) -> list[Artifact]:
        """Return its versions, newest first."""
        return self._api.artifacts(self.type, self.id)

    versions = artifacts  # its former name

    def is_sequence(self) -> bool:
        """Whether runs log to it; False for one that only has links, such as a registered model."""
        return any(not version.is_link for version in self.artifacts())

    def delete(self) -> None:
        """Delete all its versions."""
        for version in self.artifacts():
            version.delete(delete_aliases=True)

    def __repr__(self) -> str:
        return f"<ArtifactCollection {self.name} ({self.type})>"


class ArtifactType:
    """All artifacts of one type in a project, as ``wandb``'s class of this name."""

    def __init__(self, api: Api, entity: str, project: str, name: str) -> None:
        self._api = api
        self.entity = entity
        self.project = project
        self.name = name

    def collections(self, per_page: int = 50) -> list[ArtifactCollection]:
        """Return its collections, by name."""
        return self._api.artifact_collections(f"{self.entity}/{self.project}", self.name)

    def collection(self, name: str) -> ArtifactCollection:
        """Return one of its collections.

        Raises:
            NotFoundError: There is none of that name.
        """
        return self._api.artifact_collection(self.name, f"{self.entity}/{self.project}/{name}")

    def __repr__(self) -> str:
        return f"<ArtifactType {self.name}>"
