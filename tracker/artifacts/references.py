"""References: what lies elsewhere, known by address and checksum. One handler for each scheme.

Digests are those of wandb's client: of a file the MD5 of its bytes, of what HTTP serves and of an object in
S3 or Google Cloud Storage its ETag; without a checksum, that of the address.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from tracker.artifacts.contents import check_entry_path, files_below
from tracker.errors import ArtifactError
from tracker.store.manifest import Entry

LARGEST_NUMBER = 10_000_000
TIMEOUT = 60.0
CHUNK = 1024 * 1024


class Scheme(NamedTuple):
    """How addresses of one kind are looked at and fetched.

    Attributes:
        look: ``(uri, name or None, checksum, most objects)`` to entries.
        fetch: Writes an entry's bytes to a path; raises ArtifactError when they are not those of its digest.
    """

    look: Callable[[str, str | None, bool, int], list[Entry]]
    fetch: Callable[[Entry, Path], None]


def add_reference(uri: str, name: str | None, checksum: bool, most: int | None) -> list[Entry]:
    """Return the entries for an address.

    Raises:
        ValueError: Nothing is there, it cannot be looked at, or it has more than ``most`` objects.
    """
    parts = urlsplit(uri)
    if not parts.scheme:
        raise ValueError(f"References must be URIs. To reference a local file, use file:// ({uri!r})")
    scheme = SCHEMES.get(parts.scheme)
    if scheme is None:  # kept as it is, as wandb does
        return [Entry(name or uri.split("/")[-1] or parts.netloc, uri, 0, ref=uri)]
    return scheme.look(uri, name, checksum, most or LARGEST_NUMBER)


def fetch(entry: Entry, target: Path) -> None:
    """Write what a reference points to, if it still has the digest that was noted.

    Raises:
        ArtifactError: It is gone, has changed, or cannot be fetched from here.
    """
    assert entry.ref is not None
    scheme = SCHEMES.get(urlsplit(entry.ref).scheme)
    if scheme is None:
        raise ArtifactError(f"{entry.ref} cannot be fetched: its scheme is not known here")
    temporary = target.with_name(f".{target.name[:100]}.{os.urandom(6).hex()}.part")
    try:
        scheme.fetch(entry, temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


# file://


def _look_at_files(uri: str, name: str | None, checksum: bool, most: int) -> list[Entry]:
    local = Path(url2pathname(unquote(urlsplit(uri).path)))
    if local.is_file():
        return [_file_entry(uri, name or local.name, local, checksum)]
    if not local.is_dir():
        raise ValueError(f"Path {uri!r} must be a valid file or directory path")
    entries: list[Entry] = []
    for inside, found in files_below(local):
        if len(entries) == most:
            raise ValueError(f"Exceeded {most!r} objects tracked, pass max_objects to add_reference")
        path = check_entry_path(f"{name}/{inside}" if name else inside)
        entries.append(_file_entry(f"{uri.rstrip('/')}/{inside}", path, Path(found.path), checksum))
    return entries


def _file_entry(uri: str, name: str, local: Path, checksum: bool) -> Entry:
    digest = _md5(local) if checksum else _md5_text(local.resolve().as_uri())
    return Entry(name, digest, local.stat().st_size, ref=uri)


def _fetch_file(entry: Entry, target: Path) -> None:
    local = Path(url2pathname(unquote(urlsplit(entry.ref or "").path)))
    try:
        shutil.copyfile(local, target)
    except FileNotFoundError:
        raise ArtifactError(f"{entry.ref} is not there any more") from None
    if entry.digest not in (found := _md5(target), _md5_text(local.resolve().as_uri())):
        raise ArtifactError(f"{entry.ref} has changed: its MD5 is {found}, {entry.digest} was noted")


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return base64.b64encode(digest.digest()).decode()


def _md5_text(text: str) -> str:
    return base64.b64encode(hashlib.md5(text.encode(), usedforsecurity=False).digest()).decode()


# http:// and https://


def _look_at_url(uri: str, name: str | None, checksum: bool, most: int) -> list[Entry]:
    path = name or os.path.basename(urlsplit(uri).path) or urlsplit(uri).netloc
    if not checksum:
        return [Entry(path, uri, 0, ref=uri)]
    try:
        with _open_url(uri) as response:
            digest, extra = _url_digest(uri, response.headers)
            return [
                Entry(path, digest, int(response.headers.get("Content-Length") or 0), ref=uri, extra=extra)
            ]
    except OSError as error:
        raise ValueError(
            f"{uri} cannot be looked at: {error}; without a network, pass checksum=False"
        ) from error


def _fetch_url(entry: Entry, target: Path) -> None:
    assert entry.ref is not None
    try:
        with _open_url(entry.ref) as response, target.open("xb") as file:
            found, _ = _url_digest(entry.ref, response.headers)
            if entry.digest not in (found, entry.ref):
                raise ArtifactError(f"{entry.ref} has changed: its ETag is {found}, {entry.digest} was noted")
            shutil.copyfileobj(response, file, CHUNK)
    except OSError as error:
        raise ArtifactError(f"{entry.ref} cannot be fetched: {error}") from error


def _open_url(uri: str) -> Any:
    from urllib.request import urlopen

    return urlopen(uri, timeout=TIMEOUT)


def _url_digest(uri: str, headers: Any) -> tuple[str, dict[str, Any]]:
    etag = headers.get("ETag")
    if not etag:
        return uri, {}
    stripped = etag[1:-1] if etag[:1] == etag[-1:] == '"' and len(etag) > 1 else etag
    return stripped, {"etag": etag}


SCHEMES: dict[str, Scheme] = {
    "file": Scheme(_look_at_files, _fetch_file),
    "http": Scheme(_look_at_url, _fetch_url),
    "https": Scheme(_look_at_url, _fetch_url),
}
