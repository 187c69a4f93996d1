"""A route that asks the script of a run to stop. Only the wandb client reads such requests."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from server.answers import Done
from server.dependencies import ReaderDep, StoreDep
from server.responses import ExactJSON
from server.rights import Writer
from server.routing import api_router
from server.wandb.routes import Door
from server.wandb.stops import request_stop
from tracker.errors import ConflictError
from tracker.store.objects.layout import Layout

router = api_router(prefix="/projects/{entity}/{project}/runs/{run_id}", tags=["runs"], dependencies=[Writer])


@router.post("/stop", response_model=Done)
def stop_run(
    request: Request, reader: ReaderDep, store: StoreDep, entity: str, project: str, run_id: str
) -> Response:
    """Ask the script of a running run to stop. The run must be logged to this server with the wandb client.

    The client asks every 15 seconds. It then raises ``KeyboardInterrupt`` in the script.

    \f
    Args:
        request: The request.
        reader: Reads what the caller sees.
        store: The store of this server.
        entity: Entity of the project.
        project: Name of the project.
        run_id: Id of the run.

    Raises:
        ConflictError: The run has ended, or is not logged with the wandb client.
    """
    reader.run(entity, project, run_id)
    door: Door = request.app.state.wandb
    place = (entity, project, run_id)
    if not door.segments.is_running(place):
        raise ConflictError(f"No wandb client logs the run {run_id} to this server now.")
    request_stop(Layout(store.layout.source), place)
    return ExactJSON(Done())
