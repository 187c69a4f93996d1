"""Sending an outbox's journals and blobs to a server; resumable at any byte.

For each journal the server is asked how many bytes it has and for their SHA-256; when that is the
digest of ours, the rest is sent, whole frames only. Blobs that the frames name go first, by hash,
and only those that the server lacks. A journal goes from here when its writer has ended and the
server holds all of it on its disk.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Literal

from tracker.errors import CommError, ConflictError, Error
from tracker.http import Client
from tracker.journal.reader import read_header
from tracker.processes import host_name, is_alive
from tracker.recorder.live import count_live, writer_of
from tracker.recorder.look import Look
from tracker.recorder.outgoing import Outgoing
from tracker.recorder.remote import Remote
from tracker.records import Process
from tracker.store.blobs import BlobStore
from tracker.store.layout import JournalPath, Layout

State = Literal["live", "ended", "silent"]

# A writer on another host is taken for dead after this long without a sign of life, here as on the server.
MISSED_SECONDS = 60.0
# A live one is shown four times as often.
TOUCH_SECONDS = 15.0
LONGEST_PAUSE = 30.0


class Sender:
    """Sends the journals in one outbox.

    Args:
        layout: The outbox.
        remote: Where to.
        host: Send only the journals written on this host; None for all.
    """

    def __init__(self, layout: Layout, remote: Remote, host: str | None = None) -> None:
        self._layout = layout
        self._host = host
        self._blobs = BlobStore(layout)
        self._client = Client(remote.url, remote.key)
        self._journals: dict[str, Outgoing] = {}
        self._writers: dict[str, Process] = {}
        self._pause = 0.0
        self._pause_until = 0.0
        self.faults: dict[str, str] = {}

    def look(self, *, patient: bool = True) -> Look:
        """Send what is there and was not sent. What is wrong with one segment stands in ``faults``.

        Args:
            patient: Keep quiet for a while after the server could not be reached. False: raise.

        Raises:
            CommError: Only when not ``patient``: the server cannot be reached, or refuses the key.
        """
        if patient and time.monotonic() < self._pause_until:
            return Look(0, count_live(self._layout, host_name()), 0)
        sent = live = waiting = 0
        journals = self._layout.list_journals(self._host)
        for segment, group in groupby(journals, key=lambda journal: journal.segment):
            try:
                done, state = self._send(segment, list(group))
            except (Error, OSError) as error:
                self.faults[segment] = str(error)
                if isinstance(error, CommError):
                    if not patient:
                        raise
                    self._pause = min(max(1.0, self._pause * 2), LONGEST_PAUSE)
                    self._pause_until = time.monotonic() + self._pause
                    return Look(sent, count_live(self._layout, host_name()), waiting)
            else:
                self.faults.pop(segment, None)
                self._pause = 0.0
                sent += done
                live += state == "live"
                waiting += state == "silent"
        return Look(sent, live, waiting)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _send(self, segment: str, files: list[JournalPath]) -> tuple[int, State]:
        """Send what a segment has more than the server; return the records sent and its writer's state."""
        with self._lock_outbox():  # the recorder and a process that reads may both be at it
            try:
                return self._send_rest(segment, files)
            except ConflictError:  # another sender went on where this one had stopped
                self._forget(files)
                return self._send_rest(segment, files)

    def _send_rest(self, segment: str, files: list[JournalPath]) -> tuple[int, State]:
        # Those that are gone, the other sender had sent to their end.
        files = [journal for journal in files if journal.path.exists()]
        if not files:
            return 0, "ended"
        # Whether the writer lives is looked at before its files: what it wrote last is then seen.
        state = self._writer_state(segment, files)
        outgoing = [known for journal in files if (known := self._outgoing(journal)) is not None]
        count = 0
        for known in outgoing:
            for data, blobs, records in known.batches():
                self._send_blobs(blobs)
                self._append(known, data)
                count += records
        finished = any(known.finished for known in outgoing)
        if finished or state == "ended":
            for known in outgoing:
                known.check_all_sent()
            if not finished:
                self._client.post("ingest", "segments", segment, "end", body={"state": "crashed"})
            for journal in files:
                journal.path.unlink(missing_ok=True)
            self._forget(files)
            self._writers.pop(segment, None)
            return count, "ended"
        if state == "live" and outgoing and time.monotonic() - outgoing[-1].touched > TOUCH_SECONDS:
            self._append(outgoing[-1], b"")
        return count, state

    def _outgoing(self, journal: JournalPath) -> Outgoing | None:
        """Return what is known of a journal's way; None while its header is not whole."""
        known = self._journals.get(journal.path.name)
        if known is None:
            if read_header(journal.path) is None:
                return None
            known = Outgoing(journal, self._blobs)
            answer = self._client.get("ingest", "journals", known.name)
            known.resume(answer["offset"], answer["digest"])
            self._journals[journal.path.name] = known
        return known

    def _writer_state(self, segment: str, files: list[JournalPath]) -> State:
        """Return whether a segment's writer lives; of one that cannot be looked at, whether it is silent."""
        writer = self._writers.get(segment) or writer_of(files[0])
        silent = time.time() - files[-1].path.stat().st_mtime > MISSED_SECONDS
        if writer is not None:
            self._writers[segment] = writer
            alive = is_alive(writer, silent=silent)
            if alive is not None:
                return "live" if alive else "ended"
        return "silent" if silent else "live"

    def _forget(self, files: list[JournalPath]) -> None:
        for journal in files:
            self._journals.pop(journal.path.name, None)

    @contextmanager
    def _lock_outbox(self) -> Iterator[None]:
        with (self._layout.locks / "sending.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _append(self, known: Outgoing, data: bytes) -> None:
        answer = self._client.send(
            "POST",
            "ingest",
            "journals",
            known.name,
            data=data,
            offset=known.sent,
            digest=known.digest.hexdigest(),
        )
        known.advance(data)
        if answer["digest"] != known.digest.hexdigest():
            self._journals.pop(known.path.name, None)
            raise CommError(f"{self._client.url} holds other bytes of journal {known.name} than were sent")

    def _send_blobs(self, names: list[str]) -> None:
        if not names:
            return
        for name in self._client.post("ingest", "blobs", "missing", body={"sha256": names})["missing"]:
            if self._blobs.has(name):
                self._client.send_file("PUT", "ingest", "blobs", name, file=self._blobs.path(name))
