"""The only way in: apply a journal's records to the store.

Order of one batch: read and fold the records; publish what they bring (blobs forced to the disk,
version, alias and run files); then one catalog transaction that stores the rows and moves the
segment's offset. The offset is compared first: whoever lost a race drops its work and looks again,
so applying twice, at once, or after a crash anywhere in between gives the same store.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tracker.errors import StoreError
from tracker.journal.format import HEADER
from tracker.journal.reader import Corrupt, NotYet, TornTail, read_frames, read_header
from tracker.journal.reader import Record as Frame
from tracker.records import (
    ArtifactLogged,
    ArtifactUsed,
    FileSaved,
    Process,
    RunStarted,
    decode,
    encode,
    packable,
    read_extension,
)
from tracker.store import artifacts, published
from tracker.store.fold import FinishedRow, Folder, SegmentState, pack_state, unpack_state
from tracker.store.layout import JournalPath
from tracker.store.models import Clock, HotRow, Project, Run, RunFile, Segment
from tracker.store.store import Store

# One transaction takes at most this much of a journal, so that others get their turn.
BATCH_BYTES = 8 * 1024 * 1024
# A constraint that breaks this often is no race for a new segment, run or project.
LARGEST_ATTEMPTS = 5


class Applied(NamedTuple):
    """What one call of ``apply_journal`` did.

    Attributes:
        records: Records applied now.
        offset: The journal is applied up to this byte.
        more: There may be more to apply at once.
        tail: Bytes behind ``offset`` that are no whole record (yet).
    """

    records: int
    offset: int
    more: bool
    tail: int


class _Batch(NamedTuple):
    state: SegmentState
    rows: list[FinishedRow]
    files: list[FileSaved]
    logged: list[tuple[int, ArtifactLogged]]
    used: list[ArtifactUsed]
    offset: int
    sequence: int
    records: int
    more: bool
    tail: int


def apply_journal(store: Store, journal: JournalPath, *, final: bool = False) -> Applied:
    """Apply the next batch of a journal.

    Args:
        store: Where to.
        journal: A journal whose segment's earlier journals have been applied to their end.
        final: Its writer has ended: what is not whole now never will be, and is reported.

    Raises:
        JournalError: It cannot be read, or holds a record that this tracker does not know.
        StoreError: The catalog cannot be written.
    """
    headless = read_header(journal.path) is None
    if headless and not (final and journal.path.stat().st_size > HEADER.size):
        return Applied(0, 0, False, 0)
    refused = 0
    while True:
        with store.reading() as session:
            segment = session.scalar(select(Segment).where(Segment.segment == journal.segment))
        if segment is not None and (segment.sealed or journal.number < segment.journal_index):
            return Applied(0, segment.offset, False, 0)
        batch = _read_batch(journal, segment, final, headless)
        if batch.records == 0 and not (final and batch.tail):
            return Applied(0, batch.offset, batch.more, batch.tail)
        try:
            with store.writing() as session:
                if not _commit(store, session, journal, segment, batch):
                    session.rollback()
                    continue
        except IntegrityError as error:
            # Somebody else made the segment or the run at the same moment.
            if (refused := refused + 1) < LARGEST_ATTEMPTS:
                continue
            raise StoreError(f"the catalog refuses what {journal.path} holds: {error.orig}") from error
        return Applied(batch.records, batch.offset, batch.more, batch.tail)


def finish_segment(store: Store, segment_id: str, ended: str) -> None:
    """Note that a segment's writer has ended, and close its open row.

    Args:
        store: Where.
        segment_id: 32 hex digits; an unknown one is passed over.
        ended: ``"finished"``, ``"failed"`` or ``"crashed"``; decides the run's state when the
            segment is the primary writer's newest.
    """
    with store.writing() as session:
        segment = session.scalar(select(Segment).where(Segment.segment == segment_id))
        if segment is None or segment.ended is not None:
            return
        folder = Folder(unpack_state(segment.state))
        rows = folder.flush()
        segment.ended = ended
        segment.state = pack_state(folder.state)
        _store_rows(session, segment, rows)
        run = session.get(Run, segment.run_id) if segment.run_id else None
        if run is not None:
            _refresh_run(session, run)
            published.publish_run(store, session, run)


def _read_batch(journal: JournalPath, segment: Segment | None, final: bool, headless: bool) -> _Batch:
    same_file = segment is not None and segment.journal_index == journal.number
    offset = segment.offset if segment is not None and same_file and segment.offset else HEADER.size
    sequence = segment.sequence if segment is not None else 0
    state = unpack_state(segment.state) if segment is not None else SegmentState()
    folder = Folder(state)
    start, tail, more, count = offset, 0, False, 0
    if headless and start == HEADER.size:
        state.problems.append(f"journal {journal.path.name} is damaged: its header is gone")
    rows: list[FinishedRow] = []
    files: list[FileSaved] = []
    logged: list[tuple[int, ArtifactLogged]] = []
    used: list[ArtifactUsed] = []
    for outcome in read_frames(journal.path, journal.segment, offset, sequence, final=final):
        if isinstance(outcome, Frame):
            record = decode(outcome.payload, str(journal.path), outcome.offset)
            if type(record) is FileSaved:
                files.append(record)
            elif type(record) is ArtifactLogged:
                logged.append((outcome.sequence, record))
            elif type(record) is ArtifactUsed:
                used.append(record)
            else:
                rows += folder.fold(record)
            offset, sequence, count = outcome.end, outcome.sequence + 1, count + 1
        elif isinstance(outcome, Corrupt):
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
    return _Batch(state, rows, files, logged, used, offset, sequence, count, more, tail)


def _commit(
    store: Store, session: Session, journal: JournalPath, seen: Segment | None, batch: _Batch
) -> bool:
    """Write one batch; return False when somebody else has moved the offset since it was read."""
    state = batch.state
    fields: dict[str, Any] = {
        "journal_index": journal.number,
        "offset": batch.offset,
        "sequence": batch.sequence,
        "state": pack_state(state),
        # A writer that was taken for dead and goes on is not dead.
        "ended": state.finished.state if state.finished is not None else None,
    }
    if state.started is not None:
        fields["rank"] = state.started.rank
        fields["attempt"] = state.started.attempt
        fields["started_at"] = state.started.time
        fields["start_step"] = state.started.start_step
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
            return False
        segment = session.get_one(Segment, seen.id)
    _store_rows(session, segment, batch.rows)
    if state.started is None:
        return True  # nothing but damage so far: rows wait in the segment for a run
    run = _find_or_make_run(session, state.started)
    segment.run_id = run.id
    for file in batch.files:
        store.blobs.sync(file.sha256)
        session.merge(
            RunFile(run_id=run.id, path=file.path, sha256=file.sha256, size=file.size, mimetype=file.mimetype)
        )
    for sequence, record in batch.logged:
        artifacts.add_version(store, session, run, record, journal.segment, sequence)
    for use in batch.used:
        artifacts.add_use(session, run, use)
    _refresh_run(session, run)
    # Who reads without a catalog learns there which of the logged artifacts have been given a version.
    now = seen is None or state.finished is not None or bool(batch.logged)
    published.publish_run(store, session, run, now=now)
    return True


def _store_rows(session: Session, segment: Segment, rows: list[FinishedRow]) -> None:
    if not rows:
        return
    values: list[dict[str, Any]] = [
        {
            "segment_id": segment.id,
            "row": row.row,
            "step": row.step,
            "time": row.time,
            "runtime": row.runtime,
            "data": pack_data(row.data),
        }
        for row in _join_parts(session, segment, rows)
    ]
    session.execute(insert(HotRow), values)
    segment.hot_bytes = (segment.hot_bytes or 0) + sum(len(value["data"]) for value in values)


def _join_parts(session: Session, segment: Segment, rows: list[FinishedRow]) -> list[FinishedRow]:
    """Return ``rows`` joined with what is stored of them already, which is taken out.

    The open row of a writer that was taken for dead has been closed; when the writer goes on, it may
    add to that row.
    """
    joined: dict[int, FinishedRow] = {}
    last = session.scalar(select(func.max(HotRow.row)).where(HotRow.segment_id == segment.id))
    late = {row.row for row in rows if last is not None and row.row <= last}
    if late:
        stored = session.scalars(
            select(HotRow).where(HotRow.segment_id == segment.id, HotRow.row.between(min(late), max(late)))
        ).all()
        for part in stored:
            if part.row in late:
                data = unpack_data(part.data)
                joined[part.row] = FinishedRow(part.row, part.step, part.time, part.runtime, data)
                segment.hot_bytes -= len(part.data)
                session.execute(delete(HotRow).where(HotRow.segment_id == segment.id, HotRow.row == part.row))
    for row in rows:
        part_before = joined.get(row.row)
        joined[row.row] = row if part_before is None else row._replace(data=part_before.data | row.data)
    return list(joined.values())


def pack_data(data: dict[str, object]) -> bytes:
    """Return a row's data as hot rows keep it."""
    try:
        return encode(data)
    except OverflowError:  # integers beyond 64 bits
        return encode(packable(data))


def unpack_data(data: bytes) -> dict[str, Any]:
    """Return the data that ``pack_data`` was given."""
    return _decode_data(data)


_decode_data = msgspec.msgpack.Decoder(dict[str, Any], ext_hook=read_extension).decode


def _find_or_make_run(session: Session, started: RunStarted) -> Run:
    project = session.scalar(
        select(Project).where(Project.entity == started.entity, Project.name == started.project)
    )
    if project is None:
        project = Project(entity=started.entity, name=started.project, created_at=started.time)
        session.add(project)
        session.flush()
    run = session.scalar(select(Run).where(Run.project_id == project.id, Run.run_id == started.run_id))
    if run is None:
        run = Run(
            project_id=project.id,
            run_id=started.run_id,
            name=started.name or started.run_id,
            state="running",
            created_at=started.time,
            updated_at=started.time,
            tags=[],
            config={},
            summary={},
            revision=0,
            project=project,
        )
        session.add(run)
        session.flush()
    return run


def _refresh_run(session: Session, run: Run) -> None:
    """Work out the run's merged view from all its segments; the primary writer's newest wins."""
    segments = session.scalars(select(Segment).where(Segment.run_id == run.id)).all()
    # Later in this order overrides earlier: other ranks first, then the primary's attempts.
    ordered = sorted(segments, key=lambda segment: (-segment.rank, segment.attempt, segment.started_at))
    states = [(segment, unpack_state(segment.state)) for segment in ordered]
    config: dict[str, object] = {}
    summary: dict[str, object] = {}
    for _segment, state in states:
        config.update(state.config)
        summary.update(state.summary)
        started = state.started
        if started is None:
            continue
        run.name = started.name or run.name
        run.group = started.group if started.group is not None else run.group
        run.job_type = started.job_type if started.job_type is not None else run.job_type
        run.notes = started.notes if started.notes is not None else run.notes
        run.tags = started.tags if started.tags is not None else run.tags
        run.host, run.program = started.process.host, started.program or run.program
    newest, state = states[-1]
    run.config, run.summary = config, summary
    run.created_at = min(each.started_at for each in segments)
    run.updated_at = max(state.last_time for _segment, state in states)
    run.duration = max(state.runtime for _segment, state in states)
    run.last_step = max(
        (state.last_step for _s, state in states if state.last_step is not None), default=None
    )
    run.state = newest.ended or "running"
    finished = state.finished
    run.exit_code = finished.exit_code if finished else None
    run.error = finished.error if finished else None
    run.finished_at = finished.time if finished else (run.updated_at if newest.ended else None)
    run.revision = _tick(session)


def _tick(session: Session) -> int:
    clock = session.get(Clock, 1)
    if clock is None:
        clock = Clock(id=1, revision=0)
        session.add(clock)
    clock.revision += 1
    session.flush()
    return clock.revision


def segment_process(segment: Segment) -> Process | None:
    """Return which process writes a segment."""
    return msgspec.msgpack.decode(segment.process, type=Process) if segment.process else None
