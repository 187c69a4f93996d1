"""A private copy of the catalog of a store that this process may read and not write to.

SQLite cannot read a catalog with a write-ahead log where it may not make files beside it, and reading without
the log would leave out the newest commits. So the catalog and its log are copied to a folder of this process,
and journals that nobody has applied are applied to the copy. Blobs, Parquet parts and journals are read where
they are. Nothing is written to the store, nor deleted from it.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from sqlalchemy import select, text

from tracker.errors import StoreError
from tracker.ground.filesystems import is_network
from tracker.store.blobs.content import CHUNK, BlobStore
from tracker.store.catalog import database
from tracker.store.catalog.lease import catalog_of
from tracker.store.catalog.models import ApiKey, Clock
from tracker.store.catalog.sqlite import find_damage, open_engine
from tracker.store.objects.atomic_files import make_folder, open_regular
from tracker.store.objects.layout import JournalPath, Layout
from tracker.store.queries.runs import revision
from tracker.store.store import Store, find_piece

# A program that writes the catalog moves its log into it now and then. Few copies meet that.
_ATTEMPTS = 5
# Longer than the unit of file times: a write after this changes them.
_TICK_SECONDS = 0.02
# The beginning of a write-ahead log: it changes when the log begins anew.
_LOG_HEADER = 32


class CopyLayout(Layout):
    """Paths of a private copy: what is written is in ``root``, what is read may be in the other store.

    Small files that are read first and then replaced are links here until they are replaced.
    """

    def __init__(self, root: Path, store: Layout) -> None:
        super().__init__(root)
        self._store = store
        self.source = store.root
        self.trash = store.trash

    def list_journals(self, host: str | None = None) -> list[JournalPath]:
        """Return the journals of the store; in their place may be a link, or a FIFO, which are left out."""
        return [journal for journal in self._store.list_journals(host) if is_regular(journal.path)]

    def host_journals(self, host: str) -> Path:
        """Folder of the journals of the store that were written on ``host``."""
        return self._store.host_journals(host)

    def segment_journals(self, segment: str, last: int) -> list[JournalPath]:
        """Return one segment's journals in the store."""
        return [each for each in self._store.segment_journals(segment, last) if is_regular(each.path)]

    def list_blobs(self) -> Iterable[os.DirEntry[str]]:  # type: ignore[override]
        """Yield every blob of the store."""
        return self._store.list_blobs()

    def blob_places(self, sha256: str) -> tuple[Path, ...]:
        """Where a blob may be: here, in a draft of the store, or among its blobs."""
        own = self.blob(sha256)
        with suppress(OSError):
            own = own.readlink()
        return own, *self._store.blob_places(sha256)

    def list_packs(self) -> list[Path]:
        """Return the packs of the store."""
        return self._store.list_packs()

    def tombstone(self, entity: str, project: str, run_id: str) -> Path:
        """File of the store that says that a run was deleted."""
        return self._store.tombstone(entity, project, run_id)

    def alias(self, entity: str, project: str, name: str, alias: str) -> Path:
        """File that says which version an alias names."""
        own = super().alias(entity, project, name, alias)
        _link(own, self._store.alias(entity, project, name, alias))
        return own

    def draft(self, token: str) -> Path:
        """Folder of a draft."""
        own, folder = super().draft(token), self._store.draft(token)
        if not own.exists() and folder.is_dir() and not folder.is_symlink():
            for path in folder.iterdir():
                if path.name != "lock":
                    _link(own / path.name, path)
        return own

    def finalized(self, token: str) -> Path:
        """File that says what became of a draft that is gone."""
        own = super().finalized(token)
        _link(own, self._store.finalized(token))
        return own


def is_regular(path: Path) -> bool:
    """Whether a path is a regular file, and no link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _link(own: Path, path: Path) -> None:
    """Let a name of the copy stand for a regular file of the store, where the copy has none yet."""
    if is_regular(path) and not os.path.lexists(own):
        make_folder(own.parent, durable=False)
        own.symlink_to(path)


class CatalogState(NamedTuple):
    """What changes when a catalog does: inode, size and time of its file and of its log, the log's header."""

    catalog: tuple[int, int, int] | None
    log: tuple[int, int, int] | None
    header: bytes


class PrivateCopy(Store):
    """A store whose catalog is a copy, in a folder of this process. Journals may be applied to it.

    Attributes:
        state: The state of the catalog that was copied.
        copied_revision: The revision of the catalog that was copied.

    Args:
        layout: Where, and the store that is copied.
        former: An earlier copy: its API keys are kept, and revisions continue those of it.

    Raises:
        StoreError: The catalog is not there, is damaged, or is written all the time.
        StoreVersionError: A newer tracker made it.
    """

    def __init__(self, layout: CopyLayout, former: PrivateCopy | None = None) -> None:
        # Not ``Store.__init__``: nobody else knows of this catalog, so there are no locks and no lease.
        self.layout = layout
        for folder in (layout.temporary, layout.locks):
            folder.mkdir(parents=True)
        source = find_catalog(Layout(layout.source))
        self.state = copy_catalog(source, layout.catalog)
        if self.state.catalog is None and any(True for _ in Layout(layout.source).run_files()):
            raise StoreError(
                f"the catalog of {layout.source} is not here ({source}): read the store on the host that has "
                "it, or copy the folder to one that you may write to; `tracker rebuild` makes a catalog there"
            )
        self._engine = open_engine(layout.catalog)
        self.blobs = BlobStore(layout, partial(find_piece, self._engine))
        try:
            database.migrate(self._engine, layout.locks / "catalog.lock")
            self._adapt(former)
        except BaseException:
            self._engine.dispose()
            raise

    @property
    def catalog(self) -> Path:
        """The file of the copy."""
        return self.layout.catalog

    def check_lease(self) -> None:
        """Return: no other host knows of the copy."""

    def close(self) -> None:
        """Close all connections and remove the copy."""
        self._engine.dispose()
        shutil.rmtree(self.root, ignore_errors=True)

    def _adapt(self, former: PrivateCopy | None) -> None:
        with self.reading() as session:
            self.copied_revision = revision(session)
        if is_network(self.layout.source):  # a client may remember what a file was
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
                        f"the catalog of {self.layout.source} names a file that is not its own: {path}"
                    )
                session.execute(
                    text(f"UPDATE {table} SET path = :folder || path"), {"folder": f"{self.layout.source}/"}
                )
            if former is None:
                return
            with former.reading() as earlier:
                keys = earlier.scalars(select(ApiKey)).all()
                shift = revision(earlier) - former.copied_revision
            known = set(session.scalars(select(ApiKey.sha256)))
            session.add_all(
                ApiKey(sha256=key.sha256, created_at=key.created_at)
                for key in keys
                if key.sha256 not in known
            )
            # What has changed since the former copy gets revisions above those that were seen there.
            session.execute(text("UPDATE runs SET revision = revision + :shift"), {"shift": shift})
            session.merge(Clock(id=1, revision=self.copied_revision + shift))


def find_catalog(layout: Layout) -> Path:
    """Return the catalog of a store.

    Raises:
        StoreError: The lease names a file outside of the store that is not of the store's owner.
    """
    found = catalog_of(layout)
    with suppress(FileNotFoundError):
        if found.parent != layout.root and found.stat().st_uid != layout.root.stat().st_uid:
            raise StoreError(f"the lease of {layout.root} names a catalog that is another user's: {found}")
    return found


def copy_catalog(source: Path, target: Path) -> CatalogState:
    """Copy a catalog and its log as they are at one moment; return the state of what was copied.

    A program may write the catalog meanwhile. It appends to the log, and a part of that is a log, too. When
    it moves the log into the catalog, or begins the log anew, both are copied again.

    Raises:
        StoreError: It cannot be read, or changes all the time.
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
    raise StoreError(f"{source} is written all the time while it is copied: try again")


def catalog_state(catalog: Path) -> CatalogState:
    """Return the state of a catalog; it may be missing.

    Raises:
        OSError: It cannot be read.
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
            header = file.read(_LOG_HEADER)  # of the log, unless there is none
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
