"""Finalizing a draft: compute the digests of its files, make blobs of them and write a manifest.

The process that applies or sends the record of the draft finalizes it, or a process that needs the digest.
Two processes may do so at the same time, or one after a kill of another: the artifact is the same. Blobs are
hard links to the files of the draft, which stay until the version is committed.
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

# Place of a small content in the store: SHA-256 of the pack (None: a separate blob) and the offset in it.
PackPosition = tuple[str | None, int]
# Takes SHA-256s and returns the places of those contents that the store has.
Known = Callable[[list[str]], dict[str, PackPosition]]
_PIECE = 1024 * 1024


class FinalizedDraft(msgspec.Struct, frozen=True):
    """``settled.json``: the result of finalizing a draft.

    Attributes:
        manifest: SHA-256 of the manifest.
        digest: Digest of the artifact (``Manifest.digest``).
        size: Size of all entries in bytes.
        file_count: Number of entries.
        problem: Reason for a failure, in one line; None after success.
        segment: Segment of the record that named the draft; empty until the record is applied.
    """

    manifest: DigestOrEmpty
    digest: str
    size: Count
    file_count: Count
    problem: str | None = None
    segment: str = ""


_decode = msgspec.json.Decoder(FinalizedDraft).decode


def read_finalized(layout: Layout, token: str) -> FinalizedDraft | None:
    """Return the result of finalizing a draft, or None if the draft is not finalized."""
    for path in (_path_in_draft(layout, token), layout.finalized(token)):
        try:
            return _decode(path.read_bytes())
        except (OSError, msgspec.DecodeError):
            continue
    return None


def with_content(record: ArtifactLogged, found: FinalizedDraft) -> ArtifactLogged:
    """Return the record of a logged draft with the digest, manifest and sizes of the finalized draft."""
    return msgspec.structs.replace(
        record, digest=found.digest, manifest=found.manifest, size=found.size, file_count=found.file_count
    )


def receive_finalized(layout: Layout, token: str, found: FinalizedDraft) -> None:
    """Store the result of a draft that was finalized in an outbox.

    Args:
        layout: The paths of the store.
        token: Token of the draft.
        found: The result.
    """
    _publish(layout, layout.finalized(token), found)


def forget_finalized(layout: Layout, token: str) -> None:
    """Delete the result of a draft that still exists, so that the draft is finalized again."""
    if (layout.draft(token) / "draft.json").exists():
        _path_in_draft(layout, token).unlink(missing_ok=True)


def write_failure(layout: Layout, token: str, problem: str) -> FinalizedDraft:
    """Store a failure as the result of a draft.

    Args:
        layout: The paths of the store or outbox.
        token: Token of the draft.
        problem: Reason for the failure, in one line.
    """
    found = FinalizedDraft("", "", 0, 0, problem)
    _publish(layout, _path_in_draft(layout, token), found)
    return found


def note_draft(layout: Layout, token: str, segment: str = "") -> None:
    """Copy the result of a draft to a note outside the draft, which is about to be removed.

    Args:
        layout: The paths of the store or outbox.
        token: Token of the draft.
        segment: Segment of the record that named the draft. The note is deleted when the segment is sealed.
            Empty: garbage collection deletes the note after a day.
    """
    found = read_finalized(layout, token)
    if found is not None:
        _publish(layout, layout.finalized(token), msgspec.structs.replace(found, segment=segment))


def discard_draft(layout: Layout, token: str) -> None:
    """Remove a draft that has become a version. Its note stays."""
    shutil.rmtree(layout.draft(token), ignore_errors=True)


def notes_of(layout: Layout, segment: str) -> dict[Path, FinalizedDraft]:
    """Return the notes of the drafts that records of a segment named, by path."""
    found = {}
    for path in layout.list_drafts():
        with suppress(OSError, msgspec.DecodeError):
            if path.suffix == ".json" and (note := _decode(path.read_bytes())).segment == segment:
                found[path] = note
    return found


def _publish(layout: Layout, path: Path, found: FinalizedDraft) -> None:
    publish_json(layout.new_temporary(), path, msgspec.to_builtins(found))


def _path_in_draft(layout: Layout, token: str) -> Path:
    return layout.draft(token) / "settled.json"


def finalize_draft(
    layout: Layout, token: str, known: Known | None = None, *, again: bool = False
) -> FinalizedDraft:
    """Return the result of finalizing a draft. Finalize the draft first, unless another process has.

    Args:
        layout: The paths of the store or outbox.
        token: Token of the draft.
        known: Returns the small contents that the store has. Without this function all of them are stored.
        again: Whether, in an outbox, to look up the contents that the draft took over from versions. Needed
            when the server has reported that it lacks some of them.

    Raises:
        StoreError: The draft is missing or damaged.
        OSError: A file cannot be read, or a blob cannot be written.
    """
    found = read_finalized(layout, token)
    if found is not None:
        return found
    try:
        with _lock(layout.draft(token)):
            found = read_finalized(layout, token)  # the previous holder of the lock may have finalized it
            if found is None:
                found = _finalize(layout, token, known or (lambda _: {}), again)
                _publish(layout, _path_in_draft(layout, token), found)
    except (StoreError, FileNotFoundError):
        # Another process may have finalized and committed the draft, and removed it.
        found = read_finalized(layout, token)
        if found is None:
            raise
    return found


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a draft, if possible. The lock only avoids duplicate work, so failures are ignored."""
    try:
        file = open(folder / "lock", "ab", opener=create)  # noqa: SIM115 - closed below
    except FileNotFoundError:
        yield  # the draft is missing: reading it raises the error
        return
    with file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _Changed(Exception):
    """The draft cannot become an artifact: an immutable file was written to, or a content was deleted."""


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
    """Protect the contents that a draft took over from versions, and update their places after a repack.

    Args:
        blobs: The blobs of the store or outbox.
        entries: The entries of the draft; their places are updated.
        known: Returns the places of small contents in the store or on the server.
        elsewhere: Whether this is an outbox, so that the contents are on the server.

    Raises:
        _Changed: A content was deleted with its version.
    """
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
        elif not elsewhere:  # a server reports missing contents itself
            raise _Changed(f"{entry.path} was deleted with the version that it was taken from")


def _finalize_file(blobs: BlobStore, folder: Path, path: str, taken: Captured) -> None:
    file = folder / (taken.file or "")
    saving = threading.Thread(target=_sync_quietly, args=(file,))
    saving.start()  # the disk writes while this thread computes the digests
    try:
        if taken.guard is not None:
            taken.sha256, taken.md5, taken.size = _digests_of_link(file, path, taken.guard)
        elif not taken.sha256:
            taken.sha256, taken.md5, taken.size = digests_of_file(file)
    finally:
        saving.join()
    blobs.adopt(file, taken.sha256)


def _digests_of_link(file: Path, path: str, guard: Guard) -> Digests:
    """Return the digests of a hard-linked file, if it was not written to since the artifact captured it.

    The ctime of the file changes whenever a link to it is added or removed, for example by another draft. If
    the ctime changes during the read, the file is read again.

    Raises:
        _Changed: The file was written to.
    """
    last: Digests | None = None
    while True:
        before = guard_of(file.stat())
        found = digests_of_file(file)
        after = guard_of(file.stat())
        if not before[:3] == after[:3] == guard[:3]:
            raise _Changed(f"{path} was changed after add_file(policy='immutable'): its old content is lost")
        if before == after or found == last:
            return found
        last = found


def _sync_quietly(file: Path) -> None:
    with suppress(OSError):
        sync_file(file)  # the blob is synced again before the commit, and an error is reported then


def _finalize_pack(
    blobs: BlobStore, folder: Path, entries: list[DraftEntry], known: Known, *, elsewhere: bool
) -> dict[str, PackPosition]:
    """Make a blob of the small contents that the store lacks.

    Args:
        blobs: The blobs of the store or outbox.
        folder: The folder of the draft.
        entries: The entries of the draft.
        known: Returns the places of small contents that the store or the server has.
        elsewhere: Whether this is an outbox. Then the server has touched the contents that ``known`` returns.

    Returns:
        The place of each small content, by SHA-256.
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
    for taken in fresh:  # a pack with one content is the blob of that content
        places[taken.sha256] = (None, 0) if taken.sha256 == name else (name, taken.offset)
    return places


def _without_known(folder: Path, fresh: list[Captured]) -> tuple[Path, list[Captured]]:
    """Write a pack with only the contents ``fresh``.

    Returns:
        The path of the pack, and the contents with their offsets in it.
    """
    path = folder / "pack.fresh"
    path.unlink(missing_ok=True)  # a file of an earlier attempt may be linked to a blob: do not overwrite it
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
        return Entry(entry.path, taken.md5, taken.size, taken.sha256, extra=entry.extra)
    pack, offset = places[taken.sha256]
    return Entry(entry.path, taken.md5, taken.size, taken.sha256, pack, offset, extra=entry.extra)


def _offset(taken: Captured) -> int:
    return taken.offset
