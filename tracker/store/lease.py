"""Which host holds a store's catalog: at most one, and which file the catalog is.

SQLite is safe only among processes that share file locks, so one host at a time writes the catalog. A lease
is a file ``leases/N.json`` that is created exclusively; the largest N is in force. All processes of the host
share it. Its state is

* ``held``: the holder writes a random token to ``leases/N.beat`` several times in each ``silent_seconds()``.
  A host that has seen the same token for that long, by its own monotonic clock, may take the catalog over.
* ``free``: the last process of the holder has closed the store. Any host may create lease N+1, with the same
  catalog file.
* ``taken``: another host takes the catalog over. It marks lease N first, then copies the catalog to a new
  name, then creates lease N+1 with that name. The former holder may wake up at any time: it finds the mark
  before it begins a transaction and after it has committed one, and what it wrote meanwhile is in a file that
  nobody reads.

A commit after which there was no mark is in the copy, so what it made superfluous may be deleted.

Files are opened anew for each look: network file systems compare an opened file with the server, while what
``stat`` returns may be a minute old. Lease files have one size, as a client may also remember sizes.
"""

from __future__ import annotations

import _thread
import os
import re
import threading
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from tracker.errors import HeldElsewhereError, StoreError, UsageError
from tracker.filesystems import LOCAL_TYPES, filesystem_type, is_network
from tracker.processes import boot_id, host_name
from tracker.store.files import read_json, sync_folder, write_new
from tracker.store.layout import Layout
from tracker.store.locks import FileLock
from tracker.terminal import say

SILENT_SECONDS = 60.0
# How many beats there are in the time after which a holder counts as silent.
BEATS = 6
LOOKS_PER_SECOND = 10
FILE_SIZE = 2048
CATALOG_FOLDER = "TRACKER_CATALOG"
_CATALOG_NAME = re.compile(r"catalog(-\d+-[0-9a-f]{8})?\.db")


class Holder(msgspec.Struct, frozen=True):
    """The host that a lease belongs to, and the process that created the lease.

    Attributes:
        boot: The kernel's boot id.
        device: ``st_dev`` of the store's folder: processes of one boot that see the same device share locks.
        local: Whether the holder sees the store on a file system that only one kernel mounts.
        host: The host's name; for messages only, as containers change it.
        pid: For messages only.
        since: Unix seconds; for messages only.
    """

    boot: str
    device: int
    local: bool
    host: str
    pid: int
    since: float


class Lease(msgspec.Struct, frozen=True):
    """One lease on a catalog.

    Attributes:
        state: ``held``, ``free`` or ``taken``. The first field: ``held`` becomes ``free`` in place.
        number: The epoch: each lease that is created has a larger one.
        catalog: The catalog's name in the store, or an absolute path on a disk of the holder.
        holder: Who created it; of one that is taken, who has taken it. None before there was any lease.
    """

    state: Literal["held", "free", "taken"]
    number: int
    catalog: str
    holder: Holder | None


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
        self._content = _encode(lease)
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
            found = _read_bytes(self._path)
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
                self._mark_free()
        except OSError:
            pass  # it is another host's by now, or stays held: others wait until the beat is old
        finally:
            self._lock.close()

    def _mark_free(self) -> None:
        """Change the state in place; when another host exchanges the file meanwhile, in the old file."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if os.read(descriptor, FILE_SIZE) == self._content:
                os.pwrite(descriptor, b"free", self._content.index(b"held"))
        finally:
            os.close(descriptor)

    def _keep_beat(self) -> None:
        path = self._layout.beat(self._lease.number)
        while not self._ended.wait(self._seconds_between):
            with suppress(OSError):  # a missed beat is no harm; a taken lease is found by `check`
                _write_beat(path)

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
            if _is_here(layout, lease.holder):
                return Hold(layout, lease, lock)
            if not takes_over:
                raise refusal(layout, lease.holder)
            if not _is_silent(layout, lease):
                continue
            lease = Lease("taken", lease.number, lease.catalog, this_holder(layout))
            _replace(layout, lease)
        elif lease.state == "taken" and lease.holder is not None and not takes_over:
            raise refusal(layout, lease.holder)
        name, new = _place_for(layout, lease)
        damaged = None
        if new and (layout.root / lease.catalog).is_file():
            from tracker.store.takeover import copy_catalog  # few openings need it

            damaged = copy_catalog(layout.root / lease.catalog, layout.root / name)
        created = Lease("held", lease.number + 1, name, this_holder(layout))
        if _create(layout, created):
            _clean_up(layout, lease, created)
            return Hold(layout, created, lock, damaged)
        if new:
            remove_catalog(layout.root / name)


def read_lease(layout: Layout) -> Lease:
    """Return the lease in force; in a store without any, a free one on ``catalog.db``.

    Raises:
        StoreError: It cannot be read.
    """
    while True:
        number = max(_numbers(layout), default=0)
        if number == 0:
            return Lease("free", 0, layout.catalog.name, None)
        path = layout.lease(number)
        try:
            content = _read_bytes(path)
            if not content.strip(b"\0"):
                # A power cut left the name alone. Leases on any other file are forced to the disk.
                return Lease("free", number, layout.catalog.name, None)
            return msgspec.json.decode(content, type=Lease)
        except FileNotFoundError:
            continue  # a newer one has been created meanwhile
        except (msgspec.MsgspecError, OSError) as error:
            raise StoreError(f"cannot read {path}: {error}") from error


def catalog_of(layout: Layout) -> Path:
    """Return the catalog that the lease names; it may be missing."""
    return layout.root / read_lease(layout).catalog


def held_elsewhere(layout: Layout) -> Holder | None:
    """Return the other host that holds the catalog, or None. It may be dead: that takes time to find out."""
    lease = read_lease(layout)
    if lease.state == "free" or lease.holder is None or _is_here(layout, lease.holder):
        return None
    return lease.holder


def refusal(layout: Layout, holder: Holder) -> HeldElsewhereError:
    """Return the error that says who holds the catalog, and what to do."""
    return HeldElsewhereError(
        f"{holder.host} (process {holder.pid}) holds the catalog of {layout.root}: run this on that host, or "
        "stop the tracker processes there first; `tracker sync` takes over from a host that is gone"
    )


def silent_seconds() -> float:
    """Return for how long the beat of a holder must not have changed before another host takes over.

    Raises:
        UsageError: ``TRACKER_LEASE_SECONDS`` is no number above 0.
    """
    text = os.environ.get("TRACKER_LEASE_SECONDS", "")
    try:
        seconds = float(text) if text else SILENT_SECONDS
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise UsageError(f"TRACKER_LEASE_SECONDS is {text!r}; give seconds, like 60")
    return seconds


def this_holder(layout: Layout) -> Holder:
    """Return what a lease that this process creates says of its host."""
    device = os.stat(layout.root).st_dev
    return Holder(boot_id(), device, _is_local(str(layout.root)), host_name(), os.getpid(), time.time())


def remove_catalog(path: Path) -> None:
    """Remove a catalog that nobody uses, and its logs."""
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _is_here(layout: Layout, holder: Holder) -> bool:
    """Whether this process shares file locks with the holder's processes, if any of them lives."""
    if holder.local and _is_local(str(layout.root)):
        return True  # one kernel mounts the disk: it is this boot, or a former one that is over
    return (holder.boot, holder.device) == (boot_id(), os.stat(layout.root).st_dev)


@lru_cache(maxsize=64)
def _is_local(root: str) -> bool:
    return filesystem_type(root) in LOCAL_TYPES


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
    first, since = _read_beat(path), time.monotonic()
    while True:
        time.sleep(1 / LOOKS_PER_SECOND)
        waited = time.monotonic() - since  # before the look: this process may be suspended in between
        if read_lease(layout) != lease:
            return False
        if _read_beat(path) != first:
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
    return str(place / f"{store_id(layout)}-{former.number + 1}-{token}.db"), True


def store_id(layout: Layout) -> str:
    """Return the random id in the store's description."""
    described: dict[str, Any] = read_json(layout.description) or {}
    return str(described["id"])


def _existing(place: Path) -> Path:
    while not place.exists():
        place = place.parent
    return place


def _create(layout: Layout, lease: Lease) -> bool:
    """Create a lease; return False when another host, or process, was first."""
    temporary = _write(layout, lease)
    path = layout.lease(lease.number)
    try:
        os.link(temporary, path)
    except FileExistsError:
        # A network file system may have repeated a request that had been done.
        if temporary.stat().st_nlink == 1:
            return False
    finally:
        temporary.unlink(missing_ok=True)
    if max(_numbers(layout)) > lease.number:  # one that was cleaned up long ago
        path.unlink(missing_ok=True)
        return False
    if _is_durable(layout, lease):
        sync_folder(layout.leases)
    return True


def _replace(layout: Layout, lease: Lease) -> None:
    """Change the state of a lease."""
    os.replace(_write(layout, lease), layout.lease(lease.number))
    if _is_durable(layout, lease):
        sync_folder(layout.leases)


def _write(layout: Layout, lease: Lease) -> Path:
    temporary = layout.leases / os.urandom(16).hex()
    content = _encode(lease)
    if _is_durable(layout, lease):
        write_new(temporary, content, 0o666)
    else:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            os.write(descriptor, content)
        finally:
            os.close(descriptor)
    return temporary


def _is_durable(layout: Layout, lease: Lease) -> bool:
    """Whether a power cut must not take the lease: what it says of the catalog is more than the default."""
    return lease.catalog != layout.catalog.name


def _encode(lease: Lease) -> bytes:
    return msgspec.json.encode(lease).ljust(FILE_SIZE - 1) + b"\n"


def _clean_up(layout: Layout, former: Lease, created: Lease) -> None:
    """Remove older leases; after a clean end of the one before, also catalogs that are in use no more."""
    for name in os.listdir(layout.leases):
        number = name.partition(".")[0]
        if number.isdecimal() and int(number) < created.number:
            with suppress(OSError):
                (layout.leases / name).unlink()
    catalog = layout.root / created.catalog
    if former.state != "free" or former.catalog != created.catalog or not _is_durable(layout, created):
        return
    own = catalog.parent.glob(f"{store_id(layout)}-*.db") if catalog.parent != layout.root else ()
    former_names = (path for path in layout.root.glob("catalog*.db") if _CATALOG_NAME.fullmatch(path.name))
    for path in (*own, *former_names):
        if path != catalog:
            with suppress(OSError):
                remove_catalog(path)


def _numbers(layout: Layout) -> list[int]:
    try:
        names = os.listdir(layout.leases)
    except FileNotFoundError:
        return []
    found = [name.partition(".") for name in names]
    return [int(number) for number, _, ending in found if ending == "json" and number.isdecimal()]


def _read_bytes(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, FILE_SIZE)
    finally:
        os.close(descriptor)


def _read_beat(path: Path) -> bytes:
    try:
        return _read_bytes(path)
    except FileNotFoundError:
        return b""


def _write_beat(path: Path) -> None:
    """Exchange the token in place: a full disk has room for that, once the file is there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        os.write(descriptor, os.urandom(16).hex().encode())
    finally:
        os.close(descriptor)
