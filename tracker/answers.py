"""What questions to a store are answered with: frozen records, the same locally and over HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ProjectInfo:
    """A project: how many runs it has, when one of them last changed (unix seconds)."""

    entity: str
    name: str
    runs: int
    updated_at: float


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run as lists show it. Times are unix seconds, ``duration`` is seconds."""

    entity: str
    project: str
    id: str
    name: str
    state: str
    created_at: float
    updated_at: float
    finished_at: float | None
    duration: float
    last_step: int | None
    tags: list[str]
    group: str | None
    job_type: str | None
    notes: str | None
    config: dict[str, Any]
    summary: dict[str, Any]
    error: str | None


@dataclass(frozen=True, slots=True)
class RunPage:
    """Some of a project's runs; ``total`` counts all that match, ``revision`` dates the answer."""

    total: int
    revision: int
    runs: list[RunInfo]


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A history key: kind (number, image, table, histogram, text, null or other) and extent.

    ``numbers`` says that some of its values are numbers, which a chart shows whatever the others are.
    """

    key: str
    kind: str
    count: int
    last_step: int | None
    numbers: bool = False


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """What one writer (rank, node) of a run wrote in one attempt.

    Attributes:
        id: Names it in ``history(segment=...)``.
        rank: 0 for the primary writer.
        attempt: 0, then one more per resume.
        host: Where it was written.
        started_at: Unix seconds.
        start_step: First step that it gives.
        last_step: Largest step logged, None when there is none.
        rows: How many rows are complete.
        state: As a run's.
        shown: Whether its rows belong to the history that shows by default.
        shown_before: Only those of smaller steps do (None: all): a later attempt logged the others again.
    """

    id: str
    rank: int
    attempt: int
    host: str | None
    started_at: float
    start_step: int
    last_step: int | None
    rows: int
    state: str
    shown: bool
    shown_before: int | None


@dataclass(frozen=True, slots=True)
class RunDetail(RunInfo):
    """A run with its history's keys, lines that a person should read, its attempts and their segments."""

    keys: list[KeyInfo] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    attempts: int = 0
    segments: list[SegmentInfo] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ChangedRun:
    """Names a run that changed."""

    entity: str
    project: str
    id: str


@dataclass(frozen=True, slots=True)
class Changes:
    """The store's revision, and the runs that changed since the one asked about."""

    revision: int
    runs: list[ChangedRun] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class MediaItem:
    """One image: where it lies in the run, its caption, pixels and bytes."""

    path: str
    caption: str | None
    width: int | None
    height: int | None
    size: int | None


@dataclass(frozen=True, slots=True)
class MediaStep:
    """What was logged under a key at one step."""

    step: int
    items: list[MediaItem]


@dataclass(frozen=True, slots=True)
class TablePage:
    """Some rows of a table; ``total`` counts all, ``steps`` are those at which the key has tables."""

    key: str
    step: int
    steps: list[int]
    path: str
    columns: list[str | int]
    total: int
    rows: list[list[Any]]


@dataclass(frozen=True, slots=True)
class ArtifactInfo:
    """An artifact version; ``size`` is bytes, ``created_at`` unix seconds, ``logged_by`` a run id."""

    entity: str
    project: str
    name: str
    type: str
    version: str
    aliases: list[str]
    size: int
    file_count: int
    digest: str
    created_at: float
    description: str | None
    metadata: dict[str, Any]
    logged_by: str | None


@dataclass(frozen=True, slots=True)
class ArtifactEntry:
    """One file of an artifact: ``digest`` is the base64 of its MD5, ``sha256`` names its content."""

    path: str
    digest: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ArtifactDetail(ArtifactInfo):
    """An artifact version with its entries and the ids of the runs that used it."""

    files: list[ArtifactEntry] = field(default_factory=list)
    used_by: list[str] = field(default_factory=list)
