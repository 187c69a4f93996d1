"""References: files outside the store, recorded by address and checksum. Each scheme has one handler.

The digests are equal to those of wandb's client. The digest of a file is the MD5 of its content. The digest
of an HTTP address and of an object in S3 or Google Cloud Storage is its ETag. Without a checksum, the digest
is the address itself, or for a file the MD5 of the address.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_to_bytes, urlsplit

import msgspec

from tracker.artifacts import gcs, s3
from tracker.artifacts.contents import check_entry_path, files_below
from tracker.artifacts.reference_errors import CHUNK, MissingError, changed_error, check_size
from tracker.errors import ArtifactError
from tracker.store.blobs.manifest import Entry
from tracker.store.objects.cloning import clone

LARGEST_NUMBER = 10_000_000
TIMEOUT = 60.0
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")


class Scheme(NamedTuple):
    """The handler of one scheme.

    Attributes:
        list_entries: Returns the entries for an address. Its arguments are those of ``add_reference``.
        fetch: Writes the content of an entry to a path. Raises ArtifactError if the digest has changed.
    """

    list_entries: Callable[[str, str | None, bool, int], list[Entry]]
    fetch: Callable[[Entry, Path], None]


def add_reference(uri: str, name: str | None, checksum: bool, max_objects: int | None) -> list[Entry]:
    """Return the entries for an address.

    Args:
        uri: The address.
        name: The path inside the artifact; for a folder or prefix, the folder inside the artifact.
        checksum: Whether to read the checksum of the target.
        max_objects: The maximum number of files of a folder or prefix; None for 10,000,000.

    Raises:
        ValueError: The target does not exist, cannot be read, or has too many files.
        UsageError: The library of the scheme is not installed.
    """
    kind = scheme_of(uri)
    if not kind:
        raise ValueError(f"References must be URIs. To reference a local file, use file:// ({uri!r})")
    scheme = SCHEMES.get(kind)
    if scheme is None:  # wandb's tracking_handler also stores the address without a checksum
        entries = [Entry(name or uri.rstrip("/").split("/")[-1], uri, 0, ref=uri)]
    else:
        entries = scheme.list_entries(uri, name, checksum, max_objects or LARGEST_NUMBER)
    return [msgspec.structs.replace(entry, path=check_entry_path(entry.path)) for entry in entries]


def fetch(entry: Entry, target: Path) -> None:
    """Write the target of a reference to a file.

    Raises:
        MissingError: The target does not exist any more, or cannot be reached.
        ArtifactError: The digest of the target has changed, or the scheme is unknown.
    """
    assert entry.ref is not None
    scheme = SCHEMES.get(scheme_of(entry.ref))
    if scheme is None:
        raise ArtifactError(f"Cannot fetch {entry.ref}: its scheme is not supported.")
    temporary = target.with_name(f".{os.urandom(8).hex()}.part")
    try:
        scheme.fetch(entry, temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def scheme_of(uri: str) -> str:
    """Return the scheme of an address in lower case, or an empty string without a scheme."""
    return found[1].lower() if (found := _SCHEME.match(uri)) else ""


# file://


def _list_files(uri: str, name: str | None, checksum: bool, max_objects: int) -> list[Entry]:
    local = _local_path(uri)
    if local.is_file():
        return [_file_entry(uri, name or local.name, local, checksum)]
    if not local.is_dir():
        raise ValueError(f"Path {uri!r} must be a valid file or directory path")
    entries: list[Entry] = []
    for inside, found in files_below(local):
        if len(entries) == max_objects:
            raise ValueError(f"Exceeded {max_objects!r} objects tracked, pass max_objects to add_reference")
        path = check_entry_path(f"{name}/{inside}" if name else inside)
        entries.append(
            _file_entry(f"{uri.rstrip('/')}/{_as_uri_path(inside)}", path, Path(found.path), checksum)
        )
    return entries


def _file_entry(uri: str, name: str, local: Path, checksum: bool) -> Entry:
    digest = _md5(local) if checksum else _md5_text(local.resolve().as_uri())
    return Entry(name, digest, local.stat().st_size, ref=uri)


def _fetch_file(entry: Entry, target: Path) -> None:
    local = _local_path(entry.ref or "")
    if not local.is_file():
        raise MissingError(f"{entry.ref} does not exist any more.")
    clone(local, target)
    if entry.digest not in (found := _md5(target), _md5_text(local.resolve().as_uri())):
        raise changed_error(entry, found)


def _local_path(uri: str) -> Path:
    return Path(os.fsdecode(unquote_to_bytes(urlsplit(uri).path)))


def _as_uri_path(path: str) -> str:
    """Return a path for use in a URI.

    In an ASCII path, only characters with a meaning in URIs are escaped, because wandb escapes nothing.
    """
    if path.isascii():
        return re.sub(r"[%#?\x00-\x1f\x7f]| $", lambda found: quote(found[0]), path)
    return quote(os.fsencode(path))


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return base64.b64encode(digest.digest()).decode()


def _md5_text(text: str) -> str:
    return base64.b64encode(hashlib.md5(text.encode(), usedforsecurity=False).digest()).decode()


# http:// and https://


def _list_url(uri: str, name: str | None, checksum: bool, max_objects: int) -> list[Entry]:
    path = name or os.path.basename(urlsplit(uri).path) or urlsplit(uri).netloc
    if not checksum:
        return [Entry(path, uri, 0, ref=uri)]
    from http.client import HTTPException  # imported here because the import is slow and rarely needed

    try:
        with _open_url(uri) as response:
            digest, extra = _url_digest(uri, response.headers)
            return [
                Entry(path, digest, int(response.headers.get("Content-Length") or 0), ref=uri, extra=extra)
            ]
    except (OSError, HTTPException) as error:
        raise ValueError(f"Cannot read {uri}: {error}. Without a network, pass checksum=False.") from error


def _fetch_url(entry: Entry, target: Path) -> None:
    assert entry.ref is not None
    from http.client import HTTPException

    try:
        with _open_url(entry.ref) as response, target.open("xb") as file:
            found, _ = _url_digest(entry.ref, response.headers)
            if entry.digest not in (found, entry.ref):
                raise changed_error(entry, found)
            shutil.copyfileobj(response, file, CHUNK)
            promised = response.headers.get("Content-Length")
            if promised is not None and file.tell() != int(promised):  # copyfileobj does not check the length
                raise MissingError(f"{entry.ref} ended after {file.tell()} of {promised} bytes.")
            check_size(entry, file.tell())
    except (OSError, HTTPException) as error:
        raise MissingError(f"Cannot fetch {entry.ref}: {error}") from error


def _open_url(uri: str) -> Any:
    from urllib.request import urlopen

    return urlopen(uri, timeout=TIMEOUT)


def _url_digest(uri: str, headers: Any) -> tuple[str, dict[str, Any]]:
    etag = headers.get("ETag")
    if not etag:
        return uri, {}
    # A weak ETag, W/"...", keeps its W/ and the first quote: wandb's http_handler also strips only quotes.
    return etag.strip('"'), {"etag": etag}


SCHEMES: dict[str, Scheme] = {
    "file": Scheme(_list_files, _fetch_file),
    "http": Scheme(_list_url, _fetch_url),
    "https": Scheme(_list_url, _fetch_url),
    "s3": Scheme(s3.list_entries, s3.fetch),
    "gs": Scheme(gcs.list_entries, gcs.fetch),
}
