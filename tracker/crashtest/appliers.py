"""Those who apply during a crash test: recorders and other appliers, killed at random, and two at once."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

from tracker.crashtest.children import Worker
from tracker.errors import StoreError
from tracker.recorder import main as recorder
from tracker.recorder.follow import Follower
from tracker.recorder.liveness import first_record
from tracker.recorder.open_store import open_store
from tracker.store.ingest import apply

# A small batch, so that a journal is applied in many pieces and a kill falls between two of them.
PIECE_BYTES = 6000


class Replaced:
    """A worker that is killed at random moments and replaced at once.

    Args:
        work: What it does; it may end by itself.
        arguments: What it is given.
        chance: When it is killed.
        longest_life: At most so many seconds after it began.
    """

    def __init__(
        self, work: Callable[..., None], *arguments: object, chance: random.Random, longest_life: float
    ) -> None:
        self._work, self._arguments = work, arguments
        self._chance, self._longest = chance, longest_life
        self.kills = 0
        self._begin()

    def _begin(self) -> None:
        self._worker = Worker(self._work, *self._arguments)
        self._until = time.monotonic() + self._chance.uniform(0, self._longest)

    def look(self) -> None:
        """Kill and replace it when its time has come; to be called often."""
        if time.monotonic() > self._until or self._worker.ended:
            self.kills += self._worker.kill()
            self._begin()

    def stop(self) -> None:
        """Kill it for good."""
        self.kills += self._worker.kill()


def record(root: Path) -> None:
    """Be a store's recorder, as ``tracker.recorder`` starts it."""
    recorder.main([str(root)])


def apply_on(root: Path) -> None:
    """Apply whatever comes, in small pieces, for ever."""
    apply.BATCH_BYTES = PIECE_BYTES
    follower = Follower(open_store(root))
    while True:
        follower.poll()
        time.sleep(0.005)


def apply_all(root: Path, piece_bytes: int | None = None) -> None:
    """Apply and seal everything that lies in a store's journals; all their writers have been killed.

    Raises:
        StoreError: Something could not be applied.
    """
    if piece_bytes is not None:
        apply.BATCH_BYTES = piece_bytes
    store = open_store(root)
    for journal in store.layout.list_journals():
        # Killed before its first record: nobody can tell whose it is, so it would count as live for a minute.
        if journal.number == 0 and first_record(journal) is None:
            journal.path.unlink(missing_ok=True)
    follower = Follower(store)
    end = time.monotonic() + 600
    while store.layout.list_journals():
        follower.poll()
        if time.monotonic() > end:
            break
    if follower.faults:
        raise StoreError("; ".join(f"{name}: {fault}" for name, fault in sorted(follower.faults.items())))
    store.close()


def apply_by_two(root: Path, chance: random.Random, kills: int) -> int:
    """Apply a store's journals by two processes at once, killing them now and then; return the kills.

    Raises:
        StoreError: They could not.
    """
    done = 0
    workers = [Worker(apply_all, root, piece) for piece in (PIECE_BYTES, 2 * PIECE_BYTES + 7)]
    try:
        while not all(worker.ended for worker in workers):
            time.sleep(chance.uniform(0, 0.2))
            if done < kills:
                at = chance.randrange(2)
                if workers[at].kill():
                    done += 1
                    workers[at] = Worker(apply_all, root, PIECE_BYTES)
    finally:
        for worker in workers:
            worker.kill() if not worker.ended else None
    if any(worker.wait() != 0 for worker in workers):
        raise StoreError(f"two appliers at once on {root} failed (process {os.getpid()}); see above")
    return done
