"""A route that tells what wandb clients have asked the server for."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from server.answers import WandbOperations
from server.responses import ExactJSON
from server.rights import ServerAdmin
from server.routing import api_router
from server.wandb.executor import Executor

router = api_router(prefix="/wandb", tags=["server"], dependencies=[ServerAdmin])


@router.get("/operations", response_model=WandbOperations)
def list_wandb_operations(request: Request) -> Response:
    """Return the operations of wandb clients since the start of the server, and what was unknown."""
    executor: Executor = request.app.state.wandb.executor
    return ExactJSON(WandbOperations(dict(executor.answered), dict(executor.unknown)))
