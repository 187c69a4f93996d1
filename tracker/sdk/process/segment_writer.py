"""Writing one segment: records go to a journal at once; a full disk is waited out in memory."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.capture import logs
from tracker.capture.logs import file_of
from tracker.errors import JournalError
from tracker.ground.processes import host_name
from tracker.ground.records import RowsLost, encode
from tracker.ground.terminal import printable, say
from tracker.journal.format import HEADER
from tracker.journal.writer import JournalWriter
from tracker.recorder.election import ensure_recorder
from tracker.recorder.failure_file import ALL, note_failures, read_failures
from tracker.sdk.process import active_runs
from tracker.store.catalog.locks import shared
from tracker.store.objects.atomic_files import make_folder, sync_folder, sync_named
from tracker.store.objects.layout import Layout

if TYPE_CHECKING:
    from tracker.store.blobs.content import BlobStore
    from tracker.store.objects.digests import Digests

# Records that cannot be written wait in memory up to this many bytes; what is beyond is counted.
LARGEST_BACKLOG = 64 * 1024 * 1024
# A follower on another host takes a journal untouched for 60 s for a dead writer's.
TOUCH_SECONDS = 15.0
# How soon a killed recorder is noticed and replaced.
RECORDER_SECONDS = 5.0
# A recorder stays while a writer lives: after so many starts one after the other, something is wrong.
MOST_STARTS = 4
# How often the helper thread looks around, at least, however seldom the disk is to be asked.
LOOK_SECONDS = 1.0
# A disk that refuses every sync is given a new file no more often than this.
SYNC_PATIENCE = 60.0
# A file up to this size is read at once, and waits in memory when the disk is full.
WHOLE_BYTES = 16 * 1024 * 1024
# Stands in the backlog for the sequence number of what is no record but a blob's content.
_BLOB = -1


class SegmentWriter:
    """The only writer of one segment, for all threads of one process.

    ``put`` encodes nothing and waits for nothing: one frame, one ``write(2)``. A helper thread forces
    what is written to the disk, shows that the writer lives, replaces a killed recorder and, after a failed
    write, tries a new journal file until writing works again.

    Args:
        layout: The store or outbox.
        lock: Held by whoever calls ``put``; the helper thread takes it only when writing has failed.
        fsync_seconds: How often the journal is forced to the disk.
        recorder: Whether a recorder is wanted on this host.
        silent: Print nothing.
        alone: Nobody on this host applies what is written, and forces to the disk what it names.
        patient: A first journal file that cannot be made is waited for as any other is later.

    Raises:
        JournalError: The first journal file cannot be made.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        lock: threading.RLock,
        fsync_seconds: float,
        recorder: bool,
        silent: bool,
        alone: bool = False,
        patient: bool = False,
    ) -> None:
        self.segment = os.urandom(16).hex()
        self.layout = layout
        self.host = host_name()
        self._silent = silent
        self._recorder = recorder
        self._alone = alone
        self._fsync_seconds = fsync_seconds
        self._lock = lock
        # Keeps the journal's descriptor open while the helper thread uses it.
        self._descriptor_lock = threading.Lock()
        # Each record with its sequence number: whether it was written is then known after any interrupt.
        self._backlog: deque[tuple[int, bytes]] = deque()
        self._backlog_bytes = 0
        self._lost = 0
        self._reason = ""
        self._trust_until = 0.0
        self._doubt = ""  # why the journal is to be given up as soon as a new file may be made
        self._unsynced: deque[Path] = deque()  # files that are to be forced to the disk
        self._file_lock = threading.Lock()
        self._closed = False
        self._deleted = False
        self._complained = False
        self._told = False
        self._starts = 0  # of recorders, one after the other
        self._began = time.time()
        self._wake = threading.Event()
        make_folder(layout.host_journals(self.host))
        self._journal = self._first(patient=patient)
        # The file that was last forced to the disk, and the number of the record it then waited for.
        self._durable: tuple[JournalWriter | None, int] = (
            self._written if self._journal.poisoned else (None, 0)
        )
        self._is_new = True  # its entry in the folder is still to be forced
        self._synced = time.monotonic()
        self._thread = threading.Thread(target=self._tend, name="tracker-journal", daemon=True)
        self._thread.start()

    def _first(self, *, patient: bool) -> JournalWriter:
        path = self.layout.journal(self.host, self.segment, 0)
        try:
            return JournalWriter(path, self.segment)
        except JournalError as error:
            if not patient:
                raise
            path.unlink(missing_ok=True)
            self._note_failure(error.reason)
            return JournalWriter.failed(path, self.segment)

    def put(self, payload: bytes) -> None:
        """Write one record, under the lock. When this returns, it survives SIGKILL of this process.

        After a failed write it is kept in memory instead, and written when that works again.
        """
        if self._backlog:
            self._keep(self._next_sequence(), payload)
            return
        try:
            self._journal.append(payload)
        except JournalError as error:
            if not self._journal.poisoned:
                raise  # the record itself is at fault: it is too large
            self._note_failure(error.reason)
            self._keep(self._next_sequence(), payload)

    def put_blob(self, data: bytes) -> Digests | None:
        """Store the content of a file, before the record that names it.

        After a failed write it is kept in memory instead; None when there is no room for it any more,
        and no record may then name it.
        """
        blobs = self._blobs
        try:
            blob = blobs.add_bytes(data)
            self.sync_files((blobs.path(blob.sha256),))
            return blob
        except OSError as error:
            with self._lock:
                self._note_failure(_reason(error))
                return blobs.name(data) if self._keep(_BLOB, data) else None

    def put_blob_of(self, file: str) -> Digests | None:
        """Store the content of a file on the disk, piece by piece; as ``put_blob``.

        Raises:
            OSError: It cannot be read.
        """
        with open(file, "rb") as source:
            if os.fstat(source.fileno()).st_size <= WHOLE_BYTES:
                return self.put_blob(source.read())
            try:
                blob = self._blobs.add_chunks(iter(lambda: source.read(WHOLE_BYTES), b""))
            except OSError as error:
                with self._lock:
                    self._note_failure(_reason(error))
                return None
        self.sync_files((self._blobs.path(blob.sha256),))
        return blob

    @cached_property
    def _blobs(self) -> BlobStore:
        # It loads OpenSSL, and many runs log no files.
        from tracker.store.blobs.content import BlobStore

        return BlobStore(self.layout)

    def sync_files(self, paths: Iterable[Path]) -> None:
        """Have files that records name forced to the disk in the background, unless who applies them does."""
        if self._alone:
            self._unsynced.extend(paths)

    def flush(self) -> bool:
        """Write what waits in memory and force all to the disk; return whether all is written."""
        self._sync_files()
        with self._lock:
            if self._reason or self._journal.poisoned:
                self._try_new_journal()
            if self._reason:
                return False
            self._sync()
            return True

    def close(self) -> bool:
        """Flush and close; return False when records could not be written and are lost.

        Where an interrupt ended it, a second call goes on.
        """
        if not self._closed:
            self.flush()
        with self._lock:
            with self._descriptor_lock:
                self._closed = True
                self._journal.close()
            lost = len(self._backlog) + self._lost
            if lost:
                say(
                    f"{lost} records could not be written to {self.layout.root} "
                    f"({self._reason}) and are lost; all before them are safe",
                    silent=self._silent,
                )
        self._wake.set()
        self._look_after_recorder(last=True)  # the run may be over before the helper thread came to it
        return lost == 0

    def join(self, seconds: float) -> None:
        """Wait until the helper thread of a closed segment has ended, for so long at the most."""
        if self._thread is not threading.current_thread():
            self._thread.join(seconds)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's journal without touching it."""
        self._closed = True
        self._journal.close()

    def _note_failure(self, reason: str) -> None:
        if self._reason:
            return  # told already
        self._reason = reason
        say(
            f"cannot write to {self.layout.root}: {reason}. "
            f"Up to {LARGEST_BACKLOG // 2**20} MB of records are kept in memory until writing works again; "
            "what was written is safe",
            silent=self._silent,
        )

    def _next_sequence(self) -> int:
        waiting = (sequence for sequence, _ in reversed(self._backlog) if sequence != _BLOB)
        return next(waiting, self._journal.sequence - 1) + 1

    def _keep(self, sequence: int, data: bytes) -> bool:
        if self._backlog_bytes + len(data) > LARGEST_BACKLOG:
            self._lost += 1
            return False
        self._backlog.append((sequence, data))
        self._backlog_bytes += len(data)
        return True

    def _try_new_journal(self) -> None:
        """Go on in a new file; nobody ever writes behind a failed write in the old one.

        An interrupt (Ctrl-C in ``finish``) may end this anywhere; the next attempt then goes on.
        """
        old = self._journal
        try:
            old.settle()
            index = self._free_index(old)
            path = self.layout.journal(self.host, self.segment, index)
            fresh = self._make(path, index, old.sequence)
            if fresh is None:
                return
            self._journal = fresh  # before anything but a header stands in it
            self._is_new, self._doubt = True, ""
            with self._descriptor_lock:
                old.close()
            with shared(self.layout.naming_lock):
                self._write_backlog()
        except (JournalError, OSError):
            return  # poisoned in its turn: the next attempt opens another one
        if self._reason:
            lost = f"; {self._lost} records were lost" if self._lost else ""
            self._lost, self._reason = 0, ""
            say(f"writing to {self.layout.root} works again{lost}", silent=self._silent)

    def _make(self, path: Path, index: int, sequence: int) -> JournalWriter | None:
        for _ in range(2):  # an attempt that was interrupted may have left the file
            try:
                return JournalWriter(path, self.segment, index, sequence)
            except JournalError:
                path.unlink(missing_ok=True)  # a file without a whole header would only confuse readers
        return None

    def _free_index(self, old: JournalWriter) -> int:
        """Return the next file's number; an attempt that left nothing but a header is taken back."""
        try:
            empty = old.path.stat().st_size <= HEADER.size
        except FileNotFoundError:  # taken back by the attempt before this one, or deleted by somebody
            empty = old.offset <= HEADER.size
        if empty:
            old.path.unlink(missing_ok=True)
        return old.index if empty else old.index + 1

    def _write_backlog(self) -> None:
        while self._backlog:
            sequence, data = self._backlog[0]
            if sequence == _BLOB:
                self.sync_files((self._blobs.path(self._blobs.add_bytes(data).sha256),))
            else:
                self._journal.settle()
                if self._journal.sequence <= sequence:  # else it was written, and then came the interrupt
                    self._journal.append(data)
            self._backlog.popleft()
            self._backlog_bytes -= len(data)
        self._backlog_bytes = 0
        if self._reason:
            self._journal.append(encode(RowsLost(self._lost, self._reason, time.time())))

    def _sync(self) -> None:
        written = self._written
        if self._durable != written:
            try:
                self._journal.sync()
            except JournalError as error:
                self._distrust(self._journal, error.reason)
            else:
                self._durable = written  # not before: an interrupt must not make it look done
        self._sync_folder()

    @property
    def _written(self) -> tuple[JournalWriter, int]:
        journal = self._journal
        return journal, journal.sequence

    def _sync_folder(self) -> None:
        """Force the entry of a new file to the disk, without which its content is nowhere."""
        if self._is_new:
            self._is_new = False
            try:
                sync_folder(self._journal.path.parent)
            except OSError as error:
                self._complain(error)

    def _sync_files(self) -> None:
        with self._file_lock:
            while self._unsynced:
                try:
                    sync_named(self._unsynced[0])
                except OSError as error:
                    self._complain(error)
                self._unsynced.popleft()

    def _distrust(self, journal: JournalWriter, reason: str) -> None:
        """Go on in a new file after a failed sync: the kernel may have dropped what it could not write."""
        if journal is not self._journal or self._closed:
            return  # given up already
        now = time.monotonic()
        if now > self._trust_until:
            self._trust_until = now + SYNC_PATIENCE
            journal.poisoned = True
            self._note_failure(f"{reason} (syncing {journal.path.name})")
            self._try_new_journal()
        else:
            # It is synced again, which may look like a success; it is given up all the same when it may be.
            self._durable, self._doubt = (None, 0), reason

    def _tend(self) -> None:
        self._look_after_recorder()
        self._touched = self._looked = time.monotonic()
        while not self._wake.wait(min(self._fsync_seconds, LOOK_SECONDS)):
            try:
                if not self._tend_once():
                    return
            except Exception as error:  # out of descriptors, say: this thread must not end for it
                self._complain(error)

    def _complain(self, error: Exception) -> None:
        if not self._complained:
            self._complained = True
            logs.log(logs.ERROR, f"cannot look after {self.layout.root}", error)
            say(f"cannot look after {self.layout.root}: {_reason(error)}", silent=self._silent)

    def _tend_once(self) -> bool:
        active_runs.nudge()
        now = time.monotonic()
        # A wait may last longer, or a little less, than it was to.
        due = now - self._synced > self._fsync_seconds - LOOK_SECONDS / 2
        if self._reason or self._doubt or self._journal.poisoned:
            with self._lock:
                if not self._closed:
                    self._go_on(now)
        descriptor = -1
        with self._descriptor_lock:
            if self._closed:
                return False
            if now - self._touched > TOUCH_SECONDS:
                self._touched = now
                self._journal.touch()
            if not self._deleted and not self._reason and self._journal.vanished:
                self._deleted = True
                say(
                    f"the journal in {self.layout.root} was deleted: what this run logs is lost from here "
                    "on; finish it and begin a new one",
                    silent=self._silent,
                )
            written = self._written
            if due and self._durable != written:
                descriptor = self._journal.duplicate()
        if descriptor >= 0:  # outside the lock: a slow disk must not hold up log()
            try:
                os.fdatasync(descriptor)
            except OSError as error:
                with self._lock:
                    self._distrust(written[0], _reason(error))
            else:
                self._durable = written
            finally:
                os.close(descriptor)
        if due:
            self._synced = now
            self._sync_folder()
            self._begin_to_sync_files()
        if now - self._looked > RECORDER_SECONDS:
            self._looked = now
            self._look_after_recorder()
        return True

    def _go_on(self, now: float) -> None:
        """Try to write again after a failure, and leave a file whose sync had failed when that is due."""
        if self._reason or self._journal.poisoned:
            self._try_new_journal()
        if self._doubt and now > self._trust_until:
            self._distrust(self._journal, self._doubt)

    def _begin_to_sync_files(self) -> None:
        """Sync them in a thread of its own: a large artifact must hold up neither journal nor heartbeat."""
        if self._unsynced and not self._file_lock.locked():
            with suppress(RuntimeError):  # no more threads: the next round does it, or flush
                threading.Thread(target=self._sync_files, name="tracker-files", daemon=True).start()

    def _look_after_recorder(self, *, last: bool = False) -> None:
        """Start a recorder unless one lives, none is wanted, or one has just failed; say once that it did."""
        if not self._recorder:
            return
        failures = read_failures(self.layout)
        try:
            if last or not failures.pauses:
                self._starts = self._starts + 1 if ensure_recorder(self.layout) else 0
            if self._starts == MOST_STARTS and not failures.reasons:
                note_failures(self.layout, {ALL: f"it ended {self._starts - 1} times without a word"})
        except (OSError, ValueError) as error:  # ValueError: of an environment that no process can have
            say(f"cannot start a recorder: {_reason(error)}; the journal waits", silent=self._silent)
        reason = failures.reasons.get(ALL) or failures.reasons.get(self.segment)
        # A note of before this run may be about what is mended: only at its end nothing newer is known.
        if reason and not self._told and (last or failures.time > self._began):
            self._told = True
            log = file_of(self.layout.logs, "recorder")
            say(
                "rows of this run wait in its journal, where they are safe: the recorder fails "
                f"({printable(reason)}); see {log}, or run `tracker doctor`",
                silent=self._silent,
            )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
