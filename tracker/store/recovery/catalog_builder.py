"""Filling an empty catalog from a store's published files: runs, segments, and then artifacts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import insert
from sqlalchemy.orm import Session

from tracker.errors import JournalError, StoreError
from tracker.ground.names import RunPath
from tracker.ground.records import COMMIT, Process, Row, RunStarted, encode
from tracker.runstate.fold import Gone, SegmentFold, SegmentState, pack_state
from tracker.store.catalog.hot_rows import add_hot
from tracker.store.catalog.models import (
    Base,
    CapturedPart,
    Clock,
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
from tracker.store.ingest.moves import undo_move
from tracker.store.ingest.run_row import (
    Aggregates,
    find_or_make_project,
    refresh_run,
)
from tracker.store.objects.layout import JournalPath, Layout
from tracker.store.published.models import (
    KeptRun,
    PublishedCapture,
    PublishedDeletion,
    PublishedMoves,
    PublishedPart,
    PublishedRun,
    PublishedSegment,
)
from tracker.store.published.moves import is_covered, is_superseded
from tracker.store.published.runs import new_run_row
from tracker.store.published.tombstones import deleted_segment
from tracker.store.recovery.artifact_builder import ArtifactBuilder
from tracker.store.recovery.missing_files import find_missing
from tracker.store.recovery.old_catalog import OldCatalog
from tracker.store.recovery.published_files import (
    PublishedFiles,
    has_all_records,
    limit_offset,
    sequences_of,
)
from tracker.store.recovery.restore_files import Restorer

# Larger than the number of any journal: a segment with this journal number does not accept a journal.
PAST_ALL_JOURNALS = 1_000_000
# Without a former catalog, the store's revision is not known exactly. Clients that wait for changes must not
# know a larger revision than those of the new catalog: this is more than the changes between two writes of a
# run's file.
LOST_REVISIONS = 1_000_000
FIELDS_AT_ONCE = 10_000


class CatalogBuilder:
    """Fills an empty catalog from a store's published files.

    Args:
        layout: The store.
        session: The catalog, inside a transaction.
        former: What the former catalog has; None without one.
        restorer: Writes missing and damaged files again.
        repairs: Whether the store may be changed.

    Attributes:
        broken: One line for each loss.
        forgotten: Parts of unsealed segments that the new catalog does not name.
        runs: Number of runs.
        versions: Number of artifact versions.
    """

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
        self._session = session
        self._former = former or OldCatalog()
        self._files = PublishedFiles(layout, restorer, self._former, repairs=repairs)
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
        self._crashed: set[str] = set()
        self.broken = self._files.broken
        self.forgotten: list[Path] = []
        self.runs = self.versions = 0

    def build(self) -> None:
        """Fill the catalog."""
        self._restorer.restore_missing()
        found = self._files.read_all(self._layout.run_files(), PublishedRun)
        deleted = self._files.read_all(self._layout.tombstones(), PublishedDeletion)
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
        artifacts = ArtifactBuilder(
            self._layout,
            self._session,
            self._files,
            self._restorer,
            self._project,
            self._run_ids,
            self._run_of_segment,
        )
        artifacts.add_packs()
        versions = artifacts.add_versions([described for described, _ in runs])
        self.broken.extend(
            find_missing(self._layout, [each for each, _ in runs], versions, self._restorer.known)
        )
        artifacts.add_aliases()
        for described, run in runs:
            artifacts.add_uses(described, run)
            if any(segment.segment in self._crashed for segment in described.segments):
                refresh_run(self._session, run, Aggregates(self._layout.root, inside=True))
            else:
                self._note_new(run)
        self._insert_fields()
        self.broken.extend(self._restorer.broken)
        self.runs, self.versions = len(runs), len(artifacts.versions)

    def _add_deleted(self, tombstones: list[tuple[Path, PublishedDeletion]]) -> None:
        """Add the deleted runs. A description of one whose segments belong to a run has no effect."""
        places = set()
        for path, kept in self._files.read_all(self._layout.kept_runs(), KeptRun):
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
        for _, described in self._files.read_all(self._layout.list_moves(), PublishedMoves):
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
            if described.segment in self._files.journals:
                self._set_offset_to_end(added)
            return
        added.adopted = described.sequence
        files = self._files.journals.get(described.segment, [])
        if files and described.segment not in self._files.from_former:
            self._apply_again(run, added, described, files)
            return
        parts = self._add_parts(added, described.parts)
        self._add_captured(added, described.captured)
        if described.segment in self._files.from_former:
            self._insert()
            state, kept = self._restorer.copy_segment(self._session, added), "the former catalog"
            whole = limit_offset(added, files)
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
        if not has_all_records(files, described.sequence):
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
        files = self._files.journals[sealed.segment]
        try:
            if any(sequence >= sealed.sequence for sequence in sequences_of(files)):
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


def _is_deleted(run: PublishedRun, tombstones: dict[RunPath, PublishedDeletion]) -> bool:
    """Return whether a run was deleted. A run whose segments the tombstone does not name was not."""
    found = tombstones.get((run.entity, run.project, run.id))
    newest = max((each.started_at for each in run.segments), default=0.0)
    own = {each.segment for each in run.segments}
    return found is not None and is_covered(found.segments, found.time, own, newest)
