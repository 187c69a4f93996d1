"""Writing one segment: each record is written to a journal immediately, or kept in memory if this fails."""

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
from tracker.errors import JournalError, UsageError
from tracker.ground.processes import host_name
from tracker.ground.records import RowsLost, encode
from tracker.ground.terminal import printable, say
from tracker.journal.format import HEADER
from tracker.journal.writer import JournalWriter, StalledError
from tracker.recorder.election import ensure_recorder
from tracker.recorder.failure_file import ALL, note_failures, read_failures
from tracker.sdk.process import active_runs
from tracker.store.catalog.locks import shared
from tracker.store.objects.atomic_files import make_folder, sync_folder, sync_named
from tracker.store.objects.layout import Layout

if TYPE_CHECKING:
    from tracker.store.blobs.content import BlobStore
    from tracker.store.objects.digests import Digests

# Up to this many bytes of records that cannot be written are kept in memory. Further records are counted and
# lost.
LARGEST_BACKLOG = 64 * 1024 * 1024
# Interval at which the journal is touched. A recorder on another host considers the writer dead when the
# journal has been untouched for 60 s.
TOUCH_SECONDS = 15.0
# Interval at which the helper thread checks whether the recorder was killed, and replaces it.
RECORDER_SECONDS = 5.0
# A recorder runs while a writer lives. If this number had to be started in a row, report a failure.
MOST_STARTS = 4
# Longest interval between two rounds of the helper thread, also when `fsync_seconds` is longer.
LOOK_SECONDS = 1.0
# On a disk that refuses every sync, a new file is opened at most once in this interval.
SYNC_PATIENCE = 60.0
# A file up to this size is read as a whole, so that it can be kept in memory when the disk is full.
WHOLE_BYTES = 16 * 1024 * 1024
# Sequence number in the backlog that marks the content of a blob instead of a record.
_BLOB = -1


class SegmentWriter:
    """The only writer of one segment, for all threads of one process.

    ``put`` writes one frame with one ``write(2)``; it does not encode and does not wait. A helper thread
    forces written data to the disk, shows that the writer lives, and replaces a killed recorder. After a
    failed write it tries new journal files until writing works again.

    Args:
        layout: The store or outbox.
        lock: A caller of ``put`` holds it. The helper thread takes it only after a failed write.
        fsync_seconds: Interval at which the journal is forced to the disk.
        recorder: Whether to start a recorder on this host.
        silent: Print nothing.
        syncs_files: Whether this writer forces the files that records name to the disk, because no recorder
            on this host applies the records.
        patient: Whether to keep records in memory when the first journal file cannot be created, instead of
            raising.
        append_seconds: Longest time that a record waits on a disk of this host, so that several records reach
            the journal with one write. 0: write each record immediately.

    Raises:
        JournalError: The first journal file cannot be created.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        lock: threading.RLock,
        fsync_seconds: float,
        recorder: bool,
        silent: bool,
        syncs_files: bool = False,
        patient: bool = False,
        append_seconds: float = 0.0,
    ) -> None:
        self.segment = os.urandom(16).hex()
        self.layout = layout
        self.host = host_name()
        self._silent = silent
        self._recorder = recorder
        self._syncs_files = syncs_files
        self._fsync_seconds = fsync_seconds
        self._append_seconds = append_seconds
        self._lock = lock
        # Keeps the journal's descriptor open while the helper thread uses it.
        self._descriptor_lock = threading.Lock()
        # Each record has its sequence number, which shows after an interrupt whether it was written.
        self._backlog: deque[tuple[int, bytes]] = deque()
        self._backlog_bytes = 0
        self._lost_records = 0
        self._reason = ""
        self._next_replacement = 0.0
        self._sync_error = ""  # why the journal must be replaced as soon as a new file may be opened
        self._unsynced: deque[Path] = deque()  # files that must be forced to the disk
        self._file_lock = threading.Lock()
        self._closed = False
        self._journal_deleted = False
        self._reported_helper_error = False
        self._reported_recorder = False
        self._recorder_starts = 0  # recorders that were started in a row
        self._created_at = time.time()
        self._wake = threading.Event()
        make_folder(layout.host_journals(self.host))
        self._recover_tails()
        self._journal = self._open_first_journal(patient=patient)
        # The file that was last forced to the disk, and the number of the next record at that time.
        self._last_synced: tuple[JournalWriter | None, int] = (
            self._written if self._journal.poisoned else (None, 0)
        )
        self._is_new = True  # the journal's entry in its folder must still be forced to the disk
        self._synced = time.monotonic()
        self._thread = threading.Thread(target=self._run_helper, name="tracker-journal", daemon=True)
        self._thread.start()

    def _open_first_journal(self, *, patient: bool) -> JournalWriter:
        path = self.layout.journal(self.host, self.segment, 0)
        try:
            return self._new_writer(path, 0, 0)
        except JournalError as error:
            if not patient:
                raise
            path.unlink(missing_ok=True)
            self._note_failure(error.reason)
            return JournalWriter.failed(path, self.segment)

    def _new_writer(self, path: Path, index: int, sequence: int) -> JournalWriter:
        if self._append_seconds > 0:
            # Only stores on network file systems need it.
            from tracker.journal.coalesced import CoalescedWriter
            from tracker.recorder.tails import owner_of_tail, tails_folder

            with suppress(OSError, UsageError):  # no disk of this host has space: write records immediately
                return CoalescedWriter(
                    path,
                    self.segment,
                    index,
                    sequence,
                    folder=tails_folder(),
                    seconds=self._append_seconds,
                    owner=owner_of_tail(self.layout, self.host, self.segment, index),
                )
        return JournalWriter(path, self.segment, index, sequence)

    def _recover_tails(self) -> None:
        """Write the records of other writers on this host that were killed."""
        if self._append_seconds > 0:
            from tracker.recorder.tails import recover_tails

            recover_tails(self.layout)

    def put(self, payload: bytes) -> None:
        """Write one record. The caller holds the lock.

        When this returns, the record survives a SIGKILL of this process. After a failed write it is kept in
        memory instead, until writing works again. If this memory is used up, the record is lost.
        """
        if self._backlog:
            self._keep_in_memory(self._next_sequence(), payload)
            return
        try:
            self._journal.append(payload)
        except JournalError as error:
            if not self._journal.poisoned and not isinstance(error, StalledError):
                raise  # the record is too large
            self._note_write_failure(error)
            self._keep_in_memory(self._next_sequence(), payload)

    def put_blob(self, data: bytes) -> Digests | None:
        """Store the content of a file, before a record names it, and return its digests.

        After a failed write the content is kept in memory instead. Return None when the memory for this is
        used up. No record may name the content then.
        """
        blobs = self._blobs
        try:
            blob = blobs.add_bytes(data)
            self.sync_files((blobs.path(blob.sha256),))
            return blob
        except OSError as error:
            with self._lock:
                self._note_failure(_reason(error))
                return blobs.name(data) if self._keep_in_memory(_BLOB, data) else None

    def put_blob_of(self, file: str) -> Digests | None:
        """Store the content of the file at a path, as ``put_blob`` does. A large file is copied in pieces.

        Raises:
            OSError: The file cannot be read.
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
        # Imported late: it loads OpenSSL, and many runs log no files.
        from tracker.store.blobs.content import BlobStore

        return BlobStore(self.layout)

    def sync_files(self, paths: Iterable[Path]) -> None:
        """Force files that records name to the disk in the background, unless a recorder here does."""
        if self._syncs_files:
            self._unsynced.extend(paths)

    def write_out(self) -> None:
        """Write the records that wait for the next write of the journal. The caller holds the lock."""
        try:
            if not self._journal.stalled:
                self._journal.flush()
        except StalledError:
            pass  # they stay on the disk of this host, and are written later
        except JournalError as error:
            self._note_write_failure(error)

    def _note_write_failure(self, error: JournalError) -> None:
        """Report a failed write. Take the records that wait in a journal that is not used any more."""
        self._note_failure(error.reason)
        if self._journal.poisoned:
            waiting = self._journal.take_waiting()
            self._backlog.extendleft(reversed(waiting))
            self._backlog_bytes += sum(len(payload) for _, payload in waiting)

    def flush(self) -> bool:
        """Write the records in memory and force everything to the disk; return False if writing fails."""
        self._sync_files()
        with self._lock:
            self.write_out()
            if self._reason or self._journal.poisoned:
                self._try_new_journal()
            if self._reason:
                return False
            self._sync()
            return True

    def close(self) -> bool:
        """Flush and close the journal; return False when records could not be written and are lost.

        After an interrupt, a second call completes the work.
        """
        if not self._closed:
            self.flush()
        with self._lock:
            with self._descriptor_lock:
                self._closed = True
                self._journal.close()
            lost = len(self._backlog) + self._lost_records
            if lost:
                say(
                    f"{lost} records could not be written to {self.layout.root} "
                    f"({self._reason}) and are lost. All earlier records are safe",
                    silent=self._silent,
                )
        self._wake.set()
        self._check_recorder(last=True)  # in a short run, the helper thread may not have done it yet
        return lost == 0

    def join(self, seconds: float) -> None:
        """Wait until the helper thread of a closed segment has ended, for at most ``seconds``."""
        if self._thread is not threading.current_thread():
            self._thread.join(seconds)

    def abandon(self) -> None:
        """Close the parent's journal in a forked child, without writing to it."""
        self._closed = True
        self._journal.abandon()

    def _note_failure(self, reason: str) -> None:
        if self._reason:
            return  # already reported
        self._reason = reason
        say(
            f"cannot write to {self.layout.root}: {reason}. "
            f"Up to {LARGEST_BACKLOG // 2**20} MB of records are kept in memory until writing works again. "
            "Records that were already written are safe",
            silent=self._silent,
        )

    def _next_sequence(self) -> int:
        waiting = (sequence for sequence, _ in reversed(self._backlog) if sequence != _BLOB)
        return next(waiting, self._journal.sequence - 1) + 1

    def _keep_in_memory(self, sequence: int, data: bytes) -> bool:
        if self._backlog_bytes + len(data) > LARGEST_BACKLOG:
            self._lost_records += 1
            return False
        self._backlog.append((sequence, data))
        self._backlog_bytes += len(data)
        return True

    def _try_new_journal(self) -> None:
        """Continue in a new file. After a failed write, the old file is never written to again.

        An interrupt (Ctrl-C in ``finish``) may stop this at any point. The next attempt then completes it.
        """
        old = self._journal
        try:
            try:
                old.settle()
            except StalledError:
                return
            except JournalError as error:  # it has a failed write, and records that wait
                self._note_write_failure(error)
            index = self._free_index(old)
            path = self.layout.journal(self.host, self.segment, index)
            fresh = self._create_journal(path, index, old.sequence)
            if fresh is None:
                return
            self._journal = fresh  # before it contains more than a header: see `_free_index`
            self._is_new, self._sync_error = True, ""
            with self._descriptor_lock:
                old.close()
            with shared(self.layout.naming_lock):
                self._write_backlog()
                self._journal.flush()
        except (JournalError, OSError) as error:
            if isinstance(error, JournalError) and self._journal is not old:
                self._note_write_failure(error)
            return  # the new file has failed too: the next attempt opens another one
        if self._reason:
            lost = f". {self._lost_records} records were lost" if self._lost_records else ""
            self._lost_records, self._reason = 0, ""
            say(f"writing to {self.layout.root} works again{lost}", silent=self._silent)

    def _create_journal(self, path: Path, index: int, sequence: int) -> JournalWriter | None:
        for _ in range(2):  # an attempt that was interrupted may have left the file
            try:
                return self._new_writer(path, index, sequence)
            except JournalError:
                path.unlink(missing_ok=True)  # readers must not find a file without a whole header
        return None

    def _free_index(self, old: JournalWriter) -> int:
        """Return the number of the next file. An old file that only has a header is removed and replaced."""
        try:
            empty = old.path.stat().st_size <= HEADER.size
        except FileNotFoundError:  # removed by the previous attempt, or deleted by a user
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
                if self._journal.sequence <= sequence:  # else it was written before an interrupt
                    self._journal.append(data)
            self._backlog.popleft()
            self._backlog_bytes -= len(data)
        self._backlog_bytes = 0
        if self._reason:
            self._journal.append(encode(RowsLost(self._lost_records, self._reason, time.time())))

    def _sync(self) -> None:
        written = self._written
        if self._last_synced != written:
            try:
                self._journal.sync()
            except JournalError as error:
                self._replace_unsynced(self._journal, error.reason)
            else:
                self._last_synced = written  # set after the sync: an interrupt must not mark it as done
        self._sync_folder()

    @property
    def _written(self) -> tuple[JournalWriter, int]:
        journal = self._journal
        return journal, journal.written

    def _sync_folder(self) -> None:
        """Force the folder entry of a new file to the disk. Without the entry, the file's content is lost."""
        if self._is_new:
            self._is_new = False
            try:
                sync_folder(self._journal.path.parent)
            except OSError as error:
                self._report_helper_error(error)

    def _sync_files(self) -> None:
        with self._file_lock:
            while self._unsynced:
                try:
                    sync_named(self._unsynced[0])
                except OSError as error:
                    self._report_helper_error(error)
                self._unsynced.popleft()

    def _replace_unsynced(self, journal: JournalWriter, reason: str) -> None:
        """Continue in a new file after a failed sync: the kernel may have dropped data of the old file."""
        if journal is not self._journal or self._closed:
            return  # already replaced
        now = time.monotonic()
        if now > self._next_replacement:
            self._next_replacement = now + SYNC_PATIENCE
            journal.poisoned = True
            self._note_failure(f"{reason} (syncing {journal.path.name})")
            self._try_new_journal()
        else:
            # The next sync of this file may succeed although data is missing. Replace it later in any case.
            self._last_synced, self._sync_error = (None, 0), reason

    def _run_helper(self) -> None:
        self._check_recorder()
        self._journal_touched = self._recorder_checked = time.monotonic()
        while not self._wake.wait(min(self._fsync_seconds, LOOK_SECONDS)):
            try:
                if not self._run_helper_once():
                    return
            except Exception as error:  # such as no free descriptor: this thread must continue
                self._report_helper_error(error)

    def _report_helper_error(self, error: Exception) -> None:
        if not self._reported_helper_error:
            self._reported_helper_error = True
            logs.log(logs.ERROR, f"maintenance of {self.layout.root} failed", error)
            say(f"maintenance of {self.layout.root} failed: {_reason(error)}", silent=self._silent)

    def _run_helper_once(self) -> bool:
        active_runs.handle_pending()
        now = time.monotonic()
        # The margin is needed because a wait may last a little less than requested.
        due = now - self._synced > self._fsync_seconds - LOOK_SECONDS / 2
        failed = self._reason or self._sync_error or self._journal.poisoned
        if failed and not self._journal.stalled:
            with self._lock:
                if not self._closed:
                    self._recover(now)
        descriptor = -1
        with self._descriptor_lock:
            if self._closed:
                return False
            if now - self._journal_touched > TOUCH_SECONDS:
                self._journal_touched = now
                self._journal.touch()
            if not self._journal_deleted and not self._reason and self._journal.vanished:
                self._journal_deleted = True
                say(
                    f"the journal in {self.layout.root} was deleted. Everything that this run logs from now "
                    "on is lost. Finish the run and start a new one",
                    silent=self._silent,
                )
            written = self._written
            if due and self._last_synced != written:
                descriptor = self._journal.duplicate()
        if descriptor >= 0:  # outside the lock: a slow disk must not delay log()
            try:
                os.fdatasync(descriptor)
            except OSError as error:
                with self._lock:
                    self._replace_unsynced(written[0], _reason(error))
            else:
                self._last_synced = written
            finally:
                os.close(descriptor)
        if due:
            self._synced = now
            self._sync_folder()
            self._start_file_sync()
        if now - self._recorder_checked > RECORDER_SECONDS:
            self._recorder_checked = now
            self._check_recorder()
            self._recover_tails()
        return True

    def _recover(self, now: float) -> None:
        """Try to write again after a failure, and replace a file whose sync has failed when that is due."""
        if self._reason or self._journal.poisoned:
            self._try_new_journal()
        if self._sync_error and now > self._next_replacement:
            self._replace_unsynced(self._journal, self._sync_error)

    def _start_file_sync(self) -> None:
        """Sync files in a separate thread: a large artifact must not delay the journal or its touches."""
        if self._unsynced and not self._file_lock.locked():
            with suppress(RuntimeError):  # no thread can be started: the next round or `flush` syncs them
                threading.Thread(target=self._sync_files, name="tracker-files", daemon=True).start()

    def _check_recorder(self, *, last: bool = False) -> None:
        """Start a recorder, if one is wanted and none lives or has just failed. Report a failure once."""
        if not self._recorder:
            return
        failures = read_failures(self.layout)
        try:
            if last or not failures.pauses:
                self._recorder_starts = self._recorder_starts + 1 if ensure_recorder(self.layout) else 0
            if self._recorder_starts == MOST_STARTS and not failures.reasons:
                note_failures(
                    self.layout, {ALL: f"it ended {self._recorder_starts - 1} times without an error message"}
                )
        except (OSError, ValueError) as error:  # ValueError: an invalid environment
            say(
                f"cannot start a recorder: {_reason(error)}. The journal is applied later",
                silent=self._silent,
            )
        reason = failures.reasons.get(ALL) or failures.reasons.get(self.segment)
        if self.segment in failures.refused:
            if last:  # `wait_until_sent` reports it
                return
            if reason and not self._reported_recorder:
                self._reported_recorder = True
                say(
                    f"this run is not sent ({printable(reason)}). Its records are safe in "
                    f"{self.layout.root}, and are sent when the server accepts them",
                    silent=self._silent,
                )
            return
        # A failure from before this run may be fixed by now. Report it only at the end of the run.
        if reason and not self._reported_recorder and (last or failures.time > self._created_at):
            self._reported_recorder = True
            log = file_of(self.layout.logs, "recorder")
            say(
                f"the recorder fails ({printable(reason)}). Rows of this run are safe in its journal, but "
                f"are not visible yet. See {log}, or run `tracker doctor`",
                silent=self._silent,
            )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
