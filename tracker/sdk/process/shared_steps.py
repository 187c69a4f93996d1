"""A shared counter from which several processes of one host take the steps of a run.

A process counts steps by itself until it is forked, or until it hands its run to another process. Then it
creates the counter: an unnamed file that all processes map into memory. Forked children inherit the file. A
process that was handed the run opens the file through ``/proc`` while its creator lives.
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
# Magic, checksum of the run's path, next step, and number of children that have opened a segment.
_CONTENT = struct.Struct("=20s4sqq")
_NEXT, _CHILDREN = 3, 4  # index of the last two when the content is read as 64-bit numbers
# How long a row waits while another process takes its step.
PATIENCE_SECONDS = 1.0
# Local folders, independent of TMPDIR: a lock on a network file system needs a round trip.
_FOLDERS = ("/dev/shm", "/tmp")
# Number of the open row when no row is open. It is not None, so that `log` always calls `place`.
_NONE_OPEN = -1


class StepFile:
    """The shared counter.

    Args:
        descriptor: Descriptor of the file. It is closed together with this object.
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
        """Create the counter of a run.

        Args:
            run: ``ENTITY/PROJECT/ID``.
            step: The run's next step.

        Raises:
            OSError: The file cannot be created.
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
        """Return the counter of a run that another process has created; None when it is not there.

        Args:
            run: ``ENTITY/PROJECT/ID``.
            pid: Process id of the other process.
            descriptor: Descriptor of the file in the other process.
        """
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
        """The next step that no process has taken."""
        return self._numbers[_NEXT]

    @next.setter
    def next(self, step: int) -> None:
        self._numbers[_NEXT] = step

    @property
    def children(self) -> int:
        """Number of children that have started to write."""
        return self._numbers[_CHILDREN]

    def add_child(self) -> None:
        """Count this process, a child that starts to write."""
        if _identity(self.descriptor) != self._file:
            # A daemon closes inherited descriptors, and the number may now belong to another file.
            self._close.detach()
            self.descriptor = -1
        self.lock()
        try:
            self._numbers[_CHILDREN] += 1
        finally:
            self.free()

    def lock(self) -> None:
        """Lock the counter against other processes, if possible. The run's lock is for other threads."""
        until = 0.0
        while True:
            try:
                fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                until = until or time.monotonic() + self._patience
                if time.monotonic() < until:
                    time.sleep(0.0001)
                    continue
                # The lock's owner was stopped. Continue without the lock, now and in later calls: a step may
                # then be used twice, but no row waits.
                self._patience = 0.0
            except (OSError, ValueError):
                pass
            else:
                self._patience = PATIENCE_SECONDS
            return

    def free(self) -> None:
        """Unlock the counter."""
        with suppress(OSError, ValueError):
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN)


class SharedSteps(StepCounter):
    """A ``StepCounter`` for a run that several processes write.

    A new row gets a step that no process of the run has used. An open row keeps its step, even if other
    processes log in the meantime. A call with another step that may have been used makes a separate row.

    Args:
        file: The shared counter.
        before: The counter that this process has used so far; None in a child.
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
            row, at = self.state[1], self.file.next  # fast path for nearly every call
            self.state = (at, row + 1, _NONE_OPEN)
            self.file.next = at + 1
            return row, at, COMMIT
        finally:
            self.file.free()

    def _place(self, step: int | None, commit: bool | None) -> RowPosition:
        before = begun, next_row, open_row = self.state
        is_open, next_step = open_row != _NONE_OPEN, self.file.next
        self.may_go_back = next_step == self._start  # no row was logged since the counter was created
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
