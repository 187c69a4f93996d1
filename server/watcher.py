"""The watcher of the server: it applies journals, and wakes requests that wait for changes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from tracker.capture import logs
from tracker.errors import HeldElsewhereError
from tracker.ground.terminal import say
from tracker.recorder.follow import Follower
from tracker.store.queries.runs import revision
from tracker.store.store import Store

INTERVAL = 0.25
# The pause after a round is twice the time that the round took, within these two limits (seconds).
LONGEST_INTERVAL = 2.0


class Watcher:
    """A thread that applies the journals of all hosts and watches the revision of the store.

    Recorders may apply the same journals at the same time. This is safe.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._look: Callable[[], object] = (
            store.refresh if store.layout.is_copy else Follower(store, stays=True).poll
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tracker-watcher", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._complaint = ""
        self.revision = 0
        self.lost: HeldElsewhereError | None = (
            None  # set if the server must end: another host holds the catalog
        )

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread. It announces changes in the event loop ``loop``."""
        self._loop = loop
        self._thread.start()

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

    def _run(self) -> None:
        took = 0.0
        while not self._stop.wait(min(max(INTERVAL, 2 * took), LONGEST_INTERVAL)):
            began = time.monotonic()
            try:
                self._look()
                with self._store.reading() as session:
                    now = revision(session)
            except HeldElsewhereError as error:
                self.lost = error
                return
            except Exception as error:
                # For example a full disk. Stored data stays readable, and the next round tries again.
                logs.log(logs.ERROR, "Journals are not applied.", error)
                self._complain(str(error))
                continue
            finally:
                took = time.monotonic() - began
            if now != self.revision:
                self.revision = now
                if self._loop is not None and not self._loop.is_closed():
                    self._loop.call_soon_threadsafe(self._wake)

    def _complain(self, message: str) -> None:
        if message != self._complaint:  # report each reason once, not four times a second
            self._complaint = message
            say(f"Journals are not applied: {message}")

    def _wake(self) -> None:
        # Requests that wait now are released. Later requests wait for the next change.
        self._news.set()
        self._news = asyncio.Event()
