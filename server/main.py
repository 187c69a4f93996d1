"""Start of the server: open the store, create the first key, listen."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import uvicorn

from server import keys
from server.app import create_app
from server.connections import BACKLOG, Connection, OncePerMinute, close_stuck, raise_descriptor_limit
from server.in_place import InPlaceReading
from server.settings import ServerSettings
from server.sign_in_link import new_link
from server.watcher import Watcher
from tracker.capture import logs
from tracker.capture.log_file import LogHandler
from tracker.errors import UsageError
from tracker.ground import config_files
from tracker.ground.terminal import say
from tracker.recorder.open_store import open_store
from tracker.recorder.watch import StoreWatch
from tracker.store.objects.atomic_files import publish_json
from tracker.store.store import Store

TICK_SECONDS = 1.0


def serve(
    settings: ServerSettings,
    store: Store | None = None,
    in_place: InPlaceReading | None = None,
    ready_for: Callable[[str], object] | None = None,
) -> None:
    """Serve a store until the process is interrupted.

    Args:
        settings: The settings.
        store: The store, if the caller has opened it.
        in_place: Reads the folders of ``settings.in_place`` into the store. It is started and stopped here.
        ready_for: Called with a link that signs a browser in, after the server has begun to listen.

    Raises:
        UsageError: The server cannot listen on the address.
        HeldElsewhereError: Another host holds the catalog, or has taken it over.
        StoreError: The store cannot be opened.
    """
    raise_descriptor_limit()
    logs.begin("server")
    listening = _listen(settings)
    store = open_store(settings.store, to_read=True) if store is None else store
    with listening:
        host, port = listening.getsockname()[:2]
        # A server that others can reach, and that has no users and no keys yet, gets an administrator.
        for_others = settings.key_required and not (settings.on_loopback and settings.url is None)
        first_key = ""
        if for_others and not keys.has_people(store):
            first_key = keys.make_key(store) if store.layout.is_copy else keys.make_first_admin(store)
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{port}"
        ready = f"tracker server: {url} (store {store.layout.source})"
        if settings.in_place:
            ready = f"tracker open: {url} ({', '.join(map(str, settings.in_place))})"
        elif store.layout.is_copy:
            say(f"{store.layout.source} is read-only for this user: the server only reads it")
        publish_json(store.layout.new_temporary(), store.layout.served_at, {"url": settings.url or url})
        if settings.key_required:
            key = keys.own_key(store)
            if settings.on_loopback:
                _note_own_key(port, key)
            # Scripts read this text: the first line has the address, the second line has the link.
            another = "run the command again" if settings.in_place else "--link prints another"
            ready += f"\n{_sign_in_text(store, settings.url or url, for_others, bool(first_key), another)}"
            if first_key:
                ready += f"\nAPI key (shown once): {first_key}"
        app = create_app(store, settings, in_place)
        threads: list[StoreWatch | InPlaceReading] = [] if in_place is None else [in_place]
        for each in settings.watched:
            watch = StoreWatch(open_store(each), lambda _: None)
            threads.append(watch)
            ready += f"\ntracker server: watching {watch.store.root} (catalog {watch.store.catalog})"
        for thread in threads:
            thread.start()

        def note_ready() -> None:
            print(ready, flush=True)  # noqa: T201
            if ready_for is not None:
                ready_for(new_link(store.layout))

        config = uvicorn.Config(
            app,
            http=Connection,
            backlog=BACKLOG,
            log_level="warning",
            timeout_graceful_shutdown=2,
            access_log=False,
            proxy_headers=False,  # server.forwarded handles them
        )
        _Server(config, store, app.state.watcher, threads, note_ready).run(sockets=[listening])
    store.close()
    if app.state.watcher.lost is not None:
        raise app.state.watcher.lost


def _sign_in_text(store: Store, url: str, for_others: bool, is_first: bool, another: str) -> str:
    """Return a line that tells how to sign a browser in.

    Args:
        store: The store.
        url: Address of the server.
        for_others: Whether other machines can reach the server. With users, they get no link of the owner.
        is_first: Whether this start made the first key or administrator.
        another: How the user gets another link.
    """
    if not (for_others and keys.has_users(store)):
        return f"sign in (once, within 15 minutes; {another}): {new_link(store.layout)}"
    if not is_first:
        return f"sign in: {url} (`tracker user link NAME` prints a one-time link)"
    link, name = new_link(store.layout, keys.FIRST_ADMIN), keys.FIRST_ADMIN
    return f"sign in as {name} (once, within 15 minutes; `tracker user link {name}` prints another): {link}"


def _note_own_key(port: int, key: str) -> None:
    try:
        config_files.write_own_key(port, key)
    except UsageError as error:  # the home folder is not writable: the user can still set the key
        say(f"{error.message}; scripts need TRACKER_API_KEY, see `tracker key`")


class _Server(uvicorn.Server):
    """A server that calls a function when it is ready, and answers all waiting requests before it ends."""

    def __init__(
        self,
        config: uvicorn.Config,
        store: Store,
        watcher: Watcher,
        threads: list[StoreWatch | InPlaceReading],
        note_ready: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._store = store
        self._threads = threads
        self._watcher = watcher
        self._note_ready = note_ready
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signalled = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the server."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        for name in ("uvicorn.error", "asyncio"):
            logging.getLogger(name).addFilter(OncePerMinute())
            logging.getLogger(name).addHandler(
                LogHandler(logs.current_file, max(logging.WARNING, logs.lowest()))
            )
        # Everything up to here lives as long as the process: the garbage collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.enable()
        self._note_ready()

    async def main_loop(self) -> None:
        """Call ``on_tick`` once a second, until the server must end.

        uvicorn wakes up ten times a second, which costs an idle server most of its CPU time.
        """
        while not await self.on_tick(0):
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._signalled.wait(), TICK_SECONDS)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the server because of a signal."""
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._signalled.set)

    async def on_tick(self, counter: int) -> bool:
        """Close connections that are stuck; return whether the server must end.

        Args:
            counter: 0; then uvicorn also updates the header ``Date``.
        """
        close_stuck(self.server_state.connections)
        return self._watcher.lost is not None or await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the server."""
        self._watcher.release_waiters()
        await super().shutdown(sockets)
        for thread in self._threads:
            thread.stop()
        # Close the store here and not after `run`: uvicorn then raises the signal that ended it again.
        self._store.close()


def _listen(settings: ServerSettings) -> socket.socket:
    """Listen on the port before anything else, so that a port in use gives an error of one line."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Name the protocol: else asyncio does not know that it is TCP, and small answers wait 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise UsageError(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror or error}. "
            "Another server may use the port. Choose a port with --port (0 means a free one)."
        ) from error
    return listening
