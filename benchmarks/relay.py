"""A TCP relay that counts the bytes of clients. It can also be slow, like a long and narrow line."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socket import SHUT_WR, create_connection, socket


class Relay(socketserver.ThreadingTCPServer):
    """A relay to one port of this host.

    Args:
        port: The port.
        host: Address of the relay and of the port.
        delay_seconds: Time by which the relay delays what it reads, in both directions.
        bytes_per_second: Number of bytes that all connections together pass on, in each direction; None
            sets no limit.

    Attributes:
        address: The relay, ``http://HOST:PORT``.
        sent: Number of bytes that clients have sent, headers included.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        port: int,
        host: str = "127.0.0.1",
        delay_seconds: float = 0.0,
        bytes_per_second: int | None = None,
    ) -> None:
        super().__init__((host, 0), _Handler)
        self.onward = (host, port)
        self.address = f"http://{host}:{self.server_address[1]}"
        self.sent = 0
        self._delay, self._width = delay_seconds, bytes_per_second
        self._lines = threading.Lock(), threading.Lock()

    def pump(self, source: socket, target: socket, *, to_server: bool) -> None:
        """Copy bytes until the source ends or one side is gone."""
        with suppress(OSError):
            while data := source.recv(65536):
                if to_server:
                    self.sent += len(data)
                if self._width:
                    with self._lines[to_server]:
                        time.sleep(len(data) / self._width)
                if self._delay:
                    time.sleep(self._delay)
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(SHUT_WR)


class _Handler(socketserver.BaseRequestHandler):
    server: Relay

    def handle(self) -> None:
        try:
            server = create_connection(self.server.onward)
        except OSError:  # the server does not listen at the moment
            return
        with server:
            back = threading.Thread(
                target=self.server.pump, args=(server, self.request), kwargs={"to_server": False}, daemon=True
            )
            back.start()
            self.server.pump(self.request, server, to_server=True)
            back.join()


@contextmanager
def relaying(
    port: int,
    host: str = "127.0.0.1",
    *,
    delay_seconds: float = 0.0,
    bytes_per_second: int | None = None,
) -> Iterator[Relay]:
    """Run a relay to a port during the block. See ``Relay``."""
    with Relay(port, host, delay_seconds, bytes_per_second) as relay:
        thread = threading.Thread(target=relay.serve_forever)
        thread.start()
        try:
            yield relay
        finally:
            relay.shutdown()
            thread.join()
