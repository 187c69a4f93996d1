"""Where a run's records go: a segment in a store or an outbox, or nowhere (``mode="disabled"``)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tracker.capture import logs
from tracker.errors import JournalError
from tracker.ground.processes import this_process
from tracker.ground.records import FORKED, RunStarted, decode, pack
from tracker.ground.settings import Settings
from tracker.journal.format import HEADER
from tracker.journal.reader import Record as Frame
from tracker.journal.reader import read_frames
from tracker.reading.open import remote_for
from tracker.sdk.process.segment import SegmentWriter
from tracker.store.objects.files import read_json
from tracker.store.objects.layout import JournalPath, Layout

if TYPE_CHECKING:
    from tracker.runstate.fold import Folder
    from tracker.store.objects.digests import Digests

# Journal number and offset up to which a run's folder has read, when it has read nothing.
_BEGINNING = (0, HEADER.size)


class RunJournal:
    """A run's own writing, and reading it back.

    Attributes:
        lock: Held by whoever writes.
        put: Writes one record; see ``SegmentWriter.put``. The writer's own: ``log`` comes here often.
        begun_in_child: Called when a forked child has begun a segment of its own.

    Args:
        layout: The store or outbox.
        started: First record of every segment.
        settings: The run's settings.
        recorder: Whether a recorder on this host should follow.
        summary: What the run's summary was before this segment.
        aggregates: The extremes and means that it goes on from.
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
        summary: dict[str, Any],
        aggregates: dict[str, Any] | None = None,
    ) -> None:
        self.settings = settings
        self.layout = layout
        self.lock = threading.RLock()
        logs.use(layout.logs)
        self._started = started
        self._recorder = recorder
        self._writer: SegmentWriter | None = self._open(started)
        self._known_summary = dict(summary)
        self._known_aggregates = aggregates or {}
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
            self.put = self._put_first_of_child

    def read_summary(self) -> dict[str, Any]:
        """Return the summary of all that was logged so far: the journal folded as the store folds it."""
        writer = self._writer
        if writer is not None:
            try:
                self._fold_on(writer)
            except JournalError:
                return self._published_summary()  # sealed and gone after the run's end
        state = self._folder.state
        summary = dict(state.summary)
        if state.open is not None:
            summary.update(state.open.data)
        if state.last_step is not None or state.open is not None:
            step = state.open.step if state.open is not None else state.last_step
            summary.update(_step=step, _runtime=state.runtime, _timestamp=state.last_time)
        return summary

    @cached_property
    def _folder(self) -> Folder:
        from tracker.runstate.fold import Folder, SegmentState  # most runs never read their summary back

        return Folder(SegmentState(summary=self._known_summary, aggregates=dict(self._known_aggregates)))

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

    def _published_summary(self) -> dict[str, Any]:
        started = self._started
        published = read_json(self.layout.run_file(started.entity, started.project, started.run_id)) or {}
        return dict(published.get("summary", self._folder.state.summary))

    def _put_first_of_child(self, payload: bytes) -> None:
        self._open_for_child().put(payload)

    def _open_for_child(self) -> SegmentWriter:
        """Begin the segment of a forked child, with its first record."""
        child = msgspec.structs.replace(self._started, process=this_process(), rank=FORKED + os.getpid())
        self._read = _BEGINNING  # of the child's journal: the folder may have read the parent's
        # Its parent's `init` went well, so nothing may be raised any more.
        self._writer = self._open(child, patient=True)
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
        self._known_summary = {}
        self._known_aggregates = {}

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
