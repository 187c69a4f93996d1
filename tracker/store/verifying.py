"""Reading a whole store again: is every stored byte what was written?

In this order: Parquet parts (page and footer checksums), blobs (their names are their digests), published
files (they decode) and journals (frame checksums). The place is noted every few seconds: an interrupted
verification continues there.
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
from tracker.group_files import create
from tracker.journal.reader import Corrupt, TornTail, read_frames, read_header
from tracker.store.blobs import CHUNK
from tracker.store.files import open_regular
from tracker.store.layout import Layout, blob_name
from tracker.store.models import CapturedPart, Part
from tracker.store.reread import (
    PublishedAlias,
    PublishedCollection,
    PublishedDeletion,
    PublishedRun,
    PublishedVersion,
    reread,
)
from tracker.store.store import Store

NOTED_SECONDS = 5.0


class Item(NamedTuple):
    """One file to read.

    Attributes:
        kind: ``part``, ``blob``, ``published`` or ``journal``.
        path: The file.
        size: Bytes; 0 when it is missing.
    """

    kind: str
    path: Path
    size: int


class Verified(NamedTuple):
    """What was read: how many files of which kind, and parts of older trackers, which have no checksums."""

    files: dict[str, int]
    unchecked: int


def list_items(store: Store) -> list[Item]:
    """Return everything there is to read, in an order that stays."""
    layout = store.layout
    with store.reading() as session:
        parts = [*session.scalars(select(Part.path)), *session.scalars(select(CapturedPart.path))]
    blobs = [Path(entry.path) for entry in layout.list_blobs()]
    published = [*layout.root.glob("runs/*/*/*/*.json"), *layout.root.glob("artifacts/*/*/*/**/*.json")]
    journals = [journal.path for journal in layout.list_journals()]
    found: list[Item] = []
    named = [store.root / path for path in parts]
    for kind, paths in (("part", named), ("blob", blobs), ("published", published), ("journal", journals)):
        found += [Item(kind, path, _size(path)) for path in sorted(paths)]
    return found


def verify(
    store: Store, items: list[Item], say_fault: Callable[[str], None], advance: Callable[[int], None]
) -> Verified:
    """Read all items; what an interrupted verification has read already is passed over.

    Args:
        store: The store.
        items: See ``list_items``.
        say_fault: Called with a line for each file that is missing or damaged.
        advance: Called with the bytes of each file that was read, or passed over.
    """
    files: dict[str, int] = {}
    unchecked = 0
    mark = store.layout.verified_to
    begin = _read_mark(mark)
    noted = time.monotonic()
    for item in items:
        place = [item.kind, str(item.path.relative_to(store.root))]
        if begin is not None:
            advance(item.size)
            begin = None if place == begin else begin
            continue
        for fault in _faults(item):
            say_fault(fault)
        files[item.kind] = files.get(item.kind, 0) + 1
        unchecked += item.kind == "part" and not _has_checksum(item.path)
        advance(item.size)
        if time.monotonic() - noted > NOTED_SECONDS:
            noted = time.monotonic()
            with open(mark, "w", encoding="utf-8", opener=create) as file:
                json.dump(place, file)
    mark.unlink(missing_ok=True)
    return Verified(files, unchecked)


def forget_mark(layout: Layout) -> None:
    """Begin the next verification anew."""
    layout.verified_to.unlink(missing_ok=True)


def _faults(item: Item) -> Iterator[str]:
    try:
        if item.kind == "part":
            _read_part(item.path)
        elif item.kind == "blob":
            _read_blob(item.path)
        elif item.kind == "published":
            reread(item.path, _kind_of(item.path))
        else:
            yield from _damage(item.path)
    except FileNotFoundError:
        if item.kind in ("part", "blob"):  # of the others, some go at any time
            yield f"{item.path} is missing"
    except StoreError as error:
        yield error.message if str(item.path) in error.message else f"{item.path}: {error.message}"
    except (OSError, ValueError) as error:
        yield f"{item.path} is damaged: {error}"


def _read_part(path: Path) -> None:
    from tracker.store.parquet import opened

    with opened(path) as file:
        for group in range(file.num_row_groups):
            file.read_row_group(group)


def _has_checksum(path: Path) -> bool:
    from tracker.store.parquet import has_checksum

    return has_checksum(path)


def _read_blob(path: Path) -> None:
    digest = hashlib.sha256()
    with os.fdopen(open_regular(path), "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != blob_name(str(path)):
        raise StoreError("its bytes are not those that its name stands for; restore this file from a backup")


def _kind_of(path: Path) -> type:
    if path.parent.name == "versions":
        return PublishedVersion
    if path.parent.name == "aliases":
        return PublishedAlias
    kinds: dict[str, type] = {"collection.json": PublishedCollection, "deleted.json": PublishedDeletion}
    return kinds.get(path.name, PublishedRun)


def _damage(path: Path) -> Iterator[str]:
    header = read_header(path)
    if header is None:
        yield f"{path} has no whole header"
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
