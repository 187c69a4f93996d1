"""``run.json``: the published description of a run.

A rebuild restores the catalog from these files, and hosts that do not hold the catalog read them.
"""

from __future__ import annotations

import time

from sqlalchemy import case, select
from sqlalchemy.orm import Session

from tracker.runstate.edits import is_archived
from tracker.runstate.fold import unpack_state
from tracker.store.catalog.database import check_lease
from tracker.store.catalog.models import (
    ArtifactUse,
    CapturedPart,
    Collection,
    Part,
    Project,
    Run,
    RunFile,
    Segment,
    Version,
)
from tracker.store.objects.checksummed_json import publish_checksummed
from tracker.store.objects.layout import Layout
from tracker.store.published.models import (
    FORMAT,
    PublishedCapture,
    PublishedFile,
    PublishedLogged,
    PublishedPart,
    PublishedRun,
    PublishedSegment,
    PublishedUse,
)

# Columns of a run that have the same name in the run's file.
_COLUMNS = (
    *("name", "state", "created_at", "updated_at", "finished_at", "duration", "last_step", "exit_code"),
    *("error", "reason", "last_seen", "group", "job_type", "tags", "notes", "host", "program"),
    *("config", "summary", "edits"),
)
# Shortest interval between two updates of the file of an active run; its journal has newer records.
REFRESH_SECONDS = 5.0


def publish_run(layout: Layout, session: Session, run: Run, *, now: bool = True) -> None:
    """Write ``run.json`` of a run: everything about the run in the catalog except its unsealed rows.

    Args:
        layout: The paths of the store.
        session: A transaction that sees the run in the state to publish.
        run: The run.
        now: Whether to write even if the file is younger than ``REFRESH_SECONDS``.
    """
    path = layout.run_file(run.project.entity, run.project.name, run.run_id)
    if not now:
        try:
            if time.time() - path.stat().st_mtime < REFRESH_SECONDS:
                return
        except FileNotFoundError:
            pass
    described = describe_run(session, run).to_json()
    check_lease(session)
    publish_checksummed(layout.new_temporary(), path, described)


def new_run_row(described: PublishedRun, project: Project, number: int | None) -> Run:
    """Return a new row for a run.

    Args:
        described: Content of the run's file.
        project: Project of the run.
        number: ``Run.id`` of the row; None for the next free number.
    """
    return Run(
        id=number,
        project_id=project.id,
        project=project,
        run_id=described.id,
        archived=is_archived(described.edits),
        revision=0,
        **{name: getattr(described, name) for name in _COLUMNS},
    )


def describe_run(session: Session, run: Run) -> PublishedRun:
    """Return the content of ``run.json``."""
    session.flush()
    segments = session.scalars(select(Segment).where(Segment.run_id == run.id).order_by(Segment.id)).all()
    files = session.scalars(select(RunFile).where(RunFile.run_id == run.id).order_by(RunFile.path)).all()
    return PublishedRun(
        format=FORMAT,
        entity=run.project.entity,
        project=run.project.name,
        id=run.run_id,
        number=run.id,
        name=run.name,
        state=run.state,
        created_at=run.created_at,
        updated_at=run.updated_at,
        finished_at=run.finished_at,
        duration=run.duration,
        last_step=run.last_step,
        exit_code=run.exit_code,
        error=run.error,
        reason=run.reason,
        last_seen=run.last_seen,
        group=run.group,
        job_type=run.job_type,
        tags=run.tags,
        notes=run.notes,
        host=run.host,
        program=run.program,
        config=run.config,
        summary=run.summary,
        edits=run.edits,
        revision=run.revision,
        files=[PublishedFile(file.path, file.sha256, file.size, file.mimetype) for file in files],
        uses=_describe_uses(session, run),
        versions=_describe_versions(session, run),
        segments=[describe_segment(session, segment) for segment in segments],
    )


def _describe_uses(session: Session, run: Run) -> list[PublishedUse]:
    uses = session.execute(
        select(Project.entity, Project.name, Collection.name, Version.index, ArtifactUse.used_at)
        .join_from(ArtifactUse, Version, Version.id == ArtifactUse.version_id)
        .join(Collection)
        .join(Project)
        .where(ArtifactUse.run_id == run.id)
        .order_by(ArtifactUse.used_at, Collection.name, Version.index)
    )
    return [PublishedUse(*use) for use in uses]


def _describe_versions(session: Session, run: Run) -> list[PublishedLogged]:
    """Describe the versions that a run logged, so that a rebuild can restore versions without a file."""
    fields = (Version.digest, Version.manifest, Version.created_at, Version.segment, Version.sequence)
    elsewhere = Project.id != run.project_id  # the run was moved after it had logged the version
    place = (case((elsewhere, name), else_="") for name in (Project.entity, Project.name))
    versions = session.execute(
        select(Collection.name, Version.index, Collection.type, *fields, *place)
        .join(Collection, Collection.id == Version.collection_id)
        .join(Project, Project.id == Collection.project_id)
        .where(Version.run_id == run.id, Version.source.is_(None), Version.deleted_at.is_(None))
        .order_by(Version.created_at, Version.id)
    )
    return [PublishedLogged(*version) for version in versions]


def describe_segment(session: Session, segment: Segment) -> PublishedSegment:
    """Return the description of a segment in ``run.json``."""
    parts = session.scalars(select(Part).where(Part.segment_id == segment.id).order_by(Part.first_row)).all()
    captured = session.scalars(
        select(CapturedPart)
        .where(CapturedPart.segment_id == segment.id)
        .order_by(CapturedPart.kind, CapturedPart.first_row)
    ).all()
    return PublishedSegment(
        segment=segment.segment,
        rank=segment.rank,
        attempt=segment.attempt,
        started_at=segment.started_at,
        start_step=segment.start_step,
        ended=segment.ended,
        sealed=segment.sealed,
        sequence=max(segment.sequence, segment.adopted),
        parts=[
            PublishedPart(part.path, part.rows, part.first_row, part.last_row, part.size) for part in parts
        ],
        captured=[
            PublishedCapture(part.kind, part.path, part.rows, part.first_row, part.last_row, part.size)
            for part in captured
        ],
        # Without the journal the records cannot be folded again, so keep the state of the fold.
        state=unpack_state(segment.state) if segment.sealed else None,
    )
