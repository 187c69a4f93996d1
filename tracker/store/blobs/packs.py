"""Packs: blobs that contain many small contents, and the table ``packed`` with their places.

The pack of the small files of an artifact is a concatenation of contents. Manifests contain their offsets. A
pack of run files also has an index at its end, because no manifest contains the offsets: a rebuild reads the
index. The name of such a pack ends with ``.pack``:

    contents | index, as JSON | length of the index (8 bytes, little-endian) | ``trackpk1``

The table ``packed`` contains the place of each content. A blob that a version names also has a row, with
itself as the pack. This row stays even if other packs have the same content.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import IO, NamedTuple

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from tracker.errors import ArtifactError
from tracker.ground.parsed_types import Count, Digest
from tracker.store.blobs.content import CHUNK, BlobStore, Piece
from tracker.store.blobs.finalize import PackPosition
from tracker.store.blobs.manifest import Entry
from tracker.store.catalog.models import Packed
from tracker.store.catalog.sqlite import upsert
from tracker.store.objects.atomic_files import open_regular

# Names in one statement. SQLite allows 32,766 variables, but longer statements are not faster.
AT_ONCE = 500
_END = struct.Struct("<Q8s")
_MAGIC = b"trackpk1"
_COLUMNS, _KEY = ("sha256", "pack", "pack_offset", "size"), ("sha256",)


class Indexed(NamedTuple):
    """A content in the index of a pack; offset and size are in bytes."""

    sha256: Digest
    offset: Count
    size: Count


class _Index(msgspec.Struct):
    contents: list[Indexed]
    format: int = 1


_decode = msgspec.json.Decoder(_Index).decode


def write_pack(blobs: BlobStore, contents: Iterable[tuple[str, bytes]]) -> dict[str, Piece]:
    """Write a pack with an index and force it to the disk.

    Args:
        blobs: The blobs of the store.
        contents: SHA-256 and bytes of each content.

    Returns:
        The place of each content, by SHA-256.
    """
    found: list[Indexed] = []
    at = 0
    with blobs.open_new() as new:
        for sha256, data in contents:
            new.write(data)
            found.append(Indexed(sha256, at, len(data)))
            at += len(data)
        index = msgspec.json.encode(_Index(found))
        new.write(index + _END.pack(len(index), _MAGIC))
        name = new.keep(as_pack=True).sha256
    blobs.sync(name)
    return {each.sha256: Piece(name, each.offset, each.size) for each in found}


def read_index(path: Path) -> list[Indexed]:
    """Return the contents in a pack with an index, in the order of their offsets.

    Raises:
        ValueError: The index is missing or damaged.
        OSError: The pack cannot be read.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        end = file.seek(0, 2) - _END.size
        file.seek(max(end, 0))
        last = file.read()
        size, magic = _END.unpack(last) if len(last) == _END.size else (0, b"")
        if magic != _MAGIC or size > end:
            raise ValueError("the pack does not end with an index")
        file.seek(end - size)
        return _decode(file.read(size)).contents


def pieces_of(session: Session, names: Iterable[str]) -> dict[str, Piece]:
    """Return the places of contents in packs, as the catalog records them.

    Args:
        session: A transaction of the catalog.
        names: SHA-256 of each content, 64 hex digits.

    Returns:
        The place of each content that the catalog knows, by SHA-256. An unknown size is 0.
    """
    found: dict[str, Piece] = {}
    wanted = [bytes.fromhex(name) for name in names]
    columns = (Packed.sha256, Packed.pack, Packed.offset, Packed.size)
    for start in range(0, len(wanted), AT_ONCE):
        rows = session.execute(select(*columns).where(Packed.sha256.in_(wanted[start : start + AT_ONCE])))
        for sha256, pack, offset, size in rows:
            found[sha256.hex()] = Piece(pack.hex(), offset, size or 0)
    return found


def check_places(blobs: BlobStore, contents: Iterable[tuple[str, Piece]]) -> None:
    """Check that packs have contents at given places. A byte of a pack is read once, or not at all.

    Args:
        blobs: The blobs of the store.
        contents: SHA-256 and place of each content.

    Raises:
        ArtifactError: A pack has other bytes there, or two places overlap.
        NotFoundError: A pack is not in the store.
    """
    for pack, group in groupby(
        sorted((piece, sha256) for sha256, piece in contents), lambda each: each[0].pack
    ):
        end = 0
        with blobs.open(pack) as file:
            for piece, sha256 in group:
                file.seek(piece.offset)
                if piece.offset < end or _hash(file, piece.size) != sha256:
                    raise ArtifactError(
                        f"pack {pack} has other bytes than {sha256} at byte {piece.offset}: send it again"
                    )
                end = piece.offset + piece.size


def _hash(file: IO[bytes], size: int) -> str:
    found = hashlib.sha256()
    while size > 0 and (chunk := file.read(min(CHUNK, size))):
        found.update(chunk)
        size -= len(chunk)
    return found.hexdigest() if size == 0 else ""


def known_places(session: Session, names: list[str]) -> dict[str, PackPosition]:
    """Return the places of those contents that the catalog knows, in the form for a manifest."""
    return {
        name: (None if piece.pack == name else piece.pack, piece.offset)
        for name, piece in pieces_of(session, names).items()
    }


def note_version(session: Session, manifest: str, entries: list[Entry]) -> None:
    """Add the contents and blobs of a version to the table ``packed``.

    Args:
        session: A write transaction.
        manifest: SHA-256 of the manifest of the version.
        entries: The entries of the manifest.
    """
    rows = sorted(  # inserting in the order of the table takes half the time
        (bytes.fromhex(entry.sha256), bytes.fromhex(entry.pack), entry.offset, entry.size)
        for entry in entries
        if entry.pack is not None
    )
    upsert(session, Packed, _COLUMNS, rows, key=_KEY)
    own = {entry.blob for entry in entries} | {manifest}
    names = sorted(bytes.fromhex(name) for name in own if name)
    blobs = ((name, name, 0, None) for name in names)
    upsert(session, Packed, _COLUMNS, blobs, key=_KEY, replaced=_COLUMNS[1:])


def note_pieces(session: Session, pieces: dict[str, Piece]) -> None:
    """Store new places of contents in the table ``packed``. The row of a blob that a version names stays."""
    rows = sorted(
        (bytes.fromhex(name), bytes.fromhex(piece.pack), piece.offset, piece.size)
        for name, piece in pieces.items()
    )
    other = "packed.pack <> packed.sha256"
    upsert(session, Packed, _COLUMNS, rows, key=_KEY, replaced=_COLUMNS[1:], where=other)


def forget_packs(session: Session, packs: list[str]) -> None:
    """Remove all rows with these packs from the table ``packed``. The list may contain any blobs."""
    for start in range(0, len(packs), AT_ONCE):
        names = [bytes.fromhex(name) for name in packs[start : start + AT_ONCE]]
        session.execute(delete(Packed).where(Packed.pack.in_(names)))
