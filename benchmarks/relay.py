"""A TCP relay on loopback that counts the bytes of clients."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socket import SHUT_WR, create_connection, socket


class Relay(socketserver.ThreadingTCPServer):
    """A relay to one port of this host.

    Attributes:
        address: The relay, ``http://127.0.0.1:PORT``.
        sent: Number of bytes that clients have sent, headers included.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.onward = ("127.0.0.1", port)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self.sent = 0

    def pump(self, source: socket, target: socket, *, counts: bool) -> None:
        """Copy bytes until the source ends."""
        while data := source.recv(65536):
            if counts:
                self.sent += len(data)
            target.sendall(data)
        target.shutdown(SHUT_WR)


class _Handler(socketserver.BaseRequestHandler):
    server: Relay

    def handle(self) -> None:
        with create_connection(self.server.onward) as server:
            back = threading.Thread(
                target=self.server.pump, args=(server, self.request), kwargs={"counts": False}
            )
            back.start()
            self.server.pump(self.request, server, counts=True)
            back.join()


@contextmanager
def relaying(port: int) -> Iterator[Relay]:
    """Run a relay to a port during the block."""
    with Relay(port) as relay:
        thread = threading.Thread(target=relay.serve_forever)
        thread.start()
        try:
            yield relay
        finally:
            relay.shutdown()
            thread.join()
