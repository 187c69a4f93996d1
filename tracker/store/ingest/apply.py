"""The only way in: apply a journal's records to the store.

Order of one batch: read and fold the records; publish what they bring (blobs forced to the disk,
version, alias and run files); then one catalog transaction that stores the rows and moves the
segment's offset. The offset is compared first: whoever lost a race drops its work and looks again,
so applying twice, at once, or after a crash anywhere in between gives the same store.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tracker.errors import JournalError, StoreError, UsageError
from tracker.ground.records import (
    ArtifactChanged,
    ArtifactLinked,
    ArtifactLogged,
    ArtifactUsed,
    ConsoleLines,
    FileRemoved,
    FileSaved,
    Process,
    Row,
    RunEdited,
    SystemSample,
    decode,
    encode,
)
from tracker.journal.format import HEADER
from tracker.journal.reader import Corrupt, Frame, NotYet, TornTail, read_frames, read_header
from tracker.runstate.fold import FinishedRow, Gone, SegmentFold, SegmentState, pack_state, unpack_state
from tracker.store.blobs.finalize import discard_draft, note_draft
from tracker.store.blobs.manifest import InvalidManifestError
from tracker.store.catalog.hot_rows import HOT_BYTES, HOT_ROWS, add_hot, join, read_hot, take_hot
from tracker.store.catalog.models import Run, RunFile, Segment
from tracker.store.history.captured import Captured, add_captured, spill_captured
from tracker.store.history.parts import NewPart, add_part, discard, write_part
from tracker.store.ingest import artifacts
from tracker.store.ingest.run_edits import take_edit
from tracker.store.ingest.run_row import Aggregates, find_or_make_run, refresh_run, write_run
from tracker.store.objects.layout import JournalPath
from tracker.store.published import runs as published
from tracker.store.published.tombstones import deleted_segment, is_deleted
from tracker.store.store import Store

# One transaction takes at most this much of a journal, so that others get their turn.
BATCH_BYTES = 4 * 1024 * 1024
# A constraint that breaks this often is no race for a new segment, run or project.
LARGEST_ATTEMPTS = 5


# What is said of artifacts and of the run as a whole, in the order in which it was said.
SaidRecord = ArtifactLogged | ArtifactUsed | ArtifactChanged | ArtifactLinked | RunEdited

_decode_process = msgspec.msgpack.Decoder(Process).decode


class Applied(NamedTuple):
    """What one call of ``apply_journal`` did.

    Attributes:
        records: Records applied now.
        offset: The journal is applied up to this byte.
        more: There may be more to apply at once.
        tail: Bytes behind ``offset`` that are no whole record (yet).
        cold: A Parquet part was made: there may be some to merge.
        settling: The next record waits for an artifact's digests, which are being computed.
    """

    records: int
    offset: int
    more: bool
    tail: int
    cold: bool = False
    settling: bool = False


class _RefusedError(Exception):
    """A record cannot be applied, now or later: the batch is read once more, and the record reported."""

    def __init__(self, sequence: int, reason: str) -> None:
        super().__init__(reason)
        self.sequence = sequence
        self.reason = reason


class _Batch(NamedTuple):
    state: SegmentState
    rows: list[FinishedRow]
    row_bytes: int
    files: list[tuple[int, FileSaved | FileRemoved]]
    said: list[tuple[int, SaidRecord]]
    offset: int
    sequence: int
    records: int
    more: bool
    tail: int
    settling: bool
    captured: Captured


def apply_journal(
    store: Store,
    journal: JournalPath,
    *,
    final: bool = False,
    skip: bool = False,
    finalize: artifacts.Finalize = artifacts.finalize_now,
) -> Applied:
    """Apply the next batch of a journal.

    Args:
        store: Where to.
        journal: A journal whose segment's earlier journals have been applied to their end.
        final: Its writer has ended: what is not whole now never will be, and is reported.
        skip: Its writer may live, but what is damaged and has whole records behind it was waited for
            long enough: it is reported, and what follows is applied.
        finalize: Gives a logged artifact's files their digests; by default it is waited for.

    Raises:
        JournalError: It cannot be read, or holds a record that this tracker does not know.
        StoreError: The catalog cannot be written.
    """
    headless = read_header(journal.path) is None
    size = journal.path.stat().st_size if headless else 0
    attempts = 0
    refused: dict[int, str] = {}
    named = False

    def commit(*given: Any) -> bool:
        nonlocal named
        named = _commit(store, journal, *given)
        return named

    while True:
        with store.reading() as session:
            segment = session.scalar(select(Segment).where(Segment.segment == journal.segment))
        if segment is not None and (segment.sealed or journal.number < segment.journal_index):
            return Applied(0, segment.offset, False, 0)
        passed = segment is not None and segment.sequence < segment.adopted
        if headless and not ((final or skip or passed) and size > HEADER.size):
            return Applied(0, 0, False, size)
        batch = _read_batch(
            store, journal, segment, finalize, refused, final=final, skip=skip, headless=headless
        )
        if batch.records == 0 and not (final and batch.tail):
            return Applied(0, batch.offset, batch.more, batch.tail, settling=batch.settling)
        started = batch.state.started
        if segment is None and started is not None and is_deleted(store.layout, started, journal.segment):
            with suppress(IntegrityError), store.writing() as session:  # or somebody else was as quick
                session.add(deleted_segment(journal.segment, started.time))
            continue
        # Before the commit: the segment may be sealed right after it, which removes its notes.
        drafts = [said.draft for _, said in batch.said if type(said) is ArtifactLogged and said.draft]
        for token in drafts:
            note_draft(store.layout, token, journal.segment)
        part = _cold_part(store, journal.segment, segment, batch)
        named = False
        try:
            if not write_run(store, partial(commit, segment, batch, part)):
                continue
        except IntegrityError as error:
            named = False
            # Somebody else made the segment or the run at the same moment.
            if (attempts := attempts + 1) < LARGEST_ATTEMPTS:
                continue
            raise StoreError(f"the catalog refuses what {journal.path} holds: {error.orig}") from error
        except _RefusedError as error:
            named = False
            refused[error.sequence] = error.reason
            continue
        finally:
            if part is not None and not named:
                discard(part)
        for token in drafts:
            discard_draft(store.layout, token)
        if batch.captured.samples or batch.captured.lines:
            _spill_captured(store, journal.segment)
        return Applied(batch.records, batch.offset, batch.more, batch.tail, part is not None, batch.settling)


def _spill_captured(store: Store, name: str) -> None:
    with store.reading() as session:
        segment_id = session.scalar(select(Segment.id).where(Segment.segment == name))
    if segment_id is not None:
        spill_captured(store, segment_id, everything=False)


def _cold_part(store: Store, name: str, segment: Segment | None, batch: _Batch) -> NewPart | None:
    """Write the batch's rows, behind the segment's hot ones, as a part when there are enough of them."""
    hot_count = segment.hot_count if segment is not None else 0
    hot_bytes = segment.hot_bytes if segment is not None else 0
    started = batch.state.started
    if started is None or (
        hot_count + len(batch.rows) < HOT_ROWS and hot_bytes + batch.row_bytes < HOT_BYTES
    ):
        return None
    hot: list[FinishedRow] = []
    if segment is not None and hot_count:
        with store.reading() as session:
            hot = read_hot(session, segment.id)
    folder = store.layout.run(started.entity, started.project, started.run_id) / "history"
    return write_part(store, folder, name, join(hot, batch.rows))


def finish_segment(
    store: Store, segment_id: str, ended: str, silent_since: float | None = None, gone: Gone | None = None
) -> None:
    """Note that a segment's writer has ended, and close its open row.

    Args:
        store: Where.
        segment_id: 32 hex digits; an unknown one is passed over.
        ended: ``"finished"``, ``"failed"``, ``"preempted"`` or ``"crashed"``; decides the run's state when
            the segment is the primary writer's newest.
        silent_since: When the writer was last heard of, if nothing else is known of it (unix seconds).
        gone: How it is known. A reason that is in the records already stays.
    """

    def change(session: Session, aggregates: Aggregates) -> None:
        segment = session.scalar(select(Segment).where(Segment.segment == segment_id))
        if segment is None:
            return
        folder = SegmentFold(unpack_state(segment.state))
        if segment.ended is not None and folder.state.silent_since in (None, silent_since):
            return  # it is known already
        rows = folder.flush()
        folder.state.silent_since = silent_since
        folder.state.gone = gone or folder.state.gone
        add_hot(session, segment, rows)
        _note_end(store, session, segment, ended, folder.state, aggregates)

    write_run(store, change)


def withdraw_end(store: Store, segment_id: str) -> None:
    """Note that a writer which was taken for dead because it was silent has been heard of."""

    def change(session: Session, aggregates: Aggregates) -> None:
        segment = session.scalar(select(Segment).where(Segment.segment == segment_id))
        if segment is None:
            return
        state = unpack_state(segment.state)
        if state.silent_since is not None:
            state.silent_since = state.gone = None
            _note_end(store, session, segment, None, state, aggregates)

    write_run(store, change)


def _note_end(
    store: Store,
    session: Session,
    segment: Segment,
    ended: str | None,
    state: SegmentState,
    aggregates: Aggregates,
) -> None:
    segment.ended = ended
    segment.state = pack_state(state)
    run = session.get(Run, segment.run_id) if segment.run_id else None
    if run is not None:
        refresh_run(session, run, aggregates)
        published.publish_run(store.layout, session, run)


def _read_batch(
    store: Store,
    journal: JournalPath,
    segment: Segment | None,
    finalize: artifacts.Finalize,
    refused: dict[int, str],
    *,
    final: bool,
    skip: bool,
    headless: bool,
) -> _Batch:
    same_file = segment is not None and segment.journal_index == journal.number
    offset = segment.offset if segment is not None and same_file and segment.offset else HEADER.size
    sequence = segment.sequence if segment is not None else 0
    # A catalog that is made anew goes past what the former one had gone past: its rows do not go away.
    passed = segment.adopted if segment is not None else 0
    going_on = final or skip
    state = unpack_state(segment.state) if segment is not None else SegmentState()
    folder = SegmentFold(state)
    start, tail, more, count, row_bytes = offset, 0, False, 0, 0
    if headless and start == HEADER.size:
        state.problems.append(f"journal {journal.path.name} is damaged: its header is gone")
    rows: list[FinishedRow] = []
    files: list[tuple[int, FileSaved | FileRemoved]] = []
    said: list[tuple[int, SaidRecord]] = []
    captured = Captured([], {})
    settling = False
    skipping = going_on or sequence < passed
    for outcome in read_frames(journal.path, journal.segment, offset, sequence, final=final, skip=skipping):
        if isinstance(outcome, Frame):
            try:
                record = decode(outcome.payload, str(journal.path), outcome.offset)
            except JournalError:
                if not count:
                    raise
                more = True  # what comes before it is applied first; the next batch raises
                break
            if type(record) is FileSaved or type(record) is FileRemoved:
                files.append((outcome.sequence, record))
            elif outcome.sequence in refused:
                state.problems.append(refused[outcome.sequence])
            elif isinstance(record, SaidRecord):
                adopted = segment is not None and outcome.sequence < segment.adopted
                if type(record) is ArtifactLogged and not adopted:
                    found = artifacts.with_manifest(store, record, finalize)
                    if found is None:
                        settling = True
                        break
                    if isinstance(found, str):
                        state.problems.append(found)
                    else:
                        said.append((outcome.sequence, found))
                else:
                    said.append((outcome.sequence, record))
            else:
                rows += folder.fold(record)
                if type(record) is Row:
                    row_bytes += len(outcome.payload)
                elif isinstance(record, (SystemSample, ConsoleLines)) and state.started is not None:
                    captured.take(record, outcome.sequence, state.started.time, state.started.runtime_base)
            offset, sequence, count = outcome.end, outcome.sequence + 1, count + 1
        elif isinstance(outcome, Corrupt):
            if not going_on and sequence >= passed:
                tail = journal.path.stat().st_size - outcome.offset
                break
            gone = (
                f"; records {outcome.missing[0]} to {outcome.missing[1]} are lost" if outcome.missing else ""
            )
            state.problems.append(
                f"journal {journal.path.name} is damaged at bytes {outcome.offset} to {outcome.end}: "
                f"{outcome.reason}{gone}"
            )
            offset, count = outcome.end, count + 1
            if outcome.missing:
                sequence = outcome.missing[1] + 1  # reported: a batch that ends here must not do it again
        elif isinstance(outcome, (NotYet, TornTail)):
            tail = outcome.size
            if isinstance(outcome, TornTail):
                offset += tail
                state.problems.append(
                    f"journal {journal.path.name} ends in an unfinished record: "
                    f"{tail} bytes at {outcome.offset} ({outcome.reason})"
                )
        if offset - start > BATCH_BYTES:
            more = True
            break
    read = (offset, sequence, count, more, tail, settling)
    return _Batch(folder.state, rows, row_bytes, files, said, *read, captured)


def _commit(
    store: Store,
    journal: JournalPath,
    seen: Segment | None,
    batch: _Batch,
    part: NewPart | None,
    session: Session,
    aggregates: Aggregates,
) -> bool:
    """Write one batch; undo it and return False when somebody else has moved the offset since it was read."""
    state = batch.state
    state.silent_since = None  # this is news
    if seen is not None and seen.ended == "crashed":
        state.gone = None
    fields: dict[str, Any] = {
        "journal_index": journal.number,
        "offset": batch.offset,
        "sequence": batch.sequence,
        "state": pack_state(state),
        "fault": None,  # whoever cannot apply what follows notes it again
        # A writer that was taken for dead and goes on is not dead.
        "ended": state.finished.state if state.finished is not None else None,
    }
    if state.started is not None:
        fields["rank"] = state.started.rank
        fields["attempt"] = state.started.attempt
        fields["started_at"] = state.started.time
        fields["start_step"] = state.start_step
        fields["process"] = encode(state.started.process)
    if seen is None:
        segment = Segment(segment=journal.segment, **fields)
        session.add(segment)
        session.flush()
    else:
        moved = session.scalars(
            update(Segment)
            .where(
                Segment.id == seen.id,
                Segment.offset == seen.offset,
                Segment.journal_index == seen.journal_index,
                Segment.sealed.is_(False),
            )
            .values(fields)
            .returning(Segment.id)
        ).all()
        if not moved:
            session.rollback()
            return False
        segment = session.get_one(Segment, seen.id)
    add_captured(session, segment, batch.captured)
    if part is None:
        add_hot(session, segment, batch.rows)
    elif seen is None or take_hot(session, seen):
        add_part(store, session, segment.id, part)
    else:
        session.rollback()
        return False
    if state.started is None:
        return True  # nothing but damage so far: rows wait in the segment for a run
    run = find_or_make_run(session, state.started)
    segment.run_id = run.id
    for sequence, file in batch.files:
        if sequence < segment.adopted:
            continue
        if isinstance(file, FileRemoved):
            session.execute(delete(RunFile).where(RunFile.run_id == run.id, RunFile.path == file.path))
            continue
        store.blobs.sync(file.sha256)
        session.merge(
            RunFile(run_id=run.id, path=file.path, sha256=file.sha256, size=file.size, mimetype=file.mimetype)
        )
    for sequence, said in batch.said:
        if sequence >= segment.adopted:
            _apply_said(store, session, run, said, (journal.segment, sequence), aggregates)
    refresh_run(session, run, aggregates)
    # Who reads without a catalog learns there which of the logged artifacts have been given a version.
    # A use of what was not there then is passed over for good: a rebuild must not find it later.
    now = seen is None or state.finished is not None or bool(batch.said)
    published.publish_run(store.layout, session, run, now=now)
    return True


def _apply_said(
    store: Store,
    session: Session,
    run: Run,
    record: SaidRecord,
    made_by: tuple[str, int],
    aggregates: Aggregates,
) -> None:
    segment, sequence = made_by
    if isinstance(record, ArtifactLogged):
        try:
            artifacts.add_version(store, session, run, record, segment, sequence)
        except InvalidManifestError as error:
            raise _RefusedError(sequence, f"artifact {record.name} was refused: {error.message}") from error
    elif isinstance(record, ArtifactUsed):
        artifacts.add_use(store, session, run, record)
    elif isinstance(record, RunEdited):
        try:
            take_edit(session, run, record, aggregates)
        except UsageError as error:
            raise _RefusedError(sequence, f"an edit was refused: {error.message}") from error
    elif isinstance(record, ArtifactChanged):
        artifacts.apply_change(store, session, record)
    else:
        artifacts.add_link(store, session, record, segment, sequence)


def segment_process(segment: Segment) -> Process | None:
    """Return which process writes a segment."""
    return _decode_process(segment.process) if segment.process else None
