"""Applying the journals of a store as they grow, in a thread. Several stores can be watched at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tracker.capture import logs
from tracker.errors import HeldElsewhereError
from tracker.ground.terminal import say
from tracker.recorder.follow import Follower
from tracker.recorder.poll import PollResult
from tracker.store.store import Store

INTERVAL = 0.25
# The pause after a round is twice the time that the round took, within these two limits (seconds).
LONGEST_INTERVAL = 2.0


class Rounds:
    """Calls a function again and again, until it raises ``HeldElsewhereError`` or ``stopped`` is set.

    Args:
        work: One round.
        stopped: Set to end the rounds.
        subject: Beginning of the line that reports other errors.

    Attributes:
        lost: The error that ended the rounds: another host has taken the catalog over.
    """

    def __init__(self, work: Callable[[], None], stopped: threading.Event, subject: str) -> None:
        self._work = work
        self._stopped = stopped
        self._subject = subject
        self._complaint = ""
        self.lost: HeldElsewhereError | None = None

    def run(self) -> None:
        """Run the rounds."""
        took = 0.0
        while not self._stopped.wait(min(max(INTERVAL, 2 * took), LONGEST_INTERVAL)):
            began = time.monotonic()
            try:
                self._work()
            except HeldElsewhereError as error:
                self.lost = error
                return
            except Exception as error:
                # For example a full disk. Stored data stays readable, and the next round tries again.
                logs.log(logs.ERROR, f"{self._subject}.", error)
                self._complain(str(error))
            took = time.monotonic() - began

    def _complain(self, message: str) -> None:
        if message != self._complaint:  # report each reason once, not four times a second
            self._complaint = message
            say(f"{self._subject}: {message}")


class StoreWatch:
    """Applies the journals of all hosts to an open store in a thread, and closes the store at the end.

    Args:
        store: The store.
        note: Called after each round that has applied records, or has found another number of live writers.
        ended: Called when the thread ends.
    """

    def __init__(
        self, store: Store, note: Callable[[PollResult], None], ended: Callable[[], None] = lambda: None
    ) -> None:
        self.store = store
        self._note = note
        self._ended = ended
        self._follower = Follower(store, stays=True)
        self._live = -1
        self._stopped = threading.Event()
        self._rounds = Rounds(self._look, self._stopped, f"Journals in {store.root} are not applied")
        self._thread = threading.Thread(target=self._run, name="tracker-watch", daemon=True)

    @property
    def lost(self) -> HeldElsewhereError | None:
        """The error that ended the thread: another host has taken the catalog over."""
        return self._rounds.lost

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and close the store. A file system that does not answer delays this by 5 s."""
        self._stopped.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        try:
            self._rounds.run()
        finally:
            self.store.close()
            self._ended()

    def _look(self) -> None:
        found = self._follower.poll()
        if found.applied or found.live != self._live:
            self._live = found.live
            self._note(found)
