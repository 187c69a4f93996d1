"""Following a store's journals: apply what is there, notice dead writers, seal what has ended."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Literal, NamedTuple

from sqlalchemy import select

from tracker.capture import logs
from tracker.errors import HeldElsewhereError
from tracker.ground.processes import MISSED_SECONDS, host_name, is_alive
from tracker.ground.records import Process
from tracker.journal.format import HEADER
from tracker.recorder.apply_errors import note_fault
from tracker.recorder.journal_probe import first_sequence, is_damaged
from tracker.recorder.liveness import first_record, why_gone
from tracker.recorder.poll import PollResult
from tracker.recorder.stall_timer import StallTimer
from tracker.runstate.fold import Gone, unpack_state
from tracker.store.catalog.models import Segment
from tracker.store.ingest.apply import Applied, apply_journal, finish_segment, segment_process, withdraw_end
from tracker.store.ingest.artifacts import Finalize, finalize_now
from tracker.store.ingest.seal import seal
from tracker.store.objects.atomic_files import is_older
from tracker.store.objects.layout import JournalPath
from tracker.store.store import Store

# How a writer says that it has ended; "crashed" is said of it by others, and may turn out wrong.
SAID_BY_WRITERS = ("finished", "failed", "preempted")


class _Writer(NamedTuple):
    """What the catalog said of a segment's writer when its journal had this time."""

    heard_at: float
    ended: str | None
    process: Process | None
    silent_since: float | None


class Follower:
    """Applies the journals of a store, round by round; remembers sizes, so that quiet ones cost a stat.

    Args:
        store: The store to apply to.
        host: Follow only the journals written on this host; None for all.
        finalize: Gives logged artifacts their digests; by default a round waits for that.
        stays: This follower looks again and again. It then takes a writer that it cannot look at for silent
            when it has itself seen no sign of life for so long: clocks of other hosts may be wrong, and
            the time in which nobody looked, such as a server's downtime, does not count. One that looks
            once has nothing but the time of the file, which it compares with that of a new file.
    """

    def __init__(
        self,
        store: Store,
        host: str | None = None,
        finalize: Finalize = finalize_now,
        *,
        stays: bool = False,
    ) -> None:
        self.store = store
        self._host = host
        self._silence = StallTimer(MISSED_SECONDS) if stays else None
        self._finalize = finalize
        self._settling: set[str] = set()
        self._seen: dict[str, tuple[tuple[int, int], ...]] = {}
        self._damage = StallTimer()  # with bytes that are no record
        self._missing = StallTimer()  # with records that an earlier file has not shown
        self._waits: dict[str, str] = {}  # what each segment has that could not be applied yet
        self._started: dict[str, float] = {}
        self._writers: dict[str, _Writer] = {}
        self._noted: dict[str, str | None] = {}  # what the catalog says of each segment's fault
        self.faults: dict[str, str] = {}
        self.unread: dict[str, str] = {}

    def poll(self, *, seal_ended: bool = True) -> PollResult:
        """Apply every whole record that can be seen; with ``seal_ended``, also make ended segments cold.

        ``faults`` then says which segments failed, ``unread`` which could not be read to their end.

        Raises:
            HeldElsewhereError: Another host has taken the catalog over.
        """
        self.store.check_lease()
        applied = live = waiting = 0
        faults: dict[str, str] = {}
        unread: dict[str, str] = {}
        for name, files in self._segments():
            try:
                applied += self._follow(name, files)
                # What comes behind an artifact waits for its digests; so does the end of its run.
                found = "live" if name in self._settling else self._writer_state(name, files)
                if name in self._waits and (
                    found == "silent" or (found == "live" and self._is_damaged(name, files))
                ):
                    unread[name] = self._waits[name]
                if found == "live":
                    live += 1
                elif found == "ended" and seal_ended:
                    self._seal(name, files)
                else:
                    waiting += 1
                if self._noted.get(name) is not None:
                    self._note_fault(name, None)
            except HeldElsewhereError:
                raise
            except Exception as error:
                # One bad journal must not stop the others, whatever is wrong with it; it stays where it is.
                if any(journal.path.exists() for journal in files):  # else somebody else sealed it meanwhile
                    faults[name] = str(error)
                    logs.log(logs.ERROR, f"segment {name} is not applied", error)
                    self._note_fault(name, faults[name])
        self.faults, self.unread = faults, unread
        return PollResult(applied, live, waiting)

    def wrong(self) -> list[str]:
        """Return a line for each segment that the last look could not apply, or not to its end."""
        return [f"{name}: {why}" for name, why in sorted((self.unread | self.faults).items())]

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
        if self._seen.get(name) == sizes and name not in self._waits and name not in self._settling:
            return 0
        self._settling.discard(name)
        self._waits.pop(name, None)
        total, cold = 0, False
        for position, journal in enumerate(files):
            if journal.number > 0 and not self._may_begin(name, files[:position], files[position:]):
                break
            self._waits.pop(name, None)  # what an earlier file had left has been reported
            for skip in (self._is_silent(name, files), True):
                done = self._apply(journal, skip=skip)
                total += done.records
                cold = cold or done.cold
                if (
                    done.settling
                    or not done.tail
                    or not self._damage.is_over(name, (journal.number, done.offset))
                ):
                    break
            if done.settling:
                self._settling.add(name)
                break
            if done.tail:
                self._waits[name] = _left(journal, done.offset, done.tail)
        if name not in self._waits:
            self._damage.forget(name)
        self._seen[name] = sizes
        self._writers.pop(name, None)
        if cold and not self.store.layout.is_copy:  # the parts there are another store's
            self._compact(name)
        return total

    def _apply(self, journal: JournalPath, *, skip: bool) -> Applied:
        """Apply a journal as far as it can be; return all that was done, and what is left."""
        total, cold = 0, False
        while (done := apply_journal(self.store, journal, skip=skip, finalize=self._finalize)).records:
            total += done.records
            cold = cold or done.cold
            if not done.more:
                break
        return done._replace(records=total, cold=cold)

    def _is_silent(self, name: str, files: list[JournalPath]) -> bool:
        """Whether a segment's newest journal has been untouched for so long that nothing is on its way."""
        found = files[-1].path.stat()
        if self._silence is not None:
            return self._silence.is_over(name, (files[-1].number, found.st_mtime_ns, found.st_size))
        return is_older(found.st_mtime, MISSED_SECONDS, self.store.layout.new_temporary())

    def _may_begin(self, name: str, before: list[JournalPath], files: list[JournalPath]) -> bool:
        """Whether a segment's next file may be read: all before it was, or is given up.

        A writer opens its next file when it has given one up, but another host may see that file first.
        """
        with self.store.reading() as session:
            segment = session.scalar(select(Segment).where(Segment.segment == name))
        expected = segment.sequence if segment is not None else 0
        if segment is not None and segment.journal_index >= files[0].number:
            return True
        following = first_sequence(files)
        if following is None:  # there is nothing in it so far
            if (size := files[0].path.stat().st_size) > HEADER.size:
                self._waits[name] = _left(files[0], HEADER.size, size - HEADER.size)
            return False
        passed = segment is not None and expected < segment.adopted
        if following > expected and not (
            passed or self._is_settled([*before, *files]) or self._missing.is_over(name, expected)
        ):
            self._waits[name] = f"record {expected} is missing; {files[0].path} begins with {following}"
            return False
        for journal in before:
            self._apply_finally(journal)
        return True

    def _is_settled(self, files: list[JournalPath]) -> bool:
        """Whether none of a segment's files has changed, or come here, for so long.

        A copy keeps the time of the last write, not that of its own coming: more of them may follow.
        """
        changed_at = max(journal.path.stat().st_ctime for journal in files)
        return is_older(changed_at, MISSED_SECONDS, self.store.layout.new_temporary())

    def _apply_finally(self, journal: JournalPath) -> None:
        """Apply a journal in which nothing more will come: what is not whole is reported."""
        while apply_journal(self.store, journal, final=True).records:
            pass

    def _is_damaged(self, name: str, files: list[JournalPath]) -> bool:
        """Whether what a segment's live writer has left over is more than a record that is being written."""
        with self.store.reading() as session:
            segment = session.scalar(select(Segment).where(Segment.segment == name))
        if segment is None:
            return is_damaged(files, 0, 0, 0)
        return is_damaged(files, segment.journal_index, segment.offset, segment.sequence)

    def _writer_state(self, name: str, files: list[JournalPath]) -> Literal["live", "ended", "silent"]:
        """Return what is known of a segment's writer; note in the catalog that a dead one has ended."""
        last, silent = files[-1], self._is_silent(name, files)
        heard_at = last.path.stat().st_mtime
        known = self._writers.get(name)
        if known is None or known.heard_at != heard_at:
            known = self._read_writer(name, heard_at)
        if known is None:
            return "silent" if silent else "live"
        _, ended, process, silent_since = known
        if ended in SAID_BY_WRITERS:
            return "ended"
        # Journals that came from elsewhere may lack bytes that their writer left behind there: whether
        # its process lives says nothing about them.
        own = last.path.parent == self.store.layout.host_journals(host_name())
        alive = is_alive(process, silent=silent) if own and process is not None else None
        if silent_since is not None and (alive or (not silent and heard_at != silent_since)):
            withdraw_end(self.store, name)
            self._writers.pop(name)
        if alive:
            return "live"
        if alive is None:  # on another host, or hidden: it may come back, so its journal stays
            if silent and (ended is None or silent_since not in (None, heard_at)):
                self._finish(name, Gone("host silent", heard_at), heard_at)
            return "silent" if silent else "live"
        assert process is not None
        # Dead for certain: whatever its files hold now is all there will ever be.
        for journal in files:
            self._apply_finally(journal)
        self._waits.pop(name, None)
        self._finish(name, why_gone(process, heard_at))
        return "ended"

    def _read_writer(self, name: str, heard_at: float) -> _Writer | None:
        """Return what the catalog says of a segment's writer; asked once for each sign of life."""
        with self.store.reading() as session:
            segment = session.scalar(select(Segment).where(Segment.segment == name))
        if segment is None:
            return None
        self._noted[name] = segment.fault
        # What is sealed has ended, however its writer did: a kill may have left its journals.
        ended = "finished" if segment.sealed else segment.ended
        silent_since = unpack_state(segment.state).silent_since if ended == "crashed" else None
        self._writers[name] = _Writer(heard_at, ended, segment_process(segment), silent_since)
        return self._writers[name]

    def _finish(self, name: str, gone: Gone, silent_since: float | None = None) -> None:
        finish_segment(self.store, name, "crashed", silent_since, gone)
        self._writers.pop(name, None)

    def _note_fault(self, name: str, fault: str | None) -> None:
        """Let the catalog say why a segment that it knows is not applied (None: it is again)."""
        if name in self._noted and self._noted[name] == fault:
            return
        # When it is the catalog that cannot be written, it cannot say so either: `faults` does.
        with logs.Logged("note why a segment is not applied"):
            note_fault(self.store, name, fault)
            self._noted[name] = fault

    def _seal(self, name: str, files: list[JournalPath]) -> None:
        with self.store.reading() as session:
            segment_id = session.scalar(select(Segment.id).where(Segment.segment == name))
        if segment_id is not None:
            for journal in files:
                self._apply_finally(journal)
            seal(self.store, segment_id)
            self._seen.pop(name, None)
            self._writers.pop(name, None)

    def _compact(self, name: str) -> None:
        from tracker.store.history.compaction import (
            compact,  # needs pyarrow, which most runs need only at their end
        )

        with self.store.reading() as session:
            segment_id = session.scalar(select(Segment.id).where(Segment.segment == name))
        if segment_id is not None:
            compact(self.store, segment_id)


def _left(journal: JournalPath, offset: int, size: int) -> str:
    return f"{size} bytes at {offset} of {journal.path} are no whole record, or not yet"


def catch_up(store: Store) -> None:
    """Apply every whole record that this host's journals hold now: read your writes.

    Of a store that may only be read, the journals of all hosts are applied to the private copy.
    """
    if store.layout.is_copy:
        store.refresh()
    else:
        Follower(store, host_name()).poll(seal_ended=False)
