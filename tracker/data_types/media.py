"""The base class of media types. A media object becomes a file of the run and a dict in its history."""

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
    """The interface that stores the files of a run."""

    @property
    def owner(self) -> Any:
        """The run that has the files."""

    def save_file(self, path: str, data: bytes, mimetype: str) -> str:
        """Store a file and write its record before this call returns.

        Args:
            path: Path of the file in the run.
            data: Content of the file.
            mimetype: MIME type of the file.

        Returns:
            The SHA-256 of the content.
        """

    def note_labels(self, kind: str, key: str, labels: dict[str, str]) -> None:
        """Store class labels in the run, once for all steps.

        Args:
            kind: Config section, such as ``"mask/class_labels"``.
            key: Key in that section.
            labels: Class names by class id.
        """

    def log_object(self, obj: Any, key: str, entry: str | None = None) -> None:
        """Log a table as a separate artifact.

        Args:
            obj: The table.
            key: History key of the table.
            entry: Name of the table in the artifact, for an increment.
        """


class Media(WBValue):
    """A value that is logged as a file. The object keeps the bytes of the file from its creation on."""

    folder: ClassVar[str] = ""  # folder of the files, below ``media`` in the run

    _caption: str | None = None
    _data: bytes | None = None
    _extension: str = ""
    _sha256: str | None = None
    _source: str | None = None  # path of the file, or URL, that the object was created from
    _path: str | None = None  # path of the file in the run that the object was logged to
    _bound: tuple[Any, dict[str, Any]] | None = None

    def _take(self, data: bytes, extension: str, source: str | None = None) -> None:
        """Keep the content of the file; ``extension`` starts with a dot."""
        self._data, self._extension, self._source = data, extension, source
        self._sha256 = hashlib.sha256(data).hexdigest()

    def _take_file(self, path: str, extension: str | None = None) -> None:
        """Keep the content of the file at ``path``.

        Raises:
            OSError: The file cannot be read.
        """
        with open(path, "rb") as file:
            self._take(file.read(), os.path.splitext(path)[1] if extension is None else extension, path)

    @property
    def data_bytes(self) -> bytes:
        """The content of the file.

        Raises:
            ValueError: The object refers to a URL.
        """
        if self._data is None:
            raise ValueError(f"{type(self).__name__} refers to {self._source} and has no content")
        return self._data

    @property
    def _size(self) -> int | None:
        return None if self._data is None else len(self._data)

    def file_is_set(self) -> bool:
        """Return whether the object has a file or a URL."""
        return self._sha256 is not None

    def is_bound(self) -> bool:
        """Return whether the object was logged to a run."""
        return self._bound is not None

    @classmethod
    def get_media_subdir(cls) -> str:
        """Return the folder in a run for the files of this type."""
        return f"media/{cls.folder}"

    @staticmethod
    def captions(media_items: Sequence[Media]) -> bool | Sequence[str | None]:
        """Return the captions of objects; False if the first object has no caption."""
        return [item._caption for item in media_items] if media_items[0]._caption is not None else False

    @staticmethod
    def path_is_reference(path: Any) -> bool:
        """Return whether ``path`` is a URL (http, https, s3 or gs) instead of the path of a file."""
        return isinstance(path, str) and _REFERENCE.match(path) is not None

    def bind_to_run(
        self,
        run: Any,
        key: int | str,
        step: int | str,
        id_: int | str | None = None,
        ignore_copy_err: bool | None = None,
    ) -> None:
        """Store the file in a run. Afterwards ``to_json`` returns the history value.

        Args:
            run: The run.
            key: History key; part of the file name.
            step: Step of the row; part of the file name.
            id_: Used in the file name instead of the digest of the content.
            ignore_copy_err: Accepted for compatibility.
        """
        sink: FileSink = run.media_sink() if hasattr(run, "media_sink") else run
        self._bound = (sink.owner, self._to_history(sink, str(key), step, id_))

    def to_history(self, sink: FileSink, key: str, step: int | str) -> dict[str, Any]:
        """Store the file in a run, unless it was stored there before, and return the history value.

        Args:
            sink: The files of the run.
            key: History key.
            step: Step of the row.
        """
        if self._bound is None or self._bound[0] is not sink.owner:
            self.bind_to_run(sink, key, step)
        assert self._bound is not None
        return dict(self._bound[1])

    def to_json(self, run_or_artifact: Any) -> dict[str, Any]:
        """Return the JSON form of the object in a run or in an artifact. Store the file in an artifact.

        Raises:
            AssertionError: The object was not logged to the run.
        """
        if is_artifact(run_or_artifact):
            return self._to_artifact(run_or_artifact)
        if self._bound is None or self._bound[0] is not run_or_artifact:
            raise AssertionError(f"{type(self).__name__} was not logged to this run: call bind_to_run first")
        return dict(self._bound[1])

    def describe(self) -> dict[str, Any]:
        """Return the fields of the JSON form in addition to type, path, digest, size and caption."""
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
        """See ``WBValue.from_json``."""
        return cls(source_artifact.get_entry(json_obj["path"]).download())  # type: ignore[call-arg]

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._sha256 == other._sha256

    __hash__ = WBValue.__hash__


class BatchableMedia(Media):
    """Media types for which a list of objects under one key becomes one dict."""

    @classmethod
    def seq_to_json(cls, seq: Sequence[Any], run: Any, key: str, step: int | str) -> dict[str, Any]:
        """Return the history value of objects that were logged to a run under one key.

        Args:
            seq: The objects.
            run: The run.
            key: History key.
            step: Step of the row.
        """
        raise NotImplementedError


def file_name(folder: str, key: str, step: int | str, digest: int | str, extension: str) -> str:
    """Return the path of a media file in the run: ``media/FOLDER/KEY_STEP_HASH20.EXT``.

    It is the same path as in wandb (corpus: ``tables.key_with_slash``).

    Args:
        folder: Folder of the media type, such as ``"media/images"``.
        key: History key. A slash starts a subfolder. A part ``.`` or ``..`` becomes underscores.
        step: Step of the row.
        digest: Digest of the content, or another id.
        extension: File extension with its dot.
    """
    text = "".join("_" if ord(char) < 32 else char for char in key).lstrip("/")
    parts = [part.replace(".", "_") if part in (".", "..") else part for part in text.split("/")]
    return f"{folder}/{'/'.join(part for part in parts if part) or '_'}_{step}_{digest}{extension}"


def short_digest(data: bytes) -> str:
    """Return 20 digits of the MD5, with which wandb names a file in an artifact that has no other name."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()[:20]


def mimetype_of(path: str) -> str:
    """Return the MIME type of a file by its name."""
    if path.endswith(".json"):
        return "application/json"
    return mimetypes.guess_type(path)[0] or "application/octet-stream"


def read_text(source: Any) -> tuple[Any, str | None]:
    """Return the whole content of an open file or stream, and its name if it has one."""
    if hasattr(source, "seek"):
        source.seek(0)
    return source.read(), getattr(source, "name", None)


def need(module: str, what: str) -> Any:
    """Import an optional package and return the module.

    Args:
        module: The module to import.
        what: The feature that needs the package, for the error message.

    Raises:
        UsageError: The package is not installed. The message names it.
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
