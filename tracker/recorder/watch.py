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

# Seconds between two rounds. If nothing changes, the pause grows with the time since the last change.
INTERVAL = 0.2
IDLE_SHARE = 0.05
LONGEST_IDLE_INTERVAL = 1.0
# After a round that took long, the pause is twice that time, up to this limit.
LONGEST_INTERVAL = 2.0


class Rounds:
    """Calls a function again and again, until it raises ``HeldElsewhereError`` or ``stopped`` is set.

    Args:
        work: One round. Returns whether something has changed, so that the next change is probably near.
        stopped: Set to end the rounds.
        subject: Beginning of the line that reports other errors.

    Attributes:
        lost: The error that ended the rounds: another host has taken the catalog over.
    """

    def __init__(self, work: Callable[[], bool], stopped: threading.Event, subject: str) -> None:
        self._work = work
        self._stopped = stopped
        self._subject = subject
        self._complaint = ""
        self.lost: HeldElsewhereError | None = None

    def run(self) -> None:
        """Run the rounds."""
        took, changed_at = 0.0, time.monotonic()
        while not self._stopped.wait(_pause(time.monotonic() - changed_at, took)):
            began = time.monotonic()
            try:
                if self._work():
                    changed_at = began
            except HeldElsewhereError as error:
                self.lost = error
                return
            except Exception as error:
                # For example a full disk. Stored data stays readable, and the next round tries again.
                logs.log(logs.ERROR, f"{self._subject}.", error)
                self._complain(str(error))
            took = time.monotonic() - began

    def _complain(self, message: str) -> None:
        if message != self._complaint:  # report each reason once, not in each round
            self._complaint = message
            say(f"{self._subject}: {message}")


def _pause(idle_seconds: float, took: float) -> float:
    idle = min(IDLE_SHARE * idle_seconds, LONGEST_IDLE_INTERVAL)
    return max(INTERVAL, idle, min(2 * took, LONGEST_INTERVAL))


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

    def _look(self) -> bool:
        found = self._follower.poll()
        if not found.applied and found.live == self._live:
            return False
        self._live = found.live
        self._note(found)
        return True
