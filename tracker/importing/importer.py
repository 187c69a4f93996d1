"""Import of sources into a store: each source becomes a segment of a run, and is imported only once.

The id of a segment is a digest of the source's identity, so another import of the same source finds it. The
config of the run records how far the source was read (``_wandb.imported``). If the source has grown since,
the new rows become another segment of the run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import msgspec
from sqlalchemy import select

from tracker.errors import Error, NotFoundError
from tracker.ground.names import RunPath, check_entity, check_project, check_run_id
from tracker.ground.records import FileSaved, RunStarted
from tracker.ground.terminal import Progress
from tracker.importing.output import Output
from tracker.importing.source import Source, UnreadableError
from tracker.importing.wire import WireError
from tracker.runstate.fold import Gone, unpack_state
from tracker.store.catalog.models import Project, Run, Segment
from tracker.store.ingest.apply import apply_journal, finish_segment
from tracker.store.ingest.seal import seal
from tracker.store.objects.layout import JournalPath
from tracker.store.store import Store

AnyOutput = TypeVar("AnyOutput", bound=Output)


@dataclass(slots=True)
class Imported:
    """The result for one source.

    Attributes:
        status: ``"new"`` (the run did not exist), ``"added"`` (rows were added to an existing run),
            ``"unchanged"``, ``"deleted"`` (the run was deleted in this store) or ``"failed"``.
        problems: Data that was not imported, and why: one line for each problem.
    """

    kind: str
    path: str
    entity: str
    project: str
    run: str
    status: str = "new"
    rows: int = 0
    files: int = 0
    artifacts: int = 0
    problems: list[str] = field(default_factory=list)


class Earlier(NamedTuple):
    """Earlier imports of a source.

    Attributes:
        segments: Number of segments.
        position: How far the source was read; None without a segment.
        complete: Whether the source contained the end of its run.
        deleted: Whether the run was deleted.
        last_step: The last step of the segments.
        attempt: The number of the newest segment's attempt.
    """

    segments: int = 0
    position: Any = None
    complete: bool = False
    deleted: bool = False
    last_step: int | None = None
    attempt: int = -1


class Importer:
    """Imports sources into a store.

    Args:
        store: The store; None only counts what would be imported into a new store.
        entity: Entity of the runs.
        project: Project of sources that do not name one.
        override: Project of all sources, if the user has chosen one.
        dry_run: Whether to only count.
    """

    def __init__(
        self,
        store: Store | None,
        entity: str,
        project: str,
        *,
        override: str | None = None,
        dry_run: bool = False,
    ) -> None:
        self._store = store
        self._entity = check_entity(entity)
        self._project = check_project(project)
        self._override = check_project(override) if override is not None else None
        self._dry_run = dry_run

    def run(self, sources: list[Source], *, silent: bool = False) -> Iterator[Imported]:
        """Import the sources in the order of their start, and yield the result of each."""
        ordered = sorted(sources, key=lambda each: (each.origin.started_at, each.origin.identity))
        progress = Progress("importing", sum(each.origin.size for each in ordered), silent=silent)
        whole = False
        try:
            for source in ordered:
                yield self._import(source, progress)
            whole = True
        finally:
            progress.close(whole=whole)

    def _import(self, source: Source, progress: Progress) -> Imported:
        origin = source.origin
        project = self._override or origin.project or self._project
        found = Imported(origin.kind, str(origin.path), self._entity, project, origin.run_id)
        read = 0
        try:
            place, identity = self.locate(source)
            earlier = self.find_earlier(identity)
            if earlier.deleted or earlier.complete:
                found.status = "deleted" if earlier.deleted else "unchanged"
                return found
            with self.output(source, place, identity, earlier, Output) as out:
                known = self._run_exists(place)
                for done in source.read(out, earlier.position):
                    if done - read > 1 << 20:
                        progress.add(done - read)
                        read = done
                found.problems += out.problems
                if out.started is None:
                    raise UnreadableError("it contains no run")
                if earlier.segments and out.is_empty and source.position == earlier.position:
                    found.status = "unchanged"
                    return found
                found.status = "added" if known else "new"
                found.rows, found.files, found.artifacts = out.rows, out.files, out.artifacts
                journal = out.publish(describe(source))
                if journal is not None:
                    self._apply(journal, out)
        except (UnreadableError, WireError, OSError, Error) as error:
            found.status = "failed"
            found.problems.append(_line(error))
        finally:
            progress.add(origin.size - read)
        return found

    def locate(self, source: Source) -> tuple[RunPath, str]:
        """Return the run of a source, and its identity in the store.

        Raises:
            UsageError: The name of the project or the id of the run is invalid.
        """
        origin = source.origin
        project = check_project(self._override or origin.project or self._project)
        place = (self._entity, project, check_run_id(origin.run_id))
        return place, "\0".join((origin.kind, *place, origin.identity))

    def output(
        self,
        source: Source,
        place: RunPath,
        identity: str,
        earlier: Earlier,
        make: type[AnyOutput],
    ) -> AnyOutput:
        """Return the output for the next segment of a source.

        Args:
            source: The source.
            place: Its run: see ``locate``.
            identity: See ``locate``.
            earlier: What ``find_earlier`` has returned.
            make: The class of the output.
        """
        entity, project, run_id = place
        fields: dict[str, Any] = {"entity": entity, "project": project, "run_id": run_id}
        started_at = source.origin.started_at
        last_step, runtime = self._run_so_far(place, started_at)
        if earlier.segments:
            fields["attempt"] = earlier.attempt + 1
            # The rows follow those of the earlier segments, and hide none of them.
            fields["start_step"] = (earlier.last_step if earlier.last_step is not None else -1) + 1
        else:
            fields["attempt"] = self._next_attempt(place, started_at)
        return make(
            None if self._dry_run or self._store is None else self._store.layout,
            _segment(identity, earlier.segments),
            fields,
            before=earlier.segments > 0,
            last_step=earlier.last_step,
            run_step=last_step,
            run_seconds=runtime,
            copy=self._copier(source, place) if not earlier.segments else None,
            source=source.origin.path,
        )

    def _copier(self, source: Source, place: RunPath) -> Any:
        """Return a function that copies the rows of the run from which the source was forked; else None."""
        parent = source.parent
        if parent is None or parent.run_id == place[2] or self._store is None:
            return None
        from tracker.reading.local import LocalReader

        reader = LocalReader(self._store, follows=False)
        of = (place[0], place[1], parent.run_id)

        def copy(out: Output, started: RunStarted) -> RunStarted:
            try:
                before = reader.run(*of)
                rows = [row for row in reader.history(*of, None, False) if row["_step"] <= parent.step]
            except NotFoundError:
                out.problems.append(
                    f"the rows before step {parent.step + 1} are missing, because run {parent.run_id}, from "
                    "which this run was forked, was not imported before it"
                )
                return started
            runtime = max((row.get("_runtime") or 0.0 for row in rows), default=0.0)
            out.copied = [
                (row["_step"], started.time + (row.get("_runtime") or 0.0) - runtime, _without_derived(row))
                for row in rows
            ]
            out.copied_files = [
                FileSaved(each.path, each.sha256, each.size, each.mimetype)
                for each in reader.files(*of)
                if each.path.startswith("media/")
            ]
            inherited = {key: value for key, value in before.config.items() if key != "_wandb"}
            return msgspec.structs.replace(started, config={**inherited, **started.config})

        return copy

    def find_earlier(self, identity: str) -> Earlier:
        """Return what earlier imports of a source have written."""
        found = Earlier()
        if self._store is None:
            return found
        with self._store.reading() as session:
            while True:
                name = _segment(identity, found.segments)
                segment = session.scalar(select(Segment).where(Segment.segment == name))
                if segment is None:
                    return found
                state = unpack_state(segment.state)
                imported = (state.config.get("_wandb") or {}).get("imported") or {}
                steps = [step for step in (found.last_step, state.last_step) if step is not None]
                found = Earlier(
                    found.segments + 1,
                    imported.get("position"),
                    bool(imported.get("complete")),
                    found.deleted or segment.run_id is None,
                    max(steps, default=None),
                    segment.attempt,
                )

    def _run_exists(self, place: RunPath) -> bool:
        return bool(self._segments(place))

    def _next_attempt(self, place: RunPath, started_at: float) -> int:
        before = [each.attempt for each in self._segments(place) if each.started_at <= started_at]
        return max(before, default=-1) + 1

    def _run_so_far(self, place: RunPath, started_at: float) -> tuple[int | None, float]:
        """Return the last step and the duration of the attempts that started before a time."""
        states = [unpack_state(each.state) for each in self._segments(place) if each.started_at < started_at]
        steps = [state.last_step for state in states if state.last_step is not None]
        return max(steps, default=None), max((state.runtime for state in states), default=0.0)

    def _segments(self, place: RunPath) -> list[Segment]:
        if self._store is None:
            return []
        entity, project, run_id = place
        query = (
            select(Segment)
            .join(Run, Segment.run_id == Run.id)
            .join(Project, Run.project_id == Project.id)
            .where(Project.entity == entity, Project.name == project, Run.run_id == run_id, Segment.rank == 0)
        )
        with self._store.reading() as session:
            return list(session.scalars(query))

    def _apply(self, journal: JournalPath, out: Output) -> None:
        """Apply the journal of an imported segment, record the end of its run, and seal the segment."""
        assert self._store is not None
        while apply_journal(self._store, journal, final=True).records:
            pass
        if not out.finished:
            gone = Gone("process gone", out.last_time)
            finish_segment(self._store, journal.segment, "crashed", gone=gone)
        with self._store.reading() as session:
            segment = session.scalar(select(Segment.id).where(Segment.segment == journal.segment))
        if segment is not None:
            seal(self._store, segment)


def describe(source: Source) -> dict[str, Any]:
    """Return the origin of a segment, and how far its source was read, for the config of the segment."""
    return {
        "kind": source.origin.kind,
        "path": str(source.origin.path),
        "position": source.position,
        "complete": source.complete,
    }


def _segment(identity: str, number: int) -> str:
    """Return the id of a source's segment: 32 hex digits."""
    return hashlib.sha256(f"tracker-import\0{identity}\0{number}".encode()).hexdigest()[:32]


def _without_derived(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in ("_step", "_runtime")}


def _line(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror or error}"
    return str(error.message if isinstance(error, Error) else error).splitlines()[0]
