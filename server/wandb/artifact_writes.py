"""Logging, using and linking artifacts."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

from server.wandb.artifact_drafts import NOT_WAITING, ClientManifest, Note, Pending, token_of
from server.wandb.artifact_edits import change, checked_aliases, checked_tags
from server.wandb.artifact_objects import (
    ArtifactObject,
    MembershipObject,
    PendingArtifact,
    Place,
    entries_of,
    find_named,
    find_pending,
    find_version,
    get_version,
    read_artifact_id,
)
from server.wandb.artifact_references import stored_reference
from server.wandb.context import Context
from server.wandb.ids import make_id, read_id
from server.wandb.run_files import append
from server.wandb.table_copies import table_copies
from server.wandb.texts import read_json
from tracker.errors import ConflictError, NotFoundError, StoreError, UsageError
from tracker.ground.names import RunPath, check_artifact_name, check_collection_name, check_run_id
from tracker.ground.parsed_types import Count, RelativePath
from tracker.ground.read_models import ArtifactDetail, ArtifactInfo
from tracker.ground.records import ArtifactLinked, ArtifactLogged, ArtifactUsed, FileSaved, Record
from tracker.ground.values import to_plain
from tracker.store.blobs.drafts import Captured, DraftEntry
from tracker.store.blobs.finalize import read_finalized
from tracker.store.blobs.manifest import Entry, make_manifest
from tracker.store.ingest.contents import note_upload
from tracker.store.queries.artifacts import related_manifests
from tracker.store.queries.visible import Visible

# Versions that the run has logged or used, whose contents it need not send again.
_MOST_SOURCES = 10
_TYPES = ("FULL", "INCREMENTAL", "PATCH")


class _ClientEntry(msgspec.Struct):
    digest: str
    size: Count = 0
    ref: str | None = None
    extra: dict[str, Any] = {}


class _ClientContents(msgspec.Struct):
    contents: dict[RelativePath, _ClientEntry] = {}


_read_contents = msgspec.json.Decoder(_ClientContents).decode


def create_artifact(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Begin to log an artifact. A version with the same content only gets the aliases."""
    names = input.get("artifactCollectionNames") or [input.get("artifactCollectionName")]
    if len(names) != 1:
        raise UsageError("Log an artifact to one collection, and link it into the others.")
    run = input.get("runName")
    place = context.place(input.get("entityName"), input.get("projectName"), run or "-")
    context.require("writer", place)
    pending = _pending(context, place, names[0], input)
    collection: Place = (place[0], place[1], pending.name)
    distributed = str(input.get("distributedID") or "")
    token = token_of(pending.client_id, f"{'/'.join(collection)}/{distributed}" if distributed else "")
    before = context.drafts.find(token)
    if before is None and not distributed:
        known = _known(context, pending, token)
        if known is not None:
            return {"artifact": ArtifactObject(context, known)}
        same = find_named(context, collection, pending.digest)
        if same is not None and same.digest == pending.digest and same.source is None:
            return _repeat(context, pending, token, same)
    if before is not None and (before.entity, before.project, before.name) != collection:
        raise ConflictError("Another artifact has this client id.")
    context.drafts.begin(token, pending)
    context.drafts.write_note(token, Note(collection, pending.digest))
    found = PendingArtifact(context, pending, token)
    return {
        "artifact": {
            "__typename": "Artifact",
            "id": found.id,
            "state": found.state,
            "digest": found.digest,
            "artifactSequence": found.artifact_sequence,
        }
    }


def _pending(context: Context, place: RunPath, name: Any, given: dict[str, Any]) -> Pending:
    try:
        name = check_artifact_name(str(name or ""))
    except ValueError as error:
        raise UsageError(str(error)) from None
    metadata = read_json(given["metadata"]) if given.get("metadata") else {}
    if not isinstance(metadata, dict):
        raise UsageError("The metadata of an artifact is a JSON object.")
    seconds = given.get("ttlDurationSeconds")
    return Pending(
        place[0],
        place[1],
        name,
        str(given.get("artifactTypeName") or ""),
        str(given["runName"]) if given.get("runName") else None,
        context.client,
        str(given.get("clientID") or ""),
        str(given.get("digest") or ""),
        checked_aliases(given.get("aliases")),
        checked_tags(given.get("tags")),
        given.get("description") or None,
        to_plain(metadata),
        float(seconds) if seconds is not None and seconds > 0 else None,
    )


def _known(context: Context, pending: Pending, token: str) -> ArtifactDetail | None:
    """Return the version that an artifact became when the client sent it before, as a second sync does.

    The client's id tells it, for a day. After that, a run that has ended does not log its content once more.
    """
    place = (pending.entity, pending.project, pending.name)
    note = context.drafts.read_note(token)
    if note is not None and note.place == place:
        return find_named(context, place, note.digest)
    if pending.run is None or not context.is_core:
        return None
    same = find_named(context, place, pending.digest)
    if same is None or same.logged_by != pending.run:
        return None
    with context.segments.using((pending.entity, pending.project, pending.run), pending.client) as segment:
        return None if segment is not None and segment.is_usable else same


def _repeat(context: Context, pending: Pending, token: str, same: ArtifactDetail) -> dict[str, Any]:
    """Record that a run has logged the content of a version again."""
    content = {name: getattr(same, name) for name in ("digest", "manifest", "size", "file_count")}
    record = msgspec.structs.replace(_record(pending), **content)
    if pending.run is not None:
        _append(context, pending, record, *_copies(context, pending, same))
    elif aliases := [alias for alias in pending.aliases if alias != "latest"]:
        change(context, same, aliases_added=aliases)
    context.drafts.write_note(token, Note((same.entity, same.project, same.name), same.digest))
    found = find_named(context, (same.entity, same.project, same.name), same.digest)
    return {"artifact": ArtifactObject(context, found or same)}


def _record(pending: Pending, token: str | None = None) -> ArtifactLogged:
    return ArtifactLogged(
        pending.name,
        pending.artifact_type,
        "",
        "",
        0,
        0,
        pending.aliases,
        pending.client_id,
        time.time(),
        pending.description,
        pending.metadata,
        pending.tags,
        pending.ttl,
        token,
    )


def _waiting(context: Context, id: Any) -> tuple[str, Pending]:
    """Return the token of an artifact and what is known of it. The caller may write it.

    Raises:
        NotFoundError: It does not wait for its files, or the caller cannot read the project.
    """
    place, _, _ = read_artifact_id(id)
    context.require("writer", (place[0], place[1], ""))
    found = find_pending(context, id)
    if found is None:
        raise NotFoundError(NOT_WAITING)
    return found


def create_artifact_manifest(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Note a manifest that the client is going to send; return its address."""
    token, _ = _waiting(context, input.get("artifactID"))
    kind = str(input.get("type") or "FULL")
    if kind not in _TYPES:
        raise UsageError(f"The server does not know manifests of the type {kind!r:.80}.")
    run = check_run_id(str(input["runName"])) if input.get("runName") else None
    number = context.drafts.add_manifest(token, run, ClientManifest(kind, input.get("baseArtifactID")))
    return _manifest(context, token, number, input.get("digest"), input["artifactID"])


def update_artifact_manifest(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Return the address for a manifest."""
    artifact, number = read_id("ArtifactManifest", input.get("artifactManifestID"), 2)
    token, pending = _waiting(context, artifact)
    if not 0 <= int(number) < len(pending.manifests):
        raise NotFoundError("There is no such manifest.")
    return _manifest(context, token, int(number), input.get("digest"), artifact)


def _manifest(context: Context, token: str, number: int, digest: Any, artifact: str) -> dict[str, Any]:
    id = make_id("ArtifactManifest", artifact, number)
    address = context.address("artifact-upload", token=token, number=number, md5=str(digest or ""))
    return {
        "artifactManifest": {
            "__typename": "ArtifactManifest",
            "id": id,
            "file": {"__typename": "File", "id": id, "uploadUrl": address, "uploadHeaders": []},
        }
    }


def create_artifact_files(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Return for each file the address to which the client sends it, or none if the content is here."""
    asked = input.get("artifactFiles") or ()
    note_upload(context.store)
    edges = []
    known: dict[str, tuple[dict[str, Captured], Callable[[str], Entry | None]]] = {}
    for each in asked:
        id = str(each.get("artifactID"))
        if id not in known:
            token, pending = _waiting(context, id)
            known[id] = context.drafts.received(token), _sources(context, pending)
        token = read_artifact_id(id)[1]
        received, find = known[id]
        md5 = str(each.get("md5") or each.get("digest"))
        node = {
            "__typename": "File",
            "id": make_id("ArtifactFile", id, str(each.get("name"))),
            "name": each.get("name"),
            "displayName": each.get("name"),
            "storagePath": each.get("name"),
            "uploadUrl": None,
            "uploadHeaders": [],
            "uploadMultipartUrls": None,  # one stream carries a file of any size
            "artifact": {"__typename": "Artifact", "id": id},
        }
        if md5 not in received and not _is_here(context, find(md5)):
            node["uploadUrl"] = context.address("artifact-upload", token=token, md5=md5)
        edges.append({"node": node})
    return {"files": {"edges": edges}}


def _is_here(context: Context, entry: Entry | None) -> bool:
    """Return whether the store has the content of an entry, and protect it until the commit."""
    return entry is not None and context.store.blobs.touch(entry.blob or "")


def _sources(context: Context, pending: Pending) -> Callable[[str], Entry | None]:
    """Return a function that finds a content that the client need not send, by MD5.

    An MD5 does not prove that the client has a content, so only versions that the caller can read count.
    """

    @cache
    def entries() -> dict[str, Entry]:
        place = (pending.entity, pending.project, pending.name)
        visible = Visible(context.caller.rights)
        with context.store.reading() as session:
            manifests = related_manifests(session, place, pending.run, visible, limit=_MOST_SOURCES)
        found: dict[str, Entry] = {}
        for manifest in manifests:
            for each in entries_of(context.store.blobs, manifest):
                if each.sha256:
                    found.setdefault(each.digest, each)
        return found

    return lambda md5: entries().get(md5)


def commit_artifact(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Make a version of an artifact whose files and manifest have arrived."""
    id = input.get("artifactID")
    place, token, _ = read_artifact_id(id)
    context.require("writer", (place[0], place[1], ""))
    if token:
        with context.drafts.committing(token):
            if context.drafts.find(token) is not None:
                _commit(context, id)
    found = find_version(context, id)
    if found is None:
        raise NotFoundError(NOT_WAITING)
    return {"artifact": ArtifactObject(context, found)}


def _commit(context: Context, id: Any) -> None:
    """Make a version of an artifact.

    Raises:
        StoreError: The store will do so later.
        UsageError: A content or the manifest is missing.
    """
    token, pending = _waiting(context, id)
    if pending.run is None:
        raise UsageError("The artifact names no run that has made it.")
    entries = _entries(context, token, pending)
    manifest = make_manifest(map(_listed, entries))
    context.drafts.finish(token, entries)
    place = (pending.entity, pending.project, pending.name)
    context.drafts.write_note(token, Note(place, manifest.digest))
    record = msgspec.structs.replace(
        _record(pending, token), size=manifest.size, file_count=len(manifest.entries)
    )
    _append(context, pending, record)
    context.drafts.forget(token)
    finalized = read_finalized(context.store.layout, token)
    if finalized is not None and finalized.problem is not None:
        raise UsageError(f"The artifact was not made: {finalized.problem}")
    found = find_version(context, id)
    if found is None:
        raise StoreError("The artifact is stored, and will become a version later.")
    if copies := _copies(context, pending, found):
        _append(context, pending, *copies)


def _append(context: Context, pending: Pending, *records: Record) -> None:
    append(context.segments, _run_of(pending), pending.client, *records)


def _copies(context: Context, pending: Pending, version: ArtifactDetail) -> list[FileSaved]:
    run, kind = _run_of(pending), pending.artifact_type
    return table_copies(context.store, run, kind, pending.client_id, version.manifest)


def _run_of(pending: Pending) -> RunPath:
    assert pending.run is not None
    return pending.entity, pending.project, pending.run


def _listed(entry: DraftEntry) -> Entry:
    """Return an entry with what the digest of the artifact needs."""
    if entry.captured is not None:
        return Entry(entry.path, entry.captured.md5, entry.size)
    assert entry.stored is not None
    return entry.stored


def _entries(context: Context, token: str, pending: Pending) -> list[DraftEntry]:
    """Return the files of an artifact: what its manifests name, with the contents that are here."""
    received, find = context.drafts.received(token), _sources(context, pending)
    found: dict[str, DraftEntry] = {}
    for number, manifest in enumerate(pending.manifests):
        if manifest.type == "INCREMENTAL":
            found |= _base(context, pending, manifest)
        try:
            listed = _read_contents(context.drafts.manifest_path(token, number).read_bytes())
        except FileNotFoundError:
            if manifest.type == "PATCH":
                continue  # a process has ended before it has sent its part
            raise UsageError("The manifest of the artifact has not arrived.") from None
        except msgspec.DecodeError as error:
            raise UsageError(f"The manifest of the artifact is not valid: {error}") from None
        for path, entry in listed.contents.items():
            if entry.ref is not None:
                stored = stored_reference(
                    context, Entry(path, entry.digest, entry.size, ref=entry.ref, extra=entry.extra)
                )
            elif (taken := received.get(entry.digest)) is not None:
                found[path] = DraftEntry(path, captured=taken, extra=entry.extra)
                continue
            else:
                source = find(entry.digest)
                if source is None:
                    raise UsageError(f"The content of {path} has not arrived.")
                stored = msgspec.structs.replace(source, path=path, extra=entry.extra)
            found[path] = DraftEntry(path, stored=stored)
    if not pending.manifests:
        raise UsageError("The manifest of the artifact has not arrived.")
    return [*found.values()]


def _base(context: Context, pending: Pending, manifest: ClientManifest) -> dict[str, DraftEntry]:
    """Return the files of the version to which an incremental artifact adds."""
    place = (pending.entity, pending.project, pending.name)
    base = find_version(context, manifest.base) if manifest.base else None
    base = base or find_named(context, place, "latest")
    if base is None:
        return {}
    return {
        each.path: DraftEntry(each.path, stored=each)
        for each in entries_of(context.store.blobs, base.manifest)
    }


def use_artifact(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Record that a run uses a version."""
    run = context.place(input.get("entityName"), input.get("projectName"), input.get("runName"))
    context.require("writer", run)
    found = get_version(context, input.get("artifactID"))
    number = int(found.version[1:])
    used = ArtifactUsed(found.entity, found.project, found.name, number, time.time(), found.digest)
    append(context.segments, run, context.client, used)
    return {"artifact": ArtifactObject(context, found)}


def link_artifact(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Link a version into another collection."""
    id = input.get("artifactID")
    if not id and input.get("clientID"):
        token = token_of(str(input["clientID"]))
        note = context.drafts.read_note(token)
        id = make_id("Artifact", *note.place, token + note.digest) if note is not None else None
    if not id:
        raise NotFoundError("There is no such artifact version.")
    version = get_version(context, id)
    if input.get("artifactPortfolioID"):
        entity, project, name = read_id("ArtifactCollection", input["artifactPortfolioID"], 3)
    else:
        entity, project, _ = context.place(
            input.get("entityName") or version.entity, input.get("projectName") or version.project, "-"
        )
        name = str(input.get("artifactPortfolioName") or "")
    context.require("writer", (entity, project, ""))
    try:
        check_collection_name(name)
    except ValueError as error:
        raise UsageError(str(error)) from None
    aliases = checked_aliases(input.get("aliases"))
    context.reader.link(
        ArtifactLinked(
            version.entity,
            version.project,
            version.name,
            int(version.version[1:]),
            version.digest,
            entity,
            project,
            name,
            aliases,
            time.time(),
        )
    )
    linked = _link_in(context, version, (entity, project, name))
    return {"versionIndex": int(linked.version[1:]), "artifactMembership": MembershipObject(context, linked)}


def _link_in(context: Context, version: ArtifactDetail, place: Place) -> ArtifactInfo:
    named = version.source or f"{version.entity}/{version.project}/{version.name}:{version.version}"
    for each in context.reader.artifacts(place[0], place[1], None, place[2]):
        if each.source == named:
            return each
    return version  # the source of a link is hidden from this caller


def complete_multipart_upload_artifact(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Refuse: this server never asks for a file in parts."""
    raise UsageError("This server takes each file in one piece.")
