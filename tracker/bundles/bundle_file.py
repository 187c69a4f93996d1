"""The format of bundles: see docs/bundle-format.md.

All integers are little-endian.

    magic 8 | version u16 | reserved u16 | length u32 | manifest as JSON | members | SHA-256 32

The members are the journals and then the contents, in the order of the manifest, as one zstd stream. Their
sizes and SHA-256 are in the manifest. The SHA-256 at the end is that of all bytes before it.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec

from tracker.bundles.manifest import FORMAT, BundleError, Content, Manifest, Source
from tracker.bundles.staging import Staging
from tracker.errors import StoreError
from tracker.store.blobs.content import CHUNK

MAGIC = b"TRKBNDL\n"
VERSION = 1
HEADER = struct.Struct("<8sHHI")
DIGEST_SIZE = 32
# Larger manifests are refused: they list several million contents.
LONGEST_MANIFEST = 512 * 1024 * 1024

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Manifest).decode


class _Collected:
    """The file of ``pyarrow`` for a bundle that is being made. It computes the SHA-256 of all bytes."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.digest = hashlib.sha256()

    def write(self, data: Any) -> int:
        self.digest.update(data)
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> Iterator[bytes]:
        """Yield the bytes since the last call, at most once."""
        if self._pieces:
            data = b"".join(self._pieces)
            self._pieces.clear()
            yield data

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


class _Section(io.RawIOBase):
    """The bytes of a file from its position up to ``end``, for ``pyarrow``."""

    def __init__(self, file: IO[bytes], end: int, digest: Any) -> None:
        self._file = file
        self._left = end - file.tell()
        self._digest = digest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        size = self._left if size < 0 else min(size, self._left)
        data = self._file.read(size)
        self._left -= len(data)
        self._digest.update(data)
        return data


def make_bundle(source: Source) -> Iterator[bytes]:
    """Yield the bytes of a bundle.

    Args:
        source: The source.

    Raises:
        StoreError: A content of the source is damaged. The bytes before are not a bundle.
    """
    import pyarrow as pa

    manifest = _encode(source.manifest)
    if len(manifest) > LONGEST_MANIFEST:
        raise StoreError("these runs have too many files for one bundle: make several, each of some runs")
    made = _Collected()
    made.write(HEADER.pack(MAGIC, VERSION, 0, len(manifest)))
    made.write(manifest)
    yield from made.take()
    with pa.CompressedOutputStream(pa.PythonFile(made, "w"), "zstd") as packed:
        for journal in source.manifest.journals:
            with source.journal(journal.segment).open("rb") as opened:
                while chunk := opened.read(CHUNK):
                    packed.write(chunk)
                    yield from made.take()
        for content, chunks in source.contents():
            digest, size = hashlib.sha256(), 0
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                packed.write(chunk)
                yield from made.take()
            if (digest.hexdigest(), size) != (content.sha256, content.size):
                raise StoreError(
                    f"content {content.sha256} is damaged: find its artifact with tracker verify"
                )
    yield from made.take()
    yield made.digest.digest()


class BundleFile:
    """A bundle, as a source.

    Args:
        path: The file.
        staging: Temporary files for the journals.

    Raises:
        BundleError: The file is not a bundle, or its manifest is invalid.
    """

    def __init__(self, path: Path, staging: Staging) -> None:
        self._path = path
        self._staging = staging
        try:
            with path.open("rb") as file:
                self.manifest = self._read_manifest(file, hashlib.sha256())
        except OSError as error:
            raise BundleError(f"{path} cannot be read: {error.strerror or error}") from error

    def verify(self) -> None:
        """Read the whole bundle, check all digests and write the journals to temporary files.

        Raises:
            BundleError: A digest or a size is wrong.
        """
        needed = sum(each.size for each in self.manifest.journals)
        if needed > shutil.disk_usage(self._staging.folder).free:
            raise BundleError(
                f"{self._path} lists {needed / 1e9:.1f} GB of records, more than "
                f"{self._staging.folder} has free"
            )
        digest = hashlib.sha256()
        with self._open(digest) as (packed, section):
            for journal in self.manifest.journals:
                with self.journal(journal.segment).open("xb") as copy:
                    self._take(packed, journal.size, journal.sha256, copy)
            for content in self.manifest.contents:
                self._take(packed, content.size, content.sha256, None)
            if packed.read(1) or section.read():
                raise self._damaged("it has more data than its manifest lists")
        with self._path.open("rb") as file:
            file.seek(-DIGEST_SIZE, io.SEEK_END)
            if file.read() != digest.digest():
                raise self._damaged("its checksum is wrong")

    def journal(self, segment: str) -> Path:
        """Return the file with the journal of a segment, after ``verify``."""
        return self._staging.path(segment)

    def contents(self) -> Iterator[tuple[Content, Iterator[bytes]]]:
        """Yield each content with its bytes. A part that the caller does not read is skipped."""
        with self._open(hashlib.sha256()) as (packed, _):
            for journal in self.manifest.journals:
                for _ in self._chunks(packed, journal.size):
                    pass
            for content in self.manifest.contents:
                chunks = self._chunks(packed, content.size)
                yield content, chunks
                for _ in chunks:
                    pass

    def _read_manifest(self, file: IO[bytes], digest: Any) -> Manifest:
        header = file.read(HEADER.size)
        if len(header) < HEADER.size or not header.startswith(MAGIC):
            raise BundleError(f"{self._path} is not a bundle of tracker")
        _, version, _, length = HEADER.unpack(header)
        if version > VERSION:
            raise BundleError(f"{self._path} has format {version}: upgrade airgap-tracker to import it")
        if length > LONGEST_MANIFEST:
            raise self._damaged("its manifest is too long")
        data = file.read(length)
        digest.update(header + data)
        try:
            manifest = _decode(data)
        except msgspec.DecodeError as error:
            raise self._damaged(f"its manifest is invalid: {error}") from error
        if manifest.format != FORMAT:
            raise BundleError(
                f"{self._path} has format {manifest.format}: upgrade airgap-tracker to import it"
            )
        return manifest

    @contextmanager
    def _open(self, digest: Any) -> Iterator[tuple[Any, _Section]]:
        import pyarrow as pa

        with self._path.open("rb") as file:
            self._read_manifest(file, digest)
            size = self._path.stat().st_size
            if size < file.tell() + DIGEST_SIZE:
                raise self._damaged("its end is missing")
            section = _Section(file, size - DIGEST_SIZE, digest)
            try:
                yield pa.CompressedInputStream(pa.PythonFile(section, "r"), "zstd"), section
            except (OSError, pa.ArrowException) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # an error of the file system, and not of the decoder
                raise self._damaged(f"its compressed data is invalid: {error}") from error

    def _take(self, packed: Any, size: int, sha256: str, copy: IO[bytes] | None) -> None:
        digest = hashlib.sha256()
        for chunk in self._chunks(packed, size):
            digest.update(chunk)
            if copy is not None:
                copy.write(chunk)
        if digest.hexdigest() != sha256:
            raise self._damaged(f"the content {sha256} has another digest")

    def _chunks(self, packed: Any, size: int) -> Iterator[bytes]:
        """Yield the next ``size`` bytes of the members. A bundle cannot make the reader read more."""
        while size:
            chunk = packed.read(min(CHUNK, size))
            if not chunk:
                raise self._damaged("its end is missing")
            size -= len(chunk)
            yield chunk

    def _damaged(self, reason: str) -> BundleError:
        return BundleError(
            f"{self._path} is damaged: {reason}. Nothing was imported. Copy or create it again."
        )
