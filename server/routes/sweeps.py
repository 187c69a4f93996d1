"""Routes for the sweeps of a project. Sweeps are files in the store; agents on its hosts work on them."""

from __future__ import annotations

from starlette.responses import Response

from server.answers import SweepList
from server.dependencies import StoreDep
from server.responses import ExactJSON
from server.rights import Reader
from server.routing import api_router
from tracker.errors import NotFoundError
from tracker.ground.sweep_infos import SweepInfo, TrialInfo
from tracker.store.objects.layout import Layout
from tracker.sweeps.files import Sweep, sweep_ids

router = api_router(prefix="/projects/{entity}/{project}/sweeps", tags=["sweeps"], dependencies=[Reader])


@router.get("", response_model=SweepList)
def list_sweeps(store: StoreDep, entity: str, project: str) -> Response:
    """List the sweeps of a project with their trials, the newest first.

    \f
    Args:
        store: The store of this server.
        entity: Entity of the project.
        project: Name of the project.
    """
    layout = Layout(store.layout.source)
    ids = sweep_ids(layout, entity, project)
    return ExactJSON(SweepList([_describe(Sweep(layout, entity, project, each)) for each in ids]))


@router.get("/{sweep_id}", response_model=SweepInfo)
def get_sweep(store: StoreDep, entity: str, project: str, sweep_id: str) -> Response:
    """Return a sweep with its config and its trials.

    \f
    Args:
        store: The store of this server.
        entity: Entity of the project.
        project: Name of the project.
        sweep_id: Id of the sweep.
    """
    try:
        sweep = Sweep(Layout(store.layout.source), entity, project, sweep_id)
    except NotFoundError:  # its text has the path of the store on this host
        raise NotFoundError(f"there is no sweep {entity}/{project}/{sweep_id}") from None
    return ExactJSON(_describe(sweep))


def _describe(sweep: Sweep) -> SweepInfo:
    return SweepInfo(
        sweep.entity,
        sweep.project,
        sweep.id,
        str(sweep.config.get("name") or sweep.id),
        sweep.created_at,
        sweep.requested_state,
        sweep.config,
        [TrialInfo(*trial) for trial in sweep.trials()],
    )
