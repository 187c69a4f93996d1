"""The choice of a reader: the server that the settings name, or else the local store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from tracker.errors import StoreError, UsageError
from tracker.ground.filesystems import is_network
from tracker.ground.settings import Settings
from tracker.recorder.outbox import Remote, check_url, outbox_folder
from tracker.store.catalog.lease import catalog_of, held_elsewhere
from tracker.store.objects.layout import Layout, arrivals
from tracker.store.objects.store_file import is_read_only, require_store

if TYPE_CHECKING:
    from tracker.reading.reader import ArtifactReader, Reader
    from tracker.store.store import Store


# The store of the latest run of this process. The key is the store of the settings without the arguments of
# ``init``.
_used: dict[Path, Path] = {}


def note_store(default: Settings, used: Settings) -> None:
    """Remember the store of a run, for ``Api`` in the same process.

    Args:
        default: The settings without the arguments of ``init``.
        used: The settings of the run.
    """
    _used[default.store] = used.store


def used_store(settings: Settings) -> Settings:
    """Return the settings with the store of the latest run of this process."""
    return replace(settings, store=_used.get(settings.store, settings.store))


def remote_for(settings: Settings) -> Remote | None:
    """Return the server to which runs are sent and from which they are read, or None."""
    if settings.base_url is None or settings.mode != "online":
        return None
    return Remote(check_url(settings.base_url), settings.api_key)


def layout_for(settings: Settings) -> Layout:
    """Return the folder to read journals from: the store, or the outbox of the server."""
    remote = remote_for(settings)
    if remote is not None:
        return Layout(outbox_folder(settings.store, remote.url))
    note_spool(settings)
    return Layout(settings.store)


def use_spool(settings: Settings) -> Layout:
    """Return the spool of ``TRACKER_SPOOL`` for the store of the settings, which exists. It is created.

    Raises:
        UsageError: A spool has no use here, or its folder cannot be used.
        StoreError: The spool cannot be written.
    """
    from tracker.recorder.spool import make_spool  # most runs have no spool

    assert settings.spool is not None
    if remote_for(settings) is not None:
        raise UsageError(f"the run waits in {layout_for(settings).root} for its server")
    if not is_journal_only(settings):
        raise UsageError(f"{settings.store} is on a disk of this host")
    layout = make_spool(settings.spool, settings.store)
    note_spool(settings)
    return layout


def note_spool(settings: Settings) -> None:
    """Let readers of the store move what waits in its spool first, if there is one."""
    if settings.spool is not None and (store := Layout(settings.store).root) not in arrivals:
        from tracker.recorder.spool import mover, spool_of

        spool = spool_of(settings.spool, store)
        if spool.remote.exists():
            arrivals[store] = mover(spool, settings.silent)


def is_journal_only(settings: Settings) -> bool:
    """Return whether another host applies the journals: it holds the catalog, or ``is_shared`` is True."""
    return is_shared(settings) or held_elsewhere(Layout(settings.store)) is not None


def is_shared(settings: Settings) -> bool:
    """Return whether another host keeps the catalog: by a setting, or because the store is on a network."""
    if settings.journal_only is not None:
        return settings.journal_only
    parent = settings.store
    while not parent.exists():
        parent = parent.parent
    return is_network(parent)


def only_reads(settings: Settings) -> bool:
    """Return whether this process must read the store from a private copy, and not open its catalog.

    It may not write to the store, another host holds the catalog, or the store is shared and its catalog is
    not on this host.
    """
    layout = Layout(settings.store)
    if is_read_only(layout) or held_elsewhere(layout) is not None:
        return True
    return is_shared(settings) and (bool(settings.journal_only) or not catalog_of(layout).exists())


def why_journal_only(settings: Settings) -> str:
    """Return the reason why this host does not keep the catalog, as a clause for messages."""
    holder = held_elsewhere(Layout(settings.store))
    if holder is None:
        return f"{settings.store} is shared over a network"
    return f"{holder.host} holds the catalog of {settings.store}"


def can_apply() -> bool:
    """Return whether SQLAlchemy, Alembic and pyarrow are installed, which applying journals needs."""
    from importlib.util import find_spec

    return all(find_spec(name) is not None for name in ("sqlalchemy", "alembic", "pyarrow"))


def open_reader(settings: Settings) -> Reader:
    """Return a reader of the server or store that the settings name.

    If another host keeps the catalog, the reader reads only published files and journals.

    Raises:
        StoreError: The store does not exist.
    """
    remote = remote_for(settings)
    if remote is not None:
        from tracker.reading.remote import RemoteReader

        return RemoteReader(remote, layout_for(settings), silent=settings.silent)
    layout = layout_for(settings)
    from tracker.reading.catalog_free_run import (
        CatalogFreeRunReader,
    )  # processes that only write do not import it

    require_store(layout)
    return cast("Reader", CatalogFreeRunReader(layout, lambda: _open_catalog(settings)))


def open_artifacts(settings: Settings) -> ArtifactReader:
    """Return a reader of artifacts. If another host keeps the catalog, the reader opens none for an artifact.

    Raises:
        StoreError: The store does not exist.
    """
    if remote_for(settings) is None and (not can_apply() or is_journal_only(settings)):
        from tracker.reading.catalog_free import CatalogFreeReader

        return CatalogFreeReader(layout_for(settings), lambda: open_reader(settings))
    return open_reader(settings)


def open_to_read(settings: Settings) -> Store:
    """Return the local store, opened for reading; from its files only if another host keeps the catalog.

    Raises:
        StoreError: The store does not exist, or cannot be read.
    """
    note_spool(settings)
    if is_journal_only(settings):
        from tracker.recorder.read_only import ReadOnlyStore

        return ReadOnlyStore(settings.store, from_files=True)
    from tracker.recorder.open_store import open_store

    return open_store(settings.store, create=False, takes_over=False, to_read=True)


def _open_catalog(settings: Settings) -> Reader:
    try:
        from tracker.reading.local import LocalReader

        return LocalReader(open_to_read(settings))
    except ImportError as error:
        raise StoreError(
            f"A package for reading a store is missing: {error}. Run: pip install airgap-tracker"
        ) from error
