"""Versions that are due for deletion: they have expired, or their retention rule does not keep them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.ground.read_models import ArtifactInfo
from tracker.ground.records import ArtifactChanged
from tracker.store.catalog.models import Collection, DeletedRun, Version
from tracker.store.gc.retention import Rule, decide, name_of, rule_for
from tracker.store.ingest.artifact_edits import note_version
from tracker.store.ingest.artifacts import apply_change
from tracker.store.ingest.deletion import purge_run
from tracker.store.objects.layout import Layout
from tracker.store.published.models import KeptRun, read_published_model
from tracker.store.published.versions import find_version
from tracker.store.queries.artifacts import list_artifacts
from tracker.store.store import Store


class DueVersion(NamedTuple):
    """A version that is due for deletion.

    Attributes:
        id: ``Version.id`` of the row.
        version: The version.
        reason: Reason for the deletion.
    """

    id: int
    version: ArtifactInfo
    reason: str

    @property
    def name(self) -> str:
        """``ENTITY/PROJECT/NAME:vN``."""
        return name_of(self.version)


def delete_due(
    store: Store, rules: Sequence[Rule], now: float, *, dry_run: bool
) -> tuple[list[DueVersion], list[str]]:
    """Delete the versions that have expired, and those that the matching rule does not keep.

    Args:
        store: The store.
        rules: Retention rules. Only the first rule that matches a collection applies to it.
        now: Current time in Unix seconds.
        dry_run: Whether to return the versions without deleting them.

    Returns:
        The deleted versions, and messages for the user about versions that are kept.
    """
    gone: list[DueVersion] = []
    ids: set[int] = set()
    notes: list[str] = []
    with store.reading() as session:
        places = [
            (collection.project.entity, collection.project.name, collection.name)
            for collection in session.scalars(select(Collection).order_by(Collection.id))
            if _may_have_due(session, collection, rules, now)
        ]
    for place in places:
        # Selected inside the transaction that deletes, because an alias may move at any time.
        with store.reading() if dry_run else store.writing() as session:
            found, kept_notes = _find_due(store.layout, session, place, rules, now, ids)
            if not dry_run:
                for due in found:
                    _delete(store, session, due, now)
        gone += found
        ids.update(due.id for due in found)
        notes += kept_notes
    return gone, notes


def purge_due(store: Store, now: float, *, dry_run: bool) -> Iterator[tuple[str, int]]:
    """Delete the files of deleted runs whose grace period has ended.

    Args:
        store: The store.
        now: Current time in Unix seconds.
        dry_run: Whether to yield the runs without deleting their files.

    Yields:
        Path of the run, and the size of its parts in bytes.
    """
    due = select(DeletedRun).where(DeletedRun.keep_until <= now).order_by(DeletedRun.id)
    with store.reading() as session:
        rows = session.scalars(due).all()
    for row in rows:
        place = (row.entity, row.project, row.run_id)
        size = 0
        with suppress(OSError, ValueError):
            kept = read_published_model(store.layout.kept_run(*place, row.token), KeptRun)
            for segment in kept.run.segments:
                size += sum(part.size for part in segment.parts) + sum(part.size for part in segment.captured)
        if dry_run or purge_run(store, row.id, now):
            yield "/".join(place), size


def _may_have_due(session: Session, collection: Collection, rules: Sequence[Rule], now: float) -> bool:
    project = collection.project
    if rule_for(rules, project.entity, project.name, collection.name) is not None:
        return True
    expired = select(Version.id).where(
        Version.collection_id == collection.id, Version.deleted_at.is_(None), Version.expires_at <= now
    )
    return session.scalar(expired.limit(1)) is not None


def _find_due(
    layout: Layout,
    session: Session,
    place: tuple[str, str, str],
    rules: Sequence[Rule],
    now: float,
    gone: set[int],
) -> tuple[list[DueVersion], list[str]]:
    entity, project, name = place
    versions = list_artifacts(session, entity, project, name=name)
    reasons = {
        version.version: f"expired on {_date(version.expires_at)}"
        for version in versions
        if version.expires_at is not None and version.expires_at <= now
    }
    notes: list[str] = []
    rule = rule_for(rules, *place)
    if rule is not None:
        decision = decide(rule, [version for version in versions if version.version not in reasons])
        reasons.update((version.version, f"not kept by '{rule.text}'") for version in decision.delete)
        notes += decision.notes
    links = session.execute(
        select(Version.id, Version.source).where(Version.source.is_not(None), Version.deleted_at.is_(None))
    )
    linked = {source for version_id, source in links if version_id not in gone}
    found = []
    for version in versions:
        reason = reasons.get(version.version)
        if reason is None:
            continue
        if name_of(version) in linked:
            notes.append(f"{name_of(version)} is kept although {reason}: another collection links to it")
            continue
        row = find_version(layout, session, place, int(version.version[1:]))
        assert row is not None
        found.append(DueVersion(row.id, version, reason))
    return found, notes


def _delete(store: Store, session: Session, due: DueVersion, now: float) -> None:
    version = due.version
    change = ArtifactChanged(
        version.entity,
        version.project,
        version.name,
        int(version.version[1:]),
        version.digest,
        max(now, version.updated_at),
        deleted=True,
    )
    row = apply_change(store, session, change)
    if row is not None:
        note_version(session, row)


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d")
