"""Replay of an ended run: records from the catalog and Parquet files that give the same run when applied.

These records are needed to send a run to a server, as the journals of a sealed segment are deleted. Each
segment is replayed under its own id. The data of the run as a whole (files, uses, links, edits) is an extra
segment. Its id is a digest of its content, so the same content is the same segment, and later edits make a
new one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.errors import ArtifactError, NotFoundError
from tracker.ground.records import (
    COMMIT,
    OUTSIDE,
    ArtifactChanged,
    ArtifactLinked,
    ArtifactLogged,
    ArtifactUsed,
    ConsoleLines,
    FileSaved,
    Record,
    Row,
    RunChanged,
    RunEdited,
    RunFinished,
    RunStarted,
    SegmentRestored,
    SystemSample,
    VersionValues,
    pack,
)
from tracker.runstate.collection import parse_version_name
from tracker.runstate.edits import EDITABLE, KEYED, Edits
from tracker.runstate.fold import FinishedRow, SegmentState, unpack_state
from tracker.store.blobs.manifest import read_manifest
from tracker.store.catalog.hot_rows import read_hot
from tracker.store.catalog.models import (
    ArtifactUse,
    Collection,
    Part,
    Project,
    Run,
    RunFile,
    Segment,
    Version,
)
from tracker.store.history.captured import STREAM_NUMBERS, captured_rows
from tracker.store.published.versions import alias_moved_at, aliases_of, path_of
from tracker.store.queries.visible import EVERYTHING, Visible
from tracker.store.store import Store

# The largest number of output lines in one record.
_LINES = 500
# Fields of the state that other records restore, or that only an unfinished segment has.
_NOT_RESTORED = ("started", "finished", "open", "changes", "drafts")


class Replay(NamedTuple):
    """The records of a replayed segment.

    Attributes:
        segment: The id of the segment.
        records: The records in order.
        left_out: One line for each artifact or file whose content is not in the store.
    """

    segment: str
    records: Iterable[Record]
    left_out: list[str]


def replay_segment(
    store: Store, segment_id: int, origin: str | None = None, visible: Visible = EVERYTHING
) -> Replay:
    """Return the records of an ended segment.

    Applied in order, the records give the same rows, values, summary, samples, output and artifact versions.
    They are read during the iteration, which raises StoreError if a part is damaged.

    Args:
        store: The store that has the segment.
        segment_id: The segment's number in the catalog.
        origin: Name of the store. With it, the versions keep their numbers where these are free: see
            ``ArtifactLogged``.
        visible: Leave out the artifact versions of other projects.
    """
    left_out: list[str] = []
    with store.reading() as session:
        segment = session.get_one(Segment, segment_id)
        state = unpack_state(segment.state)
        run = session.get_one(Run, segment.run_id)
        if state.started is not None:  # the run may have been moved after the segment began
            place = (run.project.entity, run.project.name)
            state.started = msgspec.structs.replace(state.started, entity=place[0], project=place[1])
        parts = session.scalars(
            select(Part.path).where(Part.segment_id == segment_id).order_by(Part.first_row, Part.id)
        ).all()
        artifacts = [*_artifacts(store, session, segment.segment, run.project, origin, visible, left_out)]
    return Replay(segment.segment, _segment_records(store, segment_id, state, parts, artifacts), left_out)


def _segment_records(
    store: Store,
    segment_id: int,
    state: SegmentState,
    parts: Iterable[str],
    artifacts: Iterable[ArtifactLogged],
) -> Iterator[Record]:
    from tracker.store.history.parquet import read_part_rows

    started = state.started
    assert started is not None  # a sealed segment belongs to a run
    yield started
    for field, change in state.changes.items():
        values: Any = {field: change.value}
        yield RunChanged(change.time, values)
    for path in parts:
        for row in read_part_rows(store.root / path):
            yield Row(row.row, row.step, COMMIT, _time_of_call(row, started), row.data)
    with store.reading() as session:
        for row in read_hot(session, segment_id):  # only in a private copy, which does not seal
            yield Row(row.row, row.step, COMMIT, _time_of_call(row, started), row.data)
        for row in captured_rows(session, segment_id, "system", store.root):
            yield SystemSample(row.time, row.data)
        lines = captured_rows(session, segment_id, "console", store.root)
        for time, group in groupby(lines, key=lambda line: line.time):
            same = [(line.row, STREAM_NUMBERS[line.data["stream"]], line.data["text"]) for line in group]
            for at in range(0, len(same), _LINES):
                yield ConsoleLines(time, same[at : at + _LINES])
    yield from artifacts
    names = [name for name in SegmentState.__struct_fields__ if name not in _NOT_RESTORED]
    yield SegmentRestored({name: msgspec.to_builtins(getattr(state, name)) for name in names})
    if state.finished is not None:
        yield state.finished


def replay_run(
    store: Store, run_id: int, *, with_artifact_edits: bool = False, visible: Visible = EVERYTHING
) -> Replay:
    """Return a run's files, uses, links and edits as an extra segment of rank ``OUTSIDE``.

    Args:
        store: The store that has the run.
        run_id: The run's number in the catalog.
        with_artifact_edits: Also return the edits of versions that the run logged. The receiver needs them if
            it may have the versions already.
        visible: Leave out uses of artifacts, links and edits of other projects.

    Returns:
        The segment; without records if there is no such data.
    """
    left_out: list[str] = []
    with store.reading() as session:
        run = session.get_one(Run, run_id)
        data: list[Record] = [
            *_files(store, session, run, left_out),
            *_uses(session, run, visible),
            *_links(session, run, visible),
            *_edits(run.edits),
            *(_artifact_edits(store, session, run, visible) if with_artifact_edits else ()),
        ]
        first = session.scalars(select(Segment).where(Segment.run_id == run_id).order_by(Segment.id)).first()
        started = unpack_state(first.state).started if first is not None else None
        if not data or started is None:
            return Replay("", [], left_out)
        begin = RunStarted(
            run.project.entity, run.project.name, run.run_id, run.created_at, started.process, rank=OUTSIDE
        )
    records = [begin, *data, RunFinished(run.created_at, "finished")]
    digest = hashlib.sha256(b"".join(map(pack, records))).hexdigest()
    return Replay(digest[:32], records, left_out)


def was_moved(store: Store, run_id: int) -> bool:
    """Return whether a run is in another project than its first segment recorded.

    Args:
        store: The store that has the run.
        run_id: The run's number in the catalog.
    """
    with store.reading() as session:
        run = session.get_one(Run, run_id)
        first = session.scalars(select(Segment).where(Segment.run_id == run_id).order_by(Segment.id)).first()
        started = unpack_state(first.state).started if first is not None else None
    own = (run.project.entity, run.project.name)
    return started is not None and (started.entity, started.project) != own


def _time_of_call(row: FinishedRow, started: RunStarted) -> float:
    """Return the time of the ``log`` call of a row, from which the row's runtime was computed.

    The time gives the same runtime to the last bit. A row's own time is different if the script logged
    ``_timestamp``.
    """
    near = row.runtime - started.runtime_base + started.time
    below, above = math.nextafter(near, -math.inf), math.nextafter(near, math.inf)
    for time in (row.time, near, below, above):
        if time - started.time + started.runtime_base == row.runtime:
            return time
    return near


def _artifacts(
    store: Store,
    session: Session,
    segment: str,
    project: Project,
    origin: str | None,
    visible: Visible,
    left_out: list[str],
) -> Iterator[ArtifactLogged]:
    """Yield records for the versions that a segment of a run in ``project`` logged, without deleted ones."""
    found = select(Version).where(
        Version.segment == segment, Version.deleted_at.is_(None), Version.source.is_(None)
    )
    for version in session.scalars(visible.limit_versions(found).order_by(Version.sequence)):
        name = version.collection.name
        try:
            whole = all(map(store.blobs.has, read_manifest(store.blobs, version.manifest).blobs))
        except (NotFoundError, ArtifactError):
            whole = False
        if not whole:
            left_out.append(f"artifact {name}:v{version.index}: its content is not in {store.layout.source}")
            continue
        expires = version.expires_at
        yield ArtifactLogged(
            name,
            version.collection.type,
            version.digest,
            version.manifest,
            version.size,
            version.file_count,
            aliases_of(session, version),
            hashlib.sha256(f"{segment}:{version.sequence}".encode()).hexdigest()[:32],
            version.created_at,
            version.description,
            version.attributes,
            version.tags,
            None if expires is None else max(0.0, expires - version.created_at),
            number=None if origin is None else version.index,
            origin=origin,
            **_elsewhere(version, project),
        )


def _elsewhere(version: Version, project: Project) -> dict[str, str]:
    """Return the fields of a record for a version that is not in the project of its run."""
    own = version.collection.project
    return {} if own.id == project.id else {"entity": own.entity, "project": own.name}


def _files(store: Store, session: Session, run: Run, left_out: list[str]) -> Iterator[FileSaved]:
    files = session.scalars(select(RunFile).where(RunFile.run_id == run.id).order_by(RunFile.path))
    for file in files:
        if store.blobs.has(file.sha256):
            yield FileSaved(file.path, file.sha256, file.size, file.mimetype)
        else:
            left_out.append(
                f"file {file.path} of run {run.run_id}: its content is not in {store.layout.source}"
            )


def _uses(session: Session, run: Run, visible: Visible) -> Iterator[ArtifactUsed]:
    found = (
        select(Project.entity, Project.name, Collection.name, Version, ArtifactUse.used_at)
        .join_from(ArtifactUse, Version, Version.id == ArtifactUse.version_id)
        .join(Collection, Collection.id == Version.collection_id)
        .join(Project, Project.id == Collection.project_id)
        .where(ArtifactUse.run_id == run.id)
        .order_by(ArtifactUse.used_at, Version.id)
    )
    for entity, project, name, version, used_at in session.execute(visible.limit(found, Project.id)):
        yield ArtifactUsed(entity, project, name, version.index, used_at, version.digest)


def _links(session: Session, run: Run, visible: Visible) -> Iterator[ArtifactLinked]:
    """Yield records for the links to versions that the run logged. Any run or person can make such links."""
    links = select(Version).where(
        Version.run_id == run.id, Version.deleted_at.is_(None), Version.source.is_not(None)
    )
    for link in session.scalars(visible.limit_versions(links).order_by(Version.id)):
        if visible.source(link.source) is None:
            continue
        place, number = parse_version_name(str(link.source))
        target = link.collection
        yield ArtifactLinked(
            *place,
            number,
            link.digest,
            target.project.entity,
            target.project.name,
            target.name,
            aliases_of(session, link),
            link.created_at,
        )


def _artifact_edits(store: Store, session: Session, run: Run, visible: Visible) -> Iterator[ArtifactChanged]:
    """Yield records for the changes of a run's versions, and of their aliases, since they were logged."""
    versions = select(Version).where(Version.run_id == run.id, Version.deleted_at.is_(None))
    for version in session.scalars(visible.limit_versions(versions).order_by(Version.id)):
        named = (*path_of(version.collection), version.index, version.digest)
        if version.source is None and version.updated_at > version.created_at:
            values: VersionValues = {
                "description": version.description,
                "metadata": version.attributes,
                "tags": version.tags,
                "expires_at": version.expires_at,
            }
            yield ArtifactChanged(*named, version.updated_at, values=values)
        for alias in aliases_of(session, version):
            moved_at = alias_moved_at(store.layout, path_of(version.collection), alias)
            if alias != "latest" and moved_at is not None and moved_at > version.created_at:
                yield ArtifactChanged(*named, moved_at, aliases_added=[alias])


def _edits(edits: Edits) -> Iterator[RunEdited]:
    """Yield records for a run's edits, one record for all edits of the same time."""
    moments: dict[float, dict[str, Any]] = {}
    for field in edits:
        if field in EDITABLE:
            moments.setdefault(edits[field]["time"], {})[field] = edits[field]["value"]
        elif field in KEYED:
            for key, edit in edits[field].items():
                values = moments.setdefault(edit["time"], {})
                if edit.get("removed"):
                    values.setdefault(f"{field}_removed", []).append(key)
                else:
                    values.setdefault(field, {})[key] = edit["value"]
    for time in sorted(moments):
        yield RunEdited(time, moments[time])
