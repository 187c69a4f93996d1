"""Holding the catalog: a process shares the lease of its host, or takes over from a host that is silent."""

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
from tracker.ground.filesystems import existing_parent, is_network, local_state_folder
from tracker.ground.terminal import say
from tracker.store.catalog.lease import (
    BEATS,
    Lease,
    create_lease,
    encode_lease,
    is_durable,
    is_this_host,
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
    """The share of this process in the lease of its host. A thread writes the beat until ``release``.

    Attributes:
        catalog: Path of the catalog.
        damaged: Path of a copy that was made in a takeover and is damaged, or None. A rebuild takes the API
            keys from it.
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
        with suppress(RuntimeError):  # during interpreter shutdown; then the process needs no beat
            # `threading.Thread.start` waits until the thread runs, which doubles the time of opening a store.
            _thread.start_new_thread(self._keep_beat, ())

    def check(self) -> None:
        """Check that this host still holds the lease.

        Raises:
            HeldElsewhereError: Another host has taken over the catalog.
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
        """Stop the beat and leave the lease.

        Args:
            free: Whether the last process of the host marks the lease as free.
        """
        if self._ended.is_set() or os.getpid() != self._pid:  # a forked child does not share the lease
            return
        self._ended.set()
        try:
            if free and self._lock.try_exclusive():
                mark_free(self._layout, self._lease)
        except OSError:
            pass  # another host has taken over, or the lease stays held and others wait until the beat is old
        finally:
            self._lock.close()

    def _keep_beat(self) -> None:
        path = self._layout.beat(self._lease.number)
        while not self._ended.wait(self._seconds_between):
            with suppress(OSError):  # one missed beat does no harm, and `check` detects a takeover
                write_beat(path)

    def _taken(self) -> HeldElsewhereError:
        now = read_lease(self._layout)
        who = "another host" if now.holder is None else now.holder.host
        since = "" if now.holder is None else time.strftime(" at %H:%M:%S", time.localtime(now.holder.since))
        return HeldElsewhereError(
            f"{who} has taken over the catalog of {self._layout.root}{since}, because this host was silent: "
            "this process does not write to the store any more. The other host applies the journals"
        )


def hold_catalog(layout: Layout, *, takes_over: bool = True) -> Hold:
    """Return a share in the lease of this host on the catalog. Create the lease if no host has one.

    Args:
        layout: The paths of the store.
        takes_over: Whether to wait until another holder is known to be silent, and then take over its
            catalog. Otherwise the call fails immediately if another host holds the catalog.

    Raises:
        HeldElsewhereError: Another host holds the catalog and is alive, or ``takes_over`` is false.
        StoreError: The lease cannot be read or written.
        UsageError: ``TRACKER_CATALOG`` or ``TRACKER_LEASE_SECONDS`` is invalid.
    """
    silent_seconds()  # reject an invalid setting before anything is written
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
            if is_this_host(layout, lease.holder):
                if not _may_open(layout.root / lease.catalog):
                    raise refusal(layout, lease.holder)
                return Hold(layout, lease, lock)
            if not takes_over:
                raise refusal(layout, lease.holder)
            if not _is_silent(layout, lease):
                continue
            _require_room(layout, lease)  # check before the holder loses the catalog
            lease = Lease("taken", lease.number, lease.catalog, this_holder(layout))
            replace_lease(layout, lease)
        elif lease.state == "taken" and lease.holder is not None and not takes_over:
            raise refusal(layout, lease.holder)
        name, new = _next_catalog(layout, lease)
        damaged = None
        if new and os.path.isfile(layout.root / lease.catalog):
            damaged = _copy(layout, lease, layout.root / name)
        created = Lease("held", lease.number + 1, name, this_holder(layout))
        if create_lease(layout, created):
            _clean_up(layout, lease, created)
            return Hold(layout, created, lock, damaged)
        if new:
            remove_catalog(layout.root / name)


def _require_room(layout: Layout, lease: Lease) -> None:
    from tracker.store.catalog.takeover import require_room  # imported late, because takeovers are rare

    source, (name, _) = layout.root / lease.catalog, _next_catalog(layout, lease)
    if os.path.isfile(source):
        require_room(source, (layout.root / name).parent)


def _copy(layout: Layout, lease: Lease, target: Path) -> Path | None:
    from tracker.store.catalog.takeover import copy_catalog  # imported late, because takeovers are rare

    try:
        return copy_catalog(layout.root / lease.catalog, target)
    except BaseException:
        remove_catalog(target)
        raise


def remove_catalog(path: Path) -> None:
    """Remove an unused catalog and its logs."""
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _is_silent(layout: Layout, lease: Lease) -> bool:
    """Watch the beat of a holder for ``silent_seconds()``; return False if the lease has changed meanwhile.

    Raises:
        HeldElsewhereError: The beat has changed, so the holder is alive.
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
        waited = time.monotonic() - since  # before the check: this process may be suspended in between
        if read_lease(layout) != lease:
            return False
        if read_beat(path) != first:
            raise refusal(layout, lease.holder)
        if waited > patience:
            return True


def _next_catalog(layout: Layout, former: Lease) -> tuple[str, bool]:
    """Return the catalog for the next lease (``Lease.catalog``), and whether that is a new file."""
    folder = os.environ.get(CATALOG_FOLDER)
    place = Path(folder).expanduser().absolute() if folder else None
    if place is not None and place != layout.root and is_network(existing_parent(place)):
        raise UsageError(
            f"{CATALOG_FOLDER} is {folder!r}, on a network file system: set it to a folder on a local disk"
        )
    at = layout.root / former.catalog
    asked = place in (None, at.parent)
    # The path of a catalog on a local disk may be in the home folder of another user.
    reachable = at.parent == layout.root or (os.path.isfile(at) and _may_open(at))
    if place is None and (at.parent == layout.root or not reachable) and is_network(layout.root):
        place = local_state_folder()
        asked = place == at.parent
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
    """Return the id of the store from ``store.json``."""
    described: dict[str, Any] = read_json(layout.description) or {}
    return str(described["id"])


def _may_open(catalog: Path) -> bool:
    """Return whether this user may open a catalog, which may be missing."""
    try:
        catalog.stat()
    except PermissionError:
        return False
    except OSError:
        return True
    return os.access(catalog, os.R_OK | os.W_OK)


def _clean_up(layout: Layout, former: Lease, created: Lease) -> None:
    """Remove older leases. If the previous holder has freed its lease, also remove unused catalogs."""
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
    """An open catalog, with its lease and its lock.

    Attributes:
        engine: Engine of the catalog.
        hold: The share of this process in the lease of its host.
        lock: The lock of the store: shared, or exclusive while there are forgotten parts.
        forgotten: ``Rebuilt.forgotten``, if opening has rebuilt a lost catalog. The caller salvages the rows
            of these parts before a process seals a segment, and then shares the lock.
    """

    engine: Engine
    hold: Hold
    lock: FileLock
    forgotten: list[Path]
