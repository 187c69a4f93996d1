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

# How long a round waits for the next: short while records come, longer while nothing does. A round that
# takes long (10,000 metrics) is waited for twice as long, so that the recorder leaves the job its cores.
SHORTEST_WAIT = 0.1
LONGEST_WAIT = 1.0
# Without a live writer and without work, the recorder leaves after this long.
IDLE_SECONDS = 2.0
# With journals left that a server does not take, this long, unless TRACKER_SENDING_SECONDS says otherwise.
SENDING_SECONDS = 24 * 3600.0


def main(arguments: list[str]) -> None:
    """Follow the journals of this host in a store until nobody writes any more.

    Args:
        arguments: The store, and the descriptor of the recorder's lock when who started this has taken it.
    """
    inherited = int(arguments[1]) if len(arguments) > 1 else None
    _detach(inherited)
    hide_pandas()
    layout = Layout(Path(arguments[0]))
    logs.begin("recorder")
    logs.use(layout.logs)
    logs.log_all_errors()
    logs.log(logs.INFO, f"a recorder begins for {layout.root}")
    try:
        _run(layout, inherited)
    except Exception as error:
        logs.log(logs.ERROR, "the recorder ends", error)
        note_failures(layout, {ALL: str(error) if isinstance(error, Error) else repr(error)})
        sys.exit(1)
    logs.log(logs.INFO, "the recorder ends: there is nothing to do")


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
        # A writer that came between the last look and the release saw the lock held and started
        # nobody. It made its journal before it looked, so it shows here.
        if not count_live(layout, host_name()):
            return


def hide_pandas() -> None:
    """Let ``import pandas`` fail in this process.

    pyarrow imports pandas, where it is installed, as soon as it converts a list: 0.25 s of CPU and 50 MB for
    checks that no value here needs.
    """
    sys.meta_path.insert(0, _Hidden())


class _Hidden:
    """Finds no pandas, and says so before anybody else finds one."""

    def find_spec(self, name: str, *_: object) -> None:
        """Refuse pandas; leave all other modules to others."""
        if name == "pandas":
            raise ModuleNotFoundError("pandas is hidden from this process", name=name)


def _follow(layout: Layout) -> None:
    """Work until there has been neither a live writer nor anything to do for a while."""
    work = _worker(layout)
    wait, noted = SHORTEST_WAIT, None
    idle_since = time.monotonic()
    try:
        while True:
            began = time.monotonic()
            look = work.poll()
            took = time.monotonic() - began
            if work.faults != noted:
                with logs.Logged("note what is not applied"):
                    note_failures(layout, work.faults)
                noted = work.faults.copy()
            if look.live or look.applied:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > _patience(work):
                return
            wait = max(SHORTEST_WAIT, 2 * took) if look.applied else wait * 1.5
            wait = min(wait, LONGEST_WAIT)
            time.sleep(wait)
    finally:
        work.close()


def _patience(work: Follower | Sender) -> float:
    """Return how long the recorder stays without a live writer and without progress.

    What waits for a server that is away is sent when it is back, without another run or `tracker sync`.
    """
    if not getattr(work, "has_more", False):
        return IDLE_SECONDS
    try:
        return float(os.environ["TRACKER_SENDING_SECONDS"])
    except (KeyError, ValueError):
        return SENDING_SECONDS


def _worker(layout: Layout) -> Follower | Sender:
    remote = remote_of(layout)
    if remote is not None:
        from tracker.recorder.send import Sender

        return Sender(layout, remote, host_name())
    from tracker.recorder.finalizer import Finalizer
    from tracker.recorder.follow import Follower
    from tracker.recorder.open_store import open_store

    return Follower(open_store(layout.root, takes_over=False), host_name(), Finalizer(), stays=True)


def _detach(lock: int | None) -> None:
    """Hold nothing of the process that started this one but the lock that it took."""
    end = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # not the soft one: it may have been lowered since
    end = end if 0 < end < 2**20 else 2**20
    if lock is not None:
        os.closerange(3, lock)
    os.closerange(3 if lock is None else lock + 1, end)
    os.chdir("/")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
