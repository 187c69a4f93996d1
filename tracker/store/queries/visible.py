"""The projects that a caller can see. Queries that cross projects take this as an argument.

The condition is a part of each query and is not applied afterwards, so that counts, pages and times do not
depend on the other projects.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import ColumnElement, Select, and_, false, or_, select, tuple_

from tracker.ground.people import ProjectPath, Rights, Role
from tracker.runstate.collection import parse_version_name
from tracker.store.catalog.models import Collection, Project, Run, Version

if TYPE_CHECKING:
    from typing_extensions import Unpack

Query = TypeVar("Query", bound="Select[Unpack[tuple[Any, ...]]]")
_Places = tuple[frozenset[str], frozenset[ProjectPath], frozenset[ProjectPath]]


class Visible:
    """The projects in which a caller has a role.

    Two instances are equal if they contain the same projects: a shared or kept result of a query has its
    instance in its key.

    Args:
        rights: The rights of the caller.
        needed: The role.
    """

    def __init__(self, rights: Rights, needed: Role = "viewer") -> None:
        self._rights = rights
        self._needed = needed

    @cached_property
    def everything(self) -> bool:
        """Whether the caller has the role in all projects. Queries then get no condition."""
        return self._rights.sees_all and self._rights.may(self._needed, "", "")

    @cached_property
    def changeable(self) -> Visible:
        """The projects that the caller can change."""
        return Visible(self._rights, "writer")

    @cached_property
    def _places(self) -> _Places:
        """The entities with the role, the hidden projects in them, and the projects of other entities."""
        rights, needed = self._rights, self._needed
        entities = frozenset(
            entity for entity, project in rights.roles if not project and rights.may(needed, entity, "")
        )
        hidden = frozenset(
            place for place in rights.private if place[0] in entities and not rights.may(needed, *place)
        )
        single = {place for place in rights.roles if place[1]} | ({rights.only} if rights.only else set())
        projects = {place for place in single if place[0] not in entities and rights.may(needed, *place)}
        return entities, hidden, frozenset(projects)

    def sees(self, entity: str, project: str) -> bool:
        """Return whether the caller has the role in a project."""
        return self._rights.may(self._needed, entity, project)

    def source(self, name: str | None) -> str | None:
        """Return the full name of a version, or None if its project is not visible."""
        return name if name is None or self.sees(*parse_version_name(name)[0][:2]) else None

    def limit_runs(self, query: Query, run_id: Any) -> Query:
        """Restrict a query to runs of visible projects.

        Args:
            query: The query, which does not select from ``Run``.
            run_id: A column of the query with numbers of runs.
        """
        return query if self.everything else self.limit(query.join(Run, Run.id == run_id), Run.project_id)

    def limit_versions(self, query: Query) -> Query:
        """Restrict a query from ``Version``, and not from ``Collection``, to versions of visible projects."""
        if self.everything:
            return query
        query = query.join(Collection, Collection.id == Version.collection_id)
        return self.limit(query, Collection.project_id)

    def limit(self, query: Query, project_id: Any) -> Query:
        """Restrict a query to visible projects.

        Args:
            query: The query.
            project_id: A column of the query with numbers of projects.
        """
        if self.everything:
            return query
        known = select(Project.id).where(self._condition(Project.entity, Project.name))
        return query.where(project_id.in_(known))

    def limit_names(self, query: Query, entity: Any, project: Any) -> Query:
        """Restrict a query to visible projects.

        Args:
            query: The query.
            entity: A column of the query with names of entities.
            project: A column of the query with names of projects.
        """
        return query if self.everything else query.where(self._condition(entity, project))

    def _condition(self, entity: Any, project: Any) -> ColumnElement[bool]:
        entities, hidden, projects = self._places
        found: list[ColumnElement[bool]] = []
        # The condition must not select an index: SQLite would read all runs of the projects instead of the
        # few runs that changed.
        entity = entity.concat("")
        name = tuple_(entity, project)
        if entities:
            of_entity = entity.in_(sorted(entities))
            found.append(and_(of_entity, name.not_in(sorted(hidden))) if hidden else of_entity)
        if projects:
            found.append(name.in_(sorted(projects)))
        return or_(false(), *found)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Visible) and (self.everything, self._key) == (other.everything, other._key)

    def __hash__(self) -> int:
        return hash((self.everything, self._key))

    @cached_property
    def _key(self) -> _Places | None:
        return None if self.everything else self._places


EVERYTHING = Visible(Rights(everything=True))
