"""A writer that is killed, and the calls that it acknowledged before.

The crash test compares a store with these acknowledged calls, never with the journal. A child process logs
numbered calls as fast as it can. After each call has returned, and only then, the child sends the call's
number through a pipe. Each call logs its own number, so a store's history shows which calls it contains.
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
from tracker.journal.coalesced import ENDING as TAIL_ENDING
from tracker.journal.coalesced import Tail, read_tail
from tracker.journal.reader import split_frames
from tracker.recorder.tails import following_journal
from tracker.sdk.run.run import Run
from tracker.store.objects.layout import Layout

ENTITY, PROJECT = "doctor", "crash-test"
# The keys k0 to k9 are used in turn, so that two calls of one row never write the same key.
KEYS = tuple(f"k{at}" for at in range(10))
# Number of calls without a pause. On a slow disk fewer of them come before the kill.
BURST = 20_000
MEDIA_EVERY = 30
# A writer whose last message is older than this at the kill was not inside its burst.
STALLED_SECONDS = 0.25
# The kill comes at a random moment within this many seconds after the first call.
LONGEST_LIFE = 0.1
_WORD = struct.Struct("<qd")
_OVER = -1


class Killed(NamedTuple):
    """A killed writer.

    Attributes:
        run_id: Id of its run.
        acknowledged: Number of the last call that had returned.
        inside: Whether the kill came inside the burst of writes.
        journal: Content of its journal, read through a descriptor that was opened before the kill.
        name: File name of the journal.
        following: Content of the journal after it, which has the records in the tail of the writer; empty if
            there are none.
    """

    run_id: str
    acknowledged: int
    inside: bool
    journal: bytes
    name: str
    following: bytes


def kill_a_writer(store: Path, number: int, chance: random.Random) -> Killed:
    """Start a child that logs into ``store``, and kill it at a random moment.

    Args:
        store: Folder of the store.
        number: Number of the run, part of its id.
        chance: Random generator for the moment of the kill.

    Returns:
        The killed writer with the calls that it acknowledged.
    """
    run_id = f"run{number:05d}"
    reading, writing = os.pipe()
    worker = Worker(_write, store, run_id, writing)
    os.close(writing)
    try:
        listener = _Listener(reading)
        listener.wait_for_first(worker)
        journal = _open_file(worker.pid, str(Layout(store).host_journals(host_name())))
        tail = _open_file(worker.pid, TAIL_ENDING)
        listener.listen(chance.uniform(0, LONGEST_LIFE))
        killed_at = time.monotonic()
        killed = worker.kill()
        listener.listen_to_end()
    finally:
        worker.kill()
        os.close(reading)
    if journal is None:
        raise RuntimeError(f"writer {worker.pid} has no journal open")
    inside = killed and not listener.over and killed_at - listener.said_at < STALLED_SECONDS
    with open(journal[1], "rb") as file:
        content = file.read()
    following = b""
    if tail is not None:
        with open(tail[1], "rb") as file:
            following = _rest(content, read_tail(file.fileno()))
    return Killed(run_id, listener.last, inside, content, journal[0], following)


def _rest(journal: bytes, tail: Tail) -> bytes:
    """Return the content of the file after a journal that has the records of its writer's tail."""
    written = split_frames(journal[tail.offset :], tail.owner.segment, tail.offset, None)
    return following_journal(tail, written[-1].sequence if written else -1, 1)[0]


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


def _open_file(pid: int, part: str) -> tuple[str, int] | None:
    """Open a file that ``pid`` has open: it stays readable after another process deletes it.

    Args:
        pid: The writer.
        part: A part of the path of the file.
    """
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # the writer has just closed it
            target = os.readlink(entry)
            if part in target:
                return Path(target).name, os.open(target, os.O_RDONLY | os.O_CLOEXEC)
    return None


def _write(store: Path, run_id: str, pipe: int) -> None:
    # Import these modules before the first call: importing them would take longer than the writer lives.
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
    signal.pause()  # wait for the kill, which comes after the burst


def log_call(run: Run, number: int) -> None:
    """Make call ``number``. The calls together use ``step``, ``commit``, media, tables and unusual values."""
    kind = number % 10
    data: dict[str, object] = {KEYS[kind]: number}
    if number % MEDIA_EVERY == 7:
        data["table"] = tracker.Table(["call"], [[number]])
    if kind == 0:
        run.log(data | {"text": f"call {number} \u00fc"})
    elif kind in (1, 2):
        run.log(data, commit=False)
    elif kind == 4:
        run.log(data, step=run.step + 3)  # the row stays open
    elif kind == 5:
        run.log(data, step=run.step)  # extends the open row
    elif kind == 6:
        run.log(data, step=0)  # a step smaller than the last one: makes a row of its own
    elif kind == 8:
        run.log(data | {"nan": math.nan, "inf": -math.inf, "huge": 2**70 + number})
    else:
        run.log(data | {"nested": {"list": [number, None, True]}})
