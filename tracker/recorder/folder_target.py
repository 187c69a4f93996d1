"""``FolderTarget``: the folder of a store that the journals and blobs of a spool are moved to.

A journal is written to ``journals/HOST@spool``. So every host treats it like a journal of another host, also
the host of the writer: its writer may be dead before all of the journal has arrived. A file next to the
journal in the spool has the number of bytes that are on the disk of the store. After a kill, the bytes behind
them are written again at the same place: they are the same bytes.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

from tracker.errors import ConflictError, UnreachableError
from tracker.ground.group_files import create, touch
from tracker.ground.processes import MISSED_SECONDS, is_alive
from tracker.recorder.outgoing_journal import Needs, Outgoing, Received
from tracker.runstate.fold import Gone
from tracker.store.blobs.content import CHUNK, BlobStore
from tracker.store.blobs.drafts import owner_of
from tracker.store.blobs.finalize import (
    FinalizedDraft,
    PackPosition,
    discard_draft,
    note_draft,
    read_finalized,
    receive_finalized,
)
from tracker.store.blobs.manifest import read_manifest
from tracker.store.objects.atomic_files import force, make_folder, sync_folder, sync_named
from tracker.store.objects.layout import SPOOLED, Layout, blob_name, moved_bytes_file, without_arrivals

# Interval at which the journals in the store are touched.
TOUCH_SECONDS = 15.0
# A file is forced to the disk of the store after this many bytes, so that `finish` sees the progress.
_FORCED_BYTES = 32 * 1024 * 1024
# The mover writes manifests and small files before it can delete what it has moved.
RESERVED_BYTES = 1024 * 1024
# The result of a draft is kept in the spool for this long, for the process that logged the artifact.
_NOTE_SECONDS = 24 * 3600.0


class FolderTarget:
    """Moves parts of a spool to a store. It never opens the catalog of the store.

    Args:
        spool: The spool.
        store: The folder of the store.
        note_progress: Called when bytes have reached the store.

    Raises:
        UnreachableError: All methods: the folder of the store is missing, or its file system does not work.
        OSError: All methods: a file of the store cannot be written.
    """

    # The recorder waits at least this long between two rounds: each round forces the journals to the disk of
    # a file server that many nodes use.
    shortest_wait = 0.4

    def __init__(self, spool: Layout, store: Path, note_progress: Callable[[], None]) -> None:
        self._closed = threading.Event()
        self._life: threading.Thread | None = None
        self._spool = spool
        self._spooled = BlobStore(spool)
        self._store = Layout(store)
        self._blobs = BlobStore(self._store)
        self._note_progress = note_progress

    def close(self) -> None:
        """Stop to show that the writers of the spool live."""
        self._closed.set()

    def received(self, known: Outgoing) -> Received:
        """Return the part of a journal that is on the disk of the store, without a digest."""
        self._require_store()
        if self._life is None:
            self._life = threading.Thread(target=self._show_life, name="tracker-life", daemon=True)
            self._life.start()
        moved = read_moved(known.path)
        place = self._place(known.path)
        if place is None or place.stat().st_size < moved:
            moved = 0  # the journal was deleted: all its records are moved again, and each is applied once
        # After a power failure, the journal here can be shorter than what was moved.
        return Received(min(moved, known.path.stat().st_size), "")

    def is_current(self, known: Outgoing) -> bool:
        """Return whether no other process has moved more of a journal."""
        return read_moved(known.path) == known.sent

    def append(self, known: Outgoing, data: bytes) -> None:
        """Append bytes to a journal, or show that its writer lives.

        Raises:
            ConflictError: The journal is not in the store any more. Ask for the received part again.
        """
        self._require_store()
        place = self._place(known.path)
        if not data:
            if place is not None:
                os.utime(place)
            return
        if place is None and known.sent:
            raise ConflictError(f"journal {known.name} is not in {self._store.root} any more")
        path = place or self._new_place(known.path)
        try:
            # Without O_CREAT, because another host may rename or delete the file now.
            descriptor = (
                create(path, os.O_WRONLY) if place is None else os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            )
            try:
                _write_at(descriptor, data, known.sent)
                force(descriptor)
                if os.fstat(descriptor).st_nlink == 0:
                    raise FileNotFoundError(errno.ENOENT, "deleted", str(path))
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ESTALE):
                raise ConflictError(f"journal {known.name} was moved or deleted in the store") from error
            raise
        if place is None:
            sync_folder(path.parent)
        _write_moved(self._spool, known.path, known.sent + len(data))

    def delete_sent(self, known: Outgoing, needs: Needs) -> None:
        """Delete content in the spool that is in the store, and that records in the store name."""
        segment = known.path.name.partition("-")[0]
        self._delete_blobs(needs.blobs)
        for token in needs.drafts:
            found = read_finalized(self._spool, token)
            if found is not None and found.problem is None and self._spooled.has(found.manifest):
                self._delete_blobs([*read_manifest(self._spooled, found.manifest).blobs, found.manifest])
            # The files of a draft come before its note: a full disk has no room for the note before that.
            for path in self._spool.draft(token).glob("*"):
                if path.suffix != ".json":
                    path.unlink(missing_ok=True)
            note_draft(self._spool, token, segment)
            discard_draft(self._spool, token)

    def _delete_blobs(self, names: list[str]) -> None:
        for name in names:
            self._spooled.path(name).unlink(missing_ok=True)

    def make_room(self) -> None:
        """Delete the reserve, after a file could not be written: the spool may be full."""
        reserve_of(self._spool).unlink(missing_ok=True)

    def end(self, segment: str, gone: Gone | None) -> None:
        """Do nothing: the host that applies the journals notices that no more records come."""

    def clean_up(self) -> None:
        """Delete what killed processes have left in the spool. Called before a moved journal is deleted."""
        for entry in [*self._spool.list_blobs()]:
            with suppress(FileNotFoundError):
                if self._has(blob_name(entry.path), entry.stat().st_size):
                    os.unlink(entry.path)
        if not reserve_of(self._spool).exists():
            reserve_room(self._spool)
        segments = {journal.segment for journal in self._spool.list_journals()}
        for path in self._spool.root.glob("journals/*/*.moved"):
            if path.name[: len(path.name) - len("-000000.moved")] not in segments:
                path.unlink(missing_ok=True)
        for path in self._spool.list_drafts():
            with suppress(FileNotFoundError):
                if path.suffix == ".json":
                    note = read_finalized(self._spool, path.stem)
                    old = time.time() - path.stat().st_mtime > _NOTE_SECONDS
                    if old and (note is None or note.segment not in segments):
                        path.unlink()
                elif not (path / "draft.json").exists():
                    owner = owner_of(path)
                    if owner is not None and is_alive(owner) is False:
                        discard_draft(self._spool, path.name)

    def was_moved(self, found: FinalizedDraft) -> bool:
        """Return whether the contents of a draft are in the store, so that the spool has deleted them."""
        return not self._spooled.has(found.manifest)

    def record_draft(self, token: str, found: FinalizedDraft) -> None:
        """Store the result of a draft, before a record names the draft."""
        receive_finalized(self._store, token, found)

    def known_places(
        self, names: list[str], versions: list[str], again: bool = False
    ) -> dict[str, PackPosition]:
        """Return the places of small contents that the store has.

        Args:
            names: SHA-256 of each content.
            versions: Not used.
            again: Whether the store lacks contents that the draft took over from versions, so that a private
                catalog must tell where they are now. Otherwise return nothing: then all are stored.
        """
        if not again:
            return {}
        # Rarely needed: a garbage collection has repacked them since the draft was made.
        from tracker.recorder.read_only import ReadOnlyStore
        from tracker.store.blobs.packs import known_places

        with without_arrivals(), closing(ReadOnlyStore(self._store.root, from_files=True)) as store:
            with store.reading() as session:
                found = known_places(session, names)
        return {name: place for name, place in found.items() if self._blobs.touch(place[0] or name)}

    def send_blobs(self, names: list[str], versions: Sequence[str] = ()) -> list[str]:
        """Copy blobs to the store and force them to its disk; return those that are in neither folder.

        Args:
            names: SHA-256 of each blob.
            versions: Not used.

        Raises:
            ArtifactError: A blob in the spool is damaged.
        """
        if not names:
            return []
        self._require_store()
        touch(self._store.uploads)  # garbage collection keeps what no record names yet
        lost = []
        for name in names:
            path = self._spooled.path(name)
            size = path.stat().st_size if path.exists() else None
            if not self._has(name, size):
                if size is None:
                    lost.append(name)
                    continue
                self._copy(name)
            self._note_progress()
        return lost

    def _has(self, name: str, size: int | None) -> bool:
        """Return whether the store has a blob. Force the blob to the disk: a killed process may have made it.

        Args:
            name: SHA-256 of the blob.
            size: Its size. A blob of another size was left by a power loss. None: the size is not known.
        """
        path = self._blobs.path(name)
        if not self._blobs.touch(name) or (size is not None and path.stat().st_size != size):
            return False
        sync_named(path)
        return True

    def _copy(self, name: str) -> None:
        waiting = 0
        with self._blobs.open_new() as new:
            for chunk in self._spooled.chunks(name):
                new.write(chunk)
                waiting += len(chunk)
                if waiting > _FORCED_BYTES:
                    new.force()
                    waiting = 0
                    self._note_progress()
            new.force()
            new.keep(name)
        sync_folder(self._blobs.place(name).parent)

    def _require_store(self) -> None:
        """Check that the store is there. An empty mount point is not filled with a new store."""
        try:
            os.stat(self._store.journals)
        except OSError as error:
            reason = error.strerror or str(error)
            raise UnreachableError(f"the store {self._store.root} cannot be reached: {reason}") from error

    def _show_life(self) -> None:
        """Touch the journals of live writers, and those with more records here, while this process lives.

        Otherwise other runs would count as silent while a large artifact is moved.
        """
        while not self._closed.wait(TOUCH_SECONDS):
            for journal in self._spool.list_journals():
                with suppress(OSError):
                    found = journal.path.stat()
                    silent = time.time() - found.st_mtime > MISSED_SECONDS
                    place = self._place(journal.path)
                    if place is not None and not (silent and found.st_size == read_moved(journal.path)):
                        os.utime(place)

    def _new_place(self, journal: Path) -> Path:
        folder = self._store.journals / (journal.parent.name + SPOOLED)
        make_folder(folder)
        return folder / journal.name

    def _place(self, journal: Path) -> Path | None:
        """Return where the store has a journal: it may have been set aside."""
        folder = self._store.journals / (journal.parent.name + SPOOLED)
        if (folder / journal.name).exists():
            return folder / journal.name
        aside = (folder / "silent").glob(f"{journal.stem}-*.journal")
        return max(aside, key=lambda path: path.stat().st_size, default=None)


def read_moved(journal: Path) -> int:
    """Return how many bytes of a journal in a spool are on the disk of the store."""
    try:
        return int(moved_bytes_file(journal).read_bytes())
    except (FileNotFoundError, ValueError):
        return 0


def _write_moved(spool: Layout, journal: Path, count: int) -> None:
    temporary = spool.new_temporary()
    # If the spool is full, this fails, and the same bytes are moved once more later. The caller now deletes
    # the contents that were moved.
    with suppress(OSError):
        temporary.write_bytes(b"%d" % count)
        os.replace(temporary, moved_bytes_file(journal))
    temporary.unlink(missing_ok=True)


def reserve_of(spool: Layout) -> Path:
    """Return the path of the file that keeps room in a spool for the files which the mover writes."""
    return spool.locks / "reserve"


def reserve_room(spool: Layout) -> None:
    """Make the reserve of a spool, if the disk has much more room."""
    disk = os.statvfs(spool.locks)
    if disk.f_bavail * disk.f_frsize > 16 * RESERVED_BYTES:
        with suppress(OSError), reserve_of(spool).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, RESERVED_BYTES)


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        count = os.pwrite(descriptor, rest[:CHUNK], offset)
        rest, offset = rest[count:], offset + count
