"""Applying a source of runs to a store. It can be interrupted at any point and repeated.

Everything is checked before the store changes (``plan.py``). Then the contents are stored. At last, each
journal gets its name in the store and is applied. An interrupted call leaves contents that garbage collection
deletes, and perhaps a journal. A repeated call skips the contents and the segments that are there.
"""

from __future__ import annotations

import os
import shutil
from typing import NamedTuple

from sqlalchemy import select

from tracker.bundles.manifest import BundleError, Source
from tracker.bundles.plan import Plan, known_segments, make_plan
from tracker.errors import Error, StoreError
from tracker.recorder.follow import Follower
from tracker.store.blobs.manifest import read_manifest
from tracker.store.catalog.models import Segment
from tracker.store.ingest.apply import apply_journal, finish_segment
from tracker.store.ingest.contents import missing_contents
from tracker.store.ingest.moves import move_run
from tracker.store.ingest.seal import seal
from tracker.store.objects.atomic_files import make_folder, sync_file, sync_folder
from tracker.store.objects.layout import JournalPath
from tracker.store.store import Store

# Takes the place of the host in the paths of journals that came from another store.
BUNDLED = "@bundle"


class Received(NamedTuple):
    """The result of applying a source.

    Attributes:
        plan: What was to be changed.
        segments: The segments of the source that the store now has on its disk.
        contents: The contents of the source that the store now has on its disk.
        problems: One line for each item that could not be applied.
    """

    plan: Plan
    segments: list[str]
    contents: list[str]
    problems: list[str]

    @property
    def complete(self) -> bool:
        """Whether the store has everything that the source has."""
        return not (self.problems or self.plan.deleted)


def receive(source: Source, store: Store) -> Received:
    """Apply a source to a store. Data that the store has is not applied again.

    Args:
        source: The source.
        store: The store.

    Raises:
        BundleError: The source cannot be applied. No run, artifact or file of the store has changed.
        StoreError: The disk is full, or the store cannot be written. A repeated call does the rest.
    """
    Follower(store).poll()  # also continues a journal of an interrupted call
    plan = make_plan(source, store)
    _store_contents(source, store)
    _check_entries(store, plan)
    problems = [*plan.problems]
    for place, target in plan.moves:
        try:
            move_run(store, *place, *target[:2])
        except Error as error:
            problems.append(
                f"run {'/'.join(place)} was moved to {'/'.join(target)} in the source: {error.message}"
            )
    failed: dict[str, str] = {}
    for segment in plan.segments:
        try:
            _apply(source, store, segment)
        except (Error, OSError) as error:
            failed[segment] = str(error)
    with store.reading() as session:
        known = known_segments(session, [each.segment for each in source.manifest.journals])
    durable = [segment for segment, run in known.items() if run is not None]
    for segment in plan.segments:
        if segment not in durable:
            problems.append(f"segment {segment}: {failed.get(segment, 'records wait to be applied')}")
    contents = [each.sha256 for each in source.manifest.contents]
    missing = set(missing_contents(store, contents))
    return Received(plan, durable, [each for each in contents if each not in missing], problems)


def _store_contents(source: Source, store: Store) -> None:
    sizes = {each.sha256: each.size for each in source.manifest.contents}
    missing = set(missing_contents(store, list(sizes)))
    needed = sum(sizes[each] for each in missing) + sum(each.size for each in source.manifest.journals)
    free = shutil.disk_usage(store.root).free
    if needed > free:
        raise StoreError(
            f"{store.root} has {free / 1e9:.1f} GB free, and this needs {needed / 1e9:.1f} GB. "
            "Nothing was changed."
        )
    for content, chunks in source.contents() if missing else ():
        if content.sha256 in missing:
            with store.blobs.open_new() as new:
                for chunk in chunks:
                    new.write(chunk)
                new.keep(content.sha256)
            store.blobs.sync(content.sha256)


def _check_entries(store: Store, plan: Plan) -> None:
    """Check that the store has the files of all artifacts before it gets the artifacts."""
    for journal in plan.segments.values():
        for _, record in journal.artifacts:
            try:
                blobs = read_manifest(store.blobs, record.manifest).blobs
            except Error as error:
                raise BundleError(f"artifact {record.name} cannot be imported: {error.message}") from error
            if missing_contents(store, blobs):
                raise BundleError(
                    f"artifact {record.name} names a content that is not listed. Create the bundle again."
                )


def _apply(source: Source, store: Store, segment: str) -> None:
    """Give the journal of a segment its name in the store, apply it and seal the segment."""
    journal = JournalPath(store.layout.journal(BUNDLED, segment, 0), segment, 0)
    if not journal.path.exists():
        with store.reading() as session:
            if session.scalar(select(Segment.id).where(Segment.segment == segment)) is not None:
                raise StoreError(
                    "other journals of this segment are being applied. Run this command again later."
                )
        make_folder(journal.path.parent)
        sync_file(source.journal(segment))
        os.replace(source.journal(segment), journal.path)
        sync_folder(journal.path.parent)
    while apply_journal(store, journal, final=True).records:
        pass
    with store.reading() as session:
        found = session.scalar(select(Segment).where(Segment.segment == segment))
    if found is not None:
        if found.ended is None:  # its writer died: the records have no end
            finish_segment(store, segment, "crashed")
        seal(store, found.id)
