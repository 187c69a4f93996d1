"""The addresses of the protocol, outside of the REST API: GraphQL, streams of runs, uploads and downloads."""

from __future__ import annotations

import logging
from collections.abc import Callable
from traceback import extract_tb
from typing import Any

from fastapi import FastAPI, Request
from msgspec import MsgspecError
from sqlalchemy.exc import StatementError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response, StreamingResponse

from server.accounts.callers import Accounts, Caller, actor_of
from server.compressed import unpack_gzip
from server.downloads import send_blob
from server.links import ROOT
from server.rights import READS_ONLY, refusal
from server.routing import new_router
from server.wandb import artifact_transfers, file_stream, run_files
from server.wandb.addresses import Addresses
from server.wandb.artifact_drafts import ArtifactDrafts
from server.wandb.context import Context
from server.wandb.executor import Executor
from server.wandb.operations import make_executor
from server.wandb.run_object import generated_content
from server.wandb.segments import Segments
from server.wandb.texts import read_json
from tracker.errors import (
    AuthenticationError,
    ConflictError,
    Error,
    ForbiddenError,
    NotFoundError,
    StoreError,
    UsageError,
)
from tracker.ground.values import without_surrogates
from tracker.reading.local import LocalReader
from tracker.store.ingest.contents import note_upload
from tracker.store.queries.visible import Visible
from tracker.store.store import Store

router = new_router(include_in_schema=False)

# The largest body of a post, also unpacked. The client sends at most 10 MiB.
LARGEST_BODY = 64 * 1024 * 1024
_WRONG_KEY = "Invalid API key. Run `wandb login --relogin`, or ask an administrator of the server for a key."
# Errors that a request can cause. A value of an unexpected form causes an error of Python or of a library.
FAULTS = (
    *(Error, OSError, ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError),
    *(TypeError, ValueError, MsgspecError, StatementError),
)
_log = logging.getLogger(__name__)


class Door:
    """The objects that the routes of the protocol share.

    Args:
        store: The store.

    Attributes:
        executor: Runs the operations.
        segments: The segments of the clients.
        drafts: The artifacts that clients are sending.
        addresses: Makes signed addresses.
    """

    def __init__(self, store: Store) -> None:
        self.executor: Executor = make_executor()
        self.segments = Segments(store)
        self.drafts = ArtifactDrafts(store.layout)
        self.addresses = Addresses(store)


@router.post("/graphql")
async def post_graphql(request: Request) -> Response:
    """Run an operation of GraphQL."""

    def answer(context: Context, body: bytes) -> Response:
        try:
            asked = read_json(body)
        except UsageError:
            asked = None
        text = asked.get("query") if isinstance(asked, dict) else None
        if not isinstance(asked, dict) or not isinstance(text, str):
            return _errors(400, "The body is not a GraphQL request.")
        door: Door = request.app.state.wandb
        if door.executor.changes(text):
            _check_writer(request, context.caller)
        variables = asked.get("variables") or {}
        if not isinstance(variables, dict):
            return _errors(400, "The variables are not an object.")
        return JSONResponse({"data": door.executor.run(text, variables, context, asked.get("operationName"))})

    return await _answer_body(request, answer)


@router.post("/files/{entity}/{project}/{run}/file_stream")
async def post_file_stream(request: Request, entity: str, project: str, run: str) -> Response:
    """Record the lines that a client has logged.

    \f
    Args:
        request: The request.
        entity: Entity of the run.
        project: Project of the run.
        run: Id of the run.
    """

    def answer(context: Context, body: bytes) -> Response:
        _check_writer(request, context.caller)
        return JSONResponse(file_stream.receive(context, context.place(entity, project, run), body))

    return await _answer_body(request, answer)


@router.put("/wandb/upload/{token}")
async def put_run_file(request: Request, token: str) -> Response:
    """Store a file of a run, at an address that the server has signed."""
    door: Door = request.app.state.wandb
    store: Store = request.app.state.store
    try:
        target = await run_in_threadpool(door.addresses.read, "upload", token)
        request.app.state.check_writable()
        await run_in_threadpool(note_upload, store)
        with await run_in_threadpool(store.blobs.open_new) as new:
            async for chunk in request.stream():
                await run_in_threadpool(new.write, chunk)
            blob = await run_in_threadpool(new.keep)
        await run_in_threadpool(store.blobs.sync, blob.sha256)
        place, client, path = tuple(target["place"]), target["client"], target["path"]
        await run_in_threadpool(run_files.save, door.segments, place, client, path, blob.sha256, blob.size)
    except FAULTS as error:
        return _refused(request, error)
    return Response(status_code=200)


@router.get("/wandb/file/{token}")
async def get_run_file(request: Request, token: str) -> Response:
    """Send a file of a run, at an address that the server has signed. A browser saves it and runs nothing."""
    door: Door = request.app.state.wandb
    store: Store = request.app.state.store

    def answer() -> Response:
        target = door.addresses.read("file", token)
        return send_blob(
            store, target["sha256"], target["name"], None, asked=request.headers, attachment=True
        )

    return await _answer(request, answer)


@router.get("/wandb/generated/{token}")
def get_generated_file(request: Request, token: str) -> Response:
    """Send a file that is generated from the records of a run, at an address that the server has signed."""
    door: Door = request.app.state.wandb
    try:
        target = door.addresses.read("generated", token)
        reader = LocalReader(request.app.state.store, follows=False)
        run = reader.run(*target["place"])
    except FAULTS as error:
        return _refused(request, error)
    return StreamingResponse(
        generated_content(reader, run, target["name"]),
        media_type="text/plain",
        headers={"X-Content-Type-Options": "nosniff"},
    )


@router.put("/wandb/artifact-upload/{token}")
async def put_artifact_content(request: Request, token: str) -> Response:
    """Store a content or a manifest of an artifact, at an address that the server has signed."""
    door: Door = request.app.state.wandb
    try:
        target = await run_in_threadpool(door.addresses.read, "artifact-upload", token)
        request.app.state.check_writable()
        await artifact_transfers.receive(request, door.drafts, target)
    except FAULTS as error:
        return _refused(request, error)
    return Response(status_code=200)


# Programs look for the names `wandb_artifacts` and `wandb_manifest.json`, which W&B's addresses have.
@router.get("/wandb/wandb_artifacts/{token}")
async def get_artifact_file(request: Request, token: str) -> Response:
    """Send a file of an artifact, at an address that the server has signed."""
    door: Door = request.app.state.wandb
    store: Store = request.app.state.store
    return await _answer(
        request,
        lambda: artifact_transfers.send_file(request, store, door.addresses.read("wandb_artifacts", token)),
    )


@router.get("/wandb/wandb_manifest.json/{token}")
async def get_artifact_manifest(request: Request, token: str) -> Response:
    """Send the manifest of an artifact, at an address that the server has signed."""
    door: Door = request.app.state.wandb
    store: Store = request.app.state.store
    return await _answer(
        request,
        lambda: artifact_transfers.send_manifest(store, door.addresses.read("wandb_manifest.json", token)),
    )


@router.get("/artifactsV2/{region}/{entity}/{project}/{collection}/{rest:path}")
async def get_artifact_entry(
    request: Request, region: str, entity: str, project: str, collection: str, rest: str
) -> Response:
    """Send a file of an artifact that its MD5 names.

    Args:
        request: The request.
        region: Not used: there is one.
        entity: Entity of the collection.
        project: Project of the collection.
        collection: The collection.
        rest: See ``artifact_transfers.send_by_digest``.
    """
    place = (entity, project, collection)
    return await _answer(
        request, lambda: artifact_transfers.send_by_digest(_context(request), request, place, rest)
    )


@router.post("/sdk/otel/v1/{kind}")
async def post_telemetry(kind: str) -> Response:
    """Refuse telemetry: the client then sends none."""
    return _errors(404, "This server takes no telemetry.")


async def _body(request: Request) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > LARGEST_BODY:
            raise UsageError(f"The request is larger than {LARGEST_BODY} bytes.")
    packed = request.headers.get("content-encoding") == "gzip"
    return unpack_gzip(data, LARGEST_BODY) if packed else bytes(data)


def _context(request: Request) -> Context:
    """Return the context of a request.

    Raises:
        AuthenticationError: The caller is unknown.
    """
    accounts: Accounts = request.app.state.accounts
    caller = accounts.find(request)
    if caller is None:
        given = "authorization" in request.headers
        raise AuthenticationError(_WRONG_KEY if given else refusal(request))
    door: Door = request.app.state.wandb
    store: Store = request.app.state.store
    headers = request.headers
    return Context(
        store=store,
        reader=LocalReader(store, follows=False, visible=Visible(caller.rights)),
        caller=caller,
        segments=door.segments,
        drafts=door.drafts,
        addresses=door.addresses,
        base=f"{request.url.scheme}://{headers.get('host', '')}{ROOT.get()}",
        client=_client_of(headers),
        known=request.app.state.known_projects,
        is_core="wandb-core" in headers.get("user-agent", ""),
        actor=actor_of(caller, request),
    )


def _client_of(headers: Headers) -> str:
    """Return the id of the client in shared mode; else empty. Posts and operations name it differently."""
    if headers.get("x-wandb-use-async-filestream") != "true":
        return ""
    return headers.get("x-wandb-async-client-id") or headers.get("x-wandb-client-id") or ""


def _check_writer(request: Request, caller: Caller) -> None:
    if caller.rights.scope == "read":
        raise ForbiddenError(READS_ONLY)
    # A server that needs no key also answers pages of other sites, which can send a text without asking.
    if caller.from_browser or "origin" in request.headers:
        raise AuthenticationError("A page in a browser cannot use this. Send an API key from a program.")
    request.app.state.check_writable()


async def _answer_body(request: Request, function: Callable[[Context, bytes], Response]) -> Response:
    """Answer a request with a body. It is read only if the caller is known."""
    try:
        context = await run_in_threadpool(_context, request)
        body = await _body(request)
    except Error as error:
        return _refused(request, error)
    return await _answer(request, lambda: function(context, body))


async def _answer(request: Request, function: Any) -> Response:
    try:
        found: Response = await run_in_threadpool(function)
        return found
    except FAULTS as error:
        return _refused(request, error)


def _refused(request: Request, error: Exception) -> Response:
    """Return the answer to a request that has caused an error."""
    if isinstance(error, Error):
        if isinstance(error, StoreError):
            _log.warning("%s %s: %s", request.method, request.url.path, error.message)
        return _errors(_status(request, error), error.message)
    if isinstance(error, OSError):
        _log.warning("%s %s: %s", request.method, request.url.path, error)
        return _errors(503, error.strerror or str(error))
    # A value has another form than that of the tested clients. A 5xx would make the client try for days.
    # The log names the place, and no whole traceback: a client can send such requests without an end.
    at = extract_tb(error.__traceback__)[-1]
    _log.warning("%s %s: %r at %s:%s", request.method, request.url.path, error, at.filename, at.lineno)
    status = 200 if request.url.path.endswith("/graphql") else 400
    return _errors(status, f"A value in this request is of an unknown form: {error!r:.200}")


def _status(request: Request, error: Error) -> int:
    # The client retries 5xx and gives up on most 4xx. In GraphQL, an error in a 200 is an answer.
    if isinstance(error, ForbiddenError):
        return 403
    if isinstance(error, AuthenticationError):
        return 401
    if isinstance(error, StoreError):
        return 503
    if request.url.path.endswith("/graphql"):
        return 200
    if isinstance(error, NotFoundError):
        return 404
    return 409 if isinstance(error, ConflictError) else 400


def _errors(status: int, message: str) -> Response:
    answer = {"errors": [{"message": without_surrogates(message)}], "data": None}
    return JSONResponse(answer, status_code=status)


def add_wandb(app: FastAPI, store: Store) -> None:
    """Add the protocol to an application."""
    app.state.wandb = Door(store)
    app.router.routes.extend(router.routes)
