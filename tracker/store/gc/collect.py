"""Garbage collection: what nobody names any more goes, beside writers that go on.

What is named (``tracker.store.gc.references``): blobs of versions that are not deleted and of runs' files, of
records in journals that are not applied yet, and of drafts that somebody may still log. Everything else
goes once it has been left alone for the grace period. How a blob goes, and comes back, is in
``tracker.store.blobs.trash``: there a touch protects when it comes after ``limit``.
``limit`` is taken from the clock of the file system *before* anything else is looked at, so a touch that
comes later always does. For one that came earlier, with
a name that cannot be seen yet, there is no danger while the grace period is longer than the time between the
two. As it may be 0, it is also seen to that the name is found:

* Artifacts: content is touched while a draft is settled, between the making of ``DRAFT/lock`` and of
  ``settled.json``. A draft with the first and without the second moves the limit back to before the first.
  ``settled.json`` names what it touched, and stays until the catalog's commit; the catalog is read last.
* Content that a draft took over from an earlier version is named by ``draft.json``, once that is written; if
  it has gone before, settling says so, and no version is made.
* Files of runs: from the touch to the journal's record the writer shares ``locks/naming.lock``. Having had
  that lock alone for a moment, after the limit was taken, means that all who had begun before are through.
* Uploads take several requests. Who received one in the last day has a grace period of a day at least;
  a sender that takes longer asks again what is here.

A blob that holds many small files (a pack) is forgotten in the catalog before it goes, so that nobody is sent
to it; who was sent to it before finds that it cannot be touched. One of which little is wanted is written
anew first (``tracker.store.gc.repack``). Two collections at once: there is a lock, and the second one says so
and ends. What is named and cannot be read (a damaged manifest, a journal of a newer tracker) names nobody
knows what: then nothing goes.
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
from tracker.store.gc.expiry import Going, let_go
from tracker.store.gc.references import (
    NamedManifest,
    PendingReferences,
    applied_to,
    blobs_of,
    files_of_runs,
    manifests_of_versions,
    said_in_journals,
)
from tracker.store.gc.repack import find_sparse, finish_broken_off, repack
from tracker.store.gc.retention import Rule
from tracker.store.objects.atomic_files import make_folder
from tracker.store.objects.layout import Layout, blob_name
from tracker.store.store import Store

DAY = 86_400.0
# A process on a host that cannot be asked is taken for dead when its draft has been left alone for so long.
UNKNOWN_OWNER = 7 * DAY
# A temporary file is written, and gets its name, in one go; nobody needs one of before this.
LONGEST_WRITE = 3600.0
LONGEST_LOG = 90 * DAY
# Nobody is between storing a file and writing its record for longer; else a process is stopped there.
NAMING_PATIENCE = 60.0
_NS = 1_000_000_000


class Item(NamedTuple):
    """Something that goes.

    Attributes:
        kind: ``version``, ``blob``, ``draft``, ``note`` (what became of a draft), ``temporary`` or ``log``.
        name: Which.
        bytes: What the disk gets back: nothing for a version, whose bytes are its blobs', or for a file that
            has another name elsewhere.
        reason: Why.
    """

    kind: str
    name: str
    bytes: int
    reason: str


@dataclass
class Report:
    """What one collection did, or would do.

    Attributes:
        items: What goes.
        notes: What somebody should know.
        young: Blobs that nobody names, and that the grace period keeps.
        young_bytes: Their bytes.
    """

    items: list[Item] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    young: int = 0
    young_bytes: int = 0

    @property
    def bytes(self) -> int:
        """Bytes that the disk gets back."""
        return sum(item.bytes for item in self.items)


def collect(
    store: Store | None,
    outboxes: Sequence[Layout] = (),
    rules: Sequence[Rule] = (),
    *,
    grace: float = DAY,
    dry_run: bool = False,
    ahead: float = 0.0,
) -> Report:
    """Delete what nobody names any more. Its journals have been applied, as far as they can be.

    Args:
        store: Where; None: in outboxes only.
        outboxes: The store's outboxes.
        rules: Which versions are kept; those of collections that no rule matches are until they expire.
        grace: Seconds for which a blob must have been left alone.
        dry_run: Change nothing, only say what would go.
        ahead: Act as if it were so many seconds later.

    Raises:
        StoreError: What is named cannot be known, or another collection is at work; nothing was deleted then,
            or versions only.
    """
    report = Report()
    if store is not None:
        with _alone(store.layout):
            gone, notes = let_go(store, rules, time.time() + ahead, dry_run=dry_run)
            report.notes += notes
            report.items += [Item("version", going.name, 0, going.reason) for going in gone]
            _Collection(store.layout, store, report, gone, grace, ahead, dry_run).run()
    for outbox in outboxes:
        with _alone(outbox):
            _Collection(outbox, None, report, [], grace, ahead, dry_run).run()
    return report


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    make_folder(layout.locks, durable=False)
    lock = FileLock(layout.garbage_lock)
    try:
        if not lock.try_exclusive():
            raise StoreError(f"another garbage collection is at work in {layout.root}: wait for it")
        yield
    finally:
        lock.close()


class _Drafts(NamedTuple):
    """What lies in ``drafts/``."""

    kept: list[str]  # somebody may log them, or has
    dead: list[Path]  # nobody can log them any more; a journal may name them
    notes: list[Path]  # what became of drafts that are gone
    settling_since: int | None


class _Collection:
    """Garbage collection in one store, or (without ``store``) in one outbox. All times are ns."""

    def __init__(
        self,
        layout: Layout,
        store: Store | None,
        report: Report,
        gone: list[Going],
        grace: float,
        ahead: float,
        dry_run: bool,
    ) -> None:
        self._layout = layout
        self._store = store
        self._report = report
        self._gone = gone
        self._dry_run = dry_run
        self._blobs = BlobStore(layout)
        self._former: list[NamedManifest] = []  # of versions that are deleted
        self._links: dict[tuple[int, int], int] = {}  # how many names of a file have gone
        self._now = _clock(layout) + int(ahead * _NS)
        self._limit = self._now - int(grace * _NS)
        self._receives = _mtime(layout.uploads) > self._now - int(DAY * _NS)
        if self._receives and grace < DAY:
            self._limit = self._now - int(DAY * _NS)
            report.notes.append("content came over HTTP in the last day: the grace period is a day")

    def run(self) -> None:
        """Delete what nobody names."""
        if self._store is not None:
            self._repack(self._store)
        _wait_for_naming(self._layout)
        # In this order: what leaves a place has reached a later one before.
        drafts = self._look_at_drafts()
        applied = applied_to(self._store) if self._store is not None else {}
        said = said_in_journals(self._layout, applied)
        named = self._named(drafts, said)
        if drafts.settling_since is not None:
            self._limit = min(self._limit, drafts.settling_since)
        self._trash = Trash(self._layout, self._limit, self._check)
        self._empty_trash(named)
        self._delete_blobs(named)  # before drafts: taking a second name away makes a blob look young
        self._delete_drafts(drafts, said)
        unfinished = "written by a process that did not finish it"
        self._delete_old(self._layout.list_temporary(), LONGEST_WRITE, "temporary", unfinished)
        self._delete_old(self._layout.list_logs(), LONGEST_LOG, "log", "nobody has written to it for 90 days")

    def _check(self) -> None:
        """Raise when another host has taken the catalog over: it may name what nothing names here."""
        if self._store is not None:
            self._store.check_lease()

    def _repack(self, store: Store) -> None:
        """Write packs anew of which little is wanted; the old ones go by a later collection."""
        if not self._dry_run:
            finish_broken_off(store)
        found = find_sparse(store, {each.id for each in self._gone}, self._limit)
        problems = {} if self._dry_run else repack(store, found)
        self._report.notes += problems.values()
        done = [each for each in found if each.pack not in problems]
        if done:
            count = "1 pack" if len(done) == 1 else f"{len(done)} packs"
            wanted, size = sum(each.wanted_bytes for each in done), sum(each.size for each in done)
            self._report.notes.append(
                f"{count} of small files {'would be' if self._dry_run else 'were'} written anew: {wanted} of "
                f"{size} bytes are wanted; the rest is free after a collection behind the grace period"
            )

    def _look_at_drafts(self) -> _Drafts:
        drafts = _Drafts([], [], [], None)
        since = []
        for path in self._layout.list_drafts():
            if path.suffix == ".json":
                drafts.notes.append(path)
                continue
            # Asked before journals are read: a dead process has written all its records by then.
            if self._is_dead(path):
                drafts.dead.append(path)
            else:
                drafts.kept.append(path.name)
            begun = _mtime(path / "lock")
            if begun and not _mtime(path / "settled.json"):
                since.append(begun)
        return drafts._replace(settling_since=min(since, default=None))

    def _is_dead(self, folder: Path) -> bool:
        owner = owner_of(folder)
        alive = is_alive(owner) if owner is not None else None
        if alive is None:
            return _mtime(folder) < min(self._limit, self._now - int(UNKNOWN_OWNER * _NS))
        return not alive and _mtime(folder) < self._limit

    def _named(self, drafts: _Drafts, said: PendingReferences) -> set[str]:
        """Return every blob that somebody names."""
        named = set(said.blobs)
        waiting = [NamedManifest(each, f"the artifact in journal ({each})") for each in said.manifests]
        old: list[NamedManifest] = []
        for token in {*drafts.kept, *said.drafts}:
            found = read_finalized(self._layout, token)
            if found is not None:
                waiting.append(NamedManifest(found.manifest, f"draft {token}"))
                continue
            with suppress(StoreError):  # not logged yet, or gone: then it is a version
                entries = read_draft(self._layout, token).entries
                named.update(each.stored.blob or "" for each in entries if each.stored is not None)
        for path in drafts.notes if self._receives else ():
            # Of an upload, this and the blobs may have come, and the record not yet.
            if _mtime(path) >= self._limit and (found := read_finalized(self._layout, path.stem)) is not None:
                old.append(NamedManifest(found.manifest, path.stem))
        named.update(blobs_of(self._blobs, waiting, strict=True))
        named.update(blobs_of(self._blobs, old, strict=False))
        if self._store is not None:
            going = {each.id for each in self._gone}
            stay, self._former = manifests_of_versions(self._store, going)
            named.update(blobs_of(self._blobs, stay, strict=True))
            named.update(files_of_runs(self._store, said.blobs))
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
        # Read now, as what they are called in is about to go.
        former = blobs_of(self._blobs, self._former, strict=False)
        if self._store is not None and not self._dry_run:
            with self._store.writing() as session:
                # A run that was sealed since has touched the packs that it relies on.
                found = [(path, state) for path, state in found if not self._is_young(path)]
                forget_packs(session, [blob_name(os.fspath(path)) for path, _ in found])
            if self._trash.delays_unlink:
                self._report.notes.append(
                    "this is a network file system: the bytes are free after the next collection"
                )
        here = "" if self._store is not None else f" in outbox {self._layout.root.name}"
        for path, state in found:
            name = blob_name(os.fspath(path))
            version = former.get(name)
            reason = f"nothing names it{here}" if version is None else f"of {version}, which is deleted"
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
        for path, state, goes in self._trash.left(named, self._now):
            if goes:
                self._unlink(path, state, "blob", "left in the trash")
            elif not self._dry_run:
                self._trash.give_back(path)

    def _delete_drafts(self, drafts: _Drafts, said: PendingReferences) -> None:
        for folder in drafts.dead:
            if folder.name not in said.drafts:
                self._delete_draft(folder)
        day_ago = self._now - int(DAY * _NS)
        for path in drafts.notes:
            # One that is gone was its segment's, which has been sealed.
            with suppress(FileNotFoundError):
                if _mtime(path) < min(day_ago, self._limit) and path.stem not in said.drafts:
                    self._unlink(path, path.lstat(), "note", "what became of a draft, older than a day")

    def _delete_draft(self, folder: Path) -> None:
        size = 0
        for path in folder.rglob("*"):
            with suppress(FileNotFoundError):
                size += self._freed(path.lstat())
        if not self._dry_run:
            self._check()
            shutil.rmtree(folder, ignore_errors=True)
        reason = "captured by a process that ended without logging it"
        self._report.items.append(Item("draft", folder.name, size, reason))

    def _delete_old(self, paths: Iterable[Path], seconds: float, kind: str, reason: str) -> None:
        """Delete files that nobody has written to for so long."""
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
        """Return what the disk gets back when one name of a file goes: nothing while it has others.

        Args:
            state: As it was when the first of its names was about to go.
        """
        if state.st_nlink == 1:
            return state.st_size
        file = (state.st_dev, state.st_ino)
        left = self._links.get(file, state.st_nlink) - 1
        self._links[file] = left
        return state.st_size if left == 0 else 0


def _clock(layout: Layout) -> int:
    """Return what time it is for the file system: another host's, perhaps, and a tick behind ours."""
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
    """Wait until all who had stored a file when this was called have written the record that names it."""
    lock = FileLock(layout.naming_lock)
    try:
        end = time.monotonic() + NAMING_PATIENCE
        while not lock.try_exclusive():
            if time.monotonic() > end:
                raise StoreError(
                    f"a process has kept {layout.naming_lock} for {NAMING_PATIENCE:.0f} s: it stores a file "
                    "and does not get on; nothing was deleted"
                )
            time.sleep(0.005)
    finally:
        lock.close()
