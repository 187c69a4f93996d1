"""Files of a run that has ended move into packs: thousands of small images are then one file.

A small file of a run is a blob of its own first. When a segment is sealed, the contents that no pack has yet
are written to a pack, forced to the disk and renamed; one transaction notes where they are; then the blobs
go. A kill leaves a pack that nobody names, or blobs whose content is in a pack too: sealing the segment again
removes the latter, ``tracker gc`` the former.

A blob goes only while the catalog says that its content is in a pack, and only under the lock of a write
transaction, so a version that names the blob itself keeps it (``tracker.store.blobs.packs``). Who names the
content later by a run file finds it in the pack; whoever stores it again makes a blob, which goes when that
run is sealed. Collection of garbage waits for ``locks/naming.lock``, which is shared from the writing of the
pack to its row. A pack that has been there before is touched first, as any blob is that somebody is about to
rely on.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress

from sqlalchemy import select

from tracker.errors import NotFoundError
from tracker.store.blobs.drafts import PACKED_BELOW
from tracker.store.blobs.packs import AT_ONCE, note_pieces, pieces_of, write_pack
from tracker.store.catalog.locks import shared
from tracker.store.catalog.models import RunFile
from tracker.store.store import Store

# Each pack is written, named and its blobs removed before the next: so much is there twice at the most.
PACK_BYTES = 256 * 1024 * 1024


def pack_run_files(store: Store, run_id: int) -> None:
    """Move the small contents of a run's files, of which each is a blob, into packs. Idempotent.

    Args:
        store: Where.
        run_id: The run's number in the catalog.
    """
    query = select(RunFile.sha256).where(RunFile.run_id == run_id, RunFile.size < PACKED_BELOW)
    with store.reading() as session:
        sizes = _sizes_of_blobs(store, session.scalars(query.order_by(RunFile.path)))
        known = pieces_of(session, sizes)
    known = {
        name: piece._replace(size=sizes[name])
        for name, piece in known.items()
        if store.blobs.touch(piece.pack)
    }
    if known:
        with store.writing() as session:
            note_pieces(session, known)
        _remove_blobs(store, list(known))
    fresh = [name for name in sizes if name not in known]
    if len(fresh) < 2:
        return  # one alone is a file either way
    for group in _groups(fresh, sizes):
        with shared(store.layout.naming_lock):
            pieces = write_pack(store.blobs, _read(store, group))
            with store.writing() as session:
                note_pieces(session, pieces)
        _remove_blobs(store, list(pieces))


def _sizes_of_blobs(store: Store, names: Iterable[str]) -> dict[str, int]:
    """Return the sizes of those of the contents that are small blobs under their own names."""
    sizes = {}
    for name in names:
        with suppress(FileNotFoundError):
            found = store.layout.blob(name).lstat()
            if stat.S_ISREG(found.st_mode) and found.st_size < PACKED_BELOW:
                sizes[name] = found.st_size
    return sizes


def _groups(names: Iterable[str], sizes: dict[str, int]) -> Iterator[list[str]]:
    group: list[str] = []
    total = 0
    for name in names:
        if total + sizes[name] > PACK_BYTES:
            yield group
            group, total = [], 0
        group.append(name)
        total += sizes[name]
    yield group


def _read(store: Store, names: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield contents; those that are damaged, or cannot be read, stay where they are."""
    for name in names:
        with suppress(NotFoundError, OSError):
            data = store.blobs.read(name)
            if hashlib.sha256(data).hexdigest() == name:
                yield name, data


def _remove_blobs(store: Store, names: list[str]) -> None:
    """Remove the blobs whose content is in a pack."""
    for start in range(0, len(names), AT_ONCE):
        with store.writing() as session:
            pieces = pieces_of(session, names[start : start + AT_ONCE])
            there = {pack for pack in {each.pack for each in pieces.values()} if store.blobs.touch(pack)}
            store.check_lease()
            for name, piece in pieces.items():
                if piece.pack != name and piece.pack in there:
                    with suppress(OSError):  # another user's stays
                        store.layout.blob(name).unlink()
