"""Giving a downloaded content its name: the file of that name is there whole, or as it was before."""

from __future__ import annotations

import os

from tracker.errors import ArtifactError
from tracker.ground.read_models import ArtifactDetail
from tracker.store.blobs.manifest import Entry


def checksum_error(artifact: ArtifactDetail, entry: Entry) -> ArtifactError:
    """Return the error for a content that is not what the manifest says."""
    return ArtifactError(
        f"{artifact.name}/{entry.path}: the content read is not what its manifest says (SHA-256 "
        f"{entry.sha256}); nothing was written. The stored copy is damaged."
    )


def temporary_path(target: str) -> str:
    """Return a name for the unfinished file, in the same folder."""
    # Without the file's own name, which may be as long as names may be.
    return f"{target.rpartition('/')[0]}/.{os.urandom(8).hex()}.part"


def write_small_file(target: str, data: bytes | memoryview) -> None:
    """Write a file whose content is in memory."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    temporary: str | None = None
    try:
        descriptor = os.open(target, flags, 0o666)
    except FileExistsError:  # another content is there
        temporary = temporary_path(target)
        descriptor = os.open(temporary, flags, 0o666)
    try:
        written = os.write(descriptor, data)
        while written < len(data):  # a disk that becomes full takes a part, and refuses the next
            written += os.write(descriptor, data[written:])
    except BaseException:
        os.unlink(temporary or target)
        raise
    finally:
        os.close(descriptor)
    if temporary is not None:
        os.replace(temporary, target)
