"""Whether projects exist, for callers who must not learn which private projects there are."""

from __future__ import annotations

import os

from sqlalchemy import select

from tracker.ground.people import ProjectPath
from tracker.store.catalog.models import Project
from tracker.store.objects.layout import Layout
from tracker.store.store import Store


class KnownProjects:
    """The projects of a store. A project is never removed, so it is looked up only until it exists.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: set[ProjectPath] = set()

    def remembers(self, entity: str, project: str) -> bool:
        """Return whether the project was found before. This needs no query."""
        return (entity, project) in self._kept

    def find(self, entity: str, project: str) -> bool:
        """Return whether the project has a run or a sweep now or had one."""
        with self._store.reading() as session:
            wanted = select(Project.id).where(Project.entity == entity, Project.name == project)
            found = session.connection().execute(wanted).scalar() is not None
        # ``isdir`` returns False for names that the file system refuses.
        found = os.path.isdir(Layout(self._store.layout.source).sweeps(entity, project)) or found
        if found:
            self._kept.add((entity, project))
        return found
