"""One journal that is being sent: how much was sent, and which blobs must be sent first."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from tracker.errors import CommError, JournalError
from tracker.ground.parsed_types import Count, Digest, prepare
from tracker.ground.records import ArtifactLogged, FileSaved, Record, RunFinished, decode
from tracker.journal.format import HEADER
from tracker.journal.reader import Frame, read_frames
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.manifest import read_manifest
from tracker.store.objects.layout import JournalPath

# One request carries about this much of a journal.
BATCH_BYTES = 4 * 1024 * 1024


# A content encoding of the bytes that are sent.
GZIP = "gzip"


class Received(msgspec.Struct, frozen=True):
    """The server's answer about a journal: the length of the received part in bytes, and its SHA-256.

    ``encodings`` has the content encodings in which the server accepts more bytes. Older servers have none.
    """

    offset: Count
    digest: Digest
    encodings: list[str] = []


prepare(Received)


class Needs(NamedTuple):
    """Data that must be on the server before some records.

    Attributes:
        blobs: SHA-256 of blobs.
        drafts: Tokens of drafts, whose files must become blobs first.
    """

    blobs: list[str]
    drafts: list[str]


class Outgoing:
    """The sending side of one journal.

    Attributes:
        name: ``SEGMENT-INDEX``, the journal's name on the server.
        sent: Number of bytes that the server has.
        digest: Running SHA-256 of these bytes.
        finished: Whether the journal contains the record that ends the run.
        touched: When bytes were last sent, or an empty request (monotonic seconds).
        drafts: Drafts of the artifacts that the journal logs.
        compressed: Whether the server accepts compressed bytes.
    """

    def __init__(self, journal: JournalPath, blobs: BlobStore) -> None:
        self.path = journal.path
        self.name = journal.path.stem
        self.sent = 0
        self.digest = hashlib.sha256()
        self.finished = False
        self.touched = 0.0
        self.drafts: list[str] = []
        self.compressed = False
        self._segment = journal.segment
        self._blobs = blobs

    def resume(self, offset: int, digest: str) -> None:
        """Continue after the bytes that the server already has.

        Args:
            offset: Number of these bytes.
            digest: Their SHA-256. Empty: they are the same bytes.

        Raises:
            CommError: The server's bytes are not the beginning of this journal.
        """
        with self.path.open("rb") as file:
            mine = hashlib.sha256(file.read(offset))
        if digest and (offset > self.path.stat().st_size or mine.hexdigest() != digest):
            raise CommError(
                f"the server has {offset} bytes of journal {self.name} that differ from the journal here. "
                "Nothing was sent; the journal stays here"
            )
        self.sent, self.digest = offset, mine
        # The skipped frames may contain the record that ends the run.
        for outcome in read_frames(self.path, self._segment, final=False):
            if isinstance(outcome, Frame) and outcome.end <= offset:
                self._note(self._decode(outcome), None)

    def check_all_sent(self) -> None:
        """Check that a journal whose writer has ended was sent completely.

        Raises:
            JournalError: There are whole records after damaged bytes. They cannot be sent, because the server
                accepts only whole frames in order.
        """
        for outcome in read_frames(self.path, self._segment, max(self.sent, HEADER.size), final=True):
            if isinstance(outcome, Frame):
                raise JournalError(
                    "send",
                    str(self.path),
                    self.sent,
                    f"it is damaged there; later records, from byte {outcome.offset} on, stay here",
                )

    def batches(self) -> Iterator[tuple[bytes, Needs, int]]:
        """Yield what the server lacks: bytes of whole frames, their needs, and the number of records.

        The caller sends each batch and calls ``advance`` before it takes the next batch. Records that arrive
        meanwhile wait for the next call: otherwise a writer that logs often would delay all others.
        """
        size = self.path.stat().st_size
        while self.sent < size:
            data, needs, records = self._next_batch()
            if not data:
                return
            yield data, needs, records

    def advance(self, data: bytes) -> None:
        """Record that the server now has ``data``."""
        self.sent += len(data)
        self.digest.update(data)
        self.touched = time.monotonic()

    def _next_batch(self) -> tuple[bytes, Needs, int]:
        start = max(self.sent, HEADER.size)
        end, count = start, 0
        needs = Needs([], [])
        for outcome in read_frames(self.path, self._segment, start, final=False):
            if not isinstance(outcome, Frame):
                break
            try:
                record = self._decode(outcome)
            except JournalError:
                if not count:
                    raise
                break  # send the records before it first; the next batch raises the error
            if isinstance(record, ArtifactLogged) and count and not self.sent:
                break  # the server may refuse the run: send no artifact before that
            self._note(record, needs)
            end, count = outcome.end, count + 1
            if end - start > BATCH_BYTES:
                break
        if end == self.sent:
            return b"", needs, 0
        with self.path.open("rb") as file:
            file.seek(self.sent)
            return file.read(end - self.sent), needs, count

    def _decode(self, frame: Frame) -> Record:
        return decode(frame.payload, str(self.path), frame.offset)

    def _note(self, record: Record, needs: Needs | None) -> None:
        """Note the end of the run and the drafts. Add what a record needs to ``needs``; None: it was sent."""
        if isinstance(record, RunFinished):
            self.finished = True
        elif isinstance(record, ArtifactLogged) and record.draft is not None:
            self.drafts.append(record.draft)
        if needs is None:
            return
        if isinstance(record, FileSaved):
            needs.blobs.append(record.sha256)
        elif isinstance(record, ArtifactLogged):
            if record.draft is not None:
                needs.drafts.append(record.draft)
            else:
                needs.blobs.extend((*read_manifest(self._blobs, record.manifest).blobs, record.manifest))
