"""References to Google Cloud Storage. Needs google-cloud-storage."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from tracker.artifacts.reference_errors import (
    MissingError,
    changed_error,
    check_size,
    limit_objects,
    path_in_artifact,
)
from tracker.errors import UsageError
from tracker.store.blobs.manifest import Entry

_ADDRESS = re.compile(r"gs://([^/]+)/?(.*?)(?:#(\d+))?", re.DOTALL)


def list_entries(uri: str, name: str | None, checksum: bool, max_objects: int) -> list[Entry]:
    """Return the entries for ``gs://BUCKET/KEY[#GENERATION]``: one object, or all objects with a prefix.

    Args:
        uri: The address.
        name: The path inside the artifact; for a prefix, the folder inside the artifact.
        checksum: Whether to read the ETag.
        max_objects: The maximum number of objects of a prefix.

    Raises:
        ValueError: The target does not exist or cannot be read.
    """
    bucket_name, key, generation = _parse(uri)
    address = f"gs://{bucket_name}/{key}"
    if not checksum:
        return [Entry(name or key.rstrip("/") or bucket_name, address, 0, ref=address)]
    bucket = _client().bucket(bucket_name)
    try:
        found = bucket.get_blob(key, generation=generation) if key else None
        if found is not None and not key.endswith("/"):
            return [_entry(name or os.path.basename(key), bucket_name, found)]
        if generation is not None:
            raise ValueError(f"{uri} does not exist.")
        prefix = f"{key.rstrip('/')}/" if key else ""
        # A name with a slash at its end represents a folder.
        objects = (each for each in bucket.list_blobs(prefix=prefix) if not each.name.endswith("/"))
        entries = [
            _entry(path_in_artifact(each.name, prefix, name), bucket_name, each)
            for each in limit_objects(objects, address, max_objects)
        ]
    except _errors() as error:
        raise ValueError(f"Cannot read {uri}: {error}") from error
    if not entries:
        raise ValueError(f"{uri} does not exist: there is no such object and no object with this prefix.")
    return entries


def fetch(entry: Entry, target: Path) -> None:
    """Write an object to a path: the recorded generation, or else the newest one if its ETag is the same.

    Raises:
        MissingError: The object does not exist any more, or cannot be reached.
        ArtifactError: The object has changed.
    """
    bucket_name, key, generation = _parse(entry.ref or "")
    bucket = _client().bucket(bucket_name)
    noted = generation or entry.extra.get("versionID")
    try:
        found = bucket.get_blob(key, generation=noted) if noted is not None else None
        found = found or bucket.get_blob(key)
        if found is None:
            raise MissingError(f"{entry.ref} does not exist any more.")
        if entry.digest not in (found.etag, entry.ref):
            raise changed_error(entry, found.etag)
        found.download_to_filename(os.fspath(target))  # this generation; the library checks its MD5
        check_size(entry, target.stat().st_size)
    except _errors() as error:
        raise MissingError(f"Cannot fetch {entry.ref}: {error}") from error


def _parse(uri: str) -> tuple[str, str, str | None]:
    found = _ADDRESS.fullmatch(uri)
    if found is None:
        raise ValueError(f"Invalid Google Cloud Storage address {uri!r}. Use gs://bucket/key.")
    return found[1], found[2], found[3]


@lru_cache(maxsize=1)
def _client() -> Any:
    try:
        from google.cloud import storage
    except ImportError:
        raise UsageError(
            "gs:// references need google-cloud-storage. Run: pip install google-cloud-storage"
        ) from None
    try:
        return storage.Client()
    except _errors() as error:
        raise UsageError(f"gs:// references need credentials: {error}") from error


def _errors() -> tuple[type[Exception], ...]:
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    return GoogleAPIError, GoogleAuthError, OSError


def _entry(path: str, bucket: str, found: Any) -> Entry:
    address = f"gs://{bucket}/{found.name}"
    return Entry(path, found.etag, found.size or 0, ref=address, extra={"versionID": found.generation})
