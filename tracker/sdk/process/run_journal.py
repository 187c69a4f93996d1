"""Where a run's records go: a segment in a store or an outbox, or nowhere (``mode="disabled"``)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tracker.capture import logs
from tracker.errors import JournalError
from tracker.ground.processes import this_process
from tracker.ground.records import CHILD, RunStarted, decode, pack, writer_rank
from tracker.ground.settings import Settings
from tracker.journal.format import HEADER
from tracker.journal.reader import Frame, read_frames
from tracker.reading.open_reader import remote_for
from tracker.reading.resume_state import find_run, join_resume_states, read_rows
from tracker.sdk.process.segment_writer import SegmentWriter
from tracker.store.objects.layout import JournalPath, Layout

if TYPE_CHECKING:
    from tracker.reading.resume_state import ResumeState
    from tracker.runstate.fold import SegmentFold, SegmentState
    from tracker.store.objects.digests import Digests

# Journal number and offset up to which a run's folder has read, when it has read nothing.
_BEGINNING = (0, HEADER.size)


class RunJournal:
    """A run's own writing, and reading it back.

    Attributes:
        lock: Held by whoever writes.
        known: What the run was before this segment, if it goes on with that.
        put: Writes one record; see ``SegmentWriter.put``. The writer's own: ``log`` comes here often.
        begun_in_child: Called when a forked child has begun a segment of its own.

    Args:
        layout: The store or outbox.
        started: First record of every segment.
        settings: The run's settings.
        recorder: Whether a recorder on this host should follow.
        known: What the run was before this segment, if it goes on with that.
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
        self.lock = threading.RLock()
        logs.use(layout.logs)
        self._started = started
        self._recorder = recorder
        self._writer: SegmentWriter | None = self._open(started)
        self.known = known
        self._read = _BEGINNING

    @property
    def segment(self) -> str | None:
        """The segment that is written, if one is."""
        return self._writer.segment if self._writer is not None else None

    def save_blob(self, data: bytes) -> Digests | None:
        """Store the content of a file before the record that names it; see ``SegmentWriter.put_blob``."""
        writer = self._writer or self._open_for_child()
        return writer.put_blob(data)

    def save_blob_of(self, file: str) -> Digests | None:
        """Store the content of a file on the disk; see ``SegmentWriter.put_blob_of``."""
        writer = self._writer or self._open_for_child()
        return writer.put_blob_of(file)

    def sync_files(self, paths: Iterable[Path]) -> None:
        """Have files that records will name forced to the disk; see ``SegmentWriter.sync_files``."""
        writer = self._writer or self._open_for_child()
        writer.sync_files(paths)

    def close(self) -> None:
        """Close the segment."""
        if self._writer is not None:
            self._writer.close()

    def join(self, seconds: float) -> None:
        """Wait until the helper thread of a closed segment has ended, for so long at the most."""
        if self._writer is not None:
            self._writer.join(seconds)

    def leave_to_parent(self) -> None:
        """In a forked child: never touch the parent's segment again."""
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None
            self._read = _BEGINNING  # of the child's own journal, with a folder of its own
            vars(self).pop("_folder", None)
            self.put = self._put_first_of_child

    def read_summary(self, *, beside: bool = False) -> dict[str, Any]:
        """Return the summary of all that was logged so far, as the store makes it of all segments.

        Args:
            beside: Children, or the parent of this one, have logged to the run since this one began to.
        """
        from tracker.runstate.fold import SegmentFold  # most runs never read their summary back
        from tracker.runstate.merge import SegmentView, merge_segments
        from tracker.runstate.missing_aggregates import fill_aggregates

        state = self._read_state()
        started, known = self._started, self.known
        place = (started.entity, started.project, started.run_id)
        if beside:
            writing = {self.segment} if self.segment is not None else set()
            # What is sent to a server is here no more.
            known = self.known = join_resume_states(known, find_run(self.layout, *place, writing))
        # What this process says holds against what other ranks said: it is the primary writer here.
        segments = [
            each._replace(rank=_seen_by(started.rank, each.rank))
            for each in (known.views if known is not None else [])
            if each.segment != self.segment
        ]
        rank = _seen_by(started.rank, started.rank)
        own = SegmentView(
            self.segment or "", rank, started.attempt, started.time, state.start_step, None, state
        )
        segments.append(own)
        if any(each is own for each in fill_aggregates(segments, partial(read_rows, self.layout, place))):
            self._folder = SegmentFold(state)  # it knows which keys have aggregates
        merged = merge_segments(started.run_id, segments, known.edits if known is not None else {})
        summary = merged.summary
        step = merged.last_step if beside or state.last_step is None else state.last_step
        if step is not None:
            summary.update(_step=step, _runtime=merged.duration, _timestamp=merged.updated_at)
        return summary

    def _read_state(self) -> SegmentState:
        """Return what the own segment adds up to so far: the journal folded as the store folds it."""
        if self._writer is not None:
            try:
                self._fold_on(self._writer)
            except JournalError:  # sealed and gone after the run's end
                started = self._started
                found = find_run(self.layout, started.entity, started.project, started.run_id)
                if found is not None and self._writer.segment in found.segments:
                    return found.segments[self._writer.segment].state
        return self._folder.state

    @cached_property
    def _folder(self) -> SegmentFold:
        from tracker.runstate.fold import SegmentFold, SegmentState

        return SegmentFold(SegmentState())

    def _fold_on(self, writer: SegmentWriter) -> None:
        number, offset = self._read
        while True:
            path = JournalPath(
                self.layout.journal(writer.host, writer.segment, number), writer.segment, number
            )
            for outcome in read_frames(path.path, writer.segment, offset, final=False):
                if isinstance(outcome, Frame):
                    self._folder.fold(decode(outcome.payload, str(path.path), outcome.offset))
                    offset = outcome.end
            self._read = (number, offset)
            if not self.layout.journal(writer.host, writer.segment, number + 1).exists():
                return
            number, offset = number + 1, HEADER.size

    def _put_first_of_child(self, payload: bytes) -> None:
        self._open_for_child().put(payload)

    def _open_for_child(self) -> SegmentWriter:
        """Begin the segment of a forked child, with its first record."""
        rank = CHILD + writer_rank(self._started.rank)
        self._started = msgspec.structs.replace(self._started, process=this_process(), rank=rank)
        # Its parent's `init` went well, so nothing may be raised any more.
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
            alone=not self._recorder or remote_for(self.settings) is not None,
        )
        with self.lock:
            writer.put(first)
        self.put = writer.put
        return writer


def _seen_by(own: int, rank: int) -> int:
    """Return a rank as it counts in a process of rank ``own``: its writer is the primary one."""
    writer = writer_rank(rank)
    return (0 if writer == writer_rank(own) else writer + 1) + rank - writer


class NoJournal(RunJournal):
    """Keeps nothing but a summary in memory."""

    disabled = True

    def __init__(self, started: RunStarted, settings: Settings) -> None:
        self.settings = settings
        self.layout = Layout(settings.store)
        self._started = started
        self.lock = threading.RLock()
        self.put = self._fold_one
        self._writer = None
        self.known = None

    def save_blob(self, data: bytes) -> Digests:
        """Only name the content."""
        from tracker.store.blobs.content import BlobStore

        return BlobStore(self.layout).name(data)

    def save_blob_of(self, file: str) -> Digests | None:
        """Nothing is kept."""
        return None

    def _fold_one(self, payload: bytes) -> None:
        self._folder.fold(decode(payload))

    def close(self) -> None:
        """Nothing is open."""

    def leave_to_parent(self) -> None:
        """Nothing is shared."""
