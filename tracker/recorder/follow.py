"""Following the journals of a store: applies new records, detects dead writers, and seals ended segments."""

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
from tracker.store.ingest.moves import finish_move
from tracker.store.ingest.seal import seal
from tracker.store.objects.atomic_files import is_older
from tracker.store.objects.layout import JournalPath
from tracker.store.store import Store

# States that only the writer records, when it ends. Other processes record "crashed", which may be wrong.
WRITER_STATES = ("finished", "failed", "preempted")


class _Writer(NamedTuple):
    """A segment's writer as the catalog recorded it when the journal's modification time was ``heard_at``."""

    heard_at: float
    ended: str | None
    process: Process | None
    silent_since: float | None


class Follower:
    """Applies the journals of a store, round by round.

    A journal is read again only when it has grown, or when the last round did not apply all its records.

    Args:
        store: The store to apply to.
        host: Follow only the journals written on this host; None for all.
        finalize: Computes the digests of logged artifacts. By default a round waits until this is done.
        stays: Whether this follower polls repeatedly. Then a writer whose process cannot be checked counts as
            silent when this follower has seen no change of its journal for ``MISSED_SECONDS``. Clocks of
            other hosts may be wrong, and the downtime of a server must not count. A follower that polls only
            once compares the modification time of the journal with that of a new file.

    Attributes:
        faults: Error by segment, for segments that the last round could not apply.
        unread: Reason by segment, for segments that the last round could not read to their end.
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
        self._damage = StallTimer()  # segments with bytes that are not a record
        self._missing = StallTimer()  # segments with missing records between two files
        self._incomplete: dict[str, str] = {}  # by segment: data that could not be applied yet
        self._started: dict[str, float] = {}
        self._writers: dict[str, _Writer] = {}
        self._noted: dict[str, str | None] = {}  # by segment: the fault that the catalog has
        self.faults: dict[str, str] = {}
        self.unread: dict[str, str] = {}

    def poll(self, *, seal_ended: bool = True) -> PollResult:
        """Apply every whole record in the journals, and set ``faults`` and ``unread``.

        Args:
            seal_ended: Whether to seal segments that have ended.

        Raises:
            HeldElsewhereError: Another host has taken the catalog over.
        """
        self.store.check_lease()
        finish_move(self.store)
        applied = live = waiting = 0
        faults: dict[str, str] = {}
        unread: dict[str, str] = {}
        for name, files in self._segments():
            try:
                applied += self._follow(name, files)
                # Records after an artifact, and the end of the run, wait for the digests of the artifact.
                found = "live" if name in self._settling else self._writer_state(name, files)
                if name in self._incomplete and (
                    found == "silent" or (found == "live" and self._is_damaged(name, files))
                ):
                    unread[name] = self._incomplete[name]
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
                # An error in one journal must not stop the others. The journal stays in its folder.
                if any(journal.path.exists() for journal in files):  # else another process has sealed it
                    faults[name] = str(error)
                    logs.log(logs.ERROR, f"segment {name} is not applied", error)
                    self._note_fault(name, faults[name])
        self.faults, self.unread = faults, unread
        return PollResult(applied, live, waiting)

    def problems(self) -> list[str]:
        """Return a line for each segment that the last round could not apply, or not read to its end."""
        return [f"{name}: {why}" for name, why in sorted((self.unread | self.faults).items())]

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def _segments(self) -> list[tuple[str, list[JournalPath]]]:
        """Return the journals of each segment, ordered by the start of the segment.

        In this order, artifact versions of runs that are applied late (such as those of nodes without a
        recorder) get the same numbers as with a recorder.
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
        """Apply the new records of a segment's journals; return the number of records."""
        sizes = tuple((journal.number, journal.path.stat().st_size) for journal in files)
        if self._seen.get(name) == sizes and name not in self._incomplete and name not in self._settling:
            return 0
        self._settling.discard(name)
        self._incomplete.pop(name, None)
        total, cold = 0, False
        for position, journal in enumerate(files):
            if journal.number > 0 and not self._may_read_next(name, files[:position], files[position:]):
                break
            self._incomplete.pop(name, None)  # `_may_read_next` has reported the rest of the earlier files
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
                self._incomplete[name] = _describe_rest(journal, done.offset, done.tail)
        if name not in self._incomplete:
            self._damage.forget(name)
        self._seen[name] = sizes
        self._writers.pop(name, None)
        if cold and not self.store.layout.is_copy:  # a private copy does not own the parts
            self._compact(name)
        return total

    def _apply(self, journal: JournalPath, *, skip: bool) -> Applied:
        """Apply a journal as far as possible; return the last result, with the total number of records."""
        total, cold = 0, False
        while (done := apply_journal(self.store, journal, skip=skip, finalize=self._finalize)).records:
            total += done.records
            cold = cold or done.cold
            if not done.more:
                break
        return done._replace(records=total, cold=cold)

    def _is_silent(self, name: str, files: list[JournalPath]) -> bool:
        """Return whether a segment's newest journal has not been touched for ``MISSED_SECONDS``."""
        found = files[-1].path.stat()
        if self._silence is not None:
            return self._silence.is_over(name, (files[-1].number, found.st_mtime_ns, found.st_size))
        return is_older(found.st_mtime, MISSED_SECONDS, self.store.layout.new_temporary())

    def _may_read_next(self, name: str, before: list[JournalPath], files: list[JournalPath]) -> bool:
        """Return whether a segment's next file may be read: the files before it were read or are given up.

        A writer opens a new file after it has given up the old one, but another host may see the new file
        before the last records of the old one.

        Args:
            name: The segment.
            before: The earlier files.
            files: The next file and those after it.
        """
        with self.store.reading() as session:
            segment = session.scalar(select(Segment).where(Segment.segment == name))
        expected = segment.sequence if segment is not None else 0
        if segment is not None and segment.journal_index >= files[0].number:
            return True
        following = first_sequence(files)
        if following is None:  # the file has no whole record yet
            if (size := files[0].path.stat().st_size) > HEADER.size:
                self._incomplete[name] = _describe_rest(files[0], HEADER.size, size - HEADER.size)
            return False
        passed = segment is not None and expected < segment.adopted
        if following > expected and not (
            passed or self._is_settled([*before, *files]) or self._missing.is_over(name, expected)
        ):
            self._incomplete[name] = (
                f"record {expected} is missing: {files[0].path} begins with record {following}"
            )
            return False
        for journal in before:
            self._apply_finally(journal)
        return True

    def _is_settled(self, files: list[JournalPath]) -> bool:
        """Return whether no file of a segment was changed or copied in the last ``MISSED_SECONDS``.

        The change time is used because a copied file may keep the modification time of the original.
        """
        changed_at = max(journal.path.stat().st_ctime for journal in files)
        return is_older(changed_at, MISSED_SECONDS, self.store.layout.new_temporary())

    def _apply_finally(self, journal: JournalPath) -> None:
        """Apply a journal that will not grow any more. Incomplete records are reported as damage."""
        while apply_journal(self.store, journal, final=True).records:
            pass

    def _is_damaged(self, name: str, files: list[JournalPath]) -> bool:
        """Return whether the rest of a live segment is damaged, and not just a record being written."""
        with self.store.reading() as session:
            segment = session.scalar(select(Segment).where(Segment.segment == name))
        if segment is None:
            return is_damaged(files, 0, 0, 0)
        return is_damaged(files, segment.journal_index, segment.offset, segment.sequence)

    def _writer_state(self, name: str, files: list[JournalPath]) -> Literal["live", "ended", "silent"]:
        """Return the state of a segment's writer. If the writer is dead, record its end in the catalog."""
        last, silent = files[-1], self._is_silent(name, files)
        heard_at = last.path.stat().st_mtime
        known = self._writers.get(name)
        if known is None or known.heard_at != heard_at:
            known = self._read_writer(name, heard_at)
        if known is None:
            return "silent" if silent else "live"
        _, ended, process, silent_since = known
        if ended in WRITER_STATES:
            return "ended"
        # Journals in the folder of another host may be incomplete copies. They do not end when their writer
        # is dead, because more bytes may follow. Check the process only for journals of this host.
        own = last.path.parent == self.store.layout.host_journals(host_name())
        alive = is_alive(process, silent=silent) if own and process is not None else None
        if silent_since is not None and (alive or (not silent and heard_at != silent_since)):
            withdraw_end(self.store, name)
            self._writers.pop(name)
        if alive:
            return "live"
        if alive is None:  # on another host, or hidden by hidepid: the writer may continue
            if silent and (ended is None or silent_since not in (None, heard_at)):
                self._finish(name, Gone("host silent", heard_at), heard_at)
            return "silent" if silent else "live"
        assert process is not None
        # The writer is certainly dead: its files will not grow any more.
        for journal in files:
            self._apply_finally(journal)
        self._incomplete.pop(name, None)
        self._finish(name, why_gone(process, heard_at))
        return "ended"

    def _read_writer(self, name: str, heard_at: float) -> _Writer | None:
        """Return the writer's state in the catalog. It is read again each time the journal has changed."""
        with self.store.reading() as session:
            segment = session.scalar(select(Segment).where(Segment.segment == name))
        if segment is None:
            return None
        self._noted[name] = segment.fault
        # A sealed segment has ended. Its journals still exist if the process was killed before deleting them.
        ended = "finished" if segment.sealed else segment.ended
        silent_since = unpack_state(segment.state).silent_since if ended == "crashed" else None
        self._writers[name] = _Writer(heard_at, ended, segment_process(segment), silent_since)
        return self._writers[name]

    def _finish(self, name: str, gone: Gone, silent_since: float | None = None) -> None:
        finish_segment(self.store, name, "crashed", silent_since, gone)
        self._writers.pop(name, None)

    def _note_fault(self, name: str, fault: str | None) -> None:
        """Record in the catalog why a segment is not applied; None clears the reason."""
        if name in self._noted and self._noted[name] == fault:
            return
        # If the catalog itself cannot be written, the reason is only in `faults`.
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


def _describe_rest(journal: JournalPath, offset: int, size: int) -> str:
    return f"{size} bytes from byte {offset} of {journal.path} are damaged or incomplete"


def catch_up(store: Store) -> None:
    """Apply every whole record in this host's journals, so that a process can read its own writes.

    For a read-only store, apply the journals of all hosts to the private copy.
    """
    if store.layout.is_copy:
        store.refresh()
    else:
        Follower(store, host_name()).poll(seal_ended=False)
