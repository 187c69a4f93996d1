"""What people change of artifact versions without a run: applied at once, like a journal's records."""

from __future__ import annotations

import os

from sqlalchemy.orm import Session

from tracker.errors import NotFoundError
from tracker.ground.read_models import ArtifactDetail
from tracker.ground.records import ArtifactChanged, ArtifactLinked
from tracker.store.catalog.models import Run, Version
from tracker.store.ingest.artifacts import add_link, apply_change
from tracker.store.ingest.run_row import note_change
from tracker.store.queries.artifacts import artifact_detail
from tracker.store.store import Store


def change_artifact(store: Store, change: ArtifactChanged) -> ArtifactDetail:
    """Change what is said of a version, or delete it; return it as it is, or was.

    Raises:
        NotFoundError: There is no such version.
    """
    place = (change.entity, change.project, change.name)
    with store.writing() as session:
        before = artifact_detail(session, *place, f"v{change.version}")
        version = apply_change(store, session, change)
        if version is None:
            raise NotFoundError(f"there is no artifact {'/'.join(place)}:v{change.version} in this store")
        note_version(session, version)
        return before if change.deleted else artifact_detail(session, *place, f"v{version.index}")


def link_artifact(store: Store, link: ArtifactLinked) -> None:
    """Link a version into another collection.

    Raises:
        NotFoundError: There is no such version.
    """
    with store.writing() as session:
        # A name of its own for what no run's record asked for.
        version = add_link(store, session, link, os.urandom(16).hex(), 0)
        if version is None:
            raise NotFoundError(
                f"there is no artifact {link.entity}/{link.project}/{link.name}:v{link.version} in this store"
            )
        note_version(session, version)


def note_version(session: Session, version: Version) -> None:
    """Let whoever watches the run that logged it know."""
    run = session.get(Run, version.run_id) if version.run_id is not None else None
    if run is not None:
        note_change(session, run)
