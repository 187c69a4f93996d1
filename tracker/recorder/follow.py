"""Following a store's journals: apply what is there, notice dead writers, seal what has ended."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from itertools import groupby
from typing import Literal

from sqlalchemy import select

from tracker.processes import host_name, is_alive
from tracker.recorder.faults import note_fault
from tracker.recorder.live import first_record
from tracker.recorder.look import Look
from tracker.records import Process
from tracker.store.apply import apply_journal, finish_segment, segment_process
from tracker.store.layout import JournalPath
from tracker.store.models import Segment
from tracker.store.seal import seal
from tracker.store.store import Store

# A writer that cannot be looked at (another host) is taken for dead when its journal has been
# untouched for this long; writers touch theirs every 15 s.
MISSED_SECONDS = 60.0
# A live journal with bytes that stay invalid this long is read past them: they are no late pages.
STUCK_SECONDS = 30.0


# How a writer says that it has ended; "crashed" is said of it by others, and may turn out wrong.
SAID_BY_WRITERS = ("finished", "failed", "preempted")


class Follower:
    """Applies the journals of a store, round by round; remembers sizes, so that quiet ones cost a stat.

    Args:
        store: The store to apply to.
        host: Follow only the journals written on this host; None for all.
    """

    def __init__(self, store: Store, host: str | None = None) -> None:
        self.store = store
        self._host = host
        self._seen: dict[str, tuple[tuple[int, int], ...]] = {}
        self._stuck: dict[str, float] = {}
        self._started: dict[str, float] = {}
        self._writers: dict[str, tuple[str | None, Process | None]] = {}
        self._noted: dict[str, str | None] = {}  # what the catalog says of each segment's fault
        self.faults: dict[str, str] = {}

    def look(self, *, seal_ended: bool = True) -> Look:
        """Apply every whole record that can be seen; with ``seal_ended``, also make ended segments cold."""
        applied = live = waiting = 0
        faults: dict[str, str] = {}
        for name, files in self._segments():
            try:
                applied += self._follow(name, files)
                found = self._writer_state(name, files)
                if found == "live":
                    live += 1
                elif found == "ended" and seal_ended:
                    self._seal(name, files)
                else:
                    waiting += 1
                if self._noted.get(name) is not None:
                    self._note_fault(name, None)
            except Exception as error:
                # One bad journal must not stop the others, whatever is wrong with it; it stays where it is.
                if any(journal.path.exists() for journal in files):  # else somebody else sealed it meanwhile
                    faults[name] = str(error)
                    self._note_fault(name, faults[name])
        self.faults = faults
        return Look(applied, live, waiting)

    def close(self) -> None:
        """Let go of the store."""
        self.store.close()

    def _segments(self) -> list[tuple[str, list[JournalPath]]]:
        """Return the journals of each segment; those of runs that began first come first.

        Several that wait together, from nodes without a recorder say, then number their versions as
        they would have done live.
        """
        found = []
        journals = self.store.layout.list_journals(self._host)
        for name, group in groupby(journals, key=lambda journal: journal.segment):
            files = list(group)
            if name not in self._started:
                first = first_record(files[0])
                if first is not None:
                    self._started[name] = first.time
            found.append((self._started.get(name, math.inf), name, files))
        self._started = {name: self._started[name] for _, name, _ in found if name in self._started}
        return [(name, files) for _, name, files in sorted(found)]

    def _follow(self, name: str, files: list[JournalPath]) -> int:
        """Apply what a segment's journals hold and was not applied; return the number of records."""
        sizes = tuple((journal.number, journal.path.stat().st_size) for journal in files)
        if self._seen.get(name) == sizes and name not in self._stuck:
            return 0
        total, cold = 0, False
        for position, journal in enumerate(files):
            # A writer opens its next file only when it has given this one up.
            final = position < len(files) - 1 or self._waited_enough(name)
            while (done := apply_journal(self.store, journal, final=final)).records:
                total += done.records
                cold = cold or done.cold
                if not done.more:
                    break
            if position == len(files) - 1:
                if done.tail and not final:
                    self._stuck.setdefault(name, time.monotonic())
                else:
                    self._stuck.pop(name, None)
        self._seen[name] = sizes
        self._writers.pop(name, None)
        if cold:
            self._compact(name)
        return total

    def _waited_enough(self, name: str) -> bool:
        since = self._stuck.get(name)
        return False if since is None else time.monotonic() - since > STUCK_SECONDS

    def _writer_state(self, name: str, files: list[JournalPath]) -> Literal["live", "ended", "silent"]:
        """Return what is known of a segment's writer; note in the catalog that a dead one has ended."""
        last = files[-1]
        silent = time.time() - last.path.stat().st_mtime > MISSED_SECONDS
        known = self._writers.get(name) or self._read_writer(name)
        if known is None:
            return "silent" if silent else "live"
        ended, process = known
        if ended in SAID_BY_WRITERS:
            return "ended"
        # Journals that came from elsewhere may lack bytes that their writer left behind there: whether
        # its process lives says nothing about them.
        own = last.path.parent == self.store.layout.host_journals(host_name())
        alive = is_alive(process, silent=silent) if own and process is not None else None
        if alive:
            return "live"
        if alive is None:  # on another host, or hidden: it may come back, so its journal stays
            if silent and ended is None:
                self._finish(name)
            return "silent" if silent else "live"
        # Dead for certain: whatever its files hold now is all there will ever be.
        while apply_journal(self.store, last, final=True).records:
            pass
        self._finish(name)
        return "ended"

    def _read_writer(self, name: str) -> tuple[str | None, Process | None] | None:
        """Return how a segment ended, and who writes it; asked once, until more of it is applied."""
        with self.store.reading() as session:
            segment = session.scalar(select(Segment).where(Segment.segment == name))
        if segment is None:
            return None
        self._noted[name] = segment.fault
        self._writers[name] = (segment.ended, segment_process(segment))
        return self._writers[name]

    def _finish(self, name: str) -> None:
        finish_segment(self.store, name, "crashed")
        self._writers.pop(name, None)

    def _note_fault(self, name: str, fault: str | None) -> None:
        """Let the catalog say why a segment that it knows is not applied (None: it is again)."""
        if name in self._noted and self._noted[name] == fault:
            return
        # When it is the catalog that cannot be written, it cannot say so either: `faults` does.
        with suppress(Exception):
            note_fault(self.store, name, fault)
            self._noted[name] = fault

    def _seal(self, name: str, files: list[JournalPath]) -> None:
        with self.store.reading() as session:
            segment_id = session.scalar(select(Segment.id).where(Segment.segment == name))
        if segment_id is not None:
            for journal in files:
                while apply_journal(self.store, journal, final=True).records:
                    pass
            seal(self.store, segment_id)
            self._seen.pop(name, None)
            self._writers.pop(name, None)

    def _compact(self, name: str) -> None:
        from tracker.store.compact import compact  # needs pyarrow, which most runs need only at their end

        with self.store.reading() as session:
            segment_id = session.scalar(select(Segment.id).where(Segment.segment == name))
        if segment_id is not None:
            compact(self.store, segment_id)


def catch_up(store: Store) -> None:
    """Apply every whole record that this host's journals hold now: read your writes."""
    Follower(store, host_name()).look(seal_ended=False)
