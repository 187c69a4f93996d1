"""The watcher of the server: it applies journals, and wakes requests that wait for changes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from tracker.errors import HeldElsewhereError
from tracker.recorder.follow import Follower
from tracker.recorder.watch import Rounds
from tracker.store.queries.runs import revision
from tracker.store.store import Store


class Watcher:
    """A thread that applies the journals of all hosts and watches the revision of the store.

    Recorders may apply the same journals at the same time. This is safe.

    Args:
        store: The store.
        applies: Whether to apply journals. Otherwise another thread of this process writes to the store.
    """

    def __init__(self, store: Store, *, applies: bool = True) -> None:
        self._store = store
        self._look: Callable[[], object] = (
            Follower(store, stays=True).poll if applies and not store.layout.is_copy else store.refresh
        )
        self._stop = threading.Event()
        self._rounds = Rounds(self._round, self._stop, "Journals are not applied")
        self._thread = threading.Thread(target=self._rounds.run, name="tracker-watcher", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self.revision = 0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread. It announces changes in the event loop ``loop``."""
        self._loop = loop
        self._thread.start()

    @property
    def lost(self) -> HeldElsewhereError | None:
        """The error that ends the server: another host holds the catalog."""
        return self._rounds.lost

    @property
    def is_ending(self) -> bool:
        """Whether the server ends."""
        return self._stop.is_set()

    def release_waiters(self) -> None:
        """Release all present and future waiting requests: the server ends. Call it in the event loop."""
        self._stop.set()
        self._wake()

    def stop(self) -> None:
        """Stop the thread."""
        self.release_waiters()
        self._thread.join(timeout=5)

    async def wait_for_revision(self, since: int, timeout: float) -> None:
        """Wait until the revision is larger than ``since``, at most ``timeout`` seconds."""

        async def newer() -> None:
            while self.revision <= since and not self._stop.is_set():
                await self._news.wait()

        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(newer(), timeout)

    def _round(self) -> bool:
        self._look()
        with self._store.reading_rows() as session:
            now = revision(session)
        if now == self.revision:
            return False
        self.revision = now
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)
        return True

    def _wake(self) -> None:
        # Requests that wait now are released. Later requests wait for the next change.
        self._news.set()
        self._news = asyncio.Event()
