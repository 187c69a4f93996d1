"""The addresses of the contents and manifests of artifacts: uploads and downloads."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from server.downloads import send_blob, send_packed_file
from server.wandb.artifact_drafts import PIECE, ArtifactDrafts, Receiving
from server.wandb.artifact_objects import entries_of, get_version
from server.wandb.artifact_references import SCHEME, client_reference
from server.wandb.context import Context
from tracker.errors import NotFoundError, UsageError
from tracker.store.blobs.manifest import Entry
from tracker.store.objects.digests import to_base64
from tracker.store.store import Store

_MD5 = re.compile(r"[0-9a-f]{32}")


async def receive(request: Request, drafts: ArtifactDrafts, target: dict[str, Any]) -> None:
    """Take a content or a manifest that a client sends.

    Args:
        request: The request with the content as its body.
        drafts: The artifacts that clients are sending.
        target: The values of the address: the token of the artifact, the MD5, and the number of a manifest.

    Raises:
        NotFoundError: The artifact was committed or removed.
        UsageError: The content has another MD5.
    """
    await run_in_threadpool(drafts.get, target["token"])
    with drafts.receive(target["token"]) as content:
        waiting = bytearray()
        writing = forcing = asyncio.create_task(asyncio.sleep(0))
        try:
            async for chunk in request.stream():
                waiting += chunk
                if len(waiting) >= PIECE:
                    # The next piece arrives while a thread hashes and writes this one.
                    await writing
                    writing = asyncio.create_task(run_in_threadpool(content.write, bytes(waiting)))
                    waiting.clear()
                    if forcing.done():  # the disk writes meanwhile, so that the commit waits for little
                        forcing = asyncio.create_task(run_in_threadpool(content.force))
        finally:
            await asyncio.wait([writing, forcing])
        writing.result()
        await run_in_threadpool(_keep, drafts, content, bytes(waiting), target)


def _keep(drafts: ArtifactDrafts, content: Receiving, rest: bytes, target: dict[str, Any]) -> None:
    content.write(rest)
    if "number" in target:
        content.replace(drafts.manifest_path(target["token"], target["number"]), target["md5"])
    else:
        content.keep(target["md5"])


def send_file(request: Request, store: Store, target: dict[str, Any]) -> Response:
    """Return an answer with the content of a file of a version. Byte ranges are supported.

    Args:
        request: The request.
        store: The store.
        target: The values of the address.
    """
    entry = Entry(target["path"], "", target["size"], target["sha256"], target["pack"], target["offset"])
    return send_entry(request, store, entry)


def send_entry(request: Request, store: Store, entry: Entry) -> Response:
    """Return an answer with the content of an entry.

    Args:
        request: The request.
        store: The store.
        entry: The entry.
    """
    if entry.pack is not None:
        try:
            return send_packed_file(store, entry, request.headers)
        except NotFoundError:
            pass  # the content has moved to another pack since the address was made
    return send_blob(store, entry.sha256, entry.path, None, asked=request.headers, attachment=True)


def send_manifest(store: Store, target: dict[str, Any]) -> Response:
    """Return the manifest of a version in the form of the client."""
    contents = {}
    for each in entries_of(store.blobs, target["manifest"]):
        entry: dict[str, Any] = {"digest": each.digest, "size": each.size}
        if each.ref is None:
            entry["birthArtifactID"] = target["id"]
        else:
            entry["ref"] = client_reference(each.ref) if each.ref.startswith(SCHEME) else each.ref
        if each.extra:
            entry["extra"] = each.extra
        contents[each.path] = entry
    return JSONResponse(
        {
            "version": 1,
            "storagePolicy": "wandb-storage-policy-v1",
            "storagePolicyConfig": {"storageLayout": "V2"},
            "contents": contents,
        }
    )


def send_by_digest(context: Context, request: Request, place: tuple[str, str, str], rest: str) -> Response:
    """Return an answer with a file of a collection.

    Args:
        context: The request of the protocol.
        request: The request.
        place: Entity, project and name of the collection.
        rest: The id of a version, the MD5 in hex, and the name of the file, which is not quoted.
    """
    context.require("viewer", (place[0], place[1], ""))
    parts = rest.split("/")
    at = next((number for number, part in enumerate(parts) if _MD5.fullmatch(part)), None)
    if at is None:
        raise UsageError("The address names no MD5.")
    md5 = to_base64(bytes.fromhex(parts[at]))
    versions = []
    for part in ("/".join(parts[:at]), *parts[:at]):
        try:
            versions.append(get_version(context, part))
        except (UsageError, NotFoundError):
            continue
    versions = [each for each in versions if (each.entity, each.project, each.name) == place]
    for each in (*versions, *context.reader.artifacts(place[0], place[1], None, place[2])):
        for entry in entries_of(context.store.blobs, each.manifest):
            if entry.sha256 and entry.digest == md5:
                return send_entry(request, context.store, entry)
    raise NotFoundError("No version of the collection has this file.")
