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

import os
import time
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec

from tracker.errors import HeldElsewhereError, StoreError, UsageError
from tracker.ground import group_files
from tracker.ground.filesystems import LOCAL_TYPES, filesystem_type
from tracker.ground.processes import boot_id, host_name
from tracker.store.objects.atomic_files import sync_folder, write_new
from tracker.store.objects.layout import Layout

SILENT_SECONDS = 60.0
# How many beats there are in the time after which a holder counts as silent.
BEATS = 6
FILE_SIZE = 2048


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
        holder: The host that created the lease; in state ``taken`` the host that takes over. None before the
            first lease.
    """

    state: Literal["held", "free", "taken"]
    number: int
    catalog: str
    holder: Holder | None


_decode = msgspec.json.Decoder(Lease).decode


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
            content = read_small(path)
            if not content.strip(b"\0"):
                # A power cut left the name alone. Leases on any other file are forced to the disk.
                return Lease("free", number, layout.catalog.name, None)
            return _decode(content)
        except FileNotFoundError:
            # A newer one has been created; a network client may list the old one for a while.
            time.sleep(0.01)
        except (msgspec.MsgspecError, OSError) as error:
            raise StoreError(f"cannot read {path}: {error}") from error


def catalog_of(layout: Layout) -> Path:
    """Return the catalog that the lease names; it may be missing."""
    return layout.root / read_lease(layout).catalog


def held_elsewhere(layout: Layout) -> Holder | None:
    """Return the other host that holds the catalog, or None. The host may be dead: only watching tells."""
    lease = read_lease(layout)
    if lease.state == "free" or lease.holder is None or is_here(layout, lease.holder):
        return None
    return lease.holder


def refusal(layout: Layout, holder: Holder) -> HeldElsewhereError:
    """Return the error that names the holder and says what to do."""
    return HeldElsewhereError(
        f"{holder.host} (process {holder.pid}) holds the catalog of {layout.root}: run this on that host, or "
        "stop the tracker processes there first; `tracker sync` takes over from a host that is gone"
    )


def silent_seconds() -> float:
    """Return for how long the beat of a holder must not have changed before another host takes over.

    Raises:
        UsageError: ``TRACKER_LEASE_SECONDS`` is not a number above 0.
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


def is_here(layout: Layout, holder: Holder) -> bool:
    """Whether this process shares file locks with the holder's processes, if any of them lives."""
    if holder.local and _is_local(str(layout.root)):
        return True  # one kernel mounts the disk: it is this boot, or a former one that is over
    return (holder.boot, holder.device) == (boot_id(), os.stat(layout.root).st_dev)


@lru_cache(maxsize=64)
def _is_local(root: str) -> bool:
    return filesystem_type(root) in LOCAL_TYPES


def create_lease(layout: Layout, lease: Lease) -> bool:
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
    if is_durable(layout, lease):
        sync_folder(layout.leases)
    return True


def replace_lease(layout: Layout, lease: Lease) -> None:
    """Change the state of a lease."""
    os.replace(_write(layout, lease), layout.lease(lease.number))
    if is_durable(layout, lease):
        sync_folder(layout.leases)


def mark_free(layout: Layout, lease: Lease) -> None:
    """Change the state in place; when another host exchanges the file meanwhile, in the old file."""
    content = encode_lease(lease)
    descriptor = os.open(layout.lease(lease.number), os.O_RDWR | os.O_CLOEXEC)
    try:
        if os.read(descriptor, FILE_SIZE) == content:
            os.pwrite(descriptor, b"free", content.index(b"held"))
    finally:
        os.close(descriptor)


def _write(layout: Layout, lease: Lease) -> Path:
    temporary = layout.leases / os.urandom(16).hex()
    content = encode_lease(lease)
    if is_durable(layout, lease):
        write_new(temporary, content)
    else:
        descriptor = group_files.create(temporary, os.O_WRONLY | os.O_EXCL)
        try:
            os.write(descriptor, content)
        finally:
            os.close(descriptor)
    return temporary


def is_durable(layout: Layout, lease: Lease) -> bool:
    """Whether a power cut must not take the lease: what it says of the catalog is more than the default."""
    return lease.catalog != layout.catalog.name


def encode_lease(lease: Lease) -> bytes:
    """Return the content of a lease's file."""
    return msgspec.json.encode(lease).ljust(FILE_SIZE - 1) + b"\n"


def _numbers(layout: Layout) -> list[int]:
    try:
        names = os.listdir(layout.leases)
    except FileNotFoundError:
        return []
    found = [name.partition(".") for name in names]
    return [int(number) for number, _, ending in found if ending == "json" and number.isdecimal()]


def read_small(path: Path) -> bytes:
    """Return the content of a lease or a beat as the file system has it now."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, FILE_SIZE)
    finally:
        os.close(descriptor)


def read_beat(path: Path) -> bytes:
    """Return the token of a beat; empty before the first."""
    try:
        return read_small(path)
    except FileNotFoundError:
        return b""


def write_beat(path: Path) -> None:
    """Exchange the token in place: a full disk has room for that, once the file is there."""
    descriptor = group_files.create(path, os.O_WRONLY)
    try:
        os.write(descriptor, os.urandom(16).hex().encode())
    finally:
        os.close(descriptor)
