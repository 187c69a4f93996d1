"""HTTP client for a tracker server. It uses only the standard library: see docs/decisions/0074."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NoReturn
from urllib.parse import quote, urlencode, urlsplit

from tracker.errors import (
    AuthenticationError,
    CommError,
    ConflictError,
    EditConflictError,
    Error,
    ForbiddenError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from tracker.ground import values
from tracker.ground.proxies import find_proxy

TIMEOUT = 60.0
CHUNK = 1024 * 1024


def _nothing() -> None:
    pass


class _RangeError(CommError):
    """The requested range starts after the end of the content."""


_KINDS: dict[int, type[Error]] = {
    400: UsageError,
    401: AuthenticationError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    412: EditConflictError,
    416: _RangeError,
    422: UsageError,
}
# Code of the answer of a server that ends while it handles a request.
ENDING = "ending"
# A proxy answers with these if it cannot reach the server, or if it needs a password. A tracker server sends
# a message in JSON with each error; a proxy does not.
_PROXY_STATUSES = (407, 502, 503, 504)


class _NotifyingFile:
    """A file that calls a function before each read."""

    def __init__(self, file: IO[bytes], note: Callable[[], None]) -> None:
        self._file = file
        self._note = note

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        self._note()
        return self._file.read(size)

    def seek(self, offset: int) -> int:
        """Move to ``offset``, for a repeated request."""
        return self._file.seek(offset)


class Client:
    """Client of one server. It keeps one connection, so only one thread may use it at a time.

    Args:
        url: Base address, ``http://host:port``.
        key: API key, if the server needs one.
        timeout: Seconds to wait for a connection, and for each part of a response.
    """

    def __init__(self, url: str, key: str | None = None, timeout: float = TIMEOUT) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        self._prefix = parts.path + "/api/v1"
        self._fault: Error | None = None
        key = (key or "").strip()  # a key that was read from a file can end in a newline
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        if not (key.isascii() and key.isprintable()):
            self._fault = AuthenticationError(
                "Invalid API key: it contains a non-ASCII or control character. Check TRACKER_API_KEY."
            )
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        host, port, self._through = parts.hostname or "", parts.port, ""
        try:
            proxy = find_proxy(parts)
        except ValueError as error:
            proxy, self._fault = None, UnreachableError(f"cannot reach the tracker server: {error}")
        if proxy is None:
            self._connection = kind(host, port, timeout=timeout)
            return
        self._through = f" through the proxy {proxy.host}:{proxy.port}"
        self._connection = kind(proxy.host, proxy.port, timeout=timeout)
        if parts.scheme == "https":
            self._connection.set_tunnel(host, port or 443, proxy.headers)
        else:
            self._prefix = f"http://{parts.netloc}{self._prefix}"
            self._headers |= proxy.headers

    def get(self, *path: str, **query: Any) -> Any:
        """Send a GET request for ``path`` (unquoted components); return the JSON response."""
        return self._read_json("GET", path, query)

    def post(self, *path: str, body: Any, **query: Any) -> Any:
        """Send a plain value as JSON in a POST request; return the JSON response."""
        headers = {"Content-Type": "application/json"}
        data = json.dumps(body).encode()
        return self._read_json("POST", path, query, data, headers)

    def post_for_bytes(self, *path: str, body: Any, **query: Any) -> bytes:
        """Send a plain value as JSON in a POST request; return the bytes of the response."""
        headers = {"Content-Type": "application/json"}
        response = self._request("POST", path, query, json.dumps(body).encode(), headers)
        try:
            return response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise UnreachableError(f"the connection to {self.url} broke while reading: {error}") from error

    def patch(self, *path: str, body: Any) -> Any:
        """Send a plain value as JSON in a PATCH request; return the JSON response."""
        headers = {"Content-Type": "application/json"}
        return self._read_json("PATCH", path, {}, json.dumps(body).encode(), headers)

    def change(self, method: str, *path: str, body: Any, headers: dict[str, str]) -> Any:
        """Send a plain value as JSON with further headers; return the JSON response.

        Args:
            method: HTTP method.
            *path: Components of the path, unquoted.
            body: The plain value.
            headers: Headers by name.
        """
        headers = {"Content-Type": "application/json", **headers}
        return values.loads(self._request(method, path, {}, json.dumps(body).encode(), headers).read())

    def send(self, method: str, *path: str, data: bytes, encoding: str = "", **query: Any) -> Any:
        """Send bytes; return the JSON response.

        Args:
            method: HTTP method.
            *path: Components of the path, unquoted.
            data: The bytes.
            encoding: Their content encoding; empty without one.
            **query: The query.
        """
        headers = {"Content-Type": "application/octet-stream"}
        if encoding:
            headers["Content-Encoding"] = encoding
        return self._read_json(method, path, query, data, headers)

    def _read_json(self, method: str, path: tuple[str, ...], query: dict[str, Any], *content: Any) -> Any:
        response = self._request(method, path, query, *content)
        try:
            return values.loads(response.read())
        except (OSError, http.client.HTTPException) as error:  # the server ended a long answer early
            self._connection.close()
            raise UnreachableError(f"the connection to {self.url} broke while reading: {error}") from error

    def send_file(self, method: str, *path: str, file: Path, sent: Callable[[], None] = _nothing) -> None:
        """Send a file's content in pieces, without reading the whole file into memory.

        Args:
            method: HTTP method.
            *path: Components of the path, unquoted.
            file: The file.
            sent: Called before each piece is read, so also after each piece that was sent.
        """
        with file.open("rb") as opened:
            body = _NotifyingFile(opened, sent)
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(os.fstat(opened.fileno()).st_size),
            }
            self._request(method, path, {}, body, headers).read()

    def stream(self, *path: str, **query: Any) -> Iterator[bytes]:
        """Send a GET request for ``path``; yield the bytes of the response."""
        response = self._request("GET", path, query)
        try:
            while chunk := response.read(CHUNK):
                yield chunk
            if response.length:  # http.client reports a lost connection as the end of the content
                raise http.client.IncompleteRead(b"", response.length)
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(f"the connection to {self.url} broke while reading: {error}") from error
        finally:
            if not response.isclosed():  # the unread rest would be taken for the next response
                self._connection.close()

    def stream_range(self, *path: str, start: int, size: int, buffer: memoryview) -> Iterator[memoryview]:
        """Send a GET request for a range of bytes; yield pieces of the range, or of its part that exists.

        Args:
            *path: Components of the path, unquoted.
            start: Position of the first byte.
            size: Number of bytes.
            buffer: Memory for the pieces. The next piece overwrites the one before it.
        """
        try:
            asked = {"Range": f"bytes={start}-{start + size - 1}"}
            response = self._request("GET", path, {}, headers=asked)
        except _RangeError:
            return
        try:
            given = response.headers.get("Content-Range", "")
            if not given.startswith(f"bytes {start}-") and (start or response.length != size):
                raise CommError(
                    f"{self.url} did not return the requested byte range. "
                    "Check whether a proxy removes the Range header."
                )
            while size and (count := response.readinto(buffer[:size])):
                size -= count
                yield buffer[:count]
            if size and response.length:  # http.client reports a lost connection as the end of the content
                raise http.client.IncompleteRead(b"", response.length)
        except (OSError, http.client.HTTPException) as error:
            raise CommError(f"the connection to {self.url} broke while reading: {error}") from error
        finally:
            if not response.isclosed():
                self._connection.close()

    def abort(self) -> None:
        """Shut down the connection. Another thread that waits for a response gets an error."""
        connected = self._connection.sock
        if connected is not None:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _request(
        self,
        method: str,
        path: tuple[str, ...],
        query: dict[str, Any],
        data: Any = None,
        headers: dict[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        if self._fault is not None:
            raise self._fault
        target = "/".join((self._prefix, *(quote(part, safe="") for part in path)))
        given = {name: value for name, value in query.items() if value is not None}
        if given:
            target += "?" + urlencode(given, doseq=True)
        all_headers = {**self._headers, **(headers or {})}
        # A server can close an idle connection, and the client notices only at the next request. The client
        # then repeats the request. This is safe for all requests: an append names the offset that it expects.
        reused = self._connection.sock is not None
        try:
            try:
                response = self._exchange(method, target, data, all_headers)
            except (ConnectionError, http.client.RemoteDisconnected, http.client.CannotSendRequest):
                if not reused:
                    raise
                self._connection.close()
                response = self._exchange(method, target, data, all_headers)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()  # the next request opens a new connection
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise UnreachableError(
                f"cannot reach the tracker server at {self.url}{self._through}: {reason}"
            ) from error
        if response.status >= 400:
            self._refuse(response)
        return response

    def _exchange(
        self, method: str, target: str, data: Any, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        if hasattr(data, "seek"):
            data.seek(0)
        self._connection.request(method, target, data, headers)
        return self._connection.getresponse()

    def _refuse(self, response: http.client.HTTPResponse) -> NoReturn:
        kind = _KINDS.get(response.status, CommError)
        try:
            found = json.loads(response.read())
            message = (
                found["detail"] if "detail" in found else found["error"]["message"]
            )  # servers before 0.2
            kind = UnreachableError if found.get("code") == ENDING else kind
        except (ValueError, KeyError, TypeError):
            message = f"{response.status} {response.reason}{self._through}"
            kind = UnreachableError if response.status in _PROXY_STATUSES else kind
        self._connection.close()
        raise kind(f"{self.url}: {message}")
