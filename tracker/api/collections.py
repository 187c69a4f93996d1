"""``ArtifactType``: all artifacts of one type in a project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tracker.artifacts.collection import ArtifactCollection
from tracker.artifacts.paginators import PaginatedList

if TYPE_CHECKING:
    from tracker.api.artifact_queries import ArtifactQueries

__all__ = ["ArtifactCollection", "ArtifactType"]


class ArtifactType:
    """All artifacts of one type in a project (wandb: ``apis/public/artifacts.py``)."""

    def __init__(self, api: ArtifactQueries, entity: str, project: str, name: str) -> None:
        self._api = api
        self.entity = entity
        self.project = project
        self.name = name

    @property
    def id(self) -> str:
        """``ENTITY/PROJECT/TYPE``."""
        return f"{self.entity}/{self.project}/{self.name}"

    def collections(
        self,
        filters: Mapping[str, Any] | None = None,
        order: str | None = None,
        per_page: int = 50,
        start: str | None = None,
    ) -> PaginatedList[ArtifactCollection]:
        """Return the collections of this type. See ``Project.collections``."""
        return self._api._collections(self.entity, self.project, self.name, filters, order, per_page)

    def collection(self, name: str) -> ArtifactCollection:
        """Return one collection of this type.

        Raises:
            ApiNotFoundError: The collection does not exist.
        """
        return self._api.artifact_collection(self.name, f"{self.entity}/{self.project}/{name}")

    def __repr__(self) -> str:
        return f"<ArtifactType {self.name}>"
