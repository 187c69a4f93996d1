"""References to S3 and to servers with its protocol (``AWS_ENDPOINT_URL``). Needs boto3."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

from tracker.artifacts.reference_errors import (
    CHUNK,
    PARALLEL_REQUESTS,
    Found,
    MissingError,
    changed_error,
    check_size,
    limit_objects,
    path_in_artifact,
)
from tracker.errors import UsageError
from tracker.store.blobs.manifest import Entry

_ADDRESS = re.compile(r"s3://([^/]+)/?(.*?)(?:\?versionId=([^&]+))?", re.DOTALL)
_GONE = frozenset(("404", "NoSuchKey", "NoSuchBucket", "NoSuchVersion"))


def list_entries(uri: str, name: str | None, checksum: bool, max_objects: int) -> list[Entry]:
    """Return the entries for ``s3://BUCKET/KEY[?versionId=V]``: one object, or all objects with a prefix.

    A prefix skips empty objects, which represent folders
    (wandb: ``sdk/artifacts/storage_handlers/s3_handler.py``).

    Args:
        uri: The address.
        name: The path inside the artifact; for a prefix, the folder inside the artifact.
        checksum: Whether to read the ETag.
        max_objects: The maximum number of objects of a prefix.

    Raises:
        ValueError: The target does not exist or cannot be read.
    """
    bucket, key, version = _parse(uri)
    address = f"s3://{bucket}/{key}"
    if not checksum:
        return [Entry(name or key.rstrip("/") or bucket, address, 0, ref=address)]
    client = _client()
    try:
        head = _head(client, bucket, key, version) if key else None
        if head is not None and "x-directory" not in head.get("ContentType", ""):
            found = Found(key, _etag(head), head["ContentLength"])
            return [_entry(name or os.path.basename(key), bucket, found, head)]
        if version:
            raise ValueError(f"{uri} does not exist.")
        prefix = f"{key.rstrip('/')}/" if key else ""
        objects = list(limit_objects(_list_objects(client, bucket, prefix), address, max_objects))
        with ThreadPoolExecutor(PARALLEL_REQUESTS) as threads:  # the listing has no version ids
            heads = threads.map(lambda each: _head(client, bucket, each.key, None), objects)
            entries = [
                _entry(path_in_artifact(each.key, prefix, name), bucket, each, head or {})
                for each, head in zip(objects, heads, strict=True)
            ]
    except _errors() as error:
        raise ValueError(f"Cannot read {uri}: {error}") from error
    if not entries:
        raise ValueError(f"{uri} does not exist: there is no such object and no object with this prefix.")
    return entries


def fetch(entry: Entry, target: Path) -> None:
    """Write an object to a path: the recorded version, or else a version with the recorded ETag.

    Raises:
        MissingError: The object does not exist any more, or cannot be reached.
        ArtifactError: The object has changed.
    """
    bucket, key, version = _parse(entry.ref or "")
    version = version or entry.extra.get("versionID")
    client = _client()
    try:
        answer = _get(client, bucket, key, version)
        if answer is None or entry.digest not in (_etag(answer), entry.ref):
            if answer is not None:
                answer["Body"].close()
            former = None if version else _version_with(client, bucket, key, entry.digest)
            if former is None and answer is not None:
                raise changed_error(entry, _etag(answer))
            if former is None:
                raise MissingError(f"{entry.ref} does not exist any more.")
            answer = client.get_object(Bucket=bucket, Key=key, VersionId=former)
        with target.open("xb") as file:
            for chunk in answer["Body"].iter_chunks(CHUNK):
                file.write(chunk)
            check_size(entry, file.tell())
    except _errors() as error:
        raise MissingError(f"Cannot fetch {entry.ref}: {error}") from error


def _parse(uri: str) -> tuple[str, str, str | None]:
    found = _ADDRESS.fullmatch(uri)
    if found is None:
        raise ValueError(f"Invalid S3 address {uri!r}. Use s3://bucket/key.")
    return found[1], found[2], found[3]


def _client() -> Any:
    # wandb's own variable. boto3 itself reads AWS_ENDPOINT_URL.
    return _client_for(os.environ.get("AWS_S3_ENDPOINT_URL"), os.environ.get("AWS_REGION"))


@lru_cache(maxsize=4)
def _client_for(endpoint: str | None, region: str | None) -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise UsageError("s3:// references need boto3. Run: pip install boto3") from None
    config = Config(max_pool_connections=PARALLEL_REQUESTS)
    return boto3.session.Session().client("s3", endpoint_url=endpoint, region_name=region, config=config)


def _errors() -> tuple[type[Exception], ...]:
    from botocore.exceptions import BotoCoreError, ClientError

    return BotoCoreError, ClientError, OSError


def _etag(answer: dict[str, Any]) -> str:
    return str(answer["ETag"]).strip('"')


def _versioned(version: str | None) -> dict[str, str]:
    return {"VersionId": version} if version else {}


def _head(client: Any, bucket: str, key: str, version: str | None) -> dict[str, Any] | None:
    return _unless_gone(lambda: client.head_object(Bucket=bucket, Key=key, **_versioned(version)))


def _get(client: Any, bucket: str, key: str, version: str | None) -> dict[str, Any] | None:
    return _unless_gone(lambda: client.get_object(Bucket=bucket, Key=key, **_versioned(version)))


def _unless_gone(ask: Any) -> dict[str, Any] | None:
    from botocore.exceptions import ClientError

    try:
        answer: dict[str, Any] = ask()
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _GONE:
            return None
        raise
    return answer


def _list_objects(client: Any, bucket: str, prefix: str) -> Iterator[Found]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for each in page.get("Contents", ()):
            if each["Size"] > 0:
                yield Found(each["Key"], _etag(each), each["Size"])


def _version_with(client: Any, bucket: str, key: str, etag: str) -> str | None:
    """Return the id of the version of an object that has an ETag, or None."""
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key):
        for each in page.get("Versions", ()):
            if each["Key"] == key and _etag(each) == etag:
                return str(each["VersionId"])
    return None


def _entry(path: str, bucket: str, found: Found, head: dict[str, Any]) -> Entry:
    extra = {"etag": found.etag}
    if head.get("VersionId") not in (None, "", "null") and _etag(head) == found.etag:
        extra["versionID"] = head["VersionId"]
    return Entry(path, found.etag, found.size, ref=f"s3://{bucket}/{found.key}", extra=extra)
