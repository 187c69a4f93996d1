"""Which runs belong to which sweep of a project."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from server.wandb.context import Context
from tracker.errors import NotFoundError
from tracker.store.objects.layout import Layout
from tracker.sweeps.files import Sweep, sweep_ids


def layout_of(context: Context) -> Layout:
    """Return the store with the sweeps."""
    return Layout(context.store.layout.source)


def sweeps_of_runs(context: Context, entity: str, project: str, runs: Iterable[str]) -> dict[str, str]:
    """Return the newest sweep of each run that belongs to one.

    Args:
        context: The request.
        entity: Entity of the project.
        project: Name of the project.
        runs: Ids of runs.
    """
    layout = layout_of(context)
    found: dict[str, str] = {}
    if not layout.sweeps(entity, project).exists():
        return found
    wanted = list(runs)
    for name in reversed(sweep_ids(layout, entity, project)):
        folder = layout.sweep_run(entity, project, name, "-").parent
        known = set(os.listdir(folder)) if folder.exists() else set()
        found.update((run, name) for run in wanted if _file_name(run) in known)
    return found


@lru_cache(maxsize=4096)
def _file_name(run_id: str) -> str:
    return Layout(Path()).sweep_run("-", "-", "-", run_id).name


def list_sweep_ids(context: Context, entity: str, project: str) -> list[str]:
    """Return the ids of the sweeps of a project.

    Args:
        context: The request.
        entity: Entity of the project.
        project: Name of the project.
    """
    return sweep_ids(layout_of(context), entity, project)


def runs_of_sweep(context: Context, entity: str, project: str, sweep: str) -> list[str]:
    """Return the ids of the runs of a sweep; none if there is no such sweep.

    Args:
        context: The request.
        entity: Entity of the project.
        project: Name of the project.
        sweep: Id of the sweep.
    """
    try:
        return [trial.run_id for trial in Sweep(layout_of(context), entity, project, sweep).trials()]
    except NotFoundError:
        return []
