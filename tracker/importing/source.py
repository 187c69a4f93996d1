"""The interface of an importer: a source is one file or folder that contains rows of one run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from tracker.importing.output import Output


class UnreadableError(Exception):
    """A source cannot be read. The message is one line without the path."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The run that a source belongs to.

    Attributes:
        kind: Name of the importer, such as ``"wandb"``.
        path: The file or folder, for messages.
        identity: Text that identifies the source. It is the same for a copy of the source in another folder,
            if the source contains an id.
        project: Project of the run; None for the project of the settings.
        run_id: Id of the run.
        started_at: Start time in unix seconds.
        size: Number of bytes that are read, for the progress bar.
    """

    kind: str
    path: Path
    identity: str
    project: str | None
    run_id: str
    started_at: float
    size: int


@dataclass(frozen=True, slots=True)
class Parent:
    """The run whose rows a source continues: a run that was forked, or an earlier part of the same run.

    Attributes:
        run_id: Id of the run. If it is the run itself, the run goes back to the step.
        step: The last step that is kept.
    """

    run_id: str
    step: int


class Source(Protocol):
    """One file or folder that contains rows of one run.

    Attributes:
        origin: The run.
        position: How far the source was read. A value that JSON can encode; None before ``read``.
        complete: Whether the source contains the end of its run, so that nothing can follow.
        parent: The run whose rows come before the rows of the source, or None.
    """

    origin: Origin
    position: Any
    complete: bool
    parent: Parent | None

    def read(self, out: Output, known: Any) -> Iterator[int]:
        """Write the records of the source, and yield the number of bytes that were read so far.

        Args:
            out: Takes the records. Its method ``begin`` is called first.
            known: The position up to which earlier imports have read the source; None for the first import.

        Raises:
            UnreadableError: The source cannot be read.
        """


class GrowingSource:
    """A file that a running program may still append to. ``read`` reads it once, as far as it goes.

    To follow the file instead, call ``begin``, then ``read_more`` each time that it has grown, and ``end``.

    Attributes:
        problems: Damage that was found so far.
    """

    UNIT: ClassVar[str]
    origin: Origin
    position: Any = None
    parent: Parent | None = None
    complete = False

    def __init__(self) -> None:
        self.problems: dict[str, None] = {}
        self._offset = 0
        self._count = self._skip = 0

    def read(self, out: Output, known: Any) -> Iterator[int]:
        """See ``Source.read``."""
        self.begin(out, known)
        yield from self.read_more(out, last=True)
        self.end(out)

    def begin(self, out: Output, known: Any) -> None:
        """Write the first record. For the arguments, see ``Source.read``."""
        self._skip = known if isinstance(known, int) else 0
        self._begin(out)
        out.muted = self._skip > 0

    def read_more(self, out: Output, *, last: bool) -> Iterator[int]:
        """Write the records from the end of the last call on, and yield the offset after each of them.

        Args:
            out: Takes the records.
            last: Whether the file does not grow any more. Otherwise incomplete or wrong data at its end is
                left for the next call, because the program may still be writing it.

        Raises:
            UnreadableError: The file cannot be read.
        """
        raise NotImplementedError

    def rest(self, out: Output) -> None:
        """Write data that waits for more: the program has written nothing for a moment."""

    def end(self, out: Output) -> None:
        """Write the data that waits, and the end of the run.

        Raises:
            UnreadableError: The file has become shorter.
        """
        if self._count < self._skip:
            raise UnreadableError(
                f"it has only {self._count} {self.UNIT}, but {self._skip} were imported before"
            )
        self.position = self._count
        self.rest(out)
        out.problems += self.problems
        self._end(out)

    def _begin(self, out: Output) -> None:
        raise NotImplementedError

    def _end(self, out: Output) -> None:
        raise NotImplementedError

    def _counted(self, out: Output) -> bool:
        """Count a record; return whether it is the last one that was imported before."""
        self._count += 1
        if self._count != self._skip:
            return False
        out.muted = False
        return True


@dataclass(slots=True)
class Found:
    """The sources in folders, and the reasons why files could not be used.

    Attributes:
        sources: The sources.
        problems: Path and reason of files that cannot be read.
    """

    sources: list[Source] = field(default_factory=list)
    problems: list[tuple[Path, str]] = field(default_factory=list)
