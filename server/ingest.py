"""Receiving journals and blobs over HTTP. The server stores whole frames on the disk before it answers."""

from __future__ import annotations

import hashlib
import os
import threading
from typing import Any

from sqlalchemy import select

from server.accounts.callers import Caller
from server.content_proofs import ContentProofs
from server.sender_checks import SenderChecks
from tracker.errors import ConflictError, NotFoundError, StoreError, UsageError
from tracker.ground.group_files import create
from tracker.ground.parsed_types import is_digest, is_token
from tracker.ground.people import Rights
from tracker.journal.format import HEADER, VERSION, unpack_header
from tracker.journal.reader import Frame, read_frames, split_frames
from tracker.recorder.follow import WRITER_STATES
from tracker.recorder.outgoing_journal import GZIP, Received
from tracker.runstate.fold import Gone
from tracker.store.blobs.finalize import FinalizedDraft, receive_finalized
from tracker.store.catalog.models import Project, Run, Segment
from tracker.store.ingest.apply import apply_journal, finish_segment
from tracker.store.ingest.contents import note_upload
from tracker.store.ingest.seal import seal
from tracker.store.objects.atomic_files import make_folder, sync_folder
from tracker.store.objects.layout import INGEST, JournalPath, parse_journal_name
from tracker.store.store import Store

# The largest number of a journal of a segment.
LAST = 999_999
# Names per query: SQLite accepts at most 32,766 parameters.
ASKED_AT_ONCE = 10_000
# Content encodings of the bytes of journals, for senders.
ENCODINGS = [GZIP]
# The received part of a journal that is not here.
NOTHING = Received(0, hashlib.sha256().hexdigest(), ENCODINGS)


class _Journal:
    """This server's copy of one journal."""

    def __init__(self, path: JournalPath) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.offset = 0
        self.sequence = 0
        self.digest = hashlib.sha256()
        self._load()

    @property
    def received(self) -> Received:
        """The received part of the journal."""
        return Received(self.offset, self.digest.hexdigest(), ENCODINGS)

    def _load(self) -> None:
        """Load the file of an earlier server process, and cut off an incomplete frame after a crash."""
        file = self.path.path
        if not file.is_file():
            return
        end = HEADER.size if file.stat().st_size >= HEADER.size else 0
        for outcome in read_frames(file, self.path.segment, final=False) if end else ():
            if isinstance(outcome, Frame):
                end, self.sequence = outcome.end, outcome.sequence + 1
        # Only this server writes the copy, and the sender still has the bytes that are cut off here.
        os.truncate(file, end)
        with file.open("rb") as content:
            while chunk := content.read(1024 * 1024):
                self.digest.update(chunk)
        self.offset = end


class Ingest:
    """The journals that the server is receiving.

    Attributes:
        proofs: The contents that senders without all rights have proven to have.
    """

    def __init__(self, store: Store) -> None:
        self.proofs = ContentProofs(store)
        self._store = store
        self._journals: dict[tuple[str, int], _Journal] = {}
        self._lock = threading.Lock()

    def received(self, name: str, caller: Caller) -> Received:
        """Return the received part of journal ``name`` (``SEGMENT-NUMBER``).

        Raises:
            ForbiddenError: The caller can read the project of the journal, but not write to it.
        """
        journal = self._journal(name)
        checks = self._checks(caller)
        if checks is not None and checks.hides(checks.project_of(journal.path.segment, journal.path.number)):
            return NOTHING
        with journal.lock:
            return journal.received

    def append(self, name: str, offset: int, digest: str, data: bytes, caller: Caller) -> Received:
        """Append whole frames to a journal, force them to the disk and apply them.

        Args:
            name: Name of the journal: ``SEGMENT-NUMBER``.
            offset: Number of bytes that the sender expects here.
            digest: SHA-256 of those bytes, in hex.
            data: The new bytes. If they are empty, the call only shows that the writer is alive.
            caller: The sender. Without all rights, it needs roles: see ``SenderChecks``.

        Returns:
            The received part of the journal.

        Raises:
            ConflictError: The journal does not match ``offset`` and ``digest``, or the caller has not sent a
                content that a record names. The sender should ask again.
            UsageError: The data is not the beginning of the journal, or not whole frames.
            ForbiddenError: The caller does not have a role that the records need.
            NotFoundError: The caller cannot read a project that the records name.
            OSError: The disk refused the write. None of the data was stored.
        """
        journal = self._journal(name)
        checks = self._checks(caller)
        with journal.lock:
            project, hidden = None, False
            if checks is not None:
                project = checks.project_of(journal.path.segment, journal.path.number)
                hidden = checks.hides(project)
            received = NOTHING if hidden else journal.received
            if (offset, digest) != (received.offset, received.digest):
                raise ConflictError(
                    f"Journal {name} has {received.offset} bytes here, which differs from the request."
                )
            if hidden:
                if data:
                    raise NotFoundError(f"You cannot send segment {journal.path.segment} to this server.")
                return received
            if data:
                frames = self._split(journal, data)
                if checks is not None:
                    checks.check_frames(project, frames)
                self._append(journal, data, frames)
                self._apply(journal.path.segment, journal.path.number)
            elif journal.path.path.exists():
                os.utime(journal.path.path)
            return journal.received

    def end(self, segment: str, gone: Gone | None, caller: Caller) -> None:
        """Record that a segment's writer died, and why. The sender has already sent the whole segment.

        Args:
            segment: Id of the segment.
            gone: The reason, if the sender knows it.
            caller: The sender. Without all rights, it can end only segments of projects that it may write to.

        Raises:
            UsageError: ``segment`` is not a segment id.
            ForbiddenError: The caller can read the project of the segment, but not write to it.
        """
        if parse_journal_name(f"{segment}-000000") is None:
            raise UsageError(f"Invalid segment id {segment!r}.")
        checks = self._checks(caller)
        if checks is not None and checks.hides(checks.project_of(segment, LAST)):
            return
        if not self._apply(segment, LAST, final=True):
            return  # the journal stays on the disk, and counts as live, until the watcher can apply it
        finish_segment(self._store, segment, "crashed", gone=gone)
        with self._store.reading() as session:
            found = session.scalar(select(Segment.id).where(Segment.segment == segment))
        if found is not None:
            seal(self._store, found)

    def record_draft(self, token: str, found: FinalizedDraft, caller: Caller) -> None:
        """Record the manifest of an artifact that the sender logs next.

        Args:
            token: Token of the draft.
            found: The manifest, or the reason for a failure.
            caller: The sender. Without all rights, it must have sent the contents that the manifest names.

        Raises:
            UsageError: ``token`` is not a token.
            ConflictError: See ``ContentProofs.require_contents``.
        """
        if not is_token(token):
            raise UsageError(f"Invalid draft token {token!r}.")
        note_upload(self._store)
        if not caller.rights.sees_all and found.problem is None:
            self.proofs.require(caller, [found.manifest])
            self.proofs.require_contents(caller, found.manifest)
        receive_finalized(self._store.layout, token, found)

    def _checks(self, caller: Caller) -> SenderChecks | None:
        return None if caller.rights.sees_all else SenderChecks(self._store, self.proofs, caller)

    def _split(self, journal: _Journal, data: bytes) -> list[Frame]:
        """Return the frames of a request. They are the next ones of the journal."""
        body = data
        if journal.offset == 0:
            header = unpack_header(data)
            if (
                header is None
                or header.segment != journal.path.segment
                or header.number != journal.path.number
            ):
                raise UsageError(f"The data does not begin with the header of {journal.path.path.stem}.")
            if header.version > VERSION:
                raise UsageError(
                    f"The journal has format {header.version}. Upgrade airgap-tracker on the server."
                )
            body = data[HEADER.size :]
        start = journal.offset + len(data) - len(body)
        first = journal.sequence if journal.offset else None
        frames = split_frames(body, journal.path.segment, start, first)
        if body and (not frames or frames[-1].end != start + len(body)):
            raise UsageError("The data ends inside a frame. Send whole frames only.")
        return frames

    def _append(self, journal: _Journal, data: bytes, frames: list[Frame]) -> None:
        file = journal.path.path
        make_folder(file.parent)
        descriptor = create(file, os.O_WRONLY | os.O_APPEND)
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError(28, "No space left on device")
            os.fsync(descriptor)
        except OSError:
            os.truncate(file, journal.offset)
            raise
        finally:
            os.close(descriptor)
        if journal.offset == 0:
            sync_folder(file.parent)
        journal.offset += len(data)
        journal.digest.update(data)
        if frames:
            journal.sequence = frames[-1].sequence + 1

    def _apply(self, segment: str, last: int, *, final: bool = False) -> bool:
        """Apply a segment's journals up to number ``last``, in order.

        Returns:
            Whether all of them could be applied now.
        """
        try:
            for journal in self._list(segment):
                while journal.number <= last and apply_journal(self._store, journal, final=final).more:
                    pass
        except (StoreError, NotFoundError, OSError):
            return False  # the data is on the disk: the watcher applies it later
        return True

    def _list(self, segment: str) -> list[JournalPath]:
        return [found for found in self._store.layout.list_journals(INGEST) if found.segment == segment]

    def _journal(self, name: str) -> _Journal:
        with self._lock:
            parsed = parse_journal_name(name)
            if parsed is None:
                raise UsageError(f"Invalid journal name {name!r}.")
            segment, number = parsed
            found = self._journals.get(parsed)
            if found is None or (found.offset and not found.path.path.exists()):
                layout = self._store.layout
                found = _Journal(JournalPath(layout.journal(INGEST, segment, number), segment, number))
                self._journals[parsed] = found
            return found


def known_segments(store: Store, names: list[str], rights: Rights) -> dict[str, str]:
    """Return the segments that need not be sent, each with ``"stored"`` or ``"deleted"`` as the reason.

    Args:
        store: The store.
        names: Ids of segments.
        rights: The rights of the sender. Segments of projects that the sender cannot read, and deleted
            segments, whose project is unknown, are returned only to a sender with all rights.
    """
    found: dict[str, str] = {}
    with store.reading() as session:
        for start in range(0, len(names), ASKED_AT_ONCE):
            asked = [name for name in names[start : start + ASKED_AT_ONCE] if is_token(name)]
            query = (
                select(Segment.segment, Project.entity, Project.name)
                .outerjoin(Run, Run.id == Segment.run_id)
                .outerjoin(Project, Project.id == Run.project_id)
                .where(
                    Segment.segment.in_(asked), Segment.sealed.is_(True) | Segment.ended.in_(WRITER_STATES)
                )
            )
            for name, entity, project in session.execute(query):
                if rights.sees_all or (entity is not None and rights.may("viewer", entity, project)):
                    found[name] = "deleted" if entity is None else "stored"
    return found


def check_sha256(name: Any) -> str:
    """Return the name of a blob, or raise UsageError if it is not a SHA-256."""
    if not is_digest(name):
        raise UsageError(f"Invalid SHA-256 {name!r}. Use 64 lower-case hex digits.")
    return str(name)
