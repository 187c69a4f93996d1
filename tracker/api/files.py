"""``File``: a file of a run, either saved or generated."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from tracker.api.attrs import Attrs, as_time
from tracker.artifacts.paginators import PaginatedList
from tracker.errors import ApiNotFoundError, ApiUsageError, ArtifactError, CommError, NotFoundError
from tracker.ground.names import RunPath, path_on_disk
from tracker.ground.read_models import FileInfo
from tracker.ground.records import FileRemoved
from tracker.reading.external_segment import append_records
from tracker.reading.reader import Reader

if TYPE_CHECKING:
    from tracker.api.api import Api

# Functions that generate files which the run did not save, by file name. A function returns None if the run
# logged nothing for its file.
FileMakers = dict[str, Callable[[], bytes | None]]
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class File(Attrs):
    """A file of a run, like ``wandb.apis.public.File`` (wandb: ``apis/public/files.py``).

    Args:
        reader: The reader of the run.
        run_path: Entity, project and id of the run.
        info: Path, size, type and checksum of the file.
        generated: The content of a generated file; None for a saved file.

    Attributes:
        name: The path of the file in the run.
        mimetype: The MIME type.
    """

    def __init__(self, reader: Reader, run_path: RunPath, info: FileInfo, generated: bytes | None) -> None:
        self._reader = reader
        self._run_path = run_path
        self._info = info
        self._generated = generated
        self.name = info.path
        self.mimetype = info.mimetype

    @property
    def id(self) -> str:
        """``ENTITY/PROJECT/RUN/NAME``."""
        return "/".join((*self._run_path, self.name))

    @property
    def size(self) -> int:
        """The size in bytes."""
        return self._info.size

    @property
    def md5(self) -> str:
        """The MD5 checksum of the content in Base64. Reading this attribute reads the content."""
        digest = hashlib.md5(usedforsecurity=False)
        for chunk in self.chunks():
            digest.update(chunk)
        return base64.b64encode(digest.digest()).decode()

    @property
    def updated_at(self) -> str | None:
        """The time of the last write, such as ``2026-01-31T12:00:00Z``; None for a generated file."""
        return None if self._info.updated_at is None else as_time(self._info.updated_at)

    updatedAt = updated_at

    @property
    def url(self) -> str | None:
        """The address of the file on the server, or of the store's own file, which must not be changed.

        None for a generated file, and for a small file of an ended run of a local store: the store keeps such
        files in packs. Use ``download`` for these.
        """
        base = self._reader.url
        if base is not None and self._generated is None:
            entity, project, run = (quote(part, safe="") for part in self._run_path)
            path = quote(self.name)
            return f"{base.rstrip('/')}/api/v1/projects/{entity}/{project}/runs/{run}/files/{path}"
        stored = self._reader.blob(self._info.sha256) if self._generated is None else None
        return None if stored is None or not stored.exists() else stored.as_uri()

    direct_url = directUrl = url

    @property
    def path_uri(self) -> str:
        """The same as ``url``, or an empty string. In wandb, this is an S3 address."""
        return self.url or ""

    def download(
        self,
        root: str | os.PathLike[str] = ".",
        replace: bool = False,
        exist_ok: bool = False,
        api: Api | None = None,
    ) -> IO[str]:
        """Write the file into a folder; return the written file, opened for reading as text.

        Args:
            root: The folder.
            replace: Whether to replace an existing file.
            exist_ok: Whether to keep an existing file and return it. ``replace`` takes precedence.
            api: Accepted for compatibility.

        Raises:
            ApiUsageError: The file exists, and neither ``replace`` nor ``exist_ok`` is True; or the name of
                the file points outside ``root``.
            ArtifactError: The content is missing or does not match its checksum.
        """
        target = Path(root) / path_on_disk(self.name)
        if os.path.isabs(self.name) or ".." in Path(self.name).parts:
            raise ApiUsageError(
                f"File name {self.name!r} points outside {os.fspath(root)!r}. The file was not written."
            )
        if target.exists() and not replace:
            if exist_ok:
                return target.open(encoding="utf-8", errors="replace")
            raise ApiUsageError(
                f"File {target} exists already. Pass replace=True to replace it or exist_ok=True to keep it."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{os.urandom(8).hex()}.part")
        try:
            self._write(unfinished)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
        return target.open(encoding="utf-8", errors="replace")

    def _write(self, path: Path) -> None:
        digest = hashlib.sha256()
        with path.open("xb") as file:
            for chunk in self.chunks():
                digest.update(chunk)
                file.write(chunk)
        if self._generated is None and digest.hexdigest() != self._info.sha256:
            raise ArtifactError(
                f"The content of {self.name} does not match its checksum {self._info.sha256}. "
                "The file was not written."
            )

    def chunks(self) -> Iterator[bytes]:
        """Yield the content in chunks.

        Raises:
            ArtifactError: The content is missing.
            CommError: The server does not send the content, or sends only a part, for example because the
                content is damaged there.
        """
        if self._generated is not None:
            yield self._generated
            return
        try:
            yield from self._reader.file_chunks(*self._run_path, self._info)
        except NotFoundError as error:
            raise ArtifactError(f"{self.name}: {error.message}") from None
        except CommError as error:
            raise type(error)(f"{self.name}: {error.message}", error) from error

    def delete(self) -> None:
        """Remove the file from the run. ``tracker gc`` frees its space if nothing else has the same content.

        Raises:
            ApiUsageError: The file is a generated file.
        """
        if self._generated is not None:
            raise ApiUsageError(f"Cannot delete {self.name}: it is generated from the data of the run.")
        append_records(self._reader, self._run_path, [FileRemoved(self.name)])

    def _fields(self) -> dict[str, Any]:
        return {"sizeBytes": self.size}

    def __repr__(self) -> str:
        size, unit = float(self.size), 0
        while size >= 1024 and unit < len(_UNITS) - 1:
            size, unit = size / 1024, unit + 1
        return f"<File {self.name} ({self.mimetype}) {size:.1f}{_UNITS[unit]}>"


class Files(PaginatedList[File]):
    """The files of a run, sorted by path."""


def find_files(
    reader: Reader,
    run_path: RunPath,
    makers: FileMakers,
    names: list[str] | None = None,
    pattern: str | None = None,
    per_page: int = 50,
) -> Files:
    """Return the saved and the generated files of a run.

    Args:
        reader: The reader of the run.
        run_path: Entity, project and id of the run.
        makers: Functions that generate files, by name. A saved file replaces the generated file of its name.
        names: Return only the files of these names. None or an empty list returns all files.
        pattern: Return only files that match this SQL ``LIKE`` pattern: ``%`` matches any text, ``_`` matches
            one character. The match ignores case.
        per_page: Accepted for compatibility.

    Raises:
        ApiUsageError: Both names and a pattern are given.
    """
    if names and pattern:
        raise ApiUsageError("Run.files got both names and pattern. Pass only one of them.")
    like = None if pattern is None else _like(pattern)

    def is_wanted(path: str) -> bool:
        return path in names if names else like is None or like.fullmatch(path) is not None

    stored = {each.path: each for each in reader.files(*run_path)}
    found = [File(reader, run_path, info, None) for path, info in stored.items() if is_wanted(path)]
    for path, make in makers.items():
        if path not in stored and is_wanted(path) and (content := make()) is not None:
            kind = "application/json" if path.endswith(".json") else "text/plain"
            info = FileInfo(path, len(content), kind, hashlib.sha256(content).hexdigest())
            found.append(File(reader, run_path, info, content))
    return Files(sorted(found, key=lambda file: file.name), per_page)


def find_file(reader: Reader, run_path: RunPath, makers: FileMakers, name: str) -> File:
    """Return one file of a run.

    Args:
        reader: The reader of the run.
        run_path: Entity, project and id of the run.
        makers: See ``find_files``.
        name: The path of the file in the run.

    Raises:
        ApiNotFoundError: The run does not have a file of that name. wandb raises IndexError.
    """
    found = find_files(reader, run_path, makers, [name])
    if not found:
        raise ApiNotFoundError(f"Run {'/'.join(run_path)} has no file {name}. run.files() lists its files.")
    return found[0]


def _like(pattern: str) -> re.Pattern[str]:
    signs = {"%": ".*", "_": "."}
    return re.compile(
        "".join(signs.get(sign, re.escape(sign)) for sign in pattern), re.DOTALL | re.IGNORECASE
    )
