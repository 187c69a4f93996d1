"""Routes for artifacts: collections, versions, links, lineage, registries and sizes."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query
from starlette.responses import Response

from server.dependencies import ReaderDep
from server.links import LinkedVersion, link_artifact
from server.responses import LARGEST_NUMBER, ExactJSON
from server.rights import Reader, SignedIn
from server.routing import api_router
from tracker.ground.artifact_views import (
    ArtifactSizes,
    CollectionList,
    LineageGraph,
    LinkList,
    RegistryPage,
    VersionList,
)
from tracker.store.queries.lineage import LARGEST_DEPTH, MOST_NODES

router = api_router(prefix="/projects/{entity}/{project}", tags=["artifacts"], dependencies=[Reader])
registries = api_router(prefix="/registries", tags=["artifacts"], dependencies=[SignedIn])

Direction = Literal["both", "before", "after"]
Depth = Annotated[int, Query(ge=0, le=LARGEST_DEPTH)]
Nodes = Annotated[int, Query(ge=1, le=MOST_NODES)]


@router.get("/collections", response_model=CollectionList)
def list_collections(reader: ReaderDep, entity: str, project: str, type: str | None = None) -> Response:
    """List the artifact collections of a project by name. ``type`` selects one artifact type.

    \f
    See ``CollectionReader.collections``.
    """
    return ExactJSON(CollectionList(reader.collections(entity, project, type)))


@router.get("/artifact-sizes", response_model=ArtifactSizes)
def get_artifact_sizes(reader: ReaderDep, entity: str, project: str, name: str | None = None) -> Response:
    """Return the sizes of all versions of a project, or of the collection ``name``, and what sharing saved.

    The server reads the file list of every version.

    \f
    See ``CollectionReader.artifact_sizes``.
    """
    return ExactJSON(reader.artifact_sizes(entity, project, name))


@router.get("/runs/{run_id}/used-artifacts", response_model=VersionList)
def list_used_artifacts(reader: ReaderDep, entity: str, project: str, run_id: str) -> Response:
    """List the artifact versions that a run used, in the order of use.

    \f
    See ``CollectionReader.used_artifacts``.
    """
    return ExactJSON(VersionList(reader.used_artifacts(entity, project, run_id)))


@router.get("/runs/{run_id}/lineage", response_model=LineageGraph)
def get_run_lineage(
    reader: ReaderDep,
    entity: str,
    project: str,
    run_id: str,
    direction: Direction = "both",
    depth: Depth = 5,
    limit: Nodes = 200,
) -> Response:
    """Return the runs and versions from which a run was made, and those that were made from it.

    The graph has at most ``limit`` nodes, and at most ``depth`` edges between the run and a node.

    \f
    See ``CollectionReader.run_lineage``.
    """
    graph = reader.run_lineage(entity, project, run_id, direction=direction, depth=depth, limit=limit)
    return ExactJSON(graph)


@router.get("/artifacts", response_model=VersionList)
def list_versions(
    reader: ReaderDep, entity: str, project: str, run: str | None = None, name: str | None = None
) -> Response:
    """List artifact versions, newest first: all, or those of one ``run``, or of the collection ``name``.

    \f
    See ``CollectionReader.artifacts``.
    """
    return ExactJSON(VersionList(reader.artifacts(entity, project, run, name)))


@router.get("/artifacts/{name}/{reference}", response_model=LinkedVersion)
def get_version(reader: ReaderDep, entity: str, project: str, name: str, reference: str) -> Response:
    """Return one version. ``reference`` is a version such as ``v3``, an alias, or a digest.

    \f
    See ``ArtifactReader.artifact``.
    """
    return ExactJSON(link_artifact(reader.artifact(entity, project, name, reference)))


@router.get("/artifacts/{name}/{reference}/links", response_model=LinkList)
def list_links(reader: ReaderDep, entity: str, project: str, name: str, reference: str) -> Response:
    """List the links to a version in other collections. The field ``source`` of a link names the version.

    \f
    See ``ArtifactReader.links``.
    """
    version = reader.artifact(entity, project, name, reference)
    return ExactJSON(LinkList(reader.links(version)))


@router.get("/artifacts/{name}/{reference}/lineage", response_model=LineageGraph)
def get_version_lineage(
    reader: ReaderDep,
    entity: str,
    project: str,
    name: str,
    reference: str,
    direction: Direction = "both",
    depth: Depth = 5,
    limit: Nodes = 200,
) -> Response:
    """Return the runs and versions from which a version was made, and those that were made from it.

    The graph has at most ``limit`` nodes, and at most ``depth`` edges between the version and a node.

    \f
    See ``CollectionReader.version_lineage``.
    """
    options = {"direction": direction, "depth": depth, "limit": limit}
    return ExactJSON(reader.version_lineage(entity, project, name, reference, **options))


@registries.get("/{entity}", response_model=RegistryPage)
def list_registry(
    reader: ReaderDep,
    entity: str,
    search: str = "",
    offset: Annotated[int, Query(ge=0, le=LARGEST_NUMBER)] = 0,
    limit: Annotated[int, Query(ge=0, le=1000)] = 100,
) -> Response:
    """List the collections in all projects of an entity that link versions of other collections.

    \f
    See ``CollectionReader.registry``.
    """
    return ExactJSON(reader.registry(entity, search=search, offset=offset, limit=limit))
