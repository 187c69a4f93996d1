"""The answer about the files of a run."""

from __future__ import annotations

from dataclasses import dataclass

from tracker.ground.read_models import FileInfo


@dataclass(frozen=True, slots=True)
class FilePage:
    """A page of the files of a run, by path.

    Attributes:
        total: The number of files with the requested prefix.
        size: The size of these files in bytes. A content that several files share counts once for each file.
        files: The files of this page.
    """

    total: int
    size: int
    files: list[FileInfo]
