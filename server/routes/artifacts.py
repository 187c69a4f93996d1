"""Artifacts: versions, aliases, files."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from server.dependencies import Reader, StoreDep
from server.downloads import send_blob
from server.links import link_artifact
from server.responses import ExactJSON
from tracker.answers import ArtifactDetail, ArtifactInfo
from tracker.errors import NotFoundError
from tracker.store.queries import artifacts as query

router = APIRouter(prefix="/projects/{entity}/{project}/artifacts", tags=["artifacts"], dependencies=[Reader])


@router.get("", response_model=dict[str, list[ArtifactInfo]])
def versions(
    store: StoreDep, entity: str, project: str, run: str | None = None, name: str | None = None
) -> Response:
    """List artifact versions, newest first; only those of a run or a collection, if named."""
    with store.reading() as session:
        return ExactJSON({"artifacts": query.list_artifacts(session, entity, project, run_id=run, name=name)})


@router.get("/{name}/{reference}", response_model=ArtifactDetail)
def detail(store: StoreDep, entity: str, project: str, name: str, reference: str) -> Response:
    """Describe a version: by ``vN``, alias or digest."""
    with store.reading() as session:
        return ExactJSON(
            link_artifact(query.artifact_detail(store, session, entity, project, name, reference))
        )


@router.get("/{name}/{reference}/files/{path:path}")
def file(
    store: StoreDep, entity: str, project: str, name: str, reference: str, path: str, download: bool = False
) -> Response:
    """Return one file of a version; answers ranges."""
    with store.reading() as session:
        version = query.artifact_detail(store, session, entity, project, name, reference)
    for entry in version.files:
        if entry.path == path:
            return send_blob(store, entry.sha256, path, None, attachment=download)
    raise NotFoundError(f"artifact {name}:{version.version} has no file {path}")
