"""Verification of a store: read every file and compare its content with its checksum.

The files are read in this order: Parquet parts (the name contains a checksum of the file), blobs (the name
is the digest), published files (the last field is a checksum) and journals (each frame has a checksum). The
current file is noted every few seconds, so that an interrupted verification can resume from there.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

from tracker.errors import JournalError, StoreError
from tracker.ground.group_files import create
from tracker.journal.reader import Corrupt, TornTail, read_frames, read_header
from tracker.store.blobs.content import CHUNK
from tracker.store.catalog.models import CapturedPart, Part
from tracker.store.objects.atomic_files import open_regular
from tracker.store.objects.checksummed_json import check
from tracker.store.objects.layout import Layout, blob_name
from tracker.store.published.documents import PublishedDocument, is_document
from tracker.store.published.models import (
    KeptRun,
    PublishedAlias,
    PublishedCollection,
    PublishedDeletion,
    PublishedMoves,
    PublishedRun,
    PublishedVersion,
    read_published_model,
)
from tracker.store.published.people import PublishedPeople
from tracker.store.store import Store

NOTED_SECONDS = 5.0


class Item(NamedTuple):
    """One file to verify.

    Attributes:
        kind: ``part``, ``blob``, ``published`` or ``journal``.
        path: The file.
        size: The size in bytes; 0 if the file is missing.
    """

    kind: str
    path: Path
    size: int


class Verified(NamedTuple):
    """The number of verified files by kind, and the number of these without a checksum (older trackers)."""

    files: dict[str, int]
    unchecked: dict[str, int]


def list_items(store: Store) -> list[Item]:
    """Return all files to verify, in an order that is the same each time."""
    layout = store.layout
    with store.reading() as session:
        parts = [*session.scalars(select(Part.path)), *session.scalars(select(CapturedPart.path))]
    for path in layout.kept_runs():
        with suppress(ValueError, OSError):  # the file itself is verified too
            for segment in read_published_model(path, KeptRun).run.segments:
                parts += [each.path for each in segment.parts] + [each.path for each in segment.captured]
    blobs = [Path(entry.path) for entry in layout.list_blobs()]
    published = [*layout.source.glob("runs/*/*/*/*.json"), *layout.source.glob("runs/*/*/*/deleted/*.json")]
    published += layout.source.glob("documents/*/*/*/*.json")
    published += [*layout.source.glob("artifacts/*/*/*/**/*.json")]
    people = Layout(layout.source).people
    if os.access(people, os.R_OK):  # only its owner can read the file
        published.append(people)
    journals = [journal.path for journal in layout.list_journals()]
    found: list[Item] = []
    named = [store.root / path for path in parts]
    if layout.is_copy:  # leave out parts that this process has just made from journals
        named = [path for path in named if path.is_relative_to(layout.source)]
    for kind, paths in (("part", named), ("blob", blobs), ("published", published), ("journal", journals)):
        found += [Item(kind, path, _size(path)) for path in sorted(paths)]
    return found


def verify(
    store: Store, items: list[Item], say_fault: Callable[[str], None], advance: Callable[[int], None]
) -> Verified:
    """Read all items, except those that an interrupted verification has read already.

    Args:
        store: The store.
        items: The items: see ``list_items``.
        say_fault: Called with a line of text for each fault: a missing or damaged file.
        advance: Called with the size in bytes of each file that was read or skipped.
    """
    files: dict[str, int] = {}
    unchecked: dict[str, int] = {}
    mark = store.layout.verified_to
    begin = _read_mark(mark)
    noted = time.monotonic()
    for item in items:
        place = [item.kind, str(item.path.relative_to(store.layout.source))]
        if begin is not None:
            advance(item.size)
            begin = None if place == begin else begin
            continue
        faults, has_checksum = _read(item)
        for fault in faults:
            say_fault(fault)
        if not has_checksum:
            unchecked[item.kind] = unchecked.get(item.kind, 0) + 1
        files[item.kind] = files.get(item.kind, 0) + 1
        advance(item.size)
        if time.monotonic() - noted > NOTED_SECONDS:
            noted = time.monotonic()
            with open(mark, "w", encoding="utf-8", opener=create) as file:
                json.dump(place, file)
    mark.unlink(missing_ok=True)
    return Verified(files, unchecked)


def forget_mark(layout: Layout) -> None:
    """Make the next verification start from the first file."""
    layout.verified_to.unlink(missing_ok=True)


def _read(item: Item) -> tuple[list[str], bool]:
    """Read a file; return its faults, and whether it has a checksum (True for a file that cannot be read)."""
    try:
        if item.kind == "part":
            return [], _read_part(item.path)
        if item.kind == "published":
            return [], _read_published(item.path)
        if item.kind == "blob":
            _read_blob(item.path)
            return [], True
        return [*_damage(item.path)], True
    except FileNotFoundError:
        # Published files and journals may be removed at any time.
        return [f"{item.path} is missing"] if item.kind in ("part", "blob") else [], True
    except StoreError as error:
        named = error.message if str(item.path) in error.message else f"{item.path}: {error.message}"
        return [named], True
    except (OSError, ValueError) as error:
        return [f"{item.path} is damaged: {error}"], True


def _read_part(path: Path) -> bool:
    """Read a part; return whether its name has checksums."""
    from tracker.store.history.parquet import checksums_of, file_checksum, opened

    checksums = checksums_of(path)
    if checksums.whole is not None:
        if file_checksum(path) != checksums.whole:
            raise StoreError("its checksum is wrong; restore this file from a backup")
        return True
    with opened(path) as file:
        for group in range(file.num_row_groups):
            file.read_row_group(group)
    return checksums.footer is not None


def _read_blob(path: Path) -> None:
    digest = hashlib.sha256()
    with os.fdopen(open_regular(path), "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != blob_name(str(path)):
        raise StoreError("its SHA-256 differs from its name; restore this file from a backup")


def _read_published(path: Path) -> bool:
    """Read a published file; return whether it has a checksum."""
    read_published_model(path, _kind_of(path))
    return check(path.read_bytes())


def _kind_of(path: Path) -> type:
    if path.name == "people.json" and path.with_name("store.json").exists():
        return PublishedPeople
    if path.parent.name == "versions":
        return PublishedVersion
    if path.parent.name == "aliases":
        return PublishedAlias
    if is_document(path):
        return PublishedDocument
    if path.parent.name == "deleted":
        return KeptRun
    kinds: dict[str, type] = {
        "collection.json": PublishedCollection,
        "deleted.json": PublishedDeletion,
        "moved.json": PublishedMoves,
    }
    return kinds.get(path.name, PublishedRun)


def _damage(path: Path) -> Iterator[str]:
    header = read_header(path)
    if header is None:
        yield f"{path} is damaged: its header is incomplete"
        return
    try:
        for outcome in read_frames(path, header.segment, final=True, skip=True):
            if isinstance(outcome, Corrupt):
                yield f"{path} is damaged at bytes {outcome.offset} to {outcome.end}: {outcome.reason}"
            elif isinstance(outcome, TornTail):
                yield f"{path} ends in an unfinished record: {outcome.size} bytes at {outcome.offset}"
    except JournalError as error:
        yield error.message


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _read_mark(mark: Path) -> list[str] | None:
    with suppress(OSError, ValueError):
        found = json.loads(mark.read_text(encoding="utf-8"))
        return found if isinstance(found, list) else None
    return None
