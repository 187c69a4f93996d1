"""Writing packs anew of which little is wanted any more, so that deleting some of many files frees bytes.

Versions want contents, and so do files of runs: where the latter are, only the catalog and the pack's index
say, so nothing of a run is published anew.

A blob never changes, and a pack is one. What is still wanted of it is copied into a new pack, and the
versions get manifests that name that one; their digests and files stay as they are. The old pack is then like
any blob that nobody names. It and the old manifests are touched: who has just read one of these finds it for
the grace period. A draft that was sent to the old pack touches it, which keeps it as any other blob.

A kill may leave a version's file that says the new manifest and a catalog that says the old one. Both are
right, and who reads either finds its files; but a collection goes by the catalog. So the versions are written
down first, and the next collection publishes those again as the catalog has them, before anything goes.
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
from tracker.store.gc.references import NamedManifest, manifests_of_versions
from tracker.store.objects.atomic_files import publish_json, read_json
from tracker.store.published.versions import publish_version
from tracker.store.store import Store

# A pack is written anew when no more of it is wanted than this: what is freed is at least what is written.
LARGEST_SHARE = 0.5


class Sparse(NamedTuple):
    """A pack of which little is wanted.

    Attributes:
        pack: SHA-256 of the blob.
        size: Its bytes.
        wanted: The files in it that versions or runs name, one entry for each content, in the pack's order.
    """

    pack: str
    size: int
    wanted: list[Entry]

    @property
    def wanted_bytes(self) -> int:
        """Bytes of what is wanted."""
        return sum(entry.size for entry in self.wanted)


def find_sparse(store: Store, going: set[int], limit: int) -> list[Sparse]:
    """Return the packs that are worth writing anew.

    Args:
        store: Where.
        going: Ids of versions that are about to be deleted.
        limit: Packs that were touched or made then or later stay as they are (ns since 1970).
    """
    sizes: dict[str, int] = {}  # 0: of no interest
    # By digest: an empty file stands at the offset of the next one.
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


def finish_broken_off(store: Store) -> None:
    """Let published files say what the catalog says, where a kill came between the two."""
    begun = read_json(store.layout.repacking)
    if begun is not None:
        with store.writing() as session:
            for version in session.scalars(select(Version).where(Version.id.in_(begun))):
                publish_version(store.layout, session, version)
        store.layout.repacking.unlink()


def repack(store: Store, found: list[Sparse]) -> dict[str, str]:
    """Write what is wanted of packs anew; return why it could not be, for those of which it could not."""
    problems: dict[str, str] = {}
    moved: dict[str, dict[str, Piece]] = {}
    for sparse in found:
        try:
            moved[sparse.pack] = _copy(store.blobs, sparse)
        except (ArtifactError, NotFoundError, OSError) as error:
            problems[sparse.pack] = f"pack {sparse.pack} stays as it is: {error}"
    if not moved:
        return problems
    anew = []
    for old, manifest in _manifests(store, manifests_of_versions(store, set())[0]):
        entries = [_moved(entry, moved) for entry in manifest.entries]
        if entries != manifest.entries:
            new = write_manifest(store.blobs, make_manifest(entries)).sha256
            store.blobs.sync(new)
            anew.append((old, new, entries))
    with store.writing() as session:
        for pieces in moved.values():
            note_pieces(session, pieces)
        changed = []
        for old, new, entries in anew:
            query = select(Version).where(Version.manifest == old, Version.deleted_at.is_(None))
            changed += [(version, new) for version in session.scalars(query)]
            note_version(session, new, entries)
        begun = [version.id for version, _ in changed]
        publish_json(store.layout.new_temporary(), store.layout.repacking, begun)
        for version, new in changed:
            version.manifest = new
            publish_version(store.layout, session, version)
    store.layout.repacking.unlink()
    for name in (*moved, *(old for old, _, _ in anew)):
        store.blobs.touch(name)
    return problems


def _copy(blobs: BlobStore, sparse: Sparse) -> dict[str, Piece]:
    """Write the new pack; return where each content is now."""
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
            raise ArtifactError(f"the content of {entry.path} in it is damaged")
        yield entry.sha256, data


def _moved(entry: Entry, moved: dict[str, dict[str, Piece]]) -> Entry:
    piece = moved.get(entry.pack or "", {}).get(entry.sha256)
    if piece is None:
        return entry
    pack = None if piece.pack == entry.sha256 else piece.pack  # one content alone is a blob
    return msgspec.structs.replace(entry, pack=pack, offset=piece.offset)


def _entries_of_runs(store: Store) -> Iterator[Entry]:
    """Yield the contents of runs' files that are in packs."""
    with store.reading() as session:
        names = session.scalars(select(RunFile.sha256).distinct().where(RunFile.size < PACKED_BELOW)).all()
        for name, piece in pieces_of(session, names).items():
            if piece.pack != name and piece.size:
                yield Entry(f"a file of a run, {name},", "", piece.size, name, piece.pack, piece.offset)


def _manifests(store: Store, named: list[NamedManifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield each manifest that can be read, once; of the others collection says something."""
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
