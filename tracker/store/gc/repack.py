"""Repacking: copies the referenced contents of sparse packs to new packs, to allow deleting the old packs.

A pack is a blob, and a blob never changes. So the referenced contents are copied to a new pack, and versions
get new manifests with the places in the new pack. Digests and files of the versions stay the same. The places
of files of runs are only in the catalog and in the index of the pack, so no file of a run is published again.

After that the old pack is unreferenced, like any other blob that garbage collection deletes. The old pack and
the old manifests are touched, so that a process that has just read a manifest finds them for the grace
period. A draft that was told to use the old pack touches the pack, which also protects it.

If the process is killed, the file of a version may contain the new manifest and the catalog the old one. Both
manifests are valid, and readers of either find the files. But garbage collection reads the catalog. So the
ids of the versions are first written to a file, and the next collection publishes these versions again from
the catalog before it deletes anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import msgspec
from sqlalchemy import select

from tracker.errors import ArtifactError, NotFoundError
from tracker.store.blobs.content import BlobStore, Piece
from tracker.store.blobs.drafts import PACKED_BELOW
from tracker.store.blobs.manifest import Entry, Manifest, make_manifest, read_manifest, write_manifest
from tracker.store.blobs.packs import note_pieces, note_version, pieces_of, read_index, write_pack
from tracker.store.blobs.trash import is_young
from tracker.store.catalog.models import RunFile, Version
from tracker.store.gc.references import NamedManifest, kept_references, manifests_of_versions
from tracker.store.objects.atomic_files import publish_json, read_json
from tracker.store.published.versions import publish_version
from tracker.store.store import Store

# Largest referenced share of a pack to repack. Repacking then frees at least as many bytes as it writes.
LARGEST_SHARE = 0.5


class Sparse(NamedTuple):
    """A pack with little referenced content.

    Attributes:
        pack: SHA-256 of the pack.
        size: Size of its contents in bytes.
        wanted: The contents that versions or runs reference, one entry for each content, ordered by offset.
    """

    pack: str
    size: int
    wanted: list[Entry]

    @property
    def wanted_bytes(self) -> int:
        """Size of the referenced contents in bytes."""
        return sum(entry.size for entry in self.wanted)


def find_sparse(store: Store, going: set[int], limit: int) -> list[Sparse]:
    """Return the packs to repack.

    Args:
        store: The store.
        going: ``Version.id`` of versions that count as deleted, for a dry run.
        limit: Time in ns since 1970. Packs that were created or touched at this time or later are not
            repacked.
    """
    sizes: dict[str, int] = {}  # 0: do not repack
    # By SHA-256 and not by offset, because an empty file has the same offset as the next file.
    wanted: dict[str, dict[str, Entry]] = {}
    bytes_of: dict[str, int] = {}
    manifests = _manifests(store, manifests_of_versions(store, going)[0])
    named = (entry for _, manifest in manifests for entry in manifest.entries)
    for entry in chain(named, _entries_of_runs(store)):
        pack = entry.pack
        if pack is None:
            continue
        if pack not in sizes:
            sizes[pack] = _size_of_old(store.blobs, pack, limit)
        if not sizes[pack] or entry.sha256 in (found := wanted.setdefault(pack, {})):
            continue
        found[entry.sha256] = entry
        bytes_of[pack] = bytes_of.get(pack, 0) + entry.size
        if bytes_of[pack] > LARGEST_SHARE * sizes[pack]:
            sizes[pack] = 0
            del wanted[pack]
    return [
        Sparse(pack, sizes[pack], sorted(found.values(), key=lambda entry: entry.offset))
        for pack, found in wanted.items()
        if found
    ]


def finish_interrupted_repack(store: Store) -> None:
    """Publish versions again whose files may differ from the catalog, because a repack was killed."""
    begun = read_json(store.layout.repacking)
    if begun is not None:
        with store.writing() as session:
            for version in session.scalars(select(Version).where(Version.id.in_(begun))):
                publish_version(store.layout, session, version)
        store.layout.repacking.unlink()


def repack(store: Store, found: list[Sparse]) -> dict[str, str]:
    """Copy the referenced contents of packs to new packs, and update the catalog and the versions.

    Returns:
        The reason of each failure, by SHA-256 of the pack.
    """
    problems: dict[str, str] = {}
    moved: dict[str, dict[str, Piece]] = {}
    for sparse in found:
        try:
            moved[sparse.pack] = _copy(store.blobs, sparse)
        except (ArtifactError, NotFoundError, OSError) as error:
            problems[sparse.pack] = f"pack {sparse.pack} cannot be repacked: {error}"
    if not moved:
        return problems
    replaced = []
    for old, manifest in _manifests(store, manifests_of_versions(store, set())[0]):
        entries = [_moved(entry, moved) for entry in manifest.entries]
        if entries != manifest.entries:
            new = write_manifest(store.blobs, make_manifest(entries)).sha256
            store.blobs.sync(new)
            replaced.append((old, new, entries))
    with store.writing() as session:
        for pieces in moved.values():
            note_pieces(session, pieces)
        changed = []
        for old, new, entries in replaced:
            query = select(Version).where(Version.manifest == old, Version.deleted_at.is_(None))
            changed += [(version, new) for version in session.scalars(query)]
            note_version(session, new, entries)
        begun = [version.id for version, _ in changed]
        publish_json(store.layout.new_temporary(), store.layout.repacking, begun)
        for version, new in changed:
            version.manifest = new
            publish_version(store.layout, session, version)
    store.layout.repacking.unlink()
    for name in (*moved, *(old for old, _, _ in replaced)):
        store.blobs.touch(name)
    return problems


def _copy(blobs: BlobStore, sparse: Sparse) -> dict[str, Piece]:
    """Write a new pack, or a blob for a single content; return the new place of each content."""
    if len(sparse.wanted) > 1:
        return write_pack(blobs, _read(blobs, sparse))
    ((name, data),) = _read(blobs, sparse)
    blobs.add_bytes(data)
    blobs.sync(name)
    return {name: Piece(name, 0, len(data))}


def _read(blobs: BlobStore, sparse: Sparse) -> Iterator[tuple[str, bytes]]:
    for entry in sparse.wanted:
        data = b"".join(blobs.chunks(sparse.pack, entry.offset, entry.size))
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise ArtifactError(f"its content of {entry.path} is damaged")
        yield entry.sha256, data


def _moved(entry: Entry, moved: dict[str, dict[str, Piece]]) -> Entry:
    piece = moved.get(entry.pack or "", {}).get(entry.sha256)
    if piece is None:
        return entry
    pack = None if piece.pack == entry.sha256 else piece.pack  # a single content is stored as a blob
    return msgspec.structs.replace(entry, pack=pack, offset=piece.offset)


def _entries_of_runs(store: Store) -> Iterator[Entry]:
    """Yield the files of runs that are in packs, as entries."""
    kept = kept_references(store).blobs
    with store.reading() as session:
        small = select(RunFile.sha256).distinct().where(RunFile.size < PACKED_BELOW)
        names = kept.union(session.scalars(small))
        for name, piece in pieces_of(session, names).items():
            if piece.pack != name and piece.size:
                yield Entry(f"a file of a run, {name},", "", piece.size, name, piece.pack, piece.offset)


def _manifests(store: Store, named: list[NamedManifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield each readable manifest once. Garbage collection reports the others."""
    for sha256 in dict.fromkeys(each.sha256 for each in named):
        try:
            yield sha256, read_manifest(store.blobs, sha256)
        except (NotFoundError, ArtifactError):
            continue


def _size_of_old(blobs: BlobStore, pack: str, limit: int) -> int:
    path = blobs.path(pack)
    try:
        state = path.stat()
        if is_young(state, limit):
            return 0
        return sum(each.size for each in read_index(path)) if path.suffix else state.st_size
    except (ValueError, OSError):
        return 0
