"""Following the journals of a store: applies new records, detects dead writers, and seals ended segments."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable
from itertools import groupby
from typing import Literal, NamedTuple

from sqlalchemy import select

from tracker.capture import logs
from tracker.errors import HeldElsewhereError
from tracker.ground.filesystems import is_network
from tracker.ground.processes import MISSED_SECONDS, host_name, is_alive
from tracker.ground.records import Process
from tracker.journal.format import HEADER
from tracker.recorder.apply_errors import note_fault
from tracker.recorder.journal_folders import FollowedSegment, JournalFolders, Look
from tracker.recorder.journal_probe import first_sequence, is_damaged
from tracker.recorder.liveness import first_record, why_gone
from tracker.recorder.poll import PollResult
from tracker.recorder.silent_journals import (
    LOOK_SECONDS,
    bring_back,
    bring_back_segment,
    find_place,
    setter_aside,
)
from tracker.recorder.stall_timer import StallTimer
from tracker.recorder.tails import recover_tails
from tracker.runstate.fold import Gone, unpack_state
from tracker.store.catalog.lease import silent_seconds
from tracker.store.catalog.models import Segment
from tracker.store.catalog.sqlite import read_rows
from tracker.store.ingest.apply import (
    Applied,
    apply_journal,
    finish_segment,
    segment_process,
    unseal,
    withdraw_end,
)
from tracker.store.ingest.artifacts import Finalize, finalize_now
from tracker.store.ingest.moves import finish_move
from tracker.store.ingest.seal import remove_journal, seal
from tracker.store.objects.atomic_files import file_system_time
from tracker.store.objects.layout import INGEST, JournalPath
from tracker.store.queries.runs import revision
from tracker.store.store import Store

# States that only the writer records, when it ends. Other processes record "crashed", which may be wrong.
WRITER_STATES = ("finished", "failed", "preempted")
# Seconds between two looks for what is rare: records that killed writers have left on a disk of this host,
# and, in rounds in which no journal has changed, another host with the catalog and an interrupted move.
RARE_SECONDS = 5.0
_ENDED = (
    "SELECT segment FROM segments WHERE ended IS NOT NULL AND segment IN (SELECT value FROM json_each(?))"
)

# The state of a writer: it may write, it has ended, it is silent, it has been silent for so long that its
# segment is sealed, or it is back although its segment is sealed.
_State = Literal["live", "ended", "silent", "abandoned", "back"]


class _Writer(NamedTuple):
    """A segment's writer as the catalog recorded it when the journal's modification time was ``heard_at``."""

    heard_at: float
    revision: int
    ended: str | None
    process: Process | None
    silent_since: float | None
    sealed: bool


class Follower:
    """Applies the journals of a store, round by round.

    A journal is read again only when it has grown, or when the last round did not apply all its records.

    Args:
        store: The store to apply to.
        host: Follow only the journals written on this host; None for all.
        finalize: Computes the digests of logged artifacts. By default a round waits until this is done.
        stays: Whether this follower polls repeatedly. Then a writer whose process cannot be checked counts as
            silent when this follower has seen no change of its journal for ``missed_after``. Clocks of
            other hosts may be wrong, and the downtime of a server must not count. A follower that polls only
            once compares the modification time of the journal with that of a new file. A follower that stays
            looks at idle journals of other hosts less often: ``tracker.recorder.journal_folders``.

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
        self._folders: JournalFolders | None = JournalFolders(store.layout, host) if stays else None
        self._looks: dict[str, Look] = {}
        self._touched: dict[str, FollowedSegment] = {}  # in this round
        self._live: set[str] = set()  # segments whose writer may still write
        self._waiting: set[str] = set()  # segments that have no live writer and are not sealed
        self._sealed_after = silent_seconds()  # after it was silent
        self._file_system_time: float | None = None  # in this round
        self._revision: int | None = None  # of the store, in this round
        self._on_network: bool | None = None
        self._brought_back_at = self._rare_at = -math.inf
        self._finalize = finalize
        self._settling: set[str] = set()
        self._seen: dict[str, list[tuple[int, int]]] = {}
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
        self._file_system_time = self._revision = None
        self._do_what_is_rare(seal_ended=seal_ended)
        applied = 0
        faults: dict[str, str] = {}
        unread: dict[str, str] = {}
        changed = self._find_changed(faults)
        if changed:
            self._check_store()
        for each in changed:
            name, files = each.name, each.files
            try:
                self._set_state(name, None)
                applied += self._follow(name, files)
                # Records after an artifact, and the end of the run, wait for the digests of the artifact.
                found = "live" if name in self._settling else self._writer_state(name, files)
                if found == "back" and (whole := self._unseal(name)) is not None:
                    files = whole
                    applied += self._follow(name, files)
                    found = self._writer_state(name, files)
                if name in self._incomplete and (
                    found == "silent" or (found == "live" and self._is_damaged(name, files))
                ):
                    unread[name] = self._incomplete[name]
                if found in ("ended", "abandoned") and seal_ended:
                    self._seal(name, files, may_return=found == "abandoned")
                    if found == "ended" or not files[-1].path.exists():
                        self._looks.pop(name, None)
                        each.look = None
                        continue
                # A segment that cannot be sealed or unsealed waits for more journals.
                self._set_state(name, "live" if found == "live" else "waiting")
                if self._noted.get(name) is not None:
                    self._note_fault(name, None)
                self._rest(each)
            except HeldElsewhereError:
                raise
            except Exception as error:
                self._handle(error, name, files, faults)
        self.faults, self.unread = faults, unread
        return PollResult(applied, len(self._live), len(self._waiting))

    def problems(self) -> list[str]:
        """Return a line for each segment that the last round could not apply, or not read to its end."""
        return [f"{name}: {why}" for name, why in sorted((self.unread | self.faults).items())]

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def _do_what_is_rare(self, *, seal_ended: bool) -> None:
        now = time.monotonic()
        if now - self._rare_at > RARE_SECONDS:
            self._rare_at = now
            self._check_store()
            recover_tails(self.store.layout)
        if seal_ended and (self._folders is None or now - self._brought_back_at > LOOK_SECONDS):
            self._brought_back_at = now
            self._check_store()
            bring_back(self.store, self._host)

    def _check_store(self) -> None:
        self.store.check_lease()
        finish_move(self.store)

    def _handle(self, error: Exception, name: str, files: list[JournalPath], faults: dict[str, str]) -> None:
        """Note an error in one journal, which must not stop the others. The journal stays in its folder."""
        if any(journal.path.exists() for journal in files):
            faults[name] = str(error)
            logs.log(logs.ERROR, f"segment {name} is not applied", error)
            self._note_fault(name, faults[name])
        elif self._folders is not None:  # another process has sealed the segment
            self._folders.list_again()

    def _find_changed(self, faults: dict[str, str]) -> list[FollowedSegment]:
        """Look at the segments that are due; return those that need work, ordered by their start.

        In this order, artifact versions of runs that are applied late (such as those of nodes without a
        recorder) get the same numbers as with a recorder.
        """
        if self._folders is not None:
            due = self._folders.list_due()
            gone = self._folders.gone
        else:
            due = []
            journals = self.store.layout.list_journals(self._host)
            for name, group in groupby(journals, key=lambda journal: journal.segment):
                files = list(group)
                paths = [str(journal.path) for journal in files]
                due.append(FollowedSegment(name, files, paths))
            gone = self._looks.keys() - {each.name for each in due}
        for name in gone:
            self._started.pop(name, None)
            self._looks.pop(name, None)
            self._set_state(name, None)
        self._touched.clear()
        changed = []
        for each in due:
            try:
                if not self._rests(each):
                    changed.append(each)
            except OSError as error:
                self._handle(error, each.name, each.files, faults)
        for name in self._find_ended(self._touched):
            self._looks[name].rests = False
            changed.append(self._touched[name])
        return sorted(changed, key=lambda each: (self._start_of(each.name, each.files), each.name))

    def _start_of(self, name: str, files: list[JournalPath]) -> float:
        if name not in self._started:
            first = first_record(files[0])
            if first is None:
                return math.inf
            self._started[name] = first.time
        return self._started[name]

    def _find_ended(self, names: Iterable[str]) -> list[str]:
        """Return which of these segments have ended in the catalog since the last call for them."""
        if not names:
            return []
        with self.store.reading_rows() as session:
            now = revision(session)
            asked = [name for name in names if self._looks[name].revision != now]
            if not asked:
                return []
            rows = read_rows(session, _ENDED, [json.dumps(asked)])
        for name in asked:
            self._looks[name].revision = now
        return [name for (name,) in rows]

    def _set_state(self, name: str, state: Literal["live", "waiting"] | None) -> None:
        self._live.discard(name)
        self._waiting.discard(name)
        if state is not None:
            (self._live if state == "live" else self._waiting).add(name)

    def _rests(self, segment: FollowedSegment) -> bool:
        """Look at a segment's journals; return whether there is nothing to do.

        A segment of a live writer that was only touched is added to ``_touched``.
        """
        now = time.monotonic()
        stamp = []
        for path in segment.paths:
            found = os.stat(path)
            stamp += [found.st_size, found.st_mtime_ns]
        look = segment.look
        if look is None or look.stamp[::2] != stamp[::2]:
            sizes = [(each.number, size) for each, size in zip(segment.files, stamp[::2], strict=True)]
            segment.look = self._looks[segment.name] = Look(
                stamp, sizes, now, now, segment.files[-1].missed_after
            )
            return False
        if look.stamp != stamp:
            look.stamp = stamp
            look.changed_at = now
            if not look.rests or look.silence:
                look.rests = False
                return False
            # A sign of life. Nothing is to be done, unless another process has marked the run as crashed.
            self._touched[segment.name] = segment
        elif not look.rests or self._silence_of(look) != look.silence:
            return False
        if self._folders is not None:
            self._folders.postpone(segment, now, look.grown_at)
        return True

    def _rest(self, segment: FollowedSegment) -> None:
        """Let a segment rest if its journals are applied and its writer is on another host."""
        look = segment.look = self._looks[segment.name]
        look.silence = self._silence_of(look)
        look.rests = (
            self._folders is not None
            and segment.name not in self._incomplete
            and segment.name not in self._settling
            and segment.files[-1].path.parent != self.store.layout.host_journals(host_name())
        )

    def _silence_of(self, look: Look) -> int:
        """Return 0 for a writer that shows that it lives, 1 for a silent one, 2 if its segment is sealed."""
        silent = time.monotonic() - look.changed_at
        return (silent > look.missed_after) + (silent > look.missed_after + self._sealed_after)

    def _follow(self, name: str, files: list[JournalPath]) -> int:
        """Apply the new records of a segment's journals; return the number of records."""
        sizes = self._looks[name].sizes
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
        """Return whether a segment's newest journal has not been touched for long: ``missed_after``."""
        if self._folders is not None:
            return self._silence_of(self._looks[name]) > 0
        return self._is_old(files[-1].path.stat().st_mtime, files[-1].missed_after)

    def _is_abandoned(self, name: str, files: list[JournalPath]) -> bool:
        """Return whether a silent segment can be sealed: its writer may come back, but it is not expected."""
        if files[-1].path.parent == self.store.layout.host_journals(INGEST):
            return False  # the server knows which part of such a journal it has
        if self._folders is not None:
            return self._silence_of(self._looks[name]) > 1
        return self._is_settled(files, files[-1].missed_after + self._sealed_after)

    def _is_old(self, changed_at: float, seconds: float) -> bool:
        """Return whether a time is more than ``seconds`` ago, as ``is_older`` does, with one file a round."""
        if time.time() - changed_at <= seconds:
            return False
        if self._file_system_time is None:
            now = file_system_time(self.store.layout.new_temporary())
            self._file_system_time = math.inf if now is None else now
        return self._file_system_time - changed_at > seconds

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
            passed
            or self._is_settled([*before, *files], MISSED_SECONDS)
            or self._missing.is_over(name, expected)
        ):
            self._incomplete[name] = (
                f"record {expected} is missing: {files[0].path} begins with record {following}"
            )
            return False
        for journal in before:
            self._apply_finally(journal)
        return True

    def _is_settled(self, files: list[JournalPath], seconds: float) -> bool:
        """Return whether no file of a segment was changed or copied in the last ``seconds``.

        The change time is used because a copied file may keep the modification time of the original.
        """
        return self._is_old(max(journal.path.stat().st_ctime for journal in files), seconds)

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

    def _writer_state(self, name: str, files: list[JournalPath]) -> _State:
        """Return the state of a segment's writer. If the writer is dead, record its end in the catalog."""
        last, silent = files[-1], self._is_silent(name, files)
        heard_at = last.path.stat().st_mtime
        known = self._writers.get(name)
        if known is None or known.heard_at != heard_at:
            known = self._read_writer(name, heard_at, known)
        if known is None:
            empty = all(size <= HEADER.size for _, size in self._looks[name].sizes)
            if silent and empty and self._is_abandoned(name, files):
                return "abandoned"
            return "silent" if silent else "live"
        ended, silent_since = known.ended, known.silent_since
        if ended in WRITER_STATES:
            return "ended"
        # Journals in the folder of another host may be incomplete copies. They do not end when their writer
        # is dead, because more bytes may follow. Check the process only for journals of this host.
        own = last.path.parent == self.store.layout.host_journals(host_name())
        process = known.process
        alive = is_alive(process, silent=silent) if own and process is not None else None
        if alive is False and self._may_have_tail(last):
            alive = None
        if known.sealed:
            return "back" if alive or heard_at != silent_since else "abandoned"
        if silent_since is not None and (alive or (not silent and heard_at != silent_since)):
            withdraw_end(self.store, name)
            self._writers.pop(name)
        if alive:
            return "live"
        if alive is None:  # on another host, or hidden by hidepid: the writer may continue
            if silent and (ended is None or silent_since not in (None, heard_at)):
                self._finish(name, Gone("host silent", heard_at), heard_at)
            if silent and name not in self._incomplete and self._is_abandoned(name, files):
                return "abandoned"
            return "silent" if silent else "live"
        assert process is not None
        if recover_tails(self.store.layout, name):
            return "live"  # the next round finds one more file
        # The writer is certainly dead: its files will not grow any more.
        for journal in files:
            self._apply_finally(journal)
        self._incomplete.pop(name, None)
        self._finish(name, why_gone(process, heard_at))
        return "ended"

    def _may_have_tail(self, journal: JournalPath) -> bool:
        """Return whether a dead writer of another user may have left records where only that user sees them.

        Its journals are then set aside, so that a later process of the user can add these records.
        """
        if self._on_network is None:
            self._on_network = is_network(self.store.layout.root)
        return self._on_network and journal.path.stat().st_uid != os.geteuid()

    def _read_writer(self, name: str, heard_at: float, known: _Writer | None) -> _Writer | None:
        """Return the writer's state in the catalog, which is read again when the store has changed."""
        with self.store.reading() as session:
            if self._revision is None:
                self._revision = revision(session)
            if known is not None and known.revision == self._revision:
                self._writers[name] = known._replace(heard_at=heard_at)
                return self._writers[name]
            segment = session.scalar(select(Segment).where(Segment.segment == name))
        if segment is None:
            return None
        self._noted[name] = segment.fault
        silent_since = unpack_state(segment.state).silent_since if segment.ended == "crashed" else None
        # A sealed segment has ended, unless its writer was only silent. The journals of an ended one still
        # exist if the process was killed before deleting them.
        ended = "finished" if segment.sealed and silent_since is None else segment.ended
        process = segment_process(segment)
        found = _Writer(heard_at, self._revision, ended, process, silent_since, segment.sealed)
        self._writers[name] = found
        return found

    def _unseal(self, name: str) -> list[JournalPath] | None:
        """Continue a sealed segment whose writer is back; return its journals.

        Return None if the first journal is not there any more. The further journals are then kept.
        """
        bring_back_segment(self.store.layout, name)
        files = [each for each in self.store.layout.list_journals() if each.segment == name]
        if not files or files[0].number > 0:
            return None
        with self.store.reading() as session:
            sequence = session.scalar(select(Segment.sequence).where(Segment.segment == name))
        unseal(self.store, name, find_place(files, sequence or 0))
        self._seen.pop(name, None)
        self._writers.pop(name, None)
        self._rests(FollowedSegment(name, files, [str(each.path) for each in files]))
        return files

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

    def _seal(self, name: str, files: list[JournalPath], *, may_return: bool) -> None:
        remove = setter_aside(self.store.layout, files) if may_return else remove_journal
        with self.store.reading() as session:
            segment_id = session.scalar(select(Segment.id).where(Segment.segment == name))
        if segment_id is not None:
            # The end of a journal whose writer may return is not damage, even if it is incomplete.
            for journal in [] if may_return else files:
                self._apply_finally(journal)
            seal(self.store, segment_id, remove)
            self._seen.pop(name, None)
            self._writers.pop(name, None)
        elif may_return:  # the writer has not written a record
            self.store.check_lease()
            for journal in files:
                remove(journal.path)

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
