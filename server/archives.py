"""Archives of artifact versions. A zip or tar file is made while it is sent, without a temporary file.

Memory holds the list of the files and at most a few MiB of content. Contents are stored uncompressed: models,
images and arrays become hardly smaller, and compression is much slower than the network.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import zipfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import IO, Literal, NamedTuple
from urllib.parse import quote

from anyio import CancelScope
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Send

from tracker.errors import ArtifactError, Error, NotFoundError, StoreError
from tracker.ground.names import path_on_disk
from tracker.ground.read_models import ArtifactDetail
from tracker.ground.terminal import say
from tracker.store.blobs.content import CHUNK, BlobStore
from tracker.store.blobs.manifest import Entry, Manifest

Format = Literal["zip", "tar"]
# Name of the member that lists the references of the version.
REFERENCES = "tracker-references"
# Most characters of a path. Linux cannot open longer ones, and a zip file cannot contain much longer ones.
LONGEST_PATH = 4095
# Size in bytes of the pieces of an answer. Each piece costs a thread switch.
PIECE = 256 * 1024
# The first and the last time that a zip file can contain, in unix seconds: 1980 and 2107.
_ZIP_TIMES = (315_532_800.0, 4_354_819_198.0)


class _Member(NamedTuple):
    """A file of an archive. Reading ``content`` raises StoreError before the last bytes of a damaged file."""

    name: str
    size: int
    content: Iterable[bytes]


class ArchiveResponse(StreamingResponse):
    """An answer with files of a version as an archive. References are listed in a file of the archive.

    If a content is missing or damaged, the answer ends early and the server closes the connection: the client
    sees a broken transfer, and the archive has no end.

    Args:
        blobs: The blobs of the store.
        version: The version.
        manifest: The files of the version.
        form: Format of the archive.
        prefix: The archive contains only the files whose path starts with this text.

    Raises:
        NotFoundError: No file has the prefix, or a content is not in the store.
        ArtifactError: A file has a name that could leave the folder where a program unpacks the archive.
    """

    def __init__(
        self, blobs: BlobStore, version: ArtifactDetail, manifest: Manifest, form: Format, prefix: str
    ) -> None:
        self._name = f"{version.name}:{version.version}"
        chosen = [entry for entry in manifest.entries if entry.path.startswith(prefix)]
        if prefix and not chosen:
            raise NotFoundError(f"Artifact {self._name} has no file whose path starts with {prefix!r}.")
        for entry in chosen:
            _check_name(self._name, entry.path)
        for blob in dict.fromkeys(entry.blob for entry in chosen if entry.blob is not None):
            if not blobs.path(blob).is_file():
                raise NotFoundError(f"Content {blob} of artifact {self._name} is not in this store (yet).")
        make: Callable[[Iterable[_Member], float], Iterator[bytes]] = _zip if form == "zip" else _tar
        self._pieces = _in_pieces(make(_members(blobs, chosen), version.created_at))
        file_name = quote(f"{version.name}-{version.version}.{form}", safe="")
        headers = {
            "Content-Disposition": f"attachment; filename*=UTF-8''{file_name}",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        }
        super().__init__(self._pieces, headers=headers, media_type=MEDIA_TYPES[form])

    async def stream_response(self, send: Send) -> None:
        """Send the answer. Without the last message of an answer, the server closes the connection."""
        try:
            await super().stream_response(send)
        except (Error, OSError) as error:
            say(f"The archive of artifact {self._name} was not sent completely: {error}")
        finally:
            with CancelScope(shield=True):  # the client is gone: close the file that is being read now
                await run_in_threadpool(self._pieces.close)


MEDIA_TYPES: dict[Format, str] = {"zip": "application/zip", "tar": "application/x-tar"}


def _check_name(version: str, path: str) -> None:
    """Raise ArtifactError if a path is absolute, too long or has a part such as ``..``, also for Windows."""
    unsafe = ".." in re.split(r"[/\\]", path) or not {"", "."}.isdisjoint(path.split("/")) or "\0" in path
    if unsafe or len(path) > LONGEST_PATH:
        raise ArtifactError(
            f"Artifact {version} has a file with the unsafe name {path!r:.200}. Request its files one by one."
        )


def _members(blobs: BlobStore, entries: list[Entry]) -> Iterator[_Member]:
    references = []
    with closing(_Contents(blobs)) as contents:
        for entry in entries:
            if entry.ref is None:
                yield _Member(path_on_disk(entry.path), entry.size, contents.read(entry))
            else:
                fields = {"path": entry.path, "ref": entry.ref, "digest": entry.digest, "size": entry.size}
                references.append(fields)
    if references:
        names = {entry.path for entry in entries}
        name = f"{REFERENCES}.json"
        while name in names:
            name = f"{name[:-5]}_.json"
        data = json.dumps(references, indent=1).encode()
        yield _Member(name, len(data), [data])


class _Contents:
    """Reads the contents of files. The last pack stays open: opening it for each file takes most of the time.

    Args:
        blobs: The blobs of the store.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._name = ""
        self._file: IO[bytes] | None = None

    def read(self, entry: Entry) -> Iterator[bytes]:
        """Yield the content of a file. The last piece is held back until the digest of the content is known.

        Raises:
            NotFoundError: The content is not in the store.
            StoreError: The content is damaged.
        """
        digest, size, held = hashlib.sha256(), 0, b""
        for chunk in self._chunks(entry) if entry.size else ():
            digest.update(chunk)
            size += len(chunk)
            if held:
                yield held
            held = chunk
        if size != entry.size or digest.hexdigest() != entry.sha256:
            raise StoreError(f"The content of {entry.path} is damaged: its SHA-256 is not {entry.sha256}.")
        if held:
            yield held

    def _chunks(self, entry: Entry) -> Iterator[bytes]:
        if self._file is None or self._name != entry.blob:
            self.close()
            self._name = entry.blob or ""
            self._file = self._blobs.open(self._name)
        self._file.seek(entry.offset)
        left = entry.size
        while left > 0 and (chunk := self._file.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk

    def close(self) -> None:
        """Close the file that was read last."""
        if self._file is not None:
            self._file.close()


class _Output:
    """A file that ``zipfile`` writes to. It cannot seek, so that sizes and checksums follow the contents."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def write(self, data: bytes, /) -> int:
        self._chunks.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    close = flush

    def take(self) -> bytes:
        """Return what was written since the last call."""
        taken = b"".join(self._chunks)
        self._chunks.clear()
        return taken


def _zip(members: Iterable[_Member], created_at: float) -> Iterator[bytes]:
    when = time.gmtime(min(max(created_at, _ZIP_TIMES[0]), _ZIP_TIMES[1]))[:6]
    out = _Output()
    with zipfile.ZipFile(out, "w") as archive:
        for member in members:
            info = zipfile.ZipInfo(member.name, when)
            info.create_system, info.external_attr = 3, 0o100644 << 16  # Unix, a regular file
            info.file_size = member.size  # decides whether the sizes need 64 bits
            with archive.open(info, "w") as target:
                for chunk in member.content:
                    target.write(chunk)
                    yield out.take()
    yield out.take()


def _tar(members: Iterable[_Member], created_at: float) -> Iterator[bytes]:
    import tarfile  # 0.3 MB, which few servers need

    for member in members:
        info = tarfile.TarInfo(member.name)
        info.size, info.mtime = member.size, int(max(created_at, 0.0))
        # The header of a damaged file is sent: a tar file that ends after a whole file looks complete.
        yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        yield from member.content
        yield bytes(-member.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _in_pieces(chunks: Iterable[bytes]) -> Generator[bytes, None, None]:
    """Yield the joined chunks in pieces of at least ``PIECE`` bytes. An error follows the bytes before it."""
    held: list[bytes] = []
    size = 0
    try:
        for chunk in chunks:
            held.append(chunk)
            size += len(chunk)
            if size >= PIECE:
                yield b"".join(held)
                held, size = [], 0
    except (Error, OSError):
        yield b"".join(held)
        raise
    yield b"".join(held)
