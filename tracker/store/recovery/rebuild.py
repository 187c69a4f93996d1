"""Rebuilding the catalog from published files. Journals are applied afterwards in the normal way.

The content of a sealed segment is in its run's file and in Parquet parts.

For an unsealed segment the new catalog gets an empty entry, because its journal contains all its records. The
recorder then applies the journal from the start. If the journal lacks records that the former catalog has
applied, the segment is copied from the former catalog.

Records also have effects outside of their segment: versions, aliases, files and uses. These are read from
published files, and applying the records again does not repeat them (``Segment.adopted``). So version
numbers stay, and aliases do not move back.

Users, roles, private projects and API keys come from ``people.json``; from the former catalog if that file
is missing or damaged. Browser sessions are not kept: each user signs in again.

The new catalog is built under another name and replaces the former one by one rename.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from tracker.errors import ArtifactError, JournalError, NotFoundError, StoreError
from tracker.ground.names import RunPath
from tracker.ground.records import COMMIT, Process, Row, RunStarted, encode
from tracker.journal.reader import Frame, read_frames
from tracker.runstate.collection import CollectionPath, version_name
from tracker.runstate.fold import Gone, SegmentFold, SegmentState, pack_state
from tracker.store.blobs.content import BlobStore, Piece
from tracker.store.blobs.manifest import read_manifest
from tracker.store.blobs.packs import note_pieces, note_version, read_index
from tracker.store.catalog import database
from tracker.store.catalog.hot_rows import add_hot
from tracker.store.catalog.lease_holder import Hold
from tracker.store.catalog.models import (
    Alias,
    ApiKey,
    ArtifactUse,
    Base,
    CapturedPart,
    Clock,
    Collection,
    DeletedRun,
    Part,
    Project,
    Run,
    RunField,
    RunFile,
    Rung,
    Segment,
)
from tracker.store.catalog.run_index import fields_of, row_of
from tracker.store.catalog.sqlite import fold, open_engine
from tracker.store.ingest.moves import undo_move
from tracker.store.ingest.people import add_people
from tracker.store.ingest.run_row import (
    Aggregates,
    find_or_make_project,
    refresh_run,
)
from tracker.store.objects.atomic_files import sync_file
from tracker.store.objects.layout import JournalPath, Layout
from tracker.store.objects.store_file import is_marked_with_people, mark_with_people
from tracker.store.published.models import (
    KeptRun,
    PublishedAlias,
    PublishedCapture,
    PublishedCollection,
    PublishedDeletion,
    PublishedMoves,
    PublishedPart,
    PublishedRun,
    PublishedSegment,
    PublishedVersion,
    read_published_model,
)
from tracker.store.published.moves import is_covered, is_superseded
from tracker.store.published.people import PublishedPeople, lost_people, publish_people, read_people
from tracker.store.published.runs import new_run_row
from tracker.store.published.tombstones import deleted_segment
from tracker.store.published.versions import new_row, path_of
from tracker.store.recovery.missing_files import find_missing, run_of_version
from tracker.store.recovery.old_catalog import OldCatalog, copy_audit_log, install, read_old_catalog
from tracker.store.recovery.restore_files import Restorer

# Larger than the number of any journal: a segment with this journal number does not accept a journal.
PAST_ALL_JOURNALS = 1_000_000
# Without a former catalog, the store's revision is not known exactly. Clients that wait for changes must not
# know a larger revision than those of the new catalog: this is more than the changes between two writes of a
# run's file.
LOST_REVISIONS = 1_000_000
FIELDS_AT_ONCE = 10_000
T = TypeVar("T")


class Rebuilt(NamedTuple):
    """The result of a rebuild.

    Attributes:
        runs: The number of runs.
        versions: The number of artifact versions.
        users: The number of users.
        keys: The number of API keys; None if they could not be read.
        audited: Whether the audit log of the former catalog was kept.
        kept: The path under which a damaged former catalog was kept; None if none was kept.
        broken: One line for each loss: files that are missing, cannot be read or were left out.
        forgotten: Parts of unsealed segments that the new catalog does not name. Applying the journals writes
            their rows again.
        restored: Published files that were written again, from the former catalog.
    """

    runs: int
    versions: int
    users: int
    keys: int | None
    audited: bool
    kept: Path | None
    broken: list[str]
    forgotten: list[Path]
    restored: list[Path]


def rebuild(layout: Layout, hold: Hold, *, requested: bool = True, without_people: bool = False) -> Rebuilt:
    """Rebuild the catalog. The caller holds the store exclusively: see ``open_catalog.hold_exclusively``.

    Args:
        layout: The store.
        hold: This host's lease on the catalog.
        requested: Whether a user requested the rebuild. If not, some missing files are not written again:
            see ``Restorer``.
        without_people: Whether to continue without users, roles, private projects and keys if they are lost.

    Raises:
        HeldElsewhereError: Another host has taken the catalog over. Nothing was changed.
        StoreVersionError: A newer tracker wrote a file, or the former catalog. Nothing was changed.
        StoreError: The former catalog is open in another program, or the users are lost. Nothing was changed.
    """
    for path in layout.described_files():  # before any change, refuse a file of a newer tracker
        with suppress(ValueError, OSError):
            read_published_model(path, dict)
    source = hold.catalog
    former = read_old_catalog(layout, source)
    if former is None and hold.damaged is not None:
        source = hold.damaged
        former = read_old_catalog(layout, source)
        # The catalog's own name has no file: no log to merge into it, and no content to restore from.
        former = former and former._replace(folded=False, files={})
    people, is_published = _find_people(layout, former, without_people)
    new = layout.new_temporary()
    if hold.catalog.parent != layout.root:  # the catalog is on a local disk: a rename needs the same disk
        new = hold.catalog.with_name(new.name)
    try:
        engine = open_engine(new)
        try:
            database.migrate(engine, layout.locks / "catalog.lock")
            with (
                Restorer(
                    layout, hold.catalog, former.files if former else {}, hold.check, requested
                ) as restorer,
                database.transaction(engine, write=True) as session,
            ):
                builder = _Builder(layout, session, former, restorer)
                builder.build()
                audited = former is not None and copy_audit_log(source, session)
                if people is not None:
                    add_people(session, people)
                    for key in session.scalars(select(ApiKey)):
                        key.last_used_at = former and former.last_uses.get(key.sha256)
        finally:
            engine.dispose()
        fold(new)  # the catalog is then one file, without a log
        sync_file(new)
        hold.check()
        if not is_published:
            with suppress(FileNotFoundError):  # keep a damaged file
                os.replace(layout.people, layout.people.with_name(f"{layout.people.name}.broken"))
            if people is not None:
                publish_people(layout, people)
            else:
                mark_with_people(layout, False)
        if former is not None and restorer.found_damage:
            former = former._replace(folded=False)  # so that ``install`` keeps the damaged file
        kept = install(hold.catalog, new, former)
    finally:
        for ending in ("", "-wal", "-shm"):
            new.with_name(new.name + ending).unlink(missing_ok=True)
    users, keys = (0, None) if people is None else (len(people.users), len(people.keys))
    found = (builder.broken, builder.forgotten, restorer.restored)
    return Rebuilt(builder.runs, len(builder.versions), users, keys, audited, kept, *found)


def _find_people(
    layout: Layout, former: OldCatalog | None, without_people: bool
) -> tuple[PublishedPeople | None, bool]:
    """Return the users, roles, private projects and keys, and whether ``people.json`` needs no change.

    Raises:
        StoreError: They are lost, and ``without_people`` is False.
    """
    found, marked = None if former is None else former.people, is_marked_with_people(layout)
    has_people = found is not None and bool(found.users or found.private_projects)
    if marked and not has_people:
        found = None  # the former catalog is older than the users
    try:
        published = read_people(layout)
    except StoreError as error:
        if found is None and not without_people:
            raise
        # Another user's file is not replaced, unless the loss is accepted.
        return found, found is not None and isinstance(error.__cause__, PermissionError)
    if published is not None:
        return published, True
    if found is None and marked and not without_people:
        raise StoreError(lost_people(layout))
    return found, found is not None and not (has_people or found.keys)


def build_private(layout: Layout, catalog: Path, lock: Path) -> list[str]:
    """Build a catalog of a store's published files outside of the store. Change nothing in the store.

    Args:
        layout: The store.
        catalog: The new catalog.
        lock: The file that locks the new catalog while its tables are made.

    Returns:
        One line for each file that is missing or cannot be read.
    """
    engine = open_engine(catalog)
    try:
        database.migrate(engine, lock)
        with (
            Restorer(layout, catalog, {}, lambda: None, False) as restorer,
            database.transaction(engine, write=True) as session,
        ):
            builder = _Builder(layout, session, None, restorer, repairs=False)
            builder.build()
    finally:
        engine.dispose()
    return builder.broken


class _Builder:
    """Fills an empty catalog from a store's published files."""

    def __init__(
        self,
        layout: Layout,
        session: Session,
        former: OldCatalog | None,
        restorer: Restorer,
        *,
        repairs: bool = True,
    ) -> None:
        self._layout = layout
        self._repairs = repairs  # whether the store may be changed
        self._restorer = restorer
        self._blobs = BlobStore(layout)
        self._session = session
        self._former = former or OldCatalog()
        self._journals = _journals_of(layout)
        self._run_ids: dict[RunPath, int] = {}
        self._run_of_segment: dict[str, int] = {}
        self._moves: list[tuple[RunPath, float]] = []  # place before, time
        self._numbers: set[int] = set()
        self._projects: dict[tuple[str, str], Project] = {}
        self._fields: list[dict[str, Any]] = []  # rows of ``run_fields`` that are not inserted yet
        # Rows that are not inserted yet: those that name a run, and those that name a segment. One statement
        # inserts many rows, because most of the time of a rebuild is spent per statement.
        self._of_runs: list[Base] = []
        self._of_segments: list[Base] = []
        self._segment_id = 0
        self._segments: set[str] = set()
        # Segments that are copied from the former catalog, which has records that their journals lack.
        self._from_former = {
            name
            for name, sequence in self._former.sequences.items()
            if not _has_all_records(self._journals.get(name, []), sequence)
        }
        self._crashed: set[str] = set()
        self._collections: dict[Path, Collection] = {}
        self.versions: dict[tuple[str, str, str, int], int] = {}
        self._version_ids: dict[tuple[str, str, str, int], int] = {}  # with the deleted versions
        self.broken: list[str] = []
        self.forgotten: list[Path] = []
        self.runs = 0

    def build(self) -> None:
        """Fill the catalog."""
        self._restorer.restore_missing()
        found = self._read_all(self._layout.run_files(), PublishedRun)
        deleted = self._read_all(self._layout.tombstones(), PublishedDeletion)
        tombstones = {(each.entity, each.project, each.id): each for _, each in deleted}
        found = [(path, each) for path, each in found if not _is_deleted(each, tombstones)]
        found = self._complete_moves(found)
        found.sort(key=lambda each: (each[1].number or math.inf, each[1].created_at, each[0]))
        clock = max([self._former.clock, *(each.revision for _, each in found)])
        if not self._former.clock and (found or deleted):
            clock += LOST_REVISIONS
        self._clock = Clock(id=1, revision=clock, people_revision=1)
        self._session.add(self._clock)
        self._numbers.update(each.number for _, each in found if each.number is not None)
        self._next_number = max(self._numbers, default=0) + 1
        self._numbers.clear()
        runs = [(each, self._add_run(each)) for path, each in found if self._is_in_place(path, each)]
        self._insert()
        self._add_deleted(deleted)
        for place, time in self._moves:  # clients that follow a project learn that a run is gone there
            self._add_deleted_run(place, set(), time, place[2])
        self._add_packs()
        versions = self._add_versions([described for described, _ in runs])
        self.broken += find_missing(self._layout, [each for each, _ in runs], versions, self._restorer.known)
        for folder, collection in self._collections.items():
            self._add_aliases(folder, collection)
        for described, run in runs:
            self._add_uses(described, run)
            if any(segment.segment in self._crashed for segment in described.segments):
                refresh_run(self._session, run, Aggregates(self._layout.root, inside=True))
            else:
                self._note_new(run)
        self._insert_fields()
        self.broken += self._restorer.broken
        self.runs = len(runs)

    def _add_deleted(self, tombstones: list[tuple[Path, PublishedDeletion]]) -> None:
        """Add the deleted runs. A description of one whose segments belong to a run has no effect."""
        places = set()
        for path, kept in self._read_all(self._layout.kept_runs(), KeptRun):
            run, own = kept.run, {each.segment for each in kept.run.segments}
            place = (run.entity, run.project, run.id)
            if own and not own & self._segments and path == self._layout.kept_run(*place, kept.token):
                places.add(place)
                self._add_deleted_run(place, own, kept.deleted_at, run.name, kept.keep_until, kept.token)
        for _, each in tombstones:
            place = (each.entity, each.project, each.id)
            if place not in places:
                self._add_deleted_run(place, set(each.segments), each.time, each.id)
            self._add_deleted_segments(set(each.segments))

    def _complete_moves(self, found: list[tuple[Path, PublishedRun]]) -> list[tuple[Path, PublishedRun]]:
        """Complete or undo an interrupted move; return the runs without the files that a move has left."""
        runs = {(each.entity, each.project, each.id) for _, each in found}
        for _, described in self._read_all(self._layout.list_moves(), PublishedMoves):
            place = (described.entity, described.project, described.id)
            for move in described.moves:
                target = (move.entity, move.project, described.id)
                went_on = any(file(*target).exists() for file in (self._layout.moves, self._layout.tombstone))
                if target in runs or went_on:
                    self._moves.append((place, move.time))
                elif self._repairs:
                    undo_move(self._layout, place, move)
        left = [path for path, run in found if is_superseded(self._layout, run)]
        if self._repairs:
            for path in left:
                path.unlink()
            self._layout.moving.unlink(missing_ok=True)
        return [(path, run) for path, run in found if path not in left]

    def _add_deleted_run(
        self,
        place: tuple[str, str, str],
        segments: set[str],
        time: float,
        name: str,
        keep_until: float | None = None,
        token: str = "",
    ) -> None:
        entity, project, run_id = place
        self._session.add(
            DeletedRun(
                entity=entity,
                project=project,
                run_id=run_id,
                name=name,
                deleted_at=time,
                keep_until=keep_until,
                token=token,
                revision=self._count_change(),
            )
        )
        self._add_deleted_segments(segments)

    def _add_deleted_segments(self, segments: set[str]) -> None:
        for name in sorted(segments - self._segments):
            self._session.add(deleted_segment(name))
            self._segments.add(name)

    def _read_all(self, paths: Iterable[Path], kind: type[T]) -> list[tuple[Path, T]]:
        read = ((path, self._read(path, kind)) for path in paths)
        return [(path, described) for path, described in read if described is not None]

    def _read(self, path: Path, kind: type[T]) -> T | None:
        try:
            self._check_file(path)
            found = read_published_model(path, kind)
            if isinstance(found, PublishedRun):
                if not self._repairs and not self._has_journals(found):
                    # The store is in use. The segment began after the journals were listed, or was sealed
                    # after its run's file was read.
                    self._journals = _journals_of(self._layout)
                    found = read_published_model(path, kind)
                assert isinstance(found, PublishedRun)
                unsealed = {each.segment for each in found.segments if not each.sealed}
                copied = self._from_former & unsealed
                if copied or found.uses is None:  # the catalog has more, or an older tracker wrote the file
                    if self._restorer.restore(path, found.revision):
                        return read_published_model(path, kind)
                    self._from_former -= copied
            return found
        except (ValueError, OSError) as error:
            if kind is PublishedRun and self._repairs:
                _keep_copy(path)
            if self._restorer.restore(path):
                return read_published_model(path, kind)
            reason = getattr(error, "strerror", None) or error
            self.broken.append(f"{path} cannot be read and was left out: {reason}")
            return None

    def _has_journals(self, run: PublishedRun) -> bool:
        return all(each.sealed or each.segment in self._journals for each in run.segments)

    def _check_file(self, path: Path) -> None:
        """Raise OSError for a link or a FIFO, which the store of another user may have in place of a file."""
        if not self._repairs and not stat.S_ISREG(path.lstat().st_mode):
            raise OSError("it is not a file")

    def _is_in_place(self, path: Path, run: PublishedRun) -> bool:
        name = f"{run.entity}/{run.project}/{run.id}"
        if path != self._layout.run_file(run.entity, run.project, run.id):
            self.broken.append(f"{path} was left out: it describes run {name}, which has another folder")
            return False
        twice = [each.segment for each in run.segments if each.segment in self._segments]
        if twice:
            self.broken.append(f"{path} was left out: its segment {twice[0]} also belongs to another run")
            return False
        self._segments.update(each.segment for each in run.segments)
        return True

    def _count_change(self) -> int:
        self._clock.revision += 1
        return self._clock.revision

    def _note_new(self, run: Run) -> None:
        """Do for a run without rows in ``run_fields`` what ``note_change`` does."""
        run.revision = self._count_change()
        fields = fields_of(run.config, run.summary, run.tags)
        self._fields += [row_of(run.id, run.project_id, name, value) for name, value in fields.items()]
        if len(self._fields) > FIELDS_AT_ONCE:
            self._insert_fields()

    def _insert_fields(self) -> None:
        if self._fields:
            self._session.connection().execute(insert(RunField), self._fields)
            self._fields = []

    def _insert(self) -> None:
        """Insert the rows of runs and segments that are not inserted yet."""
        self._session.flush()
        for rows in (self._of_runs, self._of_segments):
            self._session.add_all(rows)
            self._session.flush()
            rows.clear()

    def _project(self, entity: str, name: str, created_at: float) -> Project:
        if (entity, name) not in self._projects:
            self._projects[entity, name] = find_or_make_project(self._session, entity, name, created_at)
        return self._projects[entity, name]

    def _add_run(self, described: PublishedRun) -> Run:
        project = self._project(described.entity, described.project, described.created_at)
        number = described.number
        if number is None or number in self._numbers:
            number, self._next_number = self._next_number, self._next_number + 1
        run = new_run_row(described, project, number)
        self._session.add(run)
        self._run_ids[described.entity, described.project, described.id] = run.id
        self._numbers.add(run.id)
        for file in {file.path: file for file in described.files}.values():
            self._of_runs.append(RunFile(run_id=run.id, **msgspec.structs.asdict(file)))
        for segment in described.segments:
            self._run_of_segment[segment.segment] = run.id
            self._add_segment(described, run, segment)
        return run

    def _add_segment(self, run: PublishedRun, row: Run, described: PublishedSegment) -> None:
        self._segment_id += 1
        added = Segment(
            id=self._segment_id,
            segment=described.segment,
            run_id=row.id,
            rank=described.rank,
            attempt=described.attempt,
            started_at=described.started_at,
            start_step=described.start_step,
            state=pack_state(SegmentState()),
        )
        self._of_runs.append(added)
        if described.sealed and described.state is not None:
            added.sealed = True
            added.ended = described.ended
            added.sequence = described.sequence
            added.state = pack_state(described.state)
            if described.state.started is not None:
                added.process = encode(described.state.started.process)
            self._add_parts(added, described.parts)
            self._add_captured(added, described.captured)
            if described.segment in self._journals:
                self._set_offset_to_end(added)
            return
        added.adopted = described.sequence
        files = self._journals.get(described.segment, [])
        if files and described.segment not in self._from_former:
            self._apply_again(run, added, described, files)
            return
        parts = self._add_parts(added, described.parts)
        self._add_captured(added, described.captured)
        if described.segment in self._from_former:
            self._insert()
            state, kept = self._restorer.copy_segment(self._session, added), "the former catalog"
            whole = _limit_offset(added, files)
        else:
            state, kept, whole = self._fold_parts(run, described, parts), "Parquet files", False
            # If the journal comes back, its rows must not be added to these rows. A new rebuild can apply it.
            added.journal_index = PAST_ALL_JOURNALS
        segment_fold = SegmentFold(state)
        if not whole:
            how = "lacks records that had been applied" if files else "is gone"
            self._note_loss(run, added, how, kept)
            problem = f"the journal {how}: records that were not in {kept} yet are lost"
            if problem not in state.problems:
                state.problems.append(problem)
        added.ended = described.ended
        if not files:
            self._insert()
            add_hot(self._session, added, segment_fold.flush())
            added.ended = described.ended or "crashed"
            self._crashed.add(added.segment)
        added.state = pack_state(segment_fold.state)

    def _apply_again(
        self, run: PublishedRun, added: Segment, described: PublishedSegment, files: list[JournalPath]
    ) -> None:
        """Leave a segment empty, as its journals are applied again, and forget its parts."""
        history = self._layout.run(run.entity, run.project, run.id) / "history"
        self.forgotten += history.glob(f"{described.segment}-*.parquet")
        if not _has_all_records(files, described.sequence):
            self._note_loss(run, added, "lacks records that had been applied", "Parquet files")
            if files[0].number > 0:  # the first journal is missing, and with it the first record
                added.state = pack_state(self._fold_parts(run, described, []))

    def _note_loss(self, run: PublishedRun, segment: Segment, how: str, kept: str) -> None:
        """Add a line about the journal of a segment; ``kept`` names the place of the records that remain."""
        self.broken.append(
            f"run {run.entity}/{run.project}/{run.id}: the journal of segment {segment.segment} {how}; "
            f"records that are not in {kept} are lost"
        )

    def _set_offset_to_end(self, sealed: Segment) -> None:
        """Set a sealed segment's offset to the end of its remaining journals, if it has all their records.

        If a process was killed, journals of a sealed segment may still exist. Sealing the segment again
        removes them. Journals with further records of the writer stay.
        """
        files = self._journals[sealed.segment]
        try:
            if any(sequence >= sealed.sequence for sequence in _sequences(files)):
                return
            sealed.journal_index, sealed.offset = files[-1].number, files[-1].path.stat().st_size
        except (JournalError, OSError):
            return

    def _add_parts(self, segment: Segment, parts: list[PublishedPart]) -> list[Path]:
        found = []
        for part in parts:
            path = self._layout.root / part.path
            if not path.is_file():
                self.broken.append(f"{path} is missing: its {part.rows} rows are lost")
                continue
            added = Part(segment_id=segment.id, **msgspec.structs.asdict(part))
            self._of_segments.append(added)
            self._add_rungs(added, path)
            found.append(path)
        return found

    def _add_captured(self, segment: Segment, parts: list[PublishedCapture]) -> None:
        for part in parts:
            path = self._layout.root / part.path
            if path.is_file():
                self._of_segments.append(CapturedPart(segment_id=segment.id, **msgspec.structs.asdict(part)))
            else:
                self.broken.append(f"{path} is missing: its {part.rows} rows are lost")

    def _add_rungs(self, part: Part, path: Path) -> None:
        from tracker.store.history.ladder import (  # pyarrow is heavy, and small parts do not need it
            LADDER_ROWS,
            rungs_of_part,
        )

        if part.rows < LADDER_ROWS or not self._repairs:  # charts of a private catalog compute the rungs
            return
        try:
            rungs = [
                {"key": key, "bucket_rows": size, "data": data} for key, size, data in rungs_of_part(path)
            ]
        except (StoreError, OSError) as error:
            self.broken.append(str(error))
            return
        if rungs:
            self._insert()
            for rung in rungs:
                rung["part_id"] = part.id
            self._session.execute(insert(Rung), rungs)

    def _fold_parts(self, run: PublishedRun, segment: PublishedSegment, parts: list[Path]) -> SegmentState:
        """Return the state of a segment from its parts and its run's file, if nothing else remains."""
        from tracker.store.history.parquet import read_part_rows

        segment_fold = SegmentFold(SegmentState())
        segment_fold.state.started = RunStarted(
            run.entity,
            run.project,
            run.id,
            segment.started_at,
            Process(run.host or "", "", 0, 0, 0),
            name=run.name,
            rank=segment.rank,
            attempt=segment.attempt,
            start_step=segment.start_step,
            group=run.group,
            job_type=run.job_type,
            tags=run.tags,
            notes=run.notes,
            program=run.program,
        )
        last_time, runtime = segment.started_at, 0.0
        for path in parts:
            for row in read_part_rows(path):
                last_time, runtime = max(last_time, row.time), max(runtime, row.runtime)
                segment_fold.fold(Row(row.row, row.step, COMMIT, row.time, row.data))
        state = segment_fold.state
        if run.reason is not None and run.last_seen is not None:
            state.gone = Gone(run.reason, run.last_seen)
        state.last_time, state.runtime = last_time, runtime
        state.config, state.summary = run.config, run.summary
        return state

    def _add_versions(self, runs: list[PublishedRun]) -> dict[Path, PublishedVersion]:
        layout = self._layout
        found = self._read_all(layout.version_files(), PublishedVersion)
        seen = {path for path, _ in found}
        for run in runs:
            for logged in run.versions:
                owner = (logged.entity or run.entity, logged.project or run.project)
                path = layout.version(*owner, logged.name, logged.version)
                if path not in seen and not path.exists():
                    seen.add(path)
                    found.append((path, self._restorer.restore_logged(path, run, logged)))
        found.sort(key=lambda each: (each[1].created_at, each[0].parent, int(each[0].stem)))
        makers = self._makers(found)
        records: set[tuple[str, int]] = set()
        for path, described in found:
            index = int(path.stem)
            place = layout.version(described.entity, described.project, described.name, index)
            if path != place or (described.segment, described.sequence) in records:
                self.broken.append(f"{path} was left out: it is a copy of another version")
                continue
            records.add((described.segment, described.sequence))
            folder = path.parent.parent
            collection = self._collections.get(folder)
            if collection is None:
                collection = self._collections[folder] = self._add_collection(described)
            run_id = makers.get(described.source or version_name(path_of(collection), index))
            if run_id is None and described.source is not None:
                run_id = self._run_ids.get(run_of_version(described) or ("", "", ""))
            version = new_row(collection, index, described, run_id if described.logged_by else None)
            version.id = len(self._version_ids) + 1
            self._session.add(version)
            self._version_ids[described.entity, described.project, described.name, index] = version.id
            if described.deleted_at is None:
                self.versions[described.entity, described.project, described.name, index] = version.id
                self._add_packed(described)
        self._session.flush()
        return dict(found)

    def _makers(self, found: list[tuple[Path, PublishedVersion]]) -> dict[str, int]:
        """Return the number of the run that logged each version, by the name of the version."""
        makers: dict[str, int] = {}
        for path, each in found:
            if each.source is None and each.logged_by is not None:
                named = (each.entity, each.project, each.logged_by)
                run = self._run_of_segment.get(each.segment) or self._run_ids.get(named)
                if run is not None:
                    makers[version_name((each.entity, each.project, each.name), int(path.stem))] = run
        return makers

    def _add_packs(self) -> None:
        for path in self._layout.list_packs():
            try:
                self._check_file(path)
                found = {each.sha256: Piece(path.stem, each.offset, each.size) for each in read_index(path)}
            except (ValueError, OSError) as error:
                self.broken.append(f"{path} cannot be read: the run files in this pack are lost: {error}")
            else:
                note_pieces(self._session, found)

    def _add_packed(self, described: PublishedVersion) -> None:
        try:
            entries = read_manifest(self._blobs, described.manifest).entries
            note_version(self._session, described.manifest, entries)
        except (NotFoundError, ArtifactError) as error:
            self.broken.append(
                f"the files of artifact {described.entity}/{described.project}/{described.name} "
                f"are lost: {error}"
            )

    def _add_collection(self, described: PublishedVersion) -> Collection:
        project = self._project(described.entity, described.project, described.created_at)
        collection = Collection(
            project_id=project.id, project=project, name=described.name, type=described.type, tags=[]
        )
        self._session.add(collection)
        self._session.flush()
        path = self._layout.collection_file(described.entity, described.project, described.name)
        found = self._read(path, PublishedCollection) if path.exists() else None
        if found is not None:
            collection.description, collection.tags = found.description, found.tags
            self._session.flush()
        return collection

    def _add_aliases(self, folder: Path, collection: Collection) -> None:
        place = path_of(collection)
        if not (folder / "aliases").is_dir():
            newest = max((number for *each, number in self.versions if tuple(each) == place), default=None)
            if newest is not None:
                self._restorer.restore_latest(place, newest)
                version = self.versions[(*place, newest)]
                self._session.add(Alias(collection_id=collection.id, alias="latest", version_id=version))
        else:
            self._read_aliases(place, collection)
        self._session.flush()

    def _read_aliases(self, place: CollectionPath, collection: Collection) -> None:
        for path in self._layout.alias_files(*place):
            described = self._read(path, PublishedAlias)
            if described is None:
                continue
            version = self.versions.get((*place, described.version))
            if version is None or path != self._layout.alias(*place, described.alias):
                self.broken.append(
                    f"{path} was left out: the collection has no version {described.version}, "
                    "or the alias has another name than its file"
                )
                continue
            self._session.add(Alias(collection_id=collection.id, alias=described.alias, version_id=version))

    def _add_uses(self, described: PublishedRun, run: Run) -> None:
        added = set()
        for use in described.uses or []:
            version = self._version_ids.get((use.entity, use.project, use.name, use.version))
            if version is None:
                self.broken.append(
                    f"run {described.entity}/{described.project}/{described.id} used "
                    f"{use.entity}/{use.project}/{use.name}:v{use.version}, which does not exist"
                )
            elif version not in added:
                added.add(version)
                self._session.add(ArtifactUse(run_id=run.id, version_id=version, used_at=use.used_at))


def _is_deleted(run: PublishedRun, tombstones: dict[RunPath, PublishedDeletion]) -> bool:
    """Return whether a run was deleted. A run whose segments the tombstone does not name was not."""
    found = tombstones.get((run.entity, run.project, run.id))
    newest = max((each.started_at for each in run.segments), default=0.0)
    own = {each.segment for each in run.segments}
    return found is not None and is_covered(found.segments, found.time, own, newest)


def _journals_of(layout: Layout) -> dict[str, list[JournalPath]]:
    """Return the journals of each segment that has some."""
    journals = groupby(layout.list_journals(), key=lambda journal: journal.segment)
    return {segment: list(files) for segment, files in journals}


def _sequences(files: list[JournalPath]) -> Iterator[int]:
    """Yield the numbers of the records in a segment's journals."""
    for journal in files:
        for outcome in read_frames(journal.path, journal.segment, final=True):
            if isinstance(outcome, Frame):
                yield outcome.sequence


def _has_all_records(files: list[JournalPath], count: int) -> bool:
    """Return whether a segment's journals have all of its first ``count`` records, or one cannot be read."""
    expected = 0
    try:
        for sequence in _sequences(files):
            if sequence > expected or expected >= count:
                break
            expected = max(expected, sequence + 1)
    except JournalError:  # the recorder gets the same error and reports it
        return True
    return expected >= count


def _limit_offset(segment: Segment, files: list[JournalPath]) -> bool:
    """Limit a segment's offset to the size of its journal; return whether the journal reaches the offset."""
    for journal in files:
        if journal.number == segment.journal_index:
            size = journal.path.stat().st_size
            whole = size >= segment.offset
            segment.offset = min(segment.offset, size)
            return whole
    return False


def _keep_copy(path: Path) -> None:
    """Keep a damaged run file under another name, as the next applied journal replaces the run file."""
    copy = path.with_name(path.name + ".broken")
    try:
        os.link(path, copy)
    except OSError:
        pass  # the copy exists already, or the file system has no hard links
