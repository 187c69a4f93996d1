"""Starting the server: open the store, make the first key, listen."""

from __future__ import annotations

import socket

import uvicorn

from server import keys
from server.app import create_app
from server.settings import ServerSettings
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
        print(f"tracker server: http://{shown}:{port} (store {store.root})", flush=True)  # noqa: T201
        config = uvicorn.Config(
            create_app(store, settings), log_level="warning", timeout_graceful_shutdown=2, access_log=False
        )
        uvicorn.Server(config).run(sockets=[listening])
    store.close()


def _listen(settings: ServerSettings) -> socket.socket:
    """Take the port before anything else, so that a taken one is one clear line."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
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
