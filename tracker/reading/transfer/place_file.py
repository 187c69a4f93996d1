"""Writing a downloaded file under its name. Other processes see the old file or the complete new file."""

from __future__ import annotations

import os

from tracker.errors import ArtifactError
from tracker.ground.read_models import ArtifactDetail
from tracker.store.blobs.manifest import Entry


def checksum_error(artifact: ArtifactDetail, entry: Entry) -> ArtifactError:
    """Return the error for a content that does not match its checksum in the manifest."""
    return ArtifactError(
        f"The content of {artifact.name}/{entry.path} does not match its checksum {entry.sha256}. "
        "The stored copy is damaged. The file was not written."
    )


def temporary_path(target: str) -> str:
    """Return a random path for a partial file in the folder of ``target``."""
    # The path does not contain the target's name, which may have the maximum length of a name already.
    return f"{target.rpartition('/')[0]}/.{os.urandom(8).hex()}.part"


def write_small_file(target: str, data: bytes | memoryview) -> None:
    """Write a file whose content is in memory. An existing file is replaced."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    temporary: str | None = None
    try:
        descriptor = os.open(target, flags, 0o666)
    except FileExistsError:  # write to a temporary file, which then replaces the existing file
        temporary = temporary_path(target)
        descriptor = os.open(temporary, flags, 0o666)
    try:
        written = os.write(descriptor, data)
        while written < len(data):  # a nearly full disk accepts only a part of the bytes
            written += os.write(descriptor, data[written:])
    except BaseException:
        os.unlink(temporary or target)
        raise
    finally:
        os.close(descriptor)
    if temporary is not None:
        os.replace(temporary, target)
