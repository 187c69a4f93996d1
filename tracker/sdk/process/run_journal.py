"""Destination of a run's records: a segment in a store, outbox or spool, or nothing if it is disabled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tracker.capture import logs
from tracker.errors import JournalError
from tracker.ground.filesystems import is_network
from tracker.ground.processes import this_process
from tracker.ground.records import CHILD, RunStarted, decode, pack, writer_rank
from tracker.ground.settings import Settings
from tracker.journal.format import HEADER
from tracker.journal.reader import Frame, read_frames
from tracker.reading.resume_state import find_run, join_resume_states, read_rows
from tracker.sdk.process.segment_writer import SegmentWriter
from tracker.store.objects.layout import JournalPath, Layout

if TYPE_CHECKING:
    from tracker.reading.resume_state import ResumeState
    from tracker.runstate.fold import SegmentFold, SegmentState
    from tracker.store.objects.digests import Digests

# On a network file system, one write has the records of this time.
APPEND_SECONDS = 0.05
# Journal number and offset at which reading back a segment begins.
_BEGINNING = (0, HEADER.size)


class RunJournal:
    """Writes the records of a run in this process, and reads them back for the summary.

    Attributes:
        lock: A thread holds it while it writes.
        known: State of the run before this segment, if this segment continues it.
        put: Writes one record; see ``SegmentWriter.put``. It is the writer's bound method, which saves a call
            for each row.
        begun_in_child: Called when a forked child has opened its own segment.

    Args:
        layout: The store, outbox or spool.
        started: First record of the segment.
        settings: The run's settings.
        recorder: Whether to start a recorder on this host.
        known: State of the run before this segment, if this segment continues it.
    """

    disabled = False
    put: Callable[[bytes], None]
    begun_in_child: Callable[[], None] | None = None

    def __init__(
        self,
        layout: Layout,
        started: RunStarted,
        settings: Settings,
        *,
        recorder: bool,
        known: ResumeState | None = None,
    ) -> None:
        self.settings = settings
        self.layout = layout
        # The folder with earlier rows, and with the rows of this segment after its end.
        self._store = layout if settings.spool is None else Layout(settings.store)
        self.lock = threading.RLock()
        logs.use(layout.logs)
        self._started = started
        self._recorder = recorder
        self._writer: SegmentWriter | None = self._open(started)
        self.known = known
        self._read = _BEGINNING

    @property
    def segment(self) -> str | None:
        """Id of the segment that is being written; None when there is none."""
        return self._writer.segment if self._writer is not None else None

    def save_blob(self, data: bytes) -> Digests | None:
        """Store the content of a file, before a record names it. See ``SegmentWriter.put_blob``."""
        writer = self._writer or self._open_for_child()
        return writer.put_blob(data)

    def save_blob_of(self, file: str) -> Digests | None:
        """Store the content of the file at a path. See ``SegmentWriter.put_blob_of``."""
        writer = self._writer or self._open_for_child()
        return writer.put_blob_of(file)

    def sync_files(self, paths: Iterable[Path]) -> None:
        """Force files that records will name to the disk. See ``SegmentWriter.sync_files``."""
        writer = self._writer or self._open_for_child()
        writer.sync_files(paths)

    def write_out(self) -> None:
        """Write the records that wait. See ``SegmentWriter.write_out``."""
        if self._writer is not None:
            self._writer.write_out()

    def close(self) -> None:
        """Close the segment."""
        if self._writer is not None:
            self._writer.close()

    def join(self, seconds: float) -> None:
        """Wait until the helper thread of a closed segment has ended, for at most ``seconds``."""
        if self._writer is not None:
            self._writer.join(seconds)

    def leave_to_parent(self) -> None:
        """Close the parent's segment, in a forked child. The child's next record opens its own segment."""
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None
            self._read = _BEGINNING  # the child reads back its own journal, with a new `_fold`
            vars(self).pop("_fold", None)
            self.put = self._put_first_of_child

    def read_summary(self, *, others_write: bool = False) -> dict[str, Any]:
        """Return the summary of everything logged so far, computed from all segments as in the store.

        Args:
            others_write: Whether this process's children or its parent also log to the run.
        """
        from tracker.runstate.fold import SegmentFold  # most runs never read their summary back
        from tracker.runstate.merge import SegmentView, merge_segments
        from tracker.runstate.missing_aggregates import fill_aggregates

        state = self._read_state()
        started, known = self._started, self.known
        place = (started.entity, started.project, started.run_id)
        if others_write:
            writing = {self.segment} if self.segment is not None else set()
            # Join with the earlier state: journals that were sent to a server have been deleted here.
            known = self.known = join_resume_states(known, find_run(self.layout, *place, writing))
        # This process is treated as the primary writer: its values override those of other ranks.
        segments = [
            each._replace(rank=_renumber_rank(started.rank, each.rank))
            for each in (known.views if known is not None else [])
            if each.segment != self.segment
        ]
        rank = _renumber_rank(started.rank, started.rank)
        own = SegmentView(
            self.segment or "", rank, started.attempt, started.time, state.start_step, None, state
        )
        segments.append(own)
        if any(each is own for each in fill_aggregates(segments, partial(read_rows, self._store, place))):
            self._fold = SegmentFold(state)  # the new fold uses the aggregates that were filled in
        merged = merge_segments(started.run_id, segments, known.edits if known is not None else {})
        summary = merged.summary
        step = merged.last_step if others_write or state.last_step is None else state.last_step
        if step is not None:
            summary.update(_step=step, _runtime=merged.duration, _timestamp=merged.updated_at)
        return summary

    def _read_state(self) -> SegmentState:
        """Return the state of this process's segment, folded from its journal as in the store."""
        if self._writer is not None:
            try:
                self._fold_new_records(self._writer)
            except JournalError:  # the run has ended; its segment is sealed and its journals are deleted
                started = self._started
                found = find_run(self._store, started.entity, started.project, started.run_id)
                if found is not None and self._writer.segment in found.segments:
                    return found.segments[self._writer.segment].state
        return self._fold.state

    @cached_property
    def _fold(self) -> SegmentFold:
        from tracker.runstate.fold import SegmentFold, SegmentState

        return SegmentFold(SegmentState())

    def _fold_new_records(self, writer: SegmentWriter) -> None:
        with self.lock:
            writer.write_out()
        number, offset = self._read
        while True:
            path = JournalPath(
                self.layout.journal(writer.host, writer.segment, number), writer.segment, number
            )
            for outcome in read_frames(path.path, writer.segment, offset, final=False):
                if isinstance(outcome, Frame):
                    self._fold.fold(decode(outcome.payload, str(path.path), outcome.offset))
                    offset = outcome.end
            self._read = (number, offset)
            if not self.layout.journal(writer.host, writer.segment, number + 1).exists():
                return
            number, offset = number + 1, HEADER.size

    def _put_first_of_child(self, payload: bytes) -> None:
        self._open_for_child().put(payload)

    def _open_for_child(self) -> SegmentWriter:
        """Open the segment of a forked child, and write its first record."""
        rank = CHILD + writer_rank(self._started.rank)
        self._started = msgspec.structs.replace(self._started, process=this_process(), rank=rank)
        # The parent's `init` has succeeded, so logging in the child must not raise.
        self._writer = self._open(self._started, patient=True)
        if self.begun_in_child is not None:
            self.begun_in_child()
        return self._writer

    def _open(self, started: RunStarted, *, patient: bool = False) -> SegmentWriter:
        first = pack(started)
        writer = SegmentWriter(
            self.layout,
            lock=self.lock,
            fsync_seconds=self.settings.fsync_seconds,
            recorder=self._recorder,
            silent=self.settings.silent,
            patient=patient,
            syncs_files=not self._recorder or self.layout.remote.exists(),
            append_seconds=self._append_seconds(),
        )
        with self.lock:
            writer.put(first)
            writer.write_out()
        self.put = writer.put
        return writer

    def _append_seconds(self) -> float:
        """Return how long records may wait for the next write. A recorder on this host would not see them."""
        if self._recorder:
            return 0.0
        if self.settings.append_seconds is not None:
            return self.settings.append_seconds
        return APPEND_SECONDS if is_network(self.layout.root) else 0.0


def _renumber_rank(own: int, rank: int) -> int:
    """Return a rank renumbered for a process of rank ``own``, whose writer becomes the primary one."""
    writer = writer_rank(rank)
    return (0 if writer == writer_rank(own) else writer + 1) + rank - writer


class NoJournal(RunJournal):
    """Journal of a run with ``mode="disabled"``: it only keeps a summary in memory."""

    disabled = True

    def __init__(self, started: RunStarted, settings: Settings) -> None:
        self.settings = settings
        self.layout = self._store = Layout(settings.store)
        self._started = started
        self.lock = threading.RLock()
        self.put = self._fold_one
        self._writer = None
        self.known = None

    def save_blob(self, data: bytes) -> Digests:
        """Return the digests of the content, without storing it."""
        from tracker.store.blobs.content import BlobStore

        return BlobStore(self.layout).name(data)

    def save_blob_of(self, file: str) -> Digests | None:
        """Return None: nothing is stored."""
        return None

    def _fold_one(self, payload: bytes) -> None:
        self._fold.fold(decode(payload))

    def close(self) -> None:
        """Do nothing: no file is open."""

    def leave_to_parent(self) -> None:
        """Do nothing: no file is shared."""
