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

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

from tracker.errors import StoreError
from tracker.store.catalog import database
from tracker.store.catalog.lease_holder import Hold
from tracker.store.catalog.models import (
    ApiKey,
)
from tracker.store.catalog.sqlite import fold, open_engine
from tracker.store.ingest.people import add_people
from tracker.store.objects.atomic_files import sync_file
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import is_marked_with_people, mark_with_people
from tracker.store.published.models import (
    read_published_model,
)
from tracker.store.published.people import PublishedPeople, lost_people, publish_people, read_people
from tracker.store.recovery.catalog_builder import CatalogBuilder
from tracker.store.recovery.old_catalog import OldCatalog, copy_audit_log, install, read_old_catalog
from tracker.store.recovery.restore_files import Restorer


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
                builder = CatalogBuilder(layout, session, former, restorer)
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
    return Rebuilt(builder.runs, builder.versions, users, keys, audited, kept, *found)


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
            builder = CatalogBuilder(layout, session, None, restorer, repairs=False)
            builder.build()
    finally:
        engine.dispose()
    return builder.broken
