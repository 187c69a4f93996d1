"""Copies of runs between stores and servers, and the check of a copy before its source is deleted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tracker.bundles.bundle_file import BundleFile
from tracker.bundles.manifest import Source
from tracker.bundles.plan import known_segments
from tracker.bundles.staging import Staging
from tracker.errors import Error, NotFoundError
from tracker.ground.http import Client
from tracker.ground.names import RunPath
from tracker.recorder.outbox import Remote
from tracker.recorder.server_target import ASKED_AT_ONCE
from tracker.store.store import Store

# A server completes the last segment of a run in this time after its end.
SEALED_SECONDS = 20


class CopyError(Error):
    """A copy does not have everything that its source has."""


@contextmanager
def download_run(remote: Remote, run: RunPath, folder: Path) -> Iterator[BundleFile]:
    """Download a run of a server with its artifacts, as a source.

    Args:
        remote: The server.
        run: Entity, project and id of the run.
        folder: A folder for temporary files.

    Raises:
        NotFoundError: The server does not have the run, or is too old.
        BundleError: The download is damaged.
    """
    entity, project, run_id = run
    client = Client(remote.url, remote.key)
    try:
        with Staging(folder) as staging:
            path = staging.path("bundle")
            try:
                with path.open("xb") as file:
                    for chunk in client.stream(
                        "projects", entity, project, "runs", run_id, "bundle", wait=SEALED_SECONDS
                    ):
                        file.write(chunk)
            except NotFoundError as error:
                raise NotFoundError(
                    f"{error.message}. A server of an older version cannot send runs."
                ) from None
            source = BundleFile(path, staging)
            source.verify()
            yield source
    finally:
        client.close()


def check_copy(source: Source, store: Store) -> None:
    """Check that a store has all segments of a source, and read all its contents.

    Raises:
        CopyError: A segment or a content is missing or damaged.
    """
    segments = [each.segment for each in source.manifest.journals]
    with store.reading() as session:
        known = known_segments(session, segments)
    missing = [segment for segment in segments if known.get(segment) is None]
    if missing:
        raise CopyError(f"{len(missing)} segments are not complete in {store.root}")
    for content in source.manifest.contents:
        digest = hashlib.sha256()
        for chunk in store.blobs.chunks(content.sha256):
            digest.update(chunk)
        if digest.hexdigest() != content.sha256:
            raise CopyError(f"content {content.sha256} is damaged in {store.root}")


def check_copy_on_server(source: Source, remote: Remote) -> None:
    """Check that a server has all segments and contents of a source.

    Raises:
        CopyError: A segment or a content is missing.
        CommError: The server cannot be asked.
    """
    segments = [each.segment for each in source.manifest.journals]
    known = segments_on_server(remote, segments)
    missing = [segment for segment in segments if known.get(segment) != "stored"]
    client = Client(remote.url, remote.key)
    try:
        contents = [each.sha256 for each in source.manifest.contents]
        for start in range(0, len(contents), ASKED_AT_ONCE):
            body = {"sha256": contents[start : start + ASKED_AT_ONCE], "versions": []}
            missing += client.post("ingest", "blobs", "missing", body=body)["missing"]
    finally:
        client.close()
    if missing:
        raise CopyError(f"{len(missing)} segments or files are not complete on {remote.url}")


def segments_on_server(remote: Remote, segments: Sequence[str]) -> dict[str, str]:
    """Return the complete segments of a server, each with ``stored`` or ``deleted``."""
    found: dict[str, str] = {}
    client = Client(remote.url, remote.key)
    try:
        for start in range(0, len(segments), ASKED_AT_ONCE):
            body = {"segments": [*segments[start : start + ASKED_AT_ONCE]]}
            found |= client.post("ingest", "segments", "known", body=body)["known"]
    finally:
        client.close()
    return found
