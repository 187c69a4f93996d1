"""Holding the catalog: a process's share of its host's lease, and taking over from a host that is gone."""

from __future__ import annotations

import _thread
import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tracker.errors import HeldElsewhereError, StoreError, UsageError
from tracker.ground.filesystems import is_network
from tracker.ground.terminal import say
from tracker.store.catalog.lease import (
    BEATS,
    Lease,
    create_lease,
    encode_lease,
    is_durable,
    is_here,
    mark_free,
    read_beat,
    read_lease,
    read_small,
    refusal,
    replace_lease,
    silent_seconds,
    this_holder,
    write_beat,
)
from tracker.store.catalog.locks import FileLock
from tracker.store.objects.atomic_files import read_json
from tracker.store.objects.layout import Layout

if TYPE_CHECKING:
    from sqlalchemy import Engine

LOOKS_PER_SECOND = 10
CATALOG_FOLDER = "TRACKER_CATALOG"
_CATALOG_NAME = re.compile(r"catalog(-\d+-[0-9a-f]{8})?\.db")


class Hold:
    """This process's share of the lease that its host holds. Keeps the beat until ``release``.

    Attributes:
        catalog: The catalog.
        damaged: What was copied in a takeover and proved damaged; a rebuild takes the API keys from it.
    """

    def __init__(self, layout: Layout, lease: Lease, lock: FileLock, damaged: Path | None = None) -> None:
        self.catalog = layout.root / lease.catalog
        self.damaged = damaged
        self._layout = layout
        self._lease = lease
        self._lock = lock
        self._path = layout.lease(lease.number)
        self._content = encode_lease(lease)
        self._pid = os.getpid()
        self._ended = threading.Event()
        self._seconds_between = silent_seconds() / BEATS
        with suppress(RuntimeError):  # the interpreter shuts down: the process needs no beat any more
            # `threading.Thread.start` waits until the thread runs: opening a store would take twice as long.
            _thread.start_new_thread(self._keep_beat, ())

    def check(self) -> None:
        """Raise unless this host still holds the lease.

        Raises:
            HeldElsewhereError: Another host has taken the catalog over.
            StoreError: The lease cannot be read.
        """
        try:
            found = read_small(self._path)
        except FileNotFoundError:
            found = b""
        except OSError as error:
            raise StoreError(f"cannot read {self._path}: {error.strerror or error}") from error
        if found != self._content:
            raise self._taken()

    def release(self, *, free: bool = True) -> None:
        """Let go; the last process of the host marks the lease as free, unless ``free`` is False."""
        if self._ended.is_set() or os.getpid() != self._pid:  # a forked child has no part in it
            return
        self._ended.set()
        try:
            if free and self._lock.try_alone():
                mark_free(self._layout, self._lease)
        except OSError:
            pass  # it is another host's by now, or stays held: others wait until the beat is old
        finally:
            self._lock.close()

    def _keep_beat(self) -> None:
        path = self._layout.beat(self._lease.number)
        while not self._ended.wait(self._seconds_between):
            with suppress(OSError):  # a missed beat is no harm; a taken lease is found by `check`
                write_beat(path)

    def _taken(self) -> HeldElsewhereError:
        now = read_lease(self._layout)
        who = "another host" if now.holder is None else now.holder.host
        since = "" if now.holder is None else time.strftime(" at %H:%M:%S", time.localtime(now.holder.since))
        return HeldElsewhereError(
            f"{who} has taken over the catalog of {self._layout.root}{since}, as this host had been silent: "
            "nothing is written here any more. Journals are applied there"
        )


def hold_catalog(layout: Layout, *, takes_over: bool = True) -> Hold:
    """Return a share of this host's lease on the catalog; create the lease if no host has one.

    Args:
        layout: The store.
        takes_over: Whether to wait until a holder that may be dead is known to be silent, and then to take
            its catalog over. Otherwise the call fails at once.

    Raises:
        HeldElsewhereError: Another host holds the catalog, and lives, or was not waited for.
        StoreError: The lease cannot be read or written.
        UsageError: ``TRACKER_CATALOG`` names a folder that cannot be used.
    """
    silent_seconds()  # refused before anything is written
    try:
        lock = FileLock(layout.lease_lock)
        try:
            lock.share()
            return _hold(layout, lock, takes_over)
        except BaseException:
            lock.close()
            raise
    except OSError as error:
        raise StoreError(f"cannot hold the catalog of {layout.root}: {error.strerror or error}") from error


def _hold(layout: Layout, lock: FileLock, takes_over: bool) -> Hold:
    while True:
        lease = read_lease(layout)
        if lease.state == "held" and lease.holder is not None:
            if is_here(layout, lease.holder):
                return Hold(layout, lease, lock)
            if not takes_over:
                raise refusal(layout, lease.holder)
            if not _is_silent(layout, lease):
                continue
            _require_room(layout, lease)  # before the holder is told that it has lost the catalog
            lease = Lease("taken", lease.number, lease.catalog, this_holder(layout))
            replace_lease(layout, lease)
        elif lease.state == "taken" and lease.holder is not None and not takes_over:
            raise refusal(layout, lease.holder)
        name, new = _place_for(layout, lease)
        damaged = None
        if new and (layout.root / lease.catalog).is_file():
            damaged = _copy(layout, lease, layout.root / name)
        created = Lease("held", lease.number + 1, name, this_holder(layout))
        if create_lease(layout, created):
            _clean_up(layout, lease, created)
            return Hold(layout, created, lock, damaged)
        if new:
            remove_catalog(layout.root / name)


def _require_room(layout: Layout, lease: Lease) -> None:
    from tracker.store.catalog.takeover import require_room  # few openings need it

    source, (name, _) = layout.root / lease.catalog, _place_for(layout, lease)
    if source.is_file():
        require_room(source, (layout.root / name).parent)


def _copy(layout: Layout, lease: Lease, target: Path) -> Path | None:
    from tracker.store.catalog.takeover import copy_catalog  # few openings need it

    try:
        return copy_catalog(layout.root / lease.catalog, target)
    except BaseException:
        remove_catalog(target)
        raise


def remove_catalog(path: Path) -> None:
    """Remove a catalog that nobody uses, and its logs."""
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _is_silent(layout: Layout, lease: Lease) -> bool:
    """Watch a holder's beat until it is old; return False when there is another lease by then.

    Raises:
        HeldElsewhereError: The holder lives.
    """
    assert lease.holder is not None
    patience = silent_seconds()
    say(
        f"{lease.holder.host} holds the catalog of {layout.root}: waiting for up to {patience:.0f} s for a "
        "sign of life"
    )
    path = layout.beat(lease.number)
    first, since = read_beat(path), time.monotonic()
    while True:
        time.sleep(1 / LOOKS_PER_SECOND)
        waited = time.monotonic() - since  # before the look: this process may be suspended in between
        if read_lease(layout) != lease:
            return False
        if read_beat(path) != first:
            raise refusal(layout, lease.holder)
        if waited > patience:
            return True


def _place_for(layout: Layout, former: Lease) -> tuple[str, bool]:
    """Return where the catalog of the next lease is, and whether that is a new file."""
    folder = os.environ.get(CATALOG_FOLDER)
    place = Path(folder).expanduser().absolute() if folder else None
    if place is not None and place != layout.root and is_network(_existing(place)):
        raise UsageError(
            f"{CATALOG_FOLDER} is {folder!r}, on a network file system: name a folder on a local disk"
        )
    at = layout.root / former.catalog
    asked = place in (None, at.parent)
    reachable = at.parent == layout.root or at.is_file()
    if former.state == "free" and asked and reachable:
        return former.catalog, False
    token = os.urandom(4).hex()
    if place is None and at.parent != layout.root and reachable:
        place = at.parent
    if place is None or place == layout.root:
        return f"catalog-{former.number + 1}-{token}.db", True
    place.mkdir(parents=True, exist_ok=True)
    return str(place / f"{_store_id(layout)}-{former.number + 1}-{token}.db"), True


def _store_id(layout: Layout) -> str:
    """Return the random id in the store's description."""
    described: dict[str, Any] = read_json(layout.description) or {}
    return str(described["id"])


def _existing(place: Path) -> Path:
    while not place.exists():
        place = place.parent
    return place


def _clean_up(layout: Layout, former: Lease, created: Lease) -> None:
    """Remove older leases; after a clean end of the one before, also catalogs that are in use no more."""
    for name in os.listdir(layout.leases):
        number = name.partition(".")[0]
        if number.isdecimal() and int(number) < created.number:
            with suppress(OSError):
                (layout.leases / name).unlink()
    catalog = layout.root / created.catalog
    if former.state != "free" or former.catalog != created.catalog or not is_durable(layout, created):
        return
    own = catalog.parent.glob(f"{_store_id(layout)}-*.db") if catalog.parent != layout.root else ()
    former_names = (path for path in layout.root.glob("catalog*.db") if _CATALOG_NAME.fullmatch(path.name))
    for path in (*own, *former_names):
        if path != catalog:
            with suppress(OSError):
                remove_catalog(path)


class Opened(NamedTuple):
    """An open catalog, and what is kept while it is used.

    Attributes:
        engine: Connections.
        hold: This process's share of its host's lease.
        lock: The store's lock: shared, or held alone while there are forgotten parts.
        forgotten: ``Rebuilt.forgotten``, where this call has rebuilt a lost catalog. The caller salvages
            their rows, before anybody seals, and shares the lock.
    """

    engine: Engine
    hold: Hold
    lock: FileLock
    forgotten: list[Path]
