"""A server for the wandb client that does nothing: it repeats the answers that another server has given.

The client is first run against the other server through this one, which keeps all answers. Then it is run
again: an answer is the one to the same request, or else the next one to the same operation. The sink discards
uploads and posts of streams. So it costs the client nothing but the connection.
"""

from __future__ import annotations

import gzip
import http.client
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

_OPERATION = re.compile(r"(?:query|mutation)\s+(\w+)")
_STREAM = re.compile(r"/files/[^/]+/[^/]+/([^/]+)/file_stream")
_PIECE = 2**20
# Headers that are about one connection.
_HOPS = ("connection", "content-length", "transfer-encoding", "date", "server")


class Answer(NamedTuple):
    """An answer that the other server has given."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Sink(ThreadingHTTPServer):
    """The server.

    Args:
        port: Port of the other server on this host.
        on_post: Is called with the id of the run, the body and the time of each post of a stream.

    Attributes:
        url: Its address.
        repeats: Whether it repeats answers; else it forwards requests, and keeps the answers.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, on_post: Callable[[str, Any, float], None] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.port = port
        self.on_post = on_post
        self.repeats = False
        self._same: dict[tuple[str, str, bytes], Answer] = {}
        self._alike: dict[str, list[Answer]] = {}
        self._given: dict[str, int] = {}
        self._lock = threading.Lock()

    def repeat(self) -> None:
        """Repeat the answers from now on, from the first one."""
        self.repeats = True
        self._given.clear()

    def keep(self, method: str, path: str, body: bytes, answer: Answer) -> None:
        """Keep an answer of the other server."""
        with self._lock:
            self._same[method, path, body if path == "/graphql" else b""] = answer
            self._alike.setdefault(_kind(method, path, body), []).append(answer)

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Return the answer to a request that is repeated."""
        kind = _kind(method, path, body)
        if kind == "CreateRunFiles":  # the client groups the files differently each time
            return self._addresses(json.loads(body)["variables"])
        with self._lock:
            alike = self._alike.get(kind, [])
            same = self._same.get((method, path, body))
            at = self._given[kind] = self._given.get(kind, -1) + 1
        return same or (alike[min(at, len(alike) - 1)] if alike else Answer(404, [], b""))

    def _addresses(self, asked: dict[str, Any]) -> Answer:
        files = [{"name": name, "uploadUrl": f"{self.url}/discard"} for name in asked["files"]]
        found = {"runID": asked["run"], "uploadHeaders": [], "files": files}
        body = json.dumps({"data": {"createRunFiles": found}}).encode()
        return Answer(200, [("content-type", "application/json")], body)


def _kind(method: str, path: str, body: bytes) -> str:
    if path == "/graphql":
        found = _OPERATION.search(json.loads(body)["query"])
        return found[1] if found else ""
    return f"{method} {'stream' if _STREAM.fullmatch(path) else 'other'}"


class _Handler(BaseHTTPRequestHandler):
    server: Sink
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 2**16

    def _handle(self) -> None:
        is_upload = self.command == "PUT"
        sink = self.server
        body = self._body(discards=is_upload and sink.repeats)
        if sink.repeats:
            found = Answer(200, [], b"") if is_upload else sink.answer(self.command, self.path, body)
        else:
            found = self._forward(body)
            if not is_upload:
                sink.keep(self.command, self.path, body, found)
        self.send_response(found.status)
        for name, value in found.headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(found.body)))
        self.end_headers()
        self.wfile.write(found.body)

    do_GET = do_POST = do_PUT = _handle

    def _body(self, *, discards: bool) -> bytes:
        content = bytearray()
        for piece in self._pieces():
            if not discards:
                content += piece
        return bytes(content)

    def _pieces(self) -> Iterator[bytes]:
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        left = int(self.headers.get("content-length") or 0)
        while left and (piece := self.rfile.read(min(left, _PIECE))):
            left -= len(piece)
            yield piece

    def _forward(self, body: bytes) -> Answer:
        received_at = time.time()
        stream = _STREAM.fullmatch(self.path)
        if stream and self.server.on_post:
            is_packed = self.headers.get("content-encoding") == "gzip"
            post = json.loads(gzip.decompress(body) if is_packed else body)
            self.server.on_post(stream[1], post, received_at)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOPS}
        other = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=600)
        other.request(self.command, self.path, body if self.command != "GET" else None, headers)
        with other.getresponse() as answer:
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOPS]
            found = Answer(answer.status, kept, answer.read())
        other.close()
        return found

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


@contextmanager
def sinking(port: int, on_post: Callable[[str, Any, float], None] | None = None) -> Iterator[Sink]:
    """Run a sink during the block. See ``Sink``."""
    with Sink(port, on_post) as sink:
        thread = threading.Thread(target=sink.serve_forever)
        thread.start()
        try:
            yield sink
        finally:
            sink.shutdown()
            thread.join()
