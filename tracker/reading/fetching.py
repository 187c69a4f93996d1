"""Fetching an artifact's files from a server, each verified before it gets its name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from tracker.answers import ArtifactDetail
from tracker.errors import ArtifactError
from tracker.http import Client
from tracker.recorder.remote import Remote
from tracker.store.manifest import Entry


def fetch_files(
    remote: Remote, place: tuple[str, ...], artifact: ArtifactDetail, wanted: Sequence[tuple[Entry, str]]
) -> None:
    """Write files of a version to paths.

    Raises:
        ArtifactError: A byte is wrong; names the file.
        CommError: The server cannot be reached.
    """
    client = Client(remote.url, remote.key)
    try:
        for entry, target in wanted:
            temporary = f"{target}.{os.urandom(6).hex()}.part"
            digest = hashlib.sha256()
            try:
                with open(temporary, "xb") as file:
                    for chunk in client.stream(*place, "files", *entry.path.split("/")):
                        digest.update(chunk)
                        file.write(chunk)
                if digest.hexdigest() != entry.sha256:
                    raise ArtifactError(
                        f"{artifact.name}/{entry.path}: the content fetched is not what its manifest says"
                    )
                os.replace(temporary, target)
            finally:
                if os.path.exists(temporary):
                    os.unlink(temporary)
    finally:
        client.close()
