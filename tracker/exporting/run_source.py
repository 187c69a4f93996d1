"""The part of a run that exports read: its rows, and the content of its files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tracker.api.history import stream_rows
from tracker.errors import ArtifactError, NotFoundError, StoreError

if TYPE_CHECKING:
    from tracker.api.run import Run
    from tracker.ground.read_models import FileInfo, SegmentInfo


class RunSource:
    """A run, or one writer of a distributed run.

    Args:
        run: The run.
        keys: Export only these keys of the history. None: all keys.
        rank: Export the rows of this rank. None: the newest branch of the run.

    Attributes:
        problems: Data that is not exported, and why: one line for each problem.
    """

    def __init__(self, run: Run, keys: Sequence[str] | None = None, rank: int | None = None) -> None:
        self.run = run
        self.rank = rank
        self.problems: list[str] = []
        self._keys = keys

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows in the order of their steps."""
        return stream_rows(self.run._reader, self.run._run_path, self._keys, None, self.rank)

    @property
    def first_segment(self) -> SegmentInfo | None:
        """The first attempt of the rank; None for the whole run."""
        own = (each for each in self.run.segments if each.rank == self.rank)
        return None if self.rank is None else min(own, key=lambda each: each.attempt)

    @cached_property
    def files(self) -> dict[str, FileInfo]:
        """The saved files of the run by path."""
        return {each.path: each for each in self.run._reader.files(*self.run._run_path)}

    def chunks(self, path: str) -> Iterator[bytes]:
        """Yield the content of a saved file in chunks.

        Raises:
            NotFoundError: The run does not have the file, or the store does not have its content.
        """
        if path not in self.files:
            raise NotFoundError(f"the run has no file {path}")
        yield from self.run._reader.file_chunks(*self.run._run_path, self.files[path])

    def content(self, path: str) -> bytes | None:
        """Return the content of a saved file. If it is missing, note the problem and return None."""
        try:
            return b"".join(self.chunks(path))
        except (NotFoundError, ArtifactError, StoreError, OSError) as error:
            self.problems.append(f"{path} is not exported: {error}")
            return None
