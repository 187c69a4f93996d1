"""Garbage collection: deletes unreferenced files while writers continue.

References (``tracker.store.gc.references``) come from versions that are not deleted, files of runs, records
in journals that are not applied yet, and drafts that a process may still log. A file without reference is
deleted after the grace period.

A writer *touches* a blob (sets its modification time to now) before it references the blob: see
``tracker.store.blobs.trash``. A touch at ``limit`` or later protects the blob. ``limit`` is the time of the
file system minus the grace period. This time is read *before* the references, so each later touch protects.

An earlier touch does not protect, and the reference that follows it may not be visible yet. A grace period
longer than the time between touch and reference excludes this case. Because the grace period may be 0,
collection also handles the case in these ways:

* Artifacts: finalizing a draft touches contents after it creates ``DRAFT/lock`` and before it creates
  ``settled.json``. While a draft has ``lock`` and not ``settled.json``, the limit is at most the time of
  ``lock``. ``settled.json`` references the touched contents, and it stays until the commit to the catalog.
  The catalog is read last.
* Contents that a draft takes over from an earlier version: ``draft.json`` references them. If one of them is
  deleted before ``draft.json`` is written, finalizing reports an error and does not make a version.
* Files of runs: a writer holds ``locks/naming.lock`` (shared) from the touch until the record is in the
  journal. Collection takes that lock exclusively once after reading the time, so each writer that touched a
  file earlier has written its record.
* Uploads need several requests. A store that received an upload in the last day has a grace period of at
  least one day. A sender that takes longer asks the server again which contents are missing.

Before a pack (a blob with many small files) is deleted, its rows in the catalog are deleted, so that no
writer finds its contents there. A writer that found them earlier cannot touch the pack any more. Packs with
little referenced content are first repacked (``tracker.store.gc.repack``). A lock prevents two collections at
the same time: the second one raises an error. If a reference cannot be read (a damaged manifest, a journal of
a newer tracker), no file is deleted.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tracker.errors import StoreError
from tracker.ground.processes import is_alive
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.drafts import owner_of, read_draft
from tracker.store.blobs.finalize import read_finalized
from tracker.store.blobs.packs import forget_packs
from tracker.store.blobs.trash import Trash, is_young
from tracker.store.catalog.locks import FileLock
from tracker.store.gc.expiry import DueVersion, delete_due, purge_due
from tracker.store.gc.references import (
    NamedManifest,
    PendingReferences,
    applied_positions,
    blobs_of,
    files_of_runs,
    kept_references,
    manifests_of_versions,
    pending_references,
)
from tracker.store.gc.repack import find_sparse, finish_interrupted_repack, repack
from tracker.store.gc.retention import Rule
from tracker.store.ingest.uploads import forget_missing
from tracker.store.objects.atomic_files import make_folder
from tracker.store.objects.layout import Layout, blob_name
from tracker.store.store import Store

DAY = 86_400.0
# A draft's process on another host counts as dead if the draft has not changed for this time.
UNKNOWN_OWNER = 7 * DAY
# A temporary file is written and renamed without a pause, so an older one is abandoned.
LONGEST_WRITE = 3600.0
LONGEST_LOG = 90 * DAY
# Longest wait for a process that has stored a file and not yet written its record. Then collection fails.
NAMING_PATIENCE = 60.0
_NS = 1_000_000_000


class Item(NamedTuple):
    """A version or file that is deleted, or that a dry run would delete.

    Attributes:
        kind: ``run`` (a deleted run), ``version``, ``blob``, ``draft``, ``note`` (the result of a removed
            draft), ``temporary`` or ``log``.
        name: Name of the version or file.
        bytes: Disk space that is freed, in bytes. 0 for a version, because its blobs are separate items, and
            for a file with other hard links.
        reason: Reason for the deletion.
    """

    kind: str
    name: str
    bytes: int
    reason: str


@dataclass
class Report:
    """The result of a collection, or of a dry run.

    Attributes:
        items: The versions and files that are deleted, or that a dry run would delete.
        notes: Messages for the user.
        young: Number of unreferenced blobs that are kept because of the grace period.
        young_bytes: Size of these blobs in bytes.
    """

    items: list[Item] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    young: int = 0
    young_bytes: int = 0

    @property
    def bytes(self) -> int:
        """Disk space that is freed, in bytes."""
        return sum(item.bytes for item in self.items)


def collect(
    store: Store | None,
    outboxes: Sequence[Layout] = (),
    rules: Sequence[Rule] = (),
    *,
    spools: Sequence[Layout] = (),
    grace: float = DAY,
    dry_run: bool = False,
    ahead: float = 0.0,
) -> Report:
    """Delete unreferenced files, expired versions, and versions that a retention rule does not keep.

    Call this after the journals of the store have been applied, as far as possible.

    Args:
        store: The store. None: collect only in the outboxes and spools.
        outboxes: The outboxes of the store.
        rules: Retention rules. Versions of collections without a matching rule are kept until they expire.
        spools: The spools of the store on this host.
        grace: Grace period in seconds. A blob is deleted if it has not been touched for this time.
        dry_run: Whether to change nothing and only report.
        ahead: Number of seconds to add to the current time, to see the effect of a later collection.

    Raises:
        StoreError: A reference cannot be read, or another collection is running. Earlier steps are not
            undone. The order is: the versions, the files of the store, of each outbox, of each spool.
    """
    report = Report()
    if store is not None:
        with _exclusive(store.layout):
            for name, size in purge_due(store, time.time() + ahead, dry_run=dry_run):
                report.items.append(Item("run", name, size, "deleted, and its grace period has ended"))
            gone, notes = delete_due(store, rules, time.time() + ahead, dry_run=dry_run)
            report.notes += notes
            report.items += [Item("version", due.name, 0, due.reason) for due in gone]
            _Collection(store.layout, store, report, gone, grace, ahead, dry_run).run()
    for outbox in (*outboxes, *spools):
        with _exclusive(outbox):
            _Collection(outbox, None, report, [], grace, ahead, dry_run, is_spool=outbox in spools).run()
    return report


@contextmanager
def _exclusive(layout: Layout) -> Iterator[None]:
    make_folder(layout.locks, durable=False)
    lock = FileLock(layout.garbage_lock)
    try:
        if not lock.try_exclusive():
            raise StoreError(f"another garbage collection is running in {layout.root}: wait until it ends")
        yield
    finally:
        lock.close()


class _Drafts(NamedTuple):
    """The content of ``drafts/``.

    Attributes:
        kept: Tokens of drafts that a process may log, or has logged.
        dead: Drafts of processes that have ended. A journal may reference them.
        notes: Results of removed drafts.
        finalizing_since: Time in ns since which a draft is being finalized; None if there is no such draft.
    """

    kept: list[str]
    dead: list[Path]
    notes: list[Path]
    finalizing_since: int | None


class _Collection:
    """A garbage collection in one store, or (without ``store``) in one outbox or spool.

    ``grace`` and ``ahead`` are in seconds; all other times are in ns.
    """

    def __init__(
        self,
        layout: Layout,
        store: Store | None,
        report: Report,
        gone: list[DueVersion],
        grace: float,
        ahead: float,
        dry_run: bool,
        *,
        is_spool: bool = False,
    ) -> None:
        self._layout = layout
        self._store = store
        self._report = report
        self._gone = gone
        self._dry_run = dry_run
        self._is_spool = is_spool
        self._blobs = BlobStore(layout)
        self._former: list[NamedManifest] = []  # manifests of deleted versions
        self._links: dict[tuple[int, int], int] = {}  # remaining links of each file, by device and inode
        self._now = _clock(layout) + int(ahead * _NS)
        self._limit = self._now - int(grace * _NS)
        self._receives = _mtime(layout.uploads) > self._now - int(DAY * _NS)
        if self._receives and grace < DAY:
            self._limit = self._now - int(DAY * _NS)
            report.notes.append("this store received uploads in the last day: the grace period is a day")

    def run(self) -> None:
        """Delete unreferenced files."""
        if self._store is not None:
            self._repack(self._store)
        _wait_for_naming(self._layout)
        # In this order, because references move from drafts to journals and then to the catalog.
        drafts = self._read_drafts()
        applied = applied_positions(self._store) if self._store is not None else {}
        pending = pending_references(self._layout, applied)
        named = self._named(drafts, pending)
        if drafts.finalizing_since is not None:
            self._limit = min(self._limit, drafts.finalizing_since)
        self._trash = Trash(self._layout, self._limit, self._check)
        self._empty_trash(named)
        self._delete_blobs(named)  # before drafts: removing a link to a blob changes the ctime of the blob
        self._delete_drafts(drafts, pending)
        unfinished = "left by a process that did not finish writing it"
        self._delete_old(self._layout.list_temporary(), LONGEST_WRITE, "temporary", unfinished)
        self._delete_old(self._layout.list_logs(), LONGEST_LOG, "log", "unchanged for 90 days")
        if self._store is not None and not self._dry_run:
            forget_missing(self._store, (self._now / _NS) - DAY)

    def _check(self) -> None:
        """Raise if another host has taken over the catalog, because its catalog may have new references."""
        if self._store is not None:
            self._store.check_lease()

    def _repack(self, store: Store) -> None:
        """Repack packs with little referenced content. A later collection deletes the old packs."""
        if not self._dry_run:
            finish_interrupted_repack(store)
        found = find_sparse(store, {each.id for each in self._gone}, self._limit)
        problems = {} if self._dry_run else repack(store, found)
        self._report.notes += problems.values()
        done = [each for each in found if each.pack not in problems]
        if done:
            count = "1 pack" if len(done) == 1 else f"{len(done)} packs"
            wanted, size = sum(each.wanted_bytes for each in done), sum(each.size for each in done)
            self._report.notes.append(
                f"{'would repack' if self._dry_run else 'repacked'} {count} of small files: {wanted} of "
                f"{size} bytes are in use; a collection after the grace period frees the rest"
            )

    def _read_drafts(self) -> _Drafts:
        drafts = _Drafts([], [], [], None)
        since = []
        for path in self._layout.list_drafts():
            if path.suffix == ".json":
                drafts.notes.append(path)
                continue
            # Checked before the journals are read: a dead process has written all its records by then.
            if self._is_dead(path):
                drafts.dead.append(path)
            else:
                drafts.kept.append(path.name)
            begun = _mtime(path / "lock")
            if begun and not _mtime(path / "settled.json"):
                since.append(begun)
        return drafts._replace(finalizing_since=min(since, default=None))

    def _is_dead(self, folder: Path) -> bool:
        owner = owner_of(folder)
        alive = is_alive(owner) if owner is not None else None
        if alive is None:
            return _mtime(folder) < min(self._limit, self._now - int(UNKNOWN_OWNER * _NS))
        return not alive and _mtime(folder) < self._limit

    def _named(self, drafts: _Drafts, pending: PendingReferences) -> set[str]:
        """Return the SHA-256s of all referenced blobs."""
        named = set(pending.blobs)
        waiting = [NamedManifest(each, f"the artifact in journal ({each})") for each in pending.manifests]
        old: list[NamedManifest] = []
        for token in {*drafts.kept, *pending.drafts}:
            found = read_finalized(self._layout, token)
            if found is not None:
                waiting.append(NamedManifest(found.manifest, f"draft {token}"))
                continue
            with suppress(StoreError):  # not logged yet, or removed because it has become a version
                entries = read_draft(self._layout, token).entries
                named.update(each.stored.blob or "" for each in entries if each.stored is not None)
        for path in drafts.notes if self._receives else ():
            # An upload may have sent the note and the blobs, but not the record yet.
            if _mtime(path) >= self._limit and (found := read_finalized(self._layout, path.stem)) is not None:
                old.append(NamedManifest(found.manifest, path.stem))
        # The files of an artifact leave a spool before the journal that names them, and before its draft.
        named.update(blobs_of(self._blobs, waiting, strict=True, moved=self._is_spool))
        named.update(blobs_of(self._blobs, old, strict=False))
        if self._store is not None:
            going = {each.id for each in self._gone}
            before = kept_references(self._store)
            stay, self._former = manifests_of_versions(self._store, going)
            named.update(files_of_runs(self._store, pending.blobs | before.blobs))
            after = kept_references(self._store)
            if after.blobs - before.blobs:
                named.update(files_of_runs(self._store, after.blobs))
            kept = before.manifests | after.manifests
            stay += [NamedManifest(sha256, version) for sha256, version in kept.items()]
            named.update(blobs_of(self._blobs, stay, strict=True))
        return named

    def _delete_blobs(self, named: set[str]) -> None:
        found: list[tuple[Path, os.stat_result]] = []
        for entry in self._layout.list_blobs():
            name = blob_name(entry.path)
            if name in named or len(name) != 64:
                continue
            with suppress(FileNotFoundError):
                state = entry.stat(follow_symlinks=False)
                if is_young(state, self._limit):
                    self._report.young += 1
                    self._report.young_bytes += state.st_size
                else:
                    found.append((Path(entry.path), state))
        if not found:
            return
        # Read the manifests of deleted versions now, because they are about to be deleted too.
        former = blobs_of(self._blobs, self._former, strict=False)
        if self._store is not None and not self._dry_run:
            with self._store.writing() as session:
                # A segment that was sealed in the meantime has touched the packs with its files.
                found = [(path, state) for path, state in found if not self._is_young(path)]
                forget_packs(session, [blob_name(os.fspath(path)) for path, _ in found])
            if self._trash.delays_unlink:
                self._report.notes.append(
                    "the store is on a network file system: the next collection frees the disk space"
                )
        root = self._layout.root
        where = f"spool {root}" if self._is_spool else f"outbox {root.name}"
        here = "" if self._store is not None else f" in {where}"
        for path, state in found:
            name = blob_name(os.fspath(path))
            version = former.get(name)
            reason = f"not referenced{here}" if version is None else f"of {version}, which is deleted"
            if self._dry_run or self._take(path, state):
                self._note("blob", name, state, reason)

    def _is_young(self, path: Path) -> bool:
        with suppress(FileNotFoundError):
            return is_young(path.stat(), self._limit)
        return True

    def _take(self, path: Path, judged: os.stat_result) -> bool:
        try:
            return self._trash.take(path, judged)
        except OSError as error:
            self._report.notes.append(f"{path} cannot be deleted: {error.strerror}")
            return False

    def _empty_trash(self, named: set[str]) -> None:
        for path, state, deletable in self._trash.leftovers(named, self._now):
            if deletable:
                self._unlink(path, state, "blob", "left in the trash")
            elif not self._dry_run:
                self._trash.give_back(path)

    def _delete_drafts(self, drafts: _Drafts, pending: PendingReferences) -> None:
        for folder in drafts.dead:
            if folder.name not in pending.drafts:
                self._delete_draft(folder)
        day_ago = self._now - int(DAY * _NS)
        for path in drafts.notes:
            # Sealing a segment deletes its notes, perhaps at this moment.
            with suppress(FileNotFoundError):
                if _mtime(path) < min(day_ago, self._limit) and path.stem not in pending.drafts:
                    self._unlink(path, path.lstat(), "note", "the result of a draft, older than a day")

    def _delete_draft(self, folder: Path) -> None:
        size = 0
        for path in folder.rglob("*"):
            with suppress(FileNotFoundError):
                size += self._freed(path.lstat())
        if not self._dry_run:
            self._check()
            shutil.rmtree(folder, ignore_errors=True)
        reason = "the draft of a process that ended without logging it"
        self._report.items.append(Item("draft", folder.name, size, reason))

    def _delete_old(self, paths: Iterable[Path], seconds: float, kind: str, reason: str) -> None:
        """Delete regular files that have not changed for ``seconds``."""
        limit = min(self._limit, self._now - int(seconds * _NS))
        for path in paths:
            with suppress(FileNotFoundError):
                state = path.lstat()
                if stat.S_ISREG(state.st_mode) and not is_young(state, limit):
                    self._unlink(path, state, kind, reason)

    def _unlink(self, path: Path, state: os.stat_result, kind: str, reason: str) -> None:
        try:
            if not self._dry_run:
                self._check()
                path.unlink(missing_ok=True)
        except OSError as error:
            self._report.notes.append(f"{path} cannot be deleted: {error.strerror}")
            return
        self._note(kind, path.name, state, reason)

    def _note(self, kind: str, name: str, state: os.stat_result, reason: str) -> None:
        self._report.items.append(Item(kind, name, self._freed(state), reason))

    def _freed(self, state: os.stat_result) -> int:
        """Return the bytes that removing one link of a file frees: 0 while other links remain.

        Args:
            state: State of the file before the collection removes its first link.
        """
        if state.st_nlink == 1:
            return state.st_size
        file = (state.st_dev, state.st_ino)
        left = self._links.get(file, state.st_nlink) - 1
        self._links[file] = left
        return state.st_size if left == 0 else 0


def _clock(layout: Layout) -> int:
    """Return the file system's time in ns. A file server's clock may differ from this host's clock."""
    probe = layout.new_temporary()
    make_folder(probe.parent, durable=False)
    try:
        probe.touch()
        return probe.stat().st_mtime_ns
    finally:
        probe.unlink(missing_ok=True)


def _mtime(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _wait_for_naming(layout: Layout) -> None:
    """Wait until every writer that has stored a file by now has written the record that references it."""
    lock = FileLock(layout.naming_lock)
    try:
        end = time.monotonic() + NAMING_PATIENCE
        while not lock.try_exclusive():
            if time.monotonic() > end:
                raise StoreError(
                    f"a process has held {layout.naming_lock} for {NAMING_PATIENCE:.0f} s and seems to hang "
                    "while it stores a file; no content was deleted. End the process, then collect again"
                )
            time.sleep(0.005)
    finally:
        lock.close()
