"""``Project``: a project with its artifacts and sweeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tracker.api.attrs import Attrs, as_time
from tracker.api.users import User
from tracker.artifacts.paginators import PaginatedList
from tracker.errors import ApiNotFoundError, UnsupportedError
from tracker.ground.read_models import ProjectInfo

if TYPE_CHECKING:
    from tracker.api.api import Api
    from tracker.api.collections import ArtifactCollection, ArtifactType
    from tracker.api.sweeps import Sweeps


class Project(Attrs):
    """A project, like ``wandb.apis.public.Project`` (wandb: ``apis/public/projects.py``).

    The object can name a project that does not exist. The attributes that need the project raise an error
    then.

    Attributes:
        entity: The entity of the project.
        name: The name.
    """

    def __init__(self, api: Api, entity: str, name: str, info: ProjectInfo | None = None) -> None:
        self._api = api
        self._info = info
        self.entity = entity
        self.name = name

    @property
    def id(self) -> str:
        """``ENTITY/PROJECT``.

        Raises:
            ApiNotFoundError: The project has no run and no artifact. The error is also a ValueError, which
                wandb raises.
        """
        found = self._found()
        return f"{found.entity}/{found.name}"

    @property
    def owner(self) -> User:
        """The user of the entity."""
        return User(self.entity)

    @property
    def path(self) -> list[str]:
        """Entity and name."""
        return [self.entity, self.name]

    @property
    def url(self) -> str | None:
        """The address of the project's page, or None without a server."""
        base = self._api.settings["base_url"]
        return None if base is None else f"{base.rstrip('/')}/{quote(self.entity)}/{quote(self.name)}"

    def artifacts_types(self, per_page: int = 50) -> PaginatedList[ArtifactType]:
        """Return the types of the project's artifacts, sorted by name."""
        return self._api.artifact_types("/".join(self.path))

    def collections(
        self, filters: Mapping[str, Any] | None = None, order: str | None = None, per_page: int = 50
    ) -> PaginatedList[ArtifactCollection]:
        """Return the project's artifact collections, by default sorted by name.

        Args:
            filters: Required values of ``name``, ``type`` or ``description``.
            order: ``name``, ``created_at`` or ``updated_at``. A leading ``-`` reverses the order.
            per_page: Accepted for compatibility.

        Raises:
            ApiUsageError: The order, or the name of a filter, is unknown.
        """
        return self._api._collections(self.entity, self.name, None, filters, order, per_page)

    def sweeps(
        self, per_page: int = 50, filters: dict[str, Any] | None = None, order: str | None = None
    ) -> Sweeps:
        """Return the project's sweeps, the newest first.

        Args:
            per_page: Accepted for compatibility.
            filters: Not supported.
            order: Not supported.

        Raises:
            UnsupportedError: Filters or an order are given.
        """
        from tracker.api.sweeps import find_sweeps

        if filters or order:
            raise UnsupportedError("Project.sweeps with filters or order", "filter the list Project.sweeps()")
        return find_sweeps(self._api._reader, self.entity, self.name, per_page)

    def _found(self) -> ProjectInfo:
        if self._info is None:
            known = {(each.entity, each.name): each for each in self._api._reader.projects()}
            self._info = known.get((self.entity, self.name))
        if self._info is None:
            raise ApiNotFoundError(f"Project {'/'.join(self.path)} not found")
        return self._info

    def _fields(self) -> dict[str, Any]:
        found = self._found()
        return {
            "entityName": self.entity,
            "isBenchmark": False,
            "runCount": found.runs,
            "createdAt": as_time(found.created_at),
            "lastActive": as_time(found.updated_at),
        }

    def __repr__(self) -> str:
        return f"<Project {'/'.join(self.path)}>"


class Projects(PaginatedList[Project]):
    """The projects of an entity, the most recently changed first."""
