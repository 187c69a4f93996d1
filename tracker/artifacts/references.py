"""References: what lies elsewhere, known by address and checksum. One handler for each scheme.

Digests are those of wandb's client: of a file the MD5 of its bytes, of what HTTP serves and of an object in
S3 or Google Cloud Storage its ETag; without a checksum, that of the address.
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
    """How addresses of one kind are looked at and fetched.

    Attributes:
        look: ``(uri, name or None, checksum, most objects)`` to entries.
        fetch: Writes an entry's bytes to a path; raises ArtifactError when they are not those of its digest.
    """

    list_entries: Callable[[str, str | None, bool, int], list[Entry]]
    fetch: Callable[[Entry, Path], None]


def add_reference(uri: str, name: str | None, checksum: bool, max_objects: int | None) -> list[Entry]:
    """Return the entries for an address.

    Raises:
        ValueError: Nothing is there, it cannot be looked at, or it has more than ``most`` objects.
        UsageError: A library that its scheme needs is not installed.
    """
    kind = scheme_of(uri)
    if not kind:
        raise ValueError(f"References must be URIs. To reference a local file, use file:// ({uri!r})")
    scheme = SCHEMES.get(kind)
    if scheme is None:  # kept as it is, as wandb does
        entries = [Entry(name or uri.rstrip("/").split("/")[-1], uri, 0, ref=uri)]
    else:
        entries = scheme.list_entries(uri, name, checksum, max_objects or LARGEST_NUMBER)
    return [msgspec.structs.replace(entry, path=check_entry_path(entry.path)) for entry in entries]


def fetch(entry: Entry, target: Path) -> None:
    """Write what a reference points to, if it still has the digest that was noted.

    Raises:
        MissingError: It is gone, or out of reach.
        ArtifactError: It has changed, or cannot be fetched at all.
    """
    assert entry.ref is not None
    scheme = SCHEMES.get(scheme_of(entry.ref))
    if scheme is None:
        raise ArtifactError(f"{entry.ref} cannot be fetched: its scheme is not known here")
    temporary = target.with_name(f".{os.urandom(8).hex()}.part")
    try:
        scheme.fetch(entry, temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def scheme_of(uri: str) -> str:
    """Return what stands before the colon, in lower case; nothing when that is no scheme."""
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
        raise MissingError(f"{entry.ref} is not there any more")
    clone(local, target)
    if entry.digest not in (found := _md5(target), _md5_text(local.resolve().as_uri())):
        raise changed_error(entry, found)


def _local_path(uri: str) -> Path:
    return Path(os.fsdecode(unquote_to_bytes(urlsplit(uri).path)))


def _as_uri_path(path: str) -> str:
    """Return a file's path as it may stand in a URI; readable, as wandb leaves it, wherever that can be."""
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
    from http.client import HTTPException  # slow to import, and most artifacts have no address

    try:
        with _open_url(uri) as response:
            digest, extra = _url_digest(uri, response.headers)
            return [
                Entry(path, digest, int(response.headers.get("Content-Length") or 0), ref=uri, extra=extra)
            ]
    except (OSError, HTTPException) as error:
        raise ValueError(
            f"{uri} cannot be looked at: {error}; without a network, pass checksum=False"
        ) from error


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
            if promised is not None and file.tell() != int(promised):  # nobody else says so
                raise MissingError(f"{entry.ref} broke off after {file.tell()} of {promised} bytes")
            check_size(entry, file.tell())
    except (OSError, HTTPException) as error:
        raise MissingError(f"{entry.ref} cannot be fetched: {error}") from error


def _open_url(uri: str) -> Any:
    from urllib.request import urlopen

    return urlopen(uri, timeout=TIMEOUT)


def _url_digest(uri: str, headers: Any) -> tuple[str, dict[str, Any]]:
    etag = headers.get("ETag")
    if not etag:
        return uri, {}
    return etag.strip('"'), {"etag": etag}  # of a weak one, W/"...", less than one might expect: as wandb's


SCHEMES: dict[str, Scheme] = {
    "file": Scheme(_list_files, _fetch_file),
    "http": Scheme(_list_url, _fetch_url),
    "https": Scheme(_list_url, _fetch_url),
    "s3": Scheme(s3.list_entries, s3.fetch),
    "gs": Scheme(gcs.list_entries, gcs.fetch),
}
