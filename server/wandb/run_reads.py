"""Runs and projects as ``wandb.Api`` asks for them."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from server.wandb.artifact_reads import ProjectArtifacts
from server.wandb.context import Context
from server.wandb.ids import read_run_id
from server.wandb.pages import connection, page_info
from server.wandb.run_filters import read_filters, read_order
from server.wandb.run_object import ProjectObject, RunObject, RunsOfPage
from server.wandb.sweep_runs import layout_of, list_sweep_ids, sweeps_of_runs
from server.wandb.sweeps import PendingRun, SweepObject, find_sweep, list_sweeps, pending_runs
from server.wandb.texts import read_integer, read_json
from tracker.errors import NotFoundError, UsageError
from tracker.ground.read_models import RunInfo
from tracker.ground.records import RunFinished
from tracker.store.queries.runs import created_project

# The largest page of runs.
_MOST = 1000


class Project(ProjectArtifacts, ProjectObject):
    """A project with its runs."""

    def run(self, name: str, **_: Any) -> RunObject | None:
        """Return a run; None if there is none."""
        place = (self.entity_name, self.name, str(name))
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
        """Return a page of runs that match a filter of ``wandb.Api``.

        Args:
            filters: The filter: a dict or its JSON.
            after: Cursor of the last run of the page before.
            first: The largest number of runs, up to 1000.
            order: Such as ``-summary_metrics.loss``.
        """
        page = self._context.reader.runs(
            self.entity_name,
            self.name,
            filters=self._filters(filters),
            order=read_order(order),
            limit=min(read_integer(first, "first", 0) or 50, _MOST),
            **({"cursor": after} if after else {}),
        )
        edges: list[dict[str, Any]] = []
        shared = RunsOfPage(self._context, page.runs)
        for info in page.runs:
            place = (info.entity, info.project, info.id)
            edges.append({"cursor": "", "node": RunObject(self._context, place, info, shared)})
        edges += [{"cursor": "", "node": each} for each in self._pending(filters, after, page.runs)]
        if edges and page.next is not None:
            edges[-1]["cursor"] = page.next  # the client continues after the cursor of the last edge
        return {
            "edges": edges,
            "totalCount": page.total,
            "pageInfo": page_info(page.next, page.next is not None),
        }

    def _pending(self, filters: Any, after: str | None, found: list[RunInfo]) -> list[PendingRun]:
        """Return the waiting trials among the runs for which a scheduler of a sweep asks by id."""
        given = read_json(filters) if isinstance(filters, str) and filters else filters
        names = given.get("name") if isinstance(given, dict) and list(given) == ["name"] else None
        wanted = names.get("$in") if isinstance(names, dict) else None
        if not isinstance(wanted, list) or after:
            return []
        missing = {str(name) for name in wanted} - {info.id for info in found}
        pending = []
        place = (self.entity_name, self.name)
        for sweep_id in set(sweeps_of_runs(self._context, *place, missing).values()):
            sweep = find_sweep(self._context, *place, sweep_id)
            pending += [] if sweep is None else pending_runs(self._context, sweep, sorted(missing))
        return pending

    def run_count(self, filters: Any = None, **_: Any) -> int:
        """Return the number of runs that match a filter."""
        return self._context.reader.runs(
            self.entity_name, self.name, filters=self._filters(filters), limit=1
        ).total

    def _filters(self, given: Any) -> dict[str, Any] | None:
        return read_filters(self._context, self.entity_name, self.name, given)

    def sweeps(self, after: str | None = None, first: int | None = None, **_: Any) -> dict[str, Any]:
        """Return the sweeps."""
        return connection(list_sweeps(self._context, self.entity_name, self.name), after, first)

    @property
    def total_sweeps(self) -> int:
        """Number of sweeps."""
        return len(list_sweep_ids(self._context, self.entity_name, self.name))

    def sweep(self, sweep_name: str) -> SweepObject | None:
        """Return a sweep; None if there is none."""
        found = find_sweep(self._context, self.entity_name, self.name, sweep_name)
        return None if found is None else SweepObject(self._context, found)

    def all_views(self, **_: Any) -> dict[str, Any]:
        """Return the reports."""
        return connection([], None, None)


def project(
    context: Context, name: str | None = None, entity_name: str | None = None, **_: Any
) -> Project | None:
    """Return a project that exists and that the caller sees; None if there is none.

    Args:
        context: The request.
        name: Name of the project; None for that of runs that name none.
        entity_name: Its entity; None for the default one.
    """
    place = context.place(entity_name, name, "-")
    if context.caller.rights.role(*place[:2]) is None:
        return None
    created_at = context.store.answer(lambda session: created_project(session, *place[:2]))
    if created_at is None and not layout_of(context).sweeps(*place[:2]).is_dir():
        return None
    return Project(context, place[0], place[1], created_at=created_at or 0.0)


def models(
    context: Context,
    entity_name: str | None = None,
    after: str | None = None,
    first: int | None = None,
    **_: Any,
) -> dict[str, Any]:
    """Return the projects of an entity.

    Args:
        context: The request.
        entity_name: The entity; None for the default one.
        after: Cursor of the page before; None for the first page.
        first: The largest number; None for all.
    """
    entity = entity_name or context.default_entity
    found = [
        Project(context, each.entity, each.name, created_at=each.created_at)
        for each in context.reader.projects()
        if each.entity == entity
    ]
    return connection(found, after, first)


def delete_run(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Delete a run. One of a wandb client that is still running ends first. A deleted run stays deleted."""
    place = read_run_id(input.get("id"))
    context.require("writer", place)
    context.segments.end(place, RunFinished(time.time(), "failed", 1, reason="deleted"))
    with suppress(NotFoundError):  # the request comes again if its answer is lost
        context.reader.delete_run(*place, delete_artifacts=bool(input.get("deleteArtifacts")))
    return {"clientMutationId": input.get("clientMutationId"), "success": True}


def upsert_model(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Check the names of a project, as ``tracker.Api().create_project``: the first run creates it."""
    place = context.place(input.get("entityName"), input.get("name") or input.get("modelName"), "-")
    context.require("writer", place)
    known = project(context, place[1], place[0])
    found = known or Project(context, place[0], place[1], created_at=time.time())
    return {"project": found, "model": found, "inserted": known is None}


def update_run_state(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """End a run of a wandb client that is still running, as failed."""
    place = read_run_id(input.get("id"))
    context.require("writer", place)
    wanted = str(input.get("state"))
    if wanted != "failed":
        raise UsageError(f"invalid state transition: to {wanted!r:.40}. Only failed is possible")
    if not context.segments.end(place, RunFinished(time.time(), "failed", 1, reason="marked as failed")):
        raise UsageError(
            f"invalid state transition: the run {place[2]} is not running, or does not use the wandb client"
        )
    return {"success": True}
