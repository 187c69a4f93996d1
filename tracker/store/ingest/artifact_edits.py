"""People's changes of artifact versions, outside of a run. They are applied directly, without a journal."""

from __future__ import annotations

import os
from typing import TypeVar

import msgspec
from sqlalchemy.orm import Session

from tracker.errors import NotFoundError, UsageError
from tracker.ground.read_models import ArtifactDetail
from tracker.ground.records import ArtifactChanged, ArtifactLinked, decode, pack
from tracker.ground.values import to_plain
from tracker.store.catalog.models import Run, Version
from tracker.store.ingest.artifacts import add_link, apply_change
from tracker.store.ingest.run_row import count_change, note_change
from tracker.store.queries.artifacts import artifact_detail
from tracker.store.queries.visible import EVERYTHING, Visible
from tracker.store.store import Store

R = TypeVar("R", ArtifactChanged, ArtifactLinked)


def change_artifact(store: Store, change: ArtifactChanged, visible: Visible = EVERYTHING) -> ArtifactDetail:
    """Change the description of a version, or delete the version.

    Args:
        store: The store.
        change: The change.
        visible: The projects that the caller sees.

    Returns:
        The version after the change; a deleted version as it was before.

    Raises:
        NotFoundError: The version does not exist.
        UsageError: A value cannot be stored.
    """
    change = _as_recorded(change)
    place = (change.entity, change.project, change.name)
    with store.writing() as session:
        before = artifact_detail(session, *place, f"v{change.version}", visible)
        version = apply_change(store, session, change)
        if version is None:
            raise NotFoundError(f"there is no artifact {'/'.join(place)}:v{change.version} in this store")
        note_version(session, version)
        return before if change.deleted else artifact_detail(session, *place, f"v{version.index}", visible)


def link_artifact(store: Store, link: ArtifactLinked) -> None:
    """Link a version into another collection.

    Raises:
        NotFoundError: The version does not exist.
        UsageError: A value cannot be stored.
    """
    link = _as_recorded(link)
    with store.writing() as session:
        # A random segment id, as no record of a run made this link.
        version = add_link(store, session, link, os.urandom(16).hex(), 0)
        if version is None:
            raise NotFoundError(
                f"there is no artifact {link.entity}/{link.project}/{link.name}:v{link.version} in this store"
            )
        note_version(session, version)


def _as_recorded(record: R) -> R:
    """Return a change as a journal would contain it: escapes replace lone surrogates."""
    try:
        to_plain(msgspec.to_builtins(record))  # checks how deeply values are nested
        found: R = decode(pack(record))  # type: ignore[assignment]
    except (TypeError, RecursionError) as error:
        raise UsageError(f"The change cannot be stored: {error}") from None
    return found


def note_version(session: Session, version: Version) -> None:
    """Count a change of the run that logged a version, so that programs that watch the run see the change.

    A link in another project is not a change of the run: readers of the run may not be able to read it.
    """
    run = session.get(Run, version.run_id) if version.run_id is not None else None
    if run is not None and run.project_id == version.collection.project_id:
        note_change(session, run)
    else:
        count_change(session)
