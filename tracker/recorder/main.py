"""The recorder process."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.capture import logs
from tracker.errors import Error, HeldElsewhereError
from tracker.ground.processes import host_name
from tracker.recorder.election import RecorderLock
from tracker.recorder.failure_file import ALL, note_failures
from tracker.recorder.liveness import count_live
from tracker.recorder.outbox import remote_of
from tracker.store.objects.layout import Layout

if TYPE_CHECKING:
    from tracker.recorder.follow import Follower
    from tracker.recorder.send import Sender

# Seconds between two rounds: short while records arrive, longer otherwise. After a round that needs much CPU
# time (10,000 metrics), the recorder pauses for twice that time, to leave the cores to the job.
SHORTEST_WAIT = 0.1
LONGEST_WAIT = 1.0
# Without a live writer and without work, the recorder ends after this many seconds.
IDLE_SECONDS = 2.0
# With journals that the server does not accept, it ends after this many seconds. TRACKER_SENDING_SECONDS
# overrides this value.
SENDING_SECONDS = 24 * 3600.0


def main(arguments: list[str]) -> None:
    """Follow the journals of this host in a store until they have no live writer any more.

    Args:
        arguments: The store's folder, and optionally the descriptor of the recorder's lock, if the process
            that started this one has acquired it.
    """
    inherited = int(arguments[1]) if len(arguments) > 1 else None
    _detach(inherited)
    hide_pandas()
    layout = Layout(Path(arguments[0]))
    logs.begin("recorder")
    logs.use(layout.logs)
    logs.log_all_errors()
    logs.log(logs.INFO, f"a recorder starts for {layout.root}")
    try:
        _run(layout, inherited)
    except Exception as error:
        logs.log(logs.ERROR, "the recorder ends", error)
        note_failures(layout, {ALL: str(error) if isinstance(error, Error) else repr(error)})
        sys.exit(1)
    logs.log(logs.INFO, "the recorder ends: it has nothing to do")


def _run(layout: Layout, inherited: int | None) -> None:
    while True:
        lock = RecorderLock(layout, inherited)
        inherited = None
        if not lock.acquire():
            return  # another one lives
        try:
            _follow(layout)
        except HeldElsewhereError:
            return  # the host that holds the catalog applies the journals
        finally:
            lock.release()
        # A writer that started between the last round and the release saw the lock held, and did not start
        # a recorder. It created its journal before it checked the lock, so `count_live` finds it.
        if not count_live(layout, host_name()):
            return


def hide_pandas() -> None:
    """Make ``import pandas`` fail in this process.

    If pandas is installed, pyarrow imports it when it first converts a list. This costs 0.25 s of CPU time
    and 50 MB of memory, for checks that no value here needs.
    """
    sys.meta_path.insert(0, _Hidden())


class _Hidden:
    """Import finder that raises for pandas, before other finders find it."""

    def find_spec(self, name: str, *_: object) -> None:
        """Raise ModuleNotFoundError for pandas. Return None for all other modules."""
        if name == "pandas":
            raise ModuleNotFoundError("pandas is hidden from this process", name=name)


def _follow(layout: Layout) -> None:
    """Run rounds until there has been neither a live writer nor work for some time."""
    worker = _open_worker(layout)
    shortest = getattr(worker, "shortest_wait", SHORTEST_WAIT)
    wait, noted = shortest, None
    idle_since = time.monotonic()
    try:
        while True:
            began = time.process_time()  # a sender mostly waits for its server: that costs the job nothing
            found = worker.poll()
            took = time.process_time() - began
            if worker.faults != noted:
                with logs.Logged("note what is not applied"):
                    note_failures(layout, worker.faults, getattr(worker, "refused", ()))
                noted = worker.faults.copy()
            if found.live or found.applied:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > _idle_limit(worker):
                return
            wait = max(shortest, 2 * took) if found.applied else wait * 1.5
            wait = min(wait, LONGEST_WAIT)
            time.sleep(wait)
    finally:
        worker.close()


def _idle_limit(worker: Follower | Sender) -> float:
    """Return how long the recorder stays without a live writer and without progress, in seconds.

    It stays longer while journals wait for a server that cannot be reached: they are then sent when the
    server is back, without another run or `tracker sync`.
    """
    if not getattr(worker, "has_more", False):
        return IDLE_SECONDS
    try:
        return float(os.environ["TRACKER_SENDING_SECONDS"])
    except (KeyError, ValueError):
        return SENDING_SECONDS


def _open_worker(layout: Layout) -> Follower | Sender:
    remote = remote_of(layout)
    if remote is not None:
        from tracker.recorder.send import Sender

        return Sender(layout, remote, host_name())
    from tracker.recorder.finalizer import Finalizer
    from tracker.recorder.follow import Follower
    from tracker.recorder.open_store import open_store

    return Follower(open_store(layout.root, takes_over=False), host_name(), Finalizer(), stays=True)


def _detach(lock: int | None) -> None:
    """Detach from the process that started this one: close all inherited descriptors except the lock."""
    end = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # the hard limit: the soft one may have been lowered
    end = end if 0 < end < 2**20 else 2**20
    if lock is not None:
        os.closerange(3, lock)
    os.closerange(3 if lock is None else lock + 1, end)
    os.chdir("/")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):  # USR1: Slurm warns each process of a job
        signal.signal(number, signal.SIG_IGN)
