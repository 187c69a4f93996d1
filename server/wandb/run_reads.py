"""Runs and projects as ``wandb.Api`` asks for them."""

from __future__ import annotations

from typing import Any

from server.wandb.artifact_reads import ProjectArtifacts
from server.wandb.context import Context
from server.wandb.ids import read_run_id
from server.wandb.pages import connection
from server.wandb.run_object import ProjectObject, RunObject
from server.wandb.texts import read_json
from tracker.errors import UsageError

# The largest page of runs.
_MOST = 1000


class Project(ProjectArtifacts, ProjectObject):
    """A project with its runs."""

    def run(self, name: str, **_: Any) -> RunObject | None:
        """Return a run; None if there is none."""
        place = (self.entity_name, self.name, name)
        found = self._context.find(place)
        return None if found is None else RunObject(self._context, place, found)

    bucket = run

    def runs(
        self,
        filters: Any = None,
        after: str | None = None,
        first: int | None = None,
        order: str | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        """Return a page of runs that match a filter of ``wandb.Api``."""
        page = self._context.reader.runs(
            self.entity_name,
            self.name,
            filters=_filters(filters),
            order=_order(order),
            limit=min(int(first or 50), _MOST),
            **({"cursor": after} if after else {}),
        )
        edges = []
        for at, info in enumerate(page.runs):
            # The next page begins after the cursor of the last edge.
            cursor = page.next if at + 1 == len(page.runs) else None
            place = (info.entity, info.project, info.id)
            edges.append({"cursor": cursor or "", "node": RunObject(self._context, place, info)})
        return {
            "edges": edges,
            "totalCount": page.total,
            "pageInfo": {"endCursor": page.next, "hasNextPage": page.next is not None},
        }

    def run_count(self, filters: Any = None, **_: Any) -> int:
        """Return the number of runs that match a filter."""
        page = self._context.reader.runs(self.entity_name, self.name, filters=_filters(filters), limit=1)
        return page.total

    def sweeps(self, **_: Any) -> dict[str, Any]:
        """Return the sweeps."""
        return connection([], None, None)

    total_sweeps = 0

    def all_views(self, **_: Any) -> dict[str, Any]:
        """Return the reports."""
        return connection([], None, None)


def project(
    context: Context, name: str | None = None, entity_name: str | None = None, **_: Any
) -> Project | None:
    """Return a project that exists; None if there is none."""
    place = context.place(entity_name, name, "-")
    for each in context.reader.projects():
        if (each.entity, each.name) == place[:2]:
            context.require("viewer", place)
            return Project(context, each.entity, each.name, created_at=each.created_at)
    return None


def models(
    context: Context,
    entity_name: str | None = None,
    after: str | None = None,
    first: int | None = None,
    **_: Any,
) -> dict[str, Any]:
    """Return the projects of an entity."""
    entity = entity_name or context.default_entity
    found = [
        Project(context, each.entity, each.name, created_at=each.created_at)
        for each in context.reader.projects()
        if each.entity == entity
    ]
    return connection(found, after, first)


def delete_run(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Delete a run."""
    place = read_run_id(input.get("id"))
    context.require("writer", place)
    context.reader.delete_run(*place, delete_artifacts=bool(input.get("deleteArtifacts")))
    return {"clientMutationId": input.get("clientMutationId"), "success": True}


def _filters(given: Any) -> dict[str, Any] | None:
    found = read_json(given) if isinstance(given, str) else given
    if found in (None, {}):
        return None
    if not isinstance(found, dict):
        raise UsageError("A filter is a JSON object.")
    return found


def _order(given: str | None) -> str:
    return given.removeprefix("+").replace(".value", "") if given else "created_at"
