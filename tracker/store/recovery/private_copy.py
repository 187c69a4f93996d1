"""A private copy of a catalog, for a process that can read a store but not write to its catalog.

If the store has no catalog here, or its catalog belongs to another host, a catalog of the published files is
built instead.

SQLite cannot read a catalog with a write-ahead log if it cannot create files next to the catalog. Reading
without the log would miss the newest commits. So this process copies the catalog and the log to a folder of
its own, and applies journals that no process has applied to the copy. It reads blobs, Parquet parts and
journals in the store. Nothing is written to the store or deleted from it.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from tracker.errors import StoreError
from tracker.ground.filesystems import is_network
from tracker.ground.terminal import say
from tracker.store.blobs.content import CHUNK, BlobStore, Piece
from tracker.store.blobs.packs import note_pieces, read_index
from tracker.store.catalog import database
from tracker.store.catalog.lease import catalog_of
from tracker.store.catalog.models import ApiKey, BrowserSession, Clock, Run, Segment, User
from tracker.store.catalog.revision_cache import RevisionCache
from tracker.store.catalog.sqlite import find_damage, open_engine
from tracker.store.objects.atomic_files import make_folder, open_regular
from tracker.store.objects.layout import JournalPath, Layout
from tracker.store.objects.store_file import is_marked_with_people
from tracker.store.published.models import PublishedRun, read_published_model
from tracker.store.queries.people import people_revision
from tracker.store.queries.runs import revision
from tracker.store.recovery.file_changes import FileStates, has_all_changes, has_run, list_states
from tracker.store.recovery.rebuild import build_private
from tracker.store.store import Store, find_piece

# From time to time, a program that writes the catalog moves the log into the catalog. A copy must be
# repeated then.
_ATTEMPTS = 5
# Longer than the resolution of file times, so that a later write changes them.
_TICK_SECONDS = 0.02
# The size of the header of a write-ahead log. The header changes when the log is restarted.
_LOG_HEADER = 32


class CopyLayout(Layout):
    """Paths of a private copy. Files are written in ``root``, and read there or in the original store.

    A small file that is read first and replaced later is a symbolic link here until it is replaced.
    """

    def __init__(self, root: Path, store: Layout) -> None:
        super().__init__(root)
        self._store = store
        self.source = store.root
        self.trash = store.trash

    def list_journals(self, host: str | None = None) -> list[JournalPath]:
        """Return the journals of the store. A link or a FIFO in the place of a journal is left out."""
        return [journal for journal in self._store.list_journals(host) if is_regular(journal.path)]

    def host_journals(self, host: str) -> Path:
        """Return the folder of the store's journals that were written on ``host``."""
        return self._store.host_journals(host)

    def segment_journals(self, segment: str, last: int) -> list[JournalPath]:
        """Return the journals of one segment in the store."""
        return [each for each in self._store.segment_journals(segment, last) if is_regular(each.path)]

    def list_blobs(self) -> Iterable[os.DirEntry[str]]:  # type: ignore[override]
        """Yield every blob of the store."""
        return self._store.list_blobs()

    def blob_places(self, sha256: str) -> tuple[Path, ...]:
        """Return the paths where a blob may be: in the copy, in a draft of the store, or among its blobs."""
        own = self.blob(sha256)
        with suppress(OSError):
            own = own.readlink()
        return own, *self._store.blob_places(sha256)

    def list_packs(self) -> list[Path]:
        """Return the packs of the store."""
        return self._store.list_packs()

    def tombstone(self, entity: str, project: str, run_id: str) -> Path:
        """Return the path of a run's tombstone in the store. See ``Layout.tombstone``."""
        return self._store.tombstone(entity, project, run_id)

    def moves(self, entity: str, project: str, run_id: str) -> Path:
        """Return the path of the file with a run's moves in the store. See ``Layout.moves``."""
        return self._store.moves(entity, project, run_id)

    def alias(self, entity: str, project: str, name: str, alias: str) -> Path:
        """Return the path of an alias file in the copy, linked to the store's file. See ``Layout.alias``."""
        own = super().alias(entity, project, name, alias)
        _link(own, self._store.alias(entity, project, name, alias))
        return own

    def draft(self, token: str) -> Path:
        """Return the folder of a draft in the copy; link its files to those of the store first."""
        own, folder = super().draft(token), self._store.draft(token)
        if not own.exists() and folder.is_dir() and not folder.is_symlink():
            for path in folder.iterdir():
                if path.name != "lock":
                    _link(own / path.name, path)
        return own

    def finalized(self, token: str) -> Path:
        """Return the path of a finalized draft's result in the copy; link it to the store's file first."""
        own = super().finalized(token)
        _link(own, self._store.finalized(token))
        return own


def is_regular(path: Path) -> bool:
    """Return whether a path is a regular file, and not a link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _link(own: Path, path: Path) -> None:
    """Make a symbolic link in the copy to a regular file of the store, unless the copy has this file."""
    if is_regular(path) and not os.path.lexists(own):
        make_folder(own.parent, durable=False)
        own.symlink_to(path)


class CatalogState(NamedTuple):
    """A fingerprint of a catalog, which changes with each commit.

    Attributes:
        catalog: The inode, size and modification time (ns) of the catalog; None if the file is missing.
        log: The same of the write-ahead log.
        header: The header of the write-ahead log.
    """

    catalog: tuple[int, int, int] | None
    log: tuple[int, int, int] | None
    header: bytes


class PrivateCopy(Store):
    """A store whose catalog is a copy in a folder of this process. Journals can be applied to the copy.

    Attributes:
        state: The fingerprint of the catalog that was copied; None if the catalog was built from files.
        files: The states of the published files from which the catalog was built.
        copied_revision: The revision of the catalog that was copied.
        copied_secrets: The hashes of the API keys and cookies in the catalog that was copied.
        problems: One line for each published file that is missing or cannot be read.

    Args:
        layout: The paths of the copy and of the store.
        former: An earlier copy. The API keys and browser sessions that were made in it are kept, and the
            revisions continue from its revisions.
        from_files: Whether to read only published files, and not the catalog of the store.

    Raises:
        StoreError: The catalog is damaged, or changes during each copy.
        StoreVersionError: A newer tracker made the catalog or a published file.
    """

    def __init__(
        self, layout: CopyLayout, former: PrivateCopy | None = None, *, from_files: bool = False
    ) -> None:
        # Not ``Store.__init__``: no other process uses this catalog, so it needs no locks and no lease.
        self.layout = layout
        for folder in (layout.temporary, layout.locks):
            folder.mkdir(parents=True)
        original = Layout(layout.source)
        self._packs = set(original.list_packs())
        self.state: CatalogState | None = None
        self.files: FileStates = {}
        self.problems: list[str] = []
        if not from_files:
            source = find_catalog(original)
            self.state = copy_catalog(source, layout.catalog)
        if self.state is not None and self.state.catalog is None:  # it is lost: the files are enough
            self.state = None
            if is_marked_with_people(original):  # else private projects would be visible
                raise StoreError(
                    f"the catalog of {layout.source} is not on this host ({source}) and the store has users: "
                    "read the store on the host that has the catalog, or copy the store to a writable folder "
                    "and run `tracker rebuild` there"
                )
        if self.state is None:
            self._build(original)
            for line in self.problems:
                if former is None or line not in former.problems:
                    say(line)
        self._engine = open_engine(layout.catalog)
        self._cache = RevisionCache()
        self.blobs = BlobStore(layout, self._find_piece)
        try:
            database.migrate(self._engine, layout.locks / "catalog.lock")
            self._adapt(former)
        except BaseException:
            self._engine.dispose()
            raise

    def _build(self, store: Layout) -> None:
        """Build the catalog from the published files of the store.

        A file may be replaced between the reads of two others that belong to it. Then some files seem to be
        missing, and the catalog is built again.
        """
        for _ in range(_ATTEMPTS):
            for ending in ("", "-wal", "-shm"):
                self.layout.catalog.with_name(self.layout.catalog.name + ending).unlink(missing_ok=True)
            self.files = list_states(store)
            lock = self.layout.locks / "catalog.lock"
            self.problems = build_private(store, self.layout.catalog, lock)
            if not self.problems or list_states(store) == self.files:
                return

    def _find_piece(self, sha256: str) -> Piece | None:
        """Return the place of a content in a pack, which may be newer than the copy: see ``find_piece``.

        The process that seals a run moves its small files into packs. No published file names these.
        """
        piece = find_piece(self._engine, sha256)
        if piece is None and (fresh := set(self.layout.list_packs()) - self._packs):
            self._packs |= fresh
            for path in fresh:
                with suppress(ValueError, OSError), self.writing() as session:  # a damaged pack has nothing
                    places = {
                        each.sha256: Piece(path.stem, each.offset, each.size) for each in read_index(path)
                    }
                    note_pieces(session, places)
            piece = find_piece(self._engine, sha256)
        return piece

    def is_current(self, *, from_files: bool) -> bool:
        """Return whether the copy has all changes of the catalog of the store, or of its files.

        Args:
            from_files: Whether to read only published files, and not the catalog of the store.

        Raises:
            OSError: The store cannot be read.
            StoreError: See ``find_catalog``.
        """
        store = Layout(self.layout.source)
        if not from_files:
            state = catalog_state(find_catalog(store))
            if state.catalog is not None or self.state is not None:
                return state == self.state
        found = list_states(store)
        with self.reading() as session:
            current = has_all_changes(session, store, self.files, found)
        if current:
            self.files = found
        return current

    def has_segment(self, name: str) -> bool:
        """Return whether the copy has everything that the published file of a segment's run has."""
        with self.reading() as session:
            run = session.scalar(
                select(Run).join(Segment, Segment.run_id == Run.id).where(Segment.segment == name)
            )
            if run is None:
                return False
            place = (run.project.entity, run.project.name, run.run_id)
            try:
                published = read_published_model(Layout(self.layout.source).run_file(*place), PublishedRun)
            except (ValueError, OSError):
                return False
            return has_run(session, published)

    @property
    def catalog(self) -> Path:
        """The file of the copied catalog."""
        return self.layout.catalog

    def check_lease(self) -> None:
        """Do nothing, as no other host can take over the copy."""

    def close(self) -> None:
        """Close all connections and remove the copy."""
        self._engine.dispose()
        shutil.rmtree(self.root, ignore_errors=True)

    def _adapt(self, former: PrivateCopy | None) -> None:
        with self.reading() as session:
            self.copied_revision = revision(session)
            self.copied_secrets = {
                secret
                for table in (ApiKey, BrowserSession)
                for secret in session.scalars(select(table.sha256))
            }
        if is_network(self.layout.source):  # a network file system may return old content from its cache
            found = find_damage(self.catalog, "quick_check")
            if found is not None:
                raise StoreError(f"the copy of the catalog of {self.layout.source} is damaged: {found}")
        with self.writing() as session:
            for table in ("parts", "captured_parts"):
                outside = (
                    f"SELECT path FROM {table} WHERE path NOT LIKE 'runs/%' OR path LIKE '%/../%' LIMIT 1"
                )
                if (path := session.scalar(text(outside))) is not None:
                    raise StoreError(
                        f"the catalog of {self.layout.source} names a file outside of the store: {path}"
                    )
                session.execute(
                    text(f"UPDATE {table} SET path = :folder || path"), {"folder": f"{self.layout.source}/"}
                )
            if former is None:
                return
            with former.reading() as earlier:
                shift = revision(earlier) - former.copied_revision
                people = max(people_revision(earlier), people_revision(session)) + 1
                _keep_secrets(earlier, former.copied_secrets, session)
            # Changes since the former copy get revisions above all revisions that readers saw there.
            session.execute(text("UPDATE runs SET revision = revision + :shift"), {"shift": shift})
            session.merge(Clock(id=1, revision=self.copied_revision + shift, people_revision=people))


def _keep_secrets(earlier: Session, copied: set[str], session: Session) -> None:
    """Add the API keys and browser sessions that were made in an earlier copy to a new one.

    Those that the store had are not added: the store still has them, or they were revoked there. The numbers
    of keys and users may have been given to others in the store.

    Args:
        earlier: A transaction in the earlier copy.
        copied: The hashes of the keys and cookies that the earlier copy got from the store.
        session: A write transaction in the new copy.
    """
    users = {user.id: user.created_at for user in session.scalars(select(User))}

    def has_user(user_id: int | None) -> bool:
        return user_id is None or users.get(user_id) == earlier.get_one(User, user_id).created_at

    for key in earlier.scalars(select(ApiKey)):
        if key.sha256 not in copied and has_user(key.user_id):
            session.add(ApiKey(**_values(key)))
    session.flush()
    for each in earlier.scalars(select(BrowserSession)):
        if each.sha256 in copied or not has_user(each.user_id):
            continue
        values = _values(each)
        if each.key_id is not None:
            secret = earlier.get_one(ApiKey, each.key_id).sha256
            values["key_id"] = session.scalar(select(ApiKey.id).where(ApiKey.sha256 == secret))
        if (each.key_id is None) == (values["key_id"] is None):
            session.add(BrowserSession(**values))


def _values(row: ApiKey | BrowserSession) -> dict[str, Any]:
    """Return the columns of a row, except its number."""
    names = [column.name for column in row.__table__.columns if column.name != "id"]
    return {name: getattr(row, name) for name in names}


def find_catalog(layout: Layout) -> Path:
    """Return the path of a store's catalog.

    Raises:
        StoreError: The lease names a file outside of the store that does not belong to the store's owner.
    """
    found = catalog_of(layout)
    with suppress(FileNotFoundError):
        if found.parent != layout.root and found.stat().st_uid != layout.root.stat().st_uid:
            raise StoreError(f"the lease of {layout.root} names a catalog of another user: {found}")
    return found


def copy_catalog(source: Path, target: Path) -> CatalogState:
    """Copy a consistent state of a catalog and its log; return the fingerprint of the copied catalog.

    Another program may write the catalog at the same time. Usually it appends to the log, and the beginning
    of a log is a valid log. When it moves the log into the catalog, or restarts the log, both files are
    copied again.

    Raises:
        StoreError: The catalog cannot be read, or changes during each copy.
    """
    try:
        for _ in range(_ATTEMPTS):
            before = catalog_state(source)
            time.sleep(_TICK_SECONDS)
            _copy(log_of(source), log_of(target))
            _copy(source, target)
            after = catalog_state(source)
            if (before.catalog, before.header) == (after.catalog, after.header):
                return before
    except OSError as error:
        raise StoreError(f"cannot copy {source} to {target.parent}: {error.strerror or error}") from error
    raise StoreError(f"{source} changed during each of {_ATTEMPTS} copies: try again")


def catalog_state(catalog: Path) -> CatalogState:
    """Return the fingerprint of a catalog, which may be missing.

    Raises:
        OSError: The catalog cannot be read.
    """
    found: list[tuple[int, int, int] | None] = []
    header = b""
    for path in (catalog, log_of(catalog)):
        file = _open(path)
        if file is None:
            found.append(None)
            continue
        with file:
            state = os.fstat(file.fileno())
            header = file.read(_LOG_HEADER)  # the log comes last, so this is its header if there is a log
        found.append((state.st_ino, state.st_size, state.st_mtime_ns))
    return CatalogState(found[0], found[1], header if found[1] is not None else b"")


def log_of(catalog: Path) -> Path:
    """Return the path of a catalog's write-ahead log."""
    return catalog.with_name(f"{catalog.name}-wal")


def _copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    file = _open(source)
    if file is not None:
        with file, target.open("xb") as copy:
            shutil.copyfileobj(file, copy, CHUNK)


def _open(path: Path) -> IO[bytes] | None:
    try:
        return os.fdopen(open_regular(path), "rb")
    except FileNotFoundError:
        return None
