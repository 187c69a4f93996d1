"""Detection of network file systems: SQLite must not be shared over a network."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tracker.errors import StoreError, UsageError

# File system types, as in /proc/self/mountinfo, on which several hosts can open the same file.
_NETWORK_TYPES = """
    9p afs beegfs ceph cifs fuse.ceph fuse.glusterfs fuse.juicefs fuse.s3fs fuse.sshfs gfs gfs2 glusterfs
    gpfs lustre ncpfs nfs nfs4 ocfs2 orangefs panfs pvfs2 smb3 smbfs vastnfs wekafs
"""
NETWORK_TYPES = frozenset(_NETWORK_TYPES.split())
# Types that only one host can mount at a time. A type in neither list can be of either kind.
_LOCAL_TYPES = "bcachefs btrfs ext2 ext3 ext4 f2fs jfs nilfs2 overlay ramfs reiserfs tmpfs xfs zfs"
LOCAL_TYPES = frozenset(_LOCAL_TYPES.split())


def filesystem_type(path: str | os.PathLike[str]) -> str:
    """Return the type of the file system that contains ``path``, or ``"unknown"``."""
    target = os.path.realpath(path)
    best, kind = "", "unknown"
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return kind
    for line in lines:
        left, _, right = line.partition(" - ")
        mount = left.split(" ")[4].encode().decode("unicode_escape")
        inside = target == mount or target.startswith(mount.rstrip("/") + "/")
        # A later mount hides an earlier one at the same path.
        if inside and len(mount) >= len(best):
            best, kind = mount, right.split(" ")[0]
    return kind


def is_network(path: str | os.PathLike[str]) -> bool:
    """Return whether ``path`` is on a file system that other hosts can use too."""
    return filesystem_type(path) in NETWORK_TYPES


def local_temporary_folder() -> Path:
    """Return a folder for temporary files that only this host uses.

    Raises:
        StoreError: All temporary folders are on network file systems.
    """
    import tempfile  # slow to import, and rarely needed

    usual = tempfile.gettempdir()
    for folder in (usual, "/var/tmp", "/dev/shm"):
        if not is_network(folder) and os.access(folder, os.W_OK | os.X_OK):
            return Path(folder)
    raise StoreError(f"{usual} is on a network file system. Set TMPDIR to a folder on a disk of this host.")


def local_state_folder() -> Path:
    """Return a folder on a disk of this host for files of this user that can be made again. It is created.

    This is ``tracker`` in the user's state folder (``XDG_STATE_HOME``, ``~/.local/state``). On a cluster,
    home folders are often shared over a network too: then it is a folder in ``/var/tmp`` or in ``TMPDIR``
    that only this user can open.

    Raises:
        UsageError: All these folders are on network file systems, or cannot be used.
    """
    places = local_state_places()
    for place in places:
        if not is_network(existing_parent(place)) and _make_private(place):
            return place
    raise UsageError(
        f"{', '.join(map(str, places))} are on network file systems or cannot be used. SQLite needs a local "
        "disk: name a folder on one with --catalog or TRACKER_CATALOG"
    )


def local_state_places() -> list[Path]:
    """Return the folders that ``local_state_folder`` tries, in order. Some may be missing or on a network."""
    import tempfile

    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    private = f"tracker-{os.getuid()}"
    return [Path(state, "tracker"), Path("/var/tmp", private), Path(tempfile.gettempdir(), private)]


def existing_parent(place: Path) -> Path:
    """Return the path itself if it exists, else its nearest parent that exists."""
    while not os.path.exists(place) and place != place.parent:
        place = place.parent
    return place


def _make_private(place: Path) -> bool:
    """Make a folder that only this user can open; return whether it can be used."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir(mode=0o700, exist_ok=True)
        found = place.lstat()
    except OSError:
        return False
    # Others can make folders in /var/tmp too.
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and os.access(place, os.W_OK | os.X_OK)
