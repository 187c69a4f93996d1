"""Writing one segment: records go to a journal at once; a full disk is waited out in memory."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import deque

from tracker.errors import JournalError
from tracker.journal.writer import JournalWriter
from tracker.processes import host_name
from tracker.recorder.election import ensure_recorder
from tracker.records import RowsLost, encode
from tracker.store.layout import Layout
from tracker.terminal import say

# Records that cannot be written wait in memory up to this many bytes; what is beyond is counted.
LARGEST_BACKLOG = 64 * 1024 * 1024
# A follower on another host takes a journal untouched for 60 s for a dead writer's.
TOUCH_SECONDS = 15.0
# How soon a killed recorder is noticed and replaced.
RECORDER_SECONDS = 5.0


class SegmentWriter:
    """The only writer of one segment, for all threads of one process.

    ``put`` encodes nothing and waits for nothing: one frame, one ``write(2)``. A helper thread forces
    the file to the disk, shows that the writer lives, replaces a killed recorder and, after a failed
    write, tries a new journal file until writing works again.

    Args:
        layout: The store or outbox.
        fsync_seconds: How often the journal is forced to the disk.
        recorder: Whether a recorder is wanted on this host.
        silent: Print nothing.

    Raises:
        JournalError: The first journal file cannot be made.
    """

    def __init__(self, layout: Layout, *, fsync_seconds: float, recorder: bool, silent: bool) -> None:
        self.segment = secrets.token_hex(16)
        self.layout = layout
        self.host = host_name()
        self._silent = silent
        self._recorder = recorder
        self._fsync_seconds = fsync_seconds
        self._lock = threading.Lock()
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes = 0
        self._lost = 0
        self._reason = ""
        self._closed = False
        self._deleted = False
        self._wake = threading.Event()
        layout.host_journals(self.host).mkdir(parents=True, exist_ok=True)
        self._journal = JournalWriter(layout.journal(self.host, self.segment, 0), self.segment)
        self._dirty = True
        self._thread = threading.Thread(target=self._tend, name="tracker-journal", daemon=True)
        self._thread.start()

    def put(self, payload: bytes) -> None:
        """Write one record. When this returns, it survives SIGKILL of this process.

        After a failed write it is kept in memory instead, and written when that works again.
        """
        with self._lock:
            if not self._backlog:
                try:
                    self._journal.append(payload)
                except JournalError as error:
                    if not self._journal.poisoned:
                        raise  # the record itself is at fault: it is too large
                    self._start_backlog(payload, error)
                else:
                    self._dirty = True
                return
            self._keep(payload)

    def flush(self) -> bool:
        """Write what waits in memory and force the journal to the disk; return whether all is written."""
        with self._lock:
            if self._backlog:
                self._try_new_journal()
            if self._backlog:
                return False
            self._sync()
            return True

    def close(self) -> bool:
        """Flush and close; return False when records could not be written and are lost."""
        written = self.flush()
        with self._lock:
            self._closed = True
            self._journal.close()
            if not written:
                say(
                    f"{len(self._backlog) + self._lost} records could not be written to {self.layout.root} "
                    f"({self._reason}) and are lost; all before them are safe",
                    silent=self._silent,
                )
        self._wake.set()
        self._look_after_recorder()  # the run may be over before the helper thread came to it
        return written

    def abandon(self) -> None:
        """In a forked child: let go of the parent's journal without touching it."""
        self._closed = True
        self._lock = threading.Lock()  # another thread of the parent may have held it
        self._journal.close()

    def _start_backlog(self, payload: bytes, error: JournalError) -> None:
        self._reason = error.reason
        say(
            f"cannot write to {self.layout.root}: {error.reason}. "
            f"Up to {LARGEST_BACKLOG // 2**20} MB of records are kept in memory until writing works again; "
            "what was written is safe",
            silent=self._silent,
        )
        self._keep(payload)

    def _keep(self, payload: bytes) -> None:
        if self._backlog_bytes + len(payload) > LARGEST_BACKLOG:
            self._lost += 1
            return
        self._backlog.append(payload)
        self._backlog_bytes += len(payload)

    def _try_new_journal(self) -> None:
        """Go on in a new file; nobody ever writes behind a failed write in the old one."""
        old = self._journal
        path = self.layout.journal(self.host, self.segment, old.index + 1)
        try:
            fresh = JournalWriter(path, self.segment, old.index + 1, old.sequence)
        except JournalError:
            path.unlink(missing_ok=True)  # a file without a whole header would only confuse readers
            return
        try:
            while self._backlog:
                fresh.append(self._backlog[0])
                self._backlog_bytes -= len(self._backlog.popleft())
            if self._lost:
                fresh.append(encode(RowsLost(self._lost, self._reason, time.time())))
        except JournalError:
            self._journal = fresh  # poisoned in its turn: the next attempt opens the one after it
            old.close()
            return
        self._journal, self._dirty = fresh, True
        old.close()
        lost = f"; {self._lost} records were lost" if self._lost else ""
        self._lost = 0
        say(f"writing to {self.layout.root} works again{lost}", silent=self._silent)

    def _sync(self) -> None:
        if self._dirty:
            self._dirty = False
            try:
                self._journal.sync()
            except JournalError as error:
                say(str(error), silent=self._silent)

    def _tend(self) -> None:
        self._look_after_recorder()
        self._touched = self._looked = time.monotonic()
        complained = False
        while not self._wake.wait(self._fsync_seconds):
            try:
                if not self._tend_once():
                    return
            except OSError as error:  # out of descriptors, say: this thread must not end for it
                if not complained:
                    complained = True
                    say(f"cannot look after {self.layout.root}: {error.strerror}", silent=self._silent)

    def _tend_once(self) -> bool:
        now = time.monotonic()
        with self._lock:
            if self._closed:
                return False
            if self._backlog:
                self._try_new_journal()
            if now - self._touched > TOUCH_SECONDS:
                self._touched = now
                self._journal.touch()
            if not self._deleted and self._journal.vanished:
                self._deleted = True
                say(
                    f"the journal in {self.layout.root} was deleted: what this run logs is lost from here "
                    "on; finish it and begin a new one",
                    silent=self._silent,
                )
            descriptor = self._journal.duplicate() if self._dirty else -1
            self._dirty = False
        if descriptor >= 0:  # outside the lock: a slow disk must not hold up log()
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
        if now - self._looked > RECORDER_SECONDS:
            self._looked = now
            self._look_after_recorder()
        return True

    def _look_after_recorder(self) -> None:
        """Start a recorder unless one lives, or none is wanted."""
        if self._recorder:
            try:
                ensure_recorder(self.layout)
            except OSError as error:
                say(f"cannot start a recorder: {error.strerror}; the journal waits", silent=self._silent)
