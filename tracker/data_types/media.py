"""What media types have in common: they become a file of the run and a dict in its history."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import re
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from tracker.data_types.base import WBValue, is_artifact

_REFERENCE = re.compile(r"^(gs|s3|https?)://")


class FileSink(Protocol):
    """Takes files of a run: its bytes are safe, and recorded, when ``save_file`` returns."""

    @property
    def owner(self) -> Any:
        """The run."""

    def save_file(self, path: str, data: bytes, mimetype: str) -> str:
        """Store ``data`` as the run's file ``path``; return its SHA-256."""

    def note_labels(self, kind: str, key: str, labels: dict[str, str]) -> None:
        """Keep class labels with the run, once for all steps."""

    def log_object(self, obj: Any, key: str, entry: str | None = None) -> None:
        """Log a table as an artifact of its own; ``entry`` is the name inside it, for an increment."""


class Media(WBValue):
    """A value that is logged as a file. Its bytes are taken when it is made."""

    folder: ClassVar[str] = ""  # below the run's ``media``

    _caption: str | None = None
    _data: bytes | None = None
    _extension: str = ""
    _sha256: str | None = None
    _source: str | None = None  # the file that it was made from
    _path: str | None = None  # its path in the run it was logged to
    _bound: tuple[Any, dict[str, Any]] | None = None

    def _take(self, data: bytes, extension: str, source: str | None = None) -> None:
        """Keep the content; ``extension`` has its dot."""
        self._data, self._extension, self._source = data, extension, source
        self._sha256 = hashlib.sha256(data).hexdigest()

    def _take_file(self, path: str, extension: str | None = None) -> None:
        """Keep the content of a file.

        Raises:
            OSError: It cannot be read.
        """
        with open(path, "rb") as file:
            self._take(file.read(), os.path.splitext(path)[1] if extension is None else extension, path)

    @property
    def data_bytes(self) -> bytes:
        """The file's content."""
        if self._data is None:
            raise ValueError(f"{type(self).__name__} stands for {self._source}: its content is not here")
        return self._data

    @property
    def _size(self) -> int | None:
        return None if self._data is None else len(self._data)

    def file_is_set(self) -> bool:
        """Whether it has a content."""
        return self._sha256 is not None

    def is_bound(self) -> bool:
        """Whether it was logged to a run."""
        return self._bound is not None

    @classmethod
    def get_media_subdir(cls) -> str:
        """Return the folder of such files in a run."""
        return f"media/{cls.folder}"

    @staticmethod
    def captions(media_items: Sequence[Media]) -> bool | Sequence[str | None]:
        """Return the captions of several, or False when the first has none."""
        return [item._caption for item in media_items] if media_items[0]._caption is not None else False

    @staticmethod
    def path_is_reference(path: Any) -> bool:
        """Whether a path is an address (http, s3, gs) and no file's."""
        return isinstance(path, str) and _REFERENCE.match(path) is not None

    def bind_to_run(
        self,
        run: Any,
        key: int | str,
        step: int | str,
        id_: int | str | None = None,
        ignore_copy_err: bool | None = None,
    ) -> None:
        """Store the file in a run; ``to_json`` then gives what stands in its history.

        Args:
            run: The run.
            key: History key; becomes part of the file's name.
            step: The row's step, likewise.
            id_: Stands in the name in place of the content's digest.
            ignore_copy_err: Accepted for compatibility.
        """
        sink: FileSink = run.media_sink() if hasattr(run, "media_sink") else run
        self._bound = (sink.owner, self._to_history(sink, str(key), step, id_))

    def to_history(self, sink: FileSink, key: str, step: int | str) -> dict[str, Any]:
        """Store the file and return what stands in the history row; once for each run."""
        if self._bound is None or self._bound[0] is not sink.owner:
            self.bind_to_run(sink, key, step)
        assert self._bound is not None
        return dict(self._bound[1])

    def to_json(self, run_or_artifact: Any) -> dict[str, Any]:
        """Return its form in a run that it was logged to, or store it in an artifact and return that form."""
        if is_artifact(run_or_artifact):
            return self._to_artifact(run_or_artifact)
        if self._bound is None or self._bound[0] is not run_or_artifact:
            raise AssertionError(f"{type(self).__name__} must be logged to this run first: see bind_to_run")
        return dict(self._bound[1])

    def describe(self) -> dict[str, Any]:
        """Return what its JSON says beside type, path, digest, size and caption."""
        return {}

    def _described(self) -> dict[str, Any]:
        caption = {} if self._caption is None else {"caption": self._caption}
        return {"_type": self._log_type, **caption, **self.describe()}

    def _to_history(
        self, sink: FileSink, key: str, step: int | str, id_: int | str | None = None
    ) -> dict[str, Any]:
        data = self.data_bytes
        assert self._sha256 is not None
        path = file_name(self.get_media_subdir(), key, step, id_ or self._sha256[:20], self._extension)
        sink.save_file(path, data, mimetype_of(path))
        self._path = path
        return {
            **self._described(),
            "path": path,
            "sha256": self._sha256,
            "size": len(data),
            **self._artifact_paths(),
        }

    def _to_artifact(self, artifact: Any) -> dict[str, Any]:
        described = self._described()
        if self._sha256 is not None:
            if self._data is None:
                assert self._source is not None
                name = f"{self.get_media_subdir()}/{self._sha256[:20]}/{os.path.basename(self._source)}"
                artifact.add_reference(self._source, name=name)
                return {**described, "path": name, "sha256": self._sha256}
            known = self._path or self._source
            inside = (
                f"{short_digest(self._data)}{self._extension}"
                if known is None
                else f"{self._sha256[:20]}/{os.path.basename(known)}"
            )
            described["path"] = artifact.add_content(f"{self.get_media_subdir()}/{inside}", self._data)
            described["sha256"] = self._sha256
        return described

    @classmethod
    def from_json(cls, json_obj: dict[str, Any], source_artifact: Any) -> Media:
        """See ``WBValue``."""
        return cls(source_artifact.get_entry(json_obj["path"]).download())  # type: ignore[call-arg]

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._sha256 == other._sha256

    __hash__ = WBValue.__hash__


class BatchableMedia(Media):
    """Media of which a list under one key becomes one dict."""

    @classmethod
    def seq_to_json(cls, seq: Sequence[Any], run: Any, key: str, step: int | str) -> dict[str, Any]:
        """Return the form of several that were logged to a run under one key."""
        raise NotImplementedError


def file_name(folder: str, key: str, step: int | str, digest: int | str, extension: str) -> str:
    """Return a media file's path in the run, as wandb names it: ``media/FOLDER/KEY_STEP_HASH20.EXT``.

    Slashes in the key make folders; ``.`` and ``..`` among them become underscores.
    """
    text = "".join("_" if ord(char) < 32 else char for char in key).lstrip("/")
    parts = [part.replace(".", "_") if part in (".", "..") else part for part in text.split("/")]
    return f"{folder}/{'/'.join(part for part in parts if part) or '_'}_{step}_{digest}{extension}"


def short_digest(data: bytes) -> str:
    """Return what wandb names a file inside an artifact that had no name of its own: 20 digits of its MD5."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()[:20]


def mimetype_of(path: str) -> str:
    """Return the type that a file is served as, by its name."""
    if path.endswith(".json"):
        return "application/json"
    return mimetypes.guess_type(path)[0] or "application/octet-stream"


def read_text(source: Any) -> tuple[Any, str | None]:
    """Return the content of an open file (or text stream) from its beginning, and its name if it has one."""
    if hasattr(source, "seek"):
        source.seek(0)
    return source.read(), getattr(source, "name", None)


def need(module: str, what: str) -> Any:
    """Import a package that is needed only for this.

    Raises:
        UsageError: It is not there; says what to install.
    """
    from importlib import import_module

    from tracker.errors import UsageError

    try:
        return import_module(module)
    except ImportError:
        package = {"PIL.Image": "pillow", "rdkit.Chem": "rdkit", "plotly.tools": "plotly"}.get(
            module, module.partition(".")[0]
        )
        raise UsageError(f"{what} needs the package {package}: pip install {package}") from None
