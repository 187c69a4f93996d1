"""A writer that is killed, and what it said before: the crash test's oracle, never the journal.

A child logs numbered calls as fast as it can. After each call has returned, and only then, it sends the
call's number through a pipe. Each call logs its own number, so a store's history tells which calls it has.
"""

from __future__ import annotations

import importlib
import math
import os
import random
import selectors
import signal
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import tracker
from tracker.crashtest.children import Worker
from tracker.ground.processes import host_name
from tracker.sdk.run.run import Run
from tracker.store.objects.layout import Layout

ENTITY, PROJECT = "doctor", "crash-test"
# The keys k0 to k9 take turns, so that no two calls of one row write the same one.
KEYS = tuple(f"k{at}" for at in range(10))
# A burst: so many calls without a pause. A disk that makes them slow has less of them before the kill.
BURST = 20_000
MEDIA_EVERY = 30
# A writer whose last word is older than this at the kill was not inside its burst.
STALLED_SECONDS = 0.25
# The kill comes at a random moment up to so long after the first call.
LONGEST_LIFE = 0.1
_WORD = struct.Struct("<qd")
_OVER = -1


class Killed(NamedTuple):
    """A writer's end.

    Attributes:
        run_id: Its run.
        acknowledged: Number of the last call that had returned.
        inside: Whether the kill came inside the burst of writes.
        journal: Its journal's content, read through a descriptor that was opened while it lived.
        name: The journal's file name.
    """

    run_id: str
    acknowledged: int
    inside: bool
    journal: bytes
    name: str


def kill_a_writer(store: Path, number: int, chance: random.Random) -> Killed:
    """Let a child log into ``store``, kill it at a random moment, return what it had said."""
    run_id = f"run{number:05d}"
    reading, writing = os.pipe()
    worker = Worker(_write, store, run_id, writing)
    os.close(writing)
    try:
        listener = _Listener(reading)
        listener.wait_for_first(worker)
        journal = _open_journal(store, worker.pid)
        listener.listen(chance.uniform(0, LONGEST_LIFE))
        killed_at = time.monotonic()
        killed = worker.kill()
        listener.listen_to_end()
    finally:
        worker.kill()
        os.close(reading)
    inside = killed and not listener.over and killed_at - listener.said_at < STALLED_SECONDS
    with open(journal[1], "rb") as file:
        content = file.read()
    return Killed(run_id, listener.last, inside, content, journal[0])


class _Listener:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = b""
        self.last = -1
        self.said_at = 0.0
        self.over = False

    def wait_for_first(self, worker: Worker) -> None:
        while self.last < 0:
            if not self._read():
                raise RuntimeError(
                    f"a writer ended with status {worker.wait()} before its first call returned"
                )

    def listen(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._descriptor, selectors.EVENT_READ)
            while (left := end - time.monotonic()) > 0:
                if selector.select(left):
                    self._read()

    def listen_to_end(self) -> None:
        while self._read():
            pass

    def _read(self) -> bool:
        data = os.read(self._descriptor, 65536)
        self._buffer += data
        whole = len(self._buffer) // _WORD.size * _WORD.size
        for number, said_at in _WORD.iter_unpack(self._buffer[:whole]):
            if number == _OVER:
                self.over = True
            else:
                self.last, self.said_at = number, said_at
        self._buffer = self._buffer[whole:]
        return bool(data)


def _open_journal(store: Path, pid: int) -> tuple[str, int]:
    """Open the journal that ``pid`` has open: it stays readable when somebody seals and deletes it."""
    folder = str(Layout(store).host_journals(host_name()))
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # the writer has just closed it
            target = os.readlink(entry)
            if target.startswith(folder):
                return Path(target).name, os.open(target, os.O_RDONLY | os.O_CLOEXEC)
    raise RuntimeError(f"writer {pid} has no journal open")


def _write(store: Path, run_id: str, pipe: int) -> None:
    # What the first table imports would take longer than the writer lives.
    for module in ("sdk.run.media", "sdk.run.artifacts", "data_types.table_files", "data_types.column_types"):
        importlib.import_module(f"tracker.{module}")
    run = tracker.init(
        entity=ENTITY,
        project=PROJECT,
        id=run_id,
        mode="offline",
        settings={"store": store, "journal_only": True, "silent": True, "fsync_seconds": 0.05},
    )
    for number in range(BURST):
        log_call(run, number)
        os.write(pipe, _WORD.pack(number, time.monotonic()))
    os.write(pipe, _WORD.pack(_OVER, time.monotonic()))
    signal.pause()  # to be killed, too late


def log_call(run: Run, number: int) -> None:
    """Make call ``number``: together they use ``step``, ``commit``, media, tables and odd values."""
    kind = number % 10
    data: dict[str, object] = {KEYS[kind]: number}
    if number % MEDIA_EVERY == 7:
        data["table"] = tracker.Table(["call"], [[number]])
    if kind == 0:
        run.log(data | {"text": f"call {number} \u00fc"})
    elif kind in (1, 2):
        run.log(data, commit=False)
    elif kind == 4:
        run.log(data, step=run.step + 3)  # stays open
    elif kind == 5:
        run.log(data, step=run.step)  # is added to it
    elif kind == 6:
        run.log(data, step=0)  # smaller than the last: a row of its own
    elif kind == 8:
        run.log(data | {"nan": math.nan, "inf": -math.inf, "huge": 2**70 + number})
    else:
        run.log(data | {"nested": {"list": [number, None, True]}})
