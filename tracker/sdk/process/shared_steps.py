"""The steps of a run to which several processes of one host log: they take them from one counter.

A run has none until it is forked or handed over: until then its process counts by itself. The counter is a
file without a name, in memory of all of them: forked children inherit it, and a process that is handed the
run opens it by way of ``/proc`` while the one that made it lives.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
import weakref
import zlib
from contextlib import suppress

from tracker.errors import UsageError
from tracker.ground.records import ASIDE, COMMIT
from tracker.runstate.steps import RowPosition, StepCounter

_MAGIC = b"airgap-tracker steps"
# A checksum of the run's path, the next step, and how many children have begun a segment.
_CONTENT = struct.Struct("=20s4sqq")
_NEXT, _CHILDREN = 3, 4  # as one of the 64-bit numbers that these are
# So long a row waits for another process to take its step.
PATIENCE_SECONDS = 1.0
# On this machine, whatever TMPDIR is: a lock on a network's file system takes a round trip.
_FOLDERS = ("/dev/shm", "/tmp")
# Stands for the number of the open row when there is none: `log` then asks `place`, whatever the call.
_NONE_OPEN = -1


class StepFile:
    """The counter.

    Args:
        descriptor: Of the file; closed with this object.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._patience = PATIENCE_SECONDS
        self._numbers = memoryview(mmap.mmap(descriptor, _CONTENT.size)).cast("q")
        self._file = _identity(descriptor)
        self._close = weakref.finalize(self, os.close, descriptor)
        self._close.atexit = False

    @classmethod
    def make(cls, run: str, step: int) -> StepFile:
        """Make the counter of a run, ``ENTITY/PROJECT/ID``, of which ``step`` is the next step.

        Raises:
            OSError: There is no room for it.
        """
        content = _CONTENT.pack(_MAGIC, _hash(run), step, 0)
        reason = OSError("no folder to write to")
        for folder in _FOLDERS:
            path = os.path.join(folder, "tracker-steps-" + os.urandom(8).hex())
            descriptor = -1
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                os.unlink(path)
                os.write(descriptor, content)
                return cls(descriptor)
            except OSError as error:  # a container's /dev/shm is often full
                reason = error
                if descriptor >= 0:
                    os.close(descriptor)
        raise reason

    @classmethod
    def open(cls, run: str, pid: int, descriptor: int) -> StepFile | None:
        """Return the counter of a run that another process has; None when it has none there."""
        try:
            found = os.open(f"/proc/{pid}/fd/{descriptor}", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        with suppress(OSError, struct.error):
            if _CONTENT.unpack(os.pread(found, _CONTENT.size, 0))[:2] == (_MAGIC, _hash(run)):
                return cls(found)
        os.close(found)
        return None

    @property
    def next(self) -> int:
        """The next step that nobody has."""
        return self._numbers[_NEXT]

    @next.setter
    def next(self, step: int) -> None:
        self._numbers[_NEXT] = step

    @property
    def children(self) -> int:
        """How many children have begun to write."""
        return self._numbers[_CHILDREN]

    def add_child(self) -> None:
        """Note that this process, a child, begins to write."""
        if _identity(self.descriptor) != self._file:
            # A daemon closes what it inherited, and the number may be another file's by now.
            self._close.detach()
            self.descriptor = -1
        self.lock()
        try:
            self._numbers[_CHILDREN] += 1
        finally:
            self.free()

    def lock(self) -> None:
        """Keep other processes from taking a step, if that can be; the run's lock keeps threads."""
        until = 0.0
        while True:
            try:
                fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                until = until or time.monotonic() + self._patience
                if time.monotonic() < until:
                    time.sleep(0.0001)
                    continue
                # Its holder was stopped: a step may be there twice, but nothing waits, not again either.
                self._patience = 0.0
            except (OSError, ValueError):
                pass
            else:
                self._patience = PATIENCE_SECONDS
            return

    def free(self) -> None:
        """Let others go on."""
        with suppress(OSError, ValueError):
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN)


class SharedSteps(StepCounter):
    """As ``StepCounter``, but a row gets a step that no process of the run has had, when it is begun.

    A row that is open keeps its step, whatever others log meanwhile. Any other step that others may have had
    makes a row of its own.

    Args:
        file: The counter.
        before: How this process has counted; None in a child.
    """

    file: StepFile

    def __init__(self, file: StepFile, before: StepCounter | None = None) -> None:
        self.file = file
        step, next_row, row = before.state if before is not None else (0, 0, None)
        self.state = (step, next_row, _NONE_OPEN if row is None else row)
        self._start = file.next if before is not None else None

    @property
    def step(self) -> int:
        """See ``StepCounter``."""
        return self.file.next if self.state[2] == _NONE_OPEN else self.state[0]

    @property
    def next_step(self) -> int:
        """See ``StepCounter``."""
        return self.file.next

    def for_child(self) -> SharedSteps:
        """See ``StepCounter``."""
        return SharedSteps(self.file)

    def continue_at(self, step: int) -> None:
        """See ``StepCounter``."""
        self.file.next = step

    def place(self, step: int | None = None, commit: bool | None = None) -> RowPosition:
        """See ``StepCounter``."""
        self.file.lock()
        try:
            if step is not None or commit is not None or self.state[2] != _NONE_OPEN:
                return self._place(step, commit)
            row, at = self.state[1], self.file.next  # nearly every call, at less cost
            self.state = (at, row + 1, _NONE_OPEN)
            self.file.next = at + 1
            return row, at, COMMIT
        finally:
            self.file.free()

    def _place(self, step: int | None, commit: bool | None) -> RowPosition:
        before = begun, next_row, open_row = self.state
        is_open, next_step = open_row != _NONE_OPEN, self.file.next
        self.may_go_back = next_step == self._start  # nobody has logged since
        if not is_open or (step is not None and begun < step < next_step):
            begun = next_step
        self.state = (begun, next_row, open_row if is_open else None)
        try:
            placed = super().place(step, commit)
        except UsageError:
            self.state = before
            raise
        _, next_row, row = self.state
        if placed[2] & ASIDE:
            self.state = (before[0], next_row, open_row)
        else:
            self.state = (placed[1], next_row, _NONE_OPEN if row is None else row)
            if not is_open or placed[1] != before[0]:
                self.file.next = placed[1] + 1
        return placed


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _hash(run: str) -> bytes:
    return zlib.crc32(run.encode("utf-8", "surrogatepass")).to_bytes(4, "little")
