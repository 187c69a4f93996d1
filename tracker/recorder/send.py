"""Sending the journals and blobs of an outbox. It can be interrupted and resumed at any byte.

The target is a server (``server_target``), or for a spool the folder of a store (``folder_target``). For each
journal, the target reports how many bytes it has. The rest is sent in whole frames. Blobs that the frames
name are sent first, and only if the target lacks them. A journal is deleted here when its writer has ended
and the target has all of it on its disk. A journal that the target refuses stays here and does not delay the
others. It is sent again after longer and longer pauses, for example because its user gets a role in its
project.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import groupby
from typing import Literal

from tracker.capture import logs
from tracker.errors import (
    AuthenticationError,
    CommError,
    ConflictError,
    Error,
    ForbiddenError,
    JournalError,
    NotFoundError,
    StoreError,
    UnreachableError,
    UsageError,
)
from tracker.ground.group_files import create, touch
from tracker.ground.processes import MISSED_SECONDS, host_name, is_alive
from tracker.ground.records import Process
from tracker.journal.format import HEADER
from tracker.journal.reader import read_header
from tracker.recorder.folder_target import FolderTarget
from tracker.recorder.liveness import count_live, why_gone, writer_of
from tracker.recorder.outbox import Remote, remote_of
from tracker.recorder.outgoing_journal import GZIP, Outgoing
from tracker.recorder.poll import PollResult
from tracker.recorder.server_target import ServerTarget
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.drafts import read_draft
from tracker.store.blobs.finalize import (
    FinalizedDraft,
    discard_draft,
    finalize_draft,
    forget_finalized,
    note_draft,
    write_failure,
)
from tracker.store.blobs.manifest import read_manifest
from tracker.store.objects.atomic_files import is_older
from tracker.store.objects.layout import JournalPath, Layout, moved_bytes_file

State = Literal["live", "ended", "silent"]

# Interval at which an empty request shows the server that a writer lives.
TOUCH_SECONDS = 15.0
LONGEST_PAUSE = 30.0
# Longest pause for a segment that the server refuses until a person changes something.
LONGEST_REFUSED_PAUSE = 300.0
# A missing role or a key that cannot write; an unreadable project; a record that the server does not know.
_REFUSALS = (ForbiddenError, NotFoundError, UsageError)
# Shortest interval between two updates of the progress file.
NOTED_SECONDS = 0.2


class Pause:
    """A pause after a failure. It doubles with each further failure."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._until = 0.0

    @property
    def lasts(self) -> bool:
        """Whether the pause is not over."""
        return time.monotonic() < self._until

    def lengthen(self, longest_seconds: float = LONGEST_PAUSE) -> None:
        """Start the pause, or the next longer one."""
        self._seconds = min(max(1.0, self._seconds * 2), longest_seconds)
        self._until = time.monotonic() + self._seconds


class Sender:
    """Sends the journals in one outbox.

    Args:
        layout: The outbox.
        remote: The server, or the store of a spool.
        host: Send only the journals written on this host; None for all.
        source: Blobs of the store, if the journals were written again from a store. Their writers have ended
            then. None if the writers wrote the journals themselves.

    Attributes:
        faults: Error by segment, for segments that could not be sent.
        refused: The segments among them that the server refuses until a person changes something, such as a
            role or the key.
    """

    def __init__(
        self, layout: Layout, remote: Remote, host: str | None = None, source: BlobStore | None = None
    ) -> None:
        self._layout = layout
        self._host = host
        self._blobs = source or BlobStore(layout)
        self._all_ended = source is not None
        self._remote = remote
        self._target = self._open_target()
        self._journals: dict[str, Outgoing] = {}
        self._writers: dict[str, Process] = {}
        self._away = Pause()
        self._noted = 0.0
        self._pauses: dict[str, Pause] = {}
        self.faults: dict[str, str] = {}
        self.refused: set[str] = set()

    def poll(self, *, patient: bool = True) -> PollResult:
        """Send everything that was not sent yet. Errors of single segments are recorded in ``faults``.

        Args:
            patient: Pause after the server could not be reached, and for each segment that failed. With
                False, try immediately, and raise. Segments that the server refuses have a pause in any case.

        Raises:
            CommError: The server cannot be reached or refuses the key. Only if ``patient`` is False.
        """
        if self.refused:
            self._take_new_key()
        if patient and self._away.lasts:
            return PollResult(0, count_live(self._layout, host_name()), 0)
        sent = live = waiting = 0
        journals = self._layout.list_journals(self._host)
        segments = [(name, list(group)) for name, group in groupby(journals, key=lambda each: each.segment)]
        self._forget_others({name for name, _ in segments})
        for segment, files in segments:
            waits = segment in self._pauses and self._pauses[segment].lasts
            if waits and (patient or segment in self.refused):
                live += self._is_writer_live(segment, files)
                continue
            try:
                done, state = self._send(segment, files)
            except _REFUSALS as error:
                self._note_fault(segment, error)
                self.refused.add(segment)
                self._pauses[segment].lengthen(LONGEST_REFUSED_PAUSE)
                live += self._is_writer_live(segment, files)
            except (UnreachableError, AuthenticationError) as error:  # the next segment would fail too
                if not patient:
                    raise
                self._away.lengthen()
                if isinstance(error, AuthenticationError):
                    self.refused = {name for name, _ in segments}
                    self.faults |= dict.fromkeys(self.refused, str(error))
                else:
                    touch(self._layout.server_away)
                return PollResult(sent, count_live(self._layout, host_name()), waiting)
            except (Error, OSError) as error:
                if isinstance(error, OSError):
                    self._target.make_room()
                self._note_fault(segment, error)
                self.refused.discard(segment)
                self._pauses[segment].lengthen()
                live += self._is_writer_live(segment, files)
            else:
                self.faults.pop(segment, None)
                self.refused.discard(segment)
                self._pauses.pop(segment, None)
                sent += done
                live += state == "live"
                waiting += state == "silent"
                self._away = Pause()
                self._layout.server_away.unlink(missing_ok=True)
        return PollResult(sent, live, waiting)

    @property
    def has_more(self) -> bool:
        """Whether there are journals that were not sent completely."""
        return bool(self._layout.list_journals(self._host))

    def close(self) -> None:
        """Close the connection."""
        self._target.close()

    @property
    def shortest_wait(self) -> float:
        """Shortest time in seconds between two rounds."""
        return self._target.shortest_wait

    def _open_target(self) -> ServerTarget | FolderTarget:
        if self._remote.folder is not None:
            return FolderTarget(self._layout, self._remote.folder, self._note_progress)
        return ServerTarget(self._remote, self._blobs, self._note_progress)

    def _take_new_key(self) -> None:
        """Use the key that another process has written to the outbox, and try all segments again with it."""
        found = remote_of(self._layout)
        if found is not None and found != self._remote:
            self._target.close()
            self._remote = found
            self._target = self._open_target()
            self._away = Pause()
            self._pauses.clear()

    def _note_fault(self, segment: str, error: Exception) -> None:
        self.faults[segment] = str(error)
        logs.log(logs.ERROR, f"segment {segment} is not sent", error)
        self._pauses.setdefault(segment, Pause())

    def _send(self, segment: str, files: list[JournalPath]) -> tuple[int, State]:
        """Send the rest of a segment; return the number of records sent, and the state of its writer."""
        with self._lock_outbox():  # the recorder and a process that reads may both send
            try:
                return self._send_rest(segment, files)
            except ConflictError:  # another sender has continued after this one
                self._forget(files)
                return self._send_rest(segment, files)

    def _send_rest(self, segment: str, files: list[JournalPath]) -> tuple[int, State]:
        # Another sender has sent the missing files completely.
        files = [journal for journal in files if journal.path.exists()]
        if not files:
            return 0, "ended"
        # Check the writer before reading its files, so that its last records are seen.
        state = self._writer_state(segment, files)
        outgoing, unread = self._readable(files)
        count = 0
        for known in outgoing:
            for data, needs, records in known.batches():
                for token in needs.drafts:
                    self._send_draft(token)
                self._target.send_blobs(list(dict.fromkeys(needs.blobs)))
                self._append(known, data)
                self._target.delete_sent(known, needs)
                count += records
        if unread is not None:
            if state == "live" and unread is files[-1]:  # the header may still arrive
                return count, state
            raise JournalError(
                "send", str(unread.path), 0, "its header is missing; the data after it stays here"
            )
        finished = any(known.finished for known in outgoing)
        if finished or state == "ended":
            for known in outgoing:
                known.check_all_sent()
            if not finished:
                writer = self._writers.get(segment)
                last_seen = files[-1].path.stat().st_mtime
                self._target.end(segment, None if writer is None else why_gone(writer, last_seen))
            self._target.clean_up()
            for journal in files:
                journal.path.unlink(missing_ok=True)
                moved_bytes_file(journal.path).unlink(missing_ok=True)
            for known in outgoing:
                for token in known.drafts:
                    note_draft(self._layout, token)
                    discard_draft(self._layout, token)
            self._forget(files)
            self._writers.pop(segment, None)
            return count, "ended"
        if state == "live" and outgoing and time.monotonic() - outgoing[-1].touched > TOUCH_SECONDS:
            self._append(outgoing[-1], b"")
        return count, state

    def _readable(self, files: list[JournalPath]) -> tuple[list[Outgoing], JournalPath | None]:
        """Return the journals before the first one that has data and no whole header, and this one or None.

        Later journals are not sent: the server would take the segment for complete. A journal with neither a
        whole header nor data is left out.
        """
        found = []
        for journal in files:
            known = self._outgoing(journal)
            if known is not None:
                found.append(known)
            elif journal.path.stat().st_size > HEADER.size:
                return found, journal
        return found, None

    def _outgoing(self, journal: JournalPath) -> Outgoing | None:
        """Return the sending state of a journal; None while its header is incomplete."""
        known = self._journals.get(journal.path.name)
        if known is None or not self._target.is_current(known):
            if read_header(journal.path) is None:
                return None
            known = Outgoing(journal, self._blobs)
            received = self._target.received(known)
            known.resume(received.offset, received.digest)
            known.compressed = GZIP in received.encodings
            self._journals[journal.path.name] = known
        return known

    def _writer_state(self, segment: str, files: list[JournalPath]) -> State:
        """Return the state of a segment's writer. A writer whose process cannot be checked may be silent."""
        if self._all_ended:
            return "ended"
        writer = self._writers.get(segment) or writer_of(files[0])
        changed_at = files[-1].path.stat().st_mtime
        silent = is_older(changed_at, MISSED_SECONDS, self._layout.new_temporary())
        if writer is not None:
            self._writers[segment] = writer
            alive = is_alive(writer, silent=silent)
            if alive is not None:
                return "live" if alive else "ended"
        return "silent" if silent else "live"

    def _is_writer_live(self, segment: str, files: list[JournalPath]) -> bool:
        """Return whether a segment that cannot be sent has a live writer; False if this is unknown."""
        with suppress(OSError):
            return self._writer_state(segment, files) == "live"
        return False

    def _forget_others(self, names: set[str]) -> None:
        """Forget errors of segments that no longer exist here: another sender has sent them."""
        self.faults = {name: fault for name, fault in self.faults.items() if name in names}
        self._pauses = {name: pause for name, pause in self._pauses.items() if name in names}
        self.refused &= names

    def _forget(self, files: list[JournalPath]) -> None:
        for journal in files:
            self._journals.pop(journal.path.name, None)

    @contextmanager
    def _lock_outbox(self) -> Iterator[None]:
        with open(self._layout.locks / "sending.lock", "a", opener=create) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _append(self, known: Outgoing, data: bytes) -> None:
        received = self._target.append(known, data)
        known.advance(data)
        self._note_progress()
        if received is not None and received.digest != known.digest.hexdigest():
            self._journals.pop(known.path.name, None)
            raise CommError(
                f"{self._remote.url} has other bytes of journal {known.name} than those that were sent"
            )

    def _note_progress(self) -> None:
        """Touch the progress file. It shows processes waiting in ``finish`` that the server accepts bytes."""
        if time.monotonic() - self._noted > NOTED_SECONDS:
            self._noted = time.monotonic()
            touch(self._layout.sending_progress)

    def _send_draft(self, token: str) -> None:
        """Compute the digests of an artifact's files, send what the target lacks, and send the result."""
        versions: list[str] = []
        with suppress(StoreError):  # the draft was removed: its result stays
            versions = read_draft(self._layout, token).versions
        found = finalize_draft(self._layout, token, partial(self._target.known_places, versions=versions))
        moved = found.problem is None and self._target.was_moved(found)
        if found.problem is None and not moved and self._send_files(found, versions):
            # The target has deleted content since it reported its place. Send the content from the draft.
            forget_finalized(self._layout, token)
            places = partial(self._target.known_places, versions=versions, again=True)
            found = finalize_draft(self._layout, token, places, again=True)
            if found.problem is None and (lost := self._send_files(found, versions)):
                problem = f"content {lost[0]} was deleted together with the version that it came from"
                found = write_failure(self._layout, token, problem)
        self._target.record_draft(token, found)

    def _send_files(self, found: FinalizedDraft, versions: list[str]) -> list[str]:
        manifest = read_manifest(self._blobs, found.manifest)
        return self._target.send_blobs([*manifest.blobs, found.manifest], versions)


def send_waiting(layout: Layout, remote: Remote) -> tuple[PollResult | None, list[str]]:
    """Send once what an outbox or a spool has, including journals of other hosts.

    Returns:
        The result, or None if the target cannot be reached, and the faults without repetitions: many runs can
        have the same fault, such as a missing role.
    """
    sender = Sender(layout, remote)
    look, away = None, []
    try:
        look = sender.poll(patient=False)
    except Error as error:
        away.append(error.message)
    finally:
        sender.close()
    return look, list(dict.fromkeys([sender.faults[name] for name in sorted(sender.faults)] + away))
