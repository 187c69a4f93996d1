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

from tracker.errors import CommError, ConflictError, Error
from tracker.http import Client
from tracker.journal.reader import read_header
from tracker.processes import host_name
from tracker.recorder.live import count_live
from tracker.recorder.look import Look
from tracker.recorder.outgoing import Outgoing
from tracker.recorder.remote import Remote
from tracker.store.blobs import BlobStore
from tracker.store.layout import JournalPath, Layout

# The server takes a writer for dead after 60 s of silence; a live one is shown four times as often.
TOUCH_SECONDS = 15.0
LONGEST_PAUSE = 30.0


class Sender:
    """Sends the journals of this host in one outbox.

    Args:
        layout: The outbox.
        remote: Where to.
    """

    def __init__(self, layout: Layout, remote: Remote) -> None:
        self._layout = layout
        self._blobs = BlobStore(layout)
        self._client = Client(remote.url, remote.key)
        self._journals: dict[str, Outgoing] = {}
        self._pause = 0.0
        self._pause_until = 0.0
        self.faults: dict[str, str] = {}

    def look(self, *, patient: bool = True) -> Look:
        """Send what is there and was not sent.

        Args:
            patient: Keep quiet for a while after the server could not be reached. False: raise.

        Raises:
            Error: Only when not ``patient``: the server cannot be reached, or refuses.
        """
        if patient and time.monotonic() < self._pause_until:
            return Look(0, count_live(self._layout, host_name()), 0)
        sent = live = 0
        for journal in self._layout.list_journals(host_name()):
            try:
                done, alive = self._send(journal)
            except (Error, OSError) as error:
                if not patient:
                    raise
                self.faults[journal.segment] = str(error)
                if isinstance(error, CommError):
                    self._pause = min(max(1.0, self._pause * 2), LONGEST_PAUSE)
                    self._pause_until = time.monotonic() + self._pause
                    return Look(sent, count_live(self._layout, host_name()), 0)
            else:
                self.faults.pop(journal.segment, None)
                self._pause = 0.0
                sent += done
                live += alive
        return Look(sent, live, 0)

    def _send(self, journal: JournalPath) -> tuple[int, bool]:
        """Send what a journal has more than the server; return the records sent and if more may come."""
        with self._lock_outbox():  # the recorder and a process that reads may both be at it
            try:
                return self._send_rest(journal)
            except ConflictError:  # another sender went on where this one had stopped
                self._journals.pop(journal.path.name, None)
                return self._send_rest(journal)

    def _send_rest(self, journal: JournalPath) -> tuple[int, bool]:
        if not journal.path.exists():  # the other one had it sent to its end
            self._journals.pop(journal.path.name, None)
            return 0, False
        known = self._journals.get(journal.path.name)
        if known is None:
            if read_header(journal.path) is None:
                return 0, True
            known = Outgoing(journal, self._blobs)
            answer = self._client.get("ingest", "journals", known.name)
            known.resume(answer["offset"], answer["digest"])
            self._journals[journal.path.name] = known
        # Whether the writer lives is looked at before its file: what it wrote last is then seen.
        alive = known.may_grow()
        count = 0
        for data, blobs, records in known.batches():
            self._send_blobs(blobs)
            self._append(known, data)
            count += records
        if not alive:
            if not known.finished:
                self._client.post("ingest", "segments", journal.segment, "end", body={"state": "crashed"})
            journal.path.unlink(missing_ok=True)
            self._journals.pop(journal.path.name, None)
        elif time.monotonic() - known.touched > TOUCH_SECONDS:
            self._append(known, b"")
        return count, alive

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
