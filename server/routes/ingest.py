"""Routes that receive runs from other machines: journal bytes at an offset, blobs by digest."""

from __future__ import annotations

import msgspec
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from server.answers import (
    BlobPlaces,
    Done,
    JournalState,
    KnownSegments,
    MissingBlobs,
    SegmentEnd,
    StoredBlob,
)
from server.bodies import BlobNames, Draft, SegmentEnded, SegmentNames
from server.compressed import unpack_gzip
from server.dependencies import StoreDep
from server.ingest import (
    ENCODINGS,
    Ingest,
    check_sha256,
    known_segments,
)
from server.openapi import binary_body
from server.responses import ExactJSON, error_answer
from server.rights import CallerDep, Sender
from server.routing import api_router
from tracker.errors import UsageError
from tracker.journal.format import MAX_PAYLOAD
from tracker.recorder.outgoing_journal import Received
from tracker.runstate.fold import Gone
from tracker.store.blobs.finalize import FinalizedDraft
from tracker.store.blobs.packs import known_places
from tracker.store.ingest.contents import missing_contents, note_upload

router = api_router(prefix="/ingest", tags=["ingest"], dependencies=[Sender])

# Largest body in bytes: a batch of a sender, or one record of the largest size.
LARGEST_BODY = MAX_PAYLOAD + 8 * 1024 * 1024
BINARY = "application/octet-stream"


@router.get("/journals/{name}", response_model=JournalState)
def get_journal(request: Request, caller: CallerDep, name: str) -> Response:
    """Return the number of received bytes of a journal, and their SHA-256.

    \f
    See ``Ingest.received``.
    """
    return _answer(_ingest(request).received(name, caller))


@router.post("/journals/{name}", response_model=JournalState, openapi_extra=binary_body())
async def append_journal(
    request: Request, caller: CallerDep, name: str, offset: int, digest: str
) -> Response:
    """Append whole frames to a journal of ``offset`` bytes, if the received bytes have SHA-256 ``digest``.

    The body may have the content encoding gzip.

    \f
    See ``Ingest.append``.
    """
    _check_binary(request)
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > LARGEST_BODY:
            return error_answer(413, "too_large", f"Request larger than {LARGEST_BODY} bytes.")
    encoding = request.headers.get("content-encoding", "")
    if encoding not in ("", *ENCODINGS):
        return error_answer(415, "unsupported", f"Content encoding {encoding}: send gzip, or none.")

    def append() -> Received:
        content = unpack_gzip(data, LARGEST_BODY) if encoding else bytes(data)
        return _ingest(request).append(name, offset, digest, content, caller)

    return _answer(await run_in_threadpool(append))


@router.post("/segments/{segment}/end", response_model=SegmentEnd)
def end_segment(request: Request, caller: CallerDep, segment: str, body: SegmentEnded) -> Response:
    """Record that a segment's writer died. The sender has already sent the whole segment.

    \f
    See ``Ingest.end``.
    """
    # Older trackers send no reason.
    gone = msgspec.convert(body.given(), Gone) if body.reason is not None else None
    _ingest(request).end(segment, gone, caller)
    return ExactJSON(SegmentEnd("crashed"))


@router.post("/segments/known", response_model=KnownSegments)
def list_known_segments(store: StoreDep, caller: CallerDep, body: SegmentNames) -> Response:
    """Return which segments are complete here (``"stored"``), and which belong to a deleted run.

    \f
    See ``known_segments``.
    """
    return ExactJSON({"known": known_segments(store, body.segments, caller.rights)})


@router.post("/blobs/missing", response_model=MissingBlobs)
def list_missing_blobs(request: Request, store: StoreDep, caller: CallerDep, body: BlobNames) -> Response:
    """Return the names of those blobs that are not here, or that the caller has not proven to have.

    \f
    See ``ContentProofs.find``.
    """
    names = [check_sha256(name) for name in body.sha256]
    if caller.rights.sees_all:
        return ExactJSON(MissingBlobs(missing_contents(store, names)))
    proofs = _ingest(request).proofs
    places = proofs.note_versions(caller, names, body.versions)
    proven = proofs.find(caller, names) | {pack for pack, _ in places.values() if pack}
    absent = {*missing_contents(store, [name for name in names if name in proven])}
    return ExactJSON(MissingBlobs([name for name in names if name not in proven or name in absent]))


@router.post("/blobs/places", response_model=BlobPlaces)
def list_blob_places(request: Request, store: StoreDep, caller: CallerDep, body: BlobNames) -> Response:
    """Return the places of small contents that are here: the pack (null for a blob), and the offset.

    A caller without all rights gets only places in packs that it has proven to have.

    \f
    See ``ContentProofs.find_places``.
    """
    names = [check_sha256(name) for name in body.sha256]
    note_upload(store)
    if caller.rights.sees_all:
        with store.reading() as session:
            known = known_places(session, names)
    else:
        proofs = _ingest(request).proofs
        of_versions = proofs.note_versions(caller, names, body.versions)
        known = {name: of_versions[name] for name in names if name in of_versions}
        known |= proofs.find_places(caller, names)
    return ExactJSON(
        BlobPlaces({name: place for name, place in known.items() if store.blobs.touch(place[0] or name)})
    )


@router.post("/drafts/{token}", response_model=Done)
def record_draft(request: Request, caller: CallerDep, token: str, body: Draft) -> Response:
    """Record the manifest of an artifact that the sender logs next.

    \f
    See ``Ingest.record_draft``.
    """
    _ingest(request).record_draft(token, msgspec.convert(body.given(), FinalizedDraft), caller)
    return ExactJSON(Done())


@router.put("/blobs/{sha256}", status_code=201, response_model=StoredBlob, openapi_extra=binary_body())
async def put_blob(request: Request, store: StoreDep, caller: CallerDep, sha256: str) -> Response:
    """Store a blob. Its content must have the SHA-256 in the address. The answer is the same if it is here.

    \f
    Args:
        request: The request with the content as its body.
        store: The store of this server.
        caller: The sender, which has proven to have the content.
        sha256: SHA-256 of the content, in hex.
    """
    _check_binary(request)
    check_sha256(sha256)
    await run_in_threadpool(note_upload, store)
    with await run_in_threadpool(store.blobs.open_new) as new:
        async for chunk in request.stream():
            await run_in_threadpool(new.write, chunk)
        blob = await run_in_threadpool(new.keep, sha256)
    await run_in_threadpool(store.blobs.sync, sha256)
    if not caller.rights.sees_all:
        await run_in_threadpool(_ingest(request).proofs.note, caller, [sha256])
    return ExactJSON(StoredBlob(blob.sha256, blob.size), status_code=201)


def _check_binary(request: Request) -> None:
    # A form on a page of another site cannot send this type without a preflight request.
    if request.headers.get("content-type") != BINARY:
        raise UsageError(f"Invalid content type. Send the bytes as {BINARY}.")


def _ingest(request: Request) -> Ingest:
    found: Ingest = request.app.state.ingest
    return found


def _answer(received: Received) -> ExactJSON:
    return ExactJSON(received)
