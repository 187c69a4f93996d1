"""Routes for artifacts: collections, versions, aliases, files."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from server.answers import (
    ArtifactFiles,
    ArtifactLinks,
    ArtifactList,
    CollectionList,
    Done,
    LinkedArtifact,
)
from server.bodies import ArtifactChange, ArtifactLink, CollectionEdit
from server.dependencies import Reader, ReaderDep, StoreDep, Writer
from server.downloads import send_blob, send_packed_file
from server.links import link_artifact, link_file
from server.openapi import ranges, stored
from server.responses import ExactJSON
from tracker.errors import NotFoundError, UsageError
from tracker.ground.read_models import CollectionInfo
from tracker.ground.records import ArtifactChanged, ArtifactLinked
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.manifest import Entry, Manifest, read_manifest
from tracker.store.queries import artifacts as query
from tracker.store.store import Store

router = APIRouter(prefix="/projects/{entity}/{project}", tags=["artifacts"], dependencies=[Reader])
changing = APIRouter(prefix="/artifacts", tags=["artifacts"], dependencies=[Writer])

# Most files on one page.
PAGE = 1000


@router.get("/collections", response_model=CollectionList)
def list_collections(reader: ReaderDep, entity: str, project: str, type: str | None = None) -> Response:
    """List the artifact collections of a project by name. ``type`` selects one artifact type.

    \f
    See ``CollectionReader.collections``.
    """
    return ExactJSON(CollectionList(reader.collections(entity, project, type)))


@router.patch("/collections/{name}", response_model=CollectionInfo, dependencies=[Writer])
def edit_collection(
    reader: ReaderDep, entity: str, project: str, name: str, body: CollectionEdit
) -> Response:
    """Change the ``description`` or the ``tags`` of a collection. Fields that are not given stay unchanged.

    \f
    See ``CollectionReader.change_collection``.
    """
    return ExactJSON(reader.change_collection(entity, project, name, body.given()))


@router.get("/runs/{run_id}/used-artifacts", response_model=ArtifactList)
def list_used_artifacts(reader: ReaderDep, entity: str, project: str, run_id: str) -> Response:
    """List the artifact versions that a run used, in the order of use.

    \f
    See ``CollectionReader.used_artifacts``.
    """
    return ExactJSON(ArtifactList(reader.used_artifacts(entity, project, run_id)))


@router.get("/artifacts", response_model=ArtifactList)
def list_artifacts(
    reader: ReaderDep, entity: str, project: str, run: str | None = None, name: str | None = None
) -> Response:
    """List artifact versions, newest first: all, or those of one ``run``, or of the collection ``name``.

    \f
    See ``CollectionReader.artifacts``.
    """
    return ExactJSON(ArtifactList(reader.artifacts(entity, project, run, name)))


@router.get("/artifacts/{name}/{reference}", response_model=LinkedArtifact)
def get_artifact(reader: ReaderDep, entity: str, project: str, name: str, reference: str) -> Response:
    """Return one version. ``reference`` is a version such as ``v3``, an alias, or a digest.

    \f
    See ``ArtifactReader.artifact``.
    """
    return ExactJSON(link_artifact(reader.artifact(entity, project, name, reference)))


@router.get("/artifacts/{name}/{reference}/links", response_model=ArtifactLinks)
def list_artifact_links(reader: ReaderDep, entity: str, project: str, name: str, reference: str) -> Response:
    """List the links to a version in other collections.

    \f
    See ``ArtifactReader.links``.
    """
    version = reader.artifact(entity, project, name, reference)
    return ExactJSON(ArtifactLinks(reader.links(version)))


@router.get("/artifacts/{name}/{reference}/manifest", response_class=Response, responses=stored(Manifest))
def get_artifact_manifest(
    store: StoreDep, reader: ReaderDep, entity: str, project: str, name: str, reference: str
) -> Response:
    """Return the manifest of a version as it is stored: the list of its files.

    \f
    See ``ArtifactReader.manifest``.
    """
    version = reader.artifact(entity, project, name, reference)
    answer = send_blob(store, version.manifest, "manifest.json", None)
    answer.headers["Content-Type"] = "application/json"
    return answer


@router.get("/artifacts/{name}/{reference}/files", response_model=ArtifactFiles)
def list_artifact_files(
    reader: ReaderDep,
    entity: str,
    project: str,
    name: str,
    reference: str,
    offset: int = 0,
    limit: int = PAGE,
) -> Response:
    """List files of a version in path order, with their addresses: ``limit`` files from ``offset`` on.

    \f
    See ``ArtifactReader.manifest``.
    """
    version = reader.artifact(entity, project, name, reference)
    entries = reader.manifest(version).entries
    some = entries[max(offset, 0) : max(offset, 0) + max(limit, 0)]
    return ExactJSON(ArtifactFiles(len(entries), [link_file(version, entry) for entry in some]))


@router.get("/artifacts/{name}/{reference}/files/{path:path}", response_class=Response, responses=ranges())
def get_artifact_file(
    request: Request,
    store: StoreDep,
    reader: ReaderDep,
    entity: str,
    project: str,
    name: str,
    reference: str,
    path: str,
    download: bool = False,
) -> Response:
    """Return one file of a version. Byte ranges are supported.

    ``download`` makes the browser save the file instead of showing it.

    \f
    See ``ArtifactReader.chunks``.
    """
    version = reader.artifact(entity, project, name, reference)
    for entry in reader.manifest(version).entries:
        if entry.path == path:
            return _send(request, store, entry, download)
    raise NotFoundError(f"Artifact {name}:{version.version} has no file {path!r}.")


@router.get("/artifacts/{name}/{reference}/blobs/{sha256}", response_class=Response, responses=ranges())
def get_artifact_blob(
    store: StoreDep, entity: str, project: str, name: str, reference: str, sha256: str
) -> Response:
    """Return one blob that contains files of a version, such as a pack. Byte ranges are supported.

    \f
    See ``ArtifactReader.blob``.
    """
    # A query smaller than for a whole version: a download calls this route for every range.
    with store.reading() as session:
        manifest = query.find_named(session, entity, project, name, reference).manifest
    if sha256 not in _blobs_of(store.blobs, manifest):
        raise NotFoundError(f"Artifact {name}:{reference} has no content {sha256}.")
    # Skip the check: a caller that asks for a blob by its digest checks the bytes and names the damaged file.
    return send_blob(store, sha256, sha256, None, check=False)


@changing.post("/change", response_model=LinkedArtifact)
def change_artifact(reader: ReaderDep, body: ArtifactChange) -> Response:
    """Change a version (aliases, description, metadata, tags, lifetime), or delete it."""
    return ExactJSON(link_artifact(reader.change(_record(body.given(), ArtifactChanged))))


@changing.post("/link", response_model=Done)
def create_artifact_link(reader: ReaderDep, body: ArtifactLink) -> Response:
    """Link a version into another collection."""
    reader.link(_record(body.given(), ArtifactLinked))
    return ExactJSON(Done())


@lru_cache(maxsize=4)
def _blobs_of(blobs: BlobStore, manifest: str) -> frozenset[str]:
    """Return the blobs of a manifest. The result is cached, as a download requests many ranges of them."""
    return frozenset(read_manifest(blobs, manifest).blobs)


def _send(request: Request, store: Store, entry: Entry, download: bool) -> Response:
    if entry.ref is not None:
        raise NotFoundError(f"{entry.path} is a reference. Its content is at {entry.ref}.")
    if entry.pack is not None:
        return send_packed_file(store, entry, request.headers)
    return send_blob(store, entry.sha256, entry.path, None, attachment=download)


def _record(body: dict[str, Any], kind: type[ArtifactChanged] | type[ArtifactLinked]) -> Any:
    given = [body.get(field.name, _default(field)) for field in msgspec.structs.fields(kind)]
    try:
        return msgspec.convert([kind.__struct_config__.tag, *given], kind)
    except msgspec.ValidationError as error:
        raise UsageError(str(error)) from error


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default_factory() if callable(field.default_factory) else field.default
