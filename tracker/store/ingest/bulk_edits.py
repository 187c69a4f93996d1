"""Changes of many runs at once, each run in its own transaction: an error of one run undoes no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import select

from tracker.errors import Error, UsageError
from tracker.ground.bulk_edits import BulkResult, RunResult
from tracker.ground.names import check_project
from tracker.store.catalog.models import Project
from tracker.store.catalog.sqlite import read_rows
from tracker.store.ingest.deletion import delete_run
from tracker.store.ingest.moves import move_run
from tracker.store.ingest.restoration import restore_run
from tracker.store.ingest.run_edits import apply_edit, make_edit
from tracker.store.queries.filters import Filter
from tracker.store.queries.visible import EVERYTHING, Visible
from tracker.store.store import Store

LARGEST_BULK = 1000
ACTIONS = ("edit", "delete", "restore", "move")


def change_runs(
    store: Store,
    entity: str,
    project: str,
    action: str,
    *,
    runs: Sequence[str] | None = None,
    filters: Any = None,
    values: dict[str, Any] | None = None,
    artifacts: bool = False,
    now: bool = False,
    to_entity: str | None = None,
    to_project: str | None = None,
    dry_run: bool = False,
    changeable: Visible = EVERYTHING,
) -> BulkResult:
    """Change many runs of a project.

    Args:
        store: The store.
        entity: The entity of the project.
        project: The name of the project.
        action: ``edit``, ``delete``, ``restore`` or ``move``.
        runs: Ids of the runs.
        filters: In place of ``runs``: change the runs that match this filter. An empty filter matches all
            runs that are not archived.
        values: For ``edit``: see ``tracker.store.ingest.run_edits``.
        artifacts: For ``delete``: also delete the artifact versions that the runs logged.
        now: For ``delete``: delete the runs permanently.
        to_entity: For ``move``: the entity of the target; None for ``entity``.
        to_project: For ``move``: the target.
        dry_run: Change nothing, and only count the runs.
        changeable: For ``delete``: see ``delete_run``.

    Raises:
        UsageError: The request is invalid. No run was changed.
    """
    if action not in ACTIONS:
        raise UsageError(f"unknown action {action!r}: use {', '.join(ACTIONS)}")
    if (runs is None) == (filters is None):
        raise UsageError("give either runs (a list of ids) or filters")
    if (values is not None) != (action == "edit"):
        raise UsageError(f"values belong to the action edit; the action is {action}")
    if (artifacts or now) and action != "delete":
        raise UsageError(f"artifacts and now belong to the action delete; the action is {action}")
    if (to_project is not None) != (action == "move") or (to_entity is not None and action != "move"):
        raise UsageError(f"to_project belongs to the action move; the action is {action}")
    if action == "restore" and runs is None:
        raise UsageError("a filter finds no deleted runs: give their ids in runs")
    checked = make_edit(entity, project, "", values or {}).values if action == "edit" else {}
    if to_project is not None:
        check_project(to_project)
    changes: dict[str, Callable[[str], None]] = {
        "edit": lambda run_id: apply_edit(store, make_edit(entity, project, run_id, checked)),
        "delete": lambda run_id: delete_run(
            store, entity, project, run_id, delete_artifacts=artifacts, now=now, changeable=changeable
        ),
        "restore": lambda run_id: restore_run(store, entity, project, run_id),
        "move": lambda run_id: move_run(store, entity, project, run_id, to_entity, to_project or ""),
    }
    ids = list(dict.fromkeys(runs)) if runs is not None else _find(store, entity, project, filters)
    if dry_run:
        return BulkResult(len(ids), 0, True)
    if len(ids) > LARGEST_BULK:
        raise UsageError(f"{len(ids)} runs are more than {LARGEST_BULK}: change fewer runs at once")
    results = [RunResult(run_id, _error_of(changes[action], run_id)) for run_id in ids]
    return BulkResult(len(ids), sum(each.error is None for each in results), False, results)


def _find(store: Store, entity: str, project: str, filters: Any) -> list[str]:
    with store.reading() as session:
        at = session.scalar(select(Project.id).where(Project.entity == entity, Project.name == project)) or 0
        found = Filter(session, at, filters).on("runs.id")
        sql = f"SELECT run_id FROM runs WHERE project_id = ? AND {found.sql} ORDER BY id DESC"
        return [run_id for (run_id,) in read_rows(session, sql, (at, *found.parameters))]


def _error_of(change: Callable[[str], None], run_id: str) -> str | None:
    try:
        change(run_id)
    except Error as error:
        return error.message
    return None
