"""A server that keeps what ``wandb sync`` sends. Its answers have only the fields that clients require."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Received:
    """The operations, lines and files that a client has sent.

    Attributes:
        url: The address of the server.
        operations: Name and variables of each operation, in their order.
        lines: The lines of each streamed file.
        uploads: The content of each uploaded file by its name.
        ended: The exit code that the client reported.
    """

    def __init__(self) -> None:
        self.url = ""
        self.operations: list[tuple[str, dict[str, Any]]] = []
        self.lines: dict[str, dict[int, str]] = {}
        self.uploads: dict[str, bytes] = {}
        self.ended: int | None = None

    def inputs(self, operation: str) -> list[dict[str, Any]]:
        """Return the variables of all calls of an operation."""
        return [given.get("input", given) for name, given in self.operations if name == operation]

    def answer(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        """Return the data of an operation's answer."""
        given = given.get("input", given)
        upload = f"{self.url}/upload/"
        if name == "UpsertBucket":
            project = {"id": "1", "name": "p", "entity": {"id": "1", "name": "someone"}}
            return {
                "upsertBucket": {"bucket": {"id": "1", "name": "x", "project": project}, "inserted": True}
            }
        if name == "CreateRunFiles":
            files = [{"name": each, "uploadUrl": upload + each} for each in given["files"]]
            return {"createRunFiles": {"runID": "1", "uploadHeaders": [], "files": files}}
        if name == "CreateArtifact":
            artifact = {
                "id": "QTox",
                "state": "PENDING",
                "artifactSequence": {"id": "1", "latestArtifact": None},
            }
            return {"createArtifact": {"artifact": artifact}}
        if name == "CreateArtifactManifest":
            place = {"id": "1", "uploadUrl": f"{upload}manifest", "uploadHeaders": []}
            return {"createArtifactManifest": {"artifactManifest": {"id": "1", "file": place}}}
        if name == "CreateArtifactFiles":
            nodes = [
                {"storagePath": each["name"], "uploadUrl": upload + each["name"], "uploadHeaders": [],
                 "uploadMultipartUrls": None, "artifact": {"id": "QTox"}}
                for each in given["artifactFiles"]
            ]  # fmt: skip
            return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}
        if name == "CommitArtifact":
            return {"commitArtifact": {"artifact": {"id": "QTox", "digest": "x"}}}
        if name == "NotifyScriptableRunAlert":
            return {"notifyScriptableRunAlert": {"success": True}}
        if name == "Viewer":
            viewer = {
                "id": "1",
                "entity": "someone",
                "username": "someone",
                "flags": "{}",
                "teams": {"edges": []},
            }
            return {"viewer": viewer}
        return {"serverInfo": None, "entity": {"organization": None}}

    def stream(self, body: dict[str, Any]) -> None:
        """Keep the lines of a request to ``file_stream``."""
        for name, chunk in (body.get("files") or {}).items():
            lines = self.lines.setdefault(name, {})
            lines.update(enumerate(chunk["content"], chunk["offset"]))
        if body.get("complete"):
            self.ended = body.get("exitcode")


@contextmanager
def receiving() -> Iterator[Received]:
    """Yield a server on the loopback interface."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

        def do_POST(self) -> None:
            body = json.loads(self._body() or b"{}")
            if self.path == "/graphql":
                name = body["operationName"]
                received.operations.append((name, body.get("variables") or {}))
                self._answer({"data": received.answer(name, body.get("variables") or {})})
            elif self.path.endswith("/file_stream"):
                received.stream(body)
                self._answer({})
            else:
                self._answer({}, 404)

        def do_PUT(self) -> None:
            received.uploads[self.path.removeprefix("/upload/")] = self._body()
            self._answer({})

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _answer(self, value: Any, status: int = 200) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Print nothing: the client resets connections at its end."""

    server = Server(("127.0.0.1", 0), Handler)
    received.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
