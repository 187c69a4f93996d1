"""The interface of the thread that reads folders which are shown in place (``tracker open``)."""

from __future__ import annotations

from typing import Protocol


class ReadingStatus(Protocol):
    """How far the folders are read. The attributes are those of ``server.answers.OpenedFolders``."""

    @property
    def files(self) -> int:
        """Number of files that were found."""

    @property
    def read(self) -> int:
        """Number of files that were read to their end."""

    @property
    def growing(self) -> int:
        """Number of files that grow."""

    @property
    def searched(self) -> bool:
        """Whether all folders were searched."""

    @property
    def problems(self) -> list[tuple[str, str]]:
        """Path and reason of files that cannot be read, or only in part."""


class InPlaceReading(Protocol):
    """Reads folders into the store of the server, in a thread."""

    def start(self) -> None:
        """Start the thread."""

    def stop(self) -> None:
        """Stop the thread. The store is closed after this."""

    def status(self) -> ReadingStatus:
        """Return how far the folders are read."""
