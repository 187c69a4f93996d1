"""Requests to stop a run. The client of the run reads them in the answer to its next post."""

from __future__ import annotations

import time
from typing import Any

from server.wandb.context import Context
from server.wandb.ids import read_run_id
from tracker.errors import NotFoundError
from tracker.ground.names import RunPath
from tracker.store.objects.atomic_files import publish_json
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import require_writable


def stop_run(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Ask the script of a run to stop."""
    place = read_run_id(input.get("id"))
    context.require("writer", place)
    if context.find(place) is None:
        raise NotFoundError(f"there is no run {'/'.join(place)}")
    request_stop(_layout(context), place)
    return {"success": True, "clientMutationId": input.get("clientMutationId")}


def request_stop(layout: Layout, place: RunPath) -> None:
    """Ask the script of a run to stop."""
    require_writable(layout)
    publish_json(layout.new_temporary(), layout.stop_request(*place), {"requested_at": time.time()})


def is_stopped(context: Context, place: RunPath) -> bool:
    """Return whether a run was asked to stop."""
    return _layout(context).stop_request(*place).exists()


def forget_stop(context: Context, place: RunPath) -> None:
    """Forget that a run was asked to stop: it starts again."""
    _layout(context).stop_request(*place).unlink(missing_ok=True)


def _layout(context: Context) -> Layout:
    return Layout(context.store.layout.source)
