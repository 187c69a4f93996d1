"""Settling a draft: its files get their digests and become blobs, and a manifest says which.

Done by whoever applies or sends the record that names the draft, or by a process that wants to know the
digest; twice, at once or after a kill anywhere, it gives the same artifact. The draft's own files stay
until the version is committed; blobs are second names of them.
"""

from __future__ import annotations

import fcntl
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from tracker.errors import StoreError
from tracker.ground.group_files import create
from tracker.ground.parsed_types import Count, DigestOrEmpty
from tracker.ground.records import ArtifactLogged
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.drafts import PACK, Captured, DraftEntry, Guard, guard_of, read_draft
from tracker.store.blobs.manifest import Entry, make_manifest, write_manifest
from tracker.store.objects.atomic_files import publish_json, sync_file
from tracker.store.objects.digests import Digests, digests_of_file, sha256_of_file
from tracker.store.objects.layout import Layout

# Where small contents lie already: by SHA-256, the pack (None: a blob of its own) and the offset in it.
PackPosition = tuple[str | None, int]
Known = Callable[[list[str]], dict[str, PackPosition]]
_PIECE = 1024 * 1024


class FinalizedDraft(msgspec.Struct, frozen=True):
    """``settled.json``: what became of a draft.

    Attributes:
        manifest: SHA-256 of the blob that lists the entries.
        digest: The artifact's digest, as wandb's.
        size: Bytes of all entries.
        file_count: How many entries.
        problem: Why there is no such artifact, in one line; None when all went well.
        segment: Whose record named the draft, once that is applied; empty before.
    """

    manifest: DigestOrEmpty
    digest: str
    size: Count
    file_count: Count
    problem: str | None = None
    segment: str = ""


_decode = msgspec.json.Decoder(FinalizedDraft).decode


def read_finalized(layout: Layout, token: str) -> FinalizedDraft | None:
    """Return what became of a draft, if that is known."""
    for path in (_within(layout, token), layout.finalized(token)):
        try:
            return _decode(path.read_bytes())
        except (OSError, msgspec.DecodeError):
            continue
    return None


def with_content(record: ArtifactLogged, found: FinalizedDraft) -> ArtifactLogged:
    """Return the record of a logged draft with what the draft became."""
    return msgspec.structs.replace(
        record, digest=found.digest, manifest=found.manifest, size=found.size, file_count=found.file_count
    )


def receive_finalized(layout: Layout, token: str, found: FinalizedDraft) -> None:
    """Note what became of a draft that was settled elsewhere."""
    _publish(layout, layout.finalized(token), found)


def forget_finalized(layout: Layout, token: str) -> None:
    """Forget what became of a draft that is still here, so that it is settled anew."""
    if (layout.draft(token) / "draft.json").exists():
        _within(layout, token).unlink(missing_ok=True)


def refuse(layout: Layout, token: str, problem: str) -> FinalizedDraft:
    """Note that there is no such artifact, and why."""
    found = FinalizedDraft("", "", 0, 0, problem)
    _publish(layout, _within(layout, token), found)
    return found


def note_draft(layout: Layout, token: str, segment: str = "") -> None:
    """Note what a draft became, beside the draft, which is about to go.

    Args:
        layout: The store or outbox that holds it.
        token: The draft.
        segment: Whose record named it: the note goes when that is sealed. Empty: a day later.
    """
    found = read_finalized(layout, token)
    if found is not None:
        _publish(layout, layout.finalized(token), msgspec.structs.replace(found, segment=segment))


def discard_draft(layout: Layout, token: str) -> None:
    """Remove a draft that has become a version; the note stays."""
    shutil.rmtree(layout.draft(token), ignore_errors=True)


def notes_of(layout: Layout, segment: str) -> dict[Path, FinalizedDraft]:
    """Return the notes of what became of the drafts that a segment's records named."""
    found = {}
    for path in layout.list_drafts():
        with suppress(OSError, msgspec.DecodeError):
            if path.suffix == ".json" and (note := _decode(path.read_bytes())).segment == segment:
                found[path] = note
    return found


def _publish(layout: Layout, path: Path, found: FinalizedDraft) -> None:
    publish_json(layout.new_temporary(), path, msgspec.to_builtins(found))


def _within(layout: Layout, token: str) -> Path:
    return layout.draft(token) / "settled.json"


def finalize_draft(
    layout: Layout, token: str, known: Known | None = None, *, again: bool = False
) -> FinalizedDraft:
    """Return what becomes of a draft; find out first when nobody has.

    Args:
        layout: The store or outbox that holds it.
        token: The draft.
        known: Says which small contents the store has already; without it they are stored again.
        again: The server that has the rest lacks some of it: look for all that was taken over from a version.

    Raises:
        StoreError: The draft is not here, or damaged.
        OSError: A file cannot be read, or a blob not written.
    """
    found = read_finalized(layout, token)
    if found is not None:
        return found
    try:
        with _lock(layout.draft(token)):
            found = read_finalized(layout, token)  # whoever held the lock has done it
            if found is None:
                found = _finalize(layout, token, known or (lambda _: {}), again)
                _publish(layout, _within(layout, token), found)
    except (StoreError, FileNotFoundError):
        found = read_finalized(
            layout, token
        )  # somebody else has, and committed it, and cleared the draft away
        if found is None:
            raise
    return found


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the draft's lock, where there is a draft: it only saves work, so a refusal is no error."""
    try:
        file = open(folder / "lock", "ab", opener=create)  # noqa: SIM115 - closed below
    except FileNotFoundError:
        yield  # what is wrong with the draft, if anything is, shows when it is read
        return
    with file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _Changed(Exception):
    """A file that was added as immutable has been written to since, or one taken over is gone."""


def _finalize(layout: Layout, token: str, known: Known, again: bool) -> FinalizedDraft:
    elsewhere = layout.remote.exists()
    blobs, folder = BlobStore(layout), layout.draft(token)
    draft = read_draft(layout, token)
    try:
        for entry in draft.entries:
            if entry.captured is not None and entry.captured.file is not None:
                _finalize_file(blobs, folder, entry.path, entry.captured)
        if again or not elsewhere:
            _find_stored(blobs, draft.entries, known, elsewhere=elsewhere)
    except _Changed as error:
        return FinalizedDraft("", "", 0, 0, str(error))
    places = _finalize_pack(blobs, folder, draft.entries, known, elsewhere=elsewhere)
    manifest = make_manifest(_entry(entry, places) for entry in draft.entries)
    named = write_manifest(blobs, manifest)
    return FinalizedDraft(named.sha256, manifest.digest, manifest.size, len(manifest.entries))


def _find_stored(blobs: BlobStore, entries: list[DraftEntry], known: Known, *, elsewhere: bool) -> None:
    """Keep what a draft took over from a version, which may have been packed anew or deleted since."""
    there: dict[str, bool] = {}
    lost = []
    for entry in entries:
        blob = entry.stored.blob if entry.stored is not None else None
        if blob is None:
            continue
        if blob not in there:
            there[blob] = not elsewhere and (blobs.touch(blob) or blobs.has(blob))
        if not there[blob]:
            lost.append(entry)
    places = known([entry.stored.sha256 for entry in lost if entry.stored is not None]) if lost else {}
    for entry in lost:
        assert entry.stored is not None
        place = places.get(entry.stored.sha256)
        if place is not None and (elsewhere or blobs.touch(place[0] or entry.stored.sha256)):
            entry.stored = msgspec.structs.replace(entry.stored, pack=place[0], offset=place[1])
        elif not elsewhere:  # a server says itself what it lacks
            raise _Changed(f"{entry.path} was deleted with the version that it was taken from")


def _finalize_file(blobs: BlobStore, folder: Path, path: str, taken: Captured) -> None:
    file = folder / (taken.file or "")
    saving = threading.Thread(target=_sync_quietly, args=(file,))
    saving.start()  # the disk is at work while the digests are computed
    try:
        if taken.guard is not None:
            taken.sha256, taken.md5, taken.size = _digests_of_link(file, path, taken.guard)
        elif not taken.sha256:
            taken.sha256, taken.md5, taken.size = digests_of_file(file)
    finally:
        saving.join()
    blobs.adopt(file, taken.sha256)


def _digests_of_link(file: Path, path: str, guard: Guard) -> Digests:
    """Return the digests of a file that has other names, if nobody has written to it since it was added.

    Its change time moves with every name that it gets or loses, another draft's too: when that happened
    while it was read, it is read again.

    Raises:
        _Changed: Somebody has written to it.
    """
    last: Digests | None = None
    while True:
        before = guard_of(file.stat())
        found = digests_of_file(file)
        after = guard_of(file.stat())
        if not before[:3] == after[:3] == guard[:3]:
            raise _Changed(f"{path} was written to after add_file(policy='immutable'): its content is lost")
        if before == after or found == last:
            return found
        last = found


def _sync_quietly(file: Path) -> None:
    with suppress(OSError):
        sync_file(file)  # done again, and answered for, before the commit


def _finalize_pack(
    blobs: BlobStore, folder: Path, entries: list[DraftEntry], known: Known, *, elsewhere: bool
) -> dict[str, PackPosition]:
    """Make a blob of the small contents that the store lacks; return where each small content lies.

    Args:
        blobs: Where to.
        folder: The draft's.
        entries: The draft's.
        known: Says what the store has.
        elsewhere: The store is a server's, which has touched what it says it has.
    """
    packed = {
        entry.captured.sha256: entry.captured
        for entry in entries
        if entry.captured is not None and entry.captured.file is None
    }
    if not packed:
        return {}
    places = known(list(packed))
    if not elsewhere:
        places = {name: place for name, place in places.items() if blobs.touch(place[0] or name)}
    fresh = sorted((taken for sha256, taken in packed.items() if sha256 not in places), key=_offset)
    if not fresh:
        return places
    pack = folder / PACK
    if pack.stat().st_size != sum(taken.size for taken in fresh):
        pack, fresh = _without_known(folder, fresh)
    name = sha256_of_file(pack)
    blobs.adopt(pack, name)
    for taken in fresh:  # a pack of one content is that content's blob
        places[taken.sha256] = (None, 0) if taken.sha256 == name else (name, taken.offset)
    return places


def _without_known(folder: Path, fresh: list[Captured]) -> tuple[Path, list[Captured]]:
    """Write a pack of ``fresh`` alone; return it, and them at their offsets in it."""
    path = folder / "pack.fresh"
    path.unlink(missing_ok=True)  # of an earlier attempt, and perhaps a blob by now
    moved, at = [], 0
    with (folder / PACK).open("rb") as old, open(path, "wb", _PIECE, opener=create) as new:
        for taken in fresh:
            old.seek(taken.offset)
            new.write(old.read(taken.size))
            moved.append(Captured(taken.size, None, at, taken.md5, taken.sha256))
            at += taken.size
    return path, moved


def _entry(entry: DraftEntry, places: dict[str, PackPosition]) -> Entry:
    taken = entry.captured
    if taken is None:
        assert entry.stored is not None
        return msgspec.structs.replace(entry.stored, path=entry.path)
    if taken.file is not None:
        return Entry(entry.path, taken.md5, taken.size, taken.sha256)
    pack, offset = places[taken.sha256]
    return Entry(entry.path, taken.md5, taken.size, taken.sha256, pack, offset)


def _offset(taken: Captured) -> int:
    return taken.offset
