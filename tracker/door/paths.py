"""``wandb.sdk.lib.paths``: types of paths that libraries use in their type hints."""

from __future__ import annotations

import os
from pathlib import PurePath, PurePosixPath
from typing import Any, TypeAlias

StrPath: TypeAlias = "str | os.PathLike[str]"
FilePathStr: TypeAlias = str
URIStr: TypeAlias = str


class LogicalPath(str):
    """A path in an artifact or a run: a str with ``/`` on all systems, with the methods of PurePosixPath."""

    __slots__ = ()

    def __new__(cls, path: str | os.PathLike[str]) -> LogicalPath:  # noqa: D102
        return super().__new__(cls, path.as_posix() if isinstance(path, PurePath) else os.fspath(path))

    def to_path(self) -> PurePosixPath:
        """Return the path as a path object."""
        return PurePosixPath(self)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.to_path(), name)
        if isinstance(found, PurePosixPath):
            return LogicalPath(found)
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            made = found(*arguments, **named)
            return LogicalPath(made) if isinstance(made, PurePosixPath) else made

        return call

    def __truediv__(self, other: str | os.PathLike[str]) -> LogicalPath:
        return LogicalPath(self.to_path() / LogicalPath(other))
