"""Appliers of a crash test: recorders and other processes that apply journals and are killed at random."""

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

# A small batch size: each journal is applied in many steps, so a kill can fall between two of them.
PIECE_BYTES = 6000


class Restarted:
    """A worker that is killed at random moments and immediately replaced.

    Args:
        work: Function that the worker runs. It may return by itself.
        arguments: Arguments of ``work``.
        chance: Random generator for the moments of the kills.
        longest_life: Longest life of a worker, in seconds.
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
        """Kill and replace the worker if its time has come. Call this method often."""
        if time.monotonic() > self._until or self._worker.ended:
            self.kills += self._worker.kill()
            self._begin()

    def stop(self) -> None:
        """Kill the worker without replacing it."""
        self.kills += self._worker.kill()


def run_recorder(root: Path) -> None:
    """Run a store's recorder in this process."""
    recorder.main([str(root)])


def apply_forever(root: Path) -> None:
    """Apply new journal records in small batches, without end."""
    apply.BATCH_BYTES = PIECE_BYTES
    follower = Follower(open_store(root))
    while True:
        follower.poll()
        time.sleep(0.005)


def apply_all(root: Path, piece_bytes: int | None = None) -> None:
    """Apply and seal everything in a store's journals. All writers must have been killed.

    Raises:
        StoreError: A journal could not be applied.
    """
    if piece_bytes is not None:
        apply.BATCH_BYTES = piece_bytes
    store = open_store(root)
    for journal in store.layout.list_journals():
        # The writer was killed before its first record. Without a record the writer is unknown, and an
        # unknown writer counts as live for a minute.
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
    """Apply a store's journals with two processes at the same time; kill them now and then.

    Args:
        root: Folder of the store.
        chance: Random generator for the moments of the kills.
        kills: Greatest number of kills.

    Returns:
        The number of kills.

    Raises:
        StoreError: A process failed.
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
        raise StoreError(f"Two concurrent appliers of {root} failed (process {os.getpid()}). See stderr.")
    return done
