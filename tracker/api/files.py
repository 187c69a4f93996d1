"""Files of a run, as ``Api`` gives them."""

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

# What makes files that nobody stored, by name; None: there is nothing to make one of.
Made = dict[str, Callable[[], bytes | None]]
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class File(Attrs):
    """A file of a run, like ``wandb.apis.public.File``.

    Attributes:
        name: Its path in the run.
        mimetype: What it is.
    """

    def __init__(self, reader: Reader, run_path: RunPath, info: FileInfo, made: bytes | None) -> None:
        self._reader = reader
        self._run_path = run_path
        self._info = info
        self._made = made  # content of one that is made when somebody asks
        self.name = info.path
        self.mimetype = info.mimetype

    @property
    def id(self) -> str:
        """The run's path and the file's."""
        return "/".join((*self._run_path, self.name))

    @property
    def size(self) -> int:
        """Bytes."""
        return self._info.size

    @property
    def md5(self) -> str:
        """Base64 of the MD5 of its content, which is read for that."""
        digest = hashlib.md5(usedforsecurity=False)
        for chunk in self.chunks():
            digest.update(chunk)
        return base64.b64encode(digest.digest()).decode()

    @property
    def updated_at(self) -> str | None:
        """When its content was last stored, as ``2026-01-31T12:00:00Z``."""
        return None if self._info.updated_at is None else as_time(self._info.updated_at)

    updatedAt = updated_at

    @property
    def url(self) -> str | None:
        """Where it can be fetched: an address of the server, or of the store's own file (only read it).

        None for a small file of a run that has ended, which is in a pack of the store: use ``download``.
        """
        base = self._reader.url
        if base is not None and self._made is None:
            entity, project, run = (quote(part, safe="") for part in self._run_path)
            path = quote(self.name)
            return f"{base.rstrip('/')}/api/v1/projects/{entity}/{project}/runs/{run}/files/{path}"
        stored = self._reader.blob(self._info.sha256) if self._made is None else None
        return None if stored is None or not stored.exists() else stored.as_uri()

    direct_url = directUrl = url

    @property
    def path_uri(self) -> str:
        """The same as ``url``, or an empty string; wandb has the S3 address here."""
        return self.url or ""

    def download(
        self,
        root: str | os.PathLike[str] = ".",
        replace: bool = False,
        exist_ok: bool = False,
        api: Api | None = None,
    ) -> IO[str]:
        """Write the file below a folder; return it opened for reading as text.

        Args:
            root: The folder.
            replace: Whether a file that is there is written anew.
            exist_ok: Whether one that is there is left as it is (unless ``replace``).
            api: Accepted for compatibility.

        Raises:
            ApiUsageError: It is there already, and neither was said; or its name leads out of ``root``.
            ArtifactError: Its content is missing, or not what was stored.
        """
        target = Path(root) / path_on_disk(self.name)
        if os.path.isabs(self.name) or ".." in Path(self.name).parts:
            raise ApiUsageError(f"{self.name!r} leads out of {os.fspath(root)!r}: nothing was written")
        if target.exists() and not replace:
            if exist_ok:
                return target.open(encoding="utf-8", errors="replace")
            raise ApiUsageError(
                f"{target} exists already: pass replace=True to overwrite it, or exist_ok=True to leave it"
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
        if self._made is None and digest.hexdigest() != self._info.sha256:
            raise ArtifactError(f"{self.name}: the content read is not what was stored; nothing was written")

    def chunks(self) -> Iterator[bytes]:
        """Yield its content in pieces.

        Raises:
            ArtifactError: It is missing.
            CommError: The server does not send it, or not to its end, as when its bytes are damaged.
        """
        if self._made is not None:
            yield self._made
            return
        try:
            yield from self._reader.file_chunks(*self._run_path, self._info)
        except NotFoundError as error:
            raise ArtifactError(f"{self.name}: {error.message}") from None
        except CommError as error:
            raise type(error)(f"{self.name}: {error.message}", error) from error

    def delete(self) -> None:
        """Take the file away from its run. Its bytes go with ``tracker gc``, when nothing else has them.

        Raises:
            ApiUsageError: It is one that is made when somebody asks.
        """
        if self._made is not None:
            raise ApiUsageError(f"{self.name} is made from what the run logged: it cannot be deleted")
        append_records(self._reader, self._run_path, [FileRemoved(self.name)])

    def _fields(self) -> dict[str, Any]:
        return {"sizeBytes": self.size}

    def __repr__(self) -> str:
        size, unit = float(self.size), 0
        while size >= 1024 and unit < len(_UNITS) - 1:
            size, unit = size / 1024, unit + 1
        return f"<File {self.name} ({self.mimetype}) {size:.1f}{_UNITS[unit]}>"


class Files(PaginatedList[File]):
    """The files of a run, by path."""


def find_files(
    reader: Reader,
    run_path: RunPath,
    made: Made,
    names: list[str] | None = None,
    pattern: str | None = None,
    per_page: int = 50,
) -> Files:
    """Return files of a run: those that were stored, and those that are made when somebody asks.

    Args:
        reader: Where the run is.
        run_path: Entity, project and id of the run.
        made: Makes each of the latter by name; None: there is nothing to make it of. One that was stored is
            not made.
        names: Only these, unless empty.
        pattern: Only those like this, in SQL's words: ``%`` for anything, ``_`` for one character.
        per_page: Accepted for compatibility.

    Raises:
        ApiUsageError: Both names and a pattern are given.
    """
    if names and pattern:
        raise ApiUsageError("files are asked for by names or by a pattern, not both")
    like = None if pattern is None else _like(pattern)

    def is_wanted(path: str) -> bool:
        return path in names if names else like is None or like.fullmatch(path) is not None

    stored = {each.path: each for each in reader.files(*run_path)}
    found = [File(reader, run_path, info, None) for path, info in stored.items() if is_wanted(path)]
    for path, make in made.items():
        if path not in stored and is_wanted(path) and (content := make()) is not None:
            kind = "application/json" if path.endswith(".json") else "text/plain"
            info = FileInfo(path, len(content), kind, hashlib.sha256(content).hexdigest())
            found.append(File(reader, run_path, info, content))
    return Files(sorted(found, key=lambda file: file.name), per_page)


def find_file(
    reader: Reader, run_path: RunPath, made: dict[str, Callable[[], bytes | None]], name: str
) -> File:
    """Return one file of a run.

    Raises:
        ApiNotFoundError: There is none of that name (wandb: an IndexError).
    """
    found = find_files(reader, run_path, made, [name])
    if not found:
        raise ApiNotFoundError(f"run {'/'.join(run_path)} has no file {name}: run.files() lists them")
    return found[0]


def _like(pattern: str) -> re.Pattern[str]:
    signs = {"%": ".*", "_": "."}
    return re.compile(
        "".join(signs.get(sign, re.escape(sign)) for sign in pattern), re.DOTALL | re.IGNORECASE
    )
