"""Starting the server: open the store, make the first key, listen."""

from __future__ import annotations

import socket

import uvicorn

from server import keys
from server.app import create_app
from server.settings import ServerSettings
from server.watcher import Watcher
from tracker.errors import UsageError
from tracker.store.store import Store


def serve(settings: ServerSettings) -> None:
    """Serve until interrupted.

    Raises:
        UsageError: The address cannot be listened on.
        StoreError: The store cannot be opened.
    """
    listening = _listen(settings)
    store = Store(settings.store)
    with listening:
        host, port = listening.getsockname()[:2]
        if settings.key_required and not keys.has_keys(store):
            print(f"API key (shown once): {keys.make_key(store)}", flush=True)  # noqa: T201
        shown = f"[{host}]" if ":" in host else host
        said = f"tracker server: http://{shown}:{port} (store {store.root})"
        app = create_app(store, settings)
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2, access_log=False)
        _Server(config, app.state.watcher, said).run(sockets=[listening])
    store.close()


class _Server(uvicorn.Server):
    """Says when it is ready; before it ends, answers those who wait for news instead of waiting for them."""

    def __init__(self, config: uvicorn.Config, watcher: Watcher, said: str) -> None:
        super().__init__(config)
        self._watcher = watcher
        self._said = said

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin."""
        await super().startup(sockets)
        print(self._said, flush=True)  # noqa: T201

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End."""
        self._watcher.let_go()
        await super().shutdown(sockets)


def _listen(settings: ServerSettings) -> socket.socket:
    """Take the port before anything else, so that a taken one is one clear line."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Named, or asyncio would not know it for TCP, and small answers would wait 40 ms for an acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise UsageError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; "
            "another server may run there already: choose another with --port (0 takes a free one)"
        ) from error
    return listening
