"""Connection limits that uvicorn does not have.

uvicorn limits the size of a request head, and closes a connection that is idle after an answer. uvicorn does
not limit the time for a head, a body that stops half-way, a client that does not read its answer, or the
number of connections of one address. Each of these could exhaust the file descriptors of the process. A proxy
in front of the server may have such limits too, but the server does not rely on a proxy.
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import socket
import struct
import time
from collections.abc import Collection

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from server.openapi import PROBLEM, problem

# Longest time for a complete request head.
HEAD_SECONDS = 10.0
# Longest time without progress of a body or an answer. The whole transfer may take any time.
PROGRESS_SECONDS = 30.0
# Most connections of one address. Behind a proxy all clients share the address of the proxy.
LARGEST_PER_ADDRESS = 512
# File descriptors that are kept free for the catalog, blobs and Parquet parts.
RESERVED_DESCRIPTORS = 256
# asyncio accepts this many connections before it handles the first one. Keep it below RESERVED_DESCRIPTORS.
BACKLOG = 100
FEWEST_CONNECTIONS = 32


class Connection(H11Protocol):
    """The connection of one client. The server closes it if the client keeps the server waiting too long."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, or close it immediately if there are too many."""
        super().connection_made(transport)
        self._head_since = self._moved_at = self.loop.time()
        self._unsent = 0
        address = self.client[0] if self.client else None
        of_address = sum(1 for each in self.connections if _address(each) == address)
        if len(self.connections) > connection_limit() or of_address > LARGEST_PER_ADDRESS:
            self.logger.warning("Too many connections: closing new ones (%s has %d).", address, of_address)
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Handle received bytes."""
        self._moved_at = self.loop.time()
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are not a valid HTTP request, and close the connection."""
        body = json.dumps(problem(400, "bad_request", msg)).encode()
        headers = [("Content-Type", PROBLEM), ("Content-Length", str(len(body))), ("Connection", "close")]
        for event in (
            h11.Response(status_code=400, headers=headers, reason="Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event))
        self.transport.close()

    def on_response_complete(self) -> None:
        """Start to wait for the next request."""
        self._head_since = self.loop.time()
        super().on_response_complete()

    def close_if_stuck(self, now: float) -> None:
        """Close the connection if its client has kept the server waiting too long."""
        unsent = self.transport.get_write_buffer_size()
        if self.flow.read_paused or unsent != self._unsent:
            self._moved_at = now  # the server itself is slow, or the client is reading
        self._unsent = unsent
        waiting_for_body = self.conn.their_state is h11.SEND_BODY
        if self.conn.their_state is h11.IDLE and now - self._head_since > HEAD_SECONDS:
            self.transport.close()
        elif (unsent or waiting_for_body) and now - self._moved_at > PROGRESS_SECONDS:
            if unsent:
                # Reset the connection. Otherwise the kernel keeps the answer that the client does not read.
                self.transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            self.transport.abort()


def _address(connection: object) -> str | None:
    client: tuple[str, int] | None = getattr(connection, "client", None)
    return client[0] if client else None


def connection_limit() -> int:
    """Return the largest number of connections that leaves enough file descriptors for other uses."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return 2**20
    return max(limit - RESERVED_DESCRIPTORS, min(FEWEST_CONNECTIONS, limit // 2))


def raise_descriptor_limit() -> None:
    """Raise the limit of file descriptors to the highest value that the process may set."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def close_stuck(connections: Collection[object]) -> None:
    """Check all connections."""
    for each in list(connections):
        if isinstance(each, Connection):
            each.close_if_stuck(each.loop.time())


class OncePerMinute(logging.Filter):
    """Passes one message of each code line per minute, with the number of messages that it dropped."""

    def __init__(self) -> None:
        super().__init__()
        self._since: dict[tuple[str, int], float] = {}
        self._held: dict[tuple[str, int], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write the message."""
        place = (record.pathname, record.lineno)
        now = time.monotonic()
        if now - self._since.get(place, -60.0) < 60.0:
            self._held[place] = self._held.get(place, 0) + 1
            return False
        self._since[place] = now
        if held := self._held.pop(place, 0):
            record.msg = f"{record.msg} ({held} more like this since the last message)"
        return True
