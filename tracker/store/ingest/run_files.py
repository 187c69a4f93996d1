"""Packing the files of an ended run: thousands of small images become one file.

At first, each small file of a run is a separate blob. When a segment is sealed, the contents that are not in
a pack yet are written to a pack, which is forced to the disk and renamed. One transaction notes the
positions of the contents. Then the blobs are removed. A kill can leave an unreferenced pack, which ``tracker
gc`` removes. It can also leave blobs whose content is in a pack too: sealing the segment again removes
these.

A blob is removed only in a write transaction in which the catalog has its content in a pack. So a blob stays
if a version names the blob itself (``tracker.store.blobs.packs``). A run file that names the content later
uses the pack. If a process stores the content again, it makes a new blob, which is removed when that run is
sealed.

Garbage collection waits for ``locks/naming.lock``. The packing process shares this lock from the writing of a
pack to the commit of its row. A pack that exists already is touched before it is used, like any other blob,
so that garbage collection keeps it.
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

# The size of a pack. The blobs of a pack are removed before the next pack is written, so at most this much
# content is stored twice.
PACK_BYTES = 256 * 1024 * 1024


def pack_run_files(store: Store, run_id: int) -> None:
    """Move the small contents of a run's files from blobs into packs. Idempotent.

    Args:
        store: The store.
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
        return  # a pack of one content would save no file
    for group in _groups(fresh, sizes):
        with shared(store.layout.naming_lock):
            pieces = write_pack(store.blobs, _read(store, group))
            with store.writing() as session:
                note_pieces(session, pieces)
        _remove_blobs(store, list(pieces))


def _sizes_of_blobs(store: Store, names: Iterable[str]) -> dict[str, int]:
    """Return the sizes of the contents that are stored as small blobs, by name."""
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
    """Yield names and contents of blobs. Skip a blob that is damaged or cannot be read: the blob stays."""
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
                    with suppress(OSError):  # a blob of another user stays
                        store.layout.blob(name).unlink()
