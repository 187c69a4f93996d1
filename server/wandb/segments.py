"""Segments of runs that the wandb client logs. The server writes their journals.

A start of the client is a new attempt of its run: a segment. Its journals are in the folder ``@wandb``, like
those of another host: the client is alive while it sends something, and its segment is sealed when it has
been silent for long. When it then sends more, that is a new attempt.

In shared mode, several clients write to one run. The run has one segment for its config, its summary and its
end, and one for the rows of each client, whose rank is that of a child: rows of children are part of the
history.

The client sends lines again if an answer is lost, also to the next server process. Each line therefore
becomes a record that names the line: a row by its number, a printed line by its number, a sample by its time.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import select

from tracker.errors import JournalError, StoreError
from tracker.ground.names import RunPath
from tracker.ground.read_models import RunDetail
from tracker.ground.records import (
    CHILD,
    OUTSIDE,
    ConfigChanged,
    ConsoleLines,
    MetricDefined,
    Process,
    Record,
    Row,
    RunChanged,
    RunFinished,
    RunStarted,
    SystemSample,
    decode,
    pack,
)
from tracker.journal.reader import Frame, read_frames
from tracker.journal.writer import JournalWriter
from tracker.runstate.fold import unpack_state
from tracker.store.catalog.models import Project, Run, Segment
from tracker.store.ingest.apply import apply_journal
from tracker.store.objects.atomic_files import make_folder, sync_folder
from tracker.store.objects.layout import WANDB, JournalPath
from tracker.store.store import Store

# Journals that are open at the same time. Others are opened again when their client sends something.
_MOST_OPEN = 256


@dataclass
class Received:
    """The records that a segment has received, to find a line that comes again.

    Attributes:
        started: Its first record.
        config: The config as the client last sent it, without the keys that begin with ``_``.
        sent: Keys of the config that the client last sent to this process.
        internal: The client's own part of the config, ``_wandb``.
        metrics: The definitions of metrics by name.
        lines: Number of the next history line; None before the first one.
        last_step: Largest step.
        last_time: Largest time of a record.
        sampled_at: Time of the last sample.
        console: Number of the next line of output.
        preempting: Whether the client has announced that its machine will be taken away.
        finished: Whether the end of the run was received.
        summary: The summary that the client has sent, if the run has the same; None if this is unknown.
        lines_before: Number of lines of output in other segments; None if this was not asked.
        sequence: Number of the next record.
        files: Number of journals.
    """

    started: RunStarted | None = None
    config: dict[str, Any] = field(default_factory=dict)
    sent: frozenset[str] = frozenset()
    internal: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, MetricDefined] = field(default_factory=dict)
    lines: int | None = None
    last_step: int | None = None
    last_time: float = 0.0
    sampled_at: float = 0.0
    console: int = 0
    preempting: bool = False
    finished: bool = False
    summary: dict[str, Any] | None = None
    lines_before: int | None = None
    sequence: int = 0
    files: int = 0

    @property
    def is_fresh(self) -> bool:
        """Whether the client has logged nothing yet."""
        return self.lines is None and not self.sampled_at and not self.console

    def note(self, record: Record) -> None:
        """Update with one record."""
        self.sequence += 1
        if isinstance(record, Row):
            self.lines = max(self.lines or 0, record.row + 1)
            if self.last_step is None or record.step > self.last_step:
                self.last_step = record.step
            self.last_time = max(self.last_time, record.time)
        elif isinstance(record, SystemSample):
            self.sampled_at = record.time
            self.last_time = max(self.last_time, record.time)
        elif isinstance(record, ConsoleLines):
            self.console = max(self.console, *(line[0] + 1 for line in record.lines), 0)
            self.last_time = max(self.last_time, record.time)
        elif isinstance(record, RunStarted):
            self.started = record
            self.summary = None
            self.last_time = record.time
            self.config = {key: value for key, value in record.config.items() if key != "_wandb"}
            self.internal = dict(record.config.get("_wandb") or {})
        elif isinstance(record, ConfigChanged):
            values = dict(record.values)
            if "_wandb" in values:
                self.internal = dict(values.pop("_wandb"))
            for key in record.removed:
                self.config.pop(key, None)
            self.config |= values
        elif isinstance(record, MetricDefined):
            self.metrics[record.name] = record
        elif isinstance(record, RunChanged):
            self.preempting |= "preempting" in record.values
        elif isinstance(record, RunFinished):
            self.finished = True


class OpenSegment:
    """A segment that the server writes. Hold ``lock`` while you use it.

    Args:
        store: The store.
        name: Id of the segment.
        place: Its run.
        received: What it has received so far.
    """

    def __init__(self, store: Store, name: str, place: RunPath, received: Received) -> None:
        self.name = name
        self.place = place
        self.received = received
        self.lock = threading.RLock()
        self.retired = False  # another object may write the segment
        self._store = store
        self._writer: JournalWriter | None = None

    def append(self, records: Sequence[Record]) -> None:
        """Write records, force them to the disk and apply them.

        Raises:
            JournalError: The segment is retired. Or the disk refused the records, and a part of them may have
                been written: ``received`` tells which ones.
            UsageError: A record is not valid. Nothing was written.
        """
        if self.retired:
            raise JournalError("write", self.name, 0, "the server has closed the journal. Send this again")
        if not records:
            self.touch()
            return
        payloads = [pack(record) for record in records]
        writer = self._open()
        try:
            for record, payload in zip(records, payloads, strict=True):
                writer.append(payload)
                self.received.note(record)
            writer.sync()
        except JournalError:
            self.close()  # the next records go to a new file
            raise
        self.apply()

    def apply(self, *, final: bool = False) -> None:
        """Apply the records that were written."""
        for journal in self._journals():
            _apply(self._store, journal, final=final)

    def touch(self) -> None:
        """Note that the client is alive."""
        for journal in self._journals()[-1:]:
            with suppress(OSError):
                os.utime(journal.path)

    @property
    def is_usable(self) -> bool:
        """Whether records can be added: the end was not received, and the segment is not sealed."""
        return not self.received.finished and bool(self._journals())

    def close(self) -> None:
        """Close the journal."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> JournalWriter:
        if self._writer is None:
            layout = self._store.layout
            path = layout.journal(WANDB, self.name, self.received.files)
            make_folder(path.parent)
            self._writer = JournalWriter(path, self.name, self.received.files, self.received.sequence)
            self.received.files += 1
            sync_folder(path.parent)
        return self._writer

    def _journals(self) -> list[JournalPath]:
        layout = self._store.layout
        paths = (layout.journal(WANDB, self.name, number) for number in range(self.received.files))
        return [JournalPath(path, self.name, number) for number, path in enumerate(paths) if path.exists()]


class Segments:
    """The segments of this server's wandb clients.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: OrderedDict[tuple[RunPath, str], OpenSegment] = OrderedDict()
        self._lock = threading.Lock()
        self._starting = [threading.RLock() for _ in range(64)]
        self._applying = threading.Lock()
        self._applied = False

    def starting(self, place: RunPath) -> AbstractContextManager[Any]:
        """Return a lock for starting a run: several clients may start one run at the same time."""
        self._apply_written()
        return self._starting[hash(place) % len(self._starting)]

    @contextmanager
    def using(self, place: RunPath, client: str = "") -> Iterator[OpenSegment | None]:
        """Lock and yield the segment to which a client logs; None if the run has none that is open.

        Args:
            place: The run.
            client: Id of the client, if several write to one run; else empty.
        """
        found = self._find(place, client)
        if found is None:
            yield None
            return
        with found.lock:
            yield found

    def begin(
        self, place: RunPath, started: RunStarted, client: str = "", *, joins: bool = False
    ) -> OpenSegment:
        """Begin a segment of a run. Hold ``starting``.

        Args:
            place: The run.
            started: The first record; its attempt is set here.
            client: See ``using``.
            joins: Whether the segment belongs to the newest attempt; else it is a new attempt, which hides
                later rows.
        """
        with self.using(place, client) as fresh:
            if fresh is not None and fresh.is_usable and fresh.received.is_fresh:
                # The same start again, because its answer was lost; or the start after a rewind.
                before = fresh.received.started
                assert before is not None
                fresh.append([msgspec.structs.replace(started, attempt=before.attempt, rank=before.rank)])
                return fresh
        name = os.urandom(16).hex()
        newest = max(self._attempts(place), default=-1)
        attempt = max(newest, 0) if client or joins else newest + 1
        record = msgspec.structs.replace(started, attempt=attempt, rank=CHILD if client else 0)
        segment = OpenSegment(self._store, name, place, Received())
        with segment.lock:
            segment.append([record])
        self._keep(place, client, segment)
        return segment

    def end(self, place: RunPath, end: RunFinished) -> bool:
        """End a run whose segments the server writes, with those of all clients of shared mode.

        Args:
            place: The run.
            end: The end.

        Returns:
            Whether the run was running.
        """
        ended = False
        for segment in self._usable(place):
            segment.append([end])
            segment.close()
            ended = True
        return ended

    def is_running(self, place: RunPath) -> bool:
        """Return whether a client may still log to a run."""
        return any(True for _ in self._usable(place))

    def _usable(self, place: RunPath) -> Iterator[OpenSegment]:
        """Lock and yield the open segments of a run, those of all clients of shared mode."""
        for client in {started.process.boot for _, started in self._unsealed(place)}:
            with self.using(place, client) as segment:
                if segment is not None and segment.is_usable:
                    yield segment

    def add(self, place: RunPath, records: Sequence[Record]) -> None:
        """Write records about a run as a segment of their own, which has ended.

        Args:
            place: The run.
            records: The records, from the first to the end of the run.
        """
        segment = OpenSegment(self._store, os.urandom(16).hex(), place, Received())
        with segment.lock:
            segment.append(records)
            segment.close()

    def _keep(self, place: RunPath, client: str, segment: OpenSegment) -> None:
        """Keep a segment open, and close another one if too many are open.

        This never waits for a segment: the thread that uses it may wait for the lock of a start.
        """
        with self._lock:
            before = self._open.pop((place, client), None)
            if before is not None:
                before.retired = True  # nothing more is written to it
            self._open[place, client] = segment
            oldest = next(iter(self._open)) if len(self._open) > _MOST_OPEN else None
            evicted = self._open[oldest] if oldest is not None else None
            if evicted is not None and oldest is not None and evicted.lock.acquire(blocking=False):
                try:
                    evicted.retired = True
                    evicted.close()
                    del self._open[oldest]
                finally:
                    evicted.lock.release()

    def _apply_written(self) -> None:
        """Apply what an earlier server process has only written, so that its runs are in the catalog."""
        if self._applied:
            return
        with self._applying:
            if not self._applied:
                for journal in self._store.layout.list_journals(WANDB):
                    _apply(self._store, journal)
                self._applied = True

    def _find(self, place: RunPath, client: str) -> OpenSegment | None:
        with self._lock:
            found = self._open.get((place, client))
            if found is not None:
                self._open.move_to_end((place, client))
        if found is not None:
            return found
        with self.starting(place):  # one object writes a segment
            with self._lock:
                found = self._open.get((place, client))
            if found is None:
                found = self._load(place, client)
                if found is not None:
                    self._keep(place, client, found)
        return found

    def _load(self, place: RunPath, client: str) -> OpenSegment | None:
        """Return the newest segment of a client that an earlier server process has written."""
        for name, started in self._unsealed(place):
            if started.process.boot == client:
                return OpenSegment(self._store, name, place, self._read(name))
        return None

    def _unsealed(self, place: RunPath) -> Iterator[tuple[str, RunStarted]]:
        """Yield the segments of a run whose journals exist, with their first records, the newest first."""
        for segment in self._segments(place):
            if not segment.sealed and self._store.layout.journal(WANDB, segment.segment, 0).exists():
                started = unpack_state(segment.state).started
                if started is not None:
                    yield segment.segment, started

    def _read(self, name: str) -> Received:
        received = Received()
        while (path := self._store.layout.journal(WANDB, name, received.files)).exists():
            for outcome in read_frames(path, name, final=True, skip=True):
                if isinstance(outcome, Frame):
                    received.note(decode(outcome.payload, str(path), outcome.offset))
                    received.sequence = outcome.sequence + 1
            received.files += 1
        return received

    def _attempts(self, place: RunPath) -> list[int]:
        return [each.attempt for each in self._segments(place) if each.rank < OUTSIDE]

    def know(self, place: RunPath) -> bool:
        """Return whether there is a run."""
        return bool(self._segments(place))

    def _segments(self, place: RunPath) -> list[Segment]:
        """Return the segments of a run, the newest first."""
        query = (
            select(Segment)
            .join(Run, Segment.run_id == Run.id)
            .join(Project, Run.project_id == Project.id)
            .where(Project.entity == place[0], Project.name == place[1], Run.run_id == place[2])
            .order_by(Segment.id.desc())
        )
        with self._store.reading() as session:
            return list(session.scalars(query))


def _apply(store: Store, journal: JournalPath, *, final: bool = False) -> None:
    # If it fails, the data is on the disk, and the watcher applies it later.
    with suppress(StoreError, OSError):
        while apply_journal(store, journal, final=final).more:
            pass


def writer(host: str, client: str = "") -> Process:
    """Return the process of a client, which cannot be checked.

    Args:
        host: Its host.
        client: Its id, if several clients write to one run.
    """
    return Process(host, client, 0, 0, 0)


def newest_step(run: RunDetail) -> int | None:
    """Return the last step of the newest branch; None without rows."""
    steps = [
        each.last_step if each.shown_before is None else min(each.last_step, each.shown_before - 1)
        for each in run.segments
        if each.shown and each.last_step is not None
    ]
    return max(steps, default=None)
