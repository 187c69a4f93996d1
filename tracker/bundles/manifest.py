"""The list of what a source of runs contains."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from tracker.errors import Error
from tracker.ground.names import RunPath
from tracker.ground.parsed_types import Count, Digest, StoreName, Time, Token

FORMAT = 1


class BundleError(Error):
    """A bundle is damaged, incomplete or not a bundle. Nothing of it was applied."""


class Content(msgspec.Struct, frozen=True):
    """A content: its SHA-256 and its size in bytes."""

    sha256: Digest
    size: Count


class BundledJournal(msgspec.Struct, frozen=True):
    """The journal of a segment, with its size in bytes and its SHA-256."""

    segment: Token
    size: Count
    sha256: Digest


class BundledRun(msgspec.Struct, frozen=True):
    """A run.

    Attributes:
        entity: Entity of the run's project.
        project: Name of the project.
        id: Id of the run.
        segments: All ended segments of the run, also those that the bundle leaves out.
        ended: Whether these are all segments of the run, as none of its writers is active.
    """

    entity: str
    project: str
    id: str
    segments: list[Token]
    ended: bool

    @property
    def name(self) -> RunPath:
        """Entity, project and id."""
        return self.entity, self.project, self.id


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The list of what a source of runs contains.

    Attributes:
        format: Version of the format.
        bundle: Random id of the bundle.
        created_at: Unix seconds.
        store: Id of the store from which the bundle was made.
        origin: Name of that store, for aliases of versions that get another number.
        after: The bundles whose segments and contents this one leaves out.
        runs: The runs.
        journals: One journal for each segment, in the order in which they are applied.
        contents: The contents that the records name.
        needs: The contents that the records name and that are left out.
        left_out: Number of files and artifacts that are missing, as the store lacks their content.
    """

    format: int = FORMAT
    bundle: Token
    created_at: Time
    store: str
    origin: StoreName
    after: list[Token]
    runs: list[BundledRun]
    journals: list[BundledJournal]
    contents: list[Content]
    needs: list[Digest]
    left_out: Count = 0

    @property
    def size(self) -> int:
        """Size of all journals and contents in bytes."""
        return sum(each.size for each in self.journals) + sum(each.size for each in self.contents)


class Source(Protocol):
    """Runs that can be applied to a store or sent to a server."""

    @property
    def manifest(self) -> Manifest:
        """The list of the source's journals and contents."""
        ...

    def journal(self, segment: str) -> Path:
        """Return the file with the journal of a segment. The caller may rename the file."""
        ...

    def contents(self) -> Iterator[tuple[Content, Iterator[bytes]]]:
        """Yield each content of the manifest with its bytes. They must be read before the next content."""
        ...
