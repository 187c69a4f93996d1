"""Limits on connections that uvicorn does not have.

uvicorn bounds the size of a request's head and closes a connection that is idle after an answer. It lets a
head take for ever, a body stop half-way, an answer wait for a client that does not read it, and one address
open connections until the process has no descriptor left. A proxy in front of the server may do all of this
too; the server does not rely on one.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections.abc import Collection

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# A request's head must be whole after this long.
HEAD_SECONDS = 10.0
# A body, or an answer that is sent, must move on within this long. Its whole may take any time.
PROGRESS_SECONDS = 30.0
# Connections of one address. Behind a proxy all clients have the proxy's.
LARGEST_PER_ADDRESS = 512
# Descriptors that are left for the catalog, blobs and Parquet parts.
RESERVED_DESCRIPTORS = 256
# asyncio accepts this many connections before it handles the first. It must be less than the reserve above.
BACKLOG = 100
FEWEST_CONNECTIONS = 32


class Connection(H11Protocol):
    """One client's connection, which is closed when the client keeps the server waiting."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or close it at once when there are too many."""
        super().connection_made(transport)
        self._head_since = self._moved_at = self.loop.time()
        self._unsent = 0
        address = self.client[0] if self.client else None
        of_address = sum(1 for each in self.connections if _address(each) == address)
        if len(self.connections) > largest_number() or of_address > LARGEST_PER_ADDRESS:
            self.logger.warning("too many connections: new ones are closed (of %s: %d)", address, of_address)
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        self._moved_at = self.loop.time()
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._head_since = self.loop.time()
        super().on_response_complete()

    def close_if_stuck(self, now: float) -> None:
        """Close the connection when its client has kept the server waiting for too long."""
        unsent = self.transport.get_write_buffer_size()
        if self.flow.read_paused or unsent != self._unsent:
            self._moved_at = now  # the server itself is behind, or the client reads
        self._unsent = unsent
        waiting_for_body = self.conn.their_state is h11.SEND_BODY
        if self.conn.their_state is h11.IDLE and now - self._head_since > HEAD_SECONDS:
            self.transport.close()
        elif (unsent or waiting_for_body) and now - self._moved_at > PROGRESS_SECONDS:
            self.transport.abort()


def _address(connection: object) -> str | None:
    client: tuple[str, int] | None = getattr(connection, "client", None)
    return client[0] if client else None


def largest_number() -> int:
    """Return how many connections leave the process enough descriptors for everything else."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return 2**20
    return max(limit - RESERVED_DESCRIPTORS, min(FEWEST_CONNECTIONS, limit // 2))


def raise_descriptor_limit() -> None:
    """Let the process have as many descriptors as it is allowed."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def close_stuck(connections: Collection[object]) -> None:
    """Look at all connections every second, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(1.0)
        for each in list(connections):
            if isinstance(each, Connection):
                each.close_if_stuck(loop.time())


class OncePerMinute(logging.Filter):
    """Lets one message of a place in the code through each minute, with the number of those that were not."""

    def __init__(self) -> None:
        super().__init__()
        self._since: dict[tuple[str, int], float] = {}
        self._held: dict[tuple[str, int], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a message is written."""
        place = (record.pathname, record.lineno)
        now = time.monotonic()
        if now - self._since.get(place, -60.0) < 60.0:
            self._held[place] = self._held.get(place, 0) + 1
            return False
        self._since[place] = now
        if held := self._held.pop(place, 0):
            record.msg = f"{record.msg} ({held} more in the last minutes)"
        return True
