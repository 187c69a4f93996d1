"""Routes for the files of artifact versions: lists, contents, archives and differences."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

from fastapi import Query, Request
from starlette.responses import Response

from server.archives import MEDIA_TYPES, ArchiveResponse, Format
from server.dependencies import ReaderDep, StoreDep
from server.downloads import Pieces, send_blob, send_packed_file
from server.links import LinkedFiles, link_file
from server.openapi import content, ranges, stored
from server.responses import LARGEST_NUMBER, ExactJSON
from server.rights import CallerDep, Reader, require_project
from server.routing import api_router
from tracker.errors import NotFoundError, UsageError
from tracker.ground.artifact_views import ArtifactDifference, ArtifactFolder
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.manifest import Entry, Manifest, read_manifest
from tracker.store.queries import artifacts as query
from tracker.store.queries.artifact_files import LARGEST_PAGE
from tracker.store.store import Store

router = api_router(
    prefix="/projects/{entity}/{project}/artifacts/{name}/{reference}",
    tags=["artifacts"],
    dependencies=[Reader],
)

State = Literal["added", "removed", "changed", "same"]
Offset = Annotated[int, Query(ge=0, le=LARGEST_NUMBER)]
Limit = Annotated[int, Query(ge=0, le=LARGEST_PAGE)]


@router.get("/manifest", response_class=Response, responses=stored(Manifest))
def get_manifest(
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


@router.get("/files", response_model=LinkedFiles)
def list_version_files(
    reader: ReaderDep,
    entity: str,
    project: str,
    name: str,
    reference: str,
    search: str = "",
    offset: Offset = 0,
    limit: Limit = LARGEST_PAGE,
) -> Response:
    """List files of a version in path order, with their addresses: ``limit`` files from ``offset`` on.

    ``search`` selects the files whose path contains this text, ignoring case.

    \f
    See ``ArtifactReader.manifest``.
    """
    version = reader.artifact(entity, project, name, reference)
    searched = search.casefold()
    entries = [entry for entry in reader.manifest(version).entries if searched in entry.path.casefold()]
    some = entries[offset : offset + limit]
    return ExactJSON(LinkedFiles(len(entries), [link_file(version, entry) for entry in some]))


@router.get("/folder", response_model=ArtifactFolder)
def list_folder(
    reader: ReaderDep,
    entity: str,
    project: str,
    name: str,
    reference: str,
    path: str = "",
    search: str = "",
    offset: Offset = 0,
    limit: Limit = LARGEST_PAGE,
) -> Response:
    """List the folders and files directly in the folder ``path`` of a version, with counts and sizes.

    With ``search``, list the files at all levels of the folder whose path contains this text, ignoring case.

    \f
    See ``ArtifactReader.folder``.
    """
    version = reader.artifact(entity, project, name, reference)
    return ExactJSON(reader.folder(version, path, search=search, offset=offset, limit=limit))


@router.get("/difference", response_model=ArtifactDifference)
def compare_versions(
    request: Request,
    reader: ReaderDep,
    entity: str,
    project: str,
    name: str,
    reference: str,
    to: str,
    state: Annotated[list[State], Query()] = ["added", "removed", "changed"],  # noqa: B006
    search: str = "",
    offset: Offset = 0,
    limit: Limit = LARGEST_PAGE,
) -> Response:
    """Return the difference between this version and the version ``to``: totals, metadata, a page of files.

    ``to`` is ``[[ENTITY/]PROJECT/]NAME:REFERENCE``, or only ``REFERENCE`` for a version of the same
    collection.

    \f
    See ``ArtifactReader.difference``.
    """
    before = reader.artifact(entity, project, name, reference)
    other = _parse_name(to, (entity, project, name))
    require_project(request, "viewer", *other[:2])
    after = reader.artifact(*other)
    options = {"search": search, "offset": offset, "limit": limit}
    return ExactJSON(reader.difference(before, after, states=state, **options))


@router.get(
    "/archive",
    response_class=Response,
    responses=content(*MEDIA_TYPES.values()),
)
def get_archive(
    store: StoreDep,
    reader: ReaderDep,
    entity: str,
    project: str,
    name: str,
    reference: str,
    format: Format = "zip",
    prefix: str = "",
) -> Response:
    """Return all files of a version, or those whose path starts with ``prefix``, as a zip or tar file.

    The contents are not compressed. The file ``tracker-references.json`` in the archive lists the references.
    If a content is damaged, the answer ends early.

    \f
    See ``ArchiveResponse``.
    """
    version = reader.artifact(entity, project, name, reference)
    return ArchiveResponse(store.blobs, version, reader.manifest(version), format, prefix)


@router.get("/files/{path:path}", response_class=Response, responses=ranges())
def get_version_file(
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


@router.get("/blobs/{sha256}", response_class=Response, responses=ranges())
def get_version_blob(
    caller: CallerDep, store: StoreDep, entity: str, project: str, name: str, reference: str, sha256: str
) -> Response:
    """Return one blob that contains files of a version, such as a pack. Byte ranges are supported.

    A pack can also contain files of other projects. A caller who cannot read all projects gets zeros in place
    of all bytes that are not files of this version.

    \f
    See ``ArtifactReader.blob``.
    """
    # A query smaller than for a whole version: a download calls this route for every range.
    with store.reading() as session:
        manifest = query.find_named(session, entity, project, name, reference).manifest
    pieces = _pieces_of(store.blobs, manifest)
    if sha256 not in pieces:
        raise NotFoundError(f"Artifact {name}:{reference} has no content {sha256}.")
    # Skip the check: a caller that asks for a blob by its digest checks the bytes and names the damaged file.
    shown = None if caller.rights.sees_all else pieces[sha256]
    return send_blob(store, sha256, sha256, None, check=False, shown=shown)


@lru_cache(maxsize=4)
def _pieces_of(blobs: BlobStore, manifest: str) -> dict[str, Pieces | None]:
    """Return the blobs of a manifest; for a pack, the pieces of it that are files of the version.

    The result is cached, as a download requests many ranges of the blobs.
    """
    found: dict[str, Pieces | None] = {}
    entries = read_manifest(blobs, manifest).entries
    for entry in sorted(entries, key=lambda entry: entry.offset):
        end = entry.offset + entry.size
        if entry.pack is None:
            if entry.blob is not None:
                found[entry.blob] = None
        elif (pieces := found.setdefault(entry.pack, [])) is not None:
            if pieces and entry.offset <= pieces[-1][1]:
                pieces[-1] = (pieces[-1][0], max(end, pieces[-1][1]))
            else:
                pieces.append((entry.offset, end))
    return found


def _send(request: Request, store: Store, entry: Entry, download: bool) -> Response:
    if entry.ref is not None:
        raise NotFoundError(f"{entry.path} is a reference. Its content is at {entry.ref}.")
    if entry.pack is not None:
        return send_packed_file(store, entry, request.headers)
    return send_blob(store, entry.sha256, entry.path, None, attachment=download)


def _parse_name(text: str, collection: tuple[str, str, str]) -> tuple[str, str, str, str]:
    """Return entity, project, name and reference of a version.

    Args:
        text: ``[[ENTITY/]PROJECT/]NAME:REFERENCE`` or ``REFERENCE``.
        collection: The entity, project and name that replace missing parts.

    Raises:
        UsageError: The text has another form.
    """
    path, _, reference = text.rpartition(":")
    parts = path.split("/") if path else []
    if not reference or len(parts) > 3 or "" in parts:
        raise UsageError(
            f"Invalid version {text!r:.200}. Use [[ENTITY/]PROJECT/]NAME:REFERENCE or REFERENCE."
        )
    entity, project, name = [*collection[: 3 - len(parts)], *parts]
    return entity, project, name, reference
