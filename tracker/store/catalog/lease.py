"""Leases on the catalog: the lease names the one host that holds the catalog, and the file of the catalog.

SQLite is safe only among processes that share file locks, so only one host at a time writes the catalog. A
lease is a file ``leases/N.json``, which is created exclusively. The lease with the largest N is in force. All
processes of the host share the lease. The state of a lease is

* ``held``: the holder writes a random token to ``leases/N.beat`` several times in each ``silent_seconds()``.
  If another host has seen the same token for that time, by its own monotonic clock, it may take over the
  catalog.
* ``free``: the last process of the holder has closed the store. Any host may create lease N+1 with the same
  catalog file.
* ``taken``: another host takes over the catalog. First it sets this state in lease N. Then it copies the
  catalog to a new name and creates lease N+1 with that name. The former holder may wake up at any time. It
  checks the state before each transaction and after each commit. Its writes in between are in the old file,
  which is not read any more.

If the state after a commit is not ``taken``, the copy contains the commit. Then files that the commit made
superfluous may be deleted.

Each check opens the file again. Network file systems validate a file at open, but the result of ``stat`` may
be a minute old. All lease files have the same size, because a client may also cache sizes.
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
# Number of beats in the time after which a holder counts as silent.
BEATS = 6
FILE_SIZE = 2048


class Holder(msgspec.Struct, frozen=True):
    """The host that a lease belongs to, and the process that created the lease.

    Attributes:
        boot: Boot id of the kernel.
        device: ``st_dev`` of the store's folder. Processes with the same boot id and device share file locks.
        local: Whether the store is on a local file system for the holder, which only one kernel mounts.
        host: Name of the host. Only for messages, because containers change the name.
        pid: Id of the process. Only for messages.
        since: Time of the lease in Unix seconds. Only for messages.
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
        state: ``held``, ``free`` or ``taken``. The first field, because ``mark_free`` overwrites it in place.
        number: Number of the lease. Each new lease has a larger number.
        catalog: Name of the catalog in the store, or its absolute path on a disk of the holder.
        holder: The host that created the lease; in state ``taken`` the host that takes over. None before the
            first lease.
    """

    state: Literal["held", "free", "taken"]
    number: int
    catalog: str
    holder: Holder | None


_decode = msgspec.json.Decoder(Lease).decode


def read_lease(layout: Layout) -> Lease:
    """Return the lease in force. In a store without leases, return a free lease on ``catalog.db``.

    Raises:
        StoreError: The lease cannot be read.
    """
    while True:
        number = max(_numbers(layout), default=0)
        if number == 0:
            return Lease("free", 0, layout.catalog.name, None)
        path = layout.lease(number)
        try:
            content = read_small(path)
            if not content.strip(b"\0"):
                # After a power loss the file is empty. Leases on other catalog files are forced to the disk.
                return Lease("free", number, layout.catalog.name, None)
            return _decode(content)
        except FileNotFoundError:
            # A newer lease exists, but a network client may still list the old one.
            time.sleep(0.01)
        except (msgspec.MsgspecError, OSError) as error:
            raise StoreError(f"cannot read {path}: {error}") from error


def catalog_of(layout: Layout) -> Path:
    """Return the path of the catalog in the lease. The file may be missing."""
    return layout.root / read_lease(layout).catalog


def held_elsewhere(layout: Layout) -> Holder | None:
    """Return the other host that holds the catalog, or None. That host may be dead."""
    lease = read_lease(layout)
    if lease.state == "free" or lease.holder is None or is_this_host(layout, lease.holder):
        return None
    return lease.holder


def refusal(layout: Layout, holder: Holder) -> HeldElsewhereError:
    """Return the error for a catalog that another host holds."""
    return HeldElsewhereError(
        f"{holder.host} (process {holder.pid}) holds the catalog of {layout.root}: run this on that host, or "
        "stop the tracker processes there first; `tracker sync` takes over from a host that is gone"
    )


def silent_seconds() -> float:
    """Return the time in seconds after which another host may take over from a holder without a new beat.

    Raises:
        UsageError: ``TRACKER_LEASE_SECONDS`` is not a number above 0.
    """
    text = os.environ.get("TRACKER_LEASE_SECONDS", "")
    try:
        seconds = float(text) if text else SILENT_SECONDS
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise UsageError(f"TRACKER_LEASE_SECONDS is {text!r}; give a number of seconds above 0, like 60")
    return seconds


def this_holder(layout: Layout) -> Holder:
    """Return the holder for a lease that this process creates."""
    device = os.stat(layout.root).st_dev
    return Holder(boot_id(), device, _is_local(str(layout.root)), host_name(), os.getpid(), time.time())


def is_this_host(layout: Layout, holder: Holder) -> bool:
    """Return whether this process shares file locks with the processes of the holder that are alive."""
    if holder.local and _is_local(str(layout.root)):
        return True  # only one kernel mounts the disk, so the holder is this boot or an earlier one
    return (holder.boot, holder.device) == (boot_id(), os.stat(layout.root).st_dev)


@lru_cache(maxsize=64)
def _is_local(root: str) -> bool:
    return filesystem_type(root) in LOCAL_TYPES


def create_lease(layout: Layout, lease: Lease) -> bool:
    """Create a lease; return False if another host or process has created a lease of this number first."""
    temporary = _write(layout, lease)
    path = layout.lease(lease.number)
    try:
        os.link(temporary, path)
    except FileExistsError:
        # A network file system may repeat a request that has succeeded: then the file has two links.
        if temporary.stat().st_nlink == 1:
            return False
    finally:
        temporary.unlink(missing_ok=True)
    if max(_numbers(layout)) > lease.number:  # the name was free because this lease was removed as outdated
        path.unlink(missing_ok=True)
        return False
    if is_durable(layout, lease):
        sync_folder(layout.leases)
    return True


def replace_lease(layout: Layout, lease: Lease) -> None:
    """Replace the file of a lease by one with another state."""
    os.replace(_write(layout, lease), layout.lease(lease.number))
    if is_durable(layout, lease):
        sync_folder(layout.leases)


def mark_free(layout: Layout, lease: Lease) -> None:
    """Change the state to ``free`` in place.

    If another host replaces the file at the same time, only the old file changes.
    """
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
    """Return whether the lease must survive a power loss, because its catalog is not the default file."""
    return lease.catalog != layout.catalog.name


def encode_lease(lease: Lease) -> bytes:
    """Return the content of the file of a lease, padded to ``FILE_SIZE`` bytes."""
    return msgspec.json.encode(lease).ljust(FILE_SIZE - 1) + b"\n"


def _numbers(layout: Layout) -> list[int]:
    try:
        names = os.listdir(layout.leases)
    except FileNotFoundError:
        return []
    found = [name.partition(".") for name in names]
    return [int(number) for number, _, ending in found if ending == "json" and number.isdecimal()]


def read_small(path: Path) -> bytes:
    """Return the current content of the file of a lease or a beat."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, FILE_SIZE)
    finally:
        os.close(descriptor)


def read_beat(path: Path) -> bytes:
    """Return the token of a beat; empty if the file does not exist yet."""
    try:
        return read_small(path)
    except FileNotFoundError:
        return b""


def write_beat(path: Path) -> None:
    """Write a new token in place, which succeeds on a full disk once the file exists."""
    descriptor = group_files.create(path, os.O_WRONLY)
    try:
        os.write(descriptor, os.urandom(16).hex().encode())
    finally:
        os.close(descriptor)
