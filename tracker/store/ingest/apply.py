"""Applying the records of journals to the store. No other module brings records of journals into the store.

A batch has two steps. First, the records are read and folded. If there are many rows, they go to a new part.
Then one catalog transaction moves the segment's offset and stores the rows. Before the transaction commits,
blobs are forced to the disk, and version, alias and run files are written.

The transaction first compares the offset with the one that was read. If another process has moved the offset,
this process discards its work and reads the segment again. So the result is the same when a batch is applied
twice, by two processes at the same time, or after a crash at any point.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tracker.errors import JournalError, StoreError, UsageError
from tracker.ground.names import RunPath
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
    RunStarted,
    SystemSample,
    decode,
    encode,
)
from tracker.journal.format import HEADER
from tracker.journal.reader import Corrupt, Frame, NotYet, TornTail, read_frames, read_header
from tracker.runstate.collection import RecordId
from tracker.runstate.fold import FinishedRow, Gone, SegmentFold, SegmentState, pack_state, unpack_state
from tracker.store.blobs.finalize import discard_draft, note_draft
from tracker.store.blobs.manifest import InvalidManifestError
from tracker.store.catalog.hot_rows import HOT_BYTES, HOT_ROWS, add_hot, join, read_hot, take_hot
from tracker.store.catalog.models import Run, RunFile, Segment
from tracker.store.history.captured import Captured, add_captured, spill_captured
from tracker.store.history.parts import NewPart, add_part, discard, write_part
from tracker.store.ingest import artifacts
from tracker.store.ingest.run_edits import merge_edit
from tracker.store.ingest.run_row import Aggregates, find_or_make_run, refresh_run, write_run
from tracker.store.objects.layout import JournalPath
from tracker.store.published import runs as published
from tracker.store.published.moves import find_place
from tracker.store.published.tombstones import deleted_segment
from tracker.store.store import Store

# One transaction applies about this much of a journal, so that other writers do not wait long.
BATCH_BYTES = 4 * 1024 * 1024
# The number of attempts to commit a batch that fails because of a constraint of the catalog. After these
# attempts, the cause is not another process that adds the same segment, run or project: raise an error.
LARGEST_ATTEMPTS = 5


# Records about artifacts and about the run as a whole. They are applied in the order of logging.
ArtifactOrEdit = ArtifactLogged | ArtifactUsed | ArtifactChanged | ArtifactLinked | RunEdited

_decode_process = msgspec.msgpack.Decoder(Process).decode


class Applied(NamedTuple):
    """The result of one call of ``apply_journal``.

    Attributes:
        records: The number of records that this call applied.
        offset: The journal is applied up to this byte.
        more: Whether there may be more records to apply immediately.
        tail: The size in bytes of the data that follows the applied records and is not a whole record, or not
            a whole record yet. 0 if there is none. In final mode, ``offset`` is the end of this data.
        cold: Whether a Parquet part was written, so that there may be parts to merge.
        settling: Whether the next record waits for an artifact's digests, which are being computed.
    """

    records: int
    offset: int
    more: bool
    tail: int
    cold: bool = False
    settling: bool = False


class _RefusedError(Exception):
    """A batch has an invalid record. The batch is read again, and the record becomes a problem of the run."""

    def __init__(self, sequence: int, reason: str) -> None:
        super().__init__(reason)
        self.sequence = sequence
        self.reason = reason


class _Batch(NamedTuple):
    state: SegmentState
    rows: list[FinishedRow]
    row_bytes: int
    files: list[tuple[int, FileSaved | FileRemoved]]
    artifacts_and_edits: list[tuple[int, ArtifactOrEdit]]
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
        store: The store.
        journal: The journal. All earlier journals of its segment have been applied to their end.
        final: The writer has ended. An incomplete record at the end stays incomplete: report it.
        skip: The writer may still be alive, but a damaged region with whole records after it has not
            changed for long enough: report the damage and apply the records after it.
        finalize: Computes the digests of a logged artifact's files. The default waits for the result.

    Raises:
        JournalError: The journal cannot be read, or has a record that this tracker does not know.
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
        is_repeated = segment is not None and segment.sequence < segment.adopted
        if headless and not ((final or skip or is_repeated) and size > HEADER.size):
            return Applied(0, 0, False, size)
        with _no_collection():
            batch = _read_batch(
                store, journal, segment, finalize, refused, final=final, skip=skip, headless=headless
            )
        if batch.records == 0 and not (final and batch.tail):
            return Applied(0, batch.offset, batch.more, batch.tail, settling=batch.settling)
        started = batch.state.started
        begins = started if segment is None else None
        if begins is not None and find_place(store.layout, begins, journal.segment) is None:  # deleted
            with suppress(IntegrityError), store.writing() as session:  # another process may add it too
                session.add(deleted_segment(journal.segment, begins.time))
            continue
        # Write the notes (copies of the drafts' results) before the commit. Right after the commit, another
        # process may seal the segment, and remove its notes.
        drafts = [
            record.draft
            for _, record in batch.artifacts_and_edits
            if type(record) is ArtifactLogged and record.draft
        ]
        for token in drafts:
            note_draft(store.layout, token, journal.segment)
        with _no_collection():
            part = _cold_part(store, journal.segment, segment, batch)
        named = False
        try:
            if not write_run(store, partial(commit, segment, batch, part)):
                continue
        except IntegrityError as error:
            named = False
            # Another process added the segment or the run at the same moment.
            if (attempts := attempts + 1) < LARGEST_ATTEMPTS:
                continue
            raise StoreError(f"the catalog refuses the records of {journal.path}: {error.orig}") from error
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


@contextmanager
def _no_collection() -> Iterator[None]:
    """Pause Python's search for cyclic garbage.

    A batch makes hundreds of thousands of objects without cycles, and the search would look at them again and
    again: a fifth of the time of applying.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _spill_captured(store: Store, name: str) -> None:
    with store.reading() as session:
        segment_id = session.scalar(select(Segment.id).where(Segment.segment == name))
    if segment_id is not None:
        spill_captured(store, segment_id, everything=False)


def _cold_part(store: Store, name: str, segment: Segment | None, batch: _Batch) -> NewPart | None:
    """Write the segment's hot rows and the batch's rows as a part; return None if there are too few rows."""
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
    folder = store.layout.run(*_place(store, started, name, segment)) / "history"
    return write_part(store, folder, name, join(hot, batch.rows))


def _place(store: Store, started: RunStarted, name: str, segment: Segment | None) -> RunPath:
    """Return the entity, the project and the id of a segment's run, which may have been moved."""
    if segment is not None and segment.run_id is not None:
        with store.reading() as session:
            run = session.get(Run, segment.run_id)
            if run is not None:
                return run.project.entity, run.project.name, run.run_id
    named = (started.entity, started.project, started.run_id)
    return find_place(store.layout, started, name) or named


def finish_segment(
    store: Store, segment_id: str, ended: str, silent_since: float | None = None, gone: Gone | None = None
) -> None:
    """Record that a segment's writer has ended, and close its open row.

    Args:
        store: The store.
        segment_id: The segment, 32 hex digits. An unknown segment is ignored.
        ended: ``"finished"``, ``"failed"``, ``"preempted"`` or ``"crashed"``. This becomes the state of the
            run if the segment is the newest one of the primary writer.
        silent_since: When the writer last wrote, in unix seconds, if its silence is the only sign of its end.
        gone: The reason why the writer counts as dead. None keeps a reason that the segment already has.
    """

    def change(session: Session, aggregates: Aggregates) -> None:
        segment = session.scalar(select(Segment).where(Segment.segment == segment_id))
        if segment is None:
            return
        fold = SegmentFold(unpack_state(segment.state))
        if segment.ended is not None and fold.state.silent_since in (None, silent_since):
            return  # this end is recorded already
        rows = fold.flush()
        fold.state.silent_since = silent_since
        fold.state.gone = gone or fold.state.gone
        add_hot(session, segment, rows)
        _note_end(store, session, segment, ended, fold.state, aggregates)

    write_run(store, change)


def withdraw_end(store: Store, segment_id: str) -> None:
    """Record that a segment's writer is alive. The writer counted as dead only because it was silent.

    Args:
        store: The store.
        segment_id: The writer's segment, 32 hex digits.
    """

    def change(session: Session, aggregates: Aggregates) -> None:
        segment = session.scalar(select(Segment).where(Segment.segment == segment_id))
        if segment is None:
            return
        state = unpack_state(segment.state)
        if state.silent_since is not None:
            state.silent_since = state.gone = None
            _note_end(store, session, segment, None, state, aggregates)

    write_run(store, change)


def unseal(store: Store, segment_id: str, place: tuple[int, int]) -> None:
    """Record that the silent writer of a sealed segment has come back: more of its records can be applied.

    Args:
        store: The store.
        segment_id: The segment, 32 hex digits. Its journals are there and contain all its records.
        place: The number of the journal with the first record that is not applied, and its offset there.
    """

    def change(session: Session, aggregates: Aggregates) -> None:
        segment = session.scalar(select(Segment).where(Segment.segment == segment_id))
        if segment is None or not segment.sealed or segment.run_id is None:
            return
        state = unpack_state(segment.state)
        state.silent_since = state.gone = None
        segment.sealed = False
        segment.journal_index, segment.offset = place
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
    # Before a rebuild, the catalog had applied all records below this number. Damage among them is skipped
    # again without waiting, so that the rebuild loses no row.
    repeated_to = segment.adopted if segment is not None else 0
    skips_damage = final or skip
    state = unpack_state(segment.state) if segment is not None else SegmentState()
    fold = SegmentFold(state)
    start, tail, more, count, row_bytes = offset, 0, False, 0, 0
    if headless and start == HEADER.size:
        state.problems.append(f"journal {journal.path.name} is damaged: its header is missing")
    rows: list[FinishedRow] = []
    files: list[tuple[int, FileSaved | FileRemoved]] = []
    artifacts_and_edits: list[tuple[int, ArtifactOrEdit]] = []
    captured = Captured([], {})
    settling = False
    unfolded: list[Row] = []  # the last rows, which are folded together
    name = str(journal.path)
    skipping = skips_damage or sequence < repeated_to
    for outcome in read_frames(journal.path, journal.segment, offset, sequence, final=final, skip=skipping):
        if type(outcome) is Frame:
            try:
                record = decode(outcome.payload, name, outcome.offset)
            except JournalError:
                if not count:
                    raise
                more = True  # apply the records before this one first; the next batch raises
                break
            if type(record) is Row:
                unfolded.append(record)
                row_bytes += len(outcome.payload)
            elif type(record) is FileSaved or type(record) is FileRemoved:
                files.append((outcome.sequence, record))
            elif outcome.sequence in refused:
                state.problems.append(refused[outcome.sequence])
            elif isinstance(record, ArtifactOrEdit):
                adopted = segment is not None and outcome.sequence < segment.adopted
                if type(record) is ArtifactLogged and not adopted:
                    found = artifacts.complete_record(store, record, finalize)
                    if found is None:
                        settling = True
                        break
                    if isinstance(found, str):
                        state.problems.append(found)
                    else:
                        artifacts_and_edits.append((outcome.sequence, found))
                else:
                    artifacts_and_edits.append((outcome.sequence, record))
            else:
                rows += fold.fold_rows(unfolded)
                unfolded.clear()
                rows += fold.fold(record)
                if isinstance(record, (SystemSample, ConsoleLines)) and state.started is not None:
                    captured.take(record, outcome.sequence, state.started.time, state.started.runtime_base)
            offset, sequence, count = outcome.end, outcome.sequence + 1, count + 1
        elif isinstance(outcome, Corrupt):
            if not skips_damage and sequence >= repeated_to:
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
                sequence = outcome.missing[1] + 1  # a batch that begins here must not report the gap again
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
    rows += fold.fold_rows(unfolded)
    read = (offset, sequence, count, more, tail, settling)
    return _Batch(fold.state, rows, row_bytes, files, artifacts_and_edits, *read, captured)


def _commit(
    store: Store,
    journal: JournalPath,
    seen: Segment | None,
    batch: _Batch,
    part: NewPart | None,
    session: Session,
    aggregates: Aggregates,
) -> bool:
    """Write one batch; undo it and return False if another process has moved the offset since it was read."""
    state = batch.state
    state.silent_since = None  # the writer has written
    if seen is not None and seen.ended == "crashed":
        state.gone = None
    fields: dict[str, Any] = {
        "journal_index": journal.number,
        "offset": batch.offset,
        "sequence": batch.sequence,
        "state": pack_state(state),
        "fault": None,  # a process that cannot apply the next record notes the fault again
        # A writer that counted as dead and writes again is alive.
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
        return True  # the segment's first record is not applied yet: its rows have no run until then
    known = session.get(Run, segment.run_id) if segment.run_id is not None else None
    if known is None:
        place = find_place(store.layout, state.started, journal.segment)
        if place is None and seen is None:
            session.rollback()
            return False  # the run was deleted at this moment
        named = (state.started.entity, state.started.project, state.started.run_id)
        known = find_or_make_run(session, state.started, place or named)
    run = known
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
    for sequence, record in batch.artifacts_and_edits:
        if sequence >= segment.adopted:
            made_by = (journal.segment, sequence)
            _apply_artifact_or_edit(store, session, run, state.started, record, made_by, aggregates)
    refresh_run(session, run, aggregates)
    # Readers without a catalog find in the run's file which of the logged artifacts have a version.
    # The use of a missing version is ignored. Without a new file, a rebuild would apply the record of the use
    # again, and the version may exist then.
    now = seen is None or state.finished is not None or bool(batch.artifacts_and_edits)
    published.publish_run(store.layout, session, run, now=now)
    return True


def _apply_artifact_or_edit(
    store: Store,
    session: Session,
    run: Run,
    started: RunStarted,
    record: ArtifactOrEdit,
    made_by: tuple[str, int],
    aggregates: Aggregates,
) -> None:
    segment, sequence = made_by
    if isinstance(record, ArtifactLogged):
        try:
            artifacts.add_version(store, session, run, started, record, RecordId(segment, sequence))
        except InvalidManifestError as error:
            raise _RefusedError(sequence, f"artifact {record.name} was refused: {error.message}") from error
    elif isinstance(record, ArtifactUsed):
        artifacts.add_use(store, session, run, record)
    elif isinstance(record, RunEdited):
        try:
            merge_edit(session, run, record, aggregates)
        except UsageError as error:
            raise _RefusedError(sequence, f"an edit was refused: {error.message}") from error
    elif isinstance(record, ArtifactChanged):
        artifacts.apply_change(store, session, record)
    else:
        artifacts.add_link(store, session, record, segment, sequence)


def segment_process(segment: Segment) -> Process | None:
    """Return the process that writes a segment; None before its first record is applied."""
    return _decode_process(segment.process) if segment.process else None
