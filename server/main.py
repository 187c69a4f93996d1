"""Starting the server: open the store, make the first key, listen."""

from __future__ import annotations

import asyncio
import logging
import socket

import uvicorn

from server import keys
from server.app import create_app
from server.connections import BACKLOG, Connection, OncePerMinute, close_stuck, raise_descriptor_limit
from server.settings import ServerSettings
from server.watcher import Watcher
from tracker.capture import logs
from tracker.capture.log_file import LogHandler
from tracker.errors import UsageError
from tracker.ground import config_files
from tracker.ground.terminal import say
from tracker.recorder.open_store import open_store
from tracker.store.objects.atomic_files import publish_json, read_json
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import require_writable
from tracker.store.store import Store


def serve(settings: ServerSettings) -> None:
    """Serve until interrupted.

    Raises:
        UsageError: The address cannot be listened on.
        HeldElsewhereError: Another host holds the catalog, or has taken it over.
        StoreError: The store cannot be opened.
    """
    raise_descriptor_limit()
    logs.begin("server")
    listening = _listen(settings)
    store = open_store(settings.store, to_read=True)
    with listening:
        host, port = listening.getsockname()[:2]
        if settings.key_required and not (settings.on_loopback or keys.has_keys(store)):
            print(f"API key (shown once): {keys.make_key(store)}", flush=True)  # noqa: T201
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{port}"
        said = f"tracker server: {url} (store {store.layout.source})"
        if store.layout.is_copy:
            say(f"{store.layout.source} is read-only for this user: it is served for reading")
        publish_json(store.layout.new_temporary(), store.layout.served_at, {"url": url})
        if settings.key_required:
            key = keys.own_key(store)
            if settings.on_loopback:
                _note_own_key(port, key)
            # Read by scripts: the address is in the first line, the link in the second.
            said += f"\nsign in (once, within 15 minutes; --link prints another): {new_link(store.layout)}"
        app = create_app(store, settings)
        config = uvicorn.Config(
            app,
            http=Connection,
            backlog=BACKLOG,
            log_level="warning",
            timeout_graceful_shutdown=2,
            access_log=False,
        )
        _Server(config, store, app.state.watcher, said).run(sockets=[listening])
    store.close()
    if app.state.watcher.lost is not None:
        raise app.state.watcher.lost


def new_link(layout: Layout) -> str:
    """Return a link that signs one browser in at the server that serves a store.

    Raises:
        ReadOnlyError: The store may only be read: its server writes nothing there that a link needs.
        UsageError: No server of this store was started.
    """
    require_writable(layout)
    found = read_json(layout.served_at)
    if found is None:
        raise UsageError(f"no server has served {layout.root} yet: start one with `tracker server`")
    return f"{found['url']}/sign-in?token={keys.make_link_token(layout)}"


def _note_own_key(port: int, key: str) -> None:
    try:
        config_files.write_own_key(port, key)
    except UsageError as error:  # a home that cannot be written: the key can still be given by hand
        say(f"{error.message}; scripts need TRACKER_API_KEY, see `tracker key`")


class _Server(uvicorn.Server):
    """Says when it is ready; before it ends, answers those who wait for news instead of waiting for them."""

    def __init__(self, config: uvicorn.Config, store: Store, watcher: Watcher, said: str) -> None:
        super().__init__(config)
        self._store = store
        self._watcher = watcher
        self._said = said

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin."""
        await super().startup(sockets)
        self._closing = asyncio.create_task(close_stuck(self.server_state.connections))
        for name in ("uvicorn.error", "asyncio"):
            logging.getLogger(name).addFilter(OncePerMinute())
            logging.getLogger(name).addHandler(
                LogHandler(logs.current_file, max(logging.WARNING, logs.lowest()))
            )
        print(self._said, flush=True)  # noqa: T201

    async def on_tick(self, counter: int) -> bool:
        """Return whether to end."""
        return self._watcher.lost is not None or await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End."""
        self._closing.cancel()
        self._watcher.let_go()
        await super().shutdown(sockets)
        # Not after `run`: uvicorn raises the signal that ended it once more.
        self._store.close()


def _listen(settings: ServerSettings) -> socket.socket:
    """Take the port before anything else, so that a taken one is one clear line."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Named, or asyncio would not know it for TCP, and small answers would wait 40 ms for an acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise UsageError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; "
            "another server may run there already: choose another with --port (0 takes a free one)"
        ) from error
    return listening
