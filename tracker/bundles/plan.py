"""The changes that a source of runs would make in a store. Nothing is changed yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from tracker.bundles.journal_check import CheckedJournal, check_journal
from tracker.bundles.manifest import BundledRun, BundleError, Source
from tracker.ground.names import RunPath
from tracker.runstate.collection import CollectionPath, CollectionState, RecordId
from tracker.store.blobs.packs import AT_ONCE
from tracker.store.catalog.models import Alias, Project, Run, Segment, Version
from tracker.store.ingest.contents import missing_contents
from tracker.store.published.moves import read_moves
from tracker.store.published.versions import alias_moved_at, describe, find_collection
from tracker.store.store import Store


class CopiedVersion(NamedTuple):
    """A version of the source.

    Attributes:
        collection: Entity, project and name of the collection.
        number: Its number in the source.
        copy: Its number in the store.
        added: Whether it is a new version there.
        alias: The alias with its old number, if the copy has another number.
    """

    collection: CollectionPath
    number: int
    copy: int
    added: bool
    alias: str | None


class Plan(NamedTuple):
    """The changes that a source would make in a store.

    Attributes:
        new: Runs with segments that the store lacks.
        known: Runs that the store has completely.
        deleted: Runs that were deleted in the store. They are not applied.
        moves: Runs that the source has moved since it sent them: their place in the store, and the new one.
        segments: The segments to apply, in order.
        versions: The artifact versions that these segments log.
        problems: One line for each run that cannot be applied.
    """

    new: list[RunPath]
    known: list[RunPath]
    deleted: list[RunPath]
    moves: list[tuple[RunPath, RunPath]]
    segments: dict[str, CheckedJournal]
    versions: list[CopiedVersion]
    problems: list[str]


def make_plan(source: Source, store: Store) -> Plan:
    """Return what a source would change in a store.

    Raises:
        BundleError: The source cannot be applied: a journal is invalid, or a content is missing.
    """
    manifest = source.manifest
    checked = {
        each.segment: check_journal(source.journal(each.segment), each.segment) for each in manifest.journals
    }
    runs = {run.name: run for run in manifest.runs}
    listed = {each.sha256 for each in manifest.contents}.union(manifest.needs)
    for segment, journal in checked.items():
        if journal.run not in runs:
            raise BundleError(
                f"segment {segment} belongs to run {'/'.join(journal.run)}, which is not listed"
            )
        if not listed.issuperset(journal.contents):
            raise BundleError(
                f"segment {segment} names a content that is not listed. Create the bundle again."
            )
    _require_contents(store, manifest.needs, manifest.after)
    plan = Plan([], [], [], [], {}, [], [])
    with store.reading() as session:
        known = known_segments(session, [*checked, *(name for run in manifest.runs for name in run.segments)])
        accepted = {name for name, run in runs.items() if _accept(store, session, run, known, plan)}
        for segment, journal in checked.items():
            if journal.run in accepted and segment not in known:
                plan.segments[segment] = journal
        plan.versions.extend(_copied_versions(store, session, plan.segments))
    changed = {journal.run for journal in plan.segments.values()}
    for name in runs:
        if name in accepted:
            (plan.new if name in changed else plan.known).append(name)
    return plan


def known_segments(session: Session, names: Iterable[str]) -> dict[str, RunPath | None]:
    """Return the run of each complete segment of the store; None for a segment of a deleted run."""
    found: dict[str, RunPath | None] = {}
    asked = list(dict.fromkeys(names))
    for start in range(0, len(asked), AT_ONCE):
        query = (
            select(Segment.segment, Project.entity, Project.name, Run.run_id)
            .outerjoin(Run, Run.id == Segment.run_id)
            .outerjoin(Project, Project.id == Run.project_id)
            .where(Segment.segment.in_(asked[start : start + AT_ONCE]), Segment.sealed.is_(True))
        )
        for name, entity, project, run_id in session.execute(query):
            found[name] = None if run_id is None else (entity, project, run_id)
    return found


def _require_contents(store: Store, names: list[str], after: list[str]) -> None:
    """Check that the store has the contents that a source leaves out."""
    missing = missing_contents(store, names)
    if missing:
        earlier = f"an earlier bundle ({', '.join(after)})"
        raise BundleError(
            f"{len(missing)} contents that {earlier} had are not in {store.root}. Import that bundle first, "
            "or create this one without --since-last."
        )


def _accept(
    store: Store, session: Session, run: BundledRun, known: dict[str, RunPath | None], plan: Plan
) -> bool:
    """Return whether the segments of a run are applied. If not, note the reason in the plan."""
    name = "/".join(run.name)
    places = {known[segment] for segment in run.segments if segment in known}
    if None in places:
        plan.deleted.append(run.name)
        return False
    elsewhere = next((place for place in places if place != run.name), None)
    if elsewhere is not None:
        if not read_moves(store.layout, run.name):  # else the run was moved in this store, which stays so
            plan.moves.append((elsewhere, run.name))
        return True
    if not places and run.segments and _exists(session, run.name):
        plan.problems.append(
            f"another run {name} exists in {store.root}, so this one is not copied. To have both, move one "
            f"of them to another project first: tracker mv {name} PROJECT"
        )
        return False
    return True


def _exists(session: Session, name: RunPath) -> bool:
    entity, project, run_id = name
    query = select(Run.id).join(Project, Project.id == Run.project_id)
    found = query.where(Project.entity == entity, Project.name == project, Run.run_id == run_id)
    return session.scalar(found) is not None


def _copied_versions(
    store: Store, session: Session, segments: dict[str, CheckedJournal]
) -> Iterable[CopiedVersion]:
    """Yield the versions that segments log, with the numbers that they get in a store."""
    states: dict[CollectionPath, CollectionState] = {}
    for segment, journal in segments.items():
        for sequence, record in journal.artifacts:
            place = (*record.place(journal.started), record.name)
            if place not in states:
                states[place] = _load(store, session, place)
            outcome = states[place].log(record, journal.run[2], RecordId(segment, sequence))
            if record.number is not None:
                same = outcome.number == record.number
                alias = None if same or record.origin is None else f"{record.origin}-v{record.number}"
                yield CopiedVersion(place, record.number, outcome.number, outcome.added, alias)


def _load(store: Store, session: Session, place: CollectionPath) -> CollectionState:
    """Return all versions and aliases of a collection."""
    state = CollectionState(place)
    row = find_collection(session, *place)
    if row is not None:
        state.type = row.type
        for version in session.scalars(select(Version).where(Version.collection_id == row.id)):
            state.versions[version.index] = describe(session, version)
        named = select(Alias.alias, Version.index).join(Version, Version.id == Alias.version_id)
        for alias, number in session.execute(named.where(Alias.collection_id == row.id)):
            state.aliases[alias] = number
            state.moved_at[alias] = alias_moved_at(store.layout, place, alias) or 0.0
    return state
