"""Captured rows: samples of system metrics and lines of output. First in the catalog (hot), then in files.

Captured rows are not rows of history, and compaction does not merge their files. The Parquet files are in the
run's folders ``system/`` and ``console/``, next to ``history/``. A line can be logged again while its writer
still changes the line (a progress bar). A line that is ``WINDOW`` lines behind the newest does not change any
more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from tracker.errors import StoreError
from tracker.ground.records import ConsoleLines, SystemSample
from tracker.runstate.fold import FinishedRow, unpack_state
from tracker.store.catalog.hot_rows import pack_data, unpack_data
from tracker.store.catalog.models import CapturedPart, ConsoleLine, Run, Sample, Segment
from tracker.store.catalog.sqlite import upsert
from tracker.store.history.part_file import PartFile
from tracker.store.objects.atomic_files import publish, sync_file
from tracker.store.store import Store

KINDS = ("system", "console")
STREAMS = {1: "stdout", 2: "stderr"}
STREAM_NUMBERS = {name: number for number, name in STREAMS.items()}
# When a segment has this number of hot rows of a kind, they move into a file.
HOT = {"system": 4096, "console": 20_000}
# Number of a segment's last lines that can still change.
WINDOW = 64


class Captured(NamedTuple):
    """The captured rows of a batch of records: samples, and the newest state of each line by line number."""

    samples: list[FinishedRow]
    lines: dict[int, FinishedRow]

    def take(self, record: SystemSample | ConsoleLines, sequence: int, start: float, base: float) -> None:
        """Add the content of a record.

        Args:
            record: The record.
            sequence: The record's number in its segment.
            start: When the segment began, in unix seconds.
            base: The run's runtime when the segment began, in seconds.
        """
        runtime = record.time - start + base
        if isinstance(record, SystemSample):
            self.samples.append(FinishedRow(sequence, sequence, record.time, runtime, dict(record.values)))
            return
        for line, stream, text in record.lines:
            data = {"stream": STREAMS.get(stream, "stdout"), "text": text}
            begun = self.lines.get(line)
            time = record.time if begun is None else begun.time
            self.lines[line] = FinishedRow(line, line, time, runtime, data)


def add_captured(session: Session, segment: Segment, found: Captured) -> None:
    """Store the captured rows of a batch, in the batch's transaction.

    Args:
        session: The transaction.
        segment: The segment of the rows.
        found: Samples of system metrics and lines of output.
    """
    if found.samples:
        rows: list[dict[str, Any]] = [
            {
                "segment_id": segment.id,
                "number": row.row,
                "time": row.time,
                "runtime": row.runtime,
                "data": pack_data(row.data),
            }
            for row in found.samples
        ]
        session.execute(insert(Sample), rows)
    if found.lines:
        add_lines(session, segment.id, list(found.lines.values()))


def add_lines(session: Session, segment_id: int, lines: Sequence[FinishedRow]) -> None:
    """Store lines. A line that is stored already gets the new text and stream, and keeps its time.

    Args:
        session: The transaction.
        segment_id: Id of the segment in the catalog.
        lines: Rows with the keys ``text`` and ``stream``.
    """
    rows = (
        (segment_id, row.row, STREAM_NUMBERS[row.data["stream"]], row.time, row.data["text"]) for row in lines
    )
    columns = ("segment_id", "line", "stream", "time", "text")
    upsert(session, ConsoleLine, columns, rows, key=("segment_id", "line"), replaced=("text", "stream"))


def hot_samples(session: Session, segment_id: int) -> list[FinishedRow]:
    """Return a segment's samples that are not in a file yet, oldest first."""
    found = session.execute(
        select(Sample.number, Sample.time, Sample.runtime, Sample.data)
        .where(Sample.segment_id == segment_id)
        .order_by(Sample.number)
    )
    return [
        FinishedRow(number, number, time, runtime, unpack_data(data)) for number, time, runtime, data in found
    ]


def hot_lines(session: Session, segment_id: int, last: int | None = None) -> list[FinishedRow]:
    """Return a segment's lines that are not in a file yet, by line number.

    Args:
        session: A read transaction.
        segment_id: The segment's number in the catalog.
        last: Return lines up to this line number. None: all lines.
    """
    query = select(ConsoleLine.line, ConsoleLine.time, ConsoleLine.stream, ConsoleLine.text)
    query = query.where(ConsoleLine.segment_id == segment_id).order_by(ConsoleLine.line)
    if last is not None:
        query = query.where(ConsoleLine.line <= last)
    return [
        FinishedRow(line, line, time, 0.0, {"stream": STREAMS.get(stream, "stdout"), "text": text})
        for line, time, stream, text in session.execute(query)
    ]


def spill_captured(store: Store, segment_id: int, *, everything: bool) -> None:
    """Move a segment's captured rows into files.

    Args:
        store: The store.
        segment_id: The segment's number in the catalog.
        everything: Move all rows, because the segment has ended. Otherwise move only the kinds that have
            many rows (``HOT``), and no line that can still change.
    """
    for kind in KINDS:
        while _spill(store, segment_id, kind, everything=everything):
            pass


def _spill(store: Store, segment_id: int, kind: str, *, everything: bool) -> bool:
    model, number = (Sample, Sample.number) if kind == "system" else (ConsoleLine, ConsoleLine.line)
    with store.reading() as session:
        segment = session.get_one(Segment, segment_id)
        run = session.get(Run, segment.run_id) if segment.run_id else None
        first, last = session.execute(
            select(func.min(number), func.max(number)).where(model.segment_id == segment_id)
        ).one()
        if run is None or last is None or (not everything and last - first < HOT[kind]):
            return False
        if not everything and kind == "console":
            last -= WINDOW
        rows = hot_samples(session, segment_id) if kind == "system" else hot_lines(session, segment_id, last)
        if kind == "console" and (started := unpack_state(segment.state).started) is not None:
            begun = started.time - started.runtime_base
            rows = [row._replace(runtime=row.time - begun) for row in rows]
        folder = store.layout.run(run.project.entity, run.project.name, run.run_id) / kind
    if not everything and len(rows) < HOT[kind] // 2:
        return False
    rows = rows[: 10 * HOT[kind]]
    path, size = _write(store, folder, segment.segment, rows)
    with store.writing() as session:
        gone = session.scalars(
            delete(model)
            .where(model.segment_id == segment_id, number >= rows[0].row, number <= rows[-1].row)
            .returning(number)
        ).all()
        # Otherwise another process has moved the rows, or a line was logged again.
        named = len(gone) == len(rows)
        if named:
            session.add(
                CapturedPart(
                    segment_id=segment_id,
                    kind=kind,
                    path=str(path.relative_to(store.root)),
                    rows=len(rows),
                    first_row=rows[0].row,
                    last_row=rows[-1].row,
                    size=size,
                )
            )
        else:
            session.rollback()
    if not named:
        path.unlink(missing_ok=True)
    return True


def _write(store: Store, folder: Path, segment: str, rows: list[FinishedRow]) -> tuple[Path, int]:
    from tracker.store.history.parquet import part_name, write_rows

    temporary = store.layout.new_temporary()
    try:
        size = write_rows(temporary, rows)
        sync_file(temporary)
        path = folder / part_name(temporary, segment, rows[0].row, rows[-1].row)
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path, size


def unnamed_captured(store: Store, session: Session, segment: Segment) -> list[Path]:
    """Return a segment's captured files that the catalog does not name. A crash or a rebuild left them.

    Args:
        store: The open store.
        session: A transaction.
        segment: The segment.
    """
    run = session.get(Run, segment.run_id) if segment.run_id else None
    if run is None:
        return []
    named = set(session.scalars(select(CapturedPart.path).where(CapturedPart.segment_id == segment.id)))
    folder = store.layout.run(run.project.entity, run.project.name, run.run_id)
    found = [path for kind in KINDS for path in (folder / kind).glob(f"{segment.segment}-*.parquet")]
    return [path for path in found if str(path.relative_to(store.root)) not in named]


def keep_captured(store: Store, segment_id: int, paths: list[Path]) -> None:
    """Copy captured rows that the catalog lacks into the catalog, from files that the catalog does not name.

    The journal may be damaged and not contain these rows any more.

    Args:
        store: The store.
        segment_id: The segment's number in the catalog.
        paths: The files: see ``unnamed_captured``.
    """
    from tracker.store.history.parquet import read_part_rows

    with store.writing() as session:
        segment = session.get_one(Segment, segment_id)
        known = {
            kind: {row.row for row in captured_rows(session, segment_id, kind, store.root)} for kind in KINDS
        }
        for path in paths:
            with suppress(StoreError, OSError):
                kind = path.parent.name
                lost = [row for row in read_part_rows(path) if row.row not in known[kind]]
                if lost and kind == "system":
                    add_captured(session, segment, Captured(lost, {}))
                elif lost:
                    add_lines(session, segment_id, lost)
                known[kind].update(row.row for row in lost)


class CapturedSource(NamedTuple):
    """The captured rows of one kind of a segment. Reading them needs no transaction.

    Attributes:
        parts: The files, with the numbers of their first and last row.
        hot: The rows that are not in a file yet, oldest first.
    """

    parts: list[tuple[PartFile, int, int]]
    hot: list[FinishedRow]

    def rows(self, first: int = 0, last: int | None = None) -> Iterator[FinishedRow]:
        """Yield the rows, oldest first.

        Args:
            first: The number of the first row. Files that end before it are not opened.
            last: The number of the last row. None: all rows from ``first``.
        """
        from tracker.store.history.parquet import read_part_rows

        newer = {row.row for row in self.hot} if self.parts else set()
        for part, begin, end in self.parts:
            if end >= first and (last is None or begin <= last):
                for row in read_part_rows(part):
                    if row.row >= first and (last is None or row.row <= last) and row.row not in newer:
                        yield row
        yield from (row for row in self.hot if row.row >= first and (last is None or row.row <= last))


def captured_source(
    session: Session, segment_id: int, kind: str, root: Path, last: int | None = None
) -> CapturedSource:
    """Return the captured rows of one kind of a segment.

    Args:
        session: A read transaction.
        segment_id: The segment's number in the catalog.
        kind: ``"system"`` or ``"console"``.
        root: The store's folder.
        last: The number of the last row that will be read. None: all rows.
    """
    found = session.execute(
        select(
            CapturedPart.id,
            CapturedPart.path,
            CapturedPart.rows,
            CapturedPart.first_row,
            CapturedPart.last_row,
        )
        .where(CapturedPart.segment_id == segment_id, CapturedPart.kind == kind)
        .order_by(CapturedPart.first_row)
    ).all()
    parts = [(PartFile(id, root / path, rows), begin, end) for id, path, rows, begin, end in found]
    hot = hot_samples(session, segment_id) if kind == "system" else hot_lines(session, segment_id, last)
    return CapturedSource(parts, hot)


def captured_rows(
    session: Session, segment_id: int, kind: str, root: Path, first: int = 0, last: int | None = None
) -> Iterator[FinishedRow]:
    """Yield a segment's captured rows of one kind. See ``captured_source`` and ``CapturedSource.rows``."""
    return captured_source(session, segment_id, kind, root, last).rows(first, last)
